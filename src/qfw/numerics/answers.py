"""From what an engine read of its states to the answers that travel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.outputs import (
    Answer,
    Array,
    Counts,
    CountsAnswer,
    Expectation,
    ExpectationAnswer,
    Memory,
    MemoryAnswer,
    Output,
    Probabilities,
    ProbabilitiesAnswer,
    Statevector,
    StatevectorAnswer,
)
from qfw.model.program import Program
from qfw.numerics.question import Part, Question
from qfw.numerics.sampling import Samples, Stream, draw, in_random_order

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


class Readings(NamedTuple):
    """What an engine read of the final states of some parameter sets."""

    #: Shape (sets, 2**qubits), or None where `question.wants_vector` is false.
    vectors: npt.NDArray[np.complex128] | None
    #: Exact expectation values, shape (sets, observables), or None where not wanted.
    values: Floats | None
    #: For each of `question.bases`: shape (sets, 2**qubits). May be overwritten; is gone through once.
    distributions: Iterable[Floats]


class Answers:
    """Collects the readings of a task's sets, in order, and gives its answers."""

    def __init__(self, program: Program, question: Question, shots: int, stream: Stream) -> None:
        """Of `shots` for each set, drawn from `stream`; 0 for exact answers."""
        self._question = question
        self._shots = shots
        self._stream = stream
        self._program = program
        self._parts: list[list[tuple[npt.NDArray[np.generic], ...]]] = [[] for _ in question.outputs]
        self._placing = (
            _Placing(program) if any(isinstance(o, (Counts, Memory)) for o in question.outputs) else None
        )

    def add(self, readings: Readings, seeds: Sequence[int]) -> None:
        """Takes the readings of the next sets, and their seeds."""
        question = self._question
        if question.sampled:
            drawn = (
                draw(distribution, self._shots, seeds, basis, self._stream)
                for basis, distribution in enumerate(readings.distributions)
            )
            self.add_drawn(drawn, len(seeds), lambda s: in_random_order(s, self._shots, seeds, self._stream))
            return
        exact = None
        if question.wants_outcomes:
            (exact,) = readings.distributions
        self._take(len(seeds), readings.values, None, None, None, exact, readings.vectors)

    def add_drawn(self, drawn: Iterable[Samples], sets: int, ordered: Callable[[Samples], Ints]) -> None:
        """Takes the shots of the next sets.

        Args:
            drawn: for each of `question.bases`; gone through once.
            sets: their number.
            ordered: gives the first basis' outcomes shot by shot, shape (sets, shots). Called where memory is wanted.
        """
        question, samples = self._question, None
        values = np.tile(question.constants, (sets, 1))
        variances = np.zeros_like(values)
        for basis, found in enumerate(drawn):
            _add_estimates(found, question.parts[basis], self._shots, values, variances)
            if basis == 0 and question.wants_outcomes:
                samples = found
        memory = ordered(samples) if samples is not None and question.wants_memory else None
        self._take(sets, values, np.sqrt(variances), samples, memory, None, None)

    def _take(
        self,
        sets: int,
        values: Floats | None,
        errors: Floats | None,
        samples: Samples | None,
        memory: Ints | None,
        exact: Floats | None,
        vectors: npt.NDArray[np.complex128] | None,
    ) -> None:
        question = self._question
        first = 0
        for output, parts in zip(question.outputs, self._parts, strict=True):
            match output:
                case Counts():
                    assert samples is not None
                    assert self._placing is not None
                    parts.append(self._placing.counts(samples))
                case Memory():
                    assert memory is not None
                    assert self._placing is not None
                    parts.append((self._placing.place(memory),))
                case Expectation():
                    last = first + len(output.observables)
                    if values is None:
                        values = np.zeros((sets, 0))
                    errors = np.zeros_like(values) if errors is None else errors
                    parts.append((values[:, first:last], errors[:, first:last]))
                    first = last
                case Probabilities():
                    if samples is not None:
                        parts.append(
                            (_frequencies(samples, output.qubits, self._program.num_qubits, self._shots),)
                        )
                    else:
                        assert exact is not None
                        parts.append((marginal(exact, output.qubits),))
                case Statevector():
                    assert vectors is not None
                    parts.append((vectors,))

    def answers(self) -> tuple[Answer, ...]:
        """The answers in the order of the outputs."""
        bits = self._program.num_bits if self._placing is not None else 0
        return tuple(
            _answer(output, parts, bits)
            for output, parts in zip(self._question.outputs, self._parts, strict=True)
        )


def _answer(output: Output, parts: list[tuple[npt.NDArray[np.generic], ...]], num_bits: int) -> Answer:
    if isinstance(output, Counts):
        lengths = np.concatenate([np.diff(part[2]) for part in parts])
        offsets = np.zeros(lengths.size + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return CountsAnswer(num_bits, _array(parts, 0), _array(parts, 1), Array.of(offsets))
    if isinstance(output, Memory):
        return MemoryAnswer(num_bits, _array(parts, 0))
    if isinstance(output, Expectation):
        return ExpectationAnswer(_array(parts, 0), _array(parts, 1))
    if isinstance(output, Probabilities):
        return ProbabilitiesAnswer(_array(parts, 0))
    return StatevectorAnswer(_array(parts, 0))


def _array(parts: list[tuple[npt.NDArray[np.generic], ...]], column: int) -> Array:
    if len(parts) == 1:
        return Array.of(parts[0][column])
    return Array.of(np.concatenate([part[column] for part in parts]))


class _Placing:
    """Where each qubit's bit goes in the words of an outcome."""

    def __init__(self, program: Program) -> None:
        # A later measurement into the same classical bit replaces the earlier one.
        qubit_of = {clbit: qubit for qubit, clbit in program.terminal_measurements}
        self.words = (max(program.num_bits, 1) + 63) // 64
        #: Whether every qubit goes somewhere, so that distinct states stay distinct.
        self.covers = len(set(qubit_of.values())) == program.num_qubits
        self.unchanged = self.words == 1 and self.covers and all(q == c for c, q in qubit_of.items())
        self.moves = [(qubit, *divmod(clbit, 64)) for clbit, qubit in qubit_of.items()]

    def place(self, states: Ints) -> Words:
        """Shape (…) of basis states to shape (…, words)."""
        if self.unchanged:
            return states.astype(np.uint64)[..., np.newaxis]
        source = states.astype(np.uint64)
        found = np.zeros((*states.shape, self.words), dtype=np.uint64)
        for qubit, word, bit in self.moves:
            found[..., word] |= (source >> np.uint64(qubit) & np.uint64(1)) << np.uint64(bit)
        return found

    def counts(self, samples: Samples) -> tuple[Words, Ints, Ints]:
        """Outcomes, counts and offsets; outcomes that are equal after placing are joined."""
        outcomes, counts, offsets = self.place(samples.states), samples.counts, samples.offsets
        if self.covers or not counts.size:
            return outcomes, counts, offsets
        sets = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
        order = np.lexsort((*outcomes.T, sets))
        outcomes, sets = outcomes[order], sets[order]
        new = np.ones(sets.size, dtype=np.bool_)
        new[1:] = (np.diff(sets) != 0) | (outcomes[1:] != outcomes[:-1]).any(axis=1)
        starts = np.flatnonzero(new)
        return (
            outcomes[starts],
            np.add.reduceat(counts[order], starts),
            sets[starts].searchsorted(np.arange(offsets.size)),
        )


def _add_estimates(
    samples: Samples, parts: Sequence[Part], shots: int, means: Floats, variances: Floats
) -> None:
    # Means of an observable's parts add up; so do the variances of the means, bases being independent.
    starts = samples.offsets[:-1]
    for part in parts:
        values = part.values(samples.states)
        mean = np.add.reduceat(samples.counts * values, starts) / shots
        deviations = values - np.repeat(mean, np.diff(samples.offsets))
        squares = np.add.reduceat(samples.counts * deviations**2, starts)
        means[:, part.observable] += mean
        # One shot says nothing of the spread: not a number, rather than a false zero.
        variances[:, part.observable] += squares / ((shots - 1) * shots) if shots > 1 else np.nan


def _frequencies(samples: Samples, qubits: tuple[int, ...], num_qubits: int, shots: int) -> Floats:
    width = len(qubits) or num_qubits
    sets = samples.offsets.size - 1
    found = samples.states
    if qubits and qubits != tuple(range(num_qubits)):
        found = np.zeros_like(samples.states)
        for place, qubit in enumerate(qubits):
            found |= (samples.states >> qubit & 1) << place
    rows = np.repeat(np.arange(sets) << width, np.diff(samples.offsets))
    total = np.bincount(rows + found, weights=samples.counts, minlength=sets << width)
    frequencies: Floats = total.reshape(sets, 1 << width) / shots
    return frequencies


def marginal(distribution: Floats, qubits: tuple[int, ...]) -> Floats:
    """Distributions, shape (sets, states), of some qubits alone, the first the least significant bit; none: all."""
    sets, states = distribution.shape
    num_qubits = states.bit_length() - 1
    if not qubits or qubits == tuple(range(num_qubits)):
        return distribution
    axes = distribution.reshape(sets, *(2,) * num_qubits)
    others = tuple(num_qubits - q for q in range(num_qubits) if q not in qubits)
    kept = axes.sum(axis=others)
    # Axes left are the qubits asked for, highest first; the answer wants qubits[0] lowest.
    falling = sorted(qubits, reverse=True)
    ordered: Floats = kept.transpose(0, *(1 + falling.index(q) for q in reversed(qubits)))
    return ordered.reshape(sets, -1)
