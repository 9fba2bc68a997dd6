"""QulacsEngine: statevectors by qulacs (C++, OpenMP), one parameter set after the other.

qulacs rotates by exp(+i φ/2 P): the signs of all angles are turned where a circuit is built, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qfw.engines.angles import AngleSums, Sum
from qfw.engines.costs import Costs, estimate
from qfw.engines.installed import installed
from qfw.engines.refusals import memory_errors, refuse_control, refuse_gates, refuse_outputs
from qfw.engines.rotations import PRODUCTS
from qfw.model.device import Estimate
from qfw.model.errors import NotInstalled
from qfw.model.observable import PauliSum
from qfw.model.outputs import Answer, Output
from qfw.model.program import Affine, Gate, Program
from qfw.numerics import gates
from qfw.numerics.answers import Answers, Readings
from qfw.numerics.question import Basis, Question, Questions
from qfw.numerics.sampling import Stream

#: Sets that are run together have this many amplitudes in all bases that are read, and this many
#: rotation angles, unless one set alone has more.
CHUNK_AMPLITUDES = 2**16
CHUNK_ANGLES = 2**20
#: A state of up to this width (1 MiB) is kept for the next run.
KEPT_QUBITS = 16

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]


class QulacsEngine:
    """Every gate, exact or sampled answers. Gates with slots are Pauli rotations, the others matrices.

    State: 16 · 2**qubits bytes.
    """

    native_gates: ClassVar[frozenset[str]] = frozenset(gates.FORMS)
    outputs: ClassVar[frozenset[str]] = frozenset(
        {"counts", "memory", "expectation", "probabilities", "statevector"}
    )
    max_qubits: ClassVar[int] = 30
    control: ClassVar[bool] = False
    preference: ClassVar[int] = 20
    preferred_qubits: ClassVar[int] = 16

    def __init__(self, threads: int, wide_threads: int) -> None:
        """Imports qulacs. Whoever starts the worker sets OMP_NUM_THREADS to `threads`, before this.

        `wide_threads` is without effect: qulacs has one number of threads for all widths.

        Raises:
            NotInstalled: qulacs is missing.
        """
        try:
            import qulacs
        except ImportError as error:
            raise NotInstalled(
                f"engine qulacs needs the package qulacs ({error}). Install it: pip install 'qfw[qulacs]'"
            ) from error
        self._qulacs = qulacs
        self._stream = Stream()
        self._states = States(qulacs)

    @classmethod
    def version(cls) -> str | None:
        """Version of qulacs; None where it is not installed."""
        return installed("qulacs")

    @classmethod
    def estimate(cls, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> Estimate:
        """Calibrated on one core of an AMD EPYC."""
        return estimate(program, outputs, sets, shots, _COSTS)

    def prepare(self, program: Program) -> QulacsProgram:
        """A circuit of qulacs whose parameters are affine in the slots.

        Raises:
            UnsupportedFeature: control, reset or measurement before the end.
        """
        refuse_control(program, "qulacs")
        refuse_gates(program, self.native_gates, "qulacs")
        return QulacsProgram(program, self._qulacs)

    def run(
        self,
        prepared: Any,
        outputs: tuple[Output, ...],
        parameters: npt.NDArray[np.float64],
        shots: int,
        seeds: Sequence[int],
    ) -> tuple[Answer, ...]:
        """Answers in the order of `outputs`; see `qfw.qpm.engine.Engine`."""
        assert isinstance(prepared, QulacsProgram)
        refuse_outputs(outputs, self.outputs, "qulacs")
        program = prepared.program
        sets, states = parameters.shape[0], 2**program.num_qubits
        with memory_errors("qulacs", program.num_qubits, sets):
            question = prepared.questions.of(outputs, shots)
            chunk = max(1, CHUNK_AMPLITUDES // (states * max(1, len(question.bases))))
            chunk = max(1, min(chunk, CHUNK_ANGLES // prepared.num_angles))
            answers = Answers(program, question, shots, self._stream)
            for start in range(0, sets, chunk):
                readings = prepared.read(self._states, parameters[start : start + chunk], question)
                answers.add(readings, seeds[start : start + chunk])
            return answers.answers()


_COSTS = Costs(
    run_us=15.0,
    set_us=3.0,
    gate_us=0.5,
    sets_at_once=1,
    amplitude_ns=5.0,
    wide_amplitude_ns=5.0,
    term_ns=2.5,
    term_us=0.5,
    copies=1,
    term_copies=0,
)


class QulacsProgram:
    """A circuit with its parameters, and the observables and basis changes asked for lately."""

    def __init__(self, program: Program, qulacs: Any) -> None:
        """Of a straight-line program."""
        self.program = program
        self.questions = Questions(program)
        self._qulacs = qulacs
        # qulacs' parameters, then the phase.
        self._circuit, sums = _circuit(program, qulacs)
        self._sums = AngleSums(program, sums)
        #: Angles that are worked out for each set.
        self.num_angles = len(sums)
        self._last: Question | None = None
        self._observables: list[Any] = []
        self._changes: list[Any] = []

    def read(self, states: States, parameters: Floats, question: Question) -> Readings:
        """What `question` needs of the final states of the sets in `parameters`."""
        if question is not self._last:
            self._look_at(question)
        bound = self._sums.bind(parameters)
        shape = (parameters.shape[0], 2**question.num_qubits)
        vectors: Complex | None = None
        if question.wants_vector and shape[0] > 1:
            vectors = np.empty(shape, dtype=np.complex128)
        values = np.empty((shape[0], len(self._observables))) if question.wants_values else None
        # One set: its distributions are read when they are used, so that one is alive at a time.
        kept = [np.empty(shape, dtype=np.complex128) for _ in self._changes] if shape[0] > 1 else []
        state = states.main(question.num_qubits)
        circuit, set_parameter = self._circuit, self._circuit.set_parameter
        for k, row in enumerate(bound[:, :-1].tolist()):
            for index, value in enumerate(row):
                set_parameter(index, value)
            state.set_zero_state()
            circuit.update_quantum_state(state)
            if values is not None:
                values[k] = [observable.get_expectation_value(state) for observable in self._observables]
            if vectors is not None:
                vectors[k] = state.get_vector()
            elif question.wants_vector:
                # The one set's own: a wide vector is not copied again.
                vectors = state.get_vector().reshape(shape)
            for change, rows in zip(self._changes, kept, strict=False):
                rows[k] = self._changed(state, states, change)
        if vectors is not None:
            vectors *= np.exp(1j * bound[:, -1:])
        seen = iter(kept) if kept else (self._changed(state, states, c).reshape(shape) for c in self._changes)
        return Readings(vectors, values, map(_probabilities, seen))

    def _changed(self, state: Any, states: States, change: Any) -> Complex:
        if change is not None:
            scratch = states.scratch(self.program.num_qubits)
            scratch.load(state)
            change.update_quantum_state(scratch)
            state = scratch
        vector: Complex = state.get_vector()
        return vector

    def _look_at(self, question: Question) -> None:
        self._last, width, qulacs = question, question.num_qubits, self._qulacs
        observables = question.observables if question.wants_values else ()
        self._observables = [_observable(observable, width, qulacs) for observable in observables]
        self._changes = [_basis_change(basis, width, qulacs) for basis in question.bases]


class States:
    """Quantum states by width, kept where they are small."""

    def __init__(self, qulacs: Any) -> None:
        """None as yet."""
        self._qulacs = qulacs
        self._kept: dict[tuple[int, bool], Any] = {}

    def main(self, num_qubits: int) -> Any:
        """The state that circuits act on."""
        return self._of(num_qubits, False)

    def scratch(self, num_qubits: int) -> Any:
        """A second one."""
        return self._of(num_qubits, True)

    def _of(self, num_qubits: int, scratch: bool) -> Any:
        state = self._kept.get((num_qubits, scratch))
        if state is None:
            # qulacs ends the process where it gets no memory: ask for as much first, and give it back.
            np.empty(2**num_qubits, dtype=np.complex128)
            state = self._qulacs.QuantumState(num_qubits)
            if num_qubits <= KEPT_QUBITS:
                self._kept[num_qubits, scratch] = state
        return state


def _probabilities(vectors: Complex) -> Floats:
    """|ψ|² of vectors, which are overwritten: wide states have no room for more copies."""
    parts = vectors.view(np.float64)
    parts *= parts
    found: Floats = parts[:, 0::2] + parts[:, 1::2]
    return found


def _circuit(program: Program, qulacs: Any) -> tuple[Any, list[Sum]]:
    """The circuit, and its parameters in order as sums of angles; the last row is the phase."""
    circuit = qulacs.ParametricQuantumCircuit(program.num_qubits)
    sums: list[Sum] = []
    phase: Sum = []
    after = 0
    for gate in program.gates():
        first, after = after, after + len(gate.angles)
        constant = tuple(angle for angle in gate.angles if not isinstance(angle, Affine))
        if len(constant) == len(gate.angles) and gate.qubits:
            circuit.add_gate(_constant(gate, constant, qulacs.gate))
            continue
        product = PRODUCTS[gate.name]
        phase += [(first + i, factor) for i, factor in enumerate(product.phase) if factor]
        for word, weights in product.rotations:
            sums.append([(first + i, -factor) for i, factor in enumerate(weights) if factor])
            _add_rotation(circuit, word, gate.qubits)
    return circuit, [*sums, phase]


def _add_rotation(circuit: Any, word: str, qubits: tuple[int, ...]) -> None:
    acting = [(qubit, pauli) for qubit, pauli in zip(qubits, word, strict=True) if pauli != "I"]
    if len(acting) == 1:
        qubit, pauli = acting[0]
        getattr(circuit, f"add_parametric_R{pauli}_gate")(qubit, 0.0)
    else:
        codes = ["IXYZ".index(pauli) for _, pauli in acting]
        circuit.add_parametric_multi_Pauli_rotation_gate([qubit for qubit, _ in acting], codes, 0.0)


def _constant(gate: Gate, angles: tuple[float, ...], library: Any) -> Any:
    special = _SPECIAL.get(gate.name)
    if special is not None:
        return getattr(library, special)(*gate.qubits, *angles)
    form = gates.FORMS[gate.name]
    # qulacs' first target is the least significant bit of a matrix' index; ours is the most.
    controls, targets = gate.qubits[: form.num_controls], list(reversed(gate.qubits[form.num_controls :]))
    size = 2 ** len(targets)
    matrix = gates.matrix(gate.name, *angles)[-size:, -size:]
    if form.flip == 0 and not controls:
        return library.DiagonalMatrix(targets, matrix.diagonal())
    dense = library.DenseMatrix(targets, matrix)
    for control in controls:
        dense.add_control_qubit(control, 1)
    return dense


#: Gates that qulacs has kernels for; its Rot… rotate as ours do.
_SPECIAL = {
    "id": "Identity",
    "x": "X",
    "y": "Y",
    "z": "Z",
    "h": "H",
    "s": "S",
    "sdg": "Sdag",
    "t": "T",
    "tdg": "Tdag",
    "sx": "sqrtX",
    "sxdg": "sqrtXdag",
    "rx": "RotX",
    "ry": "RotY",
    "rz": "RotZ",
    "cx": "CNOT",
    "cz": "CZ",
    "swap": "SWAP",
}


def _observable(observable: PauliSum, num_qubits: int, qulacs: Any) -> Any:
    found = qulacs.Observable(num_qubits)
    for term in observable.terms:
        word = " ".join(f"{pauli} {qubit}" for qubit, pauli in zip(term.qubits, term.paulis, strict=True))
        found.add_operator(term.coefficient, word)
    return found


def _basis_change(basis: Basis, num_qubits: int, qulacs: Any) -> Any:
    """The circuit after which measuring Z is measuring `basis`; None where nothing is to be done."""
    if not basis:
        return None
    circuit = qulacs.QuantumCircuit(num_qubits)
    for qubit, pauli in basis:
        if pauli == "Y":
            circuit.add_Sdag_gate(qubit)
        circuit.add_H_gate(qubit)
    return circuit
