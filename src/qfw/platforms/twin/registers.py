"""States of many shots side by side, each with its own errors: what trajectories do to them.

A state of n qubits and S shots is an array of shape (2**n, S), qubit 0 the least significant bit. States are
not normalised: what does not happen only makes them shorter, and lengths are looked at where they matter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from qfw.numerics.gates import Complex

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class ShotRegister:
    """Statevectors of some shots and the random numbers of what happens to them."""

    def __init__(self, num_qubits: int, shots: int, random: Generator) -> None:
        """All qubits in |0>."""
        self.num_qubits = num_qubits
        self.state: Complex = np.zeros((2**num_qubits, shots), dtype=np.complex128)
        self.state[0] = 1
        self.random = random

    @property
    def shots(self) -> int:
        """Number of shots."""
        return int(self.state.shape[1])

    def part(self, chosen: Ints) -> ShotRegister:
        """A copy of the chosen shots."""
        found = object.__new__(ShotRegister)
        found.num_qubits, found.random = self.num_qubits, self.random
        found.state = np.take(self.state, chosen, axis=1)
        return found

    def put(self, chosen: Ints, other: ShotRegister) -> None:
        """Gives the chosen shots the other's states."""
        self.state[:, chosen] = other.state

    def unitary(self, qubits: tuple[int, ...], matrix: Complex) -> None:
        """Applies a gate; its first qubit is the most significant bit of the matrix' index."""
        slices = self._slices(qubits)
        changed = [row for row in range(len(matrix)) if not _is_unit(matrix, row)]
        new = []
        for row in changed:
            total = None
            for column in np.flatnonzero(matrix[row]):
                term = slices[column] * matrix[row, column]
                total = term if total is None else np.add(total, term, out=total)
            assert total is not None
            new.append(total)
        for row, amplitudes in zip(changed, new, strict=True):
            slices[row][...] = amplitudes

    def relax(self, qubit: int, gamma: float | Floats, flips: float | Floats) -> None:
        """Lets |1> decay with probability `gamma` and the phase flip with `flips`; numbers, or one for each shot."""
        zero, one = self._slices((qubit,))
        flipped = np.flatnonzero(self.random.random(self.shots) < flips)
        if flipped.size:
            one[..., flipped] *= -1
        chance = self.random.random(self.shots)
        # Only these may decay, whatever is in |1>.
        maybe = np.flatnonzero(chance < gamma)
        decayed = maybe
        if maybe.size:
            ones, zeros = _weight(one[..., maybe]), _weight(zero[..., maybe])
            limit = np.broadcast_to(gamma, (self.shots,))[maybe]
            decayed = maybe[chance[maybe] * (ones + zeros) < limit * ones]
        before = one[..., decayed]
        one *= np.sqrt(1 - gamma)
        if decayed.size:
            zero[..., decayed] = before
            one[..., decayed] = 0

    def depolarise(self, qubits: tuple[int, ...], probability: float) -> None:
        """A random Pauli word but the identity, each alike, with this probability."""
        struck = np.flatnonzero(self.random.random(self.shots) < probability)
        if not struck.size:
            return
        words = self.random.integers(1, 4 ** len(qubits), struck.size)
        for place, qubit in enumerate(reversed(qubits)):
            pauli = words >> 2 * place & 3
            zero, one = self._slices((qubit,))
            # I, X, Y, Z; a phase of a whole state has no effect.
            negated = struck[pauli >= 2]
            if negated.size:
                one[..., negated] *= -1
            self._exchange(zero, one, struck[(pauli == 1) | (pauli == 2)])

    def measure(self, qubit: int) -> Bools:
        """Measures a qubit of every shot; the states collapse, and have length 1."""
        zero, one = self._slices((qubit,))
        zeros, ones = _weight(zero), _weight(one)
        bits = self.random.random(self.shots) * (zeros + ones) < ones
        length = np.sqrt(np.where(bits, ones, zeros))
        zero *= np.where(bits, 0, 1 / length)
        one *= np.where(bits, 1 / length, 0)
        return bits

    def flip(self, qubit: int, chosen: Bools) -> None:
        """Exchanges |0> and |1> of a qubit in the chosen shots."""
        zero, one = self._slices((qubit,))
        self._exchange(zero, one, np.flatnonzero(chosen))

    def sample(self) -> Ints:
        """A basis state of each shot, as measuring all qubits gives; the states stay."""
        weights = self.state.real**2 + self.state.imag**2
        np.cumsum(weights, axis=0, out=weights)
        numbers = self.random.random(self.shots) * weights[-1]
        found: Ints = np.minimum((weights <= numbers).sum(axis=0), len(weights) - 1)
        return found

    @staticmethod
    def _exchange(zero: Complex, one: Complex, chosen: Ints) -> None:
        if chosen.size:
            kept = zero[..., chosen]
            zero[..., chosen] = one[..., chosen]
            one[..., chosen] = kept

    def _slices(self, qubits: tuple[int, ...]) -> list[Complex]:
        """Views of the state by the qubits' bits, the first qubit the most significant."""
        axes = self.state.reshape(*(2,) * self.num_qubits, self.shots)
        places = [self.num_qubits - 1 - qubit for qubit in qubits]
        found = []
        for row in range(2 ** len(qubits)):
            index: list[int | slice] = [slice(None)] * self.num_qubits
            for position, place in enumerate(reversed(places)):
                index[place] = row >> position & 1
            found.append(axes[tuple(index)])
        return found


def _weight(amplitudes: Complex) -> Floats:
    squares = amplitudes.real**2 + amplitudes.imag**2
    found: Floats = squares.reshape(-1, squares.shape[-1]).sum(axis=0)
    return found


def _is_unit(matrix: Complex, row: int) -> bool:
    return bool(matrix[row, row] == 1 and np.count_nonzero(matrix[row]) == 1)
