"""Aer by its C++ binding: circuits are built once, runs only bind and execute.

The binding is no public interface of Aer. It has been the same from 0.17 to 0.18, and `works` tries
everything that is used of it; where that fails, the engine takes `aer_public` instead.
"""

from __future__ import annotations

import logging
from typing import Any

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
from qfw.model.errors import PlatformFailed, QFwError
from qfw.model.observable import PauliSum
from qfw.model.program import Affine, Gate, IfElse, Measure, Operation, Program, Reset, While, slot

logger = logging.getLogger(__name__)

#: Aer adds the number of the shot to the seed.
_SEED_BITS = 2**62 - 1
#: Of a gate, jump or reset that always acts.
_ALWAYS = -1


class ControllerSimulator:
    """Satisfies `qfw.engines.aer_simulator.Simulator`."""

    def __init__(self) -> None:
        """Imports the binding.

        Raises:
            ImportError, AttributeError: it is not there, or not as expected.
        """
        from qiskit_aer.backends import controller_wrappers

        self._binding = controller_wrappers
        self._controller = controller_wrappers.aer_controller_execute()

    def straight(self, program: Program, reads: Reads, threads: int) -> _Circuit:
        """See Simulator."""
        circuit = _Circuit(self._binding, program.num_qubits, 0, threads)
        circuit.add(tuple(program.gates()))
        width = program.num_qubits
        for k, observable in enumerate(reads.observables):
            words, real = pauli_words(observable, width)
            circuit.native.save_expval(
                circuit.all, "save_expval", words, real, [0.0] * len(real), "list", f"value{k}"
            )
        for k, basis in enumerate(reads.bases):
            circuit.add(tuple(change(basis)))
            circuit.native.save_state(circuit.all, "save_probabilities", "list", f"basis{k}")
            circuit.add(tuple(change_back(basis)))
        if reads.vector:
            circuit.native.save_state(circuit.all, "save_statevector", "list", "vector")
        circuit.reads = reads
        circuit.config.shots = 1
        return circuit

    def read(self, circuit: _Circuit, angles: Floats) -> list[Reading]:
        """See Simulator."""
        config = circuit.config
        circuit.bind(angles)
        # All sets as one circuit with a table of angles: a third of the time of as many circuits.
        config.runtime_parameter_bind_enable = bool(circuit.places) and len(angles) > 1
        reads = circuit.reads
        found = []
        for result in self._execute(circuit):
            data = result["data"]
            found.append(
                Reading(
                    [float(data[f"value{k}"][0]) for k in range(len(reads.observables))],
                    [data[f"basis{k}"][0] for k in range(len(reads.bases))],
                    data["vector"][0] if reads.vector else None,
                )
            )
        return found

    def controlled(self, program: Program, threads: int) -> _Circuit:
        """See Simulator."""
        operations, num_bits = program.operations, program.num_clbits
        if not program.has_measurements:
            # Then every qubit is measured at the end; conditions saw nothing but zeros before.
            operations += tuple(Measure(q, c) for q, c in program.terminal_measurements)
            num_bits = max(num_bits, program.num_qubits)
        circuit = _Circuit(self._binding, program.num_qubits, num_bits, threads)
        circuit.add(operations)
        return circuit

    def sample(self, circuit: _Circuit, angles: Floats, shots: int, seed: int, memory: bool) -> Sampled:
        """See Simulator."""
        circuit.bind(angles.reshape(1, -1))
        config = circuit.config
        config.shots, config.memory, config.seed_simulator = shots, memory, seed & _SEED_BITS
        (result,) = self._execute(circuit)
        data = result["data"]
        # Without any classical bit that was written, Aer says nothing of them.
        counts = {int(key, 16): number for key, number in data.get("counts", {"0x0": shots}).items()}
        return Sampled(counts, [int(key, 16) for key in data["memory"]] if memory else [])

    def _execute(self, circuit: _Circuit) -> list[dict[str, Any]]:
        try:
            # The empty table is where a noise model goes.
            output = self._controller.execute([circuit.native], {}, circuit.config)
        except (RuntimeError, TypeError, ValueError) as error:
            raise PlatformFailed(f"engine aer: the simulator failed: {error}") from error
        if not output["success"]:
            raise failure(str(output["status"]))
        results: list[dict[str, Any]] = output["results"]
        return results


class _Circuit:
    """A circuit of Aer, the places of its columns, and how it is to be run.

    Conditions read classical registers, which go beyond the program's classical bits: the first of the
    others holds the last comparison, the next ones the counters of the loops that are open.
    """

    def __init__(self, binding: Any, num_qubits: int, num_clbits: int, threads: int) -> None:
        self.native = native = binding.AerCircuit()
        native.num_qubits, native.num_memory, native.global_phase_angle = num_qubits, num_clbits, 0.0
        native.set_header({})
        #: All qubits: what jumps and marks act on, so that nothing is moved past them.
        self.all = list(range(num_qubits))
        self.reads = Reads((), (), False)
        #: Of each column: (operation of Aer, angle of it).
        self.places: list[tuple[int, int]] = []
        self.config = config = binding.AerConfig()
        config.method, config.n_qubits, config.memory_slots = "statevector", num_qubits, num_clbits
        config.max_parallel_threads = threads
        # All threads to one state, or what a seed gives would depend on their number.
        config.max_parallel_experiments = config.max_parallel_shots = 1
        config.chop_threshold = 0.0
        config.enable_truncation = False
        self._num_operations = 0
        self._compared = num_clbits
        self._num_registers = num_clbits + 1
        self._num_labels = 0

    def bind(self, angles: Floats) -> None:
        """Sets the columns, shape (sets, columns)."""
        if self.places:
            self.config.parameterizations = [list(zip(self.places, angles.T.tolist(), strict=True))]

    def add(self, operations: tuple[Operation, ...]) -> None:
        """Appends operations."""
        for op in operations:
            match op:
                case Gate():
                    if op.qubits:
                        self._gate(op)
                case Measure():
                    self.native.measure([op.qubit], [op.clbit], [op.clbit])
                    self._num_operations += 1
                case Reset():
                    self.native.reset([op.qubit], _ALWAYS)
                    self._num_operations += 1
                case IfElse():
                    self._if_else(op)
                case While():
                    self._while(op)

    def _gate(self, gate: Gate) -> None:
        for position, angle in enumerate(gate.angles):
            if isinstance(angle, Affine):
                self.places.append((self._num_operations, position))
        angles = [0.0 if isinstance(angle, Affine) else angle for angle in gate.angles]
        self.native.gate(gate.name, list(gate.qubits), angles, [], _ALWAYS, None, gate.name)
        self._num_operations += 1

    def _if_else(self, op: IfElse) -> None:
        then, otherwise, end = (self._label() for _ in range(3))
        self._jump_if(op, then)
        self._jump(otherwise)
        self._mark(then)
        self.add(op.then)
        self._jump(end)
        self._mark(otherwise)
        self.add(op.otherwise)
        self._mark(end)

    def _while(self, op: While) -> None:
        # Trips are counted in binary, in registers of the loop's own: never more than max_trips.
        head, body, counted, end = (self._label() for _ in range(4))
        first = self._num_registers
        self._num_registers += op.max_trips.bit_length()
        counter = range(first, self._num_registers)
        for bit in counter:
            self._compare(0, 1, bit)  # Nothing is not 1: the bit is 0.
        self._mark(head)
        self._compare(sum(1 << bit for bit in counter), op.max_trips << first, self._compared)
        self._jump(end, self._compared)
        self._jump_if(op, body)
        self._jump(end)
        self._mark(body)
        for bit in counter:
            self._compare(1 << bit, 0, bit)  # The bit turns over; a 1 has nothing to carry.
            self._jump(counted, bit)
        self._mark(counted)
        self.add(op.body)
        self._jump(head)
        self._mark(end)
        self._num_registers = first

    def _jump_if(self, op: IfElse | While, label: str) -> None:
        wanted = condition(op.clbits, op.value)
        if wanted is None:
            return
        self._compare(wanted.mask, wanted.value, self._compared)
        self._jump(label, self._compared)

    def _compare(self, mask: int, value: int, register: int) -> None:
        """Sets a register to whether those in `mask` equal `value`."""
        self.native.bfunc(f"0x{mask:X}", f"0x{value:X}", "==", register)
        self._num_operations += 1

    def _jump(self, label: str, register: int = _ALWAYS) -> None:
        self.native.jump(self.all, [label], register, None)
        self._num_operations += 1

    def _mark(self, label: str) -> None:
        self.native.mark(self.all, [label])
        self._num_operations += 1

    def _label(self) -> str:
        self._num_labels += 1
        return f"label{self._num_labels}"


def works(simulator: ControllerSimulator) -> bool:
    """Whether the binding gives known answers to two small programs that use all of it."""
    try:
        return _reads_right(simulator) and _jumps_right(simulator)
    except (QFwError, AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        logger.warning("aer's binding is not as expected: %s", error)
        return False


def _reads_right(simulator: ControllerSimulator) -> bool:
    program = Program(2, 0, 1, (Gate("ry", (0,), (slot(0),)), Gate("cx", (0, 1))))
    reads = Reads((PauliSum.of({"Z0": 1.0, "X0 X1": 2.0}),), (((0, "Y"),),), True)
    angles = np.array([[0.4], [-1.1], [2.5]])
    for rows in (angles, angles[:1]):
        found = simulator.read(simulator.straight(program, reads, 1), rows)
        for (theta,), reading in zip(rows.tolist(), found, strict=True):
            c, s = np.cos(theta / 2), np.sin(theta / 2)
            assert reading.vector is not None
            if not (
                np.allclose(reading.vector, [c, 0, 0, s], atol=1e-12)
                and np.allclose(reading.values, [np.cos(theta) + 2 * np.sin(theta)], atol=1e-12)
                and np.allclose(reading.distributions[0], np.repeat([c * c, s * s], 2) / 2, atol=1e-12)
            ):
                return False
    return True


def _jumps_right(simulator: ControllerSimulator) -> bool:
    # Five trips turn qubit 0 over and reset qubit 1, the bit that ends the loop never being measured.
    body = (Gate("rx", (0,), (slot(0),)), Gate("x", (1,)), Reset(1))
    then = (Gate("x", (1,)),)
    program = Program(
        2, 3, 1, (While((2,), 0, body, 5), Measure(0, 0), IfElse((0, 1), 1, then), Measure(1, 1))
    )
    circuit = simulator.controlled(program, 1)
    return all(
        simulator.sample(circuit, np.array([np.pi]), 3, seed, True) == ({3: 3}, [3, 3, 3])
        for seed in (0, 2**64 - 1)
    )
