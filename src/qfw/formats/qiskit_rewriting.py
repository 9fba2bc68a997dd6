"""Programs that Qiskit's passes rewrite: as circuits, and back with the same slots."""

from __future__ import annotations

from typing import Any

from qiskit.circuit import QuantumCircuit

from qfw.formats import qiskit_gates
from qfw.formats.qiskit_parameters import affine, is_number, number
from qfw.formats.qiskit_walk import Walk
from qfw.formats.qiskit_writer import dumps_labelled, slot_of
from qfw.model.errors import ParameterError
from qfw.model.program import Angle, Program, slot


def outward(program: Program) -> QuantumCircuit:
    """The circuit of a program for passes to rewrite; loops keep their bounds in their labels.

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
    walk = Walk.of(circuit)
    position = {parameter: slot_of(parameter) for parameter in circuit.parameters}
    known: dict[Any, Angle | None] = {}
    angles: list[Angle] = []
    for value in walk.values:
        angle = _angle(value, position, known)
        if angle is None:
            return None
        angles.append(angle)
    operations = qiskit_gates.operations(walk.key, angles)
    return Program(circuit.num_qubits, circuit.num_clbits, num_slots, operations)


def _angle(value: Any, position: dict[Any, int], known: dict[Any, Angle | None]) -> Angle | None:
    if isinstance(value, float):
        return value
    if is_number(value):
        found = number(value)
        if found is None:
            raise ParameterError(f"a pass gave a gate the angle {value}, which is no real number")
        return found
    if value in position:
        return slot(position[value])
    if value not in known:
        known[value] = affine(value, position)
    return known[value]
