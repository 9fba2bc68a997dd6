"""What answers of folded and framed programs are put together to, and with what."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.decoding import decoder
from qfw.model.errors import ProgramError, WrongAnswer
from qfw.model.outputs import Answer, Array, ExpectationAnswer, ProbabilitiesAnswer
from qfw.toolchain.mitigate_extrapolation import extrapolated, weights
from qfw.toolchain.mitigate_options import EXTRAPOLATIONS
from qfw.toolchain.mitigate_readout import Errors, nearest, undone

Floats = npt.NDArray[np.float64]


class Recipe(msgspec.Struct, frozen=True, array_like=True):
    """What answers are put together with."""

    #: Of the programs, as they came to be; a single one is not extrapolated.
    factors: tuple[float, ...]
    extrapolation: str
    #: Shots of each frame of a factor; all 0: exact.
    shots: tuple[int, ...]
    #: For each output what the distribution of each of its qubits has to be corrected for; nothing of observables.
    readouts: tuple[tuple[Errors, ...], ...]

    @property
    def encoded(self) -> bytes:
        """The recipe as a Split carries it."""
        return _ENCODER.encode(self)

    @staticmethod
    def decode(encoded: bytes) -> Recipe:
        """The recipe of such bytes. Raises ProgramError where they are none."""
        try:
            found: Recipe = _decode(encoded)
        except msgspec.DecodeError as error:
            raise ProgramError(f"not a recipe of tool mitigate: {error}") from error
        if not found.factors or not found.shots or found.extrapolation not in EXTRAPOLATIONS:
            raise ProgramError(
                f"not a recipe of tool mitigate: {len(found.factors)} factors, {len(found.shots)} frames, "
                f"extrapolation {found.extrapolation!r}"
            )
        return found


_ENCODER = msgspec.msgpack.Encoder()
_decode = decoder(Recipe)


def combined(recipe: Recipe, answers: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
    """The answers to what was asked, of those of all frames of the first factor, then of the next.

    Raises:
        WrongAnswer: they are not those of the programs that were made.
    """
    _check(recipe, answers)
    return tuple(
        _combined(recipe, errors, [each[place] for each in answers])
        for place, errors in enumerate(recipe.readouts)
    )


def _check(recipe: Recipe, answers: Sequence[tuple[Answer, ...]]) -> None:
    wanted, outputs = len(recipe.factors) * len(recipe.shots), len(recipe.readouts)
    if len(answers) != wanted or any(len(each) != outputs for each in answers):
        raise WrongAnswer(
            f"tool mitigate made {wanted} programs that are asked for {outputs} outputs each; there are answers of "
            f"{len(answers)}, to {', '.join(map(str, sorted({len(each) for each in answers}))) or 'none'}"
        )
    for place, (of_output, errors) in enumerate(
        zip(zip(*answers, strict=True), recipe.readouts, strict=True)
    ):
        found = {(type(each).__name__, *_shape(each)) for each in of_output}
        states = next(iter(found))[-1]
        if len(found) > 1 or not states or (errors and states != 2 ** len(errors)):
            raise WrongAnswer(f"answers to output {place + 1} do not belong together: {sorted(found)}")


def _shape(answer: Answer) -> tuple[int, ...]:
    """Of the values of an expectation or of probabilities; (0,) of anything else."""
    match answer:
        case ExpectationAnswer() if answer.standard_errors.shape == answer.values.shape:
            return answer.values.shape or (0,)
        case ProbabilitiesAnswer() if len(answer.values.shape) == 2:
            return answer.values.shape
    return (0,)


def _combined(made: Recipe, errors: tuple[Errors, ...], answers: list[Answer]) -> Answer:
    """The answer to one output."""
    shares = np.asarray(made.shots, dtype=np.float64)
    shares = shares / shares.sum() if shares.any() else np.full(len(made.shots), 1 / len(made.shots))
    if isinstance(answers[0], ExpectationAnswer):
        values, spreads = [], []
        for first in range(0, len(answers), len(shares)):
            value, spread = _averaged(answers[first : first + len(shares)], shares)
            values.append(value)
            spreads.append(spread)
        found, spread = values[0], spreads[0]
        if len(values) > 1:
            found, spread = extrapolated(
                np.stack(values), np.stack(spreads), made.factors, made.extrapolation
            )
        return ExpectationAnswer(Array.of(found), Array.of(spread))
    counts = weights(made.factors, made.extrapolation) if len(made.factors) > 1 else np.ones(1)
    total: Floats | None = None
    for answer, weight in zip(answers, np.outer(counts, shares).ravel(), strict=True):
        assert isinstance(answer, ProbabilitiesAnswer)
        part = weight * answer.values.numpy()
        total = part if total is None else total + part
    assert total is not None
    return ProbabilitiesAnswer(Array.of(nearest(undone(total, errors))))


def _averaged(answers: Sequence[Answer], shares: Floats) -> tuple[Floats, Floats]:
    """Value and standard error over frames, shape (sets, observables) each.

    Shots differ within a frame, and frames differ: of what either says of the error the larger one counts.
    """
    read = [answer for answer in answers if isinstance(answer, ExpectationAnswer)]
    values = np.stack([answer.values.numpy() for answer in read]).astype(np.float64)
    spreads = np.stack([answer.standard_errors.numpy() for answer in read]).astype(np.float64)
    mean = np.tensordot(shares, values, axes=1)
    within = np.tensordot(shares**2, spreads**2, axes=1)
    if len(read) > 1:
        among = np.tensordot(shares**2, (values - mean) ** 2, axes=1) * len(read) / (len(read) - 1)
        within = np.maximum(within, among)
    return mean, np.sqrt(within)
