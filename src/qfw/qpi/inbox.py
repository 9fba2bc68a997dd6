"""Inbox: what the daemon said is taken in: answers end futures and questions, the rest goes to its listeners."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from qfw.model.errors import ErrorReport, QFwError, WireError
from qfw.model.result import Result
from qfw.model.timeline import Timeline
from qfw.qpi.future import TaskFuture
from qfw.qpi.question import Awaited, Question
from qfw.qpm.incoming import Mapped
from qfw.qpm.wire import (
    Accepted,
    Attached,
    Done,
    Failed,
    Known,
    NativeAnswer,
    NeedPipelines,
    NeedPrograms,
    Refused,
    Reply,
    TaskAnswer,
    decode_response,
)


class _LargeAnswer(NamedTuple):
    """An answer that came as a descriptor."""

    answer: TaskAnswer
    #: Mapped, in the place of `answer.answers`.
    answers: memoryview


_Answered = TaskAnswer | _LargeAnswer


class Inbox:
    """Open tasks and questions of a client, until the daemon answers them."""

    def __init__(
        self,
        pids: tuple[int, int],
        watched: set[Awaited],
        send_again: Callable[[NeedPrograms | NeedPipelines], None],
    ) -> None:
        """`pids`: this process and the daemon's; `watched`: those in it that are settled are taken out."""
        self._pid, self._daemon_pid = pids
        self._watched = watched
        self._send_again = send_again
        #: What was read and not taken in, the next one last: bodies, answers, errors. A callback that waits
        #: goes on with it.
        self._items: list[bytes | _Answered | tuple[int, ErrorReport]] = []
        self.futures: dict[int, TaskFuture] = {}
        #: What the session calls devices, where that is not what their daemon calls them.
        self.device_names: dict[str, str] = {}
        self.questions: dict[int, Question] = {}
        #: Who takes the messages of a kind that is no answer to a question or task.
        self.listeners: dict[type, Callable[[Any], None]] = {}
        #: Tasks that were answered, and when; the daemon is told with the next submission.
        self.receipts: deque[tuple[int, int]] = deque()

    @property
    def empty(self) -> bool:
        """Whether all that was read is taken in."""
        return not self._items

    def put(self, bodies: Sequence[bytes]) -> None:
        """Messages that were read, in their order."""
        self._items[:0] = bodies[::-1]

    def clear(self) -> None:
        """Forgets what was not taken in: it may hold large answers."""
        self._items.clear()

    def take_in(self) -> None:
        """Acts on everything in the inbox.

        An item leaves it when it was acted on, in one step for the interpreter: where a signal handler or a
        callback raises, or a callback reads, it may be acted on twice, which does no harm.
        """
        items = self._items
        while items:
            item = items[-1]
            if isinstance(item, bytes):
                opened = self._opened(item)
                if items and items[-1] is item:
                    items[-1:] = opened[::-1]
                continue
            if isinstance(item, TaskAnswer):
                self._answered(item, item.answers)
            elif isinstance(item, _LargeAnswer):
                self._answered(item.answer, item.answers)
            else:
                self._failed(*item)
            if items and items[-1] is item:
                items.pop()

    def _opened(self, body: bytes) -> Sequence[_Answered | tuple[int, ErrorReport]]:
        message = decode_response(body)
        if isinstance(body, Mapped):
            return [_large(message, body.content)]
        match message:
            case Done():
                return message.answers
            case Failed():
                return message.errors
            case Refused():
                raise message.error.to_exception()
            case NeedPrograms() | NeedPipelines():
                self._send_again(message)
            case Reply():
                self._replied(message.request, message.body)
            case NativeAnswer():
                error = message.error.to_exception() if message.error else None
                self._replied(message.request, message.body, error)
            case Accepted():
                self._acknowledged(message.tasks)
            case Known():
                for number, earlier in message.tasks:
                    if (future := self.futures.get(number)) is not None:
                        future.earlier = earlier
                self._acknowledged([number for number, _ in message.tasks])
            case Attached():
                for followed in message.tasks:
                    if (future := self.futures.get(followed.asked)) is not None:
                        future.follow(followed)
                self._acknowledged([followed.asked for followed in message.tasks])
            case _:
                listener = self.listeners.get(type(message))
                if listener is not None:
                    listener(message)
        return []

    def _answered(self, answer: TaskAnswer, encoded: bytes | memoryview) -> None:
        future = self.futures.get(answer.task)
        if future is None:
            return
        task, client_pid, daemon_pid, received_ns = future.task, self._pid, self._daemon_pid, 0
        followed = future.followed
        if followed is None:
            received_ns = time.monotonic_ns()
            self.receipts.append((answer.task, received_ns))
        else:
            # When who submitted it had the answer nobody knows.
            task, client_pid, daemon_pid = followed.quantum, followed.client_pid, followed.daemon_pid
        timeline = Timeline(
            client_pid,
            daemon_pid,
            answer.worker_pid,
            task.began_ns,
            task.sent_ns,
            answer.accepted_ns,
            answer.started_ns,
            answer.run_began_ns,
            answer.run_ended_ns,
            answer.compile_ns,
            answer.answered_ns,
            received_ns,
        )
        device = self.device_names.get(task.device, task.device)
        future.finish(Result(task.number, device, encoded, task.sets, timeline, answer.conditions))
        self.settled(future)

    def _replied(self, request: int, body: bytes, error: Exception | None = None) -> None:
        question = self.questions.get(request)
        if question is not None:
            question.settle(body, error)

    def _failed(self, number: int, report: ErrorReport) -> None:
        future = self.futures.get(number)
        if future is None:
            return
        if report.code == "TaskCancelled":
            future.end_cancelled()
        else:
            future.fail(report.to_exception())
        self.settled(future)

    def settled(self, future: TaskFuture) -> None:
        """A future has ended."""
        self.futures.pop(future.task.number, None)
        self._watched.discard(future)
        if future.receipt is not None:
            future.receipt.settle(b"")

    def _acknowledged(self, tasks: Sequence[int]) -> None:
        """The daemon has these in its journal, or kept. Whoever does not detach them need not know."""
        for number in tasks:
            future = self.futures.get(number)
            if future is not None and future.receipt is not None:
                future.acknowledged = True
                future.receipt.settle(b"")


def _large(message: object, content: memoryview | QFwError) -> _LargeAnswer | tuple[int, ErrorReport]:
    match message:
        case Done(answers=[TaskAnswer(answers=b"") as answer]):
            if isinstance(content, QFwError):
                return answer.task, ErrorReport.of(content)
            return _LargeAnswer(answer, content)
    raise WireError(f"a descriptor came with a {type(message).__name__} that does not name it")
