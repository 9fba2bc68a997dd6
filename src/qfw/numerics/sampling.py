"""Shots drawn from distributions, repeatably: streams of random numbers by parameter set and basis."""

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
#: For that draw probabilities are multiples of its inverse: far finer than shots can tell, far coarser than
#: the rounding of an engine.
_GRID = 2.0**44


class Samples(NamedTuple):
    """Outcomes of several sets, one behind the other; each set's are distinct and rise."""

    #: Shape (outcomes,): index of a basis state, qubit 0 the least significant bit.
    states: Ints
    #: Shape (outcomes,).
    counts: Ints
    #: Shape (sets + 1,): states[offsets[k]:offsets[k + 1]] belong to set k.
    offsets: Ints


class Stream:
    """One Philox generator, set back for each set and basis (making a new one costs six times more)."""

    def __init__(self) -> None:
        """Unseeded; call `restart` first."""
        self._philox = Philox(0)
        self._state = self._philox.state
        self._key = self._state["state"]["key"]
        self._state["state"]["counter"][:] = 0
        self._state["buffer_pos"] = 4
        self._generator = Generator(self._philox)

    def restart(self, seed: int, part: int) -> Generator:
        """The generator at the start of stream `part` of `seed`, both 0 to 2**64 - 1."""
        self._key[0] = seed
        self._key[1] = part
        self._philox.state = self._state
        return self._generator


def draw(distribution: Floats, shots: int, seeds: Sequence[int], part: int, stream: Stream) -> Samples:
    """`shots` outcomes of every set.

    Args:
        distribution: shape (sets, states); overwritten. Need not add up to 1 exactly.
        shots: of each set, at least 1.
        seeds: of each set; what a set gives depends on its own seed and distribution alone.
        part: which of a set's independent streams to use.
        stream: to draw with.
    """
    if distribution.shape[1] > MULTINOMIAL_STATES:
        np.cumsum(distribution, axis=1, out=distribution)
        return _joined(
            [
                _draw_by_shot(row, shots, stream.restart(seed, part))
                for row, seed in zip(distribution, seeds, strict=True)
            ]
        )
    _to_grid(distribution)
    table = np.empty(distribution.shape, dtype=np.int64)
    for k, seed in enumerate(seeds):
        table[k] = stream.restart(seed, part).multinomial(shots, distribution[k])
    return _without_zeros(table)


def in_random_order(samples: Samples, shots: int, seeds: Sequence[int], stream: Stream) -> Ints:
    """The outcomes shot by shot, shape (sets, shots): indices of basis states."""
    found = np.repeat(samples.states, samples.counts).reshape(len(seeds), shots)
    for row, seed in zip(found, seeds, strict=True):
        stream.restart(seed, _ORDER).shuffle(row)
    return found


#: The stream that orders are drawn from, so that counts do not depend on whether it is used.
_ORDER = 2**64 - 1


def _to_grid(distribution: Floats) -> None:
    """Rounds probabilities so that their sums are exact and a row adds up to 1.

    The draw goes another way at 0 and at one half of what is left: 1e-33 in the place of 0, or half and a
    bit, as another engine or another processor rounds, would give other outcomes altogether.
    """
    distribution *= _GRID / distribution.sum(axis=1, keepdims=True)
    np.rint(distribution, out=distribution)
    left = _GRID - distribution.sum(axis=1)
    distribution[np.arange(len(distribution)), distribution.argmax(axis=1)] += left
    distribution /= _GRID


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
