"""Fractions of gates of one qubit with known angles: the principal root, by what the gate is on its eigenvectors.

A unitary of one qubit is a turn about an axis and a phase. Its eigenvectors stay, and its eigenvalues
e^{ia}, e^{ib}, with a and b within (-pi, pi], become e^{ika}, e^{ikb}.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from math import pi

from qfw.formats.lowering import lower
from qfw.model.program import Affine, Gate, Program

#: Rows of a unitary of one qubit.
Matrix = tuple[tuple[complex, complex], tuple[complex, complex]]

#: Angles nearer than this to -pi are pi, which they are but for rounding; amplitudes below it are 0.
_NEAR = 1e-12


def fraction(gates: Sequence[Gate], exponent: float) -> list[Gate] | None:
    """Gates on one qubit, one after another, to a power: a `u` and its phase.

    None where an angle depends on a slot, or where the gates act on other than one qubit.
    """
    qubits = {qubit for gate in gates for qubit in gate.qubits}
    if len(qubits) != 1 or any(len(gate.qubits) > 1 for gate in gates):
        return None
    if any(isinstance(angle, Affine) for gate in gates for angle in gate.angles):
        return None
    (qubit,) = qubits
    return _gates(_raised(_unitary(gates), exponent), qubit)


def _unitary(gates: Sequence[Gate]) -> tuple[float, complex, complex]:
    """The product as a phase and the first column (a, b) of [[a, -b*], [b, a*]]."""
    phase, a, b = 0.0, 1 + 0j, 0j
    for gate in gates:
        single = Gate(gate.name, tuple(0 for _ in gate.qubits), gate.angles)
        for op in lower(Program(1, 0, 0, (single,)), frozenset({"u", "gphase"})).operations:
            assert isinstance(op, Gate)
            angles = [angle for angle in op.angles if not isinstance(angle, Affine)]
            if op.name == "gphase":
                phase += angles[0]
                continue
            theta, phi, lam = (math.remainder(angle, 4 * pi) for angle in angles)
            phase += (phi + lam) / 2
            c = math.cos(theta / 2) * cmath.exp(-0.5j * (phi + lam))
            d = math.sin(theta / 2) * cmath.exp(0.5j * (phi - lam))
            a, b = c * a - d.conjugate() * b, d * a + c.conjugate() * b
    return phase, a, b


def _raised(unitary: tuple[float, complex, complex], exponent: float) -> tuple[float, complex, complex]:
    phase, a, b = unitary
    # a = w + iz, b = -y + ix of the turn w + i (x X + y Y + z Z).
    w, axis = a.real, (b.imag, -b.real, a.imag)
    length = math.hypot(*axis)
    turn = math.atan2(length, w)
    high, low = _principal(phase + turn), _principal(phase - turn)
    middle, half = exponent * (high + low) / 2, exponent * (high - low) / 2
    x, y, z = (part / length for part in axis) if length > _NEAR else (0.0, 0.0, 1.0)
    sine = math.sin(half)
    return middle, complex(math.cos(half), sine * z), complex(-sine * y, sine * x)


def _principal(angle: float) -> float:
    rest = math.remainder(angle, 2 * pi)
    return pi if rest < -pi + _NEAR else rest


def _gates(unitary: tuple[float, complex, complex], qubit: int) -> list[Gate]:
    phase, a, b = unitary
    theta = 2 * math.atan2(abs(b), abs(a))
    first = cmath.phase(a) if abs(a) > _NEAR else 0.0
    phi = cmath.phase(b) - first if abs(b) > _NEAR else 0.0
    # The last element is a*, and before the phase it is e^{i (phi + lam)} times a number that is not negative.
    lam = -2 * first - phi
    made = [Gate("u", (qubit,), (theta, phi, lam))]
    whole = math.remainder(phase + first, 2 * pi)
    return [*made, Gate("gphase", (), (whole,))] if whole else made
