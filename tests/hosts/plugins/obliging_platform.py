"""A platform with everything: calibration, native operations, reservations, all outputs. `options.do` bends it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.conditions import Conditions
from qfw.model.device import DeviceKind, DeviceProfile, DeviceState, Estimate
from qfw.model.errors import ErrorReport, NoCapacity, RequestError, TaskCancelled
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.model.outputs import (
    Answer,
    Array,
    CountsAnswer,
    Expectation,
    ExpectationAnswer,
    MemoryAnswer,
    Output,
    ProbabilitiesAnswer,
    StatevectorAnswer,
    decode_outputs,
    encode_answers,
)
from qfw.model.program import Program
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.platform import (
    API_VERSION,
    FACETS,
    DeviceLoad,
    NativeCall,
    NativeDone,
    NativeFailed,
    PlatformConfig,
    ProgramSource,
    Reactor,
    Run,
    RunDone,
    RunFailed,
    Sink,
)

OUTPUTS = ("counts", "expectation", "memory", "probabilities", "statevector")


class ObligingPlatform:
    """One slot; a run waits for the one before where `do` is hold."""

    api_version: ClassVar[tuple[int, int]] = API_VERSION
    facets: ClassVar[frozenset[str]] = FACETS

    def __init__(self, config: PlatformConfig) -> None:
        self.do: str = config.options.get("do", "answer")
        self.name: str = config.options.get("device", "obliging")
        self.qubits: int = config.options.get("qubits", 2)
        self.waiting: list[Run] = []
        self.events = 0
        self.reserved: dict[int, ReservationRequest] = {}

    def devices(self) -> Sequence[DeviceProfile]:
        kind, operations = DeviceKind.TWIN, ("echo", "never", "twice", "refuse", "large")
        return [
            DeviceProfile(
                self.name, kind, "o", self.qubits, ("ry", "h"), OUTPUTS, 1, max_sets=100, native=operations
            )
        ]

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        self.reactor, self.sink, self.programs = reactor, sink, programs

    def warm(self, device: str) -> None:
        self.sink.slot_ready(device, "only", os.getpid())

    def state(self, device: str) -> DeviceState:
        return DeviceState.ONLINE

    def made(self, version: str, t2_us: float = 80.0) -> Calibration:
        qubit = QubitCalibration(100.0, t2_us, 0.01, 0.02, 500)
        gates = tuple(
            GateCalibration(name, (number,), 1e-3, 40)
            for name in ("ry", "h")
            for number in range(self.qubits)
        )
        return Calibration(self.name, version, 1.0, (qubit,) * self.qubits, gates)

    def calibration(self, device: str) -> Calibration | None:
        return self.made("v1")

    def load(self, device: str) -> DeviceLoad:
        return DeviceLoad(-1, float("nan")) if self.do == "load" else DeviceLoad(3, 4.5)

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        return Estimate(0.0, 0)

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        for run in runs:
            self.waiting.append(run)
            if self.do.startswith("calibration"):
                self.calibrate(run)
            elif self.do.startswith("pause") and len(self.waiting) == 1:
                self.report(state=DeviceState.MAINTENANCE)
            elif self.do.startswith("pause"):
                pass
            elif self.do == "flicker":
                self.flicker()
            elif self.do not in ("hold", "ignore"):
                self.finish(run)

    def flicker(self) -> None:
        """Calibrates, goes on, calibrates, and never runs for long at a time."""
        state = (DeviceState.CALIBRATING, DeviceState.ONLINE)[self.events % 2]
        self.report(state=state)
        self.reactor.call_at(self.reactor.now() + 0.02, self.flicker)

    def report(self, **fields: Any) -> None:
        self.events += 1
        calibration = fields.pop("carries", None)
        event = DeviceEvent(self.events, DeviceEventKind.STATE, time.time_ns(), "so it is", **fields)
        self.sink.device_reported(self.name, event, calibration)

    def calibrate(self, run: Run) -> None:
        match self.do.removeprefix("calibration "):
            case "new":
                self.report(calibration="v2", carries=self.made("v2"))
                self.finish(run, "v2")
            case "unheard":
                self.finish(run, "v7")
            case "unsaid":
                self.finish(run, None)
            case "other":
                self.report(calibration="v2", carries=self.made("v3"))
            case "long" | "huge":
                made = self.made("v2")
                gates = made.gates[:1] * (33_000 if self.do.endswith("long") else 90_000)
                self.report(calibration="v2", carries=msgspec.structs.replace(made, gates=gates))
            case "impossible":
                self.report(calibration="v2", carries=self.made("v2", t2_us=1000.0))

    def finish(self, run: Run, version: str | None = "v1") -> None:
        self.waiting.remove(run)
        program = Program.decode(self.programs.encoded(run.program))
        answers = tuple(self.answer(output, program, run) for output in decode_outputs(run.outputs))
        conditions = None if version is None else Conditions(version, 1000)
        now_ns = time.monotonic_ns()
        done = RunDone(run.task, run.epoch, now_ns, now_ns, 0, False, conditions, encode_answers(answers))
        self.sink.run_ended(self.name, "only", os.getpid(), done)

    def answer(self, output: Output, program: Program, run: Run) -> Answer:
        """All qubits were 0; one row too many where `do` is wrong."""
        sets, extra = run.sets, int(self.do == "wrong")
        kind = output.__struct_config__.tag
        states = np.zeros((sets + extra, 2**program.num_qubits), complex if kind == "statevector" else float)
        states[:, 0] = 1.0
        if self.do == "nan":
            states[:] = np.nan
        match kind:
            case "counts":
                outcomes, shots = np.zeros((sets, 1), np.uint64), np.full(sets + extra, run.shots, np.int64)
                return CountsAnswer(
                    program.num_bits, *map(Array.of, (outcomes, shots, np.arange(sets + 1, dtype=np.int64)))
                )
            case "memory":
                return MemoryAnswer(
                    program.num_bits, Array.of(np.zeros((sets + extra, run.shots, 1), np.uint64))
                )
            case "expectation":
                assert isinstance(output, Expectation)
                values = Array.of(np.zeros((sets + extra, len(output.observables))))
                return ExpectationAnswer(values, values)
            case "probabilities":
                return ProbabilitiesAnswer(Array.of(states))
            case _:
                return StatevectorAnswer(Array.of(states))

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        for run in self.waiting:
            if (run.task, run.epoch) == (task, epoch) and self.do in ("hold", "pause"):
                self.waiting.remove(run)
                report = ErrorReport.of(TaskCancelled("nobody wants it"))
                self.sink.run_ended(device, slot, os.getpid(), RunFailed(task, epoch, report))
                return

    def call(self, device: str, call: NativeCall) -> None:
        match call.operation:
            case "refuse":
                error = ErrorReport.of(RequestError("a pulse needs a channel"))
                self.sink.native_ended(device, NativeFailed(call.number, error))
            case "large":
                self.sink.native_ended(device, NativeDone(call.number, bytes(2**22)))
            case "echo" | "twice":
                for _ in range(1 + (call.operation == "twice")):
                    self.sink.native_ended(device, NativeDone(call.number, call.body))

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        if self.do == "generous":
            return Offer(2 * request.share_ppm, float("nan"))
        return Offer(request.share_ppm // 2, 1.5, "half of it is taken")

    def reserve(self, device: str, request: ReservationRequest) -> Offer:
        if request.number in self.reserved:
            raise NoCapacity("it is taken")
        self.reserved[request.number] = request
        return Offer(request.share_ppm // 2, 1.5)

    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        if number not in self.reserved:
            raise RequestError(f"there is no reservation {number}")
        self.reserved[number] = msgspec.structs.replace(self.reserved[number], lifetime_s=lifetime_s)

    def release(self, device: str, number: int, epoch: int) -> None:
        self.reserved.pop(number, None)

    def close(self) -> None:
        pass
