"""Walks reach what is nested, and tell apart what acts from what only holds."""

from __future__ import annotations

from qfw.model.operations import acted_on, flat, moved, qubits_of
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Reset, While

CX, READ, CLEAR = Gate("cx", (0, 1)), Measure(2, 0), Reset(3)
HOLD, WAIT, TURN = Barrier((4, 0)), Delay(5, 40), Gate("rz", (6,), (0.5,))
NESTED: tuple[Operation, ...] = (
    CX,
    IfElse((0,), 1, (READ, While((0,), 1, (CLEAR, HOLD), 3)), (WAIT,)),
    TURN,
)


def test_what_is_nested_comes_in_its_blocks_place() -> None:
    assert list(flat(NESTED)) == [CX, READ, CLEAR, HOLD, WAIT, TURN]


def test_what_only_holds_or_waits_does_not_act() -> None:
    assert qubits_of(NESTED) == {0, 1, 2, 3, 4, 5, 6}
    assert acted_on(NESTED) == {0, 1, 2, 3, 6}
    assert qubits_of(()) == acted_on(()) == set()


def test_qubits_move_in_every_block_and_bits_stay() -> None:
    assert moved(NESTED, range(10, 17)) == (
        Gate("cx", (10, 11)),
        IfElse(
            (0,), 1, (Measure(12, 0), While((0,), 1, (Reset(13), Barrier((14, 10))), 3)), (Delay(15, 40),)
        ),
        Gate("rz", (16,), (0.5,)),
    )
    assert moved(moved(NESTED, range(6, -1, -1)), range(6, -1, -1)) == NESTED
