"""Programs are checked gate by gate, and come back of their bytes as they are."""

from __future__ import annotations

import gc
from math import inf, nan

import pytest

from qfw.model.errors import ParameterError, ProgramError
from qfw.model.program import Affine, Gate, IfElse, Program, slot

RIGHT = (
    Gate("h", (2,)),
    Gate("rx", (0,), (1,)),
    Gate("rz", (0,), (slot(1, -2.0, 0.5),)),
    Gate("cx", (0, 2)),
    Gate("ccx", (2, 0, 1)),
    Gate("gphase", (), (0.25,)),
)


def test_right_gates_pass() -> None:
    Program(3, 0, 2, RIGHT).check()


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        (Gate("hh", (0,)), "no gate is called 'hh'"),
        (Gate("h", (3,)), "qubit 3 is outside 0..2"),
        (Gate("h", (-1,)), "qubit -1"),
        (Gate("h", ()), "takes 1 qubits"),
        (Gate("h", (0,), (0.5,)), "and 0 angles"),
        (Gate("cx", (1, 1)), "names a qubit twice"),
        (Gate("cx", (1, 3)), "qubit 3"),
        (Gate("cx", (-1, 1)), "qubit -1"),
        (Gate("ccx", (0, 1, 0)), "names a qubit twice"),
        (Gate("rx", (0,), (nan,)), "must be finite"),
        (Gate("rx", (0,), (inf,)), "must be finite"),
        (Gate("rx", (0,), (slot(2),)), "slot 2 is outside 0..1"),
        (Gate("rx", (0,), (slot(-1),)), "slot -1"),
        (Gate("rx", (0,), (slot(0, inf),)), "must be finite"),
        (Gate("rx", (0,), (Affine(((0, 1.0), (1, nan)), 0.0),)), "must be finite"),
        (Gate("rx", (0,), (slot(0, 1.0, nan),)), "must be finite"),
    ],
)
def test_a_wrong_gate_is_named_with_its_place(gate: Gate, says: str) -> None:
    for operations in ((*RIGHT, gate), (*RIGHT, IfElse((0,), 1, (*RIGHT, gate)))):
        with pytest.raises((ProgramError, ParameterError), match=rf"operation 6: .*{says}"):
            Program(3, 1, 2, operations).check()


def test_canonical_is_what_is_decoded() -> None:
    program = Program(3, 0, 2, RIGHT)
    found = program.canonical()
    assert found == Program.decode(program.encoded) and found.encoded == program.encoded
    # An int where an angle belongs is the float that it is.
    assert type(found.operations[1].angles[0]) is float  # type: ignore[union-attr]
    with pytest.raises(ProgramError):
        Program(1, 0, 0, (Gate("rx", (0,), ("a",)),)).canonical()  # type: ignore[arg-type]


def test_the_garbage_collector_does_not_go_through_operations() -> None:
    assert not any(gc.is_tracked(op) for op in Program.decode(Program(3, 0, 2, RIGHT).encoded).operations)
