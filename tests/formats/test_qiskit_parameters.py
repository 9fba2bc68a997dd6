"""Expressions of Qiskit as affine functions of slots: whichever way they are read, they are what Qiskit says."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("qiskit")

from qiskit.circuit import Parameter

from qfw.formats.qiskit_parameters import affine
from qfw.model.program import Affine

A, B = Parameter("a"), Parameter("b")
POSITION = {A: 3, B: 1}
POINTS = ((0.0, 0.0), (0.4, -1.3), (-2.2, 0.9))


def _value(angle: Any, a: float, b: float) -> float:
    if not isinstance(angle, Affine):
        return float(angle)
    return angle.offset + sum(c * {3: a, 1: b}[index] for index, c in angle.terms)


def _agrees(expression: Any) -> None:
    found = affine(expression, POSITION)
    assert found is not None
    for a, b in POINTS:
        wanted = float(expression.bind({p: {A: a, B: b}[p] for p in expression.parameters}))
        assert _value(found, a, b) == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_random_chains_of_sums_and_products_are_what_they_are() -> None:
    draw = random.Random(7)
    steps = (
        lambda e, v: e + v,
        lambda e, v: v + e,
        lambda e, v: e - v,
        lambda e, v: v - e,
        lambda e, v: e * v,
        lambda e, v: v * e,
        lambda e, v: e / v,
        lambda e, v: -e,
        lambda e, v: e + B,
        lambda e, v: (e + v) * 2 - A,
    )
    for _ in range(200):
        expression: Any = A
        for _ in range(draw.randrange(1, 7)):
            value = draw.choice((draw.uniform(0.1, 3.0), draw.randrange(1, 4)))
            expression = draw.choice(steps)(expression, value)
        if expression.parameters:
            _agrees(expression)


@pytest.mark.parametrize(
    "expression",
    [A + 1.5, 2 * A, (2 * A + 1) * -3, A * 0.5 * 4, 3 - A, A / 3, A + B, (A + B).assign(B, 0.25) + 1],
)
def test_known_forms(expression: Any) -> None:
    _agrees(expression)


@pytest.mark.parametrize(
    "expression", [A * A, A.sin(), A.abs() + 1, A.sin() * 2 + 1, 2 / (A + 1), A * B, (A + 1) * A, (A * A) + 1]
)
def test_what_is_not_affine_is_none(expression: Any) -> None:
    assert affine(expression, POSITION) is None


def test_a_factor_of_zero_leaves_a_number() -> None:
    assert affine(A * 0 + 2, POSITION) == 2.0
