"""The Target of a device: what Qiskit's transpiler may use."""

from __future__ import annotations

from functools import lru_cache

from qiskit.circuit import Delay, ForLoopOp, IfElseOp, Measure, Parameter, Reset, SwitchCaseOp, WhileLoopOp
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import Target

from qfw.model.device import DeviceProfile

#: Names that Qiskit has for gates of the normal form, where they differ.
_NAMES = {"gphase": "global_phase"}


@lru_cache(maxsize=64)
def target_of(profile: DeviceProfile) -> Target:
    """The gates that a device runs without lowering, on all its qubits, each connected to each.

    Control flow is there where the device has it. Errors and durations are not: nobody measured them;
    those of a calibration would stand where None is.
    """
    target = Target(f"QFw device {profile.name}", num_qubits=profile.max_qubits)
    known = get_standard_gate_name_mapping()
    for name in profile.native_gates:
        target.add_instruction(known[_NAMES.get(name, name)], None)
    target.add_instruction(Measure(), None)
    target.add_instruction(Reset(), None)
    target.add_instruction(Delay(Parameter("t")), None)
    if profile.control:
        for kind, name in (
            (IfElseOp, "if_else"),
            (WhileLoopOp, "while_loop"),
            (ForLoopOp, "for_loop"),
            (SwitchCaseOp, "switch_case"),
        ):
            target.add_instruction(kind, None, name=name)
    return target
