"""What a program costs on a device, by its calibration: depth, duration, and how likely nothing errs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from qfw.model.calibration import Calibration
from qfw.model.device import Timing
from qfw.model.errors import UnsupportedFeature
from qfw.model.native import SYMMETRIC
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.model.timing import circuit_ns
from qfw.qpm.tool import Target


def depth(program: Program) -> int:
    """Gates, measurements and resets on the longest path; a block counts as its bodies, once and in order."""
    levels = [0] * program.num_qubits
    for op in _flat(program.operations):
        match op:
            case Gate() | Barrier():
                qubits: Iterable[int] = op.qubits or range(program.num_qubits)
                if isinstance(op, Gate) and not op.qubits:
                    continue
            case Measure() | Reset():
                qubits = (op.qubit,)
            case Delay():
                continue
        level = max(levels[qubit] for qubit in qubits) + (not isinstance(op, Barrier))
        for qubit in qubits:
            levels[qubit] = level
    return max(levels, default=0)


def fidelity(program: Program, calibration: Calibration | None) -> float | None:
    """Probability that no gate and no measurement errs: the product over all of 1 - error.

    A block counts as its bodies, once. None without a calibration, or where it lacks a gate of the program.
    """
    if calibration is None or program.num_qubits > len(calibration.qubits):
        return None
    errors = {(gate.name, gate.qubits): gate.error for gate in calibration.gates if gate.operational}
    logarithm = 0.0
    for op in _flat(program.operations):
        error: float | None = 0.0
        match op:
            case Gate(qubits=()) | Barrier() | Delay():
                continue
            case Gate():
                error = errors.get((op.name, op.qubits))
                if error is None and op.name in SYMMETRIC:
                    error = errors.get((op.name, op.qubits[::-1]))
            case Measure():
                qubit = calibration.qubits[op.qubit]
                error = (qubit.read1_given0 + qubit.read0_given1) / 2
            case Reset():
                error = calibration.qubits[op.qubit].reset_error
        if error is None:
            return None
        if error >= 1:
            return 0.0
        logarithm += math.log1p(-error)
    return math.exp(logarithm)


def duration_s(program: Program, target: Target) -> float | None:
    """Seconds from the first operation of a shot to the end of the last; None where the calibration does not say."""
    calibration = target.calibration
    if calibration is None or program.num_qubits > len(calibration.qubits):
        return None
    try:
        return circuit_ns(program, calibration, target.profile.timing or Timing()) / 1e9
    except UnsupportedFeature:
        return None


def _flat(operations: Iterable[Operation]) -> Iterator[Gate | Measure | Reset | Barrier | Delay]:
    for op in operations:
        match op:
            case IfElse():
                yield from _flat(op.then)
                yield from _flat(op.otherwise)
            case While():
                yield from _flat(op.body)
            case _:
                yield op
