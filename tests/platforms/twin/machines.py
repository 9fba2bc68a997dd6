"""A small machine for tests of the twin's life: exact durations, and a simulation that says what it was given."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.device import DeviceKind, DeviceProfile, Estimate, Timing
from qfw.model.errors import ConfigError
from qfw.model.outputs import Answer, Array, MemoryAnswer, Output
from qfw.model.program import Gate, Measure, Program
from qfw.platforms.twin.simulation import Simulated

TIMING = Timing(task_ns=1_000_000, set_ns=10_000, reset_ns=500, repetition_delay_ns=2_000, feedback_ns=300)
#: 40 + 200 + 700 ns.
PROGRAM = Program(2, 2, 0, (Gate("sx", (0,)), Gate("cz", (0, 1)), Measure(0, 0), Measure(1, 1)))
SHOT_NS = 500 + 40 + 200 + 700 + 2_000


def calibration(name: str = "small", version: str = "v0") -> Calibration:
    qubits = tuple(QubitCalibration(100.0 + i, 80.0, 0.01, 0.02, 700) for i in range(3))
    gates = tuple(GateCalibration("sx", (i,), 3e-4, 40) for i in range(3))
    pairs = tuple(GateCalibration("cz", (i, i + 1), 5e-3, 200) for i in range(2))
    return Calibration(name, version, 1_750_000_000.0, qubits, gates + pairs)


def profile(name: str = "small") -> DeviceProfile:
    return DeviceProfile(
        name,
        DeviceKind.TWIN,
        "twin",
        3,
        ("sx", "cz"),
        ("memory",),
        1,
        lowered_only=True,
        coupling=((0, 1), (1, 2)),
        timing=TIMING,
        exact=False,
        reruns=False,
        max_shots=1_000_000,
    )


def models(model: str, name: str) -> tuple[DeviceProfile, Calibration]:
    if model not in ("small", "other"):
        raise ConfigError(f"no model is called {model!r}")
    return profile(name or model), calibration(name or model)


class Echo:
    """Answers the error of the first gate under which it ran, as 64 bits; so a test sees the truth of a run."""

    def simulate(
        self,
        truth: Calibration,
        program: Program,
        outputs: tuple[Output, ...],
        parameters: npt.NDArray[np.float64],
        shots: int,
        seeds: Sequence[int],
        cancelled: threading.Event,
    ) -> Simulated:
        word = np.array([truth.gates[0].error]).view(np.uint64)[0]
        outcomes = np.full((len(seeds), shots, 1), word, dtype=np.uint64)
        return Simulated((MemoryAnswer(64, Array.of(outcomes)),), (), 0)

    def estimate(
        self, truth: Calibration, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        return Estimate(1e-6 * shots, 1000 * program.num_qubits)


def error_of(answer: Answer) -> float:
    """What Echo was given."""
    assert isinstance(answer, MemoryAnswer)
    return float(answer.outcomes.numpy()[0, 0].view(np.float64)[0])
