"""A task in parts: runs of its parameter sets, or slices of its shots."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from qfw.model.seeds import slice_seed

SETS, SHOTS = "sets", "shots"
#: Slices of a task's shots, at least, where each has enough of them; and the most shots of one.
SLICES, SLICE_SHOTS = 8, 65536
#: Fewer say nothing of their spread, which standard errors need.
MIN_SLICE_SHOTS = 2


class Part(NamedTuple):
    """A part of a task, which is a task of its own."""

    #: Counts from 0, in the order in which the answers are merged.
    number: int
    #: Its sets are first_set … first_set + sets - 1 of the whole.
    first_set: int
    sets: int
    shots: int
    seed: int
    #: What is run: its place in `GroupTask.pieces`.
    piece: int = 0
    #: Name of the device that has to run it; empty: any that can.
    device: str = ""

    @property
    def what(self) -> str:
        """For errors."""
        return f"sets {self.first_set} to {self.first_set + self.sets - 1}, {self.shots or 'no'} shots"


def by_sets(sets: int, shots: int, seed: int, parts: int) -> list[Part]:
    """Runs of consecutive sets, as equal as can be. A set's seed is that of the whole task, whatever the split."""
    bounds = [sets * k // parts for k in range(parts + 1)]
    return [Part(k, begin, end - begin, shots, seed) for k, (begin, end) in enumerate(pairwise(bounds))]


def by_shots(sets: int, shots: int, seed: int, parts: int | None = None) -> list[Part]:
    """Slices of the shots of all sets, as equal as can be, with seeds of their own.

    A function of the task alone, and of `parts` where that is given: never of devices or load.
    """
    if parts is None:
        parts = min(max(1, shots // MIN_SLICE_SHOTS), max(SLICES, -(-shots // SLICE_SHOTS)))
    return [
        Part(k, 0, sets, shots * (k + 1) // parts - shots * k // parts, slice_seed(seed, k))
        for k in range(parts)
    ]
