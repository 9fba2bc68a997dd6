"""Qiskit's observables in all their forms, projectors included, against their matrices."""

from __future__ import annotations

import numpy as np
import pytest
import qiskit
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import Pauli, PauliList, SparseObservable, SparsePauliOp

from qfw.adapters.qiskit import observables
from qfw.adapters.qiskit.observables import MAX_KNOWN, MAX_WORDS, read_observables
from qfw.formats.remembered import Remembered
from qfw.model.errors import ProgramError, TooLarge

MATRICES = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
    "0": np.diag([1, 0]),
    "1": np.diag([0, 1]),
    "+": np.full((2, 2), 0.5),
    "-": np.array([[0.5, -0.5], [-0.5, 0.5]]),
    "r": np.array([[0.5, -0.5j], [0.5j, 0.5]]),
    "l": np.array([[0.5, 0.5j], [-0.5j, 0.5]]),
}


def matrix(word: str) -> np.ndarray:
    """Of a word whose rightmost character is qubit 0."""
    found = np.eye(1)
    for letter in word:
        found = np.kron(found, MATRICES[letter])
    return found


def matrix_of_sum(observable, num_qubits: int) -> np.ndarray:
    found = np.zeros((2**num_qubits,) * 2, dtype=complex)
    for term in observable.terms:
        letters = ["I"] * num_qubits
        for qubit, pauli in zip(term.qubits, term.paulis, strict=True):
            letters[num_qubits - 1 - qubit] = pauli
        found += term.coefficient * matrix("".join(letters))
    return found


def one(given, num_qubits):
    (found,) = read_observables(given, num_qubits).sums
    return found


WORDS = st.dictionaries(
    st.text(alphabet="IXYZ01+-rl", min_size=3, max_size=3),
    st.floats(0.1, 3) | st.floats(-3, -0.1),
    min_size=1,
    max_size=5,
)


@given(WORDS)
def test_a_mapping_of_words_is_its_matrix(words):
    wanted = sum(coefficient * matrix(word) for word, coefficient in words.items())
    assert np.allclose(matrix_of_sum(one(words, 3), 3), wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("ZX", matrix("ZX")),
        ("0+", matrix("0+")),
        (Pauli("-YZ"), -matrix("YZ")),
        (SparsePauliOp(["XY", "ZI"], [0.5, -2]), 0.5 * matrix("XY") - 2 * matrix("ZI")),
        (SparsePauliOp(["XY", "XY"], [0.5, 1]), 1.5 * matrix("XY")),
        ({"II": 3.0}, 3 * matrix("II")),
        ({Pauli("ZZ"): 2.0}, 2 * matrix("ZZ")),
        (SparsePauliOp(["ZI"], [2 + 0j]), 2 * matrix("ZI")),
    ],
)
def test_every_form(given, wanted):
    assert np.allclose(matrix_of_sum(one(given, 2), 2), wanted, atol=1e-12)


@pytest.mark.skipif(qiskit.__version__.startswith("2.0."), reason="Qiskit 2.0 takes no SparseObservable here")
def test_a_sparse_observable_with_projectors():
    observable = SparseObservable.from_list([("r1Z", 0.5), ("II-", 2.0)])
    wanted = 0.5 * matrix("r1Z") + 2 * matrix("II-")
    assert np.allclose(matrix_of_sum(one(observable, 3), 3), wanted, atol=1e-12)


def test_arrays_keep_their_shape_and_order():
    found = read_observables([["XI", "IX"], ["ZZ", "YY"], ["IZ", "ZI"]], 2)
    assert found.shape == (3, 2)
    assert [observable.terms[0].paulis for observable in found.sums] == ["X", "X", "ZZ", "YY", "Z", "Z"]
    assert [observable.terms[0].qubits for observable in found.sums][:2] == [(1,), (0,)]
    assert read_observables(PauliList(["XX", "ZZ"]), 2).shape == (2,)
    assert read_observables([], 2).shape == (0,)


def test_equal_words_are_one_term():
    observable = one({"0I": 1.0, "1I": 1.0}, 2)
    by_word = {term.paulis: term.coefficient for term in observable.terms}
    assert by_word == {"": 1.0}


@pytest.mark.parametrize(
    "given",
    [
        {"ZZ": 1j},
        SparsePauliOp(["ZZ"], [1 + 2j]),
        Pauli("iZZ"),
        "ZA",
        "Z",
        "ZZZ",
        ["ZZ", "Z"],
        3.0,
        None,
        {"ZZ": float("nan")},
        {"ZZ": float("inf")},
        {"ZZ": "x"},
        object(),
        {},
    ],
    ids=repr,
)
def test_what_is_no_observable_of_two_qubits(given):
    with pytest.raises(ProgramError):
        read_observables(given, 2)


def test_too_many_projectors():
    with pytest.raises(TooLarge, match="20 projectors"):
        read_observables("0" * 20, 20)
    assert len(one("0" * 10, 10).terms) == 2**10 <= MAX_WORDS


def test_what_is_remembered_is_bounded_by_words(monkeypatch):
    remembered = Remembered(MAX_KNOWN, 10)
    monkeypatch.setattr(observables, "_known", remembered)
    for coefficient in (1.0, 2.0, 3.0, 4.0):
        (found,) = read_observables(SparsePauliOp(["XX", "YY", "ZZ"], [coefficient] * 3), 2).sums
        assert found.terms[0].coefficient == coefficient
    assert len(remembered) == 3
