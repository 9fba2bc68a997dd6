"""What the standard includes of OpenQASM declare, as recipes over the normal form.

qelib1.inc is the one that Qiskit carries, a superset of the first. Version 2 has no
modifiers, so a global phase cannot be seen there and gates are those of the normal form
up to it: U, u3 and u are `u`, as Qiskit reads them. In version 3 it can be seen, under
`ctrl @`; there U(θ, φ, λ) is e^{iθ/2} u(θ, φ, λ), and u2 and u3 have determinant one.
"""

from __future__ import annotations

from math import pi
from typing import Final, NamedTuple

from qfw.formats.recipes import Recipe
from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Gate, slot


class Standard(NamedTuple):
    """A gate that needs no definition in the text."""

    num_qubits: int
    num_angles: int
    steps: Recipe
    #: Name in the normal form, where the gate is one of its gates with the same angles.
    same_as: str | None


def _same(name: str) -> Standard:
    spec = GATES[name]
    angles = tuple(slot(i) for i in range(spec.num_angles))
    return Standard(*spec, (Gate(name, tuple(range(spec.num_qubits)), angles),), name)


def _made(
    num_qubits: int, num_angles: int, *steps: tuple[str, tuple[int, ...], tuple[Angle, ...]]
) -> Standard:
    return Standard(num_qubits, num_angles, tuple(Gate(*step) for step in steps), None)


_U2 = ("u", (0,), (pi / 2, slot(0), slot(1)))
_U3 = ("u", (0,), (slot(0), slot(1), slot(2)))
_HALF_SUM = Affine(((1, -0.5), (2, -0.5)))

BUILTIN: Final[dict[int, dict[str, Standard]]] = {
    2: {"U": _same("u"), "CX": _same("cx")},
    3: {
        "U": _made(1, 3, _U3, ("gphase", (), (slot(0, 0.5),))),
        # The standard's text for CX differs from cx by a phase of its control; its comment means cx.
        "CX": _same("cx"),
        "gphase": _same("gphase"),
    },
}

_COMMON: Final = (
    "id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "rx", "ry", "rz", "p", "cx", "cy", "cz", "ch",
    "swap", "cp", "crx", "cry", "crz", "cu", "ccx", "cswap",
)  # fmt: skip

STDGATES: Final[dict[str, Standard]] = {
    **{name: _same(name) for name in _COMMON},
    "phase": _same("p"),
    "cphase": _same("cp"),
    "u1": _same("p"),
    "u2": _made(1, 2, _U2, ("gphase", (), (Affine(((0, -0.5), (1, -0.5))),))),
    "u3": _made(1, 3, _U3, ("gphase", (), (_HALF_SUM,))),
}

#: The long ones of qelib1.inc, as digits of qubits: "h0 p+3 c01" is h on 0, p(π/8) on 3 …; see `_read`.
_LONG: Final = {
    "rccx": (3, 4, "h2 p+2 c12 p-2 c02 p+2 c12 p-2 h2"),
    "rc3x": (4, 4, "h3 p+3 c23 p-3 h3 c03 p+3 c13 p-3 c03 p+3 c13 p-3 h3 p+3 c23 p-3 h3"),
    "c3x": (
        4, 8,
        "h3 p+0 p+1 p+2 p+3 c01 p-1 c01 c12 p-2 c02 p+2 c12 p-2 c02 "
        "c23 p-3 c13 p+3 c23 p-3 c03 p+3 c23 p-3 c13 p+3 c23 p-3 c03 h3",
    ),
    "c3sqrtx": (
        4, 8,
        "h3 k+03 h3 c01 h3 k-13 h3 c01 h3 k+13 h3 c12 h3 k-23 h3 c02 "
        "h3 k+23 h3 c12 h3 k-23 h3 c02 h3 k+23 h3",
    ),
}  # fmt: skip


def _read(num_qubits: int, fraction: int, text: str) -> Recipe:
    """A recipe of h, c (cx), and p, k (p, cp) with plus or minus π / fraction."""
    steps: list[Gate] = []
    for word in text.split():
        qubits = tuple(int(digit) for digit in word if digit.isdecimal())
        angles = (pi / fraction if "+" in word else -pi / fraction,) if word[1] in "+-" else ()
        steps.append(Gate({"h": "h", "c": "cx", "p": "p", "k": "cp"}[word[0]], qubits, angles))
    assert all(q < num_qubits for step in steps for q in step.qubits)
    return tuple(steps)


def _c4x() -> Recipe:
    c3x, c3sqrtx = _read(*_LONG["c3x"]), _read(*_LONG["c3sqrtx"])
    root = {0: 0, 1: 1, 2: 2, 3: 4}
    h = Gate("h", (4,))
    quarter = (h, Gate("cp", (3, 4), (pi / 2,)), h)
    back = (h, Gate("cp", (3, 4), (-pi / 2,)), h)
    last = tuple(Gate(g.name, tuple(root[q] for q in g.qubits), g.angles) for g in c3sqrtx)
    return (*quarter, *c3x, *back, *c3x, *last)


QELIB1: Final[dict[str, Standard]] = {
    **{name: _same(name) for name in (*_COMMON, "sxdg", "u", "csx", "rxx", "rzz")},
    "u0": _made(1, 1, ("id", (0,), ())),
    "u1": _same("p"),
    "u2": _made(1, 2, _U2),
    "u3": _same("u"),
    "cu1": _same("cp"),
    "cu3": _made(2, 3, ("cu", (0, 1), (slot(0), slot(1), slot(2), 0.0))),
    **{name: Standard(n, 0, _read(n, fraction, text), None) for name, (n, fraction, text) in _LONG.items()},
    "c4x": Standard(5, 0, _c4x(), None),
}

INCLUDES: Final = {"stdgates.inc": STDGATES, "qelib1.inc": QELIB1}
