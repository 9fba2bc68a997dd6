"""Shots drawn from distributions, repeatably: one stream of random numbers per parameter set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator, Philox

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Up to this many basis states, one multinomial draw; beyond, one uniform number for each shot.
MULTINOMIAL_STATES = 1024


class Samples(NamedTuple):
    """Outcomes of several sets, one behind the other; each set's are distinct and rise."""

    #: Shape (outcomes,): index of a basis state, qubit 0 the least significant bit.
    states: Ints
    #: Shape (outcomes,).
    counts: Ints
    #: Shape (sets + 1,): states[offsets[k]:offsets[k + 1]] belong to set k.
    offsets: Ints


class Stream:
    """One Philox generator, set back for each parameter set (making a new one costs six times more)."""

    def __init__(self) -> None:
        """Unseeded; call `restart` first."""
        self._philox = Philox(0)
        self._state = self._philox.state
        self._key = self._state["state"]["key"]
        self._state["state"]["counter"][:] = 0
        self._state["buffer_pos"] = 4
        self._key[1] = 0
        self._generator = Generator(self._philox)

    def restart(self, seed: int) -> Generator:
        """The generator at the start of the stream of `seed`, 0 to 2**64 - 1."""
        self._key[0] = seed
        self._philox.state = self._state
        return self._generator


def draw(
    distributions: Sequence[Floats], shots: int, seeds: Sequence[int], stream: Stream, in_order: bool
) -> tuple[list[Samples], Ints | None]:
    """`shots` outcomes of every set in every basis.

    Args:
        distributions: for each basis, shape (sets, states); overwritten. Need not add up to 1 exactly.
        shots: of each set in each basis, at least 1.
        seeds: of each set; what a set gives depends on its own seed and distributions alone.
        stream: to draw with.
        in_order: whether the first basis' outcomes are wanted shot by shot.

    Returns:
        Samples of each basis; and shape (sets, shots), states in a random order, or None.
    """
    sets, states = distributions[0].shape
    memory = np.empty((sets, shots), dtype=np.int64) if in_order else None
    wide = states > MULTINOMIAL_STATES
    for values in distributions:
        if wide:
            np.cumsum(values, axis=1, out=values)
        else:
            values /= values.sum(axis=1, keepdims=True)
    tables = [] if wide else [np.empty((sets, states), dtype=np.int64) for _ in distributions]
    lists: list[list[tuple[Ints, Ints]]] = [[] for _ in distributions]
    for k, seed in enumerate(seeds):
        generator = stream.restart(seed)
        if wide:
            for values, found in zip(distributions, lists, strict=True):
                found.append(_draw_by_shot(values[k], shots, generator))
        else:
            for values, table in zip(distributions, tables, strict=True):
                table[k] = generator.multinomial(shots, values[k])
        if memory is not None:
            # Last, so that counts do not depend on whether the order is asked for.
            outcomes, counts = lists[0][k] if wide else (np.arange(states), tables[0][k])
            memory[k] = np.repeat(outcomes, counts)
            generator.shuffle(memory[k])
    if wide:
        return [_joined(found) for found in lists], memory
    return [_without_zeros(table) for table in tables], memory


def _draw_by_shot(cumulated: Floats, shots: int, generator: Generator) -> tuple[Ints, Ints]:
    total = cumulated[-1]
    numbers = generator.random(shots)
    numbers.sort()
    numbers *= total
    states = np.searchsorted(cumulated, numbers, side="right")
    # A number rounded up to the total itself belongs to the last state that has any probability.
    np.minimum(states, np.searchsorted(cumulated, total), out=states)
    starts = np.flatnonzero(np.diff(states, prepend=-1))
    return states[starts], np.diff(starts, append=shots)


def _joined(rows: list[tuple[Ints, Ints]]) -> Samples:
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([states.size for states, _ in rows], out=offsets[1:])
    return Samples(np.concatenate([s for s, _ in rows]), np.concatenate([c for _, c in rows]), offsets)


def _without_zeros(table: Ints) -> Samples:
    rows, states = table.nonzero()
    offsets = rows.searchsorted(np.arange(table.shape[0] + 1))
    return Samples(states, table[rows, states], offsets)
