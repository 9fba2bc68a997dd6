"""Cutting a gate: its two halves as quasi-probabilities of local operations.

Every gate of two qubits that QFw knows, but swap and iswap (which `cut_steps` takes apart), is rzz(θ) between gates
of one qubit each. With c = cos(θ/2), s = sin(θ/2),

    rzz(θ) ρ rzz(θ)† = c² ρ + s² (Z⊗Z) ρ (Z⊗Z) + c s (S⊗W + W⊗S)(ρ)

where S(ρ) = (Zρ + ρZ)/2 is a measurement of Z whose outcome ±1 multiplies the result, and W = V₊ - V₋ the difference of
quarter turns, V±(ρ) = rz(±π/2) ρ rz(∓π/2). The absolute coefficients sum to κ = 1 + 2|sin θ|, and the executions that
an error takes grow by κ² (after Mitarai and Fujii, arXiv:1909.07534).

S needs no measurement before the end: cx to an ancilla, whose Z joins the observable. All halves of one fragment share
one ancilla. Two of them that share it give (S⊗S)(ρ) + a cross term, and the same with a Z on one of them its opposite:
the mean of both is S⊗S. So each further S costs a factor of two in programs, and no qubit.

Where all that follows on the qubit is diagonal, a half is *last*: nothing has to stand in its place, as Z, S and W
change what is measured instead (`met`). Such a half costs no program.
"""

from __future__ import annotations

from enum import IntEnum
from math import cos, log, pi, sin
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.formats.recipes import added, scaled
from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.program import Affine, Angle, Gate

Floats = npt.NDArray[np.float64]


class Place(IntEnum):
    """What stands in a half's place: the settings of one end of a cut gate."""

    NOTHING = 0
    Z = 1
    PLUS = 2
    MINUS = 3
    #: Measured; the outcome's sign counts.
    SIGN = 4


#: Components of an end, by settings: I, Z, S and W of the module's first lines; shape (4, 5).
LEG: Final[Floats] = np.array(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 1.0, -1.0, 0.0],
    ]
)
#: What the components I, Z, S and W, seen from the end, make of a qubit's Pauli matrix: factor and letter.
_MET: Final[tuple[dict[str, tuple[float, str]], ...]] = (
    {"I": (1.0, "I"), "X": (1.0, "X"), "Y": (1.0, "Y"), "Z": (1.0, "Z")},
    {"I": (1.0, "I"), "X": (-1.0, "X"), "Y": (-1.0, "Y"), "Z": (1.0, "Z")},
    {"I": (1.0, "Z"), "X": (0.0, "I"), "Y": (0.0, "I"), "Z": (1.0, "I")},
    {"I": (0.0, "I"), "X": (-2.0, "Y"), "Y": (2.0, "X"), "Z": (0.0, "I")},
)
#: Coefficients of components (first, second) of a cut gate that go with 1, cos θ and sin θ; shape (3, 4, 4).
COEFFICIENTS: Final[Floats] = np.zeros((3, 4, 4))
COEFFICIENTS[0, 0, 0] = COEFFICIENTS[0, 1, 1] = COEFFICIENTS[1, 0, 0] = 0.5
COEFFICIENTS[1, 1, 1] = -0.5
COEFFICIENTS[2, 2, 3] = COEFFICIENTS[2, 3, 2] = 0.5


class Halves(NamedTuple):
    """A gate as rzz(angle) between gates of one qubit each."""

    angle: Angle
    #: On the first and on the second qubit, before and after: names and angles.
    before: tuple[tuple[Gate, ...], tuple[Gate, ...]]
    after: tuple[tuple[Gate, ...], tuple[Gate, ...]]

    @property
    def kappa(self) -> float:
        """Sum of the absolute coefficients; where the angle depends on slots, the most that it can be."""
        return 3.0 if isinstance(self.angle, Affine) else 1.0 + 2.0 * abs(sin(self.angle))

    @property
    def cost(self) -> float:
        """Logarithm of the factor in executions."""
        return 2.0 * log(self.kappa)


def halves(gate: Gate) -> Halves | None:
    """The halves of a gate of two qubits; None of a gate that is not of that kind.

    That is one of three qubits, or a cu whose first three angles depend on slots.
    """
    match gate.name:
        case "rzz":
            return Halves(gate.angles[0], ((), ()), ((), ()))
        case "rxx":
            return Halves(gate.angles[0], (_H, _H), (_H, _H))
        case "ryy":
            return Halves(gate.angles[0], (_TO_Y[0], _TO_Y[0]), (_TO_Y[1], _TO_Y[1]))
        case "ecr":
            return Halves(pi / 2, ((), _H), ((Gate("x", (0,)),), _H))
        case "cp" | "cz" | "cx" | "cy" | "ch":
            turn, frame = gate.angles[0] if gate.angles else pi, _FRAMES[gate.name]
            phase = _rotated(scaled(turn, 0.5))
            return Halves(scaled(turn, -0.5), ((), frame[0]), (phase, (*phase, *frame[1])))
        case "crz" | "crx" | "cry":
            return _controlled(gate.angles[0], _FRAMES[gate.name], 0.0)
        case "csx":
            return _controlled(pi / 2, _FRAMES["crx"], pi / 4)
        case "cu":
            return _controlled_u(gate)
        case _:
            return None


def coefficients(angle: float) -> Floats:
    """Of components (first, second) of a cut rzz(angle); shape (4, 4)."""
    return np.tensordot([1.0, cos(angle), sin(angle)], COEFFICIENTS, 1)


def placed(place: Place, qubit: int, ancilla: int, turned: bool = False) -> tuple[Gate, ...]:
    """The gates in a half's place; a SIGN that is `turned` is the one whose cross terms have the other sign."""
    match place:
        case Place.NOTHING:
            return ()
        case Place.Z:
            return (Gate("z", (qubit,)),)
        case Place.PLUS:
            return (Gate("s", (qubit,)),)
        case Place.MINUS:
            return (Gate("sdg", (qubit,)),)
        case Place.SIGN:
            sign = Gate("cx", (qubit, ancilla))
            return (Gate("z", (qubit,)), sign) if turned else (sign,)


def met(observable: PauliSum, qubit: int, component: int) -> PauliSum:
    """What is measured in place of an observable where a component of a last half meets it; no terms: it is 0."""
    terms = []
    for term in observable.terms:
        letters = dict(zip(term.qubits, term.paulis, strict=True))
        factor, letter = _MET[component][letters.pop(qubit, "I")]
        if letter != "I":
            letters[qubit] = letter
        if factor:
            order = sorted(letters)
            paulis = "".join(letters[q] for q in order)
            terms.append(PauliTerm(factor * term.coefficient, tuple(order), paulis))
    return PauliSum(tuple(terms))


def _rotated(angle: Angle) -> tuple[Gate, ...]:
    return (Gate("rz", (0,), (angle,)),)


_H: Final = (Gate("h", (0,)),)
#: What makes a Z between them a Y.
_TO_Y: Final = ((Gate("rx", (0,), (pi / 2,)),), (Gate("rx", (0,), (-pi / 2,)),))
#: Before and after a phase or a rotation about Z, what makes it the named gate's.
_FRAMES: Final[dict[str, tuple[tuple[Gate, ...], tuple[Gate, ...]]]] = {
    **dict.fromkeys(("cp", "cz", "crz"), ((), ())),
    **dict.fromkeys(("cx", "crx"), (_H, _H)),
    **dict.fromkeys(("cy", "cry"), _TO_Y),
    "ch": ((Gate("ry", (0,), (-pi / 4,)),), (Gate("ry", (0,), (pi / 4,)),)),
}


def _controlled(turn: Angle, frame: tuple[tuple[Gate, ...], tuple[Gate, ...]], phase: Angle) -> Halves:
    """A controlled rotation by `turn`, and a phase on the control: both qubits' rz(turn/2) of the target and rzz."""
    control = () if phase == 0.0 else (Gate("rz", (0,), (phase,)),)
    return Halves(scaled(turn, -0.5), ((), frame[0]), (control, (*_rotated(scaled(turn, 0.5)), *frame[1])))


def _controlled_u(gate: Gate) -> Halves | None:
    """cu(θ, φ, λ, γ): the controlled rotation about u's own axis, and its phase on the control."""
    theta, phi, lam, gamma = gate.angles
    if isinstance(theta, Affine) or isinstance(phi, Affine) or isinstance(lam, Affine):
        return None
    # u = e^{i(φ+λ)/2} rz(φ) ry(θ) rz(λ), and the latter three are a rotation by `turn` about an axis.
    half = np.array(
        [
            cos(theta / 2) * cos((phi + lam) / 2),
            sin(theta / 2) * sin((lam - phi) / 2),
            sin(theta / 2) * cos((lam - phi) / 2),
            cos(theta / 2) * sin((phi + lam) / 2),
        ]
    )
    length = float(np.linalg.norm(half[1:]))
    turn = 2.0 * float(np.arctan2(length, half[0]))
    x, y, z = half[1:] / length if length > 1e-300 else (0.0, 0.0, 1.0)
    tilt, azimuth = float(np.arctan2(np.hypot(x, y), z)), float(np.arctan2(y, x))
    into = (Gate("rz", (0,), (-azimuth,)), Gate("ry", (0,), (-tilt,)))
    back = (Gate("ry", (0,), (tilt,)), Gate("rz", (0,), (azimuth,)))
    return _controlled(turn, (into, back), added(gamma, (phi + lam) / 2))
