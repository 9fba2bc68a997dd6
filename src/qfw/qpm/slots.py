"""Slots of a driven device: a queue and a thread each, time limits, cancellation."""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from collections.abc import Sequence
from functools import partial

from qfw.model.device import RUNNING, DeviceProfile
from qfw.model.errors import DeadlineExceeded, ErrorReport, QFwError, TaskCancelled
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.qpm.admission import check_task
from qfw.qpm.bulletin import Bulletin
from qfw.qpm.driver import Driver
from qfw.qpm.execution import Begun, Programs, perform, stale
from qfw.qpm.lanes import Lane, Mailbox
from qfw.qpm.platform import Reactor, Run, RunDone, RunFailed, Sink

logger = logging.getLogger(__name__)

#: Threads of a device that may be stuck in its driver at once, until the device goes offline.
MAX_STUCK = 4


class _Slot:
    """A thread, and what waits for it."""

    def __init__(self, name: str, lane: Lane) -> None:
        self.name = name
        self.lane = lane
        self.waiting: deque[tuple[Run, Program | bytes]] = deque()
        self.current: Begun | None = None
        #: Whether `current` was answered without the driver.
        self.answered = False
        #: When it has to end, and when a timer will look at that.
        self.deadline_s = 0.0
        self.watched_s = math.inf


class DeviceSlots:
    """Runs what a device is given, in order, while its state allows. All calls on the reactor's thread."""

    def __init__(
        self,
        profile: DeviceProfile,
        driver: Driver,
        programs: Programs,
        bulletin: Bulletin,
        grace_s: float,
        mailbox: Mailbox,
    ) -> None:
        """`grace_s`: how long a driver may go on after a cancellation or its time limit."""
        self._profile = profile
        self._device = profile.name
        self._driver = driver
        self._programs = programs
        self._bulletin = bulletin
        self._grace_s = grace_s
        self._mailbox = mailbox
        self._slots: dict[str, _Slot] = {}
        self._made = 0
        self._stuck = 0
        self._warm = False
        self._closed = False
        self._reactor: Reactor
        self._sink: Sink

    def open(self, reactor: Reactor, sink: Sink) -> None:
        """Where to run and to report."""
        self._reactor, self._sink = reactor, sink

    def warm(self) -> None:
        """Says that the slots are ready, the first time; or that there are none, as all threads are stuck."""
        self._warm = True
        self._fill()
        if not self._slots:
            reason = f"{self._stuck} threads are stuck in the driver"
            self._mailbox.post(partial(self._sink.device_offline, self._device, reason))

    def has(self, slot: str) -> bool:
        """Whether there is such a slot: one that was lost in this very turn is gone, and its runs with it."""
        return slot in self._slots

    def start(self, slot: str, runs: Sequence[tuple[Run, Program | bytes]]) -> None:
        """Runs these behind what the slot has; each with its program, decoded or not."""
        found = self._slots.get(slot)
        if found is not None:
            found.waiting.extend(runs)
            self._next(found)

    def cancel(self, slot: str, task: int, epoch: int) -> None:
        """Ends a run: one that waits at once, one that began within the grace."""
        found = self._slots.get(slot)
        if found is None:
            return
        begun = found.current
        if begun is not None and (begun.run.task, begun.run.epoch) == (task, epoch):
            begun.cancelled.set()
            error = TaskCancelled(f"task {task} was cancelled; the driver of {self._device} went on with it")
            self._after(self._grace_s, partial(self._leave, found, begun, error))
            return
        for run, source in found.waiting:
            if (run.task, run.epoch) == (task, epoch):
                found.waiting.remove((run, source))
                self._fail_soon(found, run, TaskCancelled(f"task {task} was cancelled before it began"))
                return

    def changed(self) -> None:
        """State or calibration are others than before: what waits may begin, or will never."""
        current = self._bulletin.version(self._device)
        for slot in list(self._slots.values()):
            for run, source in list(slot.waiting):
                if run.calibration and run.calibration != current:
                    slot.waiting.remove((run, source))
                    self._fail(slot, run, stale(run, self._device, current))
            self._next(slot)

    def close(self) -> None:
        """Cancels everything; nothing is reported any more."""
        self._closed = True
        for slot in self._slots.values():
            slot.waiting.clear()
            if slot.current is not None:
                slot.current.cancelled.set()
            slot.lane.stop()

    def _fill(self) -> None:
        """As many slots as the profile says, except while too many threads are stuck."""
        while self._warm and len(self._slots) < self._profile.slots and self._stuck < MAX_STUCK:
            self._made += 1
            name = f"{self._device}/{self._made}"
            self._slots[name] = _Slot(name, Lane(name, self._mailbox))
            self._sink.slot_ready(self._device, name, os.getpid())

    def _next(self, slot: _Slot) -> None:
        """Begins what waits first, unless something runs or the device is in no state to."""
        if self._closed or slot.current is not None or not slot.waiting:
            return
        if self._bulletin.state(self._device) not in RUNNING:
            return
        run, source = slot.waiting.popleft()
        begun = slot.current = Begun(self._device, run, source)
        slot.answered = False
        version = partial(self._bulletin.version, self._device)
        check = partial(self._check, run)
        work = partial(perform, begun, self._driver, self._programs, version, check)
        slot.lane.do(work, partial(self._ended, slot, begun))
        slot.deadline_s = self._reactor.now() + run.time_limit_s
        self._watch(slot)

    def _check(self, run: Run, program: Program, outputs: tuple[Output, ...]) -> None:
        """On the slot's thread."""
        check_task(self._profile, program, outputs, run.sets, run.shots)

    def _ended(self, slot: _Slot, begun: Begun, outcome: RunDone | RunFailed) -> None:
        if self._closed:
            return
        if self._slots.get(slot.name) is not slot:
            # It was left behind, and its thread is free now.
            self._stuck -= 1
            logger.warning("driver came back: device=%s slot=%s", self._device, slot.name)
            self._fill()
            return
        answered, slot.current = slot.answered, None
        if not answered:
            self._sink.run_ended(self._device, slot.name, os.getpid(), outcome)
        self._next(slot)

    def _watch(self, slot: _Slot) -> None:
        """One timer for each slot, not one for each run: most runs end long before their limit."""
        if slot.watched_s > slot.deadline_s:
            slot.watched_s = slot.deadline_s
            self._reactor.call_at(slot.deadline_s, partial(self._look, slot, slot.deadline_s))

    def _look(self, slot: _Slot, watched_s: float) -> None:
        if self._closed or slot.watched_s != watched_s:
            return
        slot.watched_s = math.inf
        if slot.current is None or slot.answered or self._slots.get(slot.name) is not slot:
            return
        if self._reactor.now() < slot.deadline_s:
            self._watch(slot)
            return
        begun = slot.current
        begun.cancelled.set()
        slot.answered = True
        error = DeadlineExceeded(
            f"task {begun.run.task} ran on {self._device} for longer than its limit of "
            f"{begun.run.time_limit_s:g} s and was ended. Ask for fewer shots or sets per task, or for more time"
        )
        self._fail(slot, begun.run, error)
        self._after(self._grace_s, partial(self._leave, slot, begun, error))

    def _leave(self, slot: _Slot, begun: Begun, error: QFwError) -> None:
        """Gives up a thread that is stuck in the driver, and what waited behind it."""
        if slot.current is not begun or self._slots.get(slot.name) is not slot:
            return
        if not slot.answered:
            slot.answered = True
            self._fail(slot, begun.run, error)
        reason = f"the driver of {self._device} does not come back from task {begun.run.task}"
        logger.error("slot lost: device=%s slot=%s reason=%s", self._device, slot.name, reason)
        del self._slots[slot.name]
        self._stuck += 1
        slot.lane.stop()
        self._sink.slot_lost(self._device, slot.name, os.getpid(), reason, None)
        self._fill()
        if not self._slots:
            self._sink.device_offline(self._device, f"{self._stuck} threads are stuck: {reason}")

    def _after(self, seconds: float, callback: partial[None]) -> None:
        def unless_closed() -> None:
            if not self._closed:
                callback()

        self._reactor.call_at(self._reactor.now() + seconds, unless_closed)

    def _fail(self, slot: _Slot, run: Run, error: QFwError) -> None:
        outcome = RunFailed(run.task, run.epoch, ErrorReport.of(error))
        self._sink.run_ended(self._device, slot.name, os.getpid(), outcome)

    def _fail_soon(self, slot: _Slot, run: Run, error: QFwError) -> None:
        """Not within the sink's own call."""
        self._mailbox.post(partial(self._fail, slot, run, error))
