"""Matrices of the gates of the normal form, constant or for many angles at once.

Index of a gate's matrix: its first qubit is the most significant bit (so a control, which comes
first, selects the lower right block). Index of a state: qubit 0 is the least significant bit.

Every gate of `qfw.model.gates` but `ecr` is, behind its controls, of one form, which `Bands` holds:

    new[i] = diagonal[i] · old[i] + partner[i] · old[i ^ flip]

A row of `ecr` has two partners, so it has a matrix only; engines that work by bands get it lowered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.gates import GATES

Complex = npt.NDArray[np.complex128]
#: One entry for each row; an entry is a number or an array over sets. None: all zero.
Entries = tuple[Any, ...] | None


class Bands(NamedTuple):
    """The two entries that a row of a gate's matrix may have; rows count over the targets' bits."""

    #: Coefficient of the row's own amplitude.
    diagonal: Entries
    #: Coefficient of the amplitude whose index differs by `Form.flip`.
    partner: Entries


class Form(NamedTuple):
    """How a gate acts: where its leading `num_controls` qubits are 1, `bands` on the others."""

    num_controls: int
    #: Bits of the targets' index by which partners differ; the first target is the highest bit.
    flip: int
    #: Of the gate's angles in radians, numbers or arrays of equal shape.
    bands: Callable[..., Bands]


def matrix(name: str, *angles: npt.ArrayLike) -> Complex:
    """Matrix of a gate: shape (d, d), or (sets, d, d) for angles of shape (sets,), radians.

    The matrix of a gate without angles is read-only.
    """
    return _matrix(name, *angles) if angles else _constant(name)


@cache
def _constant(name: str) -> Complex:
    found = np.array(_DENSE[name], dtype=np.complex128) if name in _DENSE else _matrix(name)
    found.flags.writeable = False
    return found


def _matrix(name: str, *angles: npt.ArrayLike) -> Complex:
    form = FORMS[name]
    given = [np.asarray(angle, dtype=np.float64) for angle in angles]
    bands = form.bands(*given)
    shape = np.broadcast_shapes(*(angle.shape for angle in given))
    rows = 2 ** GATES[name].num_qubits
    targets = 2 ** (GATES[name].num_qubits - form.num_controls)
    found = np.zeros((*shape, rows, rows), dtype=np.complex128)
    for row in range(rows - targets):
        found[..., row, row] = 1
    first = rows - targets
    for row in range(targets):
        if bands.diagonal is not None:
            found[..., first + row, first + row] = bands.diagonal[row]
        if bands.partner is not None:
            found[..., first + row, first + (row ^ form.flip)] = bands.partner[row]
    return found


def bands_of(unitary: Complex) -> Bands:
    """The bands of a 2×2 matrix, with flip = 1; a band that is exactly zero is None."""
    diagonal = (complex(unitary[0, 0]), complex(unitary[1, 1]))
    partner = (complex(unitary[0, 1]), complex(unitary[1, 0]))
    return Bands(diagonal if any(diagonal) else None, partner if any(partner) else None)


def _fixed(num_controls: int, flip: int, diagonal: Entries, partner: Entries) -> Form:
    bands = Bands(diagonal, partner)
    return Form(num_controls, flip, lambda: bands)


def _rx(theta: Any) -> Bands:
    c, s = np.cos(theta / 2), -1j * np.sin(theta / 2)
    return Bands((c, c), (s, s))


def _ry(theta: Any) -> Bands:
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    return Bands((c, c), (-s, s))


def _rz(theta: Any) -> Bands:
    e = np.exp(-0.5j * theta)
    return Bands((e, e.conj()), None)


def _p(lam: Any) -> Bands:
    return Bands((1.0, np.exp(1j * lam)), None)


def _u(theta: Any, phi: Any, lam: Any) -> Bands:
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    e, f = np.exp(1j * phi), np.exp(1j * lam)
    return Bands((c, e * f * c), (-f * s, e * s))


def _phased_u(theta: Any, phi: Any, lam: Any, gamma: Any) -> Bands:
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    e, f, g = np.exp(1j * phi), np.exp(1j * lam), np.exp(1j * gamma)
    return Bands((g * c, g * e * f * c), (-g * f * s, g * e * s))


def _rxx(theta: Any) -> Bands:
    c, s = np.cos(theta / 2), -1j * np.sin(theta / 2)
    return Bands((c, c, c, c), (s, s, s, s))


def _ryy(theta: Any) -> Bands:
    c, s = np.cos(theta / 2), 1j * np.sin(theta / 2)
    return Bands((c, c, c, c), (s, -s, -s, s))


def _rzz(theta: Any) -> Bands:
    e = np.exp(-0.5j * theta)
    return Bands((e, e.conj(), e.conj(), e), None)


def _gphase(gamma: Any) -> Bands:
    return Bands((np.exp(1j * gamma),), None)


_R = 0.5**0.5
_T = complex(_R, _R)
_A, _B = (1 + 1j) / 2, (1 - 1j) / 2

#: Rows of the gates that bands cannot hold.
_DENSE = {
    "ecr": (
        (0, 0, _R, _R * 1j),
        (0, 0, _R * 1j, _R),
        (_R, _R * -1j, 0, 0),
        (_R * -1j, _R, 0, 0),
    )
}

#: The form of every gate of `qfw.model.gates` that has one.
FORMS: dict[str, Form] = {
    "id": _fixed(0, 0, (1, 1), None),
    "x": _fixed(0, 1, None, (1, 1)),
    "y": _fixed(0, 1, None, (-1j, 1j)),
    "z": _fixed(0, 0, (1, -1), None),
    "h": _fixed(0, 1, (_R, -_R), (_R, _R)),
    "s": _fixed(0, 0, (1, 1j), None),
    "sdg": _fixed(0, 0, (1, -1j), None),
    "t": _fixed(0, 0, (1, _T), None),
    "tdg": _fixed(0, 0, (1, _T.conjugate()), None),
    "sx": _fixed(0, 1, (_A, _A), (_B, _B)),
    "sxdg": _fixed(0, 1, (_B, _B), (_A, _A)),
    "rx": Form(0, 1, _rx),
    "ry": Form(0, 1, _ry),
    "rz": Form(0, 0, _rz),
    "p": Form(0, 0, _p),
    "u": Form(0, 1, _u),
    "cx": _fixed(1, 1, None, (1, 1)),
    "cy": _fixed(1, 1, None, (-1j, 1j)),
    "cz": _fixed(1, 0, (1, -1), None),
    "ch": _fixed(1, 1, (_R, -_R), (_R, _R)),
    "csx": _fixed(1, 1, (_A, _A), (_B, _B)),
    "swap": _fixed(0, 3, (1, 0, 0, 1), (0, 1, 1, 0)),
    "iswap": _fixed(0, 3, (1, 0, 0, 1), (0, 1j, 1j, 0)),
    "cp": Form(1, 0, _p),
    "crx": Form(1, 1, _rx),
    "cry": Form(1, 1, _ry),
    "crz": Form(1, 0, _rz),
    "rxx": Form(0, 3, _rxx),
    "ryy": Form(0, 3, _ryy),
    "rzz": Form(0, 0, _rzz),
    "cu": Form(1, 1, _phased_u),
    "ccx": _fixed(2, 1, None, (1, 1)),
    "ccz": _fixed(2, 0, (1, -1), None),
    "cswap": _fixed(1, 3, (1, 0, 0, 1), (0, 1, 1, 0)),
    "gphase": Form(0, 0, _gphase),
}
