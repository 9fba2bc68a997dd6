"""Constants come out as slots and back, wherever they are."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest

from qfw.model.constants import is_special, lifted, restored
from qfw.model.program import Delay, Gate, IfElse, Measure, Program, While, slot


def controlled(a: float, b: float, c: float) -> Program:
    """One slot, three constants and what stays."""
    return Program(
        2,
        1,
        1,
        (
            Gate("u", (0,), (a, pi / 2, slot(0, 2.0, 0.7))),
            Delay(1, 40),
            Measure(0, 0),
            IfElse((0,), 1, (Gate("rx", (1,), (b,)),), (Gate("h", (1,)),)),
            While((0,), 1, (Gate("ry", (0,), (c,)), Measure(0, 0)), 3),
        ),
    )


@pytest.mark.parametrize(
    ("reads", "values"), [("special", (0.1, 0.1, 0.3)), ("none", (0.1, pi / 2, 0.1, 0.3))]
)
def test_there_and_back(reads: str, values: tuple[float, ...]) -> None:
    program = controlled(0.1, 0.1, 0.3)
    found, taken = lifted(program, reads)
    found.check()
    assert taken == values and found.num_slots == 1 + len(values)
    assert restored(found, taken) == program
    # Independently of `restored`: as any program is bound.
    assert found.bound(np.array([0.4, *taken])) == program.bound([0.4])
    # Equal constants are no structure.
    assert lifted(controlled(0.2, 0.4, 0.5), reads)[0].digest == found.digest


def test_what_is_read_stays() -> None:
    program = controlled(0.1, 0.2, 0.3)
    assert lifted(program, "all") == (program, ())
    special, values = lifted(controlled(0.1, pi / 4, 0.3), "special")
    assert values == (0.1, 0.3) and special.digest != lifted(program, "special")[0].digest
    huge = Program(1, 0, 0, (Gate("rx", (0,), (1e100,)),))
    assert lifted(huge, "none") == (huge, ())


def test_sums_of_slots_become_offsets() -> None:
    sums = Gate("rz", (0,), (slot(0).__class__(((0, 2.0), (1, 3.0), (2, -1.0)), 0.5),))
    only = Gate("rx", (0,), (slot(2, 2.0, 1.0),))
    found = restored(Program(1, 0, 3, (sums, only)), (0.25, 0.125))
    assert found == Program(1, 0, 1, (Gate("rz", (0,), (slot(0, 2.0, 1.125),)), Gate("rx", (0,), (1.25,))))


def test_multiples_of_an_eighth_of_a_turn() -> None:
    assert all(is_special(k * pi / 4) and is_special(k * (pi / 4)) for k in range(-50, 50))
    assert not any(map(is_special, (1e-12, 0.3, pi / 8, pi / 4 + 1e-9)))
