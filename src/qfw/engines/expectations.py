"""Exact expectation values of many states at once, in NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qfw.numerics.question import Question, parities

Floats = npt.NDArray[np.float64]


def expectations(state: npt.NDArray[np.complex128], question: Question) -> Floats:
    """Of the states of some sets, shape (2**qubits, sets): shape (sets, observables).

    <P> = i^y Σ_j (-1)^|j & z| conj(ψ[j ^ x]) ψ[j], with y the number of Y in P.
    """
    indices = np.arange(state.shape[0])
    found = np.tile(question.constants[:, np.newaxis], (1, state.shape[1]))
    for x, words in question.words_by_flip.items():
        products = state.conj() if x == 0 else state[indices ^ x].conj()
        products *= state
        # Re(i^y v) is Re v, -Im v, -Re v, Im v in turn.
        halves = (np.ascontiguousarray(products.real), np.ascontiguousarray(products.imag))
        del products
        for observable, word in words:
            y = (word.x & word.z).bit_count()
            sign = -1.0 if y % 4 in (1, 2) else 1.0
            found[observable] += sign * word.coefficient * (parities(indices, word.z) @ halves[y % 2])
    return np.ascontiguousarray(found.T)
