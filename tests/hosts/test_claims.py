"""How large a calibration may be at the border of a host."""

from __future__ import annotations

import pytest

from qfw.hosts.claims import MAX_CALIBRATION_BYTES, MAX_GATES, MAX_QUBITS, check_calibration
from qfw.hosts.protocol import Reported
from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import BrokenPlugin
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpm.frames import encode

ONE, TWO = ("sx", "x", "rz", "id", "h"), ("cx", "ecr", "cy", "ch", "csx")
QUBIT = QubitCalibration(123.456, 87.654, 0.0123, 0.0234, 1000, 0.001, 500, 4.876)


def grid(side: int) -> tuple[DeviceProfile, Calibration]:
    """A square lattice: every gate on every qubit, and on every neighbours in both orders."""
    count = side * side
    pairs = [(at, at + 1) for at in range(count) if (at + 1) % side]
    pairs += [(at, at + side) for at in range(count - side)]
    pairs += [(second, first) for first, second in pairs]
    profile = DeviceProfile(
        "grid", DeviceKind.TWIN, "o", count, ONE + TWO, ("counts",), 1, coupling=tuple(pairs)
    )
    gates = [GateCalibration(name, (at,), 0.000123, 30) for at in range(count) for name in ONE]
    gates += [GateCalibration(name, pair, 0.0123, 60) for pair in pairs for name in TWO]
    return profile, Calibration("grid", "2026-01-01", 1.7e9, (QUBIT,) * count, tuple(gates))


def test_a_thousand_qubits_pass() -> None:
    profile, calibration = grid(32)
    assert len(calibration.qubits) == 1024 and len(calibration.gates) > 24_000
    check_calibration(calibration, profile)
    event = DeviceEvent(1, DeviceEventKind.CALIBRATION, 1, "new", None, calibration.version)
    assert len(encode(Reported("grid", event, calibration))) < MAX_CALIBRATION_BYTES // 2


def test_more_is_refused_and_says_the_bound() -> None:
    profile, calibration = grid(40)
    with pytest.raises(BrokenPlugin, match=f"39200 gates; at most {MAX_GATES}"):
        check_calibration(calibration, profile)
    profile, calibration = grid(65)
    with pytest.raises(BrokenPlugin, match=f"4225 qubits; at most {MAX_QUBITS}"):
        check_calibration(calibration, profile)
