"""The answers of a task's parts, merged into those of the whole; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qfw.model.errors import WrongAnswer
from qfw.model.outputs import (
    Answer,
    Array,
    CountsAnswer,
    ExpectationAnswer,
    MemoryAnswer,
    ProbabilitiesAnswer,
    StatevectorAnswer,
)

Answers = tuple[Answer, ...]
Anything = npt.NDArray[Any]


def merge_sets(parts: Sequence[Answers]) -> Answers:
    """Of parts that have consecutive sets each: one behind the other."""
    return tuple(_sets_of(answers) for answers in _columns(parts))


def merge_shots(parts: Sequence[Answers], shots: Sequence[int]) -> Answers:
    """Of parts that have some of the shots of all sets each.

    Counts are added; memory stands in the order of the parts; means and frequencies are weighted by the shots. The
    variances of the parts' means, which are independent, give that of the whole: each with the square of its weight.

    Args:
        parts: answers of each.
        shots: of each.
    """
    return tuple(_shots_of(answers, np.array(shots, dtype=np.float64)) for answers in _columns(parts))


def _columns(parts: Sequence[Answers]) -> list[tuple[Answer, ...]]:
    """The answers to each output."""
    columns = list(zip(*parts, strict=True))
    for answers in columns:
        kinds = {type(answer) for answer in answers}
        if len(kinds) != 1:
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise WrongAnswer(f"the parts of a task answered differently: {names}")
    return columns


def _sets_of(answers: tuple[Answer, ...]) -> Answer:
    match answers[0]:
        case CountsAnswer(num_bits=num_bits):
            counts = cast(tuple[CountsAnswer, ...], answers)
            lengths = np.concatenate([np.diff(_numpy(answer.offsets)) for answer in counts])
            return CountsAnswer(
                num_bits,
                _joined([answer.outcomes for answer in counts]),
                _joined([answer.counts for answer in counts]),
                Array.of(_offsets(lengths)),
            )
        case MemoryAnswer(num_bits=num_bits):
            memories = cast(tuple[MemoryAnswer, ...], answers)
            return MemoryAnswer(num_bits, _joined([answer.outcomes for answer in memories]))
        case ExpectationAnswer():
            means = cast(tuple[ExpectationAnswer, ...], answers)
            errors = [answer.standard_errors for answer in means]
            return ExpectationAnswer(_joined([answer.values for answer in means]), _joined(errors))
        case ProbabilitiesAnswer():
            tables = cast(tuple[ProbabilitiesAnswer, ...], answers)
            return ProbabilitiesAnswer(_joined([answer.values for answer in tables]))
        case StatevectorAnswer():
            states = cast(tuple[StatevectorAnswer, ...], answers)
            return StatevectorAnswer(_joined([answer.values for answer in states]))


def _shots_of(answers: tuple[Answer, ...], shots: npt.NDArray[np.float64]) -> Answer:
    weights = shots / shots.sum()
    match answers[0]:
        case CountsAnswer():
            return _added(cast(tuple[CountsAnswer, ...], answers))
        case MemoryAnswer(num_bits=num_bits):
            memories = cast(tuple[MemoryAnswer, ...], answers)
            return MemoryAnswer(num_bits, _joined([answer.outcomes for answer in memories], axis=1))
        case ExpectationAnswer():
            means = cast(tuple[ExpectationAnswer, ...], answers)
            values = np.tensordot(weights, np.stack([_numpy(a.values) for a in means]), 1)
            squares = np.stack([_numpy(answer.standard_errors) for answer in means]) ** 2
            return ExpectationAnswer(
                Array.of(values), Array.of(np.sqrt(np.tensordot(weights**2, squares, 1)))
            )
        case ProbabilitiesAnswer():
            tables = cast(tuple[ProbabilitiesAnswer, ...], answers)
            return ProbabilitiesAnswer(
                Array.of(np.tensordot(weights, np.stack([_numpy(a.values) for a in tables]), 1))
            )
        case StatevectorAnswer():
            raise WrongAnswer("a statevector was answered to slices of shots")


def _added(answers: tuple[CountsAnswer, ...]) -> CountsAnswer:
    """Counts of equal outcomes of each set added; outcomes of a set in rising order, by their last word first."""
    outcomes = np.concatenate([_numpy(answer.outcomes) for answer in answers])
    counts = np.concatenate([_numpy(answer.counts) for answer in answers])
    sizes = [np.diff(_numpy(answer.offsets)) for answer in answers]
    number = sizes[0].size
    if any(size.size != number for size in sizes):
        raise WrongAnswer("the parts of a task answered different numbers of sets")
    sets = np.concatenate([np.repeat(np.arange(number), size) for size in sizes])
    order = np.lexsort((*outcomes.T, sets))
    outcomes, counts, sets = outcomes[order], counts[order], sets[order]
    new = np.ones(sets.size, dtype=np.bool_)
    new[1:] = (np.diff(sets) != 0) | (outcomes[1:] != outcomes[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    added = np.add.reduceat(counts, starts) if starts.size else counts
    lengths = np.bincount(sets[starts], minlength=number)
    return CountsAnswer(
        answers[0].num_bits, Array.of(outcomes[starts]), Array.of(added), Array.of(_offsets(lengths))
    )


def _offsets(lengths: Anything) -> npt.NDArray[np.int64]:
    offsets = np.zeros(lengths.size + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _joined(arrays: Sequence[Array], axis: int = 0) -> Array:
    return Array.of(np.concatenate([_numpy(array) for array in arrays], axis=axis))


def _numpy(array: Array) -> Anything:
    return array.numpy()
