"""PennyLane measurements: what to ask of a task, and how to read them from its result.

Measurements that the stack answers itself become outputs. All others are computed by
PennyLane's own code, from the state where results are exact and from samples where not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pennylane as qml
from numpy.random import Generator
from pennylane.devices.qubit import measure
from pennylane.measurements import (
    ClassicalShadowMP,
    CountsMP,
    ExpectationMP,
    MeasurementProcess,
    ProbabilityMP,
    SampleMeasurement,
    SampleMP,
    ShadowExpvalMP,
    StateMP,
    VarianceMP,
)
from pennylane.pauli import PauliSentence
from pennylane.wires import Wires

from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.outputs import (
    Counts,
    Expectation,
    Memory,
    Output,
    Probabilities,
    ProbabilitiesAnswer,
    Statevector,
)
from qfw.model.result import Result

#: Measured one random basis per shot: PennyLane draws these from the state.
SHADOWS = (ClassicalShadowMP, ShadowExpvalMP)

#: Answered with an entry per parameter set that can be stacked.
_BROADCASTABLE = (ExpectationMP, VarianceMP, ProbabilityMP)

_MEANS = (ExpectationMP, VarianceMP)
_READOUTS = (SampleMP, CountsMP, ProbabilityMP)


#: An entry for each parameter set.
Values = Sequence[Any] | npt.NDArray[Any]


class Reading(NamedTuple):
    """How the measurements of a tape are read from the result of one task."""

    outputs: tuple[Output, ...]
    #: Whether the task runs with the tape's shots; else it is exact.
    sampled: bool
    #: Of the result, the tape's shots and what PennyLane draws from (None: its own choice): for each
    #: parameter set the value, or the tuple of values.
    read: Callable[[Result, int | None, Generator | None], Values]


def terms_of(sentence: PauliSentence) -> tuple[tuple[Hashable, float], ...]:
    """Pairs (Pauli word, real coefficient). Raises TypeError where a coefficient is complex."""
    return tuple((word, float(coefficient)) for word, coefficient in sentence.items())


def signature(measurements: Sequence[MeasurementProcess], sampled: bool) -> tuple[Hashable, ...] | None:
    """What measurements that one `Reading` reads have in common; None where the stack does not answer them.

    Args:
        measurements: of one tape.
        sampled: whether the tape has shots.
    """
    key: list[Any] = [sampled]
    means = readouts = 0
    for mp in measurements:
        kind = type(mp)
        key.append(kind)
        if mp.mv is not None or mp._eigvals is not None:
            return None
        if mp.obs is not None:
            if kind not in _MEANS:
                return None
            sentence = mp.obs.pauli_rep
            if sentence is None or (kind is VarianceMP and len(sentence) != 1):
                return None
            try:
                key.append(terms_of(sentence))
            except TypeError:
                return None
            means += 1
        elif kind in _READOUTS:
            if kind is not ProbabilityMP and not sampled:
                return None
            key.append(mp.wires.labels)
            if kind is not ProbabilityMP:
                key.append(mp.all_outcomes if kind is CountsMP else mp._dtype)
            readouts += 1
        elif kind is StateMP and not sampled and len(measurements) == 1 and not mp.wires:
            readouts += 1
        else:
            return None
    # One task's samples are drawn in one basis.
    return None if not key[1:] or (sampled and means and readouts) else tuple(key)


def is_broadcastable(measurements: Sequence[MeasurementProcess]) -> bool:
    """Whether a tape of these measurements may be run over many parameter sets at once."""
    return all(isinstance(mp, _BROADCASTABLE) for mp in measurements)


def covers_all_wires(mp: MeasurementProcess) -> bool:
    """Whether a measurement that names no wires means all."""
    return mp.obs is None and mp.mv is None and not mp.wires


def with_wires(mp: MeasurementProcess, wires: Wires) -> MeasurementProcess:
    """The measurement, of `wires` where it means all of them."""
    if not covers_all_wires(mp):
        return mp
    filled = copy(mp)
    filled._wires = wires
    return filled


def reading(measurements: Sequence[MeasurementProcess], sampled: bool, order: Sequence[Hashable]) -> Reading:
    """The reading of a tape's measurements.

    Args:
        measurements: of one tape, after PennyLane's transforms.
        sampled: whether the tape has shots.
        order: the wires; the last one is qubit 0.
    """
    qubits = {wire: len(order) - 1 - index for index, wire in enumerate(order)}
    if signature(measurements, sampled) is None:
        return _reading_by_state(measurements, sampled, order)
    if any(type(mp) is StateMP for mp in measurements):
        return Reading((Statevector(),), False, lambda result, shots, rng: result.statevector)
    if sampled and not all(mp.obs is not None for mp in measurements):
        return _reading_of_samples(measurements, order, qubits)
    return _reading_of_means(measurements, sampled, qubits)


def _reading_of_means(
    measurements: Sequence[MeasurementProcess], sampled: bool, qubits: Mapping[Hashable, int]
) -> Reading:
    """Expectation values and variances of Pauli observables, and exact probabilities."""
    observables = tuple(_pauli_sum(mp.obs.pauli_rep, qubits) for mp in measurements if mp.obs is not None)
    outputs: list[Output] = [Expectation(observables)] if observables else []
    if len(measurements) == 1 and isinstance(measurements[0], ExpectationMP):
        return Reading(tuple(outputs), sampled, lambda result, shots, rng: result.expectation_values[:, 0])

    columns: list[Callable[[Result], npt.NDArray[np.float64]]] = []
    means = 0
    for mp in measurements:
        if mp.obs is None:
            columns.append(_probabilities_of(len(outputs)))
            outputs.append(_probabilities(mp, qubits))
            continue
        if isinstance(mp, VarianceMP):
            columns.append(_variance_of(means, observables[means].terms[0].coefficient))
        else:
            columns.append(_mean_of(means))
        means += 1

    def read(result: Result, shots: int | None, rng: Generator | None) -> Values:
        return _rows([column(result) for column in columns])

    return Reading(tuple(outputs), sampled, read)


def _reading_of_samples(
    measurements: Sequence[MeasurementProcess], order: Sequence[Hashable], qubits: Mapping[Hashable, int]
) -> Reading:
    """Samples, counts and frequencies in the computational basis."""
    wires = Wires(order)
    filled = [with_wires(mp, wires) for mp in measurements]
    first = filled[0]
    if len(filled) == 1 and isinstance(first, ProbabilityMP):
        return Reading(
            (_probabilities(first, qubits),), True, lambda result, shots, rng: result.probabilities
        )
    if len(filled) == 1 and isinstance(first, CountsMP):

        def read_counts(result: Result, shots: int | None, rng: Generator | None) -> Values:
            return [first.process_counts(counts, wires) for counts in result.counts]

        return Reading((Counts(),), True, read_counts)

    def read(result: Result, shots: int | None, rng: Generator | None) -> Values:
        return _rows([[mp.process_samples(bits, wires) for bits in _samples(result)] for mp in filled])

    return Reading((Memory(),), True, read)


def _reading_by_state(
    measurements: Sequence[MeasurementProcess], sampled: bool, order: Sequence[Hashable]
) -> Reading:
    """Everything else, by PennyLane's own code from the exact state."""
    wire_map = {wire: index for index, wire in enumerate(order)}
    mapped = [qml.map_wires(with_wires(mp, Wires(order)), wire_map) for mp in measurements]
    positions = Wires(range(len(order)))

    def value(
        mp: MeasurementProcess,
        state: npt.NDArray[np.complex128],
        shots: int | None,
        rng: Generator | None,
    ) -> Any:
        if not sampled:
            return measure(mp, state)
        return mp.process_state_with_shots(state, positions, shots, rng=rng)

    def read(result: Result, shots: int | None, rng: Generator | None) -> Values:
        states = [state.reshape((2,) * len(order)) for state in result.statevector]
        return _rows([[value(mp, state, shots, rng) for state in states] for mp in mapped])

    return Reading((Statevector(),), False, read)


def is_answerable(mp: MeasurementProcess, sampled: bool) -> bool:
    """Whether PennyLane can compute a measurement from samples; from the state where nothing is sampled."""
    if sampled:
        return isinstance(mp, (SampleMeasurement, *SHADOWS))
    return isinstance(mp, qml.measurements.StateMeasurement)


def _rows(columns: Sequence[Values]) -> Values:
    """Per set the tuple of all columns' entries, or the entry where there is one column."""
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _samples(result: Result) -> Iterator[npt.NDArray[np.int64]]:
    """For each set the samples as PennyLane has them: shape (shots, wires)."""
    for bits in result.memory_bits:
        yield bits[:, ::-1].astype(np.int64)


def _probabilities(mp: MeasurementProcess, qubits: Mapping[Hashable, int]) -> Probabilities:
    # PennyLane's first wire is the most significant one.
    return Probabilities(tuple(qubits[wire] for wire in reversed(mp.wires.labels)))


def _probabilities_of(output: int) -> Callable[[Result], npt.NDArray[np.float64]]:
    def column(result: Result) -> npt.NDArray[np.float64]:
        answer = result.answers[output]
        assert isinstance(answer, ProbabilitiesAnswer)
        return answer.values.numpy().astype(np.float64, copy=False)

    return column


def _mean_of(observable: int) -> Callable[[Result], npt.NDArray[np.float64]]:
    return lambda result: result.expectation_values[:, observable]


def _variance_of(observable: int, coefficient: float) -> Callable[[Result], npt.NDArray[np.float64]]:
    """Of c · P with a Pauli word P: c² - <c · P>², the identity included."""
    return lambda result: np.maximum(coefficient**2 - result.expectation_values[:, observable] ** 2, 0.0)


def _pauli_sum(sentence: PauliSentence, qubits: Mapping[Hashable, int]) -> PauliSum:
    return PauliSum(
        tuple(
            PauliTerm(coefficient, tuple(qubits[wire] for wire in word), "".join(word.values()))  # type: ignore
            for word, coefficient in terms_of(sentence)
        )
    )
