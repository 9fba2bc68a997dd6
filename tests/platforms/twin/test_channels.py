"""Channels: relaxation as Aer has it, gate errors as the calibration says."""

from __future__ import annotations

import numpy as np
import pytest

from qfw.model.calibration import Calibration, GateCalibration
from qfw.model.errors import CalibrationError, UnsupportedFeature
from qfw.platforms.twin import channels
from qfw.platforms.twin.noise import NoiseModel
from tests.platforms.twin.noisy import calibration


@pytest.mark.parametrize("t2_us", [20.0, 50.0, 70.0, 100.0])
@pytest.mark.parametrize("duration_ns", [0, 100, 40_000])
def test_relaxation_is_aers(t2_us: float, duration_ns: int) -> None:
    noise = pytest.importorskip("qiskit_aer.noise")
    from qiskit.quantum_info import PTM, SuperOp

    wanted = PTM(SuperOp(noise.thermal_relaxation_error(50.0, t2_us, duration_ns / 1000))).data
    assert np.allclose(channels.relaxation(duration_ns, 50.0, t2_us), wanted, atol=1e-12)


def test_unitaries_are_qiskits() -> None:
    pytest.importorskip("qiskit")
    from qiskit.circuit.library import CSXGate, UGate
    from qiskit.quantum_info import PTM

    assert np.allclose(channels.gate_channel("u", 0.3, 1.1, -0.7), PTM(UGate(0.3, 1.1, -0.7)).data)
    # Qiskit's first qubit is the last factor; ours is the first.
    ours = channels.gate_channel("csx").reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16)
    assert np.allclose(ours, PTM(CSXGate()).data)


@pytest.mark.parametrize("error", [2e-3, 0.01, 0.1, 0.4, 0.6])
@pytest.mark.parametrize("name", ["sx", "cx", "ccx"])
def test_a_gates_infidelity_is_the_calibrations(name: str, error: float) -> None:
    truth = calibration(3, one=error, two=error, t1_us=900.0, t2_us=1200.0)
    qubits = {"sx": (1,), "cx": (2, 0), "ccx": (0, 2, 1)}[name]
    found = NoiseModel(truth).of_gate(name, qubits)
    ideal = channels.gate_channel(name)
    assert channels.infidelity(found.channel @ ideal, ideal) == pytest.approx(error, rel=1e-10)


def test_decoherence_alone_may_be_the_error() -> None:
    truth = calibration(2, t1_us=5.0, t2_us=4.0, one=1e-6)
    found = NoiseModel(truth).of_gate("x", (0,))
    assert found.kept == 1
    assert channels.infidelity(found.channel, np.eye(4)) > 1e-6


def test_a_symmetric_gate_is_found_in_either_order() -> None:
    base = calibration(2)
    truth = Calibration(
        "d",
        "1",
        0.0,
        base.qubits,
        (GateCalibration("cz", (0, 1), 0.01, 50), GateCalibration("cx", (0, 1), 0.01, 50)),
    )
    assert NoiseModel(truth).of_gate("cz", (1, 0)).duration_ns == 50
    with pytest.raises(UnsupportedFeature, match="cx on qubits"):
        NoiseModel(truth).of_gate("cx", (1, 0))


def test_bad_coherence_is_refused() -> None:
    with pytest.raises(CalibrationError, match="qubit 0 has T1 0"):
        NoiseModel(calibration(1, t1_us=0.0)).idle(0, 10)
