"""NoisySimulation: what a device with this calibration would answer, and what finding out costs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration
from qfw.model.device import Estimate, Timing
from qfw.model.errors import OutOfMemory, TaskCancelled
from qfw.model.outputs import (
    Answer,
    Array,
    Counts,
    Expectation,
    ExpectationAnswer,
    Memory,
    MemoryAnswer,
    Output,
    ProbabilitiesAnswer,
)
from qfw.model.program import Program
from qfw.numerics.answers import Answers, Readings, marginal
from qfw.numerics.sampling import Samples, Stream
from qfw.platforms.twin.noise import NoiseModel
from qfw.platforms.twin.prepared import CHUNK_NUMBERS, Prepared
from qfw.platforms.twin.spectators import answer_outcomes, with_spectators

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

#: Prepared programs, and calibrations, that are remembered.
REMEMBERED_PROGRAMS, REMEMBERED_CALIBRATIONS = 64, 4


class Simulated(NamedTuple):
    """What a run gave."""

    #: In the order of the outputs.
    answers: tuple[Answer, ...]
    #: What the task's owner should know.
    notes: tuple[str, ...]
    #: Of all shots of all sets together: from the first operation to the end of the last. Of one basis.
    circuits_ns: int


class NoisySimulation:
    """Answers programs in a device's native gates under its noise. May be called from several threads.

    Straight-line programs by densities, where what is held of them fits, else by trajectories. Expectation values
    are measured as hardware does: qubits are turned by one more pulse with its noise, and read with errors.
    Without shots an answer is the limit of many shots. Equal seeds give equal answers.
    """

    def __init__(self, timing: Timing) -> None:
        """Of a device with this timing."""
        self._timing = timing
        self._lock = threading.Lock()
        # By identity: a calibration is kept with its model, so that its id is nobody else's.
        self._models: OrderedDict[int, NoiseModel] = OrderedDict()
        self._prepared: OrderedDict[tuple[int, bytes, tuple[Output, ...], bool], Prepared] = OrderedDict()

    def estimate(
        self, truth: Calibration, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """Seconds and bytes of this process that `run` takes.

        Raises:
            TooLarge: no method holds so many active qubits.
            UnsupportedFeature: an output or gate that the device does not have.
        """
        return self._prepare(truth, program, tuple(outputs), shots > 0).estimate(sets, shots)

    def run(
        self,
        truth: Calibration,
        program: Program,
        outputs: tuple[Output, ...],
        parameters: Floats,
        shots: int,
        seeds: Sequence[int],
        cancelled: threading.Event,
    ) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
        """Answers in the order of the outputs, and notes for the owner. Raises like `simulate`."""
        found = self.simulate(truth, program, outputs, parameters, shots, seeds, cancelled)
        return found.answers, found.notes

    def simulate(
        self,
        truth: Calibration,
        program: Program,
        outputs: tuple[Output, ...],
        parameters: Floats,
        shots: int,
        seeds: Sequence[int],
        cancelled: threading.Event | None = None,
    ) -> Simulated:
        """Runs a program.

        Args:
            truth: the noise to run under.
            program: in native gates, on the device's own qubits.
            outputs: what is asked.
            parameters: shape (sets, slots), radians.
            shots: of each set, 0 for the limit of many.
            seeds: of each set, 0 to 2**64 - 1.
            cancelled: ends the run soon.

        Raises:
            TaskCancelled: `cancelled` was set.
            OutOfMemory: not enough memory.
            TooLarge, UnsupportedFeature: as `estimate`.
        """
        prepared = self._prepare(truth, program, outputs, shots > 0)
        event = cancelled or threading.Event()
        angles = program.angle_table.bind(parameters)
        sets = len(angles)
        try:
            if prepared.branches:
                prepared.by_density(sets, shots)
                return _branching(prepared, angles, shots, seeds, event)
            dense = prepared.by_density(sets, shots)
            answer = _straight if shots else _exact
            answers = answer(prepared, angles, shots, seeds, event, dense)
        except MemoryError as error:
            raise OutOfMemory(
                f"the noise of {len(prepared.active)} active qubits did not fit into memory: {error}. "
                "Use fewer active qubits or fewer sets at once"
            ) from error
        return Simulated(answers, prepared.notes, sets * shots * prepared.circuit_ns)

    def _prepare(
        self, truth: Calibration, program: Program, outputs: tuple[Output, ...], sampled: bool
    ) -> Prepared:
        key = (id(truth), program.digest, outputs, sampled)
        with self._lock:
            found = self._prepared.get(key)
            if found is not None:
                self._prepared.move_to_end(key)
                return found
            model = self._models.get(id(truth))
            if model is None:
                model = self._models[id(truth)] = NoiseModel(truth)
                if len(self._models) > REMEMBERED_CALIBRATIONS:
                    gone, _ = self._models.popitem(last=False)
                    for other in [k for k in self._prepared if k[0] == gone]:
                        del self._prepared[other]
            self._models.move_to_end(id(truth))
            found = self._prepared[key] = Prepared(program, outputs, sampled, model, self._timing)
            if len(self._prepared) > REMEMBERED_PROGRAMS:
                self._prepared.popitem(last=False)
            return found


def _exact(
    prepared: Prepared,
    angles: Floats,
    shots: int,
    seeds: Sequence[int],
    cancelled: threading.Event,
    dense: bool,
) -> tuple[Answer, ...]:
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


def _straight(
    prepared: Prepared,
    angles: Floats,
    shots: int,
    seeds: Sequence[int],
    cancelled: threading.Event,
    dense: bool,
) -> tuple[Answer, ...]:
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


def _branching(
    prepared: Prepared, angles: Floats, shots: int, seeds: Sequence[int], cancelled: threading.Event
) -> Simulated:
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
    return Simulated(tuple(answer_outcomes(prepared.outputs, outcomes, bits)), prepared.notes, elapsed_ns)


def _check(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise TaskCancelled("the task was cancelled while it was simulated")
