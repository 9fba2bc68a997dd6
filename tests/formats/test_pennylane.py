"""Programs as PennyLane's circuits, and back: the same meaning, the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings

from qfw.model.errors import ParameterError, ProgramError, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Program, Reset, While, slot
from qfw.qpi.program import Program as PublicProgram
from qfw.testing.expected import states
from tests.engines.branches import exact
from tests.toolchain.programs import PARAMETERS, controlled, same_state, straight

qml = pytest.importorskip("pennylane")

from qfw.formats.pennylane import loads, with_slots  # noqa: E402
from qfw.formats.pennylane_writer import dumps  # noqa: E402


def tape_of(program: Program, parameters: Any = PARAMETERS) -> tuple[Any, list[Any]]:
    """The tape of a program, with all its wires, and the values of its measurements."""
    with qml.queuing.AnnotatedQueue() as queue:
        qml.Identity(wires=range(program.num_qubits))
        values = dumps(program)(parameters)
    return qml.tape.QuantumScript.from_queue(queue), values


@settings(max_examples=80, deadline=None)
@given(straight())
def test_gates_and_phase_come_back(program: Program) -> None:
    again = loads(tape_of(program)[0])
    same_state(program.bound(PARAMETERS), again, phase=True)


@settings(max_examples=60, deadline=None)
@given(straight(max_qubits=3))
def test_the_circuits_matrix_is_the_programs(program: Program) -> None:
    tape, _ = tape_of(program)
    matrix = qml.matrix(tape, wire_order=range(program.num_qubits))
    wanted = states(program, np.array([PARAMETERS]))[0]
    assert np.allclose(matrix[:, 0], wanted, atol=1e-9)


@pytest.mark.parametrize("name", GATES)
def test_every_gate(name: str) -> None:
    spec = GATES[name]
    angles = (0.7, -1.9, 2.3, 0.4)[: spec.num_angles]
    mixed = tuple(Gate("u", (q,), (0.3 + q, 1.1 * q + 0.2, -0.4)) for q in range(4))
    program = Program(4, 0, 0, (*mixed, Gate(name, (3, 0, 2)[: spec.num_qubits], angles)))
    same_state(program, loads(tape_of(program, ())[0]), phase=True)


@settings(max_examples=80, deadline=None)
@given(controlled())
def test_control_comes_back(program: Program) -> None:
    try:
        tape, values = tape_of(program)
    except UnsupportedFeature:
        assume(False)
    again = loads(tape)
    order: list[Any] = []
    for op in tape.operations:
        if "idMeasure" in type(op).__name__:
            order.append(getattr(op, "meas_uid", None) or op.id)
    # Resets are measurements too: where each classical bit's last one went.
    places = [
        None
        if v is None
        else order.index(getattr(v.measurements[0], "meas_uid", None) or v.measurements[0].id)
        for v in values
    ]
    found: dict[int, float] = {}
    for outcome, probability in exact(again).items():
        bits = sum((outcome >> place & 1) << bit for bit, place in enumerate(places) if place is not None)
        found[bits] = found.get(bits, 0.0) + probability
    wanted = exact(program, PARAMETERS)
    for bits in {*wanted, *found}:
        assert abs(wanted.get(bits, 0.0) - found.get(bits, 0.0)) < 1e-9


def test_a_qnode_is_read_with_its_arguments_and_wires() -> None:
    device = qml.device("default.qubit", wires=["a", "b", "c"])

    @qml.qnode(device)
    def circuit(x: float, weights: Any) -> Any:
        qml.StronglyEntanglingLayers(weights, wires=["a", "b"])
        qml.RX(x, "c")
        qml.ctrl(qml.RZ(0.4, "b"), "c", control_values=[0])
        return qml.state()

    weights = np.random.default_rng(3).uniform(-3, 3, (2, 2, 3))
    program = PublicProgram.from_pennylane(circuit, 0.7, weights)
    assert (program.num_qubits, program.num_slots, program.num_clbits) == (3, 0, 0)
    # The first wire is the most significant on both sides.
    assert np.allclose(states(program, np.zeros((1, 0)))[0], circuit(0.7, weights), atol=1e-10)


def test_numbers_become_slots_and_broadcast_ones_sets() -> None:
    def circuit(x: Any) -> None:
        qml.RX(x, 0)
        qml.CNOT([0, 1])
        qml.RZ(0.25, 1)

    xs = np.array([0.1, 0.2, 0.3])
    program, parameters = PublicProgram.slots_from_pennylane(circuit, xs)
    assert program.num_slots == 2 and parameters.tolist() == [[0.1, 0.25], [0.2, 0.25], [0.3, 0.25]]
    same, _ = with_slots(circuit, 5.0)
    assert same.digest == program.digest
    with pytest.raises(ParameterError, match="broadcast to 3 sets"):
        loads(circuit, xs)


def test_gradients_go_through_a_written_circuit() -> None:
    program = Program(2, 0, 1, (Gate("ry", (0,), (slot(0, 2.0, 0.1),)), Gate("cx", (0, 1))))

    @qml.qnode(qml.device("default.qubit"))
    def circuit(parameters: Any) -> Any:
        dumps(program)(parameters)
        return qml.expval(qml.Z(0))

    parameters = qml.numpy.array([0.3], requires_grad=True)
    assert np.isclose(circuit(parameters), np.cos(0.7))
    assert np.isclose(qml.grad(circuit)(parameters)[0], -2 * np.sin(0.7))


def test_measured_values_come_out_for_a_qnode() -> None:
    program = Program(
        2, 2, 0, (Gate("x", (1,)), Measure(1, 0), IfElse((0,), 1, (Gate("x", (0,)),)), Measure(0, 1))
    )

    @qml.qnode(qml.device("default.qubit"))
    def circuit() -> Any:
        bits = dumps(program)(wires=["left", "right"])
        return qml.probs(op=bits)

    assert np.allclose(circuit(), [0, 0, 0, 1])


H0 = Gate("h", (0,))


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((While((0,), 1, (H0,), 5),), "no loop"),
        ((IfElse((0,), 1, (Measure(0, 0),)),), "a measure of qubit 0 within a branch"),
        ((IfElse((0,), 1, (Reset(0),)),), "a reset of qubit 0 within a branch"),
        ((IfElse((0,), 1, (IfElse((0,), 0, (H0,)),)),), "no branch within a branch"),
    ],
)
def test_what_pennylane_cannot_say_is_refused_by_name(operations: Any, message: str) -> None:
    with pytest.raises(UnsupportedFeature, match=message):
        dumps(Program(1, 1, 0, operations))


def test_time_and_barriers_do_nothing() -> None:
    program = Program(2, 0, 0, (H0, Barrier(()), Delay(0, 100), Gate("cx", (0, 1))))
    same_state(program, loads(tape_of(program, ())[0]))


def test_what_cannot_be_read_is_refused_by_name() -> None:
    class Riddle(qml.operation.Operation):
        num_wires = 1

    def selected() -> None:
        qml.measure(0, postselect=1)

    def broken(x: float) -> None:
        raise ZeroDivisionError("by zero")

    with pytest.raises(UnsupportedFeature, match="Riddle on wires \\[0\\]"):
        loads(lambda: Riddle(wires=0))
    with pytest.raises(UnsupportedFeature, match="postselect=1"):
        loads(selected)
    with pytest.raises(ProgramError, match="ZeroDivisionError: by zero"):
        loads(broken, 1.0)
    with pytest.raises(ProgramError, match="takes a QNode"):
        loads(3)
    with pytest.raises(ProgramError, match="takes no arguments"):
        loads(qml.tape.QuantumScript([]), 1)

    def wide() -> None:
        bits = [qml.measure(wire) for wire in range(11)]
        condition = bits[0]
        for bit in bits[1:]:
            condition = condition & bit
        qml.cond(condition, qml.X)(0)

    with pytest.raises(UnsupportedFeature, match="a condition on 11 measurements"):
        loads(wide)
