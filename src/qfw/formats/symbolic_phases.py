"""Programs without global phases of slots, for compilers that keep one expression for the phase of a circuit.

A gate whose recipe in native gates brings a phase adds to that expression, once for each gate, and what works with
expressions as trees takes a time that doubles with every few gates. Here such gates are written in others before, and
their phase is kept aside, as an affine function of the slots.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from qfw.formats.lowering import Plan, plans
from qfw.formats.recipes import added, substituted
from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Gate, IfElse, Operation, Program, While

#: Exact in rz, ry and rx but for a phase; and the other way round.
_OF_P = frozenset({"p", "u", "cp", "cu"})
_OF_RZ = frozenset({"rx", "ry", "rz", "u", "cp", "crx", "cry", "crz", "cu", "rxx", "ryy", "rzz"})


def without(program: Program, native: Iterable[str]) -> tuple[Program, Angle]:
    """The program with gates whose phase depends on slots written in others, and the phase that it then lacks.

    What is left to write in native gates brings constant phases only. Phases within blocks are left out: nothing can
    see them.

    Args:
        program: slots and everything but such gates stay.
        native: gates of the device; written out is what is none of them.
    """
    recipes = _recipes(frozenset(native))
    operations, phase = _written(program.operations, recipes)
    if operations == program.operations:
        return program, 0.0
    return Program(program.num_qubits, program.num_clbits, program.num_slots, operations), phase


def _written(
    operations: tuple[Operation, ...], recipes: dict[str, Plan]
) -> tuple[tuple[Operation, ...], Angle]:
    found: list[Operation] = []
    phase: Angle = 0.0
    for op in operations:
        match op:
            case Gate():
                if not any(isinstance(angle, Affine) for angle in op.angles):
                    found.append(op)
                elif op.name == "gphase":
                    phase = added(phase, op.angles[0])
                elif (plan := recipes.get(op.name)) is None:
                    found.append(op)
                else:
                    found += plan.applied(op.qubits, op.angles)
                    phase = added(phase, substituted(plan.phase, op.angles))
            case IfElse():
                then, otherwise = (_written(block, recipes)[0] for block in (op.then, op.otherwise))
                found.append(IfElse(op.clbits, op.value, then, otherwise))
            case While():
                found.append(While(op.clbits, op.value, _written(op.body, recipes)[0], op.max_trips))
            case _:
                found.append(op)
    return tuple(found), phase


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
