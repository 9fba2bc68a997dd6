"""Question: what a client asks its daemon besides tasks, until it is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol


class Awaited(Protocol):
    """What a thread can wait for while it, or another one, reads the connection."""

    @property
    def settled(self) -> bool:
        """Whether it is done, as far as has been read."""
        ...

    def when_done(self, fn: Callable[[Any], object], /) -> None:
        """Calls `fn` with it when it is done; at once where it is."""
        ...

    def forget(self, fn: Callable[[Any], object], /) -> None:
        """Takes back a `when_done`, if it has not been called."""
        ...


def sleep_for(awaited: Awaited, timeout_s: float | None) -> bool:
    """Whether it is done, after waiting for other threads to settle it."""
    event = threading.Event()

    def wake(_: object) -> None:
        event.set()

    awaited.when_done(wake)
    try:
        event.wait(timeout_s)
    finally:
        awaited.forget(wake)
    return awaited.settled


class Question:
    """Answered by MessagePack or by an error, once."""

    def __init__(self) -> None:
        """Not answered yet."""
        self.settled = False
        self._lock = threading.Lock()
        self._waiting: list[Callable[[Any], object]] = []
        self._body = b""
        self._error: Exception | None = None

    def when_done(self, fn: Callable[[Any], object], /) -> None:
        """See Awaited."""
        with self._lock:
            if not self.settled:
                self._waiting.append(fn)
                return
        fn(self)

    def forget(self, fn: Callable[[Any], object], /) -> None:
        """See Awaited."""
        with self._lock:
            if fn in self._waiting:
                self._waiting.remove(fn)

    def settle(self, body: bytes, error: Exception | None = None) -> None:
        """For the client: the answer came, or why there is none."""
        with self._lock:
            if self.settled:
                return
            self._body, self._error = body, error
            self.settled = True
            waiting, self._waiting = self._waiting, []
        for fn in waiting:
            fn(self)

    def answer(self) -> bytes:
        """The answer, once it is settled. Raises what was answered in its place."""
        if self._error is not None:
            raise self._error
        return self._body
