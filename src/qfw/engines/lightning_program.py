"""A program made ready for PennyLane-Lightning, and what is read of its final states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.engines.angles import AngleSums, Sum
from qfw.engines.expectations import expectations
from qfw.engines.kernels import FOLD, RECIPES, Kernels, Step, apply, undo
from qfw.model.observable import PauliTerm
from qfw.model.program import Affine, Gate, Program
from qfw.numerics.answers import Readings
from qfw.numerics.question import Question, Questions, parities

#: A state of up to this width (1 MiB) is kept for the next run.
KEPT_QUBITS = 16
#: So many sets of programs so narrow have their expectation values worked out together, in NumPy.
TOGETHER_SETS = 16
TOGETHER_QUBITS = 5
#: Lightning has fast marginal distributions of so many qubits.
MARGINAL_QUBITS = 3

Floats = npt.NDArray[np.float64]


class Held(NamedTuple):
    """A statevector with what measures it, which does not keep it alive."""

    state: Any
    measurements: Any


class States:
    """Statevectors by width, kept where they are small."""

    def __init__(self, binding: Any) -> None:
        """None as yet."""
        self._binding = binding
        self._kept: dict[int, Held] = {}

    def of(self, num_qubits: int) -> Held:
        """One of so many qubits, in whatever state it was left."""
        held = self._kept.get(num_qubits)
        if held is None:
            state = self._binding.StateVectorC128(num_qubits)
            held = Held(state, self._binding.MeasurementsC128(state))
            if num_qubits <= KEPT_QUBITS:
                self._kept[num_qubits] = held
        return held


class Term(NamedTuple):
    """A Pauli word to be read off a marginal distribution: in place, so that no state is copied."""

    observable: int
    #: Turn the word into one of Z on few qubits; undone afterwards.
    steps: list[Step]
    #: These qubits.
    wires: list[int]
    #: The term's value for each outcome of these, coefficient included.
    values: Floats

    def read(self, held: Held) -> float:
        """Its expectation value."""
        if not self.steps:
            return float(held.measurements.probs(self.wires).dot(self.values))
        apply(self.steps, held.state)
        found = held.measurements.probs(self.wires).dot(self.values)
        undo(self.steps, held.state)
        return float(found)


class LightningProgram:
    """A program as steps, and the terms and basis changes asked for lately."""

    def __init__(self, program: Program, binding: Any) -> None:
        """Of a straight-line program of no more qubits than Lightning holds."""
        self.program = program
        self.questions = Questions(program)
        self._kernels = Kernels(binding.StateVectorC128, program.num_qubits)
        self._steps: list[Step] = []
        #: Where the angles that depend on slots go: a step's list, and the place in it.
        self._cells: list[tuple[list[float], int]] = []
        self._sums, self._phase, self._has_phase = self._compile()
        #: Angles that are worked out for each set.
        self.num_angles = len(self._cells) + 1
        self._last: Question | None = None
        self._terms: list[Term] = []
        self._changes: list[list[Step]] = []

    def read(self, held: Held, parameters: Floats, question: Question) -> Readings:
        """What `question` needs of the final states of the sets in `parameters`."""
        if question is not self._last:
            self._look_at(question)
        sums = self._sums.bind(parameters)
        shape = (parameters.shape[0], 2**question.num_qubits)
        together = (
            question.wants_values and shape[0] >= TOGETHER_SETS and question.num_qubits <= TOGETHER_QUBITS
        )
        wants_vector = question.wants_vector or together
        vectors = np.empty(shape, dtype=np.complex128) if wants_vector else None
        values = np.tile(question.constants, (shape[0], 1)) if question.wants_values else None
        # One set: its distributions are read when they are used, so that one is alive at a time.
        kept = [np.empty(shape) for _ in self._changes] if shape[0] > 1 else []
        state, steps, cells = held.state, self._steps, self._cells
        for k, row in enumerate(sums[:, :-1].tolist()):
            for (angles, place), value in zip(cells, row, strict=True):
                angles[place] = value
            state.resetStateVector()
            for kernel, wires, inverse, angles in steps:
                kernel(state, wires, inverse, angles)
            if vectors is not None:
                state.getState(vectors[k])
            if values is not None and not together:
                for term in self._terms:
                    values[k, term.observable] += term.read(held)
            if kept:
                for rows, found in zip(kept, self._distributions(held), strict=True):
                    rows[k] = found
        if together and vectors is not None:
            values = expectations(np.ascontiguousarray(vectors.T), question)
        if vectors is not None and self._has_phase:
            vectors *= np.exp(1j * (sums[:, -1:] + self._phase))
        lazy = (found.reshape(shape) for found in self._distributions(held))
        return Readings(vectors, values, kept or lazy)

    def _distributions(self, held: Held) -> Iterator[Floats]:
        """Of the state as it is in each basis: shape (2**qubits,). Leaves it in the last one."""
        last = len(self._changes) - 1
        for place, change in enumerate(self._changes):
            apply(change, held.state)
            yield held.measurements.probs()
            # Turned back in place: a wide state has no room for a copy.
            if place < last:
                undo(change, held.state)

    def _compile(self) -> tuple[AngleSums, float, bool]:
        """Fills steps and cells. Gives the sums for the cells and the phase, its constant, whether it has any."""
        sums: list[Sum] = []
        phase: Sum = []
        constant = 0.0
        after = 0
        for gate in self.program.gates():
            first, after = after, after + len(gate.angles)
            recipe = RECIPES[gate.name]
            constant += recipe.constant
            phase += _sum(recipe.weights, first)
            for call in recipe.calls:
                angles = [angle if isinstance(angle, float) else _known(angle, gate) for angle in call.angles]
                step = self._kernels.step(call, gate.qubits, [angle or 0.0 for angle in angles])
                self._steps.append(step)
                for place, (angle, weights) in enumerate(zip(angles, call.angles, strict=True)):
                    if angle is None and not isinstance(weights, float):
                        self._cells.append((step.angles, place))
                        sums.append(_sum(weights, first))
        return AngleSums(self.program, [*sums, phase]), constant, bool(phase or constant)

    def _look_at(self, question: Question) -> None:
        self._last = question
        observables = question.observables if question.wants_values else ()
        # The identity's share is in the question's constants.
        self._terms = [
            self._term(i, term) for i, found in enumerate(observables) for term in found.terms if term.qubits
        ]
        self._changes = [self._kernels.change(basis) for basis in question.bases]

    def _term(self, observable: int, term: PauliTerm) -> Term:
        steps = self._kernels.change(zip(term.qubits, term.paulis, strict=True))
        folded, qubits = term.qubits[:-MARGINAL_QUBITS], term.qubits[-MARGINAL_QUBITS:]
        steps += [self._kernels.step(FOLD, (qubit, qubits[0])) for qubit in folded]
        values = term.coefficient * _SIGNS[len(qubits)]
        return Term(observable, steps, [self._kernels.wire(qubit) for qubit in qubits], values)


#: By number of qubits: the parity of each outcome.
_SIGNS = [parities(np.arange(2**width), 2**width - 1) for width in range(MARGINAL_QUBITS + 1)]


def _known(weights: Sequence[float], gate: Gate) -> float | None:
    """A weighted sum of the gate's angles; None where it depends on a slot."""
    total = 0.0
    for weight, angle in zip(weights, gate.angles, strict=True):
        if not weight:
            continue
        if isinstance(angle, Affine):
            return None
        total += weight * angle
    return total


def _sum(weights: Sequence[float], first: int) -> Sum:
    return [(first + i, weight) for i, weight in enumerate(weights) if weight]
