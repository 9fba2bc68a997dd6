"""Operation: the future of what a stream does, from its submission on, whether it has begun or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qfw.model.errors import UsageError
from qfw.model.task import QuantumTask
from qfw.qpi.future import CANCEL_LIMIT_S, TaskFuture
from qfw.qpi.group import GroupResult, Progress
from qfw.qpi.group_work import Stoppable

if TYPE_CHECKING:
    from qfw.qpi.flow import Flow
    from qfw.qpi.stream import QStream


class Operation(TaskFuture):
    """Result of an operation of a stream, when it is there: a task's, a callback's, or what was asked.

    Like a TaskFuture; but its task is known only when it has begun.
    """

    _kind = "operation"

    def __init__(self, flow: Flow, kind: str, work: Any, needs: tuple[TaskFuture, ...] = ()) -> None:
        """Made by a stream."""
        self._clear()
        self.owner = None
        self._flow = flow
        #: "run", "group", "call", "query", "calibrate" or "barrier".
        self.kind = kind
        #: Its number in the stream.
        self.number = -1
        #: For the stream: what is to be done, and whose results it needs.
        self.work = work
        self.needs = needs
        #: For the stream: futures of its tasks that run, results of those that ended, whether it is to end.
        self.tasks: set[TaskFuture] = set()
        self.results: list[Any] = []
        self.left = 0
        self.failure: BaseException | None = None
        self.giving_up = False
        self.watched = False

    @property
    def stream(self) -> QStream:
        """The stream that it belongs to."""
        return self._flow.stream

    @property
    def name(self) -> str:
        """Its number in its stream and its kind, as errors show it."""
        return f"{self.number} ({self.kind})"

    @property
    def progress(self) -> Progress:
        """Parts that are answered, of all that it is known to have; anything else is one part."""
        work = self.work
        if isinstance(work, Stoppable):
            return work.progress()
        if self.settled and isinstance(self._result, GroupResult):
            return Progress(len(self._result.parts), len(self._result.parts))
        return Progress(int(self.settled), 1)

    @property
    def task(self) -> QuantumTask:  # type: ignore[override]
        """The task that it runs.

        Raises:
            UsageError: it has not begun, or is no task.
        """
        tasks = self.tasks
        if self.kind != "run" or not tasks:
            raise UsageError(f"operation {self.name} is no single task, or none yet; wait for its result")
        return next(iter(tasks)).task

    @property
    def handle(self) -> str:
        """See TaskFuture.handle. Raises UsageError where it has not begun, or is no task."""
        # That it has one is checked there.
        number = self.task.number
        return next(future for future in self.tasks if future.task.number == number).handle

    def result(self, timeout: float | None = None) -> Any:
        """The result: a task's Result, or what the callback or question gave. See TaskFuture.result.

        Raises:
            DependencyFailed: an operation whose result it needed failed.
            UsageError: waited for within a callback that it waits for itself.
        """
        return super().result(timeout)

    def cancel(self) -> bool:
        """Asks for its end; True where it will have no result. A callback that runs is not ended."""
        for client in self._flow.stream.clients:
            # In a forked child this is a copy, and nobody's end would be asked for.
            client.check_process()
        if not self.settled and self._flow.give_up(self):
            self._wait(CANCEL_LIMIT_S)
        return self.cancelled()

    def _wait(self, timeout_s: float | None) -> bool:
        return self.settled or self._flow.wait(self, timeout_s)

    def _need_reader(self) -> None:
        self._flow.need_reader(self)

    def _abandon(self) -> None:
        detached = any(future.task.options.detached for future in tuple(self.tasks))
        if not detached:
            self._give_up()

    def _give_up(self) -> None:
        self._flow.give_up(self)

    def settle(self, value: Any, error: BaseException | None, cancelled: bool) -> None:
        """For the stream: it ended. Callbacks are called by `tell`, behind it."""
        with self._condition:
            if cancelled:
                self._state = "CANCELLED_AND_NOTIFIED"
            else:
                self._result, self._exception = value, error
                self._state = "FINISHED"
            for waiter in self._waiters:
                if cancelled:
                    waiter.add_cancelled(self)
                elif error is not None:
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)
        self.work, self.needs = None, ()

    def tell(self) -> None:
        """For the stream: calls the callbacks of one that has ended."""
        self._invoke_callbacks()
