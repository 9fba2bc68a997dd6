"""Which of several devices a task goes to: a function of what is known of their load, and of a given time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from qfw.model.device import ACCEPTING, DeviceStatus
from qfw.qpi.device import Device

#: Tasks that a device is given ahead, for each of its slots: few, so that late ones go where it is fast.
AHEAD_TASKS = 4
#: Short tasks are given ahead for so many seconds, so that no slot waits for this process; at most so many of them.
AHEAD_S, MAX_AHEAD_TASKS = 0.05, 256
#: Weight of the newest run in the mean.
NEWEST = 0.25
#: Programs whose times are remembered of a device.
REMEMBERED = 1024
#: Seconds that a device which refused a task is left alone, where it did not say how long.
REFUSED_S = 1.0


class Kind(NamedTuple):
    """Tasks that take the same time on a device, as far as can be told."""

    program: bytes
    sets: int
    shots: int


class Track:
    """What a mesh knows of one of its devices."""

    def __init__(self, device: Device) -> None:
        """Nothing yet."""
        self.device = device
        self.slots = max(1, device.profile.slots)
        #: Tasks that this mesh gave it and that are not answered.
        self.in_flight = 0
        #: Their numbers, of those that have one.
        self.tasks: set[int] = set()
        #: Seconds that others' tasks keep it busy, as it was known at `_seen_s`; infinite: unbounded.
        self._others_s = 0.0
        self._seen_s = 0.0
        self._away_until_s = 0.0
        #: Mean seconds of a run: of each kind, and of all.
        self._means: dict[Kind, float] = {}
        self._mean: float | None = None

    def mean_s(self, kind: Kind | None) -> float | None:
        """Mean seconds of a run of this kind, or of any where it is new; None where nothing ran yet."""
        return self._means.get(kind, self._mean) if kind is not None else self._mean

    def bound(self, kind: Kind | None) -> int:
        """Tasks of this kind that it may have at once."""
        mean_s = self.mean_s(kind)
        if mean_s is None:
            return self.slots * AHEAD_TASKS
        ahead = AHEAD_S / mean_s if mean_s > 0 else MAX_AHEAD_TASKS
        return self.slots * int(min(max(ahead, AHEAD_TASKS), MAX_AHEAD_TASKS))

    def finish_s(self, kind: Kind | None, now_s: float) -> float:
        """Seconds until it would have answered one more task of this kind."""
        others_s = max(0.0, self._others_s - (now_s - self._seen_s))
        return others_s + (self.in_flight + 1) * (self.mean_s(kind) or 0.0) / self.slots

    def away(self, now_s: float) -> bool:
        """Whether it takes nothing at the moment."""
        return now_s < self._away_until_s

    def seen(self, status: DeviceStatus, now_s: float) -> None:
        """Takes in what its daemon says of it."""
        if status.wait_s is None:
            self._others_s = math.inf
        else:
            # The daemon counts what this mesh gave it, too.
            own_s = self.in_flight * (self._mean or 0.0) / self.slots
            self._others_s = max(0.0, status.wait_s - own_s)
        self._seen_s = now_s
        if status.state in ACCEPTING:
            self._away_until_s = 0.0
        else:
            self._away_until_s = math.inf

    def refused(self, retry_after_s: float | None, now_s: float) -> None:
        """It did not take a task, for now."""
        self._away_until_s = max(self._away_until_s, now_s + (retry_after_s or REFUSED_S))

    def began(self, task: int) -> None:
        """It was given a task."""
        self.in_flight += 1
        if task:
            self.tasks.add(task)

    def ended(self, kind: Kind | None, took_s: float | None, task: int) -> None:
        """It answered one; None where that failed."""
        self.in_flight -= 1
        self.tasks.discard(task)
        if took_s is None:
            return
        took_s = max(0.0, took_s)
        self._mean = took_s if self._mean is None else self._mean + NEWEST * (took_s - self._mean)
        if kind is None:
            return
        before = self._means.pop(kind, None)
        if before is None and len(self._means) >= REMEMBERED:
            # The one that was not used for longest.
            del self._means[next(iter(self._means))]
        self._means[kind] = took_s if before is None else before + NEWEST * (took_s - before)


def choose(able: Iterable[Track], kind: Kind | None, now_s: float) -> Track | None:
    """The device that would answer first, of those that have room; None where none has.

    Devices that take nothing at the moment are chosen only where all are like that: then they say why.
    """
    able = list(able)
    here = [track for track in able if not track.away(now_s)] or able
    roomy = [track for track in here if track.in_flight < track.bound(kind)]
    if not roomy:
        return None
    return min(
        roomy,
        key=lambda track: (
            track.finish_s(kind, now_s),
            track.in_flight / track.slots,
            -track.device.profile.preference,
        ),
    )
