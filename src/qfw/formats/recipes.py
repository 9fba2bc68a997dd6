"""How a gate is made of others: the one table that lowering and the OpenQASM writer read.

A recipe is a tuple of `Gate`s over formal qubits 0, 1, … and, as slots, the angles of
the gate that it makes. Every recipe is exact, its global phase included (`gphase`).
Tests compare each one with the gate's matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Final

from qfw.model.program import Affine, Angle, Gate, slot

Recipe = tuple[Gate, ...]


def scaled(angle: Angle, factor: float) -> Angle:
    """The angle `factor` times as large."""
    if isinstance(angle, Affine):
        return Affine(tuple((i, c * factor) for i, c in angle.terms), angle.offset * factor)
    return angle * factor


def added(left: Angle, right: Angle) -> Angle:
    """The sum; terms of one slot are merged, those that vanish are dropped."""
    if not isinstance(left, Affine):
        if not isinstance(right, Affine):
            return left + right
        return Affine(right.terms, left + right.offset)
    if not isinstance(right, Affine):
        return Affine(left.terms, left.offset + right)
    terms = dict(left.terms)
    for index, coefficient in right.terms:
        terms[index] = terms.get(index, 0.0) + coefficient
    kept = tuple((index, coefficient) for index, coefficient in terms.items() if coefficient)
    offset = left.offset + right.offset
    return Affine(kept, offset) if kept else offset


def substituted(angle: Angle, actual: Sequence[Angle]) -> Angle:
    """`angle`, whose slots count `actual`, as a function of the slots that `actual` speaks of."""
    if not isinstance(angle, Affine):
        return angle
    total: Angle = angle.offset
    for index, coefficient in angle.terms:
        term = actual[index]
        total = added(term if coefficient == 1.0 else scaled(term, coefficient), total)
    return total


def applied(recipe: Recipe, qubits: Sequence[int], angles: Sequence[Angle]) -> list[Gate]:
    """The recipe's gates on these qubits with these angles."""
    return [
        Gate(
            step.name,
            tuple(qubits[q] for q in step.qubits),
            tuple(substituted(angle, angles) for angle in step.angles) if step.angles else (),
        )
        for step in recipe
    ]


def _on(name: str, *qubits: int, at: Sequence[Angle] = ()) -> Gate:
    return Gate(name, qubits, tuple(at))


def _phase(angle: Angle) -> Gate:
    return Gate("gphase", (), (angle,))


_A = slot(0)
_HALF, _MINUS_HALF = slot(0, 0.5), slot(0, -0.5)
_THETA, _PHI, _LAM = slot(0), slot(1), slot(2)
_HALF_SUM = Affine(((1, 0.5), (2, 0.5)))


def _diagonal(quarters: float, *others: Recipe) -> tuple[Recipe, ...]:
    angle = quarters * pi / 2
    return (
        (_on("p", 0, at=[angle]),),
        (_on("rz", 0, at=[angle]), _phase(angle / 2)),
        *others,
    )


_H = (_on("h", 0), _on("h", 1))

#: Gate -> the recipes that make it; lowering takes the cheapest that ends in native gates.
RECIPES: Final[dict[str, tuple[Recipe, ...]]] = {
    "id": ((),),
    "x": (
        (_on("rx", 0, at=[pi]), _phase(pi / 2)),
        (_on("u", 0, at=[pi, 0.0, pi]),),
        (_on("sx", 0), _on("sx", 0)),
        (_on("h", 0), _on("z", 0), _on("h", 0)),
    ),
    "y": (
        (_on("ry", 0, at=[pi]), _phase(pi / 2)),
        (_on("u", 0, at=[pi, pi / 2, pi / 2]),),
        (_on("z", 0), _on("x", 0), _phase(pi / 2)),
    ),
    "z": _diagonal(2, (_on("s", 0), _on("s", 0)), (_on("h", 0), _on("x", 0), _on("h", 0))),
    "h": (
        (_on("u", 0, at=[pi / 2, 0.0, pi]),),
        (_on("ry", 0, at=[pi / 2]), _on("x", 0)),
        (_on("rz", 0, at=[pi]), _on("ry", 0, at=[pi / 2]), _phase(pi / 2)),
        (_on("rz", 0, at=[pi / 2]), _on("sx", 0), _on("rz", 0, at=[pi / 2]), _phase(pi / 4)),
        (_on("rz", 0, at=[pi / 2]), _on("rx", 0, at=[pi / 2]), _on("rz", 0, at=[pi / 2]), _phase(pi / 2)),
    ),
    "s": _diagonal(1, (_on("t", 0), _on("t", 0))),
    "sdg": _diagonal(-1, (_on("tdg", 0), _on("tdg", 0)), (_on("z", 0), _on("s", 0))),
    "t": _diagonal(0.5),
    "tdg": _diagonal(-0.5, (_on("sdg", 0), _on("t", 0))),
    "sx": (
        (_on("rx", 0, at=[pi / 2]), _phase(pi / 4)),
        (_on("u", 0, at=[pi / 2, -pi / 2, pi / 2]), _phase(pi / 4)),
        (_on("h", 0), _on("s", 0), _on("h", 0)),
    ),
    "sxdg": (
        (_on("rx", 0, at=[-pi / 2]), _phase(-pi / 4)),
        (_on("u", 0, at=[-pi / 2, -pi / 2, pi / 2]), _phase(-pi / 4)),
        (_on("sx", 0), _on("x", 0)),
        (_on("h", 0), _on("sdg", 0), _on("h", 0)),
    ),
    "rx": (
        (_on("u", 0, at=[_A, -pi / 2, pi / 2]),),
        (_on("h", 0), _on("rz", 0, at=[_A]), _on("h", 0)),
        (_on("rz", 0, at=[pi / 2]), _on("ry", 0, at=[_A]), _on("rz", 0, at=[-pi / 2])),
    ),
    "ry": (
        (_on("u", 0, at=[_A, 0.0, 0.0]),),
        (_on("rx", 0, at=[pi / 2]), _on("rz", 0, at=[_A]), _on("rx", 0, at=[-pi / 2])),
        (_on("rz", 0, at=[-pi / 2]), _on("rx", 0, at=[_A]), _on("rz", 0, at=[pi / 2])),
    ),
    "rz": (
        (_on("p", 0, at=[_A]), _phase(_MINUS_HALF)),
        (_on("h", 0), _on("rx", 0, at=[_A]), _on("h", 0)),
        (_on("rx", 0, at=[-pi / 2]), _on("ry", 0, at=[_A]), _on("rx", 0, at=[pi / 2])),
    ),
    "p": ((_on("rz", 0, at=[_A]), _phase(_HALF)), (_on("u", 0, at=[0.0, 0.0, _A]),)),
    "u": (
        (_on("rz", 0, at=[_LAM]), _on("ry", 0, at=[_THETA]), _on("rz", 0, at=[_PHI]), _phase(_HALF_SUM)),
        (
            _on("rz", 0, at=[slot(2, 1.0, -pi / 2)]),
            _on("rx", 0, at=[_THETA]),
            _on("rz", 0, at=[slot(1, 1.0, pi / 2)]),
            _phase(_HALF_SUM),
        ),
        (
            _on("rz", 0, at=[_LAM]),
            _on("sx", 0),
            _on("rz", 0, at=[slot(0, 1.0, pi)]),
            _on("sx", 0),
            _on("rz", 0, at=[slot(1, 1.0, pi)]),
            _phase(Affine(((1, 0.5), (2, 0.5)), pi / 2)),
        ),
    ),
    "cx": (
        (_on("h", 1), _on("cz", 0, 1), _on("h", 1)),
        (
            _on("rz", 0, at=[pi / 2]),
            _on("rx", 1, at=[pi / 2]),
            _on("ry", 0, at=[pi / 2]),
            _on("rxx", 0, 1, at=[-pi / 2]),
            _on("ry", 0, at=[-pi / 2]),
            _phase(pi / 4),
        ),
        (_on("ecr", 0, 1), _on("x", 0), _on("sdg", 0), _on("rx", 1, at=[-pi / 2])),
    ),
    "cy": ((_on("sdg", 1), _on("cx", 0, 1), _on("s", 1)),),
    "cz": (
        (_on("h", 1), _on("cx", 0, 1), _on("h", 1)),
        (_on("cp", 0, 1, at=[pi]),),
        (
            _on("rz", 0, at=[pi / 2]),
            _on("rz", 1, at=[pi / 2]),
            _on("rzz", 0, 1, at=[-pi / 2]),
            _phase(pi / 4),
        ),
        (_on("cu", 0, 1, at=[0.0, 0.0, pi, 0.0]),),
    ),
    "ch": (
        (_on("ry", 1, at=[-pi / 4]), _on("cz", 0, 1), _on("ry", 1, at=[pi / 4])),
        (
            _on("s", 1), _on("h", 1), _on("t", 1), _on("cx", 0, 1), _on("tdg", 1), _on("h", 1), _on("sdg", 1),
        ),
    ),
    "csx": ((_on("h", 1), _on("cp", 0, 1, at=[pi / 2]), _on("h", 1)),),
    "swap": ((_on("cx", 0, 1), _on("cx", 1, 0), _on("cx", 0, 1)),),
    "iswap": (
        (_on("s", 0), _on("s", 1), _on("h", 0), _on("cx", 0, 1), _on("cx", 1, 0), _on("h", 1)),
        (_on("rxx", 0, 1, at=[-pi / 2]), _on("ryy", 0, 1, at=[-pi / 2])),
    ),
    "ecr": (
        (_on("cx", 0, 1), _on("rx", 1, at=[pi / 2]), _on("s", 0), _on("x", 0)),
        (_on("h", 1), _on("rzz", 0, 1, at=[pi / 2]), _on("h", 1), _on("x", 0)),
    ),
    "cp": (
        (
            _on("p", 0, at=[_HALF]),
            _on("cx", 0, 1),
            _on("p", 1, at=[_MINUS_HALF]),
            _on("cx", 0, 1),
            _on("p", 1, at=[_HALF]),
        ),
        (
            _on("rz", 0, at=[_HALF]),
            _on("rz", 1, at=[_HALF]),
            _on("rzz", 0, 1, at=[_MINUS_HALF]),
            _phase(slot(0, 0.25)),
        ),
        (_on("p", 0, at=[_HALF]), _on("crz", 0, 1, at=[_A])),
        (_on("cu", 0, 1, at=[0.0, 0.0, _A, 0.0]),),
    ),
    "crx": (
        (_on("h", 1), _on("crz", 0, 1, at=[_A]), _on("h", 1)),
        (_on("cu", 0, 1, at=[_A, -pi / 2, pi / 2, 0.0]),),
    ),
    "cry": (
        (_on("ry", 1, at=[_HALF]), _on("cx", 0, 1), _on("ry", 1, at=[_MINUS_HALF]), _on("cx", 0, 1)),
        (_on("cu", 0, 1, at=[_A, 0.0, 0.0, 0.0]),),
        (_on("rx", 1, at=[pi / 2]), _on("crz", 0, 1, at=[_A]), _on("rx", 1, at=[-pi / 2])),
        (_on("sdg", 1), _on("crx", 0, 1, at=[_A]), _on("s", 1)),
    ),
    "crz": (
        (_on("rz", 1, at=[_HALF]), _on("cx", 0, 1), _on("rz", 1, at=[_MINUS_HALF]), _on("cx", 0, 1)),
        (_on("rz", 1, at=[_HALF]), _on("rzz", 0, 1, at=[_MINUS_HALF])),
        (_on("h", 1), _on("crx", 0, 1, at=[_A]), _on("h", 1)),
    ),
    "rxx": ((*_H, _on("rzz", 0, 1, at=[_A]), *_H),),
    "ryy": (
        (
            _on("rx", 0, at=[pi / 2]),
            _on("rx", 1, at=[pi / 2]),
            _on("rzz", 0, 1, at=[_A]),
            _on("rx", 0, at=[-pi / 2]),
            _on("rx", 1, at=[-pi / 2]),
        ),
        (
            _on("rz", 0, at=[-pi / 2]),
            _on("rz", 1, at=[-pi / 2]),
            _on("rxx", 0, 1, at=[_A]),
            _on("rz", 0, at=[pi / 2]),
            _on("rz", 1, at=[pi / 2]),
        ),
    ),
    "rzz": (
        (_on("cx", 0, 1), _on("rz", 1, at=[_A]), _on("cx", 0, 1)),
        (*_H, _on("rxx", 0, 1, at=[_A]), *_H),
        (
            _on("ry", 0, at=[pi / 2]),
            _on("ry", 1, at=[pi / 2]),
            _on("rxx", 0, 1, at=[_A]),
            _on("ry", 0, at=[-pi / 2]),
            _on("ry", 1, at=[-pi / 2]),
        ),
        (
            _on("rx", 0, at=[-pi / 2]),
            _on("rx", 1, at=[-pi / 2]),
            _on("ryy", 0, 1, at=[_A]),
            _on("rx", 0, at=[pi / 2]),
            _on("rx", 1, at=[pi / 2]),
        ),
    ),
    "cu": (
        (
            _on("p", 0, at=[Affine(((3, 1.0), (1, 0.5), (2, 0.5)))]),
            _on("p", 1, at=[Affine(((2, 0.5), (1, -0.5)))]),
            _on("cx", 0, 1),
            _on("u", 1, at=[_MINUS_HALF, 0.0, Affine(((1, -0.5), (2, -0.5)))]),
            _on("cx", 0, 1),
            _on("u", 1, at=[_HALF, _PHI, 0.0]),
        ),
    ),
    "ccx": (
        (_on("h", 2), _on("ccz", 0, 1, 2), _on("h", 2)),
        (
            _on("h", 2), _on("cx", 1, 2), _on("tdg", 2), _on("cx", 0, 2), _on("t", 2), _on("cx", 1, 2),
            _on("tdg", 2), _on("cx", 0, 2), _on("t", 1), _on("t", 2), _on("h", 2), _on("cx", 0, 1),
            _on("t", 0), _on("tdg", 1), _on("cx", 0, 1),
        ),
    ),
    "ccz": ((_on("h", 2), _on("ccx", 0, 1, 2), _on("h", 2)),),
    "cswap": ((_on("cx", 2, 1), _on("ccx", 0, 1, 2), _on("cx", 2, 1)),),
}  # fmt: skip
