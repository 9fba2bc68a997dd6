"""Loops of OpenQASM on any condition of bits do what counting with whole numbers says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from exact_outcomes import outcomes

from qfw.formats import formulas
from qfw.formats.covers import MAX_WAYS, cover
from qfw.formats.formulas import Formula, TooManyTests, choice, equals, negated
from qfw.formats.openqasm import dumps, loads
from qfw.model.errors import UnsupportedFeature
from qfw.model.program import While

#: Every start of three bits alike; a trip counts up by one and turns qubit 3.
LOOP = """OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[3] c; bit turned;
h q[0]; h q[1]; h q[2];
c = measure q[0:2];
{bound}
while ({condition}) {{ ccx q[0], q[1], q[2]; cx q[0], q[1]; x q[0]; x q[3]; c = measure q[0:2]; }}
turned = measure q[3];
"""
CONDITIONS: dict[str, Callable[[int], bool]] = {
    "c != 2": lambda c: c != 2,
    "c < 3": lambda c: c < 3,
    "c <= 6": lambda c: c <= 6,
    "c > 4": lambda c: c > 4,
    "c >= 1": lambda c: c >= 1,
    "c[0] || !c[1]": lambda c: bool(c & 1 or not c & 2),
    "!c[2]": lambda c: not c & 4,
    "!(c == 6)": lambda c: c != 6,
    "c[0] ^ c[2]": lambda c: bool((c ^ c >> 2) & 1),
    "c[0] && c[1] || c[1] && !c[2] || c == 4": lambda c: c in (2, 3, 4, 7),
    "c == 1 || c == 2 || c == 5": lambda c: c in (1, 2, 5),
    "c[0:1] == 3 || c != 5 && c > 1": lambda c: c & 3 == 3 or (c != 5 and c > 1),
}


def counted(holds: Callable[[int], bool], trips: int) -> dict[str, float]:
    """Probabilities of `turned` and c after a loop of at most so many trips."""
    found: Counter[str] = Counter()
    for start in range(8):
        value, turns = start, 0
        while holds(value) and turns < trips:
            value, turns = (value + 1) % 8, turns + 1
        found[f"{turns % 2}{value:03b}"] += 1
    return {bits: number / 8 for bits, number in found.items()}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("trips", [None, 1, 3])
def test_a_loop_makes_the_trips_of_its_condition(condition: str, trips: int | None) -> None:
    bound = "" if trips is None else f"@qfw_max_trips {trips}"
    program = loads(LOOP.format(condition=condition, bound=bound))
    program.check()
    assert outcomes(program) == pytest.approx(counted(CONDITIONS[condition], trips or 100))
    assert loads(dumps(program)) == program


def test_an_equality_is_one_loop_also_where_it_is_said_otherwise() -> None:
    for condition in ("c == 4", "c[2] && c < 5", "!(c != 4)", "c > 3 && c < 5"):
        (loop,) = [
            op for op in loads(LOOP.format(condition=condition, bound="")).operations if isinstance(op, While)
        ]
        assert dict(zip(loop.clbits, f"{loop.value:03b}"[::-1], strict=True)) == {0: "0", 1: "0", 2: "1"}


def test_a_loop_that_nothing_ends_is_one_that_asks_nothing() -> None:
    program = loads(LOOP.format(condition="c[0] || c != 5", bound=""))
    assert [op.clbits for op in program.operations if isinstance(op, While)] == [()]


def test_loops_within_loops_keep_their_meaning() -> None:
    inner = "c = measure q[0:2]; while (c[0] || c[1]) {{ reset q[0]; reset q[1]; c = measure q[0:2]; }}"
    text = LOOP.replace("c = measure q[0:2]; }}", inner + " }}")
    found: Counter[str] = Counter()
    for start in range(8):
        value, turns = start, 0
        # Counts to the next value, whose two low bits the inner loop takes away.
        while value < 4 and turns < 3:
            value, turns = (value + 1) & 4, turns + 1
        found[f"{turns % 2}{value:03b}"] += 1
    program = loads(text.format(condition="c < 4", bound="@qfw_max_trips 3"))
    assert outcomes(program) == pytest.approx({bits: number / 8 for bits, number in found.items()})


@pytest.mark.parametrize(
    ("condition", "bound", "said"),
    [
        ("d != e", "", "holds in more than 8 separate ways"),
        ("d < 77", "@qfw_max_trips 10001", "a while of 10001 trips at most"),
    ],
)
def test_what_would_be_too_many_loops_is_refused_at_its_place(condition: str, bound: str, said: str) -> None:
    text = (
        f"OPENQASM 3.0;\nqubit[8] q; bit[8] d; bit[8] e;\n{bound}\n  while ({condition}) {{ d = measure q; }}"
    )
    with pytest.raises(UnsupportedFeature, match=said) as refusal:
        loads(text)
    assert str(refusal.value).startswith("line 4:3: ")


def test_covers_hold_where_their_formula_does() -> None:
    """Random formulas of up to five bits, compared for every value of the bits."""
    chance = random.Random(5)

    def drawn(depth: int) -> Formula:
        if depth == 0 or chance.random() < 0.2:
            return chance.random() < 0.5
        clbits = chance.sample(range(5), chance.randint(1, 3))
        test = equals(clbits, chance.randrange(1 << len(clbits)))
        assert not isinstance(test, bool)
        return choice(test.test, drawn(depth - 1), drawn(depth - 1))

    def holds(formula: Formula, value: int) -> bool:
        while not isinstance(formula, bool):
            formula = formula.then if asked(formula.test, value) else formula.otherwise
        return formula

    def asked(test: formulas.Test, value: int) -> bool:
        return all(value >> clbit & 1 == test.value >> place & 1 for place, clbit in enumerate(test.clbits))

    refused = 0
    for _ in range(400):
        formula = drawn(4)
        try:
            tests = cover(formula)
        except TooManyTests:
            refused += 1
            continue
        assert len(tests) <= MAX_WAYS
        for value in range(32):
            assert holds(formula, value) == any(asked(test, value) for test in tests)
        for idle in tests:
            rest = [test for test in tests if test is not idle]
            assert any(asked(idle, v) and not any(asked(test, v) for test in rest) for v in range(32))
    assert refused < 100


def test_a_formula_of_many_bits_gives_up_soon() -> None:
    formula: Formula = False
    for first in range(0, 120, 8):
        cube = equals(range(first, first + 8), 3)
        assert not isinstance(cube, bool)
        formula = choice(cube.test, False, negated(formula))
    with pytest.raises(TooManyTests):
        cover(formula)
