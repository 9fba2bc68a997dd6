"""A calibration that is not a document's: every field of the structs wrong in turn."""

import math
from typing import Any

import msgspec
import pytest

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.calibration_check import MAX_NS, check_calibration
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.envelopes import Constant
from qfw.model.errors import CalibrationError
from qfw.model.gate_pulses import GatePulses, PulseDefinitions
from qfw.model.pulse import Acquire, Line, Play, PulseLimits

PROFILE = DeviceProfile("d", DeviceKind.TWIN, "e", 2, ("cz", "cx", "sx"), ("counts",), 1, coupling=((0, 1),))
QUBIT = QubitCalibration(100.0, 150.0, 0.01, 0.02, 1000, 0.0, 500, 5.0)
CZ, SX = GateCalibration("cz", (1, 0), 0.01, 100), GateCalibration("sx", (0,), 0.001, 30)
GOOD = Calibration("d", "1", 1.0, (QUBIT, QUBIT), (CZ, SX))

PROBABILITY = (-0.1, 1.1, math.nan, math.inf, "0.5", True, None)
POSITIVE = (0, -1.0, math.nan, math.inf, "1", True)
DURATION = (-1, 1.5, MAX_NS + 1, "1", True, None)
WRONG: dict[str, dict[str, tuple[Any, ...]]] = {
    "calibration": {
        "device": ("", "other", None),
        "version": ("", " ", "v" * 257, None, 1),
        "measured_s": (math.nan, math.inf, -1.0, 1e300, "now", None),
        "qubits": ((), (QUBIT,), (QUBIT,) * 3, None, (QUBIT, 1)),
        "gates": (None, (1,), (CZ, CZ), (CZ, GateCalibration("cz", (0, 1), 0.0, 1))),
        "pulses": (1, b"", ()),
    },
    "qubit": {
        "t1_us": (*POSITIVE, None),
        "t2_us": (*POSITIVE, None, 200.1),
        "read1_given0": PROBABILITY,
        "read0_given1": PROBABILITY,
        "readout_ns": DURATION,
        "reset_error": PROBABILITY,
        "reset_ns": DURATION,
        "frequency_ghz": POSITIVE,
        "operational": (1, None, "yes"),
    },
    "gate": {
        "name": ("warp", "x", "", None),
        "qubits": ((), (0,), (0, 0), (0, 2), (-1, 0), (0, 1, 0), None, (0, 1.0), (False, True)),
        "error": PROBABILITY,
        "duration_ns": DURATION,
        "operational": (1, None, "yes"),
    },
}  # fmt: skip
CASES = [
    (kind, field, value) for kind, of in WRONG.items() for field, values in of.items() for value in values
]


def test_the_table_has_every_field() -> None:
    for kind, struct in (
        ("calibration", Calibration),
        ("qubit", QubitCalibration),
        ("gate", GateCalibration),
    ):
        assert list(WRONG[kind]) == list(struct.__struct_fields__)
    check_calibration(GOOD, PROFILE)


@pytest.mark.parametrize(("kind", "field", "value"), CASES)
def test_every_field_wrong_in_turn(kind: str, field: str, value: Any) -> None:
    replace = msgspec.structs.replace
    if kind == "qubit":
        damaged = replace(GOOD, qubits=(QUBIT, replace(QUBIT, **{field: value})))
        place = rf"qubits\[1\]\.{field}"
    elif kind == "gate":
        damaged = replace(GOOD, gates=(SX, replace(CZ, **{field: value})))
        place = rf"gates\[1\]\.{field}"
    else:
        damaged, place = replace(GOOD, **{field: value}), field
    with pytest.raises(CalibrationError, match=f"calibration of d: {place}"):
        check_calibration(damaged, PROFILE)


def test_a_gate_with_a_direction_needs_the_pair_in_that_direction() -> None:
    forward, back = (GateCalibration("cx", pair, 0.01, 1) for pair in ((0, 1), (1, 0)))
    check_calibration(msgspec.structs.replace(GOOD, gates=(forward,)), PROFILE)
    with pytest.raises(CalibrationError, match="coupled pair"):
        check_calibration(msgspec.structs.replace(GOOD, gates=(back,)), PROFILE)


def test_t2_may_be_twice_t1() -> None:
    qubit = msgspec.structs.replace(QUBIT, t2_us=200.0)
    check_calibration(msgspec.structs.replace(GOOD, qubits=(qubit, qubit)), PROFILE)


def test_what_is_right_at_first_sight_is_what_is_right() -> None:
    """The quick look lets nothing pass that the whole check would refuse."""
    profile = msgspec.structs.replace(PROFILE_FOR_SIGHT, coupling=((0, 1), (1, 7)))
    qubit = QubitCalibration(100.0, 80.0, 0.01, 0.02, 1000)
    bad_gates: list[tuple[Any, ...]] = [
        ("cz", (0.0, True), 0.1, 10),
        ("cz", (1, 7), 0.1, 10),
        ("cz", (0, 2), 0.1, 10),
        ("cz", [0, 1], 0.1, 10),
        ("sx", (True,), 0.1, 10),
        ("sx", (3,), 0.1, 10),
        ("sx", (0, 1), 0.1, 10),
        ("sx", (0,), 1.5, 10),
        ("sx", (0,), math.nan, 10),
        ("sx", (0,), 0.1, -1),
        ("sx", (0,), 0.1, True),
        ("sx", (0,), 0.1, 10, 1),
    ]
    for fields in bad_gates:
        calibration = Calibration("sight", "v", 1.0, (qubit,) * 3, (GateCalibration(*fields),))
        with pytest.raises(CalibrationError, match=r"gates\[0\]"):
            check_calibration(calibration, profile)
    bad_qubits: list[dict[str, Any]] = [
        {"t1_us": math.inf},
        {"t1_us": True},
        {"t2_us": 300.0},
        {"t2_us": math.nan},
        {"read1_given0": -0.1},
        {"readout_ns": 1.5},
        {"reset_ns": 10**15},
        {"frequency_ghz": 0.0},
        {"operational": 1},
    ]
    for changes in bad_qubits:
        wrong = msgspec.structs.replace(qubit, **changes)
        with pytest.raises(CalibrationError, match=r"qubits\[1\]"):
            check_calibration(Calibration("sight", "v", 1.0, (qubit, wrong, qubit), ()), profile)


PROFILE_FOR_SIGHT = DeviceProfile(
    "sight", DeviceKind.TWIN, "o", 3, ("sx", "cz"), ("counts",), 1, coupling=((0, 1),)
)


LIMITS = PulseLimits(2, ((0, 1), (1, 0)), 0.5, 4, 8, 4096, 1.0, 50.0)
DRIVE = Play(Line.DRIVE, (0,), 0, 40, Constant(0.5))
X = GatePulses("x", (), 40, (DRIVE,))


def changed(kind: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(kind, **fields)


@pytest.mark.parametrize(
    ("pulses", "said"),
    [
        (PulseDefinitions(changed(LIMITS, num_qubits=3), ()), "pulses.limits.num_qubits is 3; it must be 2"),
        (PulseDefinitions(changed(LIMITS, dt_ns=0.0), ()), "limits.dt_ns must be finite and above 0"),
        (PulseDefinitions(changed(LIMITS, rabi_mhz=math.nan), ()), "limits.rabi_mhz must be finite"),
        (PulseDefinitions(changed(LIMITS, granularity=0), ()), "limits.granularity"),
        (
            PulseDefinitions(LIMITS, (X, changed(X, gate="rx"))),
            r"gates\[1\] follows must say what depends on angle 0",
        ),
        (PulseDefinitions(LIMITS, (X, changed(X, gate="gphase"))), r"gates\[1\] is of 'gphase'"),
        (PulseDefinitions(LIMITS, (changed(X, qubits=(2,)),)), "qubits must be none, or 1 of 0 to 1"),
        (PulseDefinitions(LIMITS, (changed(X, qubits=(0, 1)),)), "qubits must be none, or 1 of 0 to 1"),
        (PulseDefinitions(LIMITS, (changed(X, duration=42),)), "duration must be a multiple of 4"),
        (PulseDefinitions(LIMITS, (changed(X, duration=-4),)), "duration must be a multiple of 4"),
        (PulseDefinitions(LIMITS, (changed(X, instructions=(DRIVE,) * 257),)), "at most 256 are taken"),
        (
            PulseDefinitions(LIMITS, (changed(X, instructions=(changed(DRIVE, qubits=(1,)),)),)),
            "places in those",
        ),
        (
            PulseDefinitions(LIMITS, (changed(X, instructions=(Acquire(0, 0, 40, 0),)),)),
            "only 'measure' does",
        ),
        (PulseDefinitions(LIMITS, (), ("cp",)), "virtual has 'cp'"),
    ],
)
def test_pulses_that_nobody_could_play_are_refused(pulses: PulseDefinitions, said: str) -> None:
    check_calibration(changed(GOOD, pulses=PulseDefinitions(LIMITS, (X,), ("rz",))), PROFILE)
    with pytest.raises(CalibrationError, match=said):
        check_calibration(changed(GOOD, pulses=pulses), PROFILE)
