"""From outcomes that an engine drew itself, shot by shot, to the answers that travel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from qfw.model.outputs import Answer, Array, Counts, CountsAnswer, MemoryAnswer, Output

Words = npt.NDArray[np.uint64]

_MASK = 2**64 - 1


def answers_of_outcomes(
    outputs: Sequence[Output],
    num_bits: int,
    sampled: Iterable[tuple[Mapping[int, int], Sequence[int]]],
) -> tuple[Answer, ...]:
    """Counts and memory, in the order of `outputs`.

    Args:
        outputs: Counts and Memory only.
        num_bits: length of an outcome; higher bits are left out.
        sampled: of each set how often each outcome was seen, as an integer; and the outcomes in order, not
            looked at where no Memory is asked for. One set is looked at after the other, and not kept.
    """
    wants_counts = any(isinstance(output, Counts) for output in outputs)
    wants_memory = any(not isinstance(output, Counts) for output in outputs)
    seen, numbers, ordered = [], [], []
    for counts, memory in sampled:
        if wants_counts:
            # Each set's outcomes rise, as those of other engines do.
            outcomes = sorted(counts)
            seen.append(_words(num_bits, outcomes))
            numbers.append(np.fromiter((counts[outcome] for outcome in outcomes), dtype=np.int64))
        if wants_memory:
            ordered.append(_words(num_bits, memory))
    return tuple(
        _counts(num_bits, seen, numbers)
        if isinstance(output, Counts)
        else MemoryAnswer(num_bits, Array.of(np.array(ordered)))
        for output in outputs
    )


def _counts(num_bits: int, outcomes: list[Words], counts: list[npt.NDArray[np.int64]]) -> CountsAnswer:
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum([of_set.size for of_set in counts], out=offsets[1:])
    return CountsAnswer(
        num_bits,
        Array.of(np.concatenate(outcomes)),
        Array.of(np.concatenate(counts)),
        Array.of(offsets),
    )


def _words(num_bits: int, outcomes: Iterable[int]) -> Words:
    """Shape (outcomes, words), as in CountsAnswer."""
    width = (max(num_bits, 1) + 63) // 64
    mask = (1 << num_bits) - 1
    found = ((outcome & mask) >> 64 * word & _MASK for outcome in outcomes for word in range(width))
    return np.fromiter(found, dtype=np.uint64).reshape(-1, width)
