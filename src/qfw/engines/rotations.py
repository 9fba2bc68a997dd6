"""Gates with angles as products of Pauli rotations, for engines whose parameters are rotation angles.

    gate(angles) = exp(i · phase) · R_last … R_first,   R = exp(-i φ/2 P)

where phase and every φ are linear in the gate's angles. A controlled rotation is two of these:
exp(-i θ/2 · (1 - Z_c)/2 · P) = exp(-i θ/4 P) exp(+i θ/4 Z_c P).
"""

from __future__ import annotations

from typing import NamedTuple


class Rotation(NamedTuple):
    """exp(-i φ/2 P) with φ = Σ weights · angles of the gate."""

    #: One of I, X, Y, Z for each qubit of the gate.
    word: str
    weights: tuple[float, ...]


class Product(NamedTuple):
    """A gate as rotations, the first acts first, and a phase of the whole state."""

    rotations: tuple[Rotation, ...]
    phase: tuple[float, ...]


def _one(word: str) -> Product:
    return Product((Rotation(word, (1.0,)),), (0.0,))


def _controlled(word: str) -> Product:
    return Product((Rotation("I" + word, (0.5,)), Rotation("Z" + word, (-0.5,))), (0.0,))


#: Every gate of `qfw.model.gates` that has angles.
PRODUCTS: dict[str, Product] = {
    "rx": _one("X"),
    "ry": _one("Y"),
    "rz": _one("Z"),
    "rxx": _one("XX"),
    "ryy": _one("YY"),
    "rzz": _one("ZZ"),
    "p": Product((Rotation("Z", (1.0,)),), (0.5,)),
    "u": Product(
        (Rotation("Z", (0.0, 0.0, 1.0)), Rotation("Y", (1.0, 0.0, 0.0)), Rotation("Z", (0.0, 1.0, 0.0))),
        (0.0, 0.5, 0.5),
    ),
    "crx": _controlled("X"),
    "cry": _controlled("Y"),
    "crz": _controlled("Z"),
    "cp": Product(
        (Rotation("ZI", (0.5,)), Rotation("IZ", (0.5,)), Rotation("ZZ", (-0.5,))),
        (0.25,),
    ),
    # Controlled Rz(φ) Ry(θ) Rz(λ), then p(γ + (φ + λ)/2) on the control.
    "cu": Product(
        (
            Rotation("IZ", (0.0, 0.0, 0.5, 0.0)),
            Rotation("ZZ", (0.0, 0.0, -0.5, 0.0)),
            Rotation("IY", (0.5, 0.0, 0.0, 0.0)),
            Rotation("ZY", (-0.5, 0.0, 0.0, 0.0)),
            Rotation("IZ", (0.0, 0.5, 0.0, 0.0)),
            Rotation("ZZ", (0.0, -0.5, 0.0, 0.0)),
            Rotation("ZI", (0.0, 0.5, 0.5, 1.0)),
        ),
        (0.0, 0.25, 0.25, 0.5),
    ),
    "gphase": Product((), (1.0,)),
}
