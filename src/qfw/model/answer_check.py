"""Whether answers are what was asked for: shapes, shots, bits, values. For answers that nobody vouches for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from qfw.model.errors import OptionError, ProgramError, WrongAnswer
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
    decode_answers,
)
from qfw.model.program import Program

#: Elements of an array that are looked at in one step.
STEP = 2**18
#: Probabilities sum to 1 up to this.
TOLERANCE = 1e-6
#: Outcomes of a set up to which it is looked whether one comes twice.
DISTINCT = 2**16


def checking(
    encoded: bytes | memoryview, outputs: tuple[Output, ...], program: Program, sets: int, shots: int
) -> Iterator[None]:
    """Checks the answers of a task step by step, so that a loop can do other things between the steps.

    Args:
        encoded: bytes of the answers; must not change meanwhile.
        outputs: what was asked for.
        program: whose `num_qubits` and `num_bits` count.
        sets: parameter sets of the task.
        shots: of each set; 0: exact.

    Raises:
        WrongAnswer: from the step that finds it.
    """
    try:
        answers = decode_answers(encoded)
        if len(answers) != len(outputs):
            raise WrongAnswer(f"{len(outputs)} outputs were asked for; {len(answers)} were answered")
        for output, answer in zip(outputs, answers, strict=True):
            yield from _checking(output, answer, program, sets, shots)
    except (ProgramError, OptionError) as error:
        raise WrongAnswer(f"the answer cannot be read: {error}") from error


def check_answers(
    encoded: bytes | memoryview, outputs: tuple[Output, ...], program: Program, sets: int, shots: int
) -> None:
    """All steps of `checking` at once."""
    for _ in checking(encoded, outputs, program, sets, shots):
        pass


def _checking(output: Output, answer: Answer, program: Program, sets: int, shots: int) -> Iterator[None]:
    match output, answer:
        case Counts(), CountsAnswer():
            yield from _counts(answer, program, sets, shots)
        case Memory(), MemoryAnswer():
            _bits(answer.num_bits, program)
            words = (max(program.num_bits, 1) + 63) // 64
            outcomes = _array("memory", answer.outcomes, "<u8", (sets, shots, words))
            yield from _within(outcomes.reshape(-1, words), program.num_bits)
        case Expectation(), ExpectationAnswer():
            shape = (sets, len(output.observables))
            values = _array("expectation", answer.values, "<f8", shape)
            errors = _array("standard errors", answer.standard_errors, "<f8", shape)
            yield from _finite("expectation", values)
            yield from _finite("standard errors", errors)
            if errors.size and errors.min() < 0:
                raise WrongAnswer(f"a standard error is {errors.min()}")
        case Probabilities(), ProbabilitiesAnswer():
            size = 2 ** (len(output.qubits) or program.num_qubits)
            values = _array("probabilities", answer.values, "<f8", (sets, size))
            yield from _sums_to_one("probabilities", values)
        case Statevector(), StatevectorAnswer():
            values = _array("statevector", answer.values, "<c16", (sets, 2**program.num_qubits))
            yield from _sums_to_one("statevector", values)
        case _:
            asked = output.__struct_config__.tag
            raise WrongAnswer(f"{asked} was asked for; {answer.__struct_config__.tag} was answered")


def _counts(answer: CountsAnswer, program: Program, sets: int, shots: int) -> Iterator[None]:
    _bits(answer.num_bits, program)
    words = (max(program.num_bits, 1) + 63) // 64
    offsets = _array("offsets", answer.offsets, "<i8", (sets + 1,))
    total = int(offsets[-1])
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or total > sets * shots:
        raise WrongAnswer(f"counts of {sets} sets of {shots} shots: the offsets do not rise from 0")
    outcomes = _array("outcomes", answer.outcomes, "<u8", (total, words))
    counts = _array("counts", answer.counts, "<i8", (total,)).view(np.int64)
    yield from _within(outcomes, program.num_bits)
    done = 0
    for index in range(sets):
        begin, end = int(offsets[index]), int(offsets[index + 1])
        mine = counts[begin:end]
        if (mine < 1).any() or (mine > shots).any() or int(mine.sum()) != shots:
            raise WrongAnswer(f"counts of set {index} sum to {int(mine.sum())}; {shots} shots were asked for")
        if end - begin <= DISTINCT and len(np.unique(outcomes[begin:end], axis=0)) < end - begin:
            raise WrongAnswer(f"counts of set {index} name an outcome twice")
        done += end - begin + 256
        if done > STEP // 4:
            done = 0
            yield


def _bits(num_bits: int, program: Program) -> None:
    if num_bits != program.num_bits:
        raise WrongAnswer(f"the program has {program.num_bits} bits; {num_bits} were answered")


def _array(what: str, array: Array, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """The array, whose dtype and shape are as asked."""
    if array.dtype != dtype or array.shape != shape:
        raise WrongAnswer(
            f"{what}: shape {shape} of {dtype} was asked for; {array.shape} of {array.dtype} came"
        )
    return array.numpy()


def _within(outcomes: npt.NDArray[np.generic], num_bits: int) -> Iterator[None]:
    """No bit beyond `num_bits`. Shape (outcomes, words)."""
    spare = num_bits % 64
    last = outcomes[:, -1].view(np.uint64)
    if spare or num_bits == 0:
        for begin in range(0, len(last), STEP):
            if (last[begin : begin + STEP] >> np.uint64(spare)).any():
                raise WrongAnswer(f"an outcome has more than {num_bits} bits")
            yield


def _finite(what: str, values: npt.NDArray[np.generic]) -> Iterator[None]:
    flat = values.reshape(-1)
    for begin in range(0, flat.size, STEP):
        if not np.isfinite(flat[begin : begin + STEP]).all():
            raise WrongAnswer(f"{what}: a value is not finite")
        yield


def _sums_to_one(what: str, values: npt.NDArray[Any]) -> Iterator[None]:
    """Probabilities, or squares of amplitudes, of each row. Shape (sets, states)."""
    sets, states = values.shape
    rows = max(1, STEP // states)
    for first in range(0, sets, rows):
        block = values[first : first + rows]
        totals = np.zeros(len(block))
        # A row is longer than a step, or several are one.
        for begin in range(0, states, STEP):
            piece = block[:, begin : begin + STEP]
            weights = piece.real**2 + piece.imag**2 if np.iscomplexobj(piece) else piece
            good = np.isfinite(weights) & (weights >= -TOLERANCE)
            if not good.all():
                index = first + int(np.argmin(good.all(axis=1)))
                raise WrongAnswer(f"{what} of set {index}: a value is negative or not finite")
            totals += weights.sum(axis=1)
            yield
        off = np.abs(totals - 1) > TOLERANCE
        if off.any():
            index = int(np.argmax(off))
            raise WrongAnswer(f"{what} of set {first + index} sum to {totals[index]:.9g}")
