"""What is no program is refused when it is checked, not when it is sent."""

from __future__ import annotations

import pytest

from qfw.formats import openqasm
from qfw.model.errors import ProgramError
from qfw.model.program import Gate, IfElse, Measure, Operation, Program, While

BITS, BLOCK = tuple(range(70)), (Gate("x", (0,)),)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (IfElse(BITS, 1 << 69, BLOCK), "written in 64 bits; 590295810358705651712 is not"),
        (While(BITS, -(2**63) - 1, BLOCK, 3), "written in 64 bits"),
        (While((0,), 1, BLOCK, 2**64), "below 2\\*\\*63, not 18446744073709551616"),
        (While((0,), 1, BLOCK, 0), "max_trips >= 1"),
    ],
)
def test_numbers_that_no_message_holds(operation: Operation, words: str) -> None:
    program = Program(1, 70, 0, (Measure(0, 0), operation))
    with pytest.raises(ProgramError, match=f"operation 1: .*{words}"):
        program.check()
    with pytest.raises(ProgramError, match=words):
        openqasm.dumps(program)


def test_the_largest_numbers_travel() -> None:
    bits = tuple(range(64))
    program = Program(1, 64, 0, (IfElse(bits, 2**64 - 1, BLOCK), While(bits, 2**63, BLOCK, 2**63 - 1)))
    program.check()
    assert Program.decode(program.encoded) == program
