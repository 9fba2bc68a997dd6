"""Bases are counted as whoever measures groups them."""

from __future__ import annotations

import random

import pytest

from qfw.model.bases import measured_bases
from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.outputs import Counts, Expectation, Memory, Output, Probabilities
from qfw.model.program import Program
from qfw.numerics.question import ask


def drawn(seed: int) -> tuple[Output, ...]:
    """Some observables on five qubits, and some bits that are read, in any order."""
    chance = random.Random(seed)

    def word() -> PauliTerm:
        qubits = chance.sample(range(5), chance.randrange(4))
        return PauliTerm(1.0, tuple(qubits), "".join(chance.choice("XYZZ") for _ in qubits))

    sums = [PauliSum(tuple(word() for _ in range(chance.randrange(1, 6)))) for _ in range(4)]
    read: list[Output] = chance.sample([Counts(), Memory(), Probabilities((0, 1))], chance.randrange(2))
    found = [*read, Expectation(tuple(sums[:2])), Expectation(tuple(sums[2:]))]
    chance.shuffle(found)
    return tuple(found)


@pytest.mark.parametrize("seed", range(50))
def test_as_many_as_are_measured(seed: int) -> None:
    outputs = drawn(seed)
    assert measured_bases(outputs) == max(1, len(ask(Program(5, 0, 0, ()), outputs, sampled=True).bases))


def test_something_is_measured_whatever_is_asked() -> None:
    assert measured_bases(()) == measured_bases((Counts(), Memory())) == 1
    assert measured_bases((Expectation((PauliSum.of({"": 1.0}),)),)) == 1
    assert measured_bases((Expectation((PauliSum.of({"X0": 1.0, "Z0": 1.0, "X1": 1.0}),)),)) == 2


def test_what_is_too_much_to_compare_counts_at_its_most() -> None:
    words = {"X0": 1.0, "Y0": 1.0, "Z0": 1.0, "X0 X1": 1.0, "X0 Z2": 1.0}
    asked = (Expectation((PauliSum.of(words),)),)
    assert measured_bases(asked) == 3 and measured_bases(asked, most_comparisons=2) == 5


def test_what_was_not_checked_yet_is_no_trouble() -> None:
    far = PauliSum((PauliTerm(1.0, (2**40, -1, 3), "X"),))
    assert measured_bases((Expectation((far,)),)) == 1
