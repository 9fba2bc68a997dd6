"""The Target of a device: what Qiskit's transpiler may use, and what each operation costs there."""

from __future__ import annotations

from functools import lru_cache

from qiskit.circuit import Delay, ForLoopOp, IfElseOp, Measure, Parameter, Reset, SwitchCaseOp, WhileLoopOp
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile
from qfw.model.native import SYMMETRIC

#: Names that Qiskit has for gates of the normal form, where they differ.
_NAMES = {"gphase": "global_phase"}

_Properties = dict[tuple[int, ...], InstructionProperties | None]


@lru_cache(maxsize=64)
def ideal_target(profile: DeviceProfile) -> Target:
    """The gates that a device without calibration runs without lowering, with neither errors nor durations.

    They act on all its qubits, those of two on all pairs that it couples. Control flow is there where the device has
    it.
    """
    target = Target(f"QFw device {profile.name}", num_qubits=profile.max_qubits)
    known = get_standard_gate_name_mapping()
    for name in profile.native_gates:
        gate = known[_NAMES.get(name, name)]
        pairs: _Properties | None = None
        if profile.coupling is not None and gate.num_qubits == 2:
            pairs = dict.fromkeys(profile.coupling)
            if name in SYMMETRIC:
                pairs |= dict.fromkeys(pair[::-1] for pair in profile.coupling)
        target.add_instruction(gate, pairs)
    target.add_instruction(Measure(), None)
    target.add_instruction(Reset(), None)
    target.add_instruction(Delay(Parameter("t")), None)
    _add_control(target, profile)
    return target


def calibrated_target(profile: DeviceProfile, calibration: Calibration) -> Target:
    """The operations that a calibration has, each with its error and its duration in seconds.

    What is out of order is left out; a gate that is symmetric in its qubits is there in both orders. The unit dt is a
    nanosecond. A measurement's error is the mean of both wrong readings.
    """
    target = Target(
        f"QFw device {profile.name}, calibration {calibration.version}",
        num_qubits=profile.max_qubits,
        dt=1e-9,
        qubit_properties=[
            QubitProperties(
                qubit.t1_us * 1e-6,
                qubit.t2_us * 1e-6,
                None if qubit.frequency_ghz is None else qubit.frequency_ghz * 1e9,
            )
            for qubit in calibration.qubits
        ],
    )
    works = [qubit.operational for qubit in calibration.qubits]
    found: dict[str, _Properties] = {name: {} for name in profile.native_gates}
    for gate in calibration.gates:
        if gate.operational and all(works[qubit] for qubit in gate.qubits):
            costs = InstructionProperties(gate.duration_ns * 1e-9, gate.error)
            found[gate.name][gate.qubits] = costs
            if gate.name in SYMMETRIC:
                found[gate.name].setdefault(gate.qubits[::-1], costs)
    known = get_standard_gate_name_mapping()
    for name, places in found.items():
        if places:
            target.add_instruction(known[_NAMES.get(name, name)], places)
    measures: _Properties = {}
    resets: _Properties = {}
    for index, qubit in enumerate(calibration.qubits):
        if works[index]:
            wrong = (qubit.read1_given0 + qubit.read0_given1) / 2
            measures[index,] = InstructionProperties(qubit.readout_ns * 1e-9, wrong)
            resets[index,] = InstructionProperties(qubit.reset_ns * 1e-9, qubit.reset_error)
    target.add_instruction(Measure(), measures)
    if profile.control:
        target.add_instruction(Reset(), resets)
    target.add_instruction(Delay(Parameter("t")), dict.fromkeys(measures))
    _add_control(target, profile)
    return target


def _add_control(target: Target, profile: DeviceProfile) -> None:
    if not profile.control:
        return
    for kind, name in (
        (IfElseOp, "if_else"),
        (WhileLoopOp, "while_loop"),
        (ForLoopOp, "for_loop"),
        (SwitchCaseOp, "switch_case"),
    ):
        target.add_instruction(kind, None, name=name)
