"""AerEngine: statevectors by Qiskit Aer (C++, OpenMP), and programs with classical control."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qfw.engines.aer_controller import ControllerSimulator, works
from qfw.engines.aer_public import PublicSimulator
from qfw.engines.aer_simulator import GATE_NAMES, Floats, Reading, Reads, Simulator, columns, phases
from qfw.engines.costs import Costs, estimate
from qfw.engines.installed import installed
from qfw.engines.openmp import allow_threads
from qfw.engines.refusals import memory_errors, refuse_gates, refuse_outputs, refuse_outputs_of_control
from qfw.model.device import Estimate
from qfw.model.errors import NotInstalled
from qfw.model.observable import PauliSum
from qfw.model.outputs import Answer, Memory, Output, answer_bytes
from qfw.model.program import Program
from qfw.numerics.answers import Answers, Readings
from qfw.numerics.outcomes import answers_of_outcomes
from qfw.numerics.question import Basis, Question, Questions
from qfw.numerics.sampling import Stream

logger = logging.getLogger(__name__)

#: Registers of this many qubits, and wider ones, get the threads of wide tasks.
WIDE_QUBITS = 16
#: Sets that are run together are so many at most, and have so many amplitudes in all bases and so many
#: angles, unless one set alone has more.
CHUNK_SETS = 1024
CHUNK_AMPLITUDES = 2**18
CHUNK_ANGLES = 2**20
#: Bases that any state is read in before it is computed anew, narrow ones in more: each takes half of
#: the state's memory.
WIDE_BASES = 4
OLDEST = (0, 17)


class AerEngine:
    """Every gate, exact or sampled answers; counts and memory of programs with control.

    Aer evolves the states and reads them; shots of straight-line programs are drawn as for all engines.
    State: 16 · 2**qubits bytes.
    """

    native_gates: ClassVar[frozenset[str]] = GATE_NAMES | {"gphase"}
    outputs: ClassVar[frozenset[str]] = frozenset(
        {"counts", "memory", "expectation", "probabilities", "statevector"}
    )
    max_qubits: ClassVar[int] = 30
    control: ClassVar[bool] = True
    preference: ClassVar[int] = 5
    preferred_qubits: ClassVar[int] = 64

    def __init__(self, threads: int, wide_threads: int, simulator: Simulator | None = None) -> None:
        """Imports Aer, and takes the faster of its two interfaces that works, unless `simulator` is given.

        Raises:
            NotInstalled: Aer or Qiskit is missing, or too old.
        """
        found = self.version()
        if found is not None and _release(found) < OLDEST:
            raise NotInstalled(
                f"engine aer needs qiskit-aer 0.17 or newer, not {found}: pip install --upgrade 'qfw[aer]'"
            )
        try:
            self._simulator = simulator or _simulator()
        except ImportError as error:
            raise NotInstalled(
                f"engine aer needs the package qiskit-aer ({error}). Install it: pip install 'qfw[aer]'"
            ) from error
        self._threads, self._wide_threads = threads, wide_threads
        allow_threads(max(threads, wide_threads))
        self._stream = Stream()

    @classmethod
    def version(cls) -> str | None:
        """Version of qiskit-aer; None where it is not installed."""
        return installed("qiskit-aer")

    @classmethod
    def estimate(cls, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> Estimate:
        """Calibrated on one core of an AMD EPYC; wide tasks are estimated as on one thread.

        Raises:
            UnsupportedFeature: of a program with control something else than counts and memory is asked.
        """
        if not program.has_control:
            return estimate(program, outputs, sets, shots, _COSTS)
        refuse_outputs_of_control(outputs, "aer")
        states = 2 ** min(program.num_qubits, 55)
        steps = program.expected_steps
        shot_us = _SHOT_US + steps * (_STEP_US + 1e-3 * _COSTS.amplitude_ns * states)
        answer = sum(answer_bytes(output, program, sets, shots) for output in outputs)
        # Aer's strings of every outcome, and these as integers; again for their order. Of one set at a time.
        times = 1 + any(isinstance(output, Memory) for output in outputs)
        memory = 16 * states * 2 + 3 * answer + times * shots * (_STRING_BYTES + program.num_bits)
        memory += _OPERATION_BYTES * steps
        return Estimate(1e-6 * sets * (_COSTS.run_us + shots * shot_us) + 1e-9 * answer, min(memory, 2**62))

    def prepare(self, program: Program) -> StraightProgram | ControlledProgram:
        """A program whose circuits are built when it is known what is asked of them.

        Raises:
            UnsupportedFeature: a gate that is not native.
        """
        refuse_gates(program, self.native_gates, "aer")
        threads = self._wide_threads if program.num_qubits >= WIDE_QUBITS else self._threads
        if program.has_control:
            return ControlledProgram(program, self._simulator, threads)
        return StraightProgram(program, self._simulator, threads)

    def run(
        self,
        prepared: Any,
        outputs: tuple[Output, ...],
        parameters: npt.NDArray[np.float64],
        shots: int,
        seeds: Sequence[int],
    ) -> tuple[Answer, ...]:
        """Answers in the order of `outputs`; see `qfw.qpm.engine.Engine`."""
        assert isinstance(prepared, (StraightProgram, ControlledProgram))
        refuse_outputs(outputs, self.outputs, "aer")
        program = prepared.program
        with memory_errors("aer", program.num_qubits, parameters.shape[0]):
            if isinstance(prepared, ControlledProgram):
                refuse_outputs_of_control(outputs, "aer")
                return prepared.run(outputs, parameters, shots, seeds)
            question = prepared.questions.of(outputs, shots)
            states = 2**program.num_qubits * max(1, len(question.bases))
            chunk = min(CHUNK_SETS, CHUNK_AMPLITUDES // states, CHUNK_ANGLES // prepared.num_angles)
            answers = Answers(program, question, shots, self._stream)
            for start in range(0, len(parameters), max(1, chunk)):
                rows = slice(start, start + max(1, chunk))
                answers.add(prepared.read(parameters[rows], question), seeds[rows])
            return answers.answers()


_COSTS = Costs(
    run_us=70.0,
    set_us=30.0,
    gate_us=0.6,
    sets_at_once=1,
    amplitude_ns=2.5,
    wide_amplitude_ns=2.5,
    term_ns=2.5,
    term_us=1.0,
    copies=1,
    term_copies=0,
    reading_copies=2,
)
#: Microseconds of a shot of a program with control, and of each step of it.
_SHOT_US, _STEP_US = 50.0, 0.5
#: Bytes of a shot's bits on their way from Aer, besides the bits; and of an operation in Aer.
_STRING_BYTES, _OPERATION_BYTES = 160, 4096


class StraightProgram:
    """A straight-line program, and the circuits of the question asked last."""

    def __init__(self, program: Program, simulator: Simulator, threads: int) -> None:
        """Run by `simulator` on so many threads."""
        self.program = program
        self.questions = Questions(program)
        self._simulator, self._threads = simulator, threads
        table, rows, phased = program.angle_table, columns(program), phases(program)
        self._matrix, self._offsets = table.matrix[rows].T.copy(), table.offsets[rows]
        self._phase_matrix = table.matrix[phased].sum(axis=0)
        self._phase_offset = table.offsets[phased].sum()
        #: Angles that are worked out for each set.
        self.num_angles = max(1, len(rows))
        self._last: Question | None = None
        self._first: Any = None
        self._later: list[Any] = []

    def read(self, parameters: Floats, question: Question) -> Readings:
        """What `question` needs of the final states of the sets in `parameters`."""
        if question is not self._last:
            self._look_at(question)
        sets = len(parameters)
        angles = parameters @ self._matrix + self._offsets
        readings = self._run(self._first, angles, question)
        vectors = values = None
        if question.wants_vector:
            vectors = _rows([reading.vector for reading in readings], sets)
            vectors *= np.exp(1j * (parameters @ self._phase_matrix + self._phase_offset))[:, np.newaxis]
        if question.wants_values:
            values = np.tile(question.constants, (sets, 1))
            values[:, self._evolving] += np.array([reading.values for reading in readings])
        return Readings(vectors, values, self._distributions(readings, angles, question))

    def _distributions(self, readings: list[Reading], angles: Floats, question: Question) -> Iterator[Floats]:
        for circuit in (self._first, *self._later):
            if circuit is not self._first:
                readings = self._run(circuit, angles, question)
            for k in range(len(readings[0].distributions)):
                yield _rows([reading.distributions[k] for reading in readings], len(angles))
            del readings

    def _run(self, circuit: Any, angles: Floats, question: Question) -> list[Reading]:
        if question.num_qubits >= WIDE_QUBITS:
            # Aer ends the process where it gets no memory: ask for as much first, and give it back.
            halves = 2 + min(len(question.bases), WIDE_BASES) + 2 * question.wants_vector
            np.empty(halves << question.num_qubits, dtype=np.float64)
        return self._simulator.read(circuit, angles)

    def _look_at(self, question: Question) -> None:
        width = question.num_qubits
        kept = [_without_identity(o) for o in question.observables] if question.wants_values else []
        #: Places of the observables that depend on the state at all.
        self._evolving = [place for place, observable in enumerate(kept) if observable.terms]
        observables = tuple(kept[place] for place in self._evolving)
        at_once = max(WIDE_BASES, CHUNK_AMPLITUDES >> width)
        groups: list[tuple[Basis, ...]] = [
            question.bases[start : start + at_once] for start in range(0, len(question.bases), at_once)
        ] or [()]
        first, *later = groups
        self._first, *self._later = [
            self._simulator.straight(self.program, reads, self._threads)
            for reads in (
                Reads(observables, first, question.wants_vector),
                *(Reads((), bases, False) for bases in later),
            )
        ]
        self._last = question


class ControlledProgram:
    """A program with control: every shot runs through it."""

    def __init__(self, program: Program, simulator: Simulator, threads: int) -> None:
        """Run by `simulator` on so many threads."""
        self.program = program
        self._simulator = simulator
        self._circuit = simulator.controlled(program, threads)
        table, rows = program.angle_table, columns(program)
        self._matrix, self._offsets = table.matrix[rows].T.copy(), table.offsets[rows]

    def run(
        self, outputs: tuple[Output, ...], parameters: Floats, shots: int, seeds: Sequence[int]
    ) -> tuple[Answer, ...]:
        """Counts and memory; all of one set come from the same shots."""
        ordered = any(output.__struct_config__.tag == "memory" for output in outputs)
        # Twice the state: see `StraightProgram`.
        np.empty(2 << self.program.num_qubits, dtype=np.complex128)
        sampled = (
            self._simulator.sample(self._circuit, row, shots, seed, ordered)
            for row, seed in zip(parameters @ self._matrix + self._offsets, seeds, strict=True)
        )
        return answers_of_outcomes(outputs, self.program.num_bits, sampled)


def _simulator() -> Simulator:
    try:
        found = ControllerSimulator()
        if works(found):
            return found
    except (ImportError, AttributeError) as error:
        logger.warning("aer's binding is not there: %s", error)
    # If Aer itself is missing, this says so.
    return PublicSimulator()


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def _without_identity(observable: PauliSum) -> PauliSum:
    return PauliSum(tuple(term for term in observable.terms if term.paulis))


def _rows(found: list[Any], sets: int) -> Any:
    """One row for each set; a single one, of a program without angles, is the same for all."""
    if len(found) == 1:
        row = found[0].reshape(1, -1)
        return row if sets == 1 else np.repeat(row, sets, axis=0)
    return np.array(found)
