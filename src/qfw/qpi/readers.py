"""Who reads a connection: one of those who wait; for callbacks and awaits, where nobody waits, a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from qfw.qpi.question import Awaited, sleep_for


class Readers:
    """Lets one thread at a time read, whichever waits. Safe for several threads."""

    def __init__(self, read: Callable[[float | None], None], over: Callable[[], bool]) -> None:
        """`read` reads once, within so many seconds, and acts on what came; `over`: nothing can come any more."""
        self._read = read
        self._over = over
        #: Held by the one who reads; a callback that runs meanwhile may take it again.
        self._reading = threading.RLock()
        #: The thread that does, by its number.
        self.thread: int | None = None
        self._waiters: deque[threading.Event] = deque()
        #: What somebody waits for without reading; whoever settles one takes it out.
        self.watched: set[Awaited] = set()
        self._watch = threading.Condition()
        self._background: threading.Thread | None = None
        self._stopped = False

    def wait(self, future: Awaited, timeout_s: float | None) -> bool:
        """Whether `future` is done, after waiting for it; reads the connection if nobody else does."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not future.settled:
            if self._over():
                # What no message will settle: another thread does.
                return sleep_for(future, timeout_s)
            if self._reading.acquire(blocking=False):
                before, self.thread = self.thread, threading.get_ident()
                try:
                    self._read_for(future, deadline)
                finally:
                    self.thread = before
                    self._reading.release()
                    self._pass_on()
                if future.settled or not self._over():
                    break
                continue
            if timeout_s == 0 or not self._wait_for_reader(future, deadline):
                break
        return future.settled

    def _read_for(self, future: Awaited, deadline: float | None) -> None:
        while not future.settled and not self._over():
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._read(remaining)
            if remaining == 0.0:
                return

    def _wait_for_reader(self, future: Awaited, deadline: float | None) -> bool:
        """Sleeps until the future is done or the reader steps back; False at the deadline."""
        event = threading.Event()

        def wake(_: object) -> None:
            event.set()

        future.when_done(wake)
        self._waiters.append(event)
        goes_on = False
        try:
            # The reader may have stepped back before it could see this waiter.
            if self._reading.acquire(blocking=False):
                self._reading.release()
            else:
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return False
                event.wait(remaining)
            goes_on = not future.settled
            return True
        finally:
            future.forget(wake)
            try:
                self._waiters.remove(event)
            except ValueError:
                # Woken to read by the one who stepped back: who does not go on to read wakes the next.
                if not goes_on:
                    self._pass_on()

    def _pass_on(self) -> None:
        """Wakes one who waits, to read in turn."""
        try:
            self._waiters.popleft().set()
        except IndexError:
            return

    def need_reader(self, future: Awaited) -> None:
        """Somebody waits for `future` without reading: the background thread does until it is done.

        What is no task is done when `need_no_reader` says so.
        """
        with self._watch:
            if self._over():
                return
            self.watched.add(future)
            # Behind that line: whoever settles it from now on finds it there.
            if future.settled:
                self.watched.discard(future)
                return
            if self._background is None:
                self._background = threading.Thread(
                    target=self._read_in_background, name="qfw-reader", daemon=True
                )
                self._background.start()
            self._watch.notify()

    def need_no_reader(self, awaited: Awaited) -> None:
        """Nobody waits for it without reading any more."""
        self.watched.discard(awaited)

    def _read_in_background(self) -> None:
        while True:
            with self._watch:
                while not self._stopped and not self.watched:
                    self._watch.wait()
                if self._stopped:
                    return
            with self._reading:
                self.thread = threading.get_ident()
                while not self._stopped and self.watched:
                    self._read(None)
                self.thread = None
            self._pass_on()

    def stop(self) -> None:
        """The background thread ends when it has read what it is reading."""
        with self._watch:
            self._stopped = True
            self._watch.notify_all()

    def settle(self, timeout_s: float) -> None:
        """Waits until nobody reads, but no longer than so many seconds."""
        if self._reading.acquire(timeout=timeout_s):
            self._reading.release()
