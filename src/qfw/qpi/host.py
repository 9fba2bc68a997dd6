"""Host: the threads of a stream, on which callbacks and questions run; they end by themselves when idle."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

#: Threads of a parallel stream: as many callbacks may run, or wait for one another.
MOST_THREADS = 32
#: Seconds for which a thread waits for more work.
IDLE_S = 2.0

logger = logging.getLogger(__name__)


class Host:
    """Runs work on at most `most` threads, first come, first served; starts them when they are needed."""

    def __init__(self, most: int) -> None:
        """Starts none."""
        self._most = most
        self._lock = threading.Lock()
        self._work: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._threads = 0
        #: Work that waits or runs.
        self._open = 0

    def start(self, work: Callable[[], object]) -> None:
        """Runs `work`, which does not raise, soon."""
        with self._lock:
            self._work.put(work)
            self._open += 1
            grow = self._threads < min(self._most, self._open)
            self._threads += grow
        if grow:
            # They end with the process, whatever a callback does.
            threading.Thread(target=self._run, name="qfw-stream", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=IDLE_S)
            except Empty:
                with self._lock:
                    if self._work.empty():
                        self._threads -= 1
                        return
                continue
            try:
                work()
            except Exception:
                logger.exception("host_work_failed")
            with self._lock:
                self._open -= 1
            del work
