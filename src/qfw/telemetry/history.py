"""From events to one record per task: what it was, what it passed, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from qfw.model.conditions import Conditions
from qfw.model.errors import ErrorReport
from qfw.model.events import (
    DaemonStarted,
    DaemonStopped,
    Event,
    SessionClosed,
    SessionOpened,
    TaskAccepted,
    TaskCancelled,
    TaskDone,
    TaskFailed,
    TaskLowered,
    TaskLowering,
    TaskRequeued,
    TasksReceived,
    TaskStarted,
)
from qfw.model.task import TaskState, task_name, task_session
from qfw.model.timeline import Timeline
from qfw.telemetry.causes import Causes, Repeats, Singles

#: Answered tasks that wait to hear when their client had the result; beyond, the oldest goes without.
MAX_WAITING = 100_000


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A task from its acceptance to its end; one line of a task log."""

    #: SESSION.SEQUENCE.
    task: str
    #: Name that the application gave to its session.
    session: str
    #: Digest of the program, hexadecimal: the structure.
    program: str
    device: str
    #: A TaskState; queued or running where the journal ends before the task did.
    state: TaskState
    #: Circuits (parameter sets), of these by cause, and those that repeat an earlier one exactly.
    sets: int
    cost: int
    gradient: int
    repeated: int
    #: 0 for exact results.
    shots: int
    #: Executions that were begun, and how often the task went back into the queue.
    epoch: int
    requeued: int
    #: Whether the worker had the program prepared already; None where the task was not answered.
    cached: bool | None
    #: When it was accepted, in seconds of Unix time.
    accepted_unix_s: float
    #: Microseconds by stage, of an answered task; without the stages that are not known.
    stages_us: dict[str, float]
    #: The three processes, and nanoseconds of the host's monotonic clock; 0 where unknown.
    timeline: dict[str, int]
    #: Why there is no answer.
    error: ErrorReport | None
    #: Calibration and device time of an answered task; None of an ideal simulator's.
    conditions: Conditions | None


def known_stages_us(timeline: Timeline) -> dict[str, float]:
    """The stages of an answered task, in microseconds; without those whose ends are not both known."""
    stages = timeline.stages_us()
    if not timeline.began_ns or not timeline.sent_ns:
        del stages["client"]
    if not timeline.sent_ns:
        del stages["wire"]
    if not timeline.received_ns:
        del stages["return"]
    return stages


class _Open:
    """A task whose record is not complete."""

    __slots__ = (
        "accepted",
        "cost",
        "done",
        "epoch",
        "error",
        "gradient",
        "received_ns",
        "repeated",
        "requeued",
        "started_ns",
        "state",
        "worker_pid",
    )

    def __init__(self, accepted: TaskAccepted, cost: int, gradient: int, repeated: int) -> None:
        self.accepted = accepted
        self.cost = cost
        self.gradient = gradient
        self.repeated = repeated
        self.state = TaskState.QUEUED
        self.epoch = 0
        self.requeued = 0
        self.started_ns = 0
        self.worker_pid = 0
        self.received_ns = 0
        self.done: TaskDone | None = None
        self.error: ErrorReport | None = None


class History:
    """Follows events in their order, and gives each task's record once all is known that will be."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self.singles = Singles()
        #: Tasks that ended and whose acceptance was in a segment that is gone.
        self.unknown = 0
        self.sessions = 0
        #: The last daemon that wrote, and whether it ended in order.
        self.daemon: DaemonStarted | None = None
        self.ended = False
        self._causes = Causes()
        self._repeats = Repeats()
        self._opened: dict[int, SessionOpened] = {}
        self._live: dict[int, _Open] = {}
        #: Answered; when the client had the answer may still come.
        self._waiting: dict[int, _Open] = {}
        self._handlers: dict[type, Callable[[Any], Iterator[TaskRecord]]] = {
            DaemonStarted: self._daemon_started,
            DaemonStopped: self._daemon_stopped,
            SessionOpened: self._session_opened,
            SessionClosed: self._session_closed,
            TaskAccepted: self._accepted,
            TaskStarted: self._started,
            TaskRequeued: self._requeued,
            TaskLowering: self._lowering,
            TaskLowered: self._lowered,
            TaskDone: self._done,
            TaskFailed: self._failed,
            TaskCancelled: self._cancelled,
            TasksReceived: self._received,
        }

    def take(self, event: Event) -> Iterator[TaskRecord]:
        """Records that are complete with this event. To be exhausted before the next."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            yield from handler(event)

    def rest(self) -> Iterator[TaskRecord]:
        """Records of all other tasks, once there are no more events."""
        for tasks in (self._waiting, self._live):
            for entry in tasks.values():
                yield self._record(entry)
            tasks.clear()

    def _daemon_started(self, event: DaemonStarted) -> Iterator[TaskRecord]:
        # What an earlier daemon held died with it.
        yield from self.rest()
        self.daemon = event
        self.ended = False

    def _daemon_stopped(self, event: DaemonStopped) -> Iterator[TaskRecord]:
        self.ended = True
        yield from ()

    def _session_opened(self, event: SessionOpened) -> Iterator[TaskRecord]:
        self._opened[event.session] = event
        self.sessions += 1
        yield from ()

    def _session_closed(self, event: SessionClosed) -> Iterator[TaskRecord]:
        for number in [task for task in self._waiting if task_session(task) == event.session]:
            yield self._record(self._waiting.pop(number))
        self._causes.forget(event.session)
        self.singles.forget(event.session)

    def _accepted(self, event: TaskAccepted) -> Iterator[TaskRecord]:
        task = event.task
        cost, gradient = self._causes.count(task)
        repeated = self._repeats.count(task)
        self.singles.count(task)
        # Parameters are not needed any more, and may be large.
        bare = msgspec.structs.replace(event, task=msgspec.structs.replace(task, parameters=b""))
        self._live[task.number] = _Open(bare, cost, gradient, repeated)
        yield from ()

    def _started(self, event: TaskStarted) -> Iterator[TaskRecord]:
        entry = self._live.get(event.task)
        if entry is not None:
            entry.state = TaskState.RUNNING
            entry.epoch = event.epoch
            entry.started_ns = event.at_ns
            entry.worker_pid = event.worker_pid
        yield from ()

    def _requeued(self, event: TaskRequeued) -> Iterator[TaskRecord]:
        entry = self._live.get(event.task)
        if entry is not None:
            entry.state = TaskState.QUEUED
            entry.requeued += 1
        yield from ()

    def _lowering(self, event: TaskLowering) -> Iterator[TaskRecord]:
        entry = self._live.get(event.task)
        if entry is not None:
            entry.state = event.state
        yield from ()

    def _lowered(self, event: TaskLowered) -> Iterator[TaskRecord]:
        entry = self._live.get(event.task)
        if entry is not None:
            entry.state = TaskState.QUEUED
        yield from ()

    def _done(self, event: TaskDone) -> Iterator[TaskRecord]:
        entry = self._end(event.task, TaskState.DONE)
        if entry is None:
            return
        entry.done = msgspec.structs.replace(event, answers=None) if event.answers else event
        self._waiting[event.task] = entry
        if len(self._waiting) > self._max_waiting:
            yield self._record(self._waiting.pop(next(iter(self._waiting))))

    def _failed(self, event: TaskFailed) -> Iterator[TaskRecord]:
        entry = self._end(event.task, TaskState.FAILED)
        if entry is not None:
            entry.error = event.error
            yield self._record(entry)

    def _cancelled(self, event: TaskCancelled) -> Iterator[TaskRecord]:
        entry = self._end(event.task, TaskState.CANCELLED)
        if entry is not None:
            entry.error = ErrorReport("TaskCancelled", event.reason)
            yield self._record(entry)

    def _received(self, event: TasksReceived) -> Iterator[TaskRecord]:
        for number, received_ns in event.received:
            entry = self._waiting.pop(number, None)
            if entry is not None:
                entry.received_ns = received_ns
                yield self._record(entry)

    def _end(self, task: int, state: TaskState) -> _Open | None:
        entry = self._live.pop(task, None)
        if entry is None:
            self.unknown += 1
        else:
            entry.state = state
        return entry

    def _record(self, entry: _Open) -> TaskRecord:
        task, done = entry.accepted.task, entry.done
        session = self._opened.get(task_session(task.number))
        daemon = self.daemon or DaemonStarted(0, 0, 0, "")
        timeline = Timeline(
            session.pid if session else 0,
            daemon.pid,
            entry.worker_pid,
            task.began_ns,
            task.sent_ns,
            entry.accepted.at_ns,
            entry.started_ns,
            done.run_began_ns if done else 0,
            done.run_ended_ns if done else 0,
            done.compile_ns if done else 0,
            done.at_ns if done else 0,
            entry.received_ns,
        )
        return TaskRecord(
            task=task_name(task.number),
            session=session.name if session else "",
            program=task.program.hex(),
            device=task.device,
            state=entry.state,
            sets=task.sets,
            cost=entry.cost,
            gradient=entry.gradient,
            repeated=entry.repeated,
            shots=task.shots,
            epoch=entry.epoch,
            requeued=entry.requeued,
            cached=done.cached if done else None,
            accepted_unix_s=(daemon.wall_ns + entry.accepted.at_ns - daemon.at_ns) / 1e9,
            stages_us=known_stages_us(timeline) if done else {},
            timeline=msgspec.structs.asdict(timeline),
            error=entry.error,
            conditions=done.conditions if done else None,
        )
