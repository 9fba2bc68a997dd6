"""Controller: lets a run take the time that hardware would, on the device's clock, one run at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from qfw.model.calibration import Calibration
from qfw.model.errors import DeadlineExceeded, PlatformFailed, StaleCalibration, TaskInterrupted
from qfw.platforms.twin.living import Living, cancellation
from qfw.platforms.twin.script import Fault

T = TypeVar("T")

#: Part of its time, and nanoseconds, by which a run may be late before its owner is told.
_LATE_PART, _LATE_NS = 0.05, 2_000_000
#: Seconds after which somebody who waits for the device looks whether he was cancelled.
_LOOK_S = 0.05


@dataclass(frozen=True)
class Performed(Generic[T]):
    """What became of a run."""

    result: T
    #: Version of the calibration under which it ran.
    calibration: str
    #: On the device's clock, from its start.
    began_ns: int
    #: Time of the device, as hardware takes it: what was needed, whatever computing took.
    device_ns: int
    notes: tuple[str, ...]


class Controller:
    """Of one device."""

    def __init__(self, living: Living) -> None:
        """Runs on this device's clock, and meets what happens to it."""
        self._living = living
        self._busy = threading.Lock()

    def perform(
        self,
        needed_ns: Callable[[Calibration], int],
        work: Callable[[Calibration], T],
        *,
        calibration: str,
        cancelled: threading.Event,
        time_limit_s: float,
        taken_ns: Callable[[T], int] | None = None,
    ) -> Performed[T]:
        """Does some work in the time that the device needs for it; what computing has not used is waited for.

        Args:
            needed_ns: how long the device takes, by its calibration.
            work: computes the result from what is true of the device when the run begins.
            calibration: version that it was lowered for; empty: any.
            cancelled: ends it when it is set.
            time_limit_s: real time that it may wait for the device.
            taken_ns: how long the device took, by the result, where `needed_ns` can only estimate it.

        Raises:
            StaleCalibration: the device has another calibration.
            TaskInterrupted: a fault began before it was over; PlatformFailed where the script says so.
            PlatformFailed: the device is offline.
            DeadlineExceeded: the device was not free in time.
            TaskCancelled: `cancelled` was set.
        """
        living, clock = self._living, self._living.clock
        with self._alone(cancelled, time_limit_s):
            came_ns = clock.now_ns()
            began_ns = living.ready(cancelled)
            current = living.ask(lambda life: life.calibration)
            if calibration and current.version != calibration:
                raise StaleCalibration(
                    f"lowered for calibration {calibration} of {living.device}, which has {current.version} now. "
                    "Lower the program again and send it again"
                )
            device_ns = needed_ns(current)
            until_ns = began_ns + device_ns
            living.ask(lambda life: life.occupy(until_ns))
            truth = living.ask(lambda life: life.truth(began_ns))
            # Computed before anything else where it tells how long the device takes.
            ahead: list[T] = []
            try:
                if taken_ns is not None:
                    ahead.append(work(truth))
                    device_ns = taken_ns(ahead[0])
                end_ns = began_ns + device_ns
                fault = living.ask(lambda life: life.fault_between(began_ns, end_ns))
                until_ns = end_ns if fault is None else fault[0]
                living.ask(lambda life: life.occupy(until_ns))
                if fault is not None:
                    self._meet(fault[0], fault[1], cancelled)
                result = ahead[0] if ahead else work(truth)
                late_ns = clock.now_ns() - end_ns
                if not clock.wait_until(end_ns, cancelled):
                    raise cancellation(living.device)
            finally:
                over_ns = min(until_ns, clock.now_ns())
                living.ask(lambda life: life.occupy(over_ns))
                living.pass_time(cancelled)
        notes = []
        if began_ns - came_ns > _LATE_NS:
            notes.append(f"waited {(began_ns - came_ns) / 1e9:.3f} s for the device")
        if late_ns > _LATE_NS + _LATE_PART * device_ns:
            notes.append(
                f"computing took {late_ns / 1e9:.3f} s of the device's clock longer than the device would have"
            )
        return Performed(result, current.version, began_ns, device_ns, tuple(notes))

    @contextmanager
    def _alone(self, cancelled: threading.Event, time_limit_s: float) -> Iterator[None]:
        limit_s = time.monotonic() + time_limit_s
        while not self._busy.acquire(timeout=_LOOK_S):
            if cancelled.is_set():
                raise cancellation(self._living.device)
            if time.monotonic() > limit_s:
                raise DeadlineExceeded(
                    f"device {self._living.device} was busy for {time_limit_s:g} s, the time that was given; "
                    "allow more time, or ask when it is free"
                )
        try:
            yield
        finally:
            self._busy.release()

    def _meet(self, at_ns: int, fault: Fault, cancelled: threading.Event) -> None:
        """Runs into a fault."""
        device = self._living.device
        if not self._living.clock.wait_until(at_ns, cancelled):
            raise cancellation(device)
        kind = TaskInterrupted if fault.error == "interrupted" else PlatformFailed
        error = kind(
            f"device {device} failed while it ran the task: {fault.reason}. Send it again if it may run twice"
        )
        error.retry_after_s = fault.duration_s
        raise error
