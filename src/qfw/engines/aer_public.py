"""Aer by its public interface: the way where the binding of `aer_controller` is not as expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from qfw.engines.aer_simulator import (
    Floats,
    Reading,
    Reads,
    Sampled,
    change,
    change_back,
    condition,
    failure,
    pauli_words,
)
from qfw.model.errors import PlatformFailed, UnsupportedFeature
from qfw.model.program import Affine, Gate, IfElse, Measure, Operation, Program, Reset, While

_SEED_BITS = 2**62 - 1
#: Loops are written out; no program becomes longer by it than this.
MAX_UNROLLED = 20_000


class PublicSimulator:
    """Satisfies `qfw.engines.aer_simulator.Simulator`."""

    def __init__(self) -> None:
        """Imports Qiskit and Aer. Raises ImportError where one is missing."""
        import qiskit
        import qiskit.circuit.classical.expr
        import qiskit_aer
        from qiskit.quantum_info import SparsePauliOp

        self._qiskit, self._expr = qiskit, qiskit.circuit.classical.expr
        self._pauli_sum = SparsePauliOp
        self._backend = qiskit_aer.AerSimulator(
            method="statevector",
            max_parallel_experiments=1,
            max_parallel_shots=1,
            chop_threshold=0.0,
            enable_truncation=False,
        )

    def straight(self, program: Program, reads: Reads, threads: int) -> _Circuit:
        """See Simulator."""
        circuit = _Circuit(self._qiskit.QuantumCircuit(program.num_qubits), [], threads, reads)
        native, width = circuit.native, program.num_qubits
        self._add(native, program.gates(), circuit.parameters, 0)
        for k, observable in enumerate(reads.observables):
            words, real = pauli_words(observable, width)
            native.save_expectation_value(self._pauli_sum(words, real), range(width), label=f"value{k}")
        for k, basis in enumerate(reads.bases):
            self._add(native, change(basis), [], 0)
            native.save_probabilities(range(width), label=f"basis{k}")
            self._add(native, change_back(basis), [], 0)
        if reads.vector:
            native.save_statevector(label="vector")
        return circuit

    def read(self, circuit: _Circuit, angles: Floats) -> list[Reading]:
        """See Simulator."""
        result = self._execute(circuit, angles, shots=1)
        reads = circuit.reads
        found = []
        for k in range(len(result.results)):
            data = result.data(k)
            found.append(
                Reading(
                    [float(data[f"value{i}"]) for i in range(len(reads.observables))],
                    [np.asarray(data[f"basis{i}"]) for i in range(len(reads.bases))],
                    np.asarray(data["vector"]) if reads.vector else None,
                )
            )
        return found

    def controlled(self, program: Program, threads: int) -> _Circuit:
        """See Simulator.

        Raises:
            UnsupportedFeature: loops are too long to be written out.
        """
        length = _unrolled(program.operations)
        if length > MAX_UNROLLED:
            raise UnsupportedFeature(
                f"the program's loops may run {length} operations; at most {MAX_UNROLLED} with the release of "
                "qiskit-aer that is installed. Lower their max_trips, or install qiskit-aer 0.17 or 0.18"
            )
        operations, num_bits = program.operations, program.num_clbits
        if not program.has_measurements:
            operations += tuple(Measure(q, q) for q in range(program.num_qubits))
            num_bits = max(num_bits, program.num_qubits)
        native = self._qiskit.QuantumCircuit(program.num_qubits, num_bits)
        circuit = _Circuit(native, [], threads, Reads((), (), False))
        self._add(native, operations, circuit.parameters, 0)
        return circuit

    def sample(self, circuit: _Circuit, angles: Floats, shots: int, seed: int, memory: bool) -> Sampled:
        """See Simulator."""
        result = self._execute(
            circuit,
            angles.reshape(1, -1),
            shots=shots,
            memory=memory,
            seed_simulator=seed & _SEED_BITS,
        )
        data = result.results[0].data
        counts = {int(key, 16): number for key, number in data.counts.items()}
        return Sampled(counts, [int(key, 16) for key in data.memory] if memory else [])

    def _execute(self, circuit: _Circuit, angles: Floats, **options: Any) -> Any:
        circuits = [circuit.native]
        if circuit.parameters:
            # Bound here: Aer's own parameter_binds leave the angles of controlled rotations at 0. A block that
            # never runs was left out, and its angles with it.
            present = circuit.native.parameters
            columns = [k for k, parameter in enumerate(circuit.parameters) if parameter in present]
            circuits = [
                circuit.native.assign_parameters({circuit.parameters[k]: row[k] for k in columns})
                for row in angles.tolist()
            ]
        try:
            job = self._backend.run(circuits, max_parallel_threads=circuit.threads, **options)
            result = job.result()
        except MemoryError:
            raise
        except Exception as error:
            raise PlatformFailed(f"engine aer: the simulator failed: {error}") from error
        if not result.success:
            raise failure(str(result.status))
        return result

    def _add(self, native: Any, operations: Iterable[Operation], parameters: list[Any], column: int) -> int:
        """Appends operations whose first column is `column`; returns the column after them.

        A loop's body is appended several times, with the same columns.
        """
        for op in operations:
            match op:
                case Gate():
                    if not op.qubits:
                        continue
                    angles: list[Any] = []
                    for angle in op.angles:
                        if isinstance(angle, Affine):
                            if column == len(parameters):
                                parameters.append(self._qiskit.circuit.Parameter(f"a{column}"))
                            angles.append(parameters[column])
                            column += 1
                        else:
                            angles.append(angle)
                    getattr(native, op.name)(*angles, *op.qubits)
                case Measure():
                    native.measure(op.qubit, op.clbit)
                case Reset():
                    native.reset(op.qubit)
                case IfElse():
                    column = self._if_else(native, op, parameters, column)
                case While():
                    # Once the condition fails, no further trip changes the bits: a chain of ifs.
                    trip = IfElse(op.clbits, op.value, op.body)
                    after = column
                    for _ in range(op.max_trips):
                        after = self._if_else(native, trip, parameters, column)
                    column = after
        return column

    def _if_else(self, native: Any, op: IfElse, parameters: list[Any], column: int) -> int:
        then, otherwise = native.copy_empty_like(), native.copy_empty_like()
        column = self._add(then, op.then, parameters, column)
        column = self._add(otherwise, op.otherwise, parameters, column)
        wanted = condition(op.clbits, op.value)
        if wanted is None:
            native.compose(otherwise, inplace=True)
        elif not wanted.mask:
            native.compose(then, inplace=True)
        else:
            expr, test = self._expr, None
            for clbit in range(wanted.mask.bit_length()):
                if wanted.mask >> clbit & 1:
                    bit = expr.lift(native.clbits[clbit])
                    bit = bit if wanted.value >> clbit & 1 else expr.logic_not(bit)
                    test = bit if test is None else expr.logic_and(test, bit)
            native.if_else(test, then, otherwise, native.qubits, native.clbits)
        return column


class _Circuit(NamedTuple):
    native: Any
    #: Of each column.
    parameters: list[Any]
    threads: int
    reads: Reads


def _unrolled(operations: tuple[Operation, ...]) -> int:
    total = 0
    for op in operations:
        if isinstance(op, IfElse):
            total += 1 + _unrolled(op.then) + _unrolled(op.otherwise)
        elif isinstance(op, While):
            total += op.max_trips * (1 + _unrolled(op.body))
        else:
            total += 1
    return total
