"""Extrapolation: exact on curves of its own kind, with standard errors that are those of many repetitions."""

from __future__ import annotations

import numpy as np
import pytest

from qfw.toolchain.mitigate_extrapolation import CLEAR, extrapolated, weights

FACTORS = (1.0, 2.0, 3.5, 5.0)


@pytest.mark.parametrize(("kind", "degree"), [("linear", 1), ("quadratic", 2), ("richardson", 3)])
def test_polynomials_are_met_exactly(kind: str, degree: int) -> None:
    coefficients = np.random.default_rng(degree).uniform(-1, 1, (degree + 1, 3, 2))
    values = np.array([sum(c * f**k for k, c in enumerate(coefficients)) for f in FACTORS])
    found, spread = extrapolated(values, np.full_like(values, 0.1), FACTORS, kind)
    assert np.allclose(found, coefficients[0])
    assert np.allclose(spread, 0.1 * np.sqrt((weights(FACTORS, kind) ** 2).sum()))


def test_weights_are_those_of_textbooks() -> None:
    # Least squares through 1, 3, 5: 1/3 - 3·(x - 3)/8.
    assert np.allclose(weights((1, 3, 5), "linear"), [13 / 12, 1 / 3, -5 / 12])
    # Richardson: products of other factors over their differences.
    assert np.allclose(weights((1, 3, 5), "richardson"), [15 / 8, -10 / 8, 3 / 8])
    many = tuple(map(float, range(1, 21)))
    for kind in ("linear", "quadratic", "richardson"):
        assert abs(weights(many, kind).sum() - 1) < 1e-6


def test_exponentials_are_met_exactly() -> None:
    size, rate = np.array([[0.9, -0.5, 0.3]]), np.array([[0.2, 0.05, -0.1]])
    values = np.array([size * np.exp(-rate * f) for f in FACTORS])
    for errors in (0.0, 0.001):
        found, _ = extrapolated(values, np.full_like(values, errors), FACTORS, "exponential")
        assert np.allclose(found, size)


@pytest.mark.parametrize("kind", ["linear", "quadratic", "richardson", "exponential"])
def test_standard_errors_are_those_of_repetitions(kind: str) -> None:
    draw, times = np.random.default_rng(8), 20_000
    truth = np.array([0.8 * np.exp(-0.15 * f) for f in FACTORS])[:, np.newaxis]
    sigma = np.array([0.01, 0.012, 0.008, 0.015])[:, np.newaxis]
    values = truth + sigma * draw.standard_normal((len(FACTORS), times))
    found, spread = extrapolated(values, np.broadcast_to(sigma, values.shape), FACTORS, kind)
    assert np.mean(spread) == pytest.approx(np.std(found), rel=0.03)


def test_values_that_are_not_clear_are_on_a_line() -> None:
    values = np.array([[0.5, 0.5, 0.02, 0.5, 0.0], [0.3, 0.3, 0.01, -0.3, 0.0], [0.2, 0.2, 0.008, 0.2, 0.0]])
    errors = np.array([[0.01, 0.2 / CLEAR, 0.01, 0.01, 0.0]] * 3)
    line, line_errors = extrapolated(values, errors, (1, 3, 5), "linear")
    found, found_errors = extrapolated(values, errors, (1, 3, 5), "exponential")
    # One that is clear; three standard errors exactly; nothing; another sign; nothing but zeros.
    assert (found != line).tolist() == [True, False, False, False, False]
    assert (found_errors[1:] == line_errors[1:]).all() and np.isfinite(found).all()
    nothing = np.full((3, 1), np.nan)
    assert extrapolated(values[:, :1], nothing, (1, 3, 5), "exponential")[0] == line[0]
