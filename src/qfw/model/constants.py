"""Constants as slots: one program in place of many that differ in the values of their constants.

Angles that depend on a slot keep their offsets, and delays their durations: these stay in the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi

from qfw.model.program import Affine, Angle, Gate, IfElse, Operation, Program, While

#: What of its constants something that transforms programs may look at: every one, those that are whole multiples of
#: pi/4, none.
READS = ("all", "special", "none")
#: By how much a multiple of pi/4 may be off, relative to it: what rounding leaves of it.
ROUNDING = 1e-15
#: Radians: larger constants stay what they are, for in sums of them the smaller ones would lose digits.
MAX_LIFTED = 1e4


def is_special(value: float) -> bool:
    """Whether a constant is a whole multiple of pi/4, but for rounding."""
    return abs(value - round(value / (pi / 4)) * (pi / 4)) <= ROUNDING * abs(value)


def lifted(program: Program, reads: str) -> tuple[Program, tuple[float, ...]]:
    """The program with a further slot for each constant that is not read, and their values in radians.

    Each has a slot of its own, behind those of the program, in the order of the operations: what comes does not depend
    on which constants happen to be equal. `reads`: one of READS.
    """
    if reads == READS[0]:
        return program, ()
    values: list[float] = []

    def lift(angle: Angle) -> Angle:
        if isinstance(angle, Affine) or abs(angle) > MAX_LIFTED:
            return angle
        if reads == "special" and is_special(angle):
            return angle
        values.append(angle)
        return Affine(((program.num_slots + len(values) - 1, 1.0),))

    operations = _with_angles(program.operations, lift)
    if not values:
        return program, ()
    found = Program(program.num_qubits, program.num_clbits, program.num_slots + len(values), operations)
    return found, tuple(values)


def restored(program: Program, values: Sequence[float]) -> Program:
    """The program with its last slots, as many as there are values, replaced by these: radians.

    An angle that depends on none of the slots that are left is a constant.
    """
    kept = program.num_slots - len(values)

    def restore(angle: Angle) -> Angle:
        if not isinstance(angle, Affine) or all(index < kept for index, _ in angle.terms):
            return angle
        terms = tuple(term for term in angle.terms if term[0] < kept)
        offset = angle.offset + sum(c * values[index - kept] for index, c in angle.terms if index >= kept)
        return Affine(terms, offset) if terms else offset

    operations = _with_angles(program.operations, restore)
    return Program(program.num_qubits, program.num_clbits, kept, operations)


def _with_angles(operations: Sequence[Operation], change: Callable[[Angle], Angle]) -> tuple[Operation, ...]:
    """The operations with every angle changed, in order, those of blocks too."""
    found: list[Operation] = []
    for op in operations:
        match op:
            case Gate() if op.angles:
                found.append(Gate(op.name, op.qubits, tuple(map(change, op.angles))))
            case IfElse():
                then = _with_angles(op.then, change)
                found.append(IfElse(op.clbits, op.value, then, _with_angles(op.otherwise, change)))
            case While():
                found.append(While(op.clbits, op.value, _with_angles(op.body, change), op.max_trips))
            case _:
                found.append(op)
    return tuple(found)
