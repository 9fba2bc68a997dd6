"""From a prepared program and its angles to answers: exactly, from shots, or shot by shot."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qfw.model.errors import TaskCancelled
from qfw.model.outputs import (
    Answer,
    Array,
    Counts,
    Expectation,
    ExpectationAnswer,
    Memory,
    MemoryAnswer,
    ProbabilitiesAnswer,
)
from qfw.numerics.answers import Answers, Readings, marginal
from qfw.numerics.sampling import Samples, Stream
from qfw.platforms.twin.prepared import CHUNK_NUMBERS, Prepared
from qfw.platforms.twin.spectators import answer_outcomes, with_spectators

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def exact(
    prepared: Prepared,
    angles: Floats,
    shots: int,
    seeds: Sequence[int],
    cancelled: threading.Event,
    dense: bool,
) -> tuple[Answer, ...]:
    """Answers of a program without control in the limit of many shots, by densities."""
    question = prepared.question
    sets = len(angles)
    values = np.tile(question.constants, (sets, 1))
    first = None
    for plan, parts in zip(prepared.plans, question.parts, strict=True):
        _check(cancelled)
        distribution = plan.distribution(angles)
        states = np.arange(distribution.shape[1])
        for part in parts:
            values[:, part.observable] += distribution @ part.values(states)
        if first is None:
            first = distribution
    answers: list[Answer] = []
    column = 0
    for output in prepared.layout.outputs:
        if isinstance(output, Expectation):
            last = column + len(output.observables)
            answers.append(
                ExpectationAnswer(Array.of(values[:, column:last]), Array.of(np.zeros((sets, last - column))))
            )
            column = last
        else:
            assert first is not None
            answers.append(ProbabilitiesAnswer(Array.of(marginal(first, output.qubits))))  # type: ignore[union-attr]
    return tuple(answers)


def straight(
    prepared: Prepared,
    angles: Floats,
    shots: int,
    seeds: Sequence[int],
    cancelled: threading.Event,
    dense: bool,
) -> tuple[Answer, ...]:
    """Answers of a program without control from shots, by densities or by trajectories."""
    question, stream = prepared.question, Stream()
    answers = Answers(prepared.layout.reading, question, shots, stream)
    chunk = 1
    if dense:
        peak = max((plan.peak for plan in prepared.plans), default=1)
        chunk = max(1, CHUNK_NUMBERS // peak)
    for start in range(0, len(angles), chunk):
        _check(cancelled)
        some, these = angles[start : start + chunk], seeds[start : start + chunk]
        if dense:
            distributions = (plan.distribution(some) for plan in prepared.plans)
            answers.add(Readings(None, None, distributions), these)
        else:
            found = [
                _shot_by_shot(prepared, some[0], basis, shots, these[0], stream, cancelled)
                for basis in range(len(question.bases))
            ]
            first = found[0][np.newaxis] if found else np.zeros((1, 0), dtype=np.int64)
            answers.add_drawn((_gathered(states) for states in found), 1, lambda _, first=first: first)  # type: ignore[misc]
    return _with_spectators(prepared, list(answers.answers()), seeds, stream)


def _with_spectators(
    prepared: Prepared, found: list[Answer], seeds: Sequence[int], stream: Stream
) -> tuple[Answer, ...]:
    layout, noise = prepared.layout, prepared.noise
    if not layout.spectators:
        return tuple(found)
    memory = found.pop(0)
    assert isinstance(memory, MemoryAnswer)
    bits = prepared.program.num_bits
    errors = [(clbit, float(noise.readout(qubit)[1, 0])) for qubit, clbit in layout.spectators]
    outcomes: Words = memory.outcomes.numpy()  # type: ignore[assignment]
    placed = answer_outcomes(prepared.outputs, with_spectators(outcomes, bits, errors, seeds, stream), bits)
    return tuple(
        placed.pop(0) if isinstance(output, (Counts, Memory)) else found.pop(0) for output in prepared.outputs
    )


def _shot_by_shot(
    prepared: Prepared,
    angles: Floats,
    basis: int,
    shots: int,
    seed: int,
    stream: Stream,
    cancelled: threading.Event,
) -> Ints:
    """Outcomes of the qubits that are read, shape (shots,)."""
    runs, layout = prepared.trajectories, prepared.layout
    turns = prepared.turns(prepared.question.bases[basis])
    found = np.empty(shots, dtype=np.int64)
    for chunk, start in enumerate(range(0, shots, runs.chunk)):
        _check(cancelled)
        size = min(runs.chunk, shots - start)
        batch = runs.run(angles, size, stream.restart(seed, (basis << 32) + chunk))
        runs.settle(batch)
        found[start : start + size] = runs.read(batch, turns)
    return _picked(found, [runs.active.index(qubit) for qubit in layout.read])


def _picked(states: Ints, places: list[int]) -> Ints:
    if places == list(range(len(places))) and (not states.size or int(states.max()) < 2 ** len(places)):
        return states
    found = np.zeros_like(states)
    for bit, place in enumerate(places):
        found |= (states >> place & 1) << bit
    return found


def _gathered(states: Ints) -> Samples:
    distinct, counts = np.unique(states, return_counts=True)
    return Samples(distinct, counts.astype(np.int64), np.array([0, distinct.size]))


def branching(
    prepared: Prepared, angles: Floats, shots: int, seeds: Sequence[int], cancelled: threading.Event
) -> tuple[tuple[Answer, ...], int]:
    """Counts and memory of a program with control, and the nanoseconds of all its shots together."""
    runs, stream, program = prepared.trajectories, Stream(), prepared.program
    bits = program.num_bits
    outcomes: Words = np.zeros((len(angles), shots, (max(bits, 1) + 63) // 64), dtype=np.uint64)
    elapsed_ns = 0
    for row, of_set, seed in zip(outcomes, angles, seeds, strict=True):
        for chunk, start in enumerate(range(0, shots, runs.chunk)):
            _check(cancelled)
            size = min(runs.chunk, shots - start)
            batch = runs.run(of_set, size, stream.restart(seed, chunk))
            elapsed_ns += runs.finish(batch)
            for bit in range(bits):
                word, shift = divmod(bit, 64)
                row[start : start + size, word] |= batch.bits[bit].astype(np.uint64) << np.uint64(shift)
    if not program.has_measurements:
        errors = [
            (qubit, float(prepared.noise.readout(qubit)[1, 0]))
            for qubit in range(bits)
            if qubit not in runs.active
        ]
        outcomes = with_spectators(outcomes, bits, errors, seeds, stream)
    return tuple(answer_outcomes(prepared.outputs, outcomes, bits)), elapsed_ns


def _check(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise TaskCancelled("the task was cancelled while it was simulated")
