"""Outcomes of shots as Qiskit packs them: the bits of a register, big-endian, padded at the left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def pack(outcomes: npt.NDArray[Any], clbits: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The bytes of a register's values, as `qiskit.primitives.BitArray` takes them.

    Args:
        outcomes: shape (..., words) uint64: bit i of an outcome is bit i % 64 of word i // 64.
        clbits: which of these bits are the register's, its bit 0 first; any order, any of them twice.

    Returns:
        Shape (..., bytes), the fewest bytes that hold the register; its bit 0 is the lowest of the last byte.
    """
    num_bytes = -(-len(clbits) // 8)
    if not num_bytes:
        return np.zeros((*outcomes.shape[:-1], 0), dtype=np.uint8)
    words = np.zeros((*outcomes.shape[:-1], -(-len(clbits) // 64)), dtype="<u8")
    for source, low, target, place, width in _moves(clbits):
        moved = outcomes[..., source] >> np.uint64(low)
        moved &= np.uint64((1 << width) - 1)
        moved <<= np.uint64(place)
        words[..., target] |= moved
    if num_bytes == 1:
        # By far the most frequent, and the one for which the general way would move most bytes in vain.
        return words.astype(np.uint8)
    return np.ascontiguousarray(words.view(np.uint8)[..., num_bytes - 1 :: -1])


def _moves(clbits: Sequence[int]) -> Iterator[tuple[int, int, int, int, int]]:
    """Runs of bits that lie side by side on both sides, each within one word.

    Yields:
        Word and lowest bit where they are, word and lowest bit where they go, and how many they are.
    """
    first = 0
    while first < len(clbits):
        last = first + 1
        while last < len(clbits) and clbits[last] == clbits[last - 1] + 1 and clbits[last] % 64 and last % 64:
            last += 1
        yield *divmod(clbits[first], 64), *divmod(first, 64), last - first
        first = last
