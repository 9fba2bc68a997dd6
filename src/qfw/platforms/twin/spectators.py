"""Bits of qubits that nothing acts on: their readout's errors, put into outcomes shot by shot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qfw.model.outputs import Answer, Array, Counts, CountsAnswer, Memory, MemoryAnswer, Output
from qfw.numerics.sampling import Stream

Words = npt.NDArray[np.uint64]

#: Streams of a seed from here on belong to spectators, one for each classical bit.
_FIRST_STREAM = 2**63


def with_spectators(
    outcomes: Words, num_bits: int, errors: Sequence[tuple[int, float]], seeds: Sequence[int], stream: Stream
) -> Words:
    """The outcomes with more bits, each 1 at random.

    Args:
        outcomes: shape (sets, shots, words).
        num_bits: of an outcome, with the bits to be added.
        errors: pairs (classical bit, probability to be 1).
        seeds: of the sets.
        stream: to draw with.
    """
    sets, shots, words = outcomes.shape
    found = np.zeros((sets, shots, (max(num_bits, 1) + 63) // 64), dtype=np.uint64)
    found[:, :, :words] = outcomes
    for bit, probability in errors:
        word, shift = divmod(bit, 64)
        for row, seed in zip(found, seeds, strict=True):
            numbers = stream.restart(seed, _FIRST_STREAM + bit).random(shots)
            row[:, word] |= np.less(numbers, probability).astype(np.uint64) << np.uint64(shift)
    return found


def counted(outcomes: Words, num_bits: int) -> CountsAnswer:
    """How often each outcome of each set was seen; of a set they are distinct and rise."""
    seen, numbers, offsets = [], [], [0]
    for row in outcomes:
        # The last word is the most significant; unique sorts by the first column.
        distinct, count = np.unique(row[:, ::-1], axis=0, return_counts=True)
        seen.append(distinct[:, ::-1])
        numbers.append(count.astype(np.int64))
        offsets.append(offsets[-1] + len(count))
    return CountsAnswer(
        num_bits,
        Array.of(np.concatenate(seen)),
        Array.of(np.concatenate(numbers)),
        Array.of(np.array(offsets, dtype=np.int64)),
    )


def answer_outcomes(outputs: Sequence[Output], outcomes: Words, num_bits: int) -> list[Answer]:
    """Counts and memory of outcomes in the order of shots; other outputs are left out."""
    return [
        counted(outcomes, num_bits)
        if isinstance(output, Counts)
        else MemoryAnswer(num_bits, Array.of(outcomes))
        for output in outputs
        if isinstance(output, (Counts, Memory))
    ]
