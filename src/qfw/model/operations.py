"""Walks over operations: what they act on, and the same ones on other qubits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Reset, While


def flat(operations: Iterable[Operation]) -> Iterator[Gate | Measure | Reset | Barrier | Delay]:
    """All operations in order, those of nested blocks in their block's place."""
    for op in operations:
        match op:
            case IfElse():
                yield from flat(op.then)
                yield from flat(op.otherwise)
            case While():
                yield from flat(op.body)
            case _:
                yield op


def qubits_of(operations: Iterable[Operation]) -> set[int]:
    """Qubits that operations name: those that are acted on, held by a barrier, or delayed."""
    found: set[int] = set()
    for op in flat(operations):
        if isinstance(op, Gate | Barrier):
            found.update(op.qubits)
        else:
            found.add(op.qubit)
    return found


def acted_on(operations: Iterable[Operation]) -> set[int]:
    """Qubits that are turned, measured or reset; not those that are only held or delayed."""
    return qubits_of(op for op in flat(operations) if isinstance(op, Gate | Measure | Reset))


def moved(operations: Iterable[Operation], places: Sequence[int]) -> tuple[Operation, ...]:
    """The operations with qubit q at places[q], in nested blocks too; classical bits stay."""
    return tuple(_moved(op, places) for op in operations)


def _moved(op: Operation, places: Sequence[int]) -> Operation:
    match op:
        case Gate():
            return Gate(op.name, tuple(places[q] for q in op.qubits), op.angles)
        case Measure():
            return Measure(places[op.qubit], op.clbit)
        case Reset():
            return Reset(places[op.qubit])
        case Delay():
            return Delay(places[op.qubit], op.duration_ns)
        case Barrier():
            return Barrier(tuple(places[q] for q in op.qubits))
        case IfElse():
            return IfElse(op.clbits, op.value, moved(op.then, places), moved(op.otherwise, places))
        case While():
            return While(op.clbits, op.value, moved(op.body, places), op.max_trips)
