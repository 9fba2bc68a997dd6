"""Waiting for what connections bring: whoever waits reads the one connection; of several, background threads read."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from qfw.qpi.question import Awaited

if TYPE_CHECKING:
    from qfw.qpi.client import Client

#: Seconds after which one who waits for several connections looks whether they are still there.
LOOK_AGAIN_S = 1.0


class Signal:
    """Awaited: a condition that others make true, and false again."""

    def __init__(self, test: Callable[[], bool]) -> None:
        """`test` says whether it is true now; it takes no lock that a caller of `tell` holds."""
        self._test = test
        self._lock = threading.Lock()
        self._waiting: list[Callable[[Any], object]] = []

    @property
    def settled(self) -> bool:
        """Whether it is true."""
        return self._test()

    def when_done(self, fn: Callable[[Any], object], /) -> None:
        """See Awaited."""
        with self._lock:
            self._waiting.append(fn)
        # Behind that line: who makes it true from now on finds `fn`.
        self.tell()

    def forget(self, fn: Callable[[Any], object], /) -> None:
        """See Awaited."""
        with self._lock, contextlib.suppress(ValueError):
            self._waiting.remove(fn)

    def tell(self) -> None:
        """It may have become true."""
        if self._waiting and self._test():
            with self._lock:
                waiting, self._waiting = self._waiting, []
            for fn in waiting:
                fn(self)


class Lookout:
    """Who waits for a stream or a queue, and how: by reading where there is one connection."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._threads: list[int] = []

    def wait(self, awaited: Awaited, clients: Sequence[Client], timeout_s: float | None) -> bool:
        """Whether it is done, after waiting for it."""
        me = threading.get_ident()
        self._threads.append(me)
        try:
            if len(clients) == 1:
                return clients[0].wait(awaited, timeout_s)
            return self._sleep(awaited, clients, timeout_s)
        finally:
            self._threads.remove(me)

    @property
    def waits(self) -> bool:
        """Whether somebody waits."""
        return bool(self._threads)

    def rouse(self, clients: Iterable[Client]) -> None:
        """What somebody waits for may be there, and no message said so."""
        if self._threads:
            for client in clients:
                client.rouse(self._threads)

    def _sleep(self, awaited: Awaited, clients: Sequence[Client], timeout_s: float | None) -> bool:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        event = threading.Event()

        def wake(_: object) -> None:
            event.set()

        awaited.when_done(wake)
        try:
            for client in clients:
                client.need_reader(awaited)
            while not awaited.settled:
                remaining = (
                    LOOK_AGAIN_S if deadline is None else min(LOOK_AGAIN_S, deadline - time.monotonic())
                )
                if remaining <= 0:
                    break
                if event.wait(remaining) and not awaited.settled:
                    # True for a moment, and somebody else was sooner.
                    event.clear()
                    awaited.when_done(wake)
        finally:
            awaited.forget(wake)
            for client in clients:
                client.need_no_reader(awaited)
        return awaited.settled
