"""One (program, outputs) made ready for a device's noise: by densities or by trajectories, and what either costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from qfw.model.device import Estimate, Timing
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.outputs import Counts, Memory, Output, Statevector, answer_bytes
from qfw.model.program import IfElse, Measure, Operation, Program, While
from qfw.model.timing import circuit_ns
from qfw.numerics.question import Basis, Question, ask
from qfw.platforms.twin.density import DensityPlan
from qfw.platforms.twin.layout import Layout, lay_out, measured_by, touched_by
from qfw.platforms.twin.noise import NoiseModel
from qfw.platforms.twin.trajectories import Trajectories

#: Numbers of a density that are held for one set, at most: 128 MiB, some copies besides.
MAX_NUMBERS = 2**24
#: Qubits of a trajectory, at most: 1 GiB a state.
MAX_QUBITS = 26
#: Part of a qubit's T2 that feedback may take before it is worth a note.
NOTED = 0.1
#: Sets of a density that are run together hold so many numbers.
CHUNK_NUMBERS = 2**18

# Calibrated on one core at 2.6 GHz. Densities: microseconds of a node, nanoseconds of a multiplication and of
# moving a number. Trajectories: microseconds of an operation on a chunk, nanoseconds of an amplitude at it.
_NODE_US, _TIMES_NS, _MOVE_NS = 30.0, 0.4, 8.0
_STEP_US, _AMPLITUDE_NS = 150.0, 25.0


class Prepared:
    """A program with what is asked of it, in the numbers of the device's qubits."""

    def __init__(
        self, program: Program, outputs: tuple[Output, ...], sampled: bool, noise: NoiseModel, timing: Timing
    ) -> None:
        """Looks at everything once; nothing of the size of a state is made.

        Raises:
            UnsupportedFeature: an output that noisy shots do not have, or a gate that the calibration does not have.
        """
        self.program = program
        self.outputs = outputs
        self.noise = noise
        self._timing = timing
        self.branches = program.has_control or _bits_twice(program, outputs)
        _refuse(program, outputs, self.branches)
        if self.branches:
            self.active = tuple(sorted(touched_by(program.operations) | measured_by(program.operations)))
        else:
            self.layout: Layout = lay_out(program, outputs)
            self.active = self.layout.active
            asked = self.layout.outputs
            if self.layout.spectators:
                asked = (Memory(), *(o for o in asked if not isinstance(o, (Counts, Memory))))
            # What a device is asked without shots is the limit of many: of the same bases.
            self.question: Question = ask(self.layout.reading, asked, sampled=True)
        self.notes = tuple(_feedback_notes(program, noise, timing))

    @cached_property
    def circuit_ns(self) -> int:
        """Of a shot of a program without control."""
        return circuit_ns(self.program, self.noise.calibration, self._timing)

    @cached_property
    def plans(self) -> list[DensityPlan]:
        """For each basis."""
        return [self._plan(basis) for basis in self.question.bases]

    @cached_property
    def trajectories(self) -> Trajectories:
        """The program shot by shot."""
        return Trajectories(self.program, self.noise, self._timing, self.active, self.branches)

    def turns(self, basis: Basis) -> list[tuple[int, str]]:
        """A basis in the numbers of the device's qubits."""
        return [(self.layout.read[place], pauli) for place, pauli in basis]

    def by_density(self, sets: int, shots: int) -> bool:
        """Whether densities answer: where they can be held, and trajectories are not much cheaper.

        Raises:
            TooLarge: neither can be held.
        """
        if self.branches:
            self._check_width(shots)
            return False
        peak = max((plan.peak for plan in self.plans), default=1)
        if peak <= MAX_NUMBERS and (shots == 0 or len(self.active) > MAX_QUBITS):
            return True
        if peak > MAX_NUMBERS:
            self._check_width(shots)
            return False
        return self._density(sets).cost_s <= self._shot_by_shot(sets, shots).cost_s

    def estimate(self, sets: int, shots: int) -> Estimate:
        """Seconds and bytes of this process. Raises like `by_density`."""
        found = self._density(sets) if self.by_density(sets, shots) else self._shot_by_shot(sets, shots)
        answers = sum(answer_bytes(output, self.program, sets, shots) for output in self.outputs)
        drawn = 0 if self.branches else sets * (40 * shots + 24 * min(shots, 2 ** len(self.layout.read)))
        spectators = 0 if self.branches else len(self.layout.spectators)
        return Estimate(
            found.cost_s + 1e-8 * sets * shots * (1 + spectators), found.memory_bytes + drawn + 3 * answers
        )

    def _plan(self, basis: Basis) -> DensityPlan:
        return DensityPlan(self.program, self.noise, self._timing, self.layout.read, basis)

    def _density(self, sets: int) -> Estimate:
        seconds, memory = 0.0, 0
        for plan in self.plans:
            calls = -(-sets // max(1, CHUNK_NUMBERS // plan.peak))
            # Each number is moved in front of its matrix.
            ns = plan.work * _TIMES_NS + plan.moved * _MOVE_NS
            seconds += 1e-6 * calls * len(plan.nodes) * _NODE_US + 1e-9 * sets * ns
            memory = max(memory, 32 * max(plan.peak, min(sets * plan.peak, CHUNK_NUMBERS)))
        return Estimate(seconds, memory)

    def _shot_by_shot(self, sets: int, shots: int) -> Estimate:
        runs = sets * (1 if self.branches else max(1, len(self.question.bases)))
        chunk = self.trajectories.chunk
        steps = self.program.expected_steps + len(self.active)
        amplitudes = 2 ** len(self.active)
        seconds = (
            runs * steps * (-(-shots // chunk) * _STEP_US * 1e-6 + shots * amplitudes * _AMPLITUDE_NS * 1e-9)
        )
        return Estimate(seconds, 16 * 5 * amplitudes * min(shots, chunk))

    def _check_width(self, shots: int) -> None:
        width = len(self.active)
        if width > MAX_QUBITS or not shots:
            device = self.noise.calibration.device
            held = f"{MAX_QUBITS} shot by shot" if shots else "fewer without shots"
            raise TooLarge(
                f"the noise of {width} active qubits of {device} cannot be simulated: it holds {held} "
                f"({16 * 2 ** min(width, 60) / 2**30:.3g} GiB a state). Use fewer active qubits, a device of kind "
                "simulator, or cut the program"
            )


def _refuse(program: Program, outputs: Sequence[Output], branches: bool) -> None:
    for output in outputs:
        tag = output.__struct_config__.tag
        if isinstance(output, Statevector):
            raise UnsupportedFeature(
                "a noisy device has no statevector: ask for counts or expectation values"
            )
        if branches and not isinstance(output, (Counts, Memory)):
            why = "with control" if program.has_control else "that measures a qubit twice"
            raise UnsupportedFeature(
                f"a program {why} answers counts and memory here, not {tag}. Measure into classical bits and "
                "ask for counts"
            )


def _bits_twice(program: Program, outputs: Sequence[Output]) -> bool:
    """Whether bits are wanted of a qubit that is measured several times: each time with errors of its own."""
    qubits = [op.qubit for op in program.operations if isinstance(op, Measure)]
    if len(set(qubits)) == len(qubits):
        return False
    return all(isinstance(output, (Counts, Memory)) for output in outputs)


def _feedback_notes(program: Program, noise: NoiseModel, timing: Timing) -> Iterable[str]:
    waiting: set[int] = set()
    for op in _branches(program.operations):
        waiting |= touched_by((op,))
    if not waiting or not timing.feedback_ns:
        return
    worst = min(waiting, key=lambda qubit: (min(noise.coherence(qubit)), qubit))
    coherence_us = min(noise.coherence(worst))
    part = timing.feedback_ns / 1000 / coherence_us
    if part > NOTED:
        yield (
            f"feedback takes {timing.feedback_ns} ns, {100 * part:.0f} % of the coherence of qubit {worst} "
            f"({coherence_us:.3g} us), above {100 * NOTED:.0f} %: qubits that wait for it lose fidelity"
        )


def _branches(operations: Iterable[Operation]) -> Iterable[IfElse | While]:
    for op in operations:
        if isinstance(op, (IfElse, While)):
            yield op
