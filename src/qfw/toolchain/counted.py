"""A program's answers from counts of programs that measure all its qubits, one for each basis."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.errors import TooLarge
from qfw.model.outputs import Answer, CountsAnswer, MemoryAnswer, Output
from qfw.model.program import Barrier, Gate, Measure, Operation, Program
from qfw.numerics.answers import Answers
from qfw.numerics.question import Question, ask
from qfw.numerics.sampling import Samples, Stream

#: Qubits of a program: a basis state is a number of 64 bits.
MAX_QUBITS = 62
#: Gates in front of a measurement of Z that measure X or Y.
_TURNS = {"X": ("h",), "Y": ("sdg", "h")}


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """What was asked of a program: all that its answers are made with."""

    num_qubits: int
    num_clbits: int
    #: Pairs (qubit, clbit).
    measured: tuple[tuple[int, int], ...]
    outputs: tuple[Output, ...]
    shots: int

    @property
    def _program(self) -> Program:
        measures = tuple(Measure(qubit, clbit) for qubit, clbit in self.measured)
        return Program(self.num_qubits, self.num_clbits, 0, measures)

    @property
    def question(self) -> Question:
        """Bases, and what is read in each."""
        return ask(self._program, self.outputs, sampled=True)

    def answers(self, counted: Sequence[CountsAnswer | MemoryAnswer]) -> tuple[Answer, ...]:
        """The answers to what was asked, of those of `in_bases`; bits behind the qubits' are left out."""
        question = self.question
        sets = _sets(counted[0])
        answers = Answers(self._program, question, self.shots, Stream())

        def ordered(_: Samples) -> npt.NDArray[np.int64]:
            memory = counted[0]
            assert isinstance(memory, MemoryAnswer)
            return self._states(memory.outcomes.numpy()[..., 0])

        answers.add_drawn([self._samples(answer) for answer in counted], sets, ordered)
        return answers.answers()

    def _states(self, words: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
        mask = np.uint64(2**self.num_qubits - 1)
        return (words.astype(np.uint64) & mask).astype(np.int64)

    def _samples(self, answer: CountsAnswer | MemoryAnswer) -> Samples:
        if isinstance(answer, MemoryAnswer):
            rows = self._states(answer.outcomes.numpy()[..., 0])
            sets, shots = rows.shape
            states, offsets = rows.reshape(-1), np.arange(sets + 1) * shots
            counts = np.ones(states.size, dtype=np.int64)
        else:
            states = self._states(answer.outcomes.numpy()[:, 0])
            counts = answer.counts.numpy().astype(np.int64)
            offsets = answer.offsets.numpy().astype(np.int64)
        return _distinct(states, counts, offsets)


def asked(program: Program, outputs: tuple[Output, ...], shots: int) -> Asked:
    """What is asked of a program without control.

    Raises:
        TooLarge: it has too many qubits.
    """
    if program.num_qubits > MAX_QUBITS:
        raise TooLarge(
            f"programs of at most {MAX_QUBITS} qubits are answered from counts, not {program.num_qubits}"
        )
    measured = program.terminal_measurements if program.has_measurements else ()
    return Asked(program.num_qubits, program.num_clbits, measured, outputs, shots)


def in_bases(program: Program, question: Question) -> list[Program]:
    """The program for each basis of a question, measuring qubit i into bit i."""
    body: list[Operation] = [op for op in program.operations if not isinstance(op, Measure)]
    while body and isinstance(body[-1], Barrier):
        body.pop()
    ending = tuple(Measure(qubit, qubit) for qubit in range(program.num_qubits))
    found = []
    for basis in question.bases:
        turns = tuple(Gate(name, (qubit,)) for qubit, pauli in basis for name in _TURNS[pauli])
        operations = (*body, *turns, *ending)
        found.append(Program(program.num_qubits, program.num_qubits, program.num_slots, operations))
    return found


def _sets(answer: CountsAnswer | MemoryAnswer) -> int:
    if isinstance(answer, MemoryAnswer):
        return int(answer.outcomes.shape[0])
    return int(answer.offsets.shape[0]) - 1


def _distinct(
    states: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
) -> Samples:
    """Outcomes of each set, distinct and rising."""
    sets = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    order = np.lexsort((states, sets))
    states, counts, sets = states[order], counts[order], sets[order]
    new = np.ones(states.size, dtype=np.bool_)
    new[1:] = (np.diff(sets) != 0) | (np.diff(states) != 0)
    starts = np.flatnonzero(new)
    lengths = np.bincount(sets[starts], minlength=offsets.size - 1)
    ends = np.zeros(offsets.size, dtype=np.int64)
    np.cumsum(lengths, out=ends[1:])
    return Samples(states[starts], np.add.reduceat(counts, starts) if starts.size else counts, ends)
