"""Parts that wait for each other as one program: every order, deadlocks, and work that grows with the program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from random import Random
from types import FrameType
from typing import Any

import pytest

from qfw.model.program import Barrier, Gate, IfElse, Measure, Operation, Program, Reset
from qfw.toolchain import teleport, teleport_merging
from qfw.toolchain.teleport_merging import merged
from tests.engines.branches import exact

#: Bits of parts that are made up: 0 to 2 of the program, 3 to 8 told, 9 to 11 markers.
TOLD = range(3, 9)
ENDS = (True, False, True)


def named(op: Operation) -> tuple[set[int], set[int]]:
    """Qubits and bits of an operation of these tests."""
    match op:
        case Gate() | Barrier():
            return set(op.qubits), set()
        case Measure():
            return {op.qubit}, {op.clbit}
        case IfElse(clbits, _, (Gate(_, qubits, _),), ()):
            return set(qubits), set(clbits)
    raise AssertionError(op)


def made_up(random: Random) -> list[list[Operation]]:
    """Three parts of two qubits each; half of the time in an order of which nobody knows whether it can be run."""
    parts: list[list[Operation]] = [[], [], []]
    for bit in TOLD:
        teller, listener = random.sample(range(3), 2)
        parts[teller].append(Measure(2 * teller + random.randrange(2), bit))
        parts[listener].append(IfElse((bit,), 1, (Gate("x", (2 * listener + random.randrange(2),)),)))
    for marker in range(3):
        for part in random.sample(range(3), 2):
            parts[part].append(Measure(2 * part + random.randrange(2), TOLD.stop + marker))
    for part, operations in enumerate(parts):
        for _ in range(random.randrange(4)):
            one, other = 2 * part, 2 * part + 1
            more = random.choice([Gate("h", (one,)), Gate("cz", (one, other)), Barrier((one, other))])
            operations.insert(random.randrange(len(operations) + 1), more)
        if random.randrange(2):
            random.shuffle(operations)
    return parts


def can_be_run(parts: Sequence[Sequence[Operation]]) -> bool:
    """By trying: what nothing before it holds goes, until nothing does."""
    left = [list(operations) for operations in parts]
    known: set[int] = set()
    while any(left):
        at = {}
        for part, operations in enumerate(left):
            for place, op in enumerate(operations):
                before = [named(other) for other in operations[:place]]
                if all(named(op)[k].isdisjoint(each[k]) for each in before for k in (0, 1)):
                    at[part, place] = op
        markers = [op.clbit for op in at.values() if isinstance(op, Measure) and op.clbit >= TOLD.stop]
        going = []
        for key, op in at.items():
            if isinstance(op, Measure):
                if op.clbit < TOLD.stop or markers.count(op.clbit) == 2:
                    going.append(key)
            elif all(bit in known for bit in named(op)[1]):
                going.append(key)
        if not going:
            return False
        for part, place in sorted(going, reverse=True):
            op = left[part].pop(place)
            if isinstance(op, Measure):
                known.add(op.clbit)
    return True


def follow(parts: Sequence[Sequence[Operation]], found: Sequence[Operation]) -> None:
    """Goes through what was made: every operation is the next one on all its qubits and bits, and all are there."""
    queues: dict[tuple[str, int, int], list[tuple[int, Operation]]] = {}
    number = 0
    for part, operations in enumerate(parts):
        for op in operations:
            qubits, bits = named(op)
            for key in [("qubit", part, q) for q in qubits] + [("bit", part, b) for b in bits]:
                queues.setdefault(key, []).append((number, op))
            number += 1
    total, known = number, set()
    taken = set()

    def take(op: Operation) -> None:
        qubits, bits = named(op)
        part = min(qubits) // 2
        heads = {queues[key].pop(0) for key in [("qubit", part, q) for q in qubits]}
        heads |= {queues["bit", part, bit].pop(0) for bit in bits}
        ((at, wanted),) = heads
        assert wanted == op and at not in taken
        taken.add(at)

    at = 0
    while at < len(found):
        op = found[at]
        if isinstance(op, Reset):
            first, second = found[at : at + 2]
            assert isinstance(first, Reset) and isinstance(second, Reset)
            ports = first.qubit, second.qubit
            assert found[at + 2 : at + 4] == (Gate("h", ports[:1]), Gate("cx", ports))
            bits = set()
            for port in ports:
                marker = queues["qubit", port // 2, port][0][1]
                take(marker)
                bits |= named(marker)[1]
            (bit,) = bits
            assert ENDS[bit - TOLD.stop] == (ports[0] < ports[1])
            at += 4
            continue
        if isinstance(op, IfElse):
            assert known.issuperset(op.clbits)
        take(op)
        if isinstance(op, Measure):
            assert op.clbit < TOLD.stop
            known.add(op.clbit)
        at += 1
    assert len(taken) == total


def test_whatever_the_parts_they_are_merged_in_an_order_in_which_nothing_waits() -> None:
    random = Random(5)
    able = 0
    for _ in range(600):
        parts = made_up(random)
        found = merged(parts, TOLD, ENDS)
        assert (found is not None) == can_be_run(parts), parts
        if found is not None:
            able += 1
            follow(parts, found)
    assert 60 < able < 540


def test_parts_that_wait_for_each_other_are_not_merged() -> None:
    def turned(bit: int, qubit: int) -> Operation:
        return IfElse((bit,), 1, (Gate("x", (qubit,)),))

    one = [turned(4, 0), Measure(0, 3)]
    assert merged([one, [turned(3, 2), Measure(2, 4)]], TOLD, ENDS) is None
    assert merged([one, [Measure(2, 4), turned(3, 2)]], TOLD, ENDS) == (
        Measure(2, 4),
        turned(4, 0),
        Measure(0, 3),
        turned(3, 2),
    )
    # A bit that nobody measures, pairs in different orders, and a marker that was lost.
    assert merged([one, [Gate("h", (2,))]], TOLD, ENDS) is None
    assert merged([[Measure(0, 9), Measure(0, 10)], [Measure(2, 10), Measure(2, 9)]], TOLD, ENDS) is None
    assert merged([[Measure(0, 9)], [Gate("h", (2,))]], TOLD, ENDS) is None


@pytest.mark.parametrize("parts", [(0, 1), (1, 0)])
@pytest.mark.parametrize("last", [0, 1])
def test_of_measurements_into_one_bit_the_last_one_is_seen(parts: tuple[int, ...], last: int) -> None:
    program = Program(2, 1, 0, (Gate("x", (0,)), Measure(1 - last, 0), Measure(last, 0)))
    found = teleport.distributed(
        teleport.normal(program), parts, (2, 2), lambda local, part: Program(2, *_rest(local))
    )
    assert exact(program) == exact(found.program) == {1 - last: 1.0}


def long(pairs: int) -> Program:
    """Ten gates for each pair, on five qubits of either part."""
    random = Random(3)
    operations: list[Operation] = []
    for _ in range(pairs):
        for _ in range(8):
            half = random.choice((range(5), range(5, 10)))
            operations.append(Gate("cz", tuple(random.sample(half, 2))))
        control = random.randrange(5)
        operations += [Gate("cx", (control, random.randrange(5, 10))), Gate("h", (control,))]
    return Program(10, 10, 0, (*operations, *(Measure(q, q) for q in range(10))))


def test_work_grows_as_the_program_does() -> None:
    lines = {}
    for pairs in (500, 2000):
        program = teleport.normal(long(pairs))

        def made(program: Program = program) -> teleport.Distributed:
            return teleport.distributed(
                program, [0] * 5 + [1] * 5, (6, 6), lambda local, part: Program(6, *_rest(local))
            )

        found, lines[pairs] = counted(made)
        assert (found.pairs, len(program.operations)) == (pairs, 10 * pairs + 10)
    assert lines[2000] < 4.4 * lines[500]


def counted(act: Callable[[], Any]) -> tuple[Any, int]:
    """What `act` gives, and the lines of the two modules that were run for it."""
    files = {teleport.__file__, teleport_merging.__file__}
    lines = 0

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return local

    def every(frame: FrameType, event: str, argument: Any) -> Any:
        return local if frame.f_code.co_filename in files else None

    before = sys.gettrace()
    sys.settrace(every)
    try:
        return act(), lines
    finally:
        sys.settrace(before)


def _rest(program: Program) -> tuple[Any, ...]:
    return program.num_clbits, program.num_slots, program.operations
