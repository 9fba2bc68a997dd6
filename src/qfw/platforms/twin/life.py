"""Life: what happens to a twin's device as its time goes on. Told the time, it says what changed; no clock here.

The same script, seed, calibration and runs give the same life, bit by bit.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from qfw.model.calibration import Calibration
from qfw.model.device import RUNNING, DeviceState
from qfw.model.events import DeviceEventKind
from qfw.platforms.twin.plan import Happening, entries_of, next_fault, plan
from qfw.platforms.twin.script import Fault, Incident, Maintenance, OtherUsers, Recalibration, Script, Window
from qfw.platforms.twin.truth import Truth

#: What each kind of window makes of the device; where several are open, the first of them counts.
_STATES: tuple[tuple[type[Window], DeviceState], ...] = (
    (Fault, DeviceState.OFFLINE),
    (Maintenance, DeviceState.MAINTENANCE),
    (Recalibration, DeviceState.CALIBRATING),
)


class Change(NamedTuple):
    """Something that changed, as a DeviceEvent will say it; times from the start of the device's clock."""

    at_ns: int
    kind: DeviceEventKind
    message: str
    #: None where it stays.
    state: DeviceState | None = None
    calibration: Calibration | None = None
    #: When it is expected to be over; None: not known.
    until_ns: int | None = None
    figures: tuple[tuple[str, float], ...] = ()


class Life:
    """One device's: its state, its calibration, the truth, and what others have it do."""

    def __init__(self, script: Script, seed: int, base: Calibration, origin_ns: int = 0) -> None:
        """Online at time 0, and as `base` says.

        Args:
            seed: of this device; a script may have one of its own.
            origin_ns: Unix time of the device's time 0, for what is dated.
        """
        seed = seed if script.seed is None else script.seed
        self.script = script
        self.state = DeviceState.ONLINE
        self.calibration = base
        self._truth = Truth(script, seed, base)
        self._base_version = base.version
        self._recalibrated = 0
        self._origin_ns = origin_ns
        self._entries: tuple[Window | OtherUsers, ...] = entries_of(script)
        self._plan = plan(script, seed)
        self._next = next(self._plan, None)
        #: What was asked of the device, beside the script: a heap.
        self._asked: list[Happening] = []
        #: Open windows by place in the script, with their ends.
        self._open: dict[int, int] = {}
        #: Others' tasks that are not over: (end, duration). When the device is done with them, and with ours.
        self._others: deque[tuple[int, int]] = deque()
        self._free_ns = 0
        self._ours_ns = 0
        self._halted_ns = 0

    @property
    def next_ns(self) -> int | None:
        """When something happens next; None: never."""
        times = [happening.at_ns for happening in (self._next, *self._asked[:1]) if happening is not None]
        return min(times, default=None)

    @property
    def back_ns(self) -> int | None:
        """When the windows that keep the device from running are over, as far as is known; None where it runs."""
        if self.state in RUNNING:
            return None
        return max(end for place, end in self._open.items() if self._stops(place))

    def advance(self, to_ns: int) -> Iterator[Change]:
        """What happens up to and including a time, in order; it has happened when it is yielded."""
        while (next_ns := self.next_ns) is not None and next_ns <= to_ns:
            yield self._happen(self._take())

    def recalibrate(self, at_ns: int, duration_ns: int, noise: float) -> int:
        """Recalibration that somebody asked for, as one of the script would be.

        Args:
            at_ns: when it begins; life has advanced no further.
            duration_ns: how long it takes.
            noise: see `Recalibration.measurement_noise`.

        Returns:
            When it is over.
        """
        place = len(self._entries)
        asked = Recalibration(begin_s=at_ns / 1e9, duration_s=duration_ns / 1e9, measurement_noise=noise)
        self._entries = (*self._entries, asked)
        heapq.heappush(self._asked, Happening(at_ns, 1, place, 0))
        heapq.heappush(self._asked, Happening(at_ns + asked.duration_ns, 0, place, 0))
        return at_ns + asked.duration_ns

    def truth(self, at_ns: int) -> Calibration:
        """What is true of the device at a time up to which life has advanced."""
        return self._truth.at(at_ns, self._incidents())

    def fault_between(self, after_ns: int, before_ns: int) -> tuple[int, Fault] | None:
        """When a fault will interrupt a run that takes from one time to the other."""
        return next_fault(self.script, after_ns, before_ns)

    def turn_ns(self, at_ns: int) -> int:
        """When a task that arrives at a time begins: behind the tasks of others that are there."""
        return max(at_ns, self._free_ns)

    def occupy(self, until_ns: int) -> None:
        """A run of ours keeps the device until a time; who arrives meanwhile waits."""
        self._ours_ns = until_ns

    def load(self, at_ns: int) -> tuple[int, int]:
        """Others' tasks that wait or run at a time, and nanoseconds of work that they still are."""
        if self.state not in RUNNING:
            at_ns = min(at_ns, self._halted_ns)
        left = [min(lasts, end - at_ns) for end, lasts in self._others if end > at_ns]
        return len(left), sum(left)

    def _take(self) -> Happening:
        """What happens next. Raises IndexError where nothing does."""
        if self._next is None or (self._asked and self._asked[0] < self._next):
            return heapq.heappop(self._asked)
        happening, self._next = self._next, next(self._plan, None)
        return happening

    def _happen(self, happening: Happening) -> Change:
        entry = self._entries[happening.place]
        if isinstance(entry, OtherUsers):
            return self._arrive(happening)
        if happening.rank == 1:
            self._open[happening.place] = happening.at_ns + entry.duration_ns
        else:
            del self._open[happening.place]
        state = self._settle(happening.at_ns)
        until_ns = self._open.get(happening.place)
        begins = until_ns is not None
        match entry:
            case Recalibration():
                if begins:
                    message = "recalibration began"
                    return Change(happening.at_ns, DeviceEventKind.STATE, message, state, None, until_ns)
                return self._recalibrate(happening, entry, state)
            case Incident():
                message = f"errors {entry.factor:g} times as large" if begins else "errors are back to normal"
                figures = (
                    ("factor", entry.factor if begins else 1.0),
                    *(("qubit", float(q)) for q in entry.qubits),
                )
                return Change(happening.at_ns, DeviceEventKind.NOISE, message, state, None, until_ns, figures)
            case Fault():
                message = entry.reason if begins else f"repaired: {entry.reason}"
                return Change(happening.at_ns, DeviceEventKind.FAULT, message, state, None, until_ns)
            case Maintenance():
                message = entry.reason if begins else f"over: {entry.reason}"
                return Change(happening.at_ns, DeviceEventKind.MAINTENANCE, message, state, None, until_ns)
        raise AssertionError(entry)

    def _recalibrate(self, happening: Happening, entry: Recalibration, state: DeviceState | None) -> Change:
        if self.state in (DeviceState.OFFLINE, DeviceState.MAINTENANCE):
            message = f"recalibration was given up: the device is in state {self.state}"
            return Change(happening.at_ns, DeviceEventKind.STATE, message, state)
        self._recalibrated += 1
        self.calibration = self._truth.measured(
            happening.at_ns,
            self._incidents(),
            entry.measurement_noise,
            (happening.place, happening.number),
            f"{self._base_version}+{self._recalibrated}",
            (self._origin_ns + happening.at_ns) / 1e9,
        )
        message = f"recalibrated: {self.calibration.version}"
        return Change(happening.at_ns, DeviceEventKind.CALIBRATION, message, state, self.calibration)

    def _arrive(self, happening: Happening) -> Change:
        # While the device stands still, so do its tasks: who arrives then begins where it stopped.
        at_ns = happening.at_ns if self.state in RUNNING else self._halted_ns
        while self._others and self._others[0][0] <= at_ns:
            self._others.popleft()
        self._free_ns = max(self._free_ns, self._ours_ns, at_ns) + happening.lasts_ns
        self._others.append((self._free_ns, happening.lasts_ns))
        queued, queued_ns = self.load(at_ns)
        figures = (("queued", float(queued)), ("queued_s", queued_ns / 1e9))
        return Change(happening.at_ns, DeviceEventKind.LOAD, "another user's task arrived", figures=figures)

    def _settle(self, at_ns: int) -> DeviceState | None:
        """The state by the windows that are open; None where it stays."""
        before, self.state = self.state, self._state()
        if before == self.state:
            return None
        if before in RUNNING:
            self._halted_ns = at_ns
        elif self.state in RUNNING:
            # Nobody's task went on meanwhile.
            halt_ns = at_ns - self._halted_ns
            self._others = deque(
                (end + halt_ns if end > self._halted_ns else end, lasts) for end, lasts in self._others
            )
            self._free_ns += halt_ns if self._free_ns > self._halted_ns else 0
        return self.state

    def _state(self) -> DeviceState:
        for kind, state in _STATES:
            if any(isinstance(self._entries[place], kind) for place in self._open):
                return state
        return DeviceState.ONLINE

    def _stops(self, place: int) -> bool:
        return any(isinstance(self._entries[place], kind) for kind, _ in _STATES)

    def _incidents(self) -> tuple[Incident, ...]:
        entries = (self._entries[place] for place in sorted(self._open))
        return tuple(entry for entry in entries if isinstance(entry, Incident))
