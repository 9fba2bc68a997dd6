"""A matrix as a sum of Pauli words, and what leaving out the small terms costs."""

from dataclasses import dataclass

import numpy as np

from outcome import InputError

LETTERS = "IXYZ"
#: Shape (4, 2, 2): the Pauli matrices in the order of `LETTERS`.
PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def pauli_coefficients(matrix):
    """Coefficients of all Pauli words: tr(P A) / 2^n.

    One qubit after the other: its row and its column index become the index of its letter. That is
    n 4^(n+1) steps in all; a trace for each of the 4^n words would be 16^n.

    Args:
        matrix: shape (2^n, 2^n); qubit 0 is the most significant bit of an index.

    Returns:
        Shape (4,) * n, complex128; the index of a word is that of its letters, qubit 0 first.
    """
    qubits = len(matrix).bit_length() - 1
    tensor = np.asarray(matrix, dtype=np.complex128).reshape((2,) * (2 * qubits))
    for qubit in range(qubits):
        # The first axis is the row's, the column's is behind the rows that remain; the letter comes last.
        tensor = np.tensordot(tensor, PAULIS / 2, axes=([0, qubits - qubit], [2, 1]))
    return tensor


def matrix_of(coefficients):
    """The matrix of a tensor of coefficients: the inverse of `pauli_coefficients`."""
    qubits = coefficients.ndim
    tensor = coefficients
    for _ in range(qubits):
        tensor = np.tensordot(tensor, PAULIS, axes=([0], [0]))
    # Axes are now row, column, row, column …
    order = [*range(0, 2 * qubits, 2), *range(1, 2 * qubits, 2)]
    return tensor.transpose(order).reshape(2**qubits, 2**qubits)


@dataclass(frozen=True)
class Terms:
    """The Pauli words that are kept, and the error of it."""

    #: Shape (L,), complex128.
    coefficients: np.ndarray
    #: Shape (L, n): letters by number, qubit 0 first.
    letters: np.ndarray
    #: Shape (2^n, 2^n): their sum.
    matrix: np.ndarray
    #: ‖A - kept‖ / ‖A‖, spectral norms.
    error: float
    #: How far the solution may move for it, relative to the kept one; infinite where nothing is known.
    solution_error: float

    def words(self):
        """The words as strings; qubit 0 is the leftmost."""
        return ["".join(LETTERS[letter] for letter in row) for row in self.letters]


def decompose(matrix, prune=0.0, condition=None):
    """The terms of a matrix whose coefficient is more than `prune` times the largest.

    With d = ‖dA‖/‖A‖ of what is left out and κ = ‖A‖‖A⁻¹‖, the solution y of the kept part has
    ‖y - x‖/‖x‖ ≤ κd / (1 - κd), where κd < 1.

    Args:
        matrix: shape (2^n, 2^n).
        prune: 0 to less than 1.
        condition: κ, if it is known.

    Raises:
        InputError: what is kept is singular.
    """
    all_of_them = pauli_coefficients(matrix)
    sizes = np.abs(all_of_them)
    kept = sizes > prune * sizes.max()
    left_out = matrix_of(np.where(kept, 0, all_of_them))
    error = float(np.linalg.norm(left_out, 2) / np.linalg.norm(matrix, 2))
    condition = float(np.linalg.cond(matrix)) if condition is None else condition
    # From 1 on, what is left out may be what keeps the matrix from being singular.
    if condition * error >= 1 and np.linalg.cond(matrix - left_out) > 1 / np.finfo(float).eps:
        raise InputError(f"what --prune {prune:g} keeps of the matrix is singular: lower it")
    moved = condition * error / (1 - condition * error) if condition * error < 1 else float("inf")
    return Terms(all_of_them[kept], np.argwhere(kept), matrix - left_out, error, moved)
