"""States of many parameter sets side by side, and the steps that change them.

A state of n qubits and S sets is an array of shape (2**n, S): index by basis state (qubit 0 the least
significant bit), then by set, so that NumPy's inner loops run over sets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.numerics.gates import FORMS, Bands, Entries, bands_of, matrix
from qfw.numerics.question import Basis

Complex = npt.NDArray[np.complex128]


class Step(NamedTuple):
    """One gate on given qubits, ready to be applied to a state of any number of sets."""

    #: Shape of the state with each of the gate's qubits an axis of its own; the sets' axis is missing.
    axes: tuple[int, ...]
    #: Index into these axes: the part that the gate acts on, and that part's partners.
    acted: tuple[int | slice, ...]
    partners: tuple[int | slice, ...]
    #: Shape of a coefficient array by the targets' bits, and the order of these bits in the state.
    bits: int
    order: tuple[int, ...]
    broadcast: tuple[int, ...]
    #: Coefficients where they are constant, of a shape that fits the acted part; None: none.
    diagonal: Complex | None
    partner: Complex | None

    def spread(self, coefficients: Complex) -> Complex:
        """A view of coefficients, shape (2**targets, sets), that broadcasts over the acted part."""
        sets = coefficients.shape[-1]
        by_bit = coefficients.reshape(*(2,) * self.bits, sets).transpose(*self.order, self.bits)
        return by_bit.reshape(*self.broadcast, sets)


class Bound(NamedTuple):
    """A step with its views of one register: what the inner loop needs and no more."""

    acted: Complex
    partners: Complex
    scratch: Complex
    diagonal: Complex | None
    partner: Complex | None


def make_step(name: str, qubits: tuple[int, ...], num_qubits: int, angles: tuple[float, ...] | None) -> Step:
    """The step of a gate; `angles` in radians, or None where they depend on slots."""
    form = FORMS[name]
    bands = Bands(None, None) if angles is None else form.bands(*(np.float64(a) for a in angles))
    return _step(qubits, form.num_controls, form.flip, bands, num_qubits)


def fused_step(bands: Bands, qubit: int, num_qubits: int) -> Step:
    """The step of a constant gate on one qubit, given by its bands."""
    return _step((qubit,), 0, 1 if bands.partner is not None else 0, bands, num_qubits)


class Register:
    """The state of some parameter sets, and scratch space of equal size."""

    def __init__(self, num_qubits: int, sets: int) -> None:
        """Allocates 2 · 16 · 2**num_qubits · sets bytes; the content is arbitrary."""
        self.state: Complex = np.empty((2**num_qubits, sets), dtype=np.complex128)
        self._scratch = np.empty_like(self.state)

    @staticmethod
    def copy_of(other: Register) -> Register:
        """A register with the same state that shares the other's scratch space."""
        copy = object.__new__(Register)
        copy.state = other.state.copy()
        copy._scratch = other._scratch
        return copy

    def bind(self, step: Step, diagonal: Complex | None, partner: Complex | None) -> Bound:
        """`step` with its views of this register and the coefficients to use."""
        shape = (*step.axes, self.state.shape[1])
        state = self.state.reshape(shape)
        acted = state[step.acted]
        return Bound(acted, state[step.partners], self._scratch.reshape(shape)[step.acted], diagonal, partner)

    def apply(self, steps: list[Bound]) -> None:
        """Applies steps in order, in place."""
        multiply, add, copyto = np.multiply, np.add, np.copyto
        for acted, partners, scratch, diagonal, partner in steps:
            if partner is None:
                assert diagonal is not None
                multiply(acted, diagonal, acted)
            else:
                multiply(partners, partner, scratch)
                if diagonal is None:
                    copyto(acted, scratch)
                else:
                    multiply(acted, diagonal, acted)
                    add(acted, scratch, acted)


def basis_change(register: Register, basis: Basis) -> Complex:
    """A copy of the register's state in which measuring Z is measuring `basis` before."""
    num_qubits = register.state.shape[0].bit_length() - 1
    rotated = Register.copy_of(register)
    steps = [fused_step(_TO_Z[pauli], qubit, num_qubits) for qubit, pauli in basis]
    rotated.apply([rotated.bind(step, step.diagonal, step.partner) for step in steps])
    return rotated.state


#: H for X; H S† for Y.
_TO_Z = {"X": bands_of(matrix("h")), "Y": bands_of(matrix("h") @ matrix("sdg"))}


def _step(qubits: tuple[int, ...], num_controls: int, flip: int, bands: Bands, num_qubits: int) -> Step:
    targets = qubits[num_controls:]
    axes: list[int] = []
    acted: list[int | slice] = []
    partners: list[int | slice] = []
    broadcast: list[int] = []
    order: list[int] = []
    above = num_qubits
    for qubit in sorted(qubits, reverse=True):
        if above - qubit > 1:
            axes.append(2 ** (above - qubit - 1))
            acted.append(slice(None))
            partners.append(slice(None))
            broadcast.append(1)
        axes.append(2)
        if qubit in targets:
            place = targets.index(qubit)
            flipped = flip >> (len(targets) - 1 - place) & 1
            acted.append(slice(None))
            partners.append(slice(None, None, -1 if flipped else 1))
            broadcast.append(2)
            order.append(place)
        else:
            acted.append(1)
            partners.append(1)
        above = qubit
    if above:
        axes.append(2**above)
        acted.append(slice(None))
        partners.append(slice(None))
        broadcast.append(1)
    bare = Step(
        tuple(axes), tuple(acted), tuple(partners), len(targets), tuple(order), tuple(broadcast), None, None
    )
    return bare._replace(diagonal=_spread(bare, bands.diagonal), partner=_spread(bare, bands.partner))


def _spread(step: Step, entries: Entries) -> Complex | None:
    if entries is None:
        return None
    return step.spread(np.array(entries, dtype=np.complex128).reshape(-1, 1))
