"""Programs without global phases of slots, for compilers that keep one expression for the phase of a circuit.

A gate whose recipe in native gates brings a phase adds to that expression, once for each gate, and what works with
expressions as trees takes a time that doubles with every few gates. Here such gates are written in others before, and
their phase is kept aside, as an affine function of the slots.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from qfw.formats.lowering import Plan, plans
from qfw.formats.recipes import substituted
from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Gate, IfElse, Operation, Program, While

#: Exact in rz, ry and rx but for a phase; and the other way round.
_OF_P = frozenset({"p", "u", "cp", "cu"})
_OF_RZ = frozenset({"rx", "ry", "rz", "u", "cp", "crx", "cry", "crz", "cu", "rxx", "ryy", "rzz"})


def without(program: Program, native: frozenset[str]) -> tuple[Program, Angle]:
    """The program with gates whose phase depends on slots written in others, and the phase that it then lacks.

    What is left to write in native gates brings constant phases only. Phases within blocks are left out: nothing can
    see them.

    Args:
        program: slots and everything but such gates stay; the same object where there are none.
        native: gates of the device; written out is what is none of them.
    """
    recipes = _recipes(native)
    if not _any_phased(program.operations, recipes):
        return program, 0.0
    phase = _Sum()
    operations = _written(program.operations, recipes, phase)
    return Program(program.num_qubits, program.num_clbits, program.num_slots, operations), phase.angle


class _Sum:
    """A sum of angles, in a time that does not depend on how many slots are in it already."""

    def __init__(self) -> None:
        self._terms: dict[int, float] = {}
        self._offset = 0.0

    def add(self, angle: Angle) -> None:
        if not isinstance(angle, Affine):
            self._offset += angle
            return
        self._offset += angle.offset
        for index, coefficient in angle.terms:
            self._terms[index] = self._terms.get(index, 0.0) + coefficient

    @property
    def angle(self) -> Angle:
        terms = tuple((index, coefficient) for index, coefficient in self._terms.items() if coefficient)
        return Affine(terms, self._offset) if terms else self._offset


def _is_phased(gate: Gate, recipes: dict[str, Plan]) -> bool:
    if gate.name not in recipes and gate.name != "gphase":
        return False
    return any(isinstance(angle, Affine) for angle in gate.angles)


def _any_phased(operations: Iterable[Operation], recipes: dict[str, Plan]) -> bool:
    for op in operations:
        match op:
            case Gate():
                found = _is_phased(op, recipes)
            case IfElse():
                found = _any_phased((*op.then, *op.otherwise), recipes)
            case While():
                found = _any_phased(op.body, recipes)
            case _:
                found = False
        if found:
            return True
    return False


def _written(operations: Iterable[Operation], recipes: dict[str, Plan], phase: _Sum) -> tuple[Operation, ...]:
    found: list[Operation] = []
    for op in operations:
        match op:
            case Gate() if not _is_phased(op, recipes):
                found.append(op)
            case Gate(name="gphase"):
                phase.add(op.angles[0])
            case Gate():
                plan = recipes[op.name]
                found += plan.applied(op.qubits, op.angles)
                phase.add(substituted(plan.phase, op.angles))
            case IfElse():
                then, otherwise = (_written(block, recipes, _Sum()) for block in (op.then, op.otherwise))
                found.append(IfElse(op.clbits, op.value, then, otherwise))
            case While():
                found.append(While(op.clbits, op.value, _written(op.body, recipes, _Sum()), op.max_trips))
            case _:
                found.append(op)
    return tuple(found)


@cache
def _recipes(native: frozenset[str]) -> dict[str, Plan]:
    """Of the gates that bring a phase on their way to `native`, in native gates and those of two qubits."""
    by_p = "rz" not in native and bool(native & {"p", "u"})
    phased = (_OF_RZ if by_p else _OF_P) - native
    # Diagonal on both qubits, and on most devices no worse than its controlled forms.
    entangling = {name for name, gate in GATES.items() if gate.num_qubits > 1 and not gate.num_angles}
    steps = native | entangling | (frozenset() if by_p else {"rzz"})
    known = plans(steps - {"gphase"})
    return {name: known[name] for name in phased if name in known}
