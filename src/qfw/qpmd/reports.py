"""What platforms report: slots, runs, devices. Satisfies `qfw.qpm.platform.Sink`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from qfw.config.current import Current
from qfw.model.calibration import Calibration
from qfw.model.errors import ErrorReport, NoCapacity, TaskInterrupted, WrongAnswer
from qfw.model.errors import (
    WorkerLost as WorkerLostError,
)
from qfw.model.events import DeviceEvent, Event, TaskDone, TaskRequeued, WorkerLost, WorkerReady
from qfw.model.task import TaskState, task_name
from qfw.qpm.platform import NativeDone, NativeFailed, RunDone, RunFailed
from qfw.qpm.shared import Memory
from qfw.qpm.wire import TaskAnswer
from qfw.qpmd.devices import Devices
from qfw.qpmd.ends import Ends
from qfw.qpmd.handles import Handles
from qfw.qpmd.intake import Intake
from qfw.qpmd.listing import Listing
from qfw.qpmd.lowering import Lowerings
from qfw.qpmd.native import NativeCalls
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.reservations import Reservations
from qfw.qpmd.settling import Settling
from qfw.qpmd.state import DaemonState

logger = logging.getLogger(__name__)


class Reports:
    """Makes events and answers of what platforms say; called on the daemon's thread."""

    def __init__(
        self,
        settings: Current,
        state: DaemonState,
        platforms: Platforms,
        devices: Devices,
        intake: Intake,
        native: NativeCalls,
        lowerings: Lowerings,
        handles: Handles,
        reservations: Reservations,
        listing: Listing,
        settling: Settling,
        ends: Ends,
        emit: Callable[[Event], None],
        clock_ns: Callable[[], int],
        revise: Callable[[], None],
    ) -> None:
        """Parts of the daemon's core; `revise` is called before a device changes."""
        self._settings = settings
        self._state = state
        self._platforms = platforms
        self._devices = devices
        self._intake = intake
        self._native = native
        self._lowerings = lowerings
        self._handles = handles
        self._reservations = reservations
        self._listing = listing
        self._settling = settling
        self._ends = ends
        self._emit = emit
        self._clock_ns = clock_ns
        self._revise = revise

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        """See Sink."""
        self._devices.bring_back(device)
        self._emit(WorkerReady(self._clock_ns(), device, slot, pid))

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        """See Sink."""
        # The youngest first: each goes to the head of its queue.
        for number in sorted(self._state.running.get((device, slot), ()), reverse=True):
            entry = self._state.tasks[number]
            if number in self._ends.cancelling:
                self._ends.cancelled(entry, "cancelled while it ran")
                continue
            profile = self._platforms.profiles.get(device)
            if number == running and profile is not None and not profile.reruns:
                interrupted = TaskInterrupted(
                    f"device {device} failed while it ran task {task_name(number)}: {reason}. It is not repeated by "
                    f"itself; send it again if it should run again"
                )
                self._ends.failed(entry, ErrorReport.of(interrupted))
                continue
            attempts = entry.attempts + (number == running)
            if attempts >= self._settings.workers.max_attempts:
                error = WorkerLostError(
                    f"{attempts} workers died under task {task_name(number)}, the last: {reason}. "
                    f"Look at the program, or raise workers.max_attempts"
                )
                self._ends.failed(entry, ErrorReport.of(error))
            else:
                self._emit(TaskRequeued(self._clock_ns(), number, entry.epoch, reason, number == running))
        self._emit(WorkerLost(self._clock_ns(), device, slot, pid, reason))

    def device_offline(self, device: str, reason: str) -> None:
        """See Sink. Waiting tasks fail; a later task tries the device again."""
        if device not in self._platforms.of:
            return
        logger.error("device offline: device=%s reason=%s", device, reason)
        self._devices.give_up(device, reason)
        self._native.lost(device, reason)
        error = NoCapacity(
            f"device {device} went offline: {reason}. The next task for it tries it again; qpmd.log in the runtime "
            f"folder says more"
        )
        self._ends.fail_waiting(device, ErrorReport.of(error))

    def devices_changed(self, platform: str) -> None:
        """See Sink. What a device that is gone would have run fails."""
        self._revise()
        came, gone = self._platforms.changed(platform)
        logger.info("devices changed: platform=%s came=%s gone=%s", platform, came, gone)
        self._intake.forget()
        self._listing.forget()
        for device in gone:
            self._lowerings.forget(device)
            for slot, pid in list(self._state.workers.get(device, {}).items()):
                self.slot_lost(device, slot, pid, "its platform is gone", None)
            self._devices.give_up(device, "its platform is gone")
            self._devices.forget(device)
            self._native.lost(device, "its platform is gone")
            self._reservations.lost(device, "its platform is gone")
            error = NoCapacity(f"device {device} is gone: its platform {platform} does not serve it any more")
            self._ends.fail_waiting(device, ErrorReport.of(error))
        for device in self._platforms.devices(platform):
            self._devices.look(device)
        self._settling.look()

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        """See Sink."""
        self._devices.reported(device, event, calibration)

    def native_ended(self, device: str, outcome: NativeDone | NativeFailed) -> None:
        """See Sink."""
        self._listing.late_answers += not self._native.ended(device, outcome)

    def run_ended(
        self,
        device: str,
        slot: str,
        pid: int,
        outcome: RunDone | RunFailed,
        memory: Memory | None = None,
    ) -> None:
        """See Sink."""
        entry = self._state.tasks.get(outcome.task)
        if (
            entry is None
            or entry.epoch != outcome.epoch
            or entry.state is not TaskState.RUNNING
            or entry.worker != slot
        ):
            self._listing.late_answers += 1
            return
        if outcome.task in self._ends.cancelling:
            self._ends.cancelled(entry, "cancelled while it ran")
            return
        now_ns = self._clock_ns()
        pipeline = entry.quantum.pipeline
        if isinstance(outcome, RunFailed):
            if not pipeline or not self._lowerings.stale(entry, outcome.error):
                self._ends.failed(entry, outcome.error)
            return
        lowered_for = self._lowerings.version(outcome.task) if pipeline else entry.quantum.calibration
        if lowered_for and (outcome.conditions is None or outcome.conditions.calibration != lowered_for):
            ran = outcome.conditions.calibration if outcome.conditions else ""
            wrong = WrongAnswer(
                f"task {task_name(outcome.task)} was lowered for calibration {lowered_for[:200]}; {device} ran it "
                f"under {ran[:200] or 'none'}"
            )
            self._ends.failed(entry, ErrorReport.of(wrong))
            return
        size = len(outcome.answers) if memory is None else memory.size
        kept = None
        if size <= self._settings.journal.answer_bytes:
            kept = outcome.answers if memory is None else memory.read()
        self._emit(
            TaskDone(
                now_ns,
                outcome.task,
                outcome.epoch,
                pid,
                outcome.run_began_ns,
                outcome.run_ended_ns,
                outcome.compile_ns,
                outcome.cached,
                size,
                kept,
                outcome.conditions,
            )
        )
        peer = self._ends.release(entry)
        answer = TaskAnswer(
            outcome.task,
            pid,
            entry.accepted_ns,
            entry.started_ns,
            outcome.run_began_ns,
            outcome.run_ended_ns,
            outcome.compile_ns,
            now_ns,
            outcome.conditions,
            outcome.answers,
        )
        self._handles.done(entry, answer, memory)
        if peer is not None:
            peer.answer(answer, memory)
