"""What a run must look at to answer the outputs asked for: measurement bases, observables, vectors.

Worked out once for a (program, outputs, sampled or exact), then used for every set.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Memory, Output, Probabilities, Statevector
from qfw.model.program import Program

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Up to here a table of values over all basis states is kept for an observable.
TABLE_QUBITS = 10
#: Questions that a prepared program remembers.
REMEMBERED = 16

#: Qubits to be rotated before measurement, in rising order, and what is measured there: "X" or "Y".
#: Empty: the computational basis.
Basis = tuple[tuple[int, str], ...]


class Word(NamedTuple):
    """A Pauli term by bit masks over qubits: X or Y in `x`, Z or Y in `z`."""

    coefficient: float
    x: int
    z: int


@dataclass(frozen=True)
class Part:
    """What of one observable is measured in one basis: a sum of parities."""

    observable: int
    #: Pairs (coefficient, mask of the qubits whose parity counts).
    parities: tuple[tuple[float, int], ...]
    #: Value of every basis state, shape (2**qubits,); None for wide programs.
    table: Floats | None

    def values(self, states: Ints) -> Floats:
        """Value of each basis state given by index, shape of `states`."""
        if self.table is not None:
            return self.table[states]
        return _parity_sum(self.parities, states)


@dataclass(frozen=True)
class Question:
    """What the answers need of each set's final state."""

    num_qubits: int
    sampled: bool
    outputs: tuple[Output, ...]
    #: Of all expectation outputs, one behind the other.
    observables: tuple[PauliSum, ...]
    #: Distribution of outcomes needed in each of these bases.
    bases: tuple[Basis, ...]
    #: With shots: what is measured in each basis.
    parts: tuple[tuple[Part, ...], ...]
    #: Coefficient of the identity in each observable, shape (observables,).
    constants: Floats
    #: Without shots: (observable, word) of all other terms, by the bits that they flip.
    words_by_flip: dict[int, list[tuple[int, Word]]]
    wants_vector: bool
    wants_memory: bool
    #: With shots: whether anything but observables is read in the first, computational, basis.
    wants_outcomes: bool

    @property
    def wants_values(self) -> bool:
        """Whether exact expectation values are needed."""
        return bool(self.observables) and not self.sampled


def ask(program: Program, outputs: tuple[Output, ...], sampled: bool) -> Question:
    """The question that `outputs` pose, with shots (`sampled`) or exactly."""
    observables = tuple(
        o for output in outputs if isinstance(output, Expectation) for o in output.observables
    )
    wants_outcomes = any(isinstance(output, (Counts, Memory, Probabilities)) for output in outputs)
    words = [[word_of(term.coefficient, term.qubits, term.paulis) for term in o.terms] for o in observables]
    constants = [sum(w.coefficient for w in row if not w.x | w.z) for row in words]
    groups = _commuting_groups(words, wants_outcomes, program.num_qubits) if sampled else []
    exact_bases: tuple[Basis, ...] = ((),) if wants_outcomes else ()
    return Question(
        num_qubits=program.num_qubits,
        sampled=sampled,
        outputs=outputs,
        observables=observables,
        bases=tuple(group.basis() for group in groups) if sampled else exact_bases,
        parts=tuple(group.parts(program.num_qubits) for group in groups),
        constants=np.array(constants, dtype=np.float64),
        words_by_flip={} if sampled else _by_flip(words),
        wants_vector=any(isinstance(output, Statevector) for output in outputs),
        wants_memory=any(isinstance(output, Memory) for output in outputs),
        wants_outcomes=wants_outcomes,
    )


class Questions:
    """The questions put lately to one program, so that each is worked out once."""

    def __init__(self, program: Program) -> None:
        """Of `program`."""
        self._program = program
        self._known: OrderedDict[tuple[tuple[Output, ...], bool], Question] = OrderedDict()
        self._last: Question | None = None

    def of(self, outputs: tuple[Output, ...], shots: int) -> Question:
        """The question that `outputs` pose with `shots`."""
        sampled, last = shots > 0, self._last
        if last is not None and last.outputs is outputs and last.sampled is sampled:
            return last
        key = (outputs, sampled)
        question = self._known.get(key)
        if question is None:
            question = ask(self._program, outputs, sampled)
            self._known[key] = question
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        self._last = question
        return question


def word_of(coefficient: float, qubits: tuple[int, ...], paulis: str) -> Word:
    """A Pauli term by its masks."""
    x = sum(1 << q for q, pauli in zip(qubits, paulis, strict=True) if pauli != "Z")
    z = sum(1 << q for q, pauli in zip(qubits, paulis, strict=True) if pauli != "X")
    return Word(coefficient, x, z)


def parities(states: Ints, mask: int) -> Floats:
    """+1 or -1 for each basis state: the parity of its bits in `mask`."""
    signs: Floats = 1.0 - 2.0 * (np.bitwise_count(states & mask) & 1)
    return signs


class _Group:
    """Terms that commute qubit by qubit: on a qubit all have the same Pauli, or none."""

    def __init__(self, z: int) -> None:
        self.x = 0
        self.z = z
        self.members: dict[int, list[tuple[float, int]]] = {}

    def takes(self, word: Word) -> bool:
        shared = (self.x | self.z) & (word.x | word.z)
        return not ((self.x ^ word.x) | (self.z ^ word.z)) & shared

    def add(self, observable: int, word: Word) -> None:
        self.x |= word.x
        self.z |= word.z
        self.members.setdefault(observable, []).append((word.coefficient, word.x | word.z))

    def basis(self) -> Basis:
        return tuple(
            (q, "Y" if self.z >> q & 1 else "X") for q in range(self.x.bit_length()) if self.x >> q & 1
        )

    def parts(self, num_qubits: int) -> tuple[Part, ...]:
        found = []
        for observable, terms in self.members.items():
            table = None
            if num_qubits <= TABLE_QUBITS:
                table = _parity_sum(tuple(terms), np.arange(2**num_qubits))
            found.append(Part(observable, tuple(terms), table))
        return tuple(found)


def _commuting_groups(words: list[list[Word]], wants_outcomes: bool, num_qubits: int) -> list[_Group]:
    # Greedy, in order: each term joins the first group that takes it. The computational basis comes
    # first where counts are asked for, so that they and terms of Z share their shots.
    groups = [_Group((1 << num_qubits) - 1)] if wants_outcomes else []
    for observable, row in enumerate(words):
        for word in row:
            if not word.x | word.z:
                continue
            group = next((g for g in groups if g.takes(word)), None)
            if group is None:
                group = _Group(0)
                groups.append(group)
            group.add(observable, word)
    return groups


def _by_flip(words: list[list[Word]]) -> dict[int, list[tuple[int, Word]]]:
    found: dict[int, list[tuple[int, Word]]] = {}
    for observable, row in enumerate(words):
        for word in row:
            if word.x | word.z:
                found.setdefault(word.x, []).append((observable, word))
    return found


def _parity_sum(terms: tuple[tuple[float, int], ...], states: Ints) -> Floats:
    total = np.zeros(states.shape)
    for coefficient, mask in terms:
        total += coefficient * parities(states, mask)
    return total
