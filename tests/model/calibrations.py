"""A small device with a calibration, written by hand."""

from __future__ import annotations

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.device import DeviceKind, DeviceProfile, Timing

TIMING = Timing(task_ns=5_000, set_ns=700, reset_ns=200, repetition_delay_ns=1_000, feedback_ns=400)


def line_calibration(qubits: int = 3, version: str = "1", device: str = "line") -> Calibration:
    """A chain: sx 30 ns, x 35, rz 0; cz from each qubit to the next 100 and 10 more each time; readout 500."""
    gates = [
        GateCalibration(name, (qubit,), error, duration_ns)
        for qubit in range(qubits)
        for name, error, duration_ns in (("sx", 3e-4, 30), ("x", 4e-4, 35), ("rz", 0.0, 0))
    ]
    gates += [GateCalibration("cz", (q, q + 1), 5e-3, 100 + 10 * q) for q in range(qubits - 1)]
    each = QubitCalibration(100.0, 80.0, 0.01, 0.02, 500, 0.001, 300)
    return Calibration(device, version, 1_700_000_000.0, (each,) * qubits, tuple(gates))


def line_profile(qubits: int = 3, device: str = "line") -> DeviceProfile:
    return DeviceProfile(
        device,
        DeviceKind.TWIN,
        "line",
        qubits,
        ("cz", "rz", "sx", "x"),
        ("counts", "expectation", "memory", "probabilities"),
        1,
        control=True,
        lowered_only=True,
        coupling=tuple((q, q + 1) for q in range(qubits - 1)),
        timing=TIMING,
        exact=False,
        reruns=False,
    )
