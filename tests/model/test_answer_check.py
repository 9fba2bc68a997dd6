"""Each way in which an answer can be wrong."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from qfw.model.answer_check import STEP, check_answers, checking
from qfw.model.errors import WrongAnswer
from qfw.model.observable import PauliSum
from qfw.model.outputs import (
    Answer,
    Array,
    Counts,
    CountsAnswer,
    Expectation,
    ExpectationAnswer,
    Memory,
    MemoryAnswer,
    Output,
    Probabilities,
    ProbabilitiesAnswer,
    Statevector,
    StatevectorAnswer,
    encode_answers,
)
from qfw.model.program import Program

PROGRAM, SETS = Program(2, 0, 0, ()), 2
Z0 = Expectation((PauliSum.of("Z0"),))


def of(values: object, dtype: str) -> Array:
    return Array.of(np.array(values, dtype=dtype))


COUNTS = CountsAnswer(2, of([[0], [3], [1]], "u8"), of([4, 6, 10], "i8"), of([0, 2, 3], "i8"))
MEMORY = MemoryAnswer(2, of(np.zeros((2, 10, 1)), "u8"))
VALUES = ExpectationAnswer(of([[0.5], [1]], "f8"), of([[0.1], [0]], "f8"))
ODDS = ProbabilitiesAnswer(of([[0.5, 0.5, 0, 0], [0, 0, 0, 1]], "f8"))
STATE = StatevectorAnswer(of([[1, 0, 0, 0], [0, 0, 0, 1j]], "c16"))


def check(output: Output, answer: Answer, shots: int = 10) -> None:
    check_answers(encode_answers((answer,)), (output,), PROGRAM, SETS, shots)


def test_right_answers_are_right() -> None:
    check(Counts(), COUNTS)
    check(Memory(), MEMORY)
    check(Z0, VALUES)
    check(Probabilities(), ODDS)
    check(Statevector(), STATE, 0)


@pytest.mark.parametrize(
    ("output", "answer", "changes"),
    [
        (Counts(), COUNTS, {"num_bits": 3}),
        (Counts(), COUNTS, {"outcomes": of([[0], [4], [1]], "u8")}),
        (Counts(), COUNTS, {"outcomes": of([[0], [0], [1]], "u8")}),
        (Counts(), COUNTS, {"outcomes": of([[0], [1]], "u8")}),
        (Counts(), COUNTS, {"counts": of([4, 5, 10], "i8")}),
        (Counts(), COUNTS, {"counts": of([-4, 14, 10], "i8")}),
        (Counts(), COUNTS, {"counts": of([4, 6, 10], "u8")}),
        (Counts(), COUNTS, {"offsets": of([0, 3, 2], "i8")}),
        (Counts(), COUNTS, {"offsets": of([1, 2, 3], "i8")}),
        (Counts(), COUNTS, {"offsets": of([0, 3], "i8")}),
        (Memory(), MEMORY, {"outcomes": of(np.full((2, 10, 1), 4), "u8")}),
        (Memory(), MEMORY, {"outcomes": of(np.zeros((2, 9, 1)), "u8")}),
        (Memory(), MEMORY, {"num_bits": 1}),
        (Z0, VALUES, {"values": of([[0.5]], "f8")}),
        (Z0, VALUES, {"values": of([[np.nan], [1]], "f8")}),
        (Z0, VALUES, {"standard_errors": of([[-1], [1]], "f8")}),
        (Z0, VALUES, {"standard_errors": of([[np.inf], [1]], "f8")}),
        (Probabilities(), ODDS, {"values": of([[0.5, 0.5, 0, 0], [0, 0, 0, 0.9]], "f8")}),
        (Probabilities(), ODDS, {"values": of([[-0.5, 1.5, 0, 0], [0, 0, 0, 1]], "f8")}),
        (Probabilities((0,)), ODDS, {}),
        (Statevector(), STATE, {"values": of([[2, 0, 0, 0], [0, 0, 0, 1j]], "c16")}),
        (Statevector(), STATE, {"values": of([[np.nan, 0, 0, 0], [0, 0, 0, 1j]], "c16")}),
        (Z0, ODDS, {}),
    ],
)
def test_wrong_answers_are_found(output: Output, answer: Answer, changes: dict[str, object]) -> None:
    with pytest.raises(WrongAnswer):
        check(output, msgspec.structs.replace(answer, **changes))


def test_bytes_that_are_no_answers_and_a_wrong_number_of_them() -> None:
    with pytest.raises(WrongAnswer, match="cannot be read"):
        check_answers(b"\xc1", (Z0,), PROGRAM, SETS, 10)
    with pytest.raises(WrongAnswer, match="1 outputs were asked for; 2"):
        check_answers(encode_answers((VALUES, VALUES)), (Z0,), PROGRAM, SETS, 10)
    lie = msgspec.structs.replace(VALUES, values=Array("<f8", (2, 1), b"", memoryview(bytes(8))))
    with pytest.raises(WrongAnswer, match="cannot be read"):
        check(Z0, lie)


def test_small_answers_share_a_step_and_large_ones_take_several() -> None:
    many = 1000
    odds = ProbabilitiesAnswer(Array.of(np.full((many, 4), 0.25)))
    small = encode_answers((VALUES, VALUES, ODDS))
    assert list(checking(small, (Z0, Z0, Probabilities()), PROGRAM, SETS, 10)) == []
    assert len(list(checking(encode_answers((odds,)), (Probabilities(),), PROGRAM, many, 10))) < 3
    wide = Program(2, 0, 0, ()), 2 * STEP
    values = Array.of(np.zeros((wide[1], 1)))
    large = encode_answers((ExpectationAnswer(values, values),))
    assert len(list(checking(large, (Z0,), *wide, 10))) == 4
