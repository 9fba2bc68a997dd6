"""LightningEngine: statevectors by PennyLane-Lightning (C++, AVX2 and AVX-512), one set after the other.

Its binding module is used directly: that takes 4 ms to import, PennyLane seconds. Lightning's wire 0 is the most
significant bit, our qubit 0 the least.

Its kernels do not check wires (one beyond the register ends the process), and a state asked for with 64
qubits silently has none: widths and qubits are checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.engines.angles import AngleSums, Sum
from qfw.engines.answers import Answers, Readings
from qfw.engines.costs import Costs, estimate
from qfw.engines.kernels import CHANGES, METHODS, OBSERVABLES, RECIPES, Call
from qfw.engines.question import Basis, Question, Questions
from qfw.engines.refusals import memory_errors, refuse_control, refuse_gates, refuse_outputs
from qfw.engines.sampling import Stream
from qfw.model.device import Estimate
from qfw.model.errors import NotInstalled, ProgramError, SetupError, TooLarge
from qfw.model.gates import GATES
from qfw.model.observable import PauliSum
from qfw.model.outputs import Answer, Output
from qfw.model.program import Affine, Program

#: Sets that are run together have this many amplitudes in all bases that are read, and this many
#: kernel angles, unless one set alone has more.
CHUNK_AMPLITUDES = 2**16
CHUNK_ANGLES = 2**20
#: A state of up to this width (1 MiB) is kept for the next run.
KEPT_QUBITS = 16

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]


class LightningEngine:
    """Every gate, exact or sampled answers. Needs pennylane-lightning 0.43 or later, not PennyLane.

    State: 16 · 2**qubits bytes. One thread: the published wheels compute states without OpenMP.
    """

    native_gates: ClassVar[frozenset[str]] = frozenset(GATES)
    outputs: ClassVar[frozenset[str]] = frozenset(
        {"counts", "memory", "expectation", "probabilities", "statevector"}
    )
    max_qubits: ClassVar[int] = 30
    control: ClassVar[bool] = False
    preference: ClassVar[int] = 10
    preferred_qubits: ClassVar[int] = 64

    def __init__(self, threads: int) -> None:
        """Imports Lightning's binding module. `threads` is without effect.

        Raises:
            NotInstalled: pennylane-lightning is missing.
            SetupError: it is of a version that lacks what is called here.
        """
        try:
            from pennylane_lightning import lightning_qubit_ops
        except ImportError as error:
            raise NotInstalled(
                f"engine lightning needs the package pennylane-lightning ({error}). "
                "Install it: pip install 'qfw[lightning]'"
            ) from error
        _check_binding(lightning_qubit_ops)
        self._binding = lightning_qubit_ops
        self._stream = Stream()
        self._states = States(lightning_qubit_ops)

    @classmethod
    def version(cls) -> str | None:
        """Version of pennylane-lightning; None where it is not installed."""
        try:
            return version("pennylane-lightning")
        except PackageNotFoundError:
            return None

    @classmethod
    def estimate(cls, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> Estimate:
        """Calibrated on one core of an AMD EPYC with AVX-512."""
        return estimate(program, outputs, sets, shots, _COSTS)

    def prepare(self, program: Program) -> LightningProgram:
        """Kernels with their wires, and their angles as functions of the slots.

        Raises:
            UnsupportedFeature: control, reset or measurement before the end.
            TooLarge: more than `max_qubits`.
        """
        refuse_control(program, "lightning")
        refuse_gates(program, self.native_gates, "lightning")
        if program.num_qubits > self.max_qubits:
            raise TooLarge(
                f"the program needs {program.num_qubits} qubits; engine lightning holds {self.max_qubits}. "
                "Use fewer qubits"
            )
        return LightningProgram(program, self._binding)

    def run(
        self,
        prepared: Any,
        outputs: tuple[Output, ...],
        parameters: npt.NDArray[np.float64],
        shots: int,
        seeds: Sequence[int],
    ) -> tuple[Answer, ...]:
        """Answers in the order of `outputs`; see `qfw.qpm.engine.Engine`."""
        assert isinstance(prepared, LightningProgram)
        refuse_outputs(outputs, self.outputs, "lightning")
        program = prepared.program
        sets, states = parameters.shape[0], 2**program.num_qubits
        with memory_errors("lightning", program.num_qubits, sets):
            question = prepared.questions.of(outputs, shots)
            chunk = max(1, CHUNK_AMPLITUDES // (states * max(1, len(question.bases))))
            chunk = max(1, min(chunk, CHUNK_ANGLES // prepared.num_angles))
            answers = Answers(program, question, shots, self._stream)
            held = self._states.of(program.num_qubits)
            for start in range(0, sets, chunk):
                readings = prepared.read(held, parameters[start : start + chunk], question)
                answers.add(readings, seeds[start : start + chunk])
            return answers.answers()


_COSTS = Costs(
    run_us=15.0,
    set_us=1.5,
    gate_us=0.3,
    sets_at_once=1,
    amplitude_ns=0.3,
    wide_amplitude_ns=0.5,
    term_ns=2.5,
    term_us=1.5,
    copies=1,
    term_copies=1,
)


class Held(NamedTuple):
    """A statevector with what measures it, which does not keep the other alive."""

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


#: A kernel as (state, wires, inverse, angles) → None, and what it is called with after the state.
Kernel = Callable[[Any, list[int], bool, list[float]], None]
Step = tuple[Kernel, list[int], bool, list[float]]
#: An observable: pairs (coefficient, what takes the measurements and gives a term's value).
Terms = list[tuple[float, Callable[[Any], float]]]


class LightningProgram:
    """A program as steps, and the observables and basis changes asked for lately."""

    def __init__(self, program: Program, binding: Any) -> None:
        """Of a straight-line program of at most 30 qubits."""
        self.program = program
        self.questions = Questions(program)
        self._binding = binding
        self._steps: list[Step] = []
        #: Where the angles that depend on slots go: a step's list, and the place in it.
        self._cells: list[tuple[list[float], int]] = []
        self._sums, self._constant_phase, self._has_phase = self._compile()
        #: Angles that are worked out for each set.
        self.num_angles = len(self._cells) + 1
        self._last: Question | None = None
        self._observables: list[Terms] = []
        self._changes: list[list[Step]] = []

    def read(self, held: Held, parameters: Floats, question: Question) -> Readings:
        """What `question` needs of the final states of the sets in `parameters`."""
        if question is not self._last:
            self._look_at(question)
        sums = self._sums.bind(parameters)
        shape = (parameters.shape[0], 2**question.num_qubits)
        vectors = np.empty(shape, dtype=np.complex128) if question.wants_vector else None
        values = np.tile(question.constants, (shape[0], 1)) if question.wants_values else None
        # One set: its distributions are read when they are used, so that one is alive at a time.
        kept = [np.empty(shape) for _ in self._changes] if shape[0] > 1 else []
        state, measurements = held
        for k, row in enumerate(sums[:, :-1].tolist()):
            for (angles, place), value in zip(self._cells, row, strict=True):
                angles[place] = value
            state.resetStateVector()
            for kernel, wires, inverse, angles in self._steps:
                kernel(state, wires, inverse, angles)
            if values is not None:
                for i, terms in enumerate(self._observables):
                    for coefficient, value_of in terms:
                        values[k, i] += coefficient * value_of(measurements)
            if vectors is not None:
                state.getState(vectors[k])
            if kept:
                for rows, found in zip(kept, self._distributions(held), strict=True):
                    rows[k] = found
        if vectors is not None and self._has_phase:
            vectors *= np.exp(1j * (sums[:, -1:] + self._constant_phase))
        return Readings(
            vectors, values, kept or (found.reshape(shape) for found in self._distributions(held))
        )

    def _distributions(self, held: Held) -> Iterator[Floats]:
        """Of the state as it is in each basis, shape (2**qubits,). Leaves it in another."""
        last = len(self._changes) - 1
        for place, change in enumerate(self._changes):
            for kernel, wires, inverse, angles in change:
                kernel(held.state, wires, inverse, angles)
            yield held.measurements.probs()
            # Turned back in place: a wide state has no room for a copy.
            if place < last:
                for kernel, wires, inverse, angles in change:
                    kernel(held.state, wires, not inverse, angles)

    def _compile(self) -> tuple[AngleSums, float, bool]:
        """Fills steps and cells. Gives the sums for the cells with the phase as the last; the constant phase."""
        sums: list[Sum] = []
        phase: Sum = []
        constant = 0.0
        after = 0
        for gate in self.program.gates():
            first, after = after, after + len(gate.angles)
            recipe = RECIPES[gate.name]
            constant += recipe.constant
            phase += [(first + i, weight) for i, weight in enumerate(recipe.weights) if weight]
            for call in recipe.calls:
                angles: list[float] = []
                for place, angle in enumerate(call.angles):
                    if isinstance(angle, float):
                        angles.append(angle)
                        continue
                    terms = [(i, weight) for i, weight in enumerate(angle) if weight]
                    known = [(gate.angles[i], weight) for i, weight in terms]
                    if any(isinstance(given, Affine) for given, _ in known):
                        self._cells.append((angles, place))
                        sums.append([(first + i, weight) for i, weight in terms])
                        angles.append(0.0)
                    else:
                        angles.append(sum(given * weight for given, weight in known))
                self._steps.append(self._step(call, gate.qubits, angles))
        return AngleSums(self.program, [*sums, phase]), constant, bool(phase or constant)

    def _step(self, call: Call, qubits: Sequence[int], angles: list[float]) -> Step:
        wires = [_wire(qubits[place], self.program.num_qubits) for place in call.places]
        kernel = getattr(self._binding.StateVectorC128, call.method)
        if call.controls:
            kernel = _controlled(kernel, call.controls)
        return kernel, wires, call.inverse, angles

    def _look_at(self, question: Question) -> None:
        self._last = question
        observables = question.observables if question.wants_values else ()
        self._observables = [self._terms(observable) for observable in observables]
        self._changes = [self._change(basis) for basis in question.bases]

    def _change(self, basis: Basis) -> list[Step]:
        """The steps after which measuring Z is measuring `basis`."""
        return [self._step(CHANGES[pauli], (qubit,), list(CHANGES[pauli].angles)) for qubit, pauli in basis]

    def _terms(self, observable: PauliSum) -> Terms:
        """All terms but the identity."""
        width, library = self.program.num_qubits, self._binding.observables
        found: Terms = []
        for term in observable.terms:
            factors = [
                (OBSERVABLES[pauli], [_wire(qubit, width)])
                for qubit, pauli in zip(term.qubits, term.paulis, strict=True)
            ]
            if len(factors) == 1:
                # Measured without the copy of the state that an observable object costs.
                found.append((term.coefficient, _named(*factors[0])))
            elif factors:
                product = library.TensorProdObsC128([library.NamedObsC128(*factor) for factor in factors])
                found.append((term.coefficient, _product(product)))
        return found


def _check_binding(binding: Any) -> None:
    """Raises SetupError where something is missing that is called here."""
    state = getattr(binding, "StateVectorC128", None)
    missing = sorted(name for name in METHODS | {"resetStateVector", "getState"} if not hasattr(state, name))
    measurements = getattr(binding, "MeasurementsC128", None)
    missing += [name for name in ("expval", "probs") if not hasattr(measurements, name)]
    observables = getattr(binding, "observables", None)
    missing += [name for name in ("NamedObsC128", "TensorProdObsC128") if not hasattr(observables, name)]
    if missing:
        raise SetupError(
            f"engine lightning needs pennylane-lightning 0.43 or later; {LightningEngine.version()} is installed, "
            f"which lacks {', '.join(missing)}. Install another: pip install --upgrade 'qfw[lightning]'"
        )


def _wire(qubit: int, width: int) -> int:
    # Beyond the register, a kernel writes to memory that is not the state's.
    if not 0 <= qubit < width:
        raise ProgramError(f"qubit {qubit} is not one of the program's {width}, which count from 0")
    return width - 1 - qubit


def _controlled(kernel: Any, controls: int) -> Kernel:
    ones = [True] * controls

    def call(state: Any, wires: list[int], inverse: bool, angles: list[float]) -> None:
        kernel(state, wires[:controls], ones, wires[controls:], inverse, angles)

    return call


def _named(name: str, wires: list[int]) -> Callable[[Any], float]:
    return lambda measurements: float(measurements.expval(name, wires))


def _product(observable: Any) -> Callable[[Any], float]:
    return lambda measurements: float(measurements.expval(observable))
