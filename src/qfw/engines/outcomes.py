"""From outcomes that an engine drew itself, shot by shot, to the answers that travel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from qfw.model.outputs import Answer, Array, Counts, CountsAnswer, MemoryAnswer, Output

_MASK = 2**64 - 1


def answers_of_outcomes(
    outputs: Sequence[Output],
    num_bits: int,
    counts: Sequence[Mapping[int, int]],
    memory: Sequence[Sequence[int]],
) -> tuple[Answer, ...]:
    """Counts and memory, in the order of `outputs`.

    Args:
        outputs: Counts and Memory only.
        num_bits: length of an outcome; higher bits are left out.
        counts: of each set: how often each outcome was seen, as an integer.
        memory: of each set: the outcomes in order; not looked at where no Memory is asked for.
    """
    return tuple(
        _counts(num_bits, counts) if isinstance(output, Counts) else _memory(num_bits, memory)
        for output in outputs
    )


def _counts(num_bits: int, counts: Sequence[Mapping[int, int]]) -> CountsAnswer:
    # Each set's outcomes rise, as those of other engines do.
    rows = [sorted(of_set.items()) for of_set in counts]
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return CountsAnswer(
        num_bits,
        Array.of(_words(num_bits, (outcome for row in rows for outcome, _ in row))),
        Array.of(np.array([number for row in rows for _, number in row], dtype=np.int64)),
        Array.of(offsets),
    )


def _memory(num_bits: int, memory: Sequence[Sequence[int]]) -> MemoryAnswer:
    words = _words(num_bits, (outcome for row in memory for outcome in row))
    return MemoryAnswer(num_bits, Array.of(words.reshape(len(memory), -1, words.shape[1])))


def _words(num_bits: int, outcomes: Iterable[int]) -> npt.NDArray[np.uint64]:
    """Shape (outcomes, words), as in CountsAnswer."""
    width = (max(num_bits, 1) + 63) // 64
    mask = (1 << num_bits) - 1
    found = [[(outcome & mask) >> 64 * word & _MASK for word in range(width)] for outcome in outcomes]
    return np.array(found, dtype=np.uint64).reshape(-1, width)
