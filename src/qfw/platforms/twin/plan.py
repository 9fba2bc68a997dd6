"""Plan: what a script makes happen, one thing behind the other, by time; a function of script and seed alone."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from qfw.platforms.twin.script import Fault, OtherUsers, Script, Window, seconds


class Happening(NamedTuple):
    """One thing that happens. Sorts by time, ends before beginnings, then by place in the script."""

    at_ns: int
    #: 0: a window is over; 1: it begins; 2: somebody else's task arrives.
    rank: int
    #: Place of the entry in the script, windows before arrivals.
    place: int
    #: Which repetition.
    number: int
    #: Of an arrival: how long that task takes.
    lasts_ns: int = 0


def entries_of(script: Script) -> tuple[Window | OtherUsers, ...]:
    """The entries that happenings name by `place`."""
    return (*script.recalibration, *script.noise, *script.fault, *script.maintenance, *script.load)


def plan(script: Script, seed: int) -> Iterator[Happening]:
    """Everything that happens, in order; may be endless."""
    streams: list[Iterator[Happening]] = []
    for place, entry in enumerate(entries_of(script)):
        if isinstance(entry, OtherUsers):
            streams.append(_arrivals(entry, place, seed))
        else:
            streams.append(_edges(entry, place))
    return heapq.merge(*streams)


def next_fault(script: Script, after_ns: int, before_ns: int) -> tuple[int, Fault] | None:
    """The first fault that begins after one time and before another."""
    found: tuple[int, Fault] | None = None
    for fault in script.fault:
        at_ns = next(fault.begins_ns(after_ns), None)
        if at_ns is not None and at_ns < before_ns and (found is None or at_ns < found[0]):
            found = (at_ns, fault)
    return found


def _edges(window: Window, place: int) -> Iterator[Happening]:
    # A repetition begins after the one before it is over: the script is checked for that.
    for number, at_ns in enumerate(window.begins_ns()):
        yield Happening(at_ns, 1, place, number)
        yield Happening(at_ns + window.duration_ns, 0, place, number)


def _arrivals(others: OtherUsers, place: int, seed: int) -> Iterator[Happening]:
    random = np.random.default_rng((seed, 3, place))
    at_s, number = 0.0, 0
    while True:
        at_s += random.exponential(3600.0 / others.arrivals_per_hour)
        lasts_ns = max(1, seconds(random.exponential(others.mean_s)))
        yield Happening(seconds(at_s), 2, place, number, lasts_ns)
        number += 1
