"""Background: what takes as long as a disk does, beside the daemon's loop."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from qfw.model.errors import InternalError, QFwError
from qfw.qpm.platform import Reactor

logger = logging.getLogger(__name__)

#: How long the end of the daemon waits for what is under way.
CLOSE_LIMIT_S = 60.0

_Job = tuple[Callable[[], Any], Callable[[Any], None]]


class Background:
    """One thread that does jobs in their order. It begins with the first one."""

    def __init__(self) -> None:
        """Nothing to do yet."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._thread: threading.Thread | None = None
        self._reactor: Reactor | None = None
        self._wake = -1

    def open(self, reactor: Reactor) -> None:
        """What was done is told on this loop."""
        self._reactor = reactor

    def do(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Calls `job` on the thread, and on the loop `then` with what it gives, or with the QFwError it raises."""
        if self._thread is None:
            assert self._reactor is not None
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._reactor.watch(self._wake, self.finished)
            self._thread = threading.Thread(target=self._run, name="qpmd-results", daemon=True)
            self._thread.start()
        self._jobs.put((job, then))

    def _run(self) -> None:
        while (found := self._jobs.get()) is not None:
            job, then = found
            outcome: Any
            try:
                outcome = job()
            except QFwError as error:
                outcome = error
            except Exception as error:
                logger.exception("a job failed")
                outcome = InternalError(f"{type(error).__name__}: {error}")
            self._done.append((then, outcome))
            # Until the next job this thread keeps nothing, least of all a large answer.
            del job, then, outcome, found
            os.eventfd_write(self._wake, 1)

    def finished(self) -> None:
        """Tells of all jobs that are done."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return
        self._tell()

    def _tell(self) -> None:
        while self._done:
            then, outcome = self._done.popleft()
            then(outcome)

    def close(self) -> None:
        """Waits for what is under way, and tells of it."""
        if self._thread is None:
            return
        self._jobs.put(None)
        self._thread.join(CLOSE_LIMIT_S)
        if self._thread.is_alive():
            logger.error("results are still being written after %g s; they are given up", CLOSE_LIMIT_S)
            return
        self._tell()
        assert self._reactor is not None
        self._reactor.unwatch(self._wake)
        os.close(self._wake)
        self._thread = None
