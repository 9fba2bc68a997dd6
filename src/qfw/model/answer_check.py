"""Whether answers are what was asked for: shapes, shots, bits, values. For answers that nobody vouches for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
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

#: Elements of arrays that are looked at in one step; small arrays share one.
STEP = 2**18
#: A row of an array costs as much as so many elements, however short it is.
ROW = 256
#: An element that Python itself looks at costs as much as so many others.
PYTHON = 64
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
        seen = 0
        for output, answer in zip(outputs, answers, strict=True):
            for elements in _checking(output, answer, program, sets, shots):
                seen += elements
                if seen >= STEP:
                    seen = 0
                    yield
    except (ProgramError, OptionError) as error:
        raise WrongAnswer(f"the answer cannot be read: {error}") from error


def check_answers(
    encoded: bytes | memoryview, outputs: tuple[Output, ...], program: Program, sets: int, shots: int
) -> None:
    """All steps of `checking` at once."""
    for _ in checking(encoded, outputs, program, sets, shots):
        pass


def _checking(output: Output, answer: Answer, program: Program, sets: int, shots: int) -> Iterator[int]:
    """Checks one answer; yields how many elements, at most STEP or a row, it has looked at since the last time."""
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
            for piece in _pieces(errors):
                # NaN is not below 0 either.
                if not (piece >= 0).all() or not np.isfinite(piece).all():
                    raise WrongAnswer("standard errors: a value is negative or not finite")
                yield piece.size
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


def _counts(answer: CountsAnswer, program: Program, sets: int, shots: int) -> Iterator[int]:
    _bits(answer.num_bits, program)
    words = (max(program.num_bits, 1) + 63) // 64
    offsets = _array("offsets", answer.offsets, "<i8", (sets + 1,)).tolist()
    total = offsets[-1]
    if offsets[0] != 0 or any(end < begin for begin, end in pairwise(offsets)) or total > sets * shots:
        raise WrongAnswer(f"counts of {sets} sets of {shots} shots: the offsets do not rise from 0")
    outcomes = _array("outcomes", answer.outcomes, "<u8", (total, words))
    counts = _array("counts", answer.counts, "<i8", (total,))
    yield from _within(outcomes, program.num_bits)
    for index, (begin, end) in enumerate(pairwise(offsets)):
        # Most sets have few outcomes, which Python's own numbers suit better; and they do not overflow.
        mine = counts[begin:end].tolist()
        if sum(mine) != shots or min(mine, default=1) < 1:
            raise WrongAnswer(f"counts of set {index} sum to {sum(mine)}; {shots} shots were asked for")
        if end - begin <= DISTINCT and len(_names(outcomes[begin:end])) < end - begin:
            raise WrongAnswer(f"counts of set {index} name an outcome twice")
        yield PYTHON * (end - begin) + ROW


def _names(outcomes: npt.NDArray[np.generic]) -> set[object]:
    """The outcomes that there are. Shape (outcomes, words)."""
    if outcomes.shape[1] == 1:
        return set(outcomes[:, 0].tolist())
    return set(map(tuple, outcomes.tolist()))


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


def _within(outcomes: npt.NDArray[np.generic], num_bits: int) -> Iterator[int]:
    """No bit beyond `num_bits`. Shape (outcomes, words)."""
    spare = num_bits % 64
    last = outcomes[:, -1].view(np.uint64)
    if spare or num_bits == 0:
        for begin in range(0, len(last), STEP):
            if (last[begin : begin + STEP] >> np.uint64(spare)).any():
                raise WrongAnswer(f"an outcome has more than {num_bits} bits")
            yield len(last[begin : begin + STEP])


def _finite(what: str, values: npt.NDArray[np.generic]) -> Iterator[int]:
    for piece in _pieces(values):
        if not np.isfinite(piece).all():
            raise WrongAnswer(f"{what}: a value is not finite")
        yield piece.size


def _pieces(values: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    flat = values.reshape(-1)
    return (flat[begin : begin + STEP] for begin in range(0, flat.size, STEP))


def _sums_to_one(what: str, values: npt.NDArray[Any]) -> Iterator[int]:
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
            yield piece.size + ROW
        off = np.abs(totals - 1) > TOLERANCE
        if off.any():
            index = int(np.argmax(off))
            raise WrongAnswer(f"{what} of set {first + index} sum to {totals[index]:.9g}")
