"""Clock: the time of a twin's device, in nanoseconds from its start; real, faster than real, or simulated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

#: Seconds that one wait of the operating system lasts at most; the loop around it goes on.
_WAIT_S = 3600.0


class Clock(Protocol):
    """The time of one device. Used from several threads."""

    @property
    def jumps(self) -> bool:
        """Whether it moves only when somebody waits, and then at once."""
        ...

    def now_ns(self) -> int:
        """Nanoseconds since it started; never less than before."""
        ...

    def wait_until(self, at_ns: int, cancelled: threading.Event) -> bool:
        """Waits for a time; one that is past needs no wait.

        Returns:
            Whether it was reached: False where `cancelled` was set before.
        """
        ...


class ScaledClock:
    """Passes `factor` times as fast as real time; 1: a wall clock."""

    jumps = False

    def __init__(
        self,
        factor: float = 1.0,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """Starts now. `monotonic_ns` and `wait(event, seconds)` are the real time that it is made of."""
        self.factor = factor
        self._monotonic_ns = monotonic_ns
        self._wait = wait
        self._began_ns = monotonic_ns()

    def now_ns(self) -> int:
        """See Clock."""
        return round((self._monotonic_ns() - self._began_ns) * self.factor)

    def wait_until(self, at_ns: int, cancelled: threading.Event) -> bool:
        """See Clock."""
        while (left_ns := at_ns - self.now_ns()) > 0:
            if self._wait(cancelled, min(left_ns / self.factor / 1e9, _WAIT_S)):
                return False
        return not cancelled.is_set()


class VirtualClock:
    """Stands still until somebody waits, and is there at once: the same waits give the same times."""

    jumps = True

    def __init__(self) -> None:
        """Starts at 0."""
        self._now_ns = 0
        self._lock = threading.Lock()

    def now_ns(self) -> int:
        """See Clock."""
        return self._now_ns

    def wait_until(self, at_ns: int, cancelled: threading.Event) -> bool:
        """See Clock. A cancelled wait does not move it."""
        with self._lock:
            if cancelled.is_set():
                return False
            self._now_ns = max(self._now_ns, at_ns)
            return True
