"""Programs that Qiskit's passes rewrite: as circuits, and back with the same slots."""

from __future__ import annotations

from typing import Any, TypeGuard

from qiskit.circuit import Parameter, QuantumCircuit

from qfw.formats import qiskit_gates
from qfw.formats.qiskit_gates import ARITIES, DIRECT
from qfw.formats.qiskit_parameters import affine, is_number, number
from qfw.formats.qiskit_walk import MAX_OPERATIONS, Walk
from qfw.formats.qiskit_writer import dumps_labelled, slot_of
from qfw.model.errors import ParameterError
from qfw.model.program import Angle, Gate, Operation, Program, slot


def outward(program: Program) -> QuantumCircuit:
    """The circuit of a program for passes to rewrite; loops keep their bounds in their labels.

    Of slots in global phases passes make expressions whose size doubles: see `symbolic_phases`.

    Raises:
        UnsupportedFeature: see `qiskit_writer.dumps_labelled`.
    """
    return dumps_labelled(program)


def back(circuit: QuantumCircuit, num_slots: int) -> Program | None:
    """The program of such a circuit after passes, slot i being what slot i was.

    None where an angle is not affine in the slots any more.

    Raises:
        UnsupportedFeature, TooLarge: the passes made what a Program cannot say.
        ParameterError: an angle is no finite real number.
    """
    position = {parameter: slot_of(parameter) for parameter in circuit.parameters}
    known: dict[Any, Angle | None] = {}
    operations = _gates(circuit, position, known)
    if operations is None:
        walk = Walk.of(circuit)
        angles = [_angle(value, position, known) for value in walk.values]
        if not _all_affine(angles):
            return None
        operations = qiskit_gates.operations(walk.key, angles)
    return Program(circuit.num_qubits, circuit.num_clbits, num_slots, operations)


def _gates(
    circuit: QuantumCircuit, position: dict[Any, int], known: dict[Any, Angle | None]
) -> tuple[Operation, ...] | None:
    """The operations of a circuit that has gates of our own only, as most have: sooner than by a Walk.

    None where it has others, or an angle that is not affine.
    """
    index = {qubit: place for place, qubit in enumerate(circuit.qubits)}.__getitem__
    found: list[Operation] = []
    if len(circuit.data) > MAX_OPERATIONS:
        return None
    for instruction in circuit.data:
        name = instruction.name
        if name not in DIRECT or not instruction.is_standard_gate():
            return None
        qubits = tuple(map(index, instruction.qubits))
        if not ARITIES[name][1]:
            found.append(Gate(name, qubits))
            continue
        given = instruction.params
        if len(given) == 1 and type(given[0]) is float:
            found.append(Gate(name, qubits, (given[0],)))
            continue
        angles = [_angle(value, position, known) for value in given]
        if not _all_affine(angles):
            return None
        found.append(Gate(name, qubits, tuple(angles)))
    phase = circuit.global_phase
    if not is_number(phase) or phase != 0:
        angle = _angle(phase, position, known)
        if angle is None:
            return None
        found.append(Gate("gphase", (), (angle,)))
    return tuple(found)


def _all_affine(angles: list[Angle | None]) -> TypeGuard[list[Angle]]:
    return None not in angles


def _angle(value: Any, position: dict[Any, int], known: dict[Any, Angle | None]) -> Angle | None:
    if isinstance(value, float):
        return value
    if isinstance(value, Parameter):
        return slot(position[value])
    if value in known:
        return known[value]
    if is_number(value):
        found = number(value)
        if found is None:
            raise ParameterError(f"a pass gave a gate the angle {value}, which is no real number")
        return found
    made = known[value] = affine(value, position)
    return made
