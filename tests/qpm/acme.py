"""A driver that does what its tests tell it, and a daemon's end of its platform."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from qfw.config.settings import PlatformSettings, Settings
from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.device import DeviceKind, DeviceProfile, Timing
from qfw.model.events import DeviceEvent
from qfw.model.observable import PauliSum
from qfw.model.outputs import Array, Expectation, ExpectationAnswer, Output, encode_outputs
from qfw.model.program import Gate, Program, slot
from qfw.qpm.base_driver import BaseDriver
from qfw.qpm.driven import DrivenPlatform
from qfw.qpm.driver import Answered, Execution, Reporter
from qfw.qpm.platform import NativeDone, NativeFailed, PlatformConfig, Run, RunDone, RunFailed
from qfw.qpm.reactor import EpollReactor
from qfw.qpm.shared import Memory

#: Until something is given up that has to happen.
LIMIT_S = 10.0

PROFILE = DeviceProfile(
    name="acme",
    kind=DeviceKind.HARDWARE,
    engine="acme one",
    max_qubits=2,
    native_gates=("rx", "cz"),
    outputs=("expectation",),
    slots=1,
    lowered_only=True,
    coupling=((0, 1),),
    timing=Timing(task_ns=1000, set_ns=100, reset_ns=10, repetition_delay_ns=5),
    max_shots=1000,
    max_sets=100,
    reruns=False,
    native=("play",),
)
PROGRAM = Program(1, 0, 1, (Gate("rx", (0,), (slot(0),)),))
OUTPUTS: tuple[Output, ...] = (Expectation((PauliSum.of("Z0"),)),)


def calibration(version: str = "v1", device: str = "acme") -> Calibration:
    qubit = QubitCalibration(100.0, 80.0, 0.01, 0.02, 500)
    gates = (GateCalibration("rx", (0,), 1e-3, 40), GateCalibration("rx", (1,), 1e-3, 40))
    gates += (GateCalibration("cz", (0, 1), 1e-2, 80),)
    return Calibration(device, version, 1.0, (qubit, qubit), gates)


def run(task: int, epoch: int = 1, value: float = 0.0, **changes: Any) -> Run:
    parameters = np.array([[value]]).tobytes()
    encoded = encode_outputs(OUTPUTS)
    made = Run(task, epoch, PROGRAM.digest, encoded, 1, parameters, 100, 5, 100.0)
    return msgspec.structs.replace(made, **changes)


def answered(value: float) -> Answered:
    return Answered((ExpectationAnswer(Array.of(np.array([[value]])), Array.of(np.array([[0.1]]))),))


class AcmeDriver(BaseDriver):
    """Answers cos(parameter), unless it is told something else."""

    profiles: Sequence[DeviceProfile] = (PROFILE,)

    def __init__(self, config: PlatformConfig) -> None:
        super().__init__(config)
        #: What was run, in order, and by which thread.
        self.seen: list[Execution] = []
        self.threads: set[str] = set()
        self.doing: Callable[[Execution], Any] = lambda execution: answered(
            float(np.cos(execution.parameters[0, 0]))
        )
        self.playing: Callable[[bytes], Any] = lambda body: body
        #: Lets those go that wait.
        self.gate = threading.Event()
        self.closed = False

    def devices(self) -> Sequence[DeviceProfile]:
        return self.profiles

    def open(self, reporter: Reporter) -> None:
        super().open(reporter)
        self.threads.add(threading.current_thread().name)

    def calibration(self, device: str) -> Calibration | None:
        return calibration(device=device)

    def run(self, execution: Execution) -> Answered:
        self.seen.append(execution)
        self.threads.add(threading.current_thread().name)
        return self.doing(execution)  # type: ignore[no-any-return]

    def native(self, device: str, operation: str, body: bytes, time_limit_s: float) -> bytes:
        return self.playing(body)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.closed = True


class AcmePlatform(DrivenPlatform):
    driver_class = AcmeDriver


class Recorder:
    """A sink that keeps everything, and a source of the one program."""

    def __init__(self) -> None:
        self.ready: list[str] = []
        self.lost: list[str] = []
        self.offline: list[str] = []
        self.events: list[tuple[DeviceEvent, Calibration | None]] = []
        self.ended: list[tuple[str, RunDone | RunFailed]] = []
        self.natives: list[NativeDone | NativeFailed] = []
        #: The thread of every call.
        self.threads: set[int] = set()

    def encoded(self, digest: bytes) -> bytes:
        assert digest == PROGRAM.digest
        return PROGRAM.encoded

    def devices_changed(self, platform: str) -> None:
        raise AssertionError("devices of a driver do not change")

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        self.threads.add(threading.get_ident())
        self.ready.append(slot)

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        assert running is None
        self.lost.append(slot)

    def device_offline(self, device: str, reason: str) -> None:
        self.offline.append(reason)

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        self.threads.add(threading.get_ident())
        self.events.append((event, calibration))

    def run_ended(
        self, device: str, slot: str, pid: int, outcome: RunDone | RunFailed, memory: Memory | None = None
    ) -> None:
        self.threads.add(threading.get_ident())
        self.ended.append((slot, outcome))

    def native_ended(self, device: str, outcome: NativeDone | NativeFailed) -> None:
        self.natives.append(outcome)


class Bench:
    """A platform on a reactor, with a clock that can be put forward."""

    def __init__(self, kind: type[DrivenPlatform], grace_s: float) -> None:
        self.ahead_s = 0.0
        self.reactor = EpollReactor(lambda: time.monotonic() + self.ahead_s)
        self.sink = Recorder()
        settings = Settings(platforms={"acme": PlatformSettings(grace_s=grace_s)})
        self.platform = kind(PlatformConfig("acme", {}, settings))
        self.driver: AcmeDriver = self.platform._driver  # type: ignore[assignment]

    def open(self) -> None:
        self.platform.open(self.reactor, self.sink, self.sink)
        self.platform.warm("acme")
        self.until(lambda: bool(self.sink.ready))

    def until(self, happened: Callable[[], bool]) -> None:
        """Turns the reactor until it has happened; the tests' clock stands apart from the platform's."""
        end = time.monotonic() + LIMIT_S
        while not happened():
            assert time.monotonic() < end, "it did not happen"
            self.reactor.turn(0.02)

    def start(self, *runs: Run, slot: str = "acme/1") -> None:
        self.platform.start("acme", slot, runs)

    def outcomes(self, count: int) -> list[RunDone | RunFailed]:
        """The first outcomes, when there are so many."""
        self.until(lambda: len(self.sink.ended) >= count)
        return [outcome for _, outcome in self.sink.ended]

    def failure(self) -> str:
        """How the one run failed."""
        (outcome,) = self.outcomes(1)
        assert isinstance(outcome, RunFailed)
        return f"{outcome.error.code}: {outcome.error.message}"


@contextmanager
def bench(kind: type[DrivenPlatform] = AcmePlatform, grace_s: float = 1.0) -> Iterator[Bench]:
    made = Bench(kind, grace_s)
    try:
        made.open()
        yield made
    finally:
        made.driver.gate.set()
        made.platform.close()
        made.reactor.close()
