"""Seeds of parameter sets: a function of the task's seed and the set's index alone.

So a task gives the same answers however its sets are split over workers.
"""

from __future__ import annotations

import hashlib

import numpy as np

from qfw.model.errors import OptionError

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
_SLICES = 0xA0761D6478BD642F
_LEAVES = 0xD1B54A32D192ED03
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def check_seed(seed: object) -> int | None:
    """A seed, or None for fresh results.

    Raises:
        OptionError: not an integer from 0 to 2**63 - 1.
    """
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise OptionError(f"seed must be an integer from 0 to 2**63 - 1, not {seed!r}")
    return int(seed)


def key_seed(key: str) -> int:
    """Seed of a task that has an idempotency key and no seed of its own, so that it is the same when sent again."""
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def set_seed(task_seed: int, index: int) -> int:
    """Seed of set `index`, 0 to 2**64 - 1.

    The finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014), over the seed and over the index, so
    that neighbouring task seeds do not give shifted copies of one sequence.
    """
    return _mix((_mix((task_seed + _STEP) & _MASK) + (index + 1) * _STEP) & _MASK)


def slice_seed(task_seed: int, index: int) -> int:
    """Seed of slice `index` of a task whose shots are split, 0 to 2**63 - 1: a task of its own.

    Of another family than the seeds of sets, so that no slice repeats what a set of the whole task would draw.
    """
    return _mix((_mix((task_seed ^ _SLICES) + _STEP & _MASK) + (index + 1) * _STEP) & _MASK) >> 1


def leaf_seed(task_seed: int, index: int) -> int:
    """Seed of leaf `index` of a task that splitting tools make many of, 0 to 2**63 - 1: a task of its own.

    Of a family of its own, as `slice_seed`. Set k of a leaf has the seed that set k of any task with this one has.
    """
    return _mix((_mix((task_seed ^ _LEAVES) + _STEP & _MASK) + (index + 1) * _STEP) & _MASK) >> 1


def set_seeds(task_seed: int, start: int, stop: int) -> list[int]:
    """`set_seed` of the sets start … stop - 1."""
    if stop - start < 16:
        return [set_seed(task_seed, index) for index in range(start, stop)]
    z = np.arange(start + 1, stop + 1, dtype=np.uint64) * np.uint64(_STEP)
    z += np.uint64(_mix((task_seed + _STEP) & _MASK))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    return (z ^ (z >> np.uint64(31))).tolist()  # type: ignore[no-any-return]


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * _FIRST) & _MASK
    z = ((z ^ (z >> 27)) * _SECOND) & _MASK
    return z ^ (z >> 31)
