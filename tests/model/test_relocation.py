"""What is asked of a program, as it is asked of the one that tools made of it."""

from __future__ import annotations

import pytest

from qfw.model.errors import UnsupportedFeature
from qfw.model.outputs import Counts, Memory, Probabilities
from qfw.model.program import Gate, Measure, Operation, Program
from qfw.model.relocation import Relocation

BARE = Program(2, 0, 0, (Gate("h", (0,)),))


def moved(*measured: Operation, clbits: int = 2) -> Relocation:
    """BARE on qubits 4 and 1 of five."""
    return Relocation(BARE, Program(5, clbits, 0, (Gate("h", (4,)), *measured)), (4, 1))


def test_counts_of_a_program_that_measures_nothing_need_one_that_measures_for_it() -> None:
    asked = (Counts(), Memory(), Probabilities())
    for_it = moved(Measure(4, 0), Measure(1, 1))
    for_it.check()
    assert for_it.outputs(asked) == (Counts(), Memory(), Probabilities((4, 1)))


@pytest.mark.parametrize(
    "relocation",
    [
        moved(),
        moved(Measure(4, 0)),
        moved(Measure(1, 0), Measure(4, 1)),
        moved(Measure(4, 0), Measure(1, 1), clbits=3),
    ],
    ids=["nothing", "one qubit", "the other way round", "a bit too many"],
)
def test_other_counts_are_refused(relocation: Relocation) -> None:
    with pytest.raises(UnsupportedFeature, match="measures nothing"):
        relocation.outputs((Counts(),))
