"""What answers of folded and framed programs are put together to, and with what."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.decoding import decoder
from qfw.model.outputs import Answer, Array, ExpectationAnswer, ProbabilitiesAnswer
from qfw.toolchain.mitigate_extrapolation import extrapolated, weights
from qfw.toolchain.mitigate_readout import Errors, nearest, undone

Floats = npt.NDArray[np.float64]


class Recipe(msgspec.Struct, frozen=True, array_like=True):
    """What answers are put together with."""

    #: Of the programs, as they came to be.
    factors: tuple[float, ...]
    extrapolation: str
    #: Shots of each frame of a factor; all 0: exact.
    shots: tuple[int, ...]
    #: For each output what the distribution of each of its qubits has to be corrected for; nothing of observables.
    readouts: tuple[tuple[Errors, ...], ...]
    methods: tuple[str, ...]

    @property
    def encoded(self) -> bytes:
        """The recipe as a Split carries it."""
        return _ENCODER.encode(self)

    @staticmethod
    def decode(encoded: bytes) -> Recipe:
        """The recipe of such bytes. Raises msgspec.DecodeError."""
        found: Recipe = _decode(encoded)
        return found


_ENCODER = msgspec.msgpack.Encoder()
_decode = decoder(Recipe)


def combined(recipe: Recipe, answers: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
    """The answers to what was asked, of those of all frames of the first factor, then of the next."""
    return tuple(
        _combined(recipe, errors, [each[place] for each in answers])
        for place, errors in enumerate(recipe.readouts)
    )


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
        if "zne" in made.methods:
            found, spread = extrapolated(
                np.stack(values), np.stack(spreads), made.factors, made.extrapolation
            )
        return ExpectationAnswer(Array.of(found), Array.of(spread))
    counts = weights(made.factors, made.extrapolation) if "zne" in made.methods else np.ones(1)
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
