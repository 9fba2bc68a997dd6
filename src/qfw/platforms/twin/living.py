"""Living: a device's life on its clock. Whatever happens is reported once and in order, by whoever passes its time.

On a clock that moves by itself a thread waits for what comes next. A simulated clock moves with runs; a time in
which the device can run nothing is jumped over at once, since nobody else would end it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceState
from qfw.model.errors import PlatformFailed, TaskCancelled
from qfw.platforms.twin.clock import Clock
from qfw.platforms.twin.life import Change, Life
from qfw.qpm.driver import Reporter

T = TypeVar("T")

#: Times in a row that a simulated clock jumps over; a script that goes on like that never lets the device run.
MOST_JUMPS = 200
#: Events that a device sends at once, and per second of real time: within what a daemon takes of a host.
EVENT_BURST, EVENTS_PER_S = 200.0, 20.0


class Living:
    """The life of one device, thread-safe."""

    def __init__(self, device: str, life: Life, clock: Clock, origin_ns: int) -> None:
        """Args: `origin_ns` is the Unix time at which the clock starts."""
        self.device = device
        self.clock = clock
        self.origin_ns = origin_ns
        self._life = life
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._reporter: Reporter | None = None
        self._heart: threading.Thread | None = None
        self._pace = _Pace()

    def open(self, reporter: Reporter) -> None:
        """Begins to report."""
        self._reporter = reporter
        if not self.clock.jumps and self._life.next_ns is not None:
            self._heart = threading.Thread(target=self._beat, name=f"life of {self.device}", daemon=True)
            self._heart.start()

    def close(self) -> None:
        """Nothing happens any more."""
        self._closed.set()
        if self._heart is not None and self._heart is not threading.current_thread():
            self._heart.join(timeout=1.0)

    def pass_time(self, cancelled: threading.Event | None = None) -> None:
        """Lets happen what is due, and on a clock that jumps what must happen until the device runs again.

        Raises:
            PlatformFailed: it does not come back.
        """
        with self._lock:
            self._advance()
            for _ in range(MOST_JUMPS if self.clock.jumps else 0):
                back_ns = self._life.back_ns
                if back_ns is None:
                    break
                self.clock.wait_until(back_ns, _NEVER)
                self._advance()
            else:
                if self.clock.jumps:
                    raise PlatformFailed(
                        f"the script of {self.device} lets it run nothing: after {MOST_JUMPS} windows in a row it is "
                        f"in state {self._life.state}. Leave it time between them"
                    )
        self._pace.keep(self._closed if cancelled is None else cancelled)

    def ready(self, cancelled: threading.Event) -> int:
        """Waits until the device runs and those before us are done; gives that time.

        Raises:
            PlatformFailed: the device is offline; says when it is expected back.
            TaskCancelled: `cancelled` was set.
        """
        while True:
            self.pass_time(cancelled)
            with self._lock:
                now_ns = self.clock.now_ns()
                back_ns = self._life.back_ns
                if back_ns is None:
                    back_ns = self._life.turn_ns(now_ns)
                    if back_ns <= now_ns:
                        return now_ns
                elif self._life.state is DeviceState.OFFLINE:
                    error = PlatformFailed(
                        f"device {self.device} is offline; send the task again when it is back"
                    )
                    error.retry_after_s = max(0.0, (back_ns - now_ns) / 1e9)
                    raise error
            if not self.clock.wait_until(back_ns, cancelled):
                raise cancellation(self.device)

    def recalibrate(self, duration_ns: int, noise: float, cancelled: threading.Event) -> Calibration:
        """The device measures itself, which begins now; waits until that is over.

        Args:
            duration_ns: how long it takes, on the device's clock.
            noise: standard deviation of what is measured, relative to the truth.

        Returns:
            The new calibration.

        Raises:
            PlatformFailed: it was given up, since the device failed or was worked on meanwhile.
            TaskCancelled: `cancelled` was set; the device goes on with it.
        """
        with self._lock:
            self._advance()
            before = self._life.calibration.version
            end_ns = self._life.recalibrate(self.clock.now_ns(), duration_ns, noise)
            self._advance()
        if not self.clock.wait_until(end_ns, cancelled):
            raise cancellation(self.device)
        self.pass_time(cancelled)
        found = self.ask(lambda life: life.calibration)
        if found.version == before:
            raise PlatformFailed(
                f"the calibration of {self.device} was given up, and the last is {before}: the device did not run "
                "meanwhile. Ask again when it does"
            )
        return found

    def ask(self, question: Callable[[Life], T]) -> T:
        """What `question` says of the life, which does not go on meanwhile."""
        with self._lock:
            return question(self._life)

    def _advance(self) -> None:
        for change in self._life.advance(self.clock.now_ns()):
            self._report(change)

    def _report(self, change: Change) -> None:
        self._pace.count()
        if self._reporter is not None:
            self._reporter.report(
                self.device,
                change.kind,
                change.message,
                state=change.state,
                calibration=change.calibration,
                wall_ns=self.origin_ns + change.at_ns,
                until_ns=0 if change.until_ns is None else self.origin_ns + change.until_ns,
                figures=change.figures,
            )

    def _beat(self) -> None:
        while (next_ns := self.ask(lambda life: life.next_ns)) is not None:
            if not self.clock.wait_until(next_ns, self._closed):
                return
            self.pass_time()


class _Pace:
    """Holds back whoever makes more events than a daemon takes."""

    def __init__(self) -> None:
        self._left, self._at_s = EVENT_BURST, time.monotonic()

    def count(self) -> None:
        """An event was sent."""
        self._left -= 1

    def keep(self, cancelled: threading.Event) -> None:
        """Waits until another may be sent."""
        now_s = time.monotonic()
        self._left = min(EVENT_BURST, self._left + (now_s - self._at_s) * EVENTS_PER_S)
        self._at_s = now_s
        if self._left < 0:
            cancelled.wait(-self._left / EVENTS_PER_S)


def cancellation(device: str) -> TaskCancelled:
    """The error of what was cancelled on a device."""
    return TaskCancelled(f"cancelled on device {device}")


_NEVER = threading.Event()
