"""Parts of the VQLS example that solve users' systems: each against NumPy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ansatz import Ansatz
from cost import Cost
from decomposition import PAULIS, decompose, matrix_of, pauli_coefficients
from hadamard import HadamardTests, preparation
from outcome import InputError
from progress import CircuitCounter
from system import make_system

KINDS = ["real symmetric", "real general", "complex hermitian", "complex general"]


def random_system(kind: str, qubits: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = 2**qubits
    matrix, rhs = rng.normal(size=(size, size)), rng.normal(size=size)
    if "complex" in kind:
        matrix, rhs = matrix + 1j * rng.normal(size=(size, size)), rhs + 1j * rng.normal(size=size)
    return (matrix if "general" in kind else matrix + matrix.conj().T), rhs


def cost_of(kind: str, qubits: int, device: str = "lightning.qubit", prune: float = 1e-13) -> tuple:
    """A cost, its counter and its system."""
    found = make_system(*random_system(kind, qubits))
    terms = decompose(found.matrix, prune, found.condition)
    ansatz = Ansatz(qubits, 1, found.real)
    opened = qml.device(device, wires=qubits + 1)
    counter = CircuitCounter(opened)
    tests = HadamardTests.of(terms, found.rhs)
    return Cost(tests, ansatz, opened, None, found.condition**-2), counter, found


def word(letters: tuple[int, ...]) -> np.ndarray:
    matrix = np.eye(1)
    for letter in letters:
        matrix = np.kron(matrix, PAULIS[letter])
    return matrix


parts = st.floats(-1e3, 1e3, allow_subnormal=False)
matrices = st.integers(1, 3).flatmap(
    lambda qubits: arrays(np.complex128, (2**qubits, 2**qubits), elements=st.builds(complex, parts, parts))
)


@given(matrices)
@settings(deadline=None, max_examples=50)
def test_decomposition_there_and_back(matrix):
    coefficients = pauli_coefficients(matrix)
    size = max(1.0, np.abs(matrix).max())
    assert np.abs(matrix_of(coefficients) - matrix).max() <= 1e-12 * size
    # Words are orthogonal: Parseval.
    assert np.linalg.norm(coefficients) ** 2 * len(matrix) == pytest.approx(np.linalg.norm(matrix) ** 2)


@given(matrices)
@settings(deadline=None, max_examples=50)
def test_hermitian_matrices_have_real_coefficients(matrix):
    hermitian = pauli_coefficients(matrix + matrix.conj().T)
    assert np.abs(hermitian.imag).max() <= 1e-12 * max(1.0, np.abs(matrix).max())


@pytest.mark.parametrize("qubits", [1, 2, 3])
def test_coefficients_are_traces(qubits):
    matrix, _ = random_system("complex general", qubits)
    found = pauli_coefficients(matrix)
    for letters in product(range(4), repeat=qubits):
        assert found[letters] == pytest.approx(np.trace(word(letters) @ matrix) / 2**qubits)


def test_a_large_matrix_is_decomposed_at_once():
    """256×256: a trace for each word would be 4 * 10^9 steps."""
    matrix, _ = random_system("complex general", 8)
    assert np.allclose(matrix_of(pauli_coefficients(matrix)), matrix)


def test_what_pruning_leaves_out():
    matrix, rhs = random_system("complex hermitian", 2)
    matrix = matrix + 10 * np.eye(4)
    terms = decompose(matrix, prune=0.1)
    kept = sum(c * word(tuple(letters)) for c, letters in zip(terms.coefficients, terms.letters, strict=True))
    assert 0 < len(terms.coefficients) < 16
    assert np.allclose(kept, terms.matrix)
    assert terms.error == pytest.approx(np.linalg.norm(matrix - kept, 2) / np.linalg.norm(matrix, 2))
    exact, found = np.linalg.solve(matrix, rhs), np.linalg.solve(kept, rhs)
    moved = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert 0 < moved <= terms.solution_error < 2


def test_pruning_that_makes_the_matrix_singular():
    # X is 1/100 of I + Z, and all that keeps them from being a projection.
    with pytest.raises(InputError, match="--prune"):
        decompose(np.array([[2, 0.01], [0.01, 0]]), prune=0.1)


@pytest.mark.parametrize(
    "state", [[1, 0], [-1, 1j], [1, 0, 0, 0], [1, -2, 0.5j, 0], [0.1, 1, 1, 1, 0, 0, 2j, -3]]
)
def test_preparation(state):
    state = np.array(state) / np.linalg.norm(state)
    circuit = qml.tape.QuantumScript(preparation(state))
    qubits = len(state).bit_length() - 1
    found = (
        qml.matrix(circuit, wire_order=range(qubits))[:, 0] if circuit.operations else np.eye(len(state))[0]
    )
    assert abs(np.vdot(found, state)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "qubits", "circuits", "of_all_pairs"),
    [
        # L = 3, 4, 4, 4 of one qubit; L = 10, 16, 16, 16 of two. Without symmetry 2 L² (n + 1).
        ("real symmetric", 1, 3 + 3 + 2, 36),
        ("real general", 1, 6 + 4 + 2, 64),
        ("complex hermitian", 1, 6 + 4 + 3, 64),
        ("complex general", 1, 12 + 4 + 3, 64),
        ("real symmetric", 2, (45 + 10) * 2 + 9, 600),
        ("real general", 2, (120 + 16) * 2 + 9, 1536),
        ("complex hermitian", 2, (120 + 16) * 2 + 15, 1536),
        ("complex general", 2, (240 + 16) * 2 + 15, 1536),
    ],
)
def test_circuits_of_an_evaluation(kind, qubits, circuits, of_all_pairs):
    """As the device counts them."""
    cost, counter, _ = cost_of(kind, qubits)
    cost.value(np.ones(cost.ansatz.weights))
    assert counter.circuits == cost.tests.circuits == circuits
    assert cost.tests.circuits_of_all_pairs == of_all_pairs
    cost.value_and_gradient(np.ones(cost.ansatz.weights))
    assert counter.circuits == circuits * (1 + cost.sets_of_gradient)


def test_a_phase_of_the_matrix_costs_nothing():
    matrix, rhs = random_system("complex hermitian", 2)
    one, other = (
        HadamardTests.of(decompose(make_system(given, rhs).matrix, 1e-13), rhs / np.linalg.norm(rhs))
        for given in (matrix, np.exp(0.3j) * matrix)
    )
    assert one.circuits == other.circuits == 287


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("qubits", [1, 2])
def test_cost_and_gradient(kind, qubits):
    """The cost is the formula's, of the same U_b; the gradient is its slope."""
    cost, _, found = cost_of(kind, qubits)
    weights = np.random.default_rng(1).uniform(-np.pi, np.pi, cost.ansatz.weights)
    gates = qml.tape.QuantumScript(list(cost.tests.prepare_b))
    wires = range(qubits)
    prepared = qml.matrix(gates, wire_order=wires)
    signs = [np.diag(word(tuple(3 * (q == wire) for q in wires))).real for wire in wires]

    def formula(weights):
        ansatz = qml.tape.QuantumScript(cost.ansatz.operations(weights))
        trial = found.matrix @ qml.matrix(ansatz, wire_order=wires)[:, 0]
        chances = np.abs(prepared.conj().T @ trial) ** 2
        return 0.5 * (1 - np.mean(signs, axis=0) @ chances / chances.sum())

    value, gradient = cost.value_and_gradient(weights)
    assert value == pytest.approx(formula(weights), abs=1e-9)
    assert cost.value(weights) == pytest.approx(value, abs=1e-9)
    step = 1e-5
    slopes = [
        (formula(weights + step * unit) - formula(weights - step * unit)) / (2 * step)
        for unit in np.eye(len(weights))
    ]
    assert gradient == pytest.approx(np.array(slopes), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_exact_solution_costs_nothing(kind):
    """A one-qubit state is known by its angles: RY, then RZ."""
    cost, _, found = cost_of(kind, 1)
    zero, one = np.linalg.solve(found.matrix, found.rhs)
    weights = [2 * np.arctan2(abs(one), abs(zero)), np.angle(one) - np.angle(zero)]
    if found.real:
        weights = [2 * np.arctan2(one.real, zero.real)]
    # With a layer more than it needs: the second rotation does nothing.
    assert cost.value(np.concatenate([weights, np.zeros(len(weights))])) < 1e-12


def test_systems_of_any_scale():
    matrix, rhs = random_system("real general", 2)
    for of_matrix, of_rhs in [(1, 1), (1e200, 1e-90), (1e-300, 1e-310), (-1e150, 1e-140j)]:
        found = make_system(of_matrix * matrix, of_rhs * rhs)
        exact = np.linalg.solve(found.matrix, found.rhs) * found.scale
        wanted = np.linalg.solve(matrix, rhs) * (of_rhs / of_matrix)
        assert exact == pytest.approx(wanted, rel=1e-6)
