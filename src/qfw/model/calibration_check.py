"""Whether a calibration can be believed: every value possible, and all of it about the device that it names."""

from __future__ import annotations

import math
from typing import NoReturn

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.device import DeviceProfile
from qfw.model.errors import CalibrationError
from qfw.model.gate_pulses import PulseDefinitions, broken_definition
from qfw.model.gates import GATES
from qfw.model.native import SYMMETRIC

#: Characters of a version.
MAX_VERSION = 256
#: Largest duration, in nanoseconds: an hour. Sums over any program stay exact.
MAX_NS = 3_600_000_000_000
#: Latest time of a measurement, in the year 2242: dates and nanoseconds of it can be written.
MAX_MEASURED_S = 2**33
#: T2 ≤ 2·T1, within what rounding to the digits of a document may cost.
_ROUNDING = 1 + 1e-9


def check_calibration(calibration: Calibration, profile: DeviceProfile, where: str = "") -> None:
    """Raises unless a calibration is one of this device.

    Args:
        calibration: what somebody says of the device.
        profile: the device.
        where: stands in front of the field's name in errors; empty: "calibration of DEVICE: ".

    Raises:
        CalibrationError: names the field, its value and the rule that it breaks.
    """
    prefix = where or f"calibration of {profile.name}: "
    if calibration.device != profile.name:
        _wrong(prefix + "device", calibration.device, f"must be {profile.name!r}")
    version = calibration.version
    if not isinstance(version, str) or not version.strip() or len(version) > MAX_VERSION:
        _wrong(prefix + "version", version, f"must be text of 1 to {MAX_VERSION} characters")
    if not _number(calibration.measured_s) or not 0 <= calibration.measured_s <= MAX_MEASURED_S:
        _wrong(prefix + "measured_s", calibration.measured_s, f"must be Unix time: 0 to {MAX_MEASURED_S}")
    if not isinstance(calibration.qubits, tuple) or len(calibration.qubits) != profile.max_qubits:
        found = len(calibration.qubits) if isinstance(calibration.qubits, tuple) else calibration.qubits
        _wrong(prefix + "qubits", found, f"must be one entry for each of {profile.max_qubits} qubits")
    for index, qubit in enumerate(calibration.qubits):
        if not _sound_qubit(qubit):
            _check_qubit(f"{prefix}qubits[{index}]", qubit)
    _check_gates(prefix, calibration, profile)
    if calibration.pulses is not None:
        _check_pulses(prefix + "pulses", calibration, profile)


def _check_pulses(where: str, calibration: Calibration, profile: DeviceProfile) -> None:
    pulses = calibration.pulses
    if not isinstance(pulses, PulseDefinitions):
        _wrong(where, pulses, "must be PulseDefinitions, or None")
    if pulses.limits.num_qubits != profile.max_qubits:
        _wrong(f"{where}.limits.num_qubits", pulses.limits.num_qubits, f"must be {profile.max_qubits}")
    rule = broken_definition(pulses)
    if rule:
        raise CalibrationError(f"{where}: {rule}")


def _sound_qubit(qubit: QubitCalibration) -> bool:
    """Whether a qubit is right at first sight, as nearly all are: the daemon's loop waits for this check."""
    return (
        type(qubit) is QubitCalibration
        and type(qubit.t1_us) is type(qubit.t2_us) is float
        and 0 < qubit.t1_us < math.inf
        and 0 < qubit.t2_us <= 2 * qubit.t1_us
        and type(qubit.read1_given0) is type(qubit.read0_given1) is type(qubit.reset_error) is float
        and 0 <= qubit.read1_given0 <= 1
        and 0 <= qubit.read0_given1 <= 1
        and 0 <= qubit.reset_error <= 1
        and type(qubit.readout_ns) is type(qubit.reset_ns) is int
        and 0 <= qubit.readout_ns <= MAX_NS
        and 0 <= qubit.reset_ns <= MAX_NS
        and (
            qubit.frequency_ghz is None
            or (type(qubit.frequency_ghz) is float and 0 < qubit.frequency_ghz < math.inf)
        )
        and type(qubit.operational) is bool
    )


def _sound_gate(
    gate: GateCalibration,
    profile: DeviceProfile,
    arity: dict[str, int],
    coupled: frozenset[tuple[int, int]] | None,
) -> bool:
    """Whether a gate is right at first sight; `arity`: qubits of each native gate."""
    if type(gate) is not GateCalibration or type(gate.name) is not str or type(gate.qubits) is not tuple:
        return False
    qubits, most = gate.qubits, profile.max_qubits
    if arity.get(gate.name) != len(qubits):
        return False
    if len(qubits) == 1:
        placed = type(qubits[0]) is int and 0 <= qubits[0] < most
    else:
        # Equal to a coupled pair, as (0.0, True) may be, is not enough.
        placed = (
            len(qubits) == 2
            and coupled is not None
            and qubits in coupled
            and type(qubits[0]) is type(qubits[1]) is int
            and 0 <= qubits[0] < most
            and 0 <= qubits[1] < most
            and qubits[0] != qubits[1]
        )
    return (
        placed
        and type(gate.error) is float
        and 0 <= gate.error <= 1
        and type(gate.duration_ns) is int
        and 0 <= gate.duration_ns <= MAX_NS
        and type(gate.operational) is bool
    )


def _check_qubit(where: str, qubit: QubitCalibration) -> None:
    if not isinstance(qubit, QubitCalibration):
        _wrong(where, qubit, "must be a QubitCalibration")
    for name in ("t1_us", "t2_us"):
        _check_positive(f"{where}.{name}", getattr(qubit, name))
    if qubit.t2_us > 2 * qubit.t1_us * _ROUNDING:
        _wrong(f"{where}.t2_us", qubit.t2_us, f"must be at most 2·T1, {2 * qubit.t1_us:g}")
    for name in ("read1_given0", "read0_given1", "reset_error"):
        _check_probability(f"{where}.{name}", getattr(qubit, name))
    for name in ("readout_ns", "reset_ns"):
        _check_duration(f"{where}.{name}", getattr(qubit, name))
    if qubit.frequency_ghz is not None:
        _check_positive(f"{where}.frequency_ghz", qubit.frequency_ghz)
    _check_flag(f"{where}.operational", qubit.operational)


def _check_gates(prefix: str, calibration: Calibration, profile: DeviceProfile) -> None:
    coupled = None if profile.coupling is None else frozenset(profile.coupling)
    if not isinstance(calibration.gates, tuple):
        _wrong(f"{prefix}gates", calibration.gates, "must be a tuple of GateCalibration")
    arity = {name: GATES[name].num_qubits for name in profile.native_gates if name in GATES}
    seen: dict[tuple[str, tuple[int, ...]], int] = {}
    for index, gate in enumerate(calibration.gates):
        if not _sound_gate(gate, profile, arity, coupled):
            _check_gate(gate, f"{prefix}gates[{index}]", profile, coupled)
        # A gate that is symmetric is the same one with its qubits exchanged.
        key = (gate.name, tuple(sorted(gate.qubits)) if gate.name in SYMMETRIC else gate.qubits)
        if key in seen:
            where = f"{prefix}gates[{index}]"
            _wrong(where, f"{gate.name} on {gate.qubits}", f"is there already: gates[{seen[key]}]")
        seen[key] = index


def _check_gate(
    gate: GateCalibration, where: str, profile: DeviceProfile, coupled: frozenset[tuple[int, int]] | None
) -> None:
    if not isinstance(gate, GateCalibration):
        _wrong(where, gate, "must be a GateCalibration")
    _check_place(gate, where, profile, coupled)
    _check_probability(f"{where}.error", gate.error)
    _check_duration(f"{where}.duration_ns", gate.duration_ns)
    _check_flag(f"{where}.operational", gate.operational)


def _check_place(
    gate: GateCalibration, where: str, profile: DeviceProfile, coupled: frozenset[tuple[int, int]] | None
) -> None:
    """Raises unless a gate is a native one, on qubits that it can act on."""
    name, qubits = gate.name, gate.qubits
    if not isinstance(name, str) or name not in GATES:
        _wrong(f"{where}.name", name, "must be a gate of the normal form")
    if name not in profile.native_gates:
        _wrong(f"{where}.name", name, f"must be native to the device: {', '.join(profile.native_gates)}")
    if not isinstance(qubits, tuple) or len(qubits) != GATES[name].num_qubits:
        _wrong(f"{where}.qubits", qubits, f"must be {GATES[name].num_qubits} qubits for {name}")
    for qubit in qubits:
        if not _whole(qubit) or not 0 <= qubit < profile.max_qubits:
            _wrong(f"{where}.qubits", qubits, f"must be qubits from 0 to {profile.max_qubits - 1}")
    if len(set(qubits)) != len(qubits):
        _wrong(f"{where}.qubits", qubits, "must be different qubits")
    if len(qubits) == 2 and coupled is not None and qubits not in coupled:
        first, second = qubits
        if name not in SYMMETRIC or (second, first) not in coupled:
            _wrong(f"{where}.qubits", qubits, "must be a coupled pair of the device")


def _check_positive(where: str, value: object) -> None:
    if not _number(value) or value <= 0:  # type: ignore[operator]
        _wrong(where, value, "must be finite and above 0")


def _check_probability(where: str, value: object) -> None:
    if not _number(value) or not 0 <= value <= 1:  # type: ignore[operator]
        _wrong(where, value, "must be a probability, from 0 to 1")


def _check_duration(where: str, value: object) -> None:
    if not _whole(value) or not 0 <= value <= MAX_NS:  # type: ignore[operator]
        _wrong(where, value, f"must be whole nanoseconds from 0 to {MAX_NS}")


def _check_flag(where: str, value: object) -> None:
    if not isinstance(value, bool):
        _wrong(where, value, "must be true or false")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(where: str, value: object, rule: str) -> NoReturn:
    raise CalibrationError(f"{where} is {repr(value)[:120]}; it {rule}")
