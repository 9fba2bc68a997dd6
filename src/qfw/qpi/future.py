"""The future of a task: compatible with concurrent.futures, awaitable, and completed by whoever waits."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from qfw.model.errors import ResultTimeout, TaskCancelled, UsageError
from qfw.model.program import Program
from qfw.model.result import Result
from qfw.model.task import QuantumTask, TaskOptions, task_name
from qfw.qpi.handle import handle_text
from qfw.qpi.question import Question
from qfw.qpm.wire import AttachedTask

if TYPE_CHECKING:
    from qfw.qpi.client import Client, Owner

#: How long `cancel` waits for the daemon's word.
CANCEL_LIMIT_S = 5.0
#: How long `handle` does.
HANDLE_LIMIT_S = 30.0


#: One for all futures of the process: a lock and a queue of each one's own would be most of what a future
#: weighs. One for each session would not do: concurrent.futures.wait takes the locks of all its futures, in
#: an order that holds between futures only.
_condition = threading.Condition()


def _after_fork() -> None:
    """In a child the lock may be held by a thread that does not exist there."""
    global _condition
    _condition = threading.Condition()


os.register_at_fork(after_in_child=_after_fork)


class TaskFuture(concurrent.futures.Future[Result]):
    """Result of a task, when it is there.

    A thread that waits in `result` reads the connection itself; callbacks, `await` and
    `concurrent.futures.wait` make a background thread read it.
    """

    #: Of a detached task: settled once the daemon has it for sure; and whether it said so.
    receipt: Question | None = None
    acknowledged = False
    #: Number of the task that stands for this one, which has its idempotency key; 0: it stands for itself.
    earlier = 0
    #: Of a task that somebody else submitted, or this process earlier: what is needed to read its answer.
    followed: AttachedTask | None = None

    def __init__(
        self, client: Client, task: QuantumTask, program: Program, owner: Owner | None = None
    ) -> None:
        """Made by a stream."""
        self._clear()
        self._client = client
        #: What was submitted.
        self.task = task
        #: Its program, in case the daemon asks for it again.
        self.program = program
        #: How often the daemon asked for it again.
        self.sent_again = 0
        #: Who is told of its end.
        self.owner = owner

    def _clear(self) -> None:
        # What Future.__init__ does, but with one condition for all futures, and without lists until somebody
        # puts something into them. Nobody waits on the condition: waiting is the client's.
        self._condition = _condition
        self._state = "PENDING"
        self._result = None
        self._exception = None
        self._done_callbacks: Any = ()
        self._waiter_list: Any = ()

    @property
    def name(self) -> str:
        """The task as listings show it: SESSION.SEQUENCE. Of one whose idempotency key was known the earlier task."""
        return task_name(self.earlier or self.task.number)

    @property
    def handle(self) -> str:
        """Text by which any process of this user may attach to this detached task: FOLDER:SESSION.SEQUENCE.

        Waits until the daemon has it for sure: from then on it survives this process.

        Raises:
            UsageError: it is not detached.
            QFwError: why the daemon refused it.
            ResultTimeout: the daemon says nothing.
        """
        if self.receipt is None:
            raise UsageError(
                f"task {self.name} ends with its session; submit it with options=TaskOptions(detached=True)"
            )
        if not self._client.wait(self.receipt, HANDLE_LIMIT_S):
            raise ResultTimeout(
                f"the daemon did not acknowledge task {self.name} within {HANDLE_LIMIT_S:g} s"
            )
        if not self.acknowledged and self.settled and not self.cancelled():
            error = super().exception(0)
            if error is not None:
                raise error
        return handle_text(self._client.folder, self.earlier or self.task.number)

    @property
    def settled(self) -> bool:
        """Whether it is done, as far as has been read; does not read."""
        return self._state in ("FINISHED", "CANCELLED", "CANCELLED_AND_NOTIFIED")

    def result(self, timeout: float | None = None) -> Result:
        """The result.

        Args:
            timeout: seconds; None waits until the task is answered or the daemon is lost.

        Raises:
            ResultTimeout: not answered in time; the task goes on.
            concurrent.futures.CancelledError: it was cancelled.
            QFwError: why it failed.
        """
        if not self.settled and not self._wait(timeout):
            raise ResultTimeout(
                f"{self._kind} {self.name} was not answered within {timeout} s; it goes on. Wait longer, or cancel() it"
            )
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, or None where there is a result. Waits and raises like `result`."""
        if not self.settled and not self._wait(timeout):
            raise ResultTimeout(f"{self._kind} {self.name} was not answered within {timeout} s; it goes on")
        return super().exception(0)

    def done(self) -> bool:
        """Whether there is a result, an error or a cancellation; takes in what has arrived."""
        return self.settled or self._wait(0)

    def cancel(self) -> bool:
        """Asks the daemon to end the task; True where it was ended and will have no result."""
        if not self.settled:
            self._client.cancel([self.task.number])
            self._client.wait(self, CANCEL_LIMIT_S)
        return self.cancelled()

    def add_done_callback(self, fn: Callable[[concurrent.futures.Future[Result]], object]) -> None:
        """Calls `fn` with this future when it is done: at once, or from the background thread."""
        self.when_done(fn)
        if not self.settled:
            self._need_reader()

    def when_done(self, fn: Callable[[concurrent.futures.Future[Result]], object]) -> None:
        """Like add_done_callback, for one who sees to the reading himself."""
        with self._condition:
            if not self._done_callbacks:
                self._done_callbacks = []
        super().add_done_callback(fn)

    def forget(self, fn: Callable[[concurrent.futures.Future[Result]], object]) -> None:
        """Takes back a `when_done`, if it has not been called."""
        with self._condition:
            if fn in self._done_callbacks:
                self._done_callbacks.remove(fn)

    def __await__(self) -> Generator[Any, None, Result]:
        """Awaits the result without blocking the event loop; who stops awaiting it cancels it, unless detached."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        def tell(_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(wake)

        self.add_done_callback(tell)
        try:
            yield from done
        except asyncio.CancelledError:
            if not self.settled:
                # Without waiting for the daemon's word, as `cancel` does.
                self._abandon()
            raise
        try:
            return self.result(0)
        except concurrent.futures.CancelledError as error:
            raise asyncio.CancelledError(f"{self._kind} {self.name} was cancelled") from error

    # What differs between a task that was sent and an operation that may not have begun.
    _kind = "task"

    def _wait(self, timeout_s: float | None) -> bool:
        return self._client.wait(self, timeout_s)

    def _need_reader(self) -> None:
        self._client.need_reader(self)

    def _abandon(self) -> None:
        """Who awaited it does not any more."""
        if not self.task.options.detached:
            self._give_up()

    def _give_up(self) -> None:
        self._client.cancel([self.task.number])

    def _invoke_callbacks(self) -> None:
        # Of concurrent.futures: called once, when it is settled. The owner first, so that a callback finds room.
        try:
            if self.owner is not None:
                self.owner.ended(self)
        finally:
            super()._invoke_callbacks()  # type: ignore[misc]

    def __repr__(self) -> str:
        # As far as has been read: to look at it does not read.
        if self._state == "FINISHED":
            state = "done" if self._exception is None else f"failed: {type(self._exception).__name__}"
        else:
            state = "cancelled" if self.settled else "not answered yet"
        return f"{type(self).__name__}({self._kind} {self.name}; {state})"

    def outcome(self) -> tuple[Any, BaseException | None]:
        """Result and error of one that is settled; a cancellation is an error here."""
        if self._state == "FINISHED":
            return self._result, self._exception
        return None, TaskCancelled(f"{self._kind} {self.name} was cancelled")

    # concurrent.futures.wait and as_completed put themselves into this list of a pending future: the one
    # sign that somebody waits who does not read.
    @property
    def _waiters(self) -> list[Any]:
        if not self.settled:
            self._need_reader()
            if not self._waiter_list:
                self._waiter_list = []
        waiters: list[Any] = self._waiter_list
        return waiters

    @_waiters.setter
    def _waiters(self, value: list[Any]) -> None:
        self._waiter_list = value

    def finish(self, result: Result) -> None:
        """For the client: the answer came."""
        # Settled already where two threads find out at the same time.
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.set_result(result)

    def fail(self, error: BaseException) -> None:
        """For the client: an error came."""
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.set_exception(error)

    def end_cancelled(self) -> None:
        """For the client: the daemon ended it because it was cancelled."""
        if super().cancel():
            self.set_running_or_notify_cancel()

    def follow(self, followed: AttachedTask) -> None:
        """For the client: the daemon said what task the answer will be of."""
        self.followed = followed


class AttachedFuture(TaskFuture):
    """Result of a detached task that another session submitted, when it is there. Made by `Session.attach`."""

    def __init__(self, client: Client, number: int) -> None:
        """Until the daemon has said more, `task` has its number and nothing else."""
        unknown = QuantumTask(number, "", b"", b"", 0, b"", 0, 0, TaskOptions(detached=True))
        super().__init__(client, unknown, _NO_PROGRAM)

    def follow(self, followed: AttachedTask) -> None:
        """See TaskFuture; `task` is what was submitted from now on, without its parameters and outputs."""
        super().follow(followed)
        self.task = followed.quantum


_NO_PROGRAM = Program(1, 0, 0, ())
