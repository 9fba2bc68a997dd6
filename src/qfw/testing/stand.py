"""Stand: drives a platform as the daemon does, with a limit on every wait and a clock on every call."""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

import msgspec

from qfw.model.calibration import Calibration
from qfw.model.device import RUNNING, DeviceProfile, DeviceState
from qfw.model.errors import ErrorReport, NoCapacity, RequestError
from qfw.model.events import DeviceEvent
from qfw.model.program import Program
from qfw.qpm.platform import NativeDone, NativeFailed, Platform, Run, RunDone, RunFailed
from qfw.qpm.reactor import EpollReactor
from qfw.qpm.shared import Memory
from qfw.testing.checks import Failed, Stuck

T = TypeVar("T")

#: A call of the platform may take so long; nothing in it may wait for anything. Room for a busy machine.
CALL_LIMIT_S = 1.0
#: Who says to ask again within a moment is asked again for so long: DeadlineExceeded is due after the first second.
MOMENT_S, ASK_LIMIT_S = 0.2, 2.0
#: What must not come is waited for so long.
QUIET_S = 0.15


@dataclass(frozen=True)
class Limits:
    """How long a platform is waited for, in seconds."""

    #: A call that has not returned is given up.
    stuck_s: float = 10.0
    #: An answer, a slot, an event that must come.
    answer_s: float = 20.0
    #: Devices are known, and slots ready.
    start_s: float = 60.0
    #: A device that calibrates or is maintained.
    state_s: float = 60.0
    #: A run that is past its limit, or cancelled, has ended so much later.
    grace_s: float = 5.0


#: Room for a busy machine, and for a device that calibrates.
PATIENT = Limits()


class Recorder:
    """A Sink that keeps everything, in order."""

    def __init__(self) -> None:
        """Nothing happened yet."""
        #: Ready slots: pid by slot, of each device.
        self.slots: dict[str, dict[str, int]] = defaultdict(dict)
        #: (device, slot, reason, running) of those that were lost.
        self.lost: list[tuple[str, str, str, int | None]] = []
        self.offline: dict[str, str] = {}
        self.reports: list[tuple[str, DeviceEvent, Calibration | None]] = []
        #: Of each (task, epoch): device, slot, outcome, in the order in which they came.
        self.outcomes: dict[tuple[int, int], list[tuple[str, str, RunDone | RunFailed]]] = defaultdict(list)
        self.answered: list[tuple[int, int]] = []
        self.natives: dict[int, list[NativeDone | NativeFailed]] = defaultdict(list)
        self.changes = 0
        #: What no platform may do, as it happened.
        self.wrongs: list[str] = []
        #: Calls of the sink, and those that came on another thread.
        self.calls = 0
        self._thread = threading.get_ident()

    def _called(self, what: str) -> None:
        self.calls += 1
        if threading.get_ident() != self._thread:
            self.wrongs.append(f"{what} was called on a thread that is not the reactor's")

    def devices_changed(self, platform: str) -> None:
        """See Sink."""
        self._called("devices_changed")
        self.changes += 1

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        """See Sink."""
        self._called("slot_ready")
        if slot in self.slots[device]:
            self.wrongs.append(f"slot {slot} of {device} became ready twice")
        self.slots[device][slot] = pid
        self.offline.pop(device, None)

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        """See Sink."""
        self._called("slot_lost")
        if self.slots[device].pop(slot, None) is None:
            self.wrongs.append(f"slot {slot} of {device} was lost and had not been ready")
        self.lost.append((device, slot, reason, running))

    def device_offline(self, device: str, reason: str) -> None:
        """See Sink."""
        self._called("device_offline")
        self.offline[device] = reason

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        """See Sink."""
        self._called("device_reported")
        self.reports.append((device, event, calibration))

    def run_ended(
        self,
        device: str,
        slot: str,
        pid: int,
        outcome: RunDone | RunFailed,
        memory: Memory | None = None,
    ) -> None:
        """See Sink."""
        self._called("run_ended")
        if memory is not None and isinstance(outcome, RunDone):
            if outcome.answers:
                self.wrongs.append(f"task {outcome.task} came with answers and with memory")
            with_answers = memory.read()
            memory.close()
            outcome = _with(outcome, with_answers)
        key = (outcome.task, outcome.epoch)
        self.outcomes[key].append((device, slot, outcome))
        self.answered.append(key)

    def native_ended(self, device: str, outcome: NativeDone | NativeFailed) -> None:
        """See Sink."""
        self._called("native_ended")
        self.natives[outcome.number].append(outcome)


def _with(outcome: RunDone, answers: bytes) -> RunDone:
    return msgspec.structs.replace(outcome, answers=answers)


class Programs:
    """A ProgramSource of the programs that were run."""

    def __init__(self) -> None:
        """None yet."""
        self._known: dict[bytes, bytes] = {}

    def add(self, program: Program) -> bytes:
        """Keeps it; its digest."""
        self._known[program.digest] = program.encoded
        return program.digest

    def encoded(self, digest: bytes) -> bytes:
        """See ProgramSource. Raises RequestError for one that no task uses."""
        if digest not in self._known:
            raise RequestError(f"no task uses a program {digest.hex()[:12]}; send it first")
        return self._known[digest]


class Stand:
    """One platform, opened."""

    def __init__(self, make: Callable[[], Platform], limits: Limits) -> None:
        """Makes the platform, not opened yet. Raises what its constructor raises, or Stuck."""
        self.limits = limits
        self.reactor = EpollReactor()
        self.sink = Recorder()
        self.programs = Programs()
        #: Calls that took too long: name and seconds.
        self.slow: list[tuple[str, float]] = []
        self.opened = False
        self._task = 0
        try:
            self.platform: Platform = self.call("the constructor", make, may_s=limits.start_s)
        except BaseException:
            self.reactor.close()
            raise

    def call(self, what: str, function: Callable[..., T], *args: Any, may_s: float = CALL_LIMIT_S) -> T:
        """Calls the platform; one that takes long is remembered, one that does not return given up.

        Raises:
            Stuck: it had to be interrupted, which only a main thread can do.
        """
        began_s = time.monotonic()
        try:
            with _interrupted(max(self.limits.stuck_s, may_s), what):
                return function(*args)
        finally:
            took_s = time.monotonic() - began_s
            if took_s > may_s:
                self.slow.append((what, took_s))

    def booked(self, what: str, function: Callable[..., T], *args: Any) -> T:
        """Like `call`, of a reservation: one who has to ask elsewhere first says when to ask again.

        Raises:
            NoCapacity: it says when to try again, and that is no moment, or the same for ASK_LIMIT_S.
        """
        end_s = time.monotonic() + ASK_LIMIT_S
        while True:
            try:
                return self.call(what, function, *args)
            except NoCapacity as error:
                later_s = error.retry_after_s
                if later_s is None or later_s > MOMENT_S or time.monotonic() + later_s > end_s:
                    raise
                self.settle(later_s)

    def open(self) -> None:
        """Opens it, and waits until its devices are known."""
        self.call("open", self.platform.open, self.reactor, self.sink, self.programs)
        self.opened = True
        self.wait(self._there, self.limits.start_s, "devices")

    def _there(self) -> bool:
        """Whether its devices are known. Raises why there will be none, where it knows."""
        broken: ErrorReport | None = getattr(self.platform, "broken", None)
        if broken is not None:
            raise broken.to_exception()
        return bool(self.devices())

    def devices(self) -> list[DeviceProfile]:
        """Its devices."""
        return list(self.call("devices", self.platform.devices))

    def close(self) -> float:
        """Closes it; seconds that the call took. The reactor goes too."""
        began_s = time.monotonic()
        if self.opened:
            self.opened = False
            self.call("close", self.platform.close)
        took_s = time.monotonic() - began_s
        return took_s

    def end(self) -> None:
        """Closes the platform, whatever it says, and gives the reactor back."""
        try:
            self.close()
        except Exception as error:
            self.sink.wrongs.append(f"close raised {type(error).__name__}: {error}")
        finally:
            self.reactor.close()

    def wait(self, condition: Callable[[], T], limit_s: float | None = None, what: str = "") -> T:
        """The first true value of `condition`; the loop turns meanwhile. Raises Stuck."""
        limit_s = self.limits.answer_s if limit_s is None else limit_s
        end_s = time.monotonic() + limit_s
        while True:
            if found := condition():
                return found
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise Stuck(f"{what or 'an answer'} within {limit_s:g} s", "nothing came")
            self.turn(min(left_s, 0.05))

    def turn(self, most_s: float = 0.05) -> None:
        """One turn of the loop, in which the platform's callbacks may not block either."""
        began_s = time.monotonic()
        with _interrupted(self.limits.stuck_s, "a callback on the reactor"):
            self.reactor.turn(most_s)
        took_s = time.monotonic() - began_s - most_s
        if took_s > CALL_LIMIT_S:
            self.slow.append(("a callback on the reactor", took_s))

    def settle(self, seconds: float) -> None:
        """Lets the loop turn so long, for what must not come."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self.turn(min(left_s, 0.05))

    def state(self, device: str) -> DeviceState:
        """See Runtime."""
        return self.call("state", self.platform.state, device)

    def ready(self, device: str, count: int = 1) -> list[str]:
        """Names of ready slots, `count` at least, of a device that runs."""
        self.call("warm", self.platform.warm, device)
        slots = self.sink.slots[device]

        def there() -> bool:
            if device in self.sink.offline:
                raise Failed(f"slots of {device}", f"it is offline: {self.sink.offline[device]}")
            return len(slots) >= count

        self.wait(there, self.limits.start_s, f"{count} ready slots of {device}")
        self.wait(
            lambda: self.state(device) in RUNNING, self.limits.state_s, f"{device} in a state that runs"
        )
        return sorted(slots)

    def number(self) -> int:
        """A task's number that was not used before."""
        self._task += 1
        return self._task

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        """See Runtime."""
        self.call("start", self.platform.start, device, slot, list(runs))

    def cancel(self, device: str, slot: str, run: Run) -> None:
        """See Runtime."""
        self.call("cancel", self.platform.cancel, device, slot, run.task, run.epoch)

    def outcome(self, run: Run, slot: str, limit_s: float | None = None) -> RunDone | RunFailed:
        """The first outcome of a run on `slot`. Raises Failed where the slot was lost instead."""
        key = (run.task, run.epoch)

        def ended() -> bool:
            for _, name, reason, _ in self.sink.lost:
                if name == slot and key not in self.sink.outcomes:
                    raise Failed(f"an answer to task {run.task}", f"its slot was lost: {reason}")
            return key in self.sink.outcomes

        self.wait(ended, limit_s, f"the outcome of task {run.task}")
        return self.sink.outcomes[key][0][2]


@contextmanager
def _interrupted(limit_s: float, what: str) -> Iterator[None]:
    """Ends the block with Stuck after `limit_s`, where this is the main thread: only that one has signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expired(number: int, frame: FrameType | None) -> None:
        raise Stuck(f"{what} returns at once", f"it had not returned after {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, expired)
    timer = signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)
