"""Circuits that passes rewrote, read back: the same by either way, with the same slots."""

from __future__ import annotations

from math import pi

import pytest

pytest.importorskip("qiskit")

from qiskit.circuit import QuantumCircuit

from qfw.formats import qiskit_rewriting
from qfw.formats.qiskit_writer import slot_parameter
from qfw.model.program import Barrier, Gate, Program, slot

BODY = (
    Gate("ry", (1,), (slot(0, 2.0, 0.5),)),
    Gate("cx", (2, 0)),
    Gate("rz", (0,), (slot(1),)),
    Gate("u", (2,), (0.25, slot(1, -1.0), pi)),
    Gate("ccx", (0, 1, 2)),
)


@pytest.mark.parametrize("ending", [(), (Barrier((0, 1, 2)),)])
def test_what_was_written_is_read_back(ending: tuple[Barrier, ...]) -> None:
    program = Program(3, 0, 3, (*BODY, *ending, Gate("gphase", (), (slot(1, 0.5),))))
    assert qiskit_rewriting.back(qiskit_rewriting.outward(program), 3) == program


def test_a_gate_of_other_parts_is_entered_by_either_way() -> None:
    circuit = qiskit_rewriting.outward(Program(3, 0, 2, BODY))
    circuit.dcx(0, 1)
    ending = (Gate("cx", (0, 1)), Gate("cx", (1, 0)))
    assert qiskit_rewriting.back(circuit, 2) == Program(3, 0, 2, BODY + ending)


@pytest.mark.parametrize("barrier", [False, True])
def test_an_angle_that_is_not_affine_is_none(barrier: bool) -> None:
    circuit = QuantumCircuit(2)
    if barrier:
        circuit.barrier()
    circuit.rx(slot_parameter(0) * slot_parameter(1), 0)
    assert qiskit_rewriting.back(circuit, 2) is None
