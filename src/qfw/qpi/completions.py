"""CompletionQueue: what has ended in streams, for whoever takes it."""

from __future__ import annotations

import asyncio
import html
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from qfw.model.errors import NoCapacity, OptionError, QFwError, ResultTimeout, UsageError
from qfw.qpi.future import TaskFuture
from qfw.qpi.waiting import Lookout, Signal

if TYPE_CHECKING:
    from qfw.qpi.client import Client
    from qfw.qpi.stream import QStream

#: What a submission does where the queue has no room for what it will bring.
WhenFull = Literal["refuse", "drop_oldest", "wait"]


class CompletionKind(StrEnum):
    """What a completion is."""

    #: A result of a task, a callback, or a question.
    RESULTS = "results"
    #: What a calibration gave.
    CALIBRATIONS = "calibrations"
    #: An error or a cancellation, of whatever operation.
    FAILURES = "failures"


class Completion(msgspec.Struct, frozen=True, eq=False):
    """An operation that ended."""

    kind: CompletionKind
    stream: QStream
    #: Number of the operation in its stream, in the order of submission, from 0.
    index: int
    future: TaskFuture
    #: What it gave; None of a failure.
    result: Any
    #: Why it failed; TaskCancelled where it was cancelled.
    error: BaseException | None

    def __repr__(self) -> str:
        gave = repr(self.result if self.error is None else self.error)
        return f"Completion({self.index}: {self.kind}; {gave})"


class CompletionQueue:
    """Completions of the streams that it is bound to.

    Of an ordered stream they come in the order of submission, of a parallel one as they arrive. What was submitted
    before a queue was bound does not come; barriers never do. A context manager: at its end it is unbound.
    """

    def __init__(
        self,
        kinds: str | Collection[str] = tuple(CompletionKind),
        maxsize: int = 65536,
        when_full: WhenFull = "refuse",
        wait_s: float = 60.0,
    ) -> None:
        """Bound to no stream yet.

        Args:
            kinds: one or more of "results", "calibrations", "failures"; others are dropped.
            maxsize: completions that nobody has taken, together with operations that may bring one.
            when_full: a submission beyond that is refused with NoCapacity ("refuse"), waits for `wait_s` seconds and
                is refused then ("wait"), or the oldest completions are dropped and counted ("drop_oldest").
            wait_s: see `when_full`.

        Raises:
            OptionError: a value out of its range.
        """
        if isinstance(kinds, str):
            kinds = (kinds,)
        if not kinds or not set(kinds) <= set(CompletionKind):
            raise OptionError(f"kinds are some of {', '.join(CompletionKind)}, not {kinds!r}")
        if isinstance(maxsize, bool) or not isinstance(maxsize, int) or maxsize < 1:
            raise OptionError(f"maxsize must be an integer of at least 1, not {maxsize!r}")
        if when_full not in ("refuse", "drop_oldest", "wait"):
            raise OptionError(f'when_full must be "refuse", "drop_oldest" or "wait", not {when_full!r}')
        if isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not wait_s >= 0:
            raise OptionError(f"wait_s must be seconds of at least 0, not {wait_s!r}")
        self.kinds = frozenset(map(CompletionKind, kinds))
        self.maxsize = maxsize
        self.when_full: WhenFull = when_full
        self.wait_s = float(wait_s)
        #: Completions that were dropped because nobody took them.
        self.dropped = 0
        self._lock = threading.Lock()
        self._unread: deque[Completion] = deque()
        #: Operations that may bring a completion.
        self._open = 0
        self._streams: list[QStream] = []
        self._lookout = Lookout()
        self._arrival = Signal(self._has_word)

    def bind(self, stream: QStream) -> CompletionQueue:
        """Takes the completions of what is submitted to this stream from now on, too; returns itself.

        Raises:
            UsageError: it is bound to it already, or the stream is closed.
        """
        with self._lock:
            if stream in self._streams:
                raise UsageError(
                    "this queue is bound to that stream already; one binding gives every completion once"
                )
            self._streams.append(stream)
        try:
            stream.attach(self)
        except QFwError:
            self._streams.remove(stream)
            raise
        return self

    @property
    def streams(self) -> tuple[QStream, ...]:
        """The streams that it is bound to."""
        return tuple(self._streams)

    def __len__(self) -> int:
        """Completions that wait to be taken."""
        return len(self._unread)

    def get(self, timeout: float | None = None) -> Completion:
        """The next completion; waits for one.

        Args:
            timeout: seconds; None waits as long as a stream may bring one.

        Raises:
            ResultTimeout: none came in time.
            UsageError: none will come: it is bound to no stream, or all are closed and everything was taken.
        """
        found = self._next(timeout)
        if found is None:
            raise UsageError(
                "no completion will come: "
                + (
                    "all streams are closed and everything was taken"
                    if self._streams
                    else "bind a stream first"
                )
            )
        return found

    def drain(self) -> list[Completion]:
        """All completions that are there now; does not wait."""
        for client in self._reads():
            if self._open:
                client.wait(_NEVER, 0)
        with self._lock:
            found = list(self._unread)
            self._unread.clear()
        self._told_room()
        return found

    def __iter__(self) -> Iterator[Completion]:
        """Completions as they come, until all streams are closed and everything was taken."""
        return self

    def __next__(self) -> Completion:
        found = self._next(None)
        if found is None:
            raise StopIteration
        return found

    def __aiter__(self) -> CompletionQueue:
        """As `__iter__`, without blocking the event loop."""
        return self

    async def __anext__(self) -> Completion:
        loop = asyncio.get_running_loop()
        while True:
            over = self._is_over()
            found = self._taken()
            if found is not None:
                return found
            if over:
                raise StopAsyncIteration
            clients = self._reads()
            woken = asyncio.Event()

            def wake(_: object, woken: asyncio.Event = woken) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(woken.set)

            self._arrival.when_done(wake)
            for client in clients:
                client.need_reader(self._arrival)
            try:
                await woken.wait()
            finally:
                self._arrival.forget(wake)
                for client in clients:
                    client.need_no_reader(self._arrival)

    def close(self) -> None:
        """Unbinds it from its streams; what is there can still be taken. May be called twice."""
        with self._lock:
            streams, self._streams = self._streams, []
            self._open = 0
        for stream in streams:
            stream.room.unbind(self)
        self._woken()

    def __enter__(self) -> CompletionQueue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        kinds = ", ".join(sorted(self.kinds))
        return f"CompletionQueue({kinds}; {len(self)} unread, {self._open} open, {self.dropped} dropped)"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"

    # For streams --------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Operations that may be submitted now."""
        if self.when_full == "drop_oldest":
            return sys.maxsize
        return self.maxsize - len(self._unread) - self._open

    def admit(self, count: int, *, beyond: bool = False) -> None:
        """Takes room for operations that are about to be submitted; the stream has waited for it before.

        Args:
            count: their number.
            beyond: within a callback, which would wait for itself: what would wait goes beyond the bound.

        Raises:
            NoCapacity: there is none.
        """
        with self._lock:
            free = self.room
            if free < count and not (beyond and self.when_full == "wait"):
                raise NoCapacity(
                    f"a completion queue of {self.maxsize} has room for {max(0, free)} more operations, not {count}: "
                    "take completions from it, or make it larger"
                )
            self._open += count

    def release(self, count: int) -> None:
        """Operations will bring nothing."""
        with self._lock:
            self._open = max(0, self._open - count)
        self._told_room()
        if self._is_over():
            self._arrival.tell()

    def put(self, completion: Completion) -> None:
        """An operation that was admitted ended."""
        if completion.kind not in self.kinds:
            self.release(1)
            return
        with self._lock:
            if self.when_full == "drop_oldest" and len(self._unread) >= self.maxsize:
                self._unread.popleft()
                self.dropped += 1
            self._unread.append(completion)
            # Behind that line: who finds nothing open finds it.
            self._open = max(0, self._open - 1)
        self._arrival.tell()

    def rouse(self) -> None:
        """Wakes whoever reads and waits for it: what came was not read by that one."""
        if self._lookout.waits:
            self._lookout.rouse(self._reads())

    def stream_closed(self) -> None:
        """One of its streams takes no more."""
        self._woken()

    # Inside ---------------------------------------------------------------------------------------

    def _next(self, timeout: float | None) -> Completion | None:
        found = self._taken()
        deadline = None if timeout is None else time.monotonic() + timeout
        while found is None:
            over = self._is_over()
            found = self._taken()
            if found is not None or over:
                return found
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._lookout.wait(self._arrival, self._reads(), remaining):
                raise ResultTimeout(
                    f"no completion came within {timeout} s; {self._open} operations are open and go on"
                )
            found = self._taken()
        return found

    def _taken(self) -> Completion | None:
        if not self._unread:
            return None
        try:
            found = self._unread.popleft()
        except IndexError:
            # Another thread was sooner.
            return None
        self._told_room()
        return found

    def _has_word(self) -> bool:
        return bool(self._unread) or self._is_over()

    def _is_over(self) -> bool:
        """Whether no completion comes any more."""
        return self._open <= 0 and all(stream.closed for stream in self._streams)

    def _reads(self) -> tuple[Client, ...]:
        """The connections that bring its completions."""
        if len(self._streams) == 1:
            return self._streams[0].clients
        found = {id(client): client for stream in self._streams for client in stream.clients}
        return tuple(found.values())

    def _told_room(self) -> None:
        for stream in self._streams:
            stream.room.changed()

    def _woken(self) -> None:
        self._arrival.tell()
        self._told_room()
        self.rouse()


class _Never:
    """Awaited that is never done: to take in what has arrived."""

    settled = False

    def when_done(self, fn: Any, /) -> None:
        """Never."""

    def forget(self, fn: Any, /) -> None:
        """Nothing to take back."""


_NEVER = _Never()
