"""Lanes: threads for calls that may block, and the way back to the one thread of a reactor."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")


class Mailbox:
    """Callbacks for a reactor's thread, posted by any thread."""

    def __init__(self) -> None:
        """Holds one descriptor until `close`."""
        #: Readable whenever there is something to deliver.
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._posts: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def post(self, callback: Callable[[], None]) -> None:
        """Lets `callback` be called by the next `deliver`, in the order of the posts; nothing once closed."""
        with self._lock:
            if self._closed:
                return
            self._posts.append(callback)
            if len(self._posts) == 1:
                os.eventfd_write(self.fd, 1)

    def deliver(self) -> None:
        """Calls what was posted. Only on the reactor's thread."""
        with self._lock:
            if self._closed or not self._posts:
                return
            posts, self._posts = self._posts, deque()
            os.eventfd_read(self.fd)
        for callback in posts:
            if not self._closed:  # By an earlier one.
                callback()

    def close(self) -> None:
        """Forgets what was posted, and everything that will be."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._posts.clear()
                os.close(self.fd)


class Lane:
    """A thread that does one thing after the other. It ends with the process if it cannot be ended before."""

    def __init__(self, name: str, mailbox: Mailbox) -> None:
        """The thread starts with the first thing to do."""
        self._name = name
        self._mailbox = mailbox
        self._things: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], _T], then: Callable[[_T], None]) -> None:
        """Calls `work`, which raises nothing, on the lane, and `then` with what it gave on the reactor's thread."""

        def thing() -> None:
            self._mailbox.post(partial(then, work()))

        self._put(thing)

    def ask(self, work: Callable[[], _T]) -> Future[_T]:
        """Calls `work` on the lane; what it gives or raises is in the future."""
        answer: Future[_T] = Future()

        def thing() -> None:
            try:
                answer.set_result(work())
            except BaseException as error:
                answer.set_exception(error)

        self._put(thing)
        return answer

    def stop(self) -> None:
        """The thread ends when it has done what it was given."""
        self._things.put(None)

    def _put(self, thing: Callable[[], None]) -> None:
        self._things.put(thing)
        if self._thread is None:
            # A daemon thread: one that is stuck in a driver must not keep the process alive.
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while (thing := self._things.get()) is not None:
            thing()
            # Not to be kept alive until the next one comes: it may hold answers of a gigabyte.
            del thing
