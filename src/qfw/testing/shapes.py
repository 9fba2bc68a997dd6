"""Whether answers have the form of what was asked: kinds, shapes, bits, shots."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

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
from qfw.testing.checks import Failed, expect


def verify(
    answers: Sequence[Answer], program: Program, outputs: Sequence[Output], sets: int, shots: int
) -> None:
    """Raises Failed unless `answers` have the form that `outputs` ask for."""
    expect(len(answers) == len(outputs), f"{len(outputs)} answers", len(answers))
    for answer, output in zip(answers, outputs, strict=True):
        match answer, output:
            case CountsAnswer(), Counts():
                _counts(answer, program, sets, shots)
            case MemoryAnswer(), Memory():
                _bits(answer.num_bits, program)
                _shape(answer.outcomes, "u8", (sets, shots, _words(program)), "memory")
                _within(answer.outcomes, program)
            case ExpectationAnswer(), Expectation():
                shape = (sets, len(output.observables))
                _shape(answer.values, "f8", shape, "expectation values")
                _shape(answer.standard_errors, "f8", shape, "standard errors")
                expect(
                    (answer.standard_errors.numpy().astype(np.float64) >= 0).all(),
                    "standard errors of 0 or more",
                    "negative ones",
                )
            case ProbabilitiesAnswer(), Probabilities():
                qubits = len(output.qubits) or program.num_qubits
                _shape(answer.values, "f8", (sets, 2**qubits), "probabilities")
                low = float(answer.values.numpy().min())
                expect(low >= -1e-9, "probabilities of 0 or more", low)
            case StatevectorAnswer(), Statevector():
                _shape(answer.values, "c16", (sets, 2**program.num_qubits), "a statevector")
            case _:
                raise Failed(f"an answer to {type(output).__name__}", type(answer).__name__)


def _counts(answer: CountsAnswer, program: Program, sets: int, shots: int) -> None:
    _bits(answer.num_bits, program)
    outcomes, offsets = answer.outcomes.numpy(), answer.offsets.numpy()
    counts = answer.counts.numpy().astype(np.int64)
    _shape(answer.offsets, "i8", (sets + 1,), "offsets of counts")
    expect(
        offsets[0] == 0 and offsets[-1] == len(counts), f"offsets from 0 to {len(counts)}", offsets.tolist()
    )
    expect((np.diff(offsets) >= 0).all(), "offsets that rise", offsets.tolist())
    _shape(answer.counts, "i8", (len(counts),), "counts")
    _shape(answer.outcomes, "u8", (len(counts), _words(program)), "outcomes")
    _within(answer.outcomes, program)
    expect((counts > 0).all(), "counts of 1 or more", counts.tolist())
    for low, high in itertools.pairwise(offsets):
        total = int(counts[low:high].sum())
        expect(total == shots, f"{shots} shots in each set", total)
        expect(len(np.unique(outcomes[low:high], axis=0)) == high - low, "each outcome once", "one twice")


def _words(program: Program) -> int:
    return (max(program.num_bits, 1) + 63) // 64


def _bits(found: int, program: Program) -> None:
    expect(found == program.num_bits, f"bit strings of {program.num_bits} bits", found)


def _shape(array: Array, dtype: str, shape: tuple[int, ...], what: str) -> None:
    expect(array.dtype == f"<{dtype}", f"{what} of dtype <{dtype}", array.dtype)
    found = array.numpy()
    expect(found.shape == shape, f"{what} of shape {shape}", found.shape)
    if dtype != "u8":
        expect(np.isfinite(found).all(), f"finite {what}", "NaN or infinite ones")


def _within(outcomes: Array, program: Program) -> None:
    """No bit beyond the last is set."""
    rest = program.num_bits % 64
    found = outcomes.numpy()
    if found.size and (rest or not program.num_bits):
        high = int(found[..., -1].max()) >> rest
        expect(high == 0, f"no bit set beyond bit {program.num_bits - 1}", f"{high:#x} above it")
