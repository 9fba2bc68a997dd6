"""Extrapolation of values under several strengths of noise to none, with standard errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Standard errors that each value must be away from zero for an exponential to be laid through them.
CLEAR = 3.0


def weights(factors: Sequence[float], kind: str) -> Floats:
    """How much the value under each factor counts in the value at 0, shape (factors,): their sum is 1.

    Of the polynomial that fits best in the sense of least squares: of degree 1 (linear, exponential where it falls
    back), 2 (quadratic), or through all points (richardson).
    """
    degree = {"linear": 1, "exponential": 1, "quadratic": 2, "richardson": len(factors) - 1}[kind]
    at = np.asarray(factors, dtype=np.float64)
    # Of small powers of numbers around 1: what is fitted at 0 is the same.
    powers = np.vander(at / at[-1], degree + 1, increasing=True)
    found: Floats = np.linalg.pinv(powers)[0]
    return found


def extrapolated(
    values: Floats, errors: Floats, factors: Sequence[float], kind: str
) -> tuple[Floats, Floats]:
    """Values without noise and their standard errors, those of the values being independent.

    Args:
        values, errors: shape (factors, …).
        factors: rising.
        kind: of curve. An exponential a·exp(-b·factor) is laid through values of one sign that are all CLEAR
            standard errors or more away from zero; through others a line.
    """
    line = weights(factors, kind)
    found = np.tensordot(line, values, axes=1)
    spread = np.sqrt(np.tensordot(line**2, errors**2, axes=1))
    if kind != "exponential":
        return found, spread
    # What is not a number is not clear.
    clear = (np.abs(values) > CLEAR * errors).all(axis=0) & (np.abs(values) > 0).all(axis=0)
    clear &= (np.sign(values) == np.sign(values[0])).all(axis=0)
    if clear.any():
        found[clear], spread[clear] = _exponential(values[:, clear], errors[:, clear], factors)
    return found, spread


def _exponential(values: Floats, errors: Floats, factors: Sequence[float]) -> tuple[Floats, Floats]:
    """A line through the logarithms, shape (factors, values), each weighted by the square of its value."""
    size = np.abs(values)
    # A logarithm errs by error / value, and shots give all values about the same error.
    importance = (size / size.max(axis=0)) ** 2
    at = np.asarray(factors, dtype=np.float64)[:, np.newaxis]
    total = importance.sum(axis=0)
    middle = (importance * at).sum(axis=0) / total
    steep = (importance * (at - middle) ** 2).sum(axis=0)
    counts = importance / total - middle * importance * (at - middle) / steep
    found = np.sign(values[0]) * np.exp((counts * np.log(size)).sum(axis=0))
    spread = np.abs(found) * np.sqrt(((counts * errors / size) ** 2).sum(axis=0))
    return found, spread
