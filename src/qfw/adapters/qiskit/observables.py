"""Qiskit's observables as sums of Pauli words."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from qiskit.exceptions import QiskitError
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparseObservable

from qfw.formats.remembered import Remembered
from qfw.model.errors import ProgramError, TooLarge
from qfw.model.observable import PauliSum, PauliTerm

#: Pauli words that one observable may have, its projectors multiplied out.
MAX_WORDS = 2**14
#: Observables that a process remembers.
MAX_KNOWN = 4096
#: Pauli words of all of them together; one takes some 430 bytes.
MAX_KNOWN_WORDS = 2**18

#: Each projector is half the identity and half a Pauli, with this sign.
_PROJECTORS = {
    "0": ("Z", 1.0),
    "1": ("Z", -1.0),
    "+": ("X", 1.0),
    "-": ("X", -1.0),
    "r": ("Y", 1.0),
    "l": ("Y", -1.0),
}

#: What Qiskit raises for what is no observable.
_FOREIGN = (TypeError, ValueError, AttributeError, OverflowError, StopIteration, QiskitError)

#: A coefficient, the qubits, and for each of them a letter.
Term = tuple[float, Sequence[int], str]


class Observables(NamedTuple):
    """An array of observables."""

    #: In the order of the array's elements, the last index fastest.
    sums: list[PauliSum]
    shape: tuple[int, ...]


def read_observables(given: Any, num_qubits: int) -> Observables:
    """The observables of a PUB.

    Args:
        given: what `ObservablesArray.coerce` takes: a string, Pauli, SparsePauliOp, SparseObservable, mapping
            of words to coefficients, or a nested list of these. Character i from the right is qubit i.
        num_qubits: of the circuit.

    Raises:
        ProgramError: not observables; complex coefficients; of another width than the circuit.
        TooLarge: projectors that multiply out to more than MAX_WORDS words.
    """
    try:
        array = ObservablesArray.coerce(given)
    except _FOREIGN as error:
        raise ProgramError(f"the observables cannot be read: {error}") from error
    # Before Qiskit 2.1 the elements are mappings.
    sparse = getattr(array, "sparse_observables_array", None)
    elements = sparse() if sparse is not None else np.asarray(array, dtype=object)
    return Observables([_pauli_sum(element, num_qubits) for element in elements.ravel()], array.shape)


def _pauli_sum(element: Any, num_qubits: int) -> PauliSum:
    key: Hashable
    if isinstance(element, Mapping):
        key = (num_qubits, tuple(element.items()))
    elif not isinstance(element, SparseObservable):
        raise ProgramError(f"an observable is no mapping and no SparseObservable: {element!r:.80}")
    else:
        parts = (element.coeffs, element.bit_terms, element.indices, element.boundaries)
        key = (num_qubits, element.num_qubits, *(np.asarray(part).tobytes() for part in parts))
    found = _known.get(key)
    if found is None:
        found = _multiplied_out(_terms(element, num_qubits))
        found.check(num_qubits)
        _known.put(key, found, len(found.terms))
    return found


def _terms(element: Any, num_qubits: int) -> Iterable[Term]:
    if isinstance(element, Mapping):
        for word, coefficient in element.items():
            _check_width(len(word), num_qubits)
            placed = [(qubit, letter) for qubit, letter in enumerate(reversed(word)) if letter != "I"]
            yield _real(coefficient), [qubit for qubit, _ in placed], "".join(letter for _, letter in placed)
    else:
        _check_width(element.num_qubits, num_qubits)
        for letters, qubits, coefficient in element.to_sparse_list():
            placed = sorted(zip(qubits, letters, strict=True))
            yield _real(coefficient), [qubit for qubit, _ in placed], "".join(letter for _, letter in placed)


def _multiplied_out(terms: Iterable[Term]) -> PauliSum:
    """The sum of Pauli words; equal words are one."""
    words: dict[tuple[tuple[int, ...], str], float] = {}
    for coefficient, qubits, letters in terms:
        projectors = sum(letter in _PROJECTORS for letter in letters)
        if len(words) + 2**projectors > MAX_WORDS:
            raise TooLarge(
                f"an observable has more than {MAX_WORDS} Pauli words, its projectors multiplied out (the word "
                f"{letters!r} has {projectors} projectors). Use fewer; for the probability of a bit string sample it"
            )
        if not projectors:
            word = tuple(qubits), letters
            words[word] = words.get(word, 0.0) + coefficient
            continue
        choices = [_choices(letter) for letter in letters]
        for picked in product(*choices):
            factor = coefficient
            for _, part in picked:
                factor *= part
            left = [(qubit, pauli) for qubit, (pauli, _) in zip(qubits, picked, strict=True) if pauli]
            word = tuple(qubit for qubit, _ in left), "".join(pauli for _, pauli in left)
            words[word] = words.get(word, 0.0) + factor
    kept = tuple(PauliTerm(c, qubits, paulis) for (qubits, paulis), c in words.items() if c)
    return PauliSum(kept or (PauliTerm(0.0, (), ""),))


def _choices(letter: str) -> tuple[tuple[str, float], ...]:
    projector = _PROJECTORS.get(letter)
    if projector is None:
        return ((letter, 1.0),)
    pauli, sign = projector
    return (("", 0.5), (pauli, 0.5 * sign))


def _real(coefficient: Any) -> float:
    found = complex(coefficient)
    if found.imag:
        raise ProgramError(
            f"an observable has the complex coefficient {coefficient}; observables are Hermitian: real coefficients"
        )
    return found.real


def _check_width(width: int, num_qubits: int) -> None:
    if width != num_qubits:
        raise ProgramError(
            f"an observable acts on {width} qubits, the circuit has {num_qubits}; pad it with I, or use apply_layout "
            "after transpiling"
        )


_known: Remembered[PauliSum] = Remembered(MAX_KNOWN, MAX_KNOWN_WORDS)
