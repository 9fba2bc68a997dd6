"""Folding: programs that do the same with more noise, by doing, undoing and doing again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from qfw.model.program import Barrier, Delay, Gate, Measure, Operation, Program
from qfw.toolchain.mitigate_inverses import Inverses


class Folded(NamedTuple):
    """A program that does the same."""

    program: Program
    #: How many times as many gates of two or more qubits it has; where there are none, gates.
    factor: float


#: From a program, a factor of at least 1, and the inverses of its gates.
Folding = Callable[[Program, float, Inverses], Folded]


def local(program: Program, factor: float, inverses: Inverses) -> Folded:
    """Each gate G of two or more qubits as G, G⁻¹, G, and so on; some once more than others where that comes nearer.

    Barriers stand between the copies, on the qubits of the gate, so that nothing behind takes them for needless.
    Where there is none the program stays as it is.
    """
    total = sum(map(_is_wide, program.operations))
    if not total:
        return Folded(program, 1.0)
    pairs = round((factor - 1) / 2 * total)
    everywhere, more = divmod(pairs, total)
    operations: list[Operation] = []
    seen = 0
    for op in program.operations:
        operations.append(op)
        if isinstance(op, Gate) and _is_wide(op):
            # The gates that are folded once more lie evenly among the others.
            times = everywhere + ((seen + 1) * more // total - seen * more // total)
            seen += 1
            barrier = Barrier(op.qubits)
            again: tuple[Operation, ...] = (barrier, *inverses.of(op), barrier, op)
            operations += again * times
    return Folded(_with(program, operations), 1 + 2 * pairs / total)


def everything(program: Program, factor: float, inverses: Inverses) -> Folded:
    """The program U as U, U⁻¹, U, and so on; then its last part L as L⁻¹, L where that comes nearer to the factor.

    Measurements come behind. Barriers stand between the copies, on all qubits that the program uses. Without gates it
    stays as it is.
    """
    body = [op for op in program.operations if not isinstance(op, Measure)]
    measured = [op for op in program.operations if isinstance(op, Measure)]
    while body and isinstance(body[-1], Barrier):
        body.pop()
    wide = [place for place, op in enumerate(body) if _is_wide(op)]
    counted = wide or [place for place, op in enumerate(body) if isinstance(op, Gate) and op.qubits]
    if not counted:
        return Folded(program, 1.0)
    pairs = round((factor - 1) / 2 * len(counted))
    whole, rest = divmod(pairs, len(counted))
    barrier = Barrier(tuple(sorted({qubit for op in body for qubit in _qubits(op)})))
    undone = _undone(body, inverses)
    operations: list[Operation] = [*body, *(barrier, *undone, barrier, *body) * whole]
    if rest:
        last = body[counted[-rest] :]
        operations += [barrier, *_undone(last, inverses), barrier, *last]
    return Folded(_with(program, [*operations, *measured]), 1 + 2 * pairs / len(counted))


def _is_wide(op: Operation) -> bool:
    return isinstance(op, Gate) and len(op.qubits) > 1


def _qubits(op: Operation) -> tuple[int, ...]:
    match op:
        case Gate():
            return op.qubits
        case Delay():
            return (op.qubit,)
    return ()


def _undone(operations: Sequence[Operation], inverses: Inverses) -> list[Operation]:
    found: list[Operation] = []
    for op in reversed(operations):
        if isinstance(op, Gate):
            found += inverses.of(op)
        else:
            # A wait is its own inverse, and so is a barrier.
            found.append(op)
    return found


def _with(program: Program, operations: Sequence[Operation]) -> Program:
    return Program(program.num_qubits, program.num_clbits, program.num_slots, tuple(operations))
