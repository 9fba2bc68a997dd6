"""Qiskit's parameter expressions: numbers, affine functions of parameters, and all others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.exceptions import QiskitError

from qfw.model.errors import ParameterError
from qfw.model.program import Affine, Angle, slot

#: What Qiskit raises where an expression cannot be derived or evaluated.
_FAILURES = (ArithmeticError, RuntimeError, TypeError, ValueError, QiskitError)

#: How near an affine form has to come, absolutely and relatively.
_CLOSE = 1e-9
#: Steps of an expression that are followed.
_MOST_STEPS = 16
#: Where an affine form is compared with its expression: of both signs, and no round numbers.
_POINTS = (0.7310586, -1.2913, 2.6457513)


def is_number(value: Any) -> bool:
    """Whether a gate's argument has no free parameter."""
    return not isinstance(value, ParameterExpression) or not value.parameters


def number(value: Any) -> float | None:
    """The real number that a gate's argument without free parameters is; None where it is none."""
    try:
        return float(value)
    except _FAILURES:
        pass
    try:
        found = complex(value)
    except _FAILURES:
        return None
    return found.real if found.imag == 0 else None


def affine(expression: ParameterExpression, position: Mapping[Parameter, int]) -> Angle | None:
    """The expression as an affine function of slots; None where it is not one with real coefficients.

    Args:
        expression: with at least one parameter.
        position: the slot of each parameter.
    """
    told = _told(expression, position)
    if told is not None:
        return told
    parameters = sorted(expression.parameters, key=position.__getitem__)
    terms: list[tuple[int, float]] = []
    for parameter in parameters:
        try:
            slope = expression.gradient(parameter)
        except _FAILURES:
            return None
        coefficient = number(slope) if is_number(slope) else None
        if coefficient is None:
            return None
        terms.append((position[parameter], coefficient))
    offset = _value(expression, parameters, [0.0] * len(parameters))
    if offset is None:
        return None
    # What has steps (a sign) may have a constant slope too.
    for point in _POINTS:
        values = [point * (index + 1) for index in range(len(parameters))]
        found = _value(expression, parameters, values)
        expected = offset + sum(c * value for (_, c), value in zip(terms, values, strict=True))
        # Of what is no number or infinite the comparison is false.
        if found is None or not abs(found - expected) <= _CLOSE * (1.0 + abs(expected)) < math.inf:
            return None
    kept = tuple((index, coefficient) for index, coefficient in terms if coefficient)
    return Affine(kept, offset) if kept else offset


def _told(expression: ParameterExpression, position: Mapping[Parameter, int]) -> Angle | None:
    """The function of one parameter that was only added to and multiplied with numbers; None of all else.

    Read of how the expression was made, which Qiskit writes into its files. It is many times sooner than derivatives
    and values, of which the general way knows; what is not of the form known here goes that way.
    """
    steps = getattr(expression, "_qpy_replay", None)
    if not isinstance(steps, list) or not 0 < len(steps) <= _MOST_STEPS:
        return None
    index = -1
    coefficient, offset = 1.0, 0.0
    for step in steps:
        left: Any = getattr(step, "lhs", None)
        right: Any = getattr(step, "rhs", None)
        if index < 0:
            variable, value = (left, right) if isinstance(left, Parameter) else (right, left)
            if not isinstance(variable, Parameter):
                return None
            index = position.get(variable, -1)
            if index < 0:
                # Of a gate's definition, and replaced since: Qiskit 2.0 writes both down.
                return None
        elif left is None or right is None:
            # What the steps before made, and a number.
            value = right if left is None else left
        else:
            return None
        if type(value) not in (float, int):
            return None
        match _name(step.op):
            case "ADD":
                offset += value
            case "MUL":
                coefficient, offset = coefficient * value, offset * value
            case _:
                return None
    # What is not finite, or zero, the general way judges.
    return slot(index, coefficient, offset) if coefficient and math.isfinite(coefficient + offset) else None


def _name(operation: Any) -> str:
    """Of an operation in an expression: of Python's enumerations in Qiskit 2.0, of Rust's later."""
    found: str = getattr(operation, "name", None) or repr(operation).rpartition(".")[2]
    return found


class Formula:
    """An expression that is not affine, evaluated for many sets."""

    def __init__(self, expression: ParameterExpression, position: Mapping[Parameter, int]) -> None:
        """`position`: the column of each of the circuit's parameters."""
        self._expression = expression
        self._parameters = sorted(expression.parameters, key=position.__getitem__)
        self._columns = [position[parameter] for parameter in self._parameters]

    def values(self, given: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Its value for each set, shape (sets,).

        Args:
            given: shape (sets, parameters of the circuit).

        Raises:
            ParameterError: it has no real finite value there.
        """
        # Qiskit offers no evaluation of many values at once; equal rows are evaluated once.
        rows, inverse = np.unique(given[:, self._columns], axis=0, return_inverse=True)
        found = np.array([self._at(row) for row in rows.tolist()], dtype=np.float64)
        return found[inverse.reshape(-1)]

    def _at(self, values: Sequence[float]) -> float:
        found = _value(self._expression, self._parameters, values)
        if found is None or not np.isfinite(found):
            where = ", ".join(f"{p.name} = {v}" for p, v in zip(self._parameters, values, strict=True))
            raise ParameterError(f"{self._expression} is no finite real number at {where}")
        return found


def _value(
    expression: ParameterExpression, parameters: Sequence[Parameter], values: Sequence[float]
) -> float | None:
    try:
        return number(expression.bind(dict(zip(parameters, values, strict=True))))
    except _FAILURES:
        return None
