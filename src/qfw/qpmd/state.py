"""What the daemon knows: a fold over events, the same live and from the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from qfw.model.device import DEVICE_TRANSITIONS, DeviceState
from qfw.model.errors import InternalError
from qfw.model.events import (
    DaemonDraining,
    DaemonStarted,
    DeviceCame,
    DeviceEventKind,
    DeviceReported,
    Event,
    ProgramStored,
    ReservationEnded,
    ReservationGranted,
    SessionClosed,
    SessionOpened,
    TaskAccepted,
    TaskCancelled,
    TaskDone,
    TaskFailed,
    TaskLowered,
    TaskLowering,
    TaskRequeued,
    TaskStarted,
    WorkerLost,
    WorkerReady,
)
from qfw.model.task import LOWERING, TRANSITIONS, QuantumTask, TaskState

_OF_A_TASK = (TaskStarted, TaskRequeued, TaskDone, TaskFailed, TaskCancelled, TaskLowering, TaskLowered)


class TaskEntry:
    """A live task."""

    __slots__ = (
        "accepted_ns",
        "attempts",
        "cost_s",
        "epoch",
        "lowered",
        "lowered_for",
        "quantum",
        "started_ns",
        "state",
        "worker",
        "worker_pid",
    )

    def __init__(self, quantum: QuantumTask, cost_s: float, accepted_ns: int) -> None:
        self.quantum = quantum
        self.cost_s = cost_s
        self.accepted_ns = accepted_ns
        self.state = TaskState.QUEUED
        #: Counts executions; answers of another one are refused.
        self.epoch = 0
        #: Executions that a worker's death interrupted.
        self.attempts = 0
        self.started_ns = 0
        self.worker = ""
        self.worker_pid = 0
        #: Digest of the program that its pipeline made, and the calibration that it is for.
        self.lowered = b""
        self.lowered_for = ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskEntry):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # mutable


class SessionEntry:
    """An open session."""

    __slots__ = ("name", "number", "pid", "uid")

    def __init__(self, event: SessionOpened) -> None:
        self.number = event.session
        self.name = event.name
        self.pid = event.pid
        self.uid = event.uid

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SessionEntry):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # mutable


class DeviceEntry:
    """What a device said of itself last. One that never said anything is online and has no calibration."""

    __slots__ = ("calibration", "given_up", "reason", "sequence", "state", "until_ns")

    def __init__(self) -> None:
        self.state = DeviceState.ONLINE
        #: Version of its calibration; empty where it has none.
        self.calibration = ""
        #: Why it is in this state.
        self.reason = ""
        #: When this state is expected to be over, on the clock of `at_ns`; 0 where nobody knows.
        self.until_ns = 0
        #: Number of its last event.
        self.sequence = 0
        #: Whether its platform gave it up, until a task or a slot brings it back.
        self.given_up = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeviceEntry):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # mutable


class DaemonState:
    """Live tasks, open sessions, workers, devices and counters."""

    def __init__(self) -> None:
        self.tasks: dict[int, TaskEntry] = {}
        self.sessions: dict[int, SessionEntry] = {}
        #: Pids of workers: device → worker → pid.
        self.workers: dict[str, dict[str, int]] = {}
        #: Running tasks by device and worker.
        self.running: dict[tuple[str, str], set[int]] = {}
        #: Devices that said something of themselves.
        self.devices: dict[str, DeviceEntry] = {}
        #: Reservations that last, by number: each as it was granted, or renewed, last.
        self.reservations: dict[int, ReservationGranted] = {}
        #: Tasks that ended, by final state; executions that were repeated.
        self.counters: Counter[str] = Counter()
        self.last_session = 0
        #: Why no new tasks are taken, and since when; None where they are.
        self.draining: tuple[str, int] | None = None
        self._handlers: dict[type, Callable[[Any], None]] = {
            DaemonStarted: self._daemon_started,
            DaemonDraining: self._daemon_draining,
            SessionOpened: self._session_opened,
            SessionClosed: self._session_closed,
            ProgramStored: self._program_stored,
            TaskAccepted: self._accepted,
            TaskStarted: self._started,
            TaskRequeued: self._requeued,
            TaskLowering: self._lowering,
            TaskLowered: self._lowered,
            TaskDone: self._done,
            TaskFailed: self._failed,
            TaskCancelled: self._cancelled,
            WorkerReady: self._worker_ready,
            WorkerLost: self._worker_lost,
            DeviceReported: self._device_reported,
            DeviceCame: self._device_came,
            ReservationGranted: self._reservation_granted,
            ReservationEnded: self._reservation_ended,
        }

    def apply(self, event: Event) -> None:
        """Takes an event into account. Raises InternalError for a change that a table of states forbids."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    @classmethod
    def replay(cls, events: Iterable[Event]) -> DaemonState:
        """The state after the events of a journal."""
        state = cls()
        for event in events:
            state.restore(event)
        return state

    def restore(self, event: Event) -> None:
        """Like `apply`, for events of a journal whose oldest or damaged records are gone.

        An event of a task whose acceptance is gone says of a task that was answered, and is passed
        over; where a step between two that are there is gone, it is taken.
        """
        if isinstance(event, _OF_A_TASK):
            entry = self.tasks.get(event.task)
            if entry is None:
                self.counters["of tasks before the journal's begin"] += 1
                return
            running = entry.state is TaskState.RUNNING
            if isinstance(event, TaskStarted) and running:
                self.apply(TaskRequeued(event.at_ns, event.task, entry.epoch, "its record is gone", False))
            elif isinstance(event, (TaskRequeued, TaskDone)) and not running:
                worker_pid = event.worker_pid if isinstance(event, TaskDone) else 0
                self.restore(TaskStarted(event.at_ns, event.task, event.epoch, "", worker_pid))
            elif isinstance(event, TaskStarted) and entry.state in LOWERING:
                self.apply(TaskLowered(event.at_ns, event.task, entry.lowered, entry.lowered_for))
            elif isinstance(event, TaskLowered) and entry.state not in LOWERING:
                self.restore(TaskLowering(event.at_ns, event.task, TaskState.COMPILING, event.calibration))
            elif isinstance(event, TaskLowering) and running:
                self.apply(TaskRequeued(event.at_ns, event.task, entry.epoch, "its record is gone", False))
            elif isinstance(event, TaskLowering) and entry.state in LOWERING:
                self.apply(TaskLowered(event.at_ns, event.task, entry.lowered, entry.lowered_for))
        elif isinstance(event, DeviceReported) and not self.may_change(event.device, event.event.state):
            # Steps between are gone: what is left of them starts anew.
            self.devices.pop(event.device)
        self.apply(event)

    def may_change(self, device: str, to: DeviceState | None) -> bool:
        """Whether a device may be in state `to` from now on; the first word of a device may be any."""
        entry = self.devices.get(device)
        return entry is None or to in (None, entry.state) or to in DEVICE_TRANSITIONS[entry.state]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DaemonState):
            return NotImplemented
        mine, others = (
            (
                s.tasks,
                s.sessions,
                s.workers,
                s.running,
                s.devices,
                s.reservations,
                s.counters,
                s.last_session,
                s.draining,
            )
            for s in (self, other)
        )
        return mine == others

    __hash__ = None  # type: ignore[assignment]  # mutable

    def _move(self, task: int, to: TaskState) -> TaskEntry:
        entry = self.tasks.get(task)
        if entry is None or to not in TRANSITIONS[entry.state]:
            found = "unknown" if entry is None else entry.state
            raise InternalError(f"task {task} cannot become {to}: it is {found}")
        entry.state = to
        return entry

    def _end(self, task: int, to: TaskState) -> None:
        entry = self._move(task, to)
        self._not_running(entry)
        del self.tasks[task]
        self.counters[to] += 1

    def _not_running(self, entry: TaskEntry) -> None:
        tasks = self.running.get((entry.quantum.device, entry.worker))
        if tasks is not None:
            tasks.discard(entry.quantum.number)

    def _daemon_started(self, event: DaemonStarted) -> None:
        # What an earlier daemon held died with it; its tasks stay listed until recovery exists.
        self.sessions.clear()
        self.workers.clear()
        self.running.clear()
        self.devices.clear()
        self.reservations.clear()
        self.draining = None

    def _daemon_draining(self, event: DaemonDraining) -> None:
        self.draining = (event.reason, event.at_ns) if event.draining else None

    def _session_opened(self, event: SessionOpened) -> None:
        self.sessions[event.session] = SessionEntry(event)
        self.last_session = max(self.last_session, event.session)

    def _session_closed(self, event: SessionClosed) -> None:
        self.sessions.pop(event.session, None)

    def _program_stored(self, event: ProgramStored) -> None:
        self.counters["programs"] += 1

    def _accepted(self, event: TaskAccepted) -> None:
        self.tasks[event.task.number] = TaskEntry(event.task, event.cost_s, event.at_ns)

    def _started(self, event: TaskStarted) -> None:
        entry = self._move(event.task, TaskState.RUNNING)
        entry.epoch = event.epoch
        entry.started_ns = event.at_ns
        entry.worker = event.worker
        entry.worker_pid = event.worker_pid
        self.running.setdefault((entry.quantum.device, event.worker), set()).add(event.task)

    def _requeued(self, event: TaskRequeued) -> None:
        entry = self._move(event.task, TaskState.QUEUED)
        self._not_running(entry)
        entry.attempts += event.interrupted
        entry.worker = ""
        entry.worker_pid = 0
        self.counters["requeued"] += 1

    def _lowering(self, event: TaskLowering) -> None:
        self._move(event.task, event.state)

    def _lowered(self, event: TaskLowered) -> None:
        entry = self._move(event.task, TaskState.QUEUED)
        entry.lowered, entry.lowered_for = event.program, event.calibration
        entry.cost_s = event.cost_s or entry.cost_s

    def _done(self, event: TaskDone) -> None:
        self._end(event.task, TaskState.DONE)

    def _failed(self, event: TaskFailed) -> None:
        self._end(event.task, TaskState.FAILED)

    def _cancelled(self, event: TaskCancelled) -> None:
        self._end(event.task, TaskState.CANCELLED)

    def _worker_ready(self, event: WorkerReady) -> None:
        self.workers.setdefault(event.device, {})[event.worker] = event.pid

    def _worker_lost(self, event: WorkerLost) -> None:
        self.workers.get(event.device, {}).pop(event.worker, None)
        self.running.pop((event.device, event.worker), None)

    def _device_came(self, event: DeviceCame) -> None:
        entry = self.devices.setdefault(event.device, DeviceEntry())
        entry.sequence, entry.calibration = 0, ""

    def _reservation_granted(self, event: ReservationGranted) -> None:
        self.reservations[event.number] = event

    def _reservation_ended(self, event: ReservationEnded) -> None:
        self.reservations.pop(event.number, None)

    def _device_reported(self, event: DeviceReported) -> None:
        said = event.event
        if not self.may_change(event.device, said.state):
            found = self.devices[event.device].state
            raise InternalError(f"device {event.device} cannot become {said.state}: it is {found}")
        entry = self.devices.setdefault(event.device, DeviceEntry())
        entry.sequence = max(entry.sequence, said.sequence)
        entry.calibration = said.calibration or entry.calibration
        if said.state is None:
            return
        entry.state = said.state
        entry.reason = "" if said.state is DeviceState.ONLINE else said.message
        # The device's own clock may be simulated; it says how long, not when.
        entry.until_ns = event.at_ns + said.until_ns - said.wall_ns if said.until_ns else 0
        if said.state not in (DeviceState.OFFLINE, DeviceState.STARTING):
            entry.given_up = False
        elif said.sequence == 0 and said.kind is DeviceEventKind.FAULT:
            entry.given_up = True
