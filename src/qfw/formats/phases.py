"""Programs whose gates bring no phase by slots when others make native gates of them.

To make native gates of a `p(θ)` is to write a phase of θ/2 beside them. Who does so gate by gate with expressions
carries a sum of all of them along, copied and evaluated at each gate. Here such gates are written before, in gates
that bring none, and what phase there is is added up slot by slot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache

from qfw.formats.lowering import Plan, plans, steps
from qfw.formats.recipes import substituted
from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Gate, IfElse, Operation, Program, While


def without_phases(program: Program, native: Collection[str]) -> Program:
    """The program with such gates written in others for a native set; the same object where it has none.

    Gates without slots, native ones and those that bring no such phase stay as they are. The others become native
    ones, cx, and single-qubit gates without angles. A phase by slots is dropped, as nobody can observe it; where
    `gphase` is native it is written once at the end of its block.
    """
    names = frozenset(native)
    phased = _phased(names)
    operations = _written(program.operations, phased, keeps="gphase" in names)
    if operations is program.operations:
        return program
    return Program(program.num_qubits, program.num_clbits, program.num_slots, operations)


@cache
def _phased(native: frozenset[str]) -> dict[str, Plan]:
    """How to make those gates that may bring a phase by slots."""
    known = plans(_bricks(native))
    # Where even rz brings one, so may every gate of two qubits whose definition, which is not known here, has it.
    turns = "rz" in known and known["rz"].phased and "rz" not in native
    return {
        name: plan
        for name, plan in known.items()
        if name not in native and (plan.phased or (turns and GATES[name].num_qubits > 1))
    }


def _bricks(native: frozenset[str]) -> frozenset[str]:
    """What gates are written in: native ones, cx, and those of one qubit that have no angle."""
    constant = {name for name, spec in GATES.items() if spec == (1, 0)}
    return frozenset({*(native & GATES.keys()), *constant, "cx"} - {"gphase"})


def _by_slots(angle: Angle) -> bool:
    return isinstance(angle, Affine) and bool(angle.terms)


def _written(
    operations: tuple[Operation, ...], phased: Mapping[str, Plan], *, keeps: bool
) -> tuple[Operation, ...]:
    """Operations of a block, the same object where there is nothing to write."""
    out: list[Operation] = []
    phases: list[Angle] = []
    changed = False
    for op in operations:
        if type(op) is Gate and op.name != "gphase" and op.name not in phased:
            out.append(op)
            continue
        match op:
            case Gate("gphase", _, (angle,)) if _by_slots(angle):
                phases.append(angle)
            case Gate(name, qubits, angles) if name in phased and any(map(_by_slots, angles)):
                plan = phased[name]
                out += steps(plan, qubits, angles)
                phases.append(substituted(plan.phase, angles))
            case IfElse(clbits, value, then, otherwise):
                yes = _written(then, phased, keeps=keeps)
                no = _written(otherwise, phased, keeps=keeps)
                same = yes is then and no is otherwise
                out.append(op if same else IfElse(clbits, value, yes, no))
                changed = changed or not same
            case While(clbits, value, body, max_trips):
                block = _written(body, phased, keeps=keeps)
                out.append(op if block is body else While(clbits, value, block, max_trips))
                changed = changed or block is not body
            case _:
                out.append(op)
    if not phases:
        return tuple(out) if changed else operations
    if keeps:
        out.append(Gate("gphase", (), (_total(phases),)))
    return tuple(out)


def _total(angles: Sequence[Angle]) -> Angle:
    """The sum, in time that grows with the number of terms."""
    offset, terms = 0.0, dict[int, float]()
    for angle in angles:
        if not isinstance(angle, Affine):
            offset += angle
            continue
        offset += angle.offset
        for index, coefficient in angle.terms:
            terms[index] = terms.get(index, 0.0) + coefficient
    kept = tuple((index, coefficient) for index, coefficient in sorted(terms.items()) if coefficient)
    return Affine(kept, offset) if kept else offset
