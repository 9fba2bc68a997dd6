"""Ends: how tasks are cancelled, fail and are let go; of many at once a part in each turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from qfw.model.errors import ErrorReport, TaskInterrupted
from qfw.model.errors import (
    TaskCancelled as TaskCancelledError,
)
from qfw.model.events import Event, SessionClosed, TaskCancelled, TaskFailed
from qfw.model.task import QuantumTask, TaskState, task_name, task_session
from qfw.qpm.journal import JournalWriter
from qfw.qpm.wire import MAX_ITEMS_PER_MESSAGE
from qfw.qpmd.handles import Handles
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.programs import ProgramStore
from qfw.qpmd.state import DaemonState, TaskEntry


class Ends:
    """Every task that was accepted ends here, but for what it was answered."""

    def __init__(
        self,
        state: DaemonState,
        platforms: Platforms,
        programs: ProgramStore,
        journal: JournalWriter,
        peers: dict[int, Peer],
        handles: Handles,
        unlowered: Callable[[QuantumTask], None],
        emit: Callable[[Event], None],
        touch: Callable[[Peer], None],
        clock_ns: Callable[[], int],
    ) -> None:
        """Parts of the daemon's core; `unlowered` is told of a task with a pipeline that ended."""
        self._state = state
        self._platforms = platforms
        self._programs = programs
        self._journal = journal
        self._peers = peers
        self._handles = handles
        self._unlowered = unlowered
        self._emit = emit
        self._touch = touch
        self._clock_ns = clock_ns
        #: Journal segment of each live task.
        self.segments: dict[int, int] = {}
        #: Tasks whose runs platforms were asked to end.
        self.cancelling: set[int] = set()
        #: Sessions that ended, with those of their tasks that are not cancelled yet.
        self._leaving: deque[tuple[Peer, deque[int], str]] = deque()
        #: Tasks that waited for a device when it went offline, and why they fail.
        self._failing: deque[tuple[deque[int], ErrorReport]] = deque()

    def accepted(self, number: int) -> None:
        """A task is live from now on."""
        self.segments[number] = self._journal.task_opened()

    def cancel(self, number: int, reason: str) -> None:
        """Ends a task; one that runs, as soon as its platform says so. No error if it has ended."""
        entry = self._state.tasks.get(number)
        if entry is None:
            return
        if entry.state is not TaskState.RUNNING:
            self.cancelled(entry, reason)
        elif number not in self.cancelling:
            self.cancelling.add(number)
            device = entry.quantum.device
            # A device that is gone lost its slots with their runs.
            self._platforms.of[device].cancel(device, entry.worker, number, entry.epoch)

    def cancelled(self, entry: TaskEntry, reason: str) -> None:
        """A task ends, cancelled."""
        number = entry.quantum.number
        self.cancelling.discard(number)
        self._emit(TaskCancelled(self._clock_ns(), number, reason))
        error = TaskCancelledError(f"task {task_name(number)} was cancelled: {reason}")
        self._answer(entry, ErrorReport.of(error))

    def failed(self, entry: TaskEntry, report: ErrorReport) -> None:
        """A task ends with an error."""
        self._emit(TaskFailed(self._clock_ns(), entry.quantum.number, report))
        self._answer(entry, report)

    def _answer(self, entry: TaskEntry, report: ErrorReport) -> None:
        self._handles.failed(entry, report)
        peer = self.release(entry)
        if peer is not None:
            peer.fail(entry.quantum.number, report)

    def release(self, entry: TaskEntry) -> Peer | None:
        """A task ended: what it held is free. Who is to be told, if that session is here."""
        number = entry.quantum.number
        if entry.quantum.pipeline:
            self._unlowered(entry.quantum)
        self._programs.release(entry.quantum.program)
        self._journal.task_ended(self.segments.pop(number))
        peer = self._peers.get(task_session(number))
        if peer is not None:
            peer.tasks.discard(number)
            peer.task_bytes -= long_bytes(entry.quantum)
            self._touch(peer)
        return peer

    def fail_waiting(self, device: str, report: ErrorReport) -> None:
        """All that waits for a device fails, a part of it in each turn."""
        waiting = deque(
            number
            for number, entry in self._state.tasks.items()
            if entry.quantum.device == device and entry.state is not TaskState.RUNNING
        )
        if waiting:
            self._failing.append((waiting, report))

    def leave(self, peer: Peer, tasks: Iterable[int], reason: str) -> None:
        """A session ended: so do these tasks, a part of them in each turn."""
        self._leaving.append((peer, deque(tasks), reason))

    def interrupt(self, why: str) -> None:
        """Fails what runs."""
        for number in sorted(number for tasks in self._state.running.values() for number in tasks):
            entry = self._state.tasks[number]
            if number in self.cancelling:
                self.cancelled(entry, "cancelled while it ran")
                continue
            error = TaskInterrupted(f"task {task_name(number)} was ended while it ran: {why}. Send it again")
            self.failed(entry, ErrorReport.of(error))

    def close(self) -> None:
        """All workers are gone, and with them the runs that were to be cancelled."""
        for number in sorted(self.cancelling):
            self.cancelled(self._state.tasks[number], "cancelled while it ran")

    # The turn -----------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether the next turn has work without anything arriving."""
        return bool(self._leaving or self._failing)

    def turn(self) -> None:
        """Goes on with sessions that ended and devices that went offline."""
        if self._leaving:
            self._let_leave()
        if self._failing:
            self._let_fail()

    def _let_leave(self) -> None:
        """Goes on with the sessions that ended; a hundred thousand tasks must not hold up the others."""
        budget = MAX_ITEMS_PER_MESSAGE
        while self._leaving and budget:
            peer, tasks, reason = self._leaving[0]
            while tasks and budget:
                self.cancel(tasks.popleft(), f"its session ended: {reason}")
                budget -= 1
            if not tasks:
                self._leaving.popleft()
                self._emit(SessionClosed(self._clock_ns(), peer.session, reason))
                self._handles.left(peer.session)

    def _let_fail(self) -> None:
        """Goes on with the tasks of devices that went offline; a part of them in each turn."""
        budget = MAX_ITEMS_PER_MESSAGE
        while self._failing and budget:
            waiting, report = self._failing[0]
            while waiting and budget:
                entry = self._state.tasks.get(waiting.popleft())
                if entry is not None and entry.state is not TaskState.RUNNING:
                    self.failed(entry, report)
                    budget -= 1
            if not waiting:
                self._failing.popleft()


def long_bytes(task: QuantumTask) -> int:
    """Bytes of what can be long in a task."""
    return len(task.parameters) + len(task.outputs)
