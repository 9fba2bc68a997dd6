"""The programs of parts that wait for each other, as one: in an order in which nothing waits for what comes later."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from qfw.model.operations import qubits_of
from qfw.model.program import Gate, IfElse, Measure, Operation, Reset, While


def merged(
    parts: Sequence[Iterable[Operation]], told: range, lower_first: Sequence[bool]
) -> tuple[Operation, ...] | None:
    """All operations of the parts, each part's as its qubits and bits hold them in order; linear in their number.

    Args:
        parts: operations of each, on qubits that are its own.
        told: classical bits that one part measures and that others look at. A measurement into a bit behind these is a
            marker: there, with the part that has the other one of that bit, a pair is made on the measured qubits.
        lower_first: for each of those bits whether the first half of its pair is with the lower part.

    Returns:
        None where parts wait for each other.
    """
    graph = _Graph(told)
    for operations in parts:
        graph.add(operations)
    graph.connect()
    return graph.merged(lower_first)


def bits_of(op: Operation) -> set[int]:
    """Classical bits that an operation writes or looks at."""
    match op:
        case Measure():
            return {op.clbit}
        case IfElse():
            return set(op.clbits).union(*map(bits_of, (*op.then, *op.otherwise)))
        case While():
            return set(op.clbits).union(*map(bits_of, op.body))
        case _:
            return set()


class _Graph:
    """What follows each operation, by number; lowering puts operations that share nothing in any order."""

    def __init__(self, told: range) -> None:
        self._told = told
        self._operations: list[Operation] = []
        #: Of each operation: how many it waits for, and which wait for it.
        self._waits: list[int] = []
        self._behind: list[list[int]] = []
        #: Bits that are told: who measures them, and who looks at them.
        self._tellers: dict[int, int] = {}
        self._listeners: list[tuple[int, int]] = []

    def add(self, operations: Iterable[Operation]) -> None:
        """A part: each operation follows the last one before it on each of its qubits and bits."""
        on_qubit: dict[int, int] = {}
        on_bit: dict[int, int] = {}
        for op in operations:
            number = len(self._operations)
            qubits, bits = qubits_of((op,)), bits_of(op)
            before = {on_qubit[qubit] for qubit in qubits if qubit in on_qubit}
            before.update(on_bit[bit] for bit in bits if bit in on_bit)
            on_qubit.update(dict.fromkeys(qubits, number))
            on_bit.update(dict.fromkeys(bits, number))
            self._operations.append(op)
            self._waits.append(len(before))
            self._behind.append([])
            for other in before:
                self._behind[other].append(number)
            if isinstance(op, Measure):
                self._tellers.setdefault(op.clbit, number)
            else:
                self._listeners += ((number, bit) for bit in bits if bit in self._told)

    def connect(self) -> None:
        """Behind all parts: who looks at a bit that is told follows the measurement; forever where there is none."""
        for listener, bit in self._listeners:
            self._waits[listener] += 1
            if bit in self._tellers:
                self._behind[self._tellers[bit]].append(listener)

    def merged(self, lower_first: Sequence[bool]) -> tuple[Operation, ...] | None:
        """As the function."""
        found: list[Operation] = []
        ready = deque(number for number, waits in enumerate(self._waits) if not waits)
        #: By bit: the markers that only wait for their other half; their numbers and qubits.
        halves: dict[int, list[tuple[int, int]]] = {}
        left = len(self._operations)
        while ready:
            number = ready.popleft()
            op = self._operations[number]
            done = [number]
            if isinstance(op, Measure) and op.clbit >= self._told.stop:
                both = halves.setdefault(op.clbit, [])
                both.append((number, op.qubit))
                if len(both) < 2:
                    continue
                # Those of lower parts have lower numbers.
                both.sort(reverse=not lower_first[op.clbit - self._told.stop])
                done = [marker for marker, _ in both]
                found += _pair(*(qubit for _, qubit in both))
            else:
                found.append(op)
            left -= len(done)
            for each in done:
                for behind in self._behind[each]:
                    self._waits[behind] -= 1
                    if not self._waits[behind]:
                        ready.append(behind)
        return None if left else tuple(found)


def _pair(first: int, second: int) -> tuple[Operation, ...]:
    return Reset(first), Reset(second), Gate("h", (first,)), Gate("cx", (first, second))
