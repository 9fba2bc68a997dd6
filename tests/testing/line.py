"""A platform that keeps the contract: five qubits in a line, native gates only, calibrated, with two slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qfw.engines.reference import ReferenceEngine
from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.conditions import Conditions
from qfw.model.device import DeviceKind, DeviceProfile, Timing
from qfw.model.events import DeviceEventKind
from qfw.qpm.base_driver import BaseDriver
from qfw.qpm.driven import DrivenPlatform
from qfw.qpm.driver import Answered, Execution, Reporter

PAIRS = ((0, 1), (1, 2), (2, 3), (3, 4))
PROFILE = DeviceProfile(
    name="line",
    kind=DeviceKind.TWIN,
    engine="reference",
    max_qubits=5,
    native_gates=("sx", "x", "rz", "cz"),
    outputs=("counts", "memory", "expectation", "probabilities"),
    slots=2,
    lowered_only=True,
    coupling=PAIRS,
    timing=Timing(task_ns=1000, reset_ns=1000),
    max_shots=100_000,
    max_sets=1000,
)
CALIBRATION = Calibration(
    "line",
    "v1",
    1.7e9,
    tuple(QubitCalibration(150.0, 120.0, 0.005, 0.008, 800) for _ in range(5)),
    (
        *(GateCalibration(name, (q,), 2e-4, 35) for name in ("sx", "x") for q in range(5)),
        *(GateCalibration("rz", (q,), 0.0, 0) for q in range(5)),
        *(GateCalibration("cz", pair, 3e-3, 80) for pair in PAIRS),
    ),
)


class LineDriver(BaseDriver):
    """Runs on the reference engine: as good as its calibration says, and better."""

    profile = PROFILE
    calibrated = CALIBRATION

    def devices(self) -> Sequence[DeviceProfile]:
        return [self.profile]

    def open(self, reporter: Reporter) -> None:
        super().open(reporter)
        reporter.report("line", DeviceEventKind.LOAD, "somebody else uses it")
        reporter.report("line", DeviceEventKind.LOAD, "nobody else uses it")

    def calibration(self, device: str) -> Calibration:
        return self.calibrated

    def run(self, execution: Execution) -> Answered:
        engine: Any = ReferenceEngine(1, 1)
        prepared = engine.prepare(execution.program)
        answers = engine.run(
            prepared, execution.outputs, execution.parameters, execution.shots, execution.seeds
        )
        return Answered(answers, Conditions(self.calibrated.version, 1000))


class LinePlatform(DrivenPlatform):
    """It."""

    driver_class = LineDriver
