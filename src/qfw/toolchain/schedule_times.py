"""When the operations of a stretch of a program begin: as soon, or as late, as their qubits allow.

A stretch has no branches and no loops. Times are whole nanoseconds from its begin, where all of its qubits are free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qfw.model.program import Barrier, Delay, Gate, Measure, Reset
from qfw.model.timing import Durations

#: What a stretch is made of.
Straight = Gate | Measure | Reset | Barrier | Delay


class Timed(NamedTuple):
    """An operation and when it happens."""

    op: Straight
    #: Qubits that it holds; of a barrier that names none all.
    qubits: tuple[int, ...]
    begin_ns: int
    end_ns: int


def timed(
    operations: Sequence[Straight], durations: Durations, num_qubits: int, late: bool
) -> tuple[Timed, ...]:
    """The operations in their order, with times; the last one ends at the same time either way.

    Args:
        operations: of the stretch.
        durations: of the device.
        num_qubits: of the program.
        late: as late as possible, else as soon as possible.

    Raises:
        UnsupportedFeature: the calibration does not have a gate on its qubits.
    """
    held = [(op, held_by(op, num_qubits), _lasts_ns(op, durations)) for op in operations]
    free: dict[int, int] = {}
    soon = []
    for op, qubits, lasts_ns in held:
        begin = max((free.get(qubit, 0) for qubit in qubits), default=0)
        free.update(dict.fromkeys(qubits, begin + lasts_ns))
        soon.append(Timed(op, qubits, begin, begin + lasts_ns))
    if not late:
        return tuple(soon)
    read, end_ns = read_last(operations), max((each.end_ns for each in soon), default=0)
    # What is not measured may go on as long as any gate does; gates before measurements come late, too.
    once = _late(held, read, end_ns, over_ns(soon))
    return _late(held, read, end_ns, over_ns(once))


def read_last(operations: Iterable[Straight]) -> set[int]:
    """Qubits to which nothing is done behind their measurement."""
    found: set[int] = set()
    for op in operations:
        if isinstance(op, Measure):
            found.add(op.qubit)
        elif isinstance(op, (Gate, Reset)):
            found.difference_update(held_by(op, 0))
    return found


def over_ns(happens: Iterable[Timed]) -> int:
    """When all is over but measurements, and the delays around them on their qubits: the other qubits are read then."""
    measured: set[int] = set()
    #: Ends of delays that no gate has followed so far.
    waits: dict[int, int] = {}
    found = 0
    for op, qubits, _, end_ns in happens:
        match op:
            case Measure():
                measured.add(op.qubit)
                waits.pop(op.qubit, None)
            case Delay():
                if op.qubit not in measured:
                    waits[op.qubit] = end_ns
            case _:
                found = max(found, end_ns)
                if not isinstance(op, Barrier):
                    measured.difference_update(qubits)
    return max([found, *waits.values()])


def _late(
    held: Sequence[tuple[Straight, tuple[int, ...], int]], read: set[int], end_ns: int, rest_ns: int
) -> tuple[Timed, ...]:
    due: dict[int, int] = {}
    found = []
    for op, qubits, lasts_ns in reversed(held):
        end = min((due.get(qubit, end_ns if qubit in read else rest_ns) for qubit in qubits), default=rest_ns)
        due.update(dict.fromkeys(qubits, end - lasts_ns))
        found.append(Timed(op, qubits, end - lasts_ns, end))
    return tuple(reversed(found))


def held_by(op: Straight, num_qubits: int) -> tuple[int, ...]:
    """Qubits that an operation acts on or holds."""
    match op:
        case Gate():
            return op.qubits
        case Barrier():
            return op.qubits or tuple(range(num_qubits))
        case _:
            return (op.qubit,)


def _lasts_ns(op: Straight, durations: Durations) -> int:
    match op:
        case Barrier():
            return 0
        case Delay():
            return op.duration_ns
        case _:
            return durations.of(op)
