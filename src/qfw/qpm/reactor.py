"""The daemon's loop: epoll, timers, and one pass of work per turn. Nothing on it blocks."""

from __future__ import annotations

import heapq
import select
import time
from collections.abc import Callable
from itertools import count

#: A turn never sleeps longer, whatever the timers say.
MAX_SLEEP_S = 1.0


class EpollReactor:
    """Watches file descriptors and timers; satisfies `qfw.qpm.platform.Reactor`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now` gives monotonic seconds."""
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[Callable[[], None], Callable[[], None] | None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.now = now

    def watch(
        self, fd: int, readable: Callable[[], None], writable: Callable[[], None] | None = None
    ) -> None:
        """See Reactor. A second call for the same descriptor replaces the first."""
        events = select.EPOLLIN | (select.EPOLLOUT if writable is not None else 0)
        before = self._watched.get(fd)
        if before is None:
            self._epoll.register(fd, events)
        elif (before[1] is None) != (writable is None):
            # Else the kernel knows already: most calls say again what was said before.
            self._epoll.modify(fd, events)
        self._watched[fd] = (readable, writable)

    def unwatch(self, fd: int) -> None:
        """See Reactor."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_at(self, monotonic_s: float, callback: Callable[[], None]) -> None:
        """See Reactor."""
        heapq.heappush(self._timers, (monotonic_s, next(self._order), callback))

    def turn(self, most_s: float = MAX_SLEEP_S) -> None:
        """Waits for something to happen, at most `most_s`, and calls who waits for it."""
        timeout = most_s
        if self._timers:
            timeout = min(timeout, max(0.0, self._timers[0][0] - self.now()))
        for fd, events in self._epoll.poll(timeout):
            # A callback may have ended the watch of a descriptor that is also in this batch.
            callbacks = self._watched.get(fd)
            if callbacks is None:
                continue
            readable, writable = callbacks
            if events & select.EPOLLOUT and writable is not None:
                writable()
            if events & ~select.EPOLLOUT and fd in self._watched:
                readable()
        while self._timers and self._timers[0][0] <= self.now():
            heapq.heappop(self._timers)[2]()

    def close(self) -> None:
        """Gives the kernel's part back."""
        self._epoll.close()
