"""Channels as Pauli transfer matrices: of gates, relaxation and depolarisation; and how good a gate is.

A state of n qubits is the real vector r[P] = Tr(P ρ) over the Pauli words P, in the order I, X, Y, Z of each
qubit, a gate's first qubit the most significant digit. A channel is the real matrix that takes it to the
vector afterwards; channels in sequence are a product of matrices, side by side a Kronecker product.
"""

from __future__ import annotations

from functools import cache
from math import exp, inf, sqrt

import numpy as np
import numpy.typing as npt

from qfw.numerics.gates import Complex, matrix

Floats = npt.NDArray[np.float64]

#: Of a qubit in |0>, shape (4, 1).
GROUND: Floats = np.array([[1.0], [0.0], [0.0], [1.0]])
#: Probabilities of 0 and 1 from a qubit's vector, shape (2, 4).
BITS: Floats = np.array([[0.5, 0, 0, 0.5], [0.5, 0, 0, -0.5]])
#: Leaves a qubit out, shape (1, 4).
TRACE: Floats = np.array([[1.0, 0, 0, 0]])
#: The channel that does nothing.
NOTHING: Floats = np.eye(4)

_PAULIS: Complex = np.array(
    [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]], dtype=np.complex128
)


def gate_channel(name: str, *angles: npt.ArrayLike) -> Floats:
    """The channel of an ideal gate: shape (4**k, 4**k), or (sets, …) for angles of shape (sets,)."""
    return unitary_channel(matrix(name, *angles))


def unitary_channel(unitary: Complex) -> Floats:
    """The channel ρ → U ρ U†, of U with shape (…, d, d)."""
    dimension = unitary.shape[-1]
    into, back = _basis(dimension.bit_length() - 1)
    both = np.einsum("...ab,...cd->...acbd", unitary, unitary.conj())
    shape = (*unitary.shape[:-2], dimension**2, dimension**2)
    found: Floats = np.real(into @ both.reshape(shape) @ back)
    return found


def relaxation(duration_ns: float, t1_us: float, t2_us: float) -> Floats:
    """Decay of a qubit to |0> with T1, and of its phase with T2, over a time; shape (4, 4).

    T2 counts as 2·T1 where it is longer, which no channel is.
    """
    gamma, flips = decay(duration_ns, t1_us, t2_us)
    kept = 1 - gamma
    coherence = sqrt(kept) * (1 - 2 * flips)
    found = np.diag([1.0, coherence, coherence, kept])
    found[3, 0] = gamma
    return found


def decay(duration_ns: float, t1_us: float, t2_us: float) -> tuple[float, float]:
    """The same as probabilities: that |1> decays, and that the phase is flipped besides."""
    if duration_ns <= 0:
        return 0.0, 0.0
    duration_us = duration_ns / 1000
    slowest = 1 / min(t2_us, 2 * t1_us) - 0.5 / t1_us if t1_us != inf else 1 / t2_us
    return 1 - exp(-duration_us / t1_us), (1 - exp(-duration_us * slowest)) / 2


def depolarised(channel: Floats, error: float) -> float:
    """How much of every Pauli word but the identity is to be left, so that the average gate infidelity is `error`.

    1 - F = d/(d+1) · (1 - Tr(R)/d²) for R = D·channel, with D = diag(1, kept, kept …). 1 where the channel
    alone is worse. At least -1/(d² - 1), beyond which D is no channel.
    """
    squared = channel.shape[0]
    dimension = sqrt(squared)
    wanted = squared * (1 - error * (dimension + 1) / dimension) - 1
    alone = float(np.trace(channel)) - 1
    if wanted >= alone:
        return 1.0
    return max(wanted / alone, -1 / (squared - 1)) if alone > 0 else 1.0


def depolarising(kept: float, num_qubits: int) -> Floats:
    """The channel that multiplies every Pauli word but the identity by `kept`."""
    diagonal = np.full(4**num_qubits, kept)
    diagonal[0] = 1
    return np.diag(diagonal)


def infidelity(channel: Floats, ideal: Floats) -> float:
    """Average gate infidelity of a channel, 1 - F over all pure states (Nielsen, Phys. Lett. A 303, 249)."""
    squared = channel.shape[0]
    dimension = sqrt(squared)
    process = float(np.trace(ideal.T @ channel)) / squared
    return float((1 - process) * dimension / (dimension + 1))


def beside(*channels: Floats) -> Floats:
    """The Kronecker product; shapes (…, rows, columns), the first the most significant digit."""
    found = channels[0]
    for other in channels[1:]:
        product = np.einsum("...ab,...cd->...acbd", found, other)
        shape = (found.shape[-2] * other.shape[-2], found.shape[-1] * other.shape[-1])
        found = product.reshape(*product.shape[:-4], *shape)
    return found


@cache
def _basis(num_qubits: int) -> tuple[Complex, Complex]:
    """From a density matrix, row by row, to its vector over Pauli words, and back."""
    words = _PAULIS
    for _ in range(num_qubits - 1):
        product = np.einsum("iab,jcd->ijacbd", words, _PAULIS)
        words = product.reshape(4 * len(words), 2 * words.shape[1], 2 * words.shape[1])
    flat = words.reshape(len(words), -1)
    return flat.conj(), flat.T / 2**num_qubits
