import threading
from collections.abc import Callable

import pytest

from qfw.platforms.twin.clock import ScaledClock, VirtualClock


class Time:
    """Real time, as a test passes it."""

    def __init__(self) -> None:
        self.now_ns = 5_000
        self.waits: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wait(self, event: threading.Event, wait_s: float) -> bool:
        self.waits.append(wait_s)
        self.on_wait()
        if not event.is_set():
            self.now_ns += round(wait_s * 1e9)
        return event.is_set()


@pytest.mark.parametrize("factor", [1.0, 1000.0, 0.5])
def test_scaled_time_passes_by_its_factor(factor: float) -> None:
    time = Time()
    clock = ScaledClock(factor, time.monotonic_ns, time.wait)
    assert clock.now_ns() == 0
    time.now_ns += 1_000_000
    assert clock.now_ns() == 1_000_000 * factor
    assert clock.wait_until(3_000_000_000, threading.Event())
    assert clock.now_ns() == 3_000_000_000
    assert sum(time.waits) == pytest.approx((3 - 1e-3 * factor) / factor)


def test_a_long_wait_is_cut_and_goes_on() -> None:
    time = Time()
    clock = ScaledClock(1.0, time.monotonic_ns, time.wait)
    assert clock.wait_until(10 * 3600 * 10**9, threading.Event())
    assert len(time.waits) == 10


def test_a_wait_is_cancelled_in_the_middle() -> None:
    time, cancelled = Time(), threading.Event()
    clock = ScaledClock(1.0, time.monotonic_ns, time.wait)
    time.on_wait = cancelled.set
    assert not clock.wait_until(10**9, cancelled)
    assert clock.now_ns() == 0


def test_a_wall_clock_waits_and_is_cancelled_from_another_thread() -> None:
    clock, cancelled = ScaledClock(), threading.Event()
    assert clock.wait_until(clock.now_ns() + 1_000_000, cancelled)
    assert clock.now_ns() >= 1_000_000
    timer = threading.Timer(0.01, cancelled.set)
    timer.start()
    assert not clock.wait_until(60 * 10**9, cancelled)
    timer.join()
    assert not clock.wait_until(0, cancelled)


def test_a_virtual_clock_is_there_at_once_and_never_goes_back() -> None:
    clock, cancelled = VirtualClock(), threading.Event()
    assert clock.wait_until(10**18, cancelled)
    assert clock.now_ns() == 10**18
    assert clock.wait_until(5, cancelled)
    assert clock.now_ns() == 10**18
    cancelled.set()
    assert not clock.wait_until(2 * 10**18, cancelled)
    assert clock.now_ns() == 10**18
