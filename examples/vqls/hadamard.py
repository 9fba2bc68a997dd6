"""Hadamard tests: the circuits of one evaluation of the cost, without those that can be left out.

The cost needs N_q = <ψ|U_b Z_q U_b†|ψ> for every qubit q and the norm D = <ψ|ψ>, with ψ = A V|0> and
A = Σ c_l P_l. Written out, each is Σ c_l* c_m β_lm over all pairs of terms, and a Hadamard test
measures the real or the imaginary part of one β_lm: 2 L² (n + 1) circuits. Fewer will do:

- β_ml is the conjugate of β_lm: one of each pair, twice its real part; β_ll is real.
- Only the real part of c_l* c_m β_lm is left, so where c_l* c_m is real the imaginary part of β_lm is
  not needed, and the reverse. So it is for every pair where A is hermitian, and where A is real.
- In the norm β_lm is the mean of one Pauli word, P_l P_m, which many pairs share; for l = m it is 1.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pennylane as qml

from decomposition import pauli_coefficients

#: A part of a coefficient so much smaller than the largest coefficient is rounding.
ROUNDING = 1e-14
_CONTROLLED = (None, qml.CNOT, qml.CY, qml.CZ)


class Test(NamedTuple):
    """One circuit, and its part in the cost."""

    #: Letters of the two words; the norm's tests have one word only.
    left: tuple
    right: tuple
    #: Whose Z; None for the norm.
    qubit: int | None
    imaginary: bool
    #: What its result is multiplied with.
    factor: float


@dataclass(frozen=True)
class HadamardTests:
    """All tests of a system: how many, which, and the circuit of each."""

    #: Shape (L,); those that are real or imaginary but for rounding are so exactly.
    coefficients: np.ndarray
    #: Shape (L, n).
    letters: np.ndarray
    #: Tests of the norm.
    of_norm: tuple
    #: What the norm has without any test: Σ |c_l|².
    constant: float
    #: Gates of U_b: |0> to b.
    prepare_b: tuple

    @classmethod
    def of(cls, terms, rhs):
        """The tests for the terms of a matrix and a right-hand side of norm 1."""
        coefficients = terms.coefficients
        largest = coefficients[np.argmax(np.abs(coefficients))]
        # One phase for all of A changes nothing; without it, more of the products are real.
        coefficients = coefficients * (abs(largest) / largest)
        real, imaginary = coefficients.real.copy(), coefficients.imag.copy()
        smaller = np.minimum(np.abs(real), np.abs(imaginary)) <= ROUNDING * abs(largest)
        is_real = np.abs(imaginary) <= np.abs(real)
        imaginary[smaller & is_real] = 0.0
        real[smaller & ~is_real] = 0.0
        constant, of_norm = _norm(terms.matrix)
        return cls(real + 1j * imaginary, terms.letters, of_norm, constant, tuple(preparation(rhs)))

    @cached_property
    def unprepare_b(self):
        """Gates of U_b†."""
        return tuple(qml.adjoint(gate, lazy=False) for gate in reversed(self.prepare_b))

    @property
    def qubits(self):
        """Of the system; the tests use one wire more, the last."""
        return self.letters.shape[1]

    @property
    def circuits_of_all_pairs(self):
        """Of one evaluation, were every pair of terms measured."""
        return 2 * len(self.coefficients) ** 2 * (self.qubits + 1)

    @property
    def circuits(self):
        """Of one evaluation."""
        terms = len(self.coefficients)
        # A product has both parts if one of its two coefficients has.
        simple = int(np.sum((self.coefficients.real == 0) | (self.coefficients.imag == 0)))
        pairs, simple_pairs = terms * (terms - 1) // 2, simple * (simple - 1) // 2
        return (2 * pairs - simple_pairs + terms) * self.qubits + len(self.of_norm)

    def all(self):
        """The tests of one evaluation, one after the other."""
        yield from self.of_norm
        words = self._words
        for word, coefficient in zip(words, self.coefficients, strict=True):
            for qubit in range(self.qubits):
                yield Test(word, word, qubit, False, abs(coefficient) ** 2)
        for left, right in combinations(range(len(words)), 2):
            yield from self.of_pair(left, right)

    def of_pair(self, left, right):
        """The tests of two different terms."""
        one, other = self.coefficients[left], self.coefficients[right]
        product = one.conjugate() * other
        for qubit in range(self.qubits):
            for imaginary in _parts(one, other):
                factor = -2 * product.imag if imaginary else 2 * product.real
                yield Test(self._words[left], self._words[right], qubit, imaginary, factor)

    @cached_property
    def _words(self):
        return [tuple(letters) for letters in self.letters.tolist()]

    def sample(self, number, rng):
        """Some tests, of pairs drawn at random: how long do they take?"""
        found = []
        while len(found) < number:
            if len(self.coefficients) == 1:
                found += self.all()
            else:
                found += self.of_pair(*sorted(rng.choice(len(self.coefficients), 2, replace=False)))
        return found[:number]

    def circuit(self, test, trial, shots):
        """Measures Re or Im of <V| P_left U_b Z_qubit U_b† P_right |V>; without Z and U_b for the norm.

        Args:
            test: which.
            trial: gates of V.
            shots: None for an exact result.
        """
        ancilla = self.qubits
        between = []
        if test.qubit is not None:
            between = [*self.unprepare_b, qml.CZ([ancilla, test.qubit]), *self.prepare_b]
        gates = [
            qml.Hadamard(ancilla),
            *([qml.PhaseShift(-np.pi / 2, wires=ancilla)] if test.imaginary else []),
            *trial,
            *_controlled_word(test.right),
            *between,
            *_controlled_word(test.left),
            qml.Hadamard(ancilla),
        ]
        return qml.tape.QuantumScript(gates, [qml.expval(qml.PauliZ(ancilla))], shots=shots)


def preparation(state):
    """Gates that make a state of norm 1 from |0>, up to a phase that U_b and its inverse cancel."""
    qubits = len(state).bit_length() - 1
    gates = qml.MottonenStatePreparation(state, wires=range(qubits)).decomposition()
    return [gate for gate in gates if not isinstance(gate, qml.GlobalPhase)]


def _parts(one, other):
    """Whether the imaginary part of β is needed, for each part that is; by the coefficients' kinds."""
    if (one.real and one.imag) or (other.real and other.imag):
        return (False, True)
    return ((one.imag == 0) != (other.imag == 0),)


def _norm(matrix):
    """Constant and tests of <V|A†A|V>, by the Pauli words of A†A; their coefficients are real."""
    words = pauli_coefficients(matrix.conj().T @ matrix).real
    identity = (0,) * words.ndim
    constant = float(words[identity])
    tests = []
    for word in np.argwhere(np.abs(words) > ROUNDING * constant).tolist():
        if tuple(word) != identity:
            tests.append(Test(tuple(word), identity, None, False, float(words[tuple(word)])))
    return constant, tuple(tests)


@cache
def _controlled_word(letters):
    """A Pauli word, controlled by the wire behind its own."""
    controlled = [(_CONTROLLED[letter], qubit) for qubit, letter in enumerate(letters)]
    return tuple(gate([len(letters), qubit]) for gate, qubit in controlled if gate is not None)
