"""Programs as Qiskit circuits, and back: the same meaning, the same slots."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from qfw.formats import qiskit_writer
from qfw.formats.qiskit import loads
from qfw.formats.qiskit_rewriting import back, outward
from qfw.formats.qiskit_walk import MAX_TRIPS
from qfw.formats.qiskit_writer import dumps, dumps_labelled, slot_of, slot_parameter
from qfw.model.errors import ProgramError, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import (
    Affine,
    Barrier,
    Delay,
    Gate,
    IfElse,
    Measure,
    Operation,
    Program,
    Reset,
    While,
    slot,
)
from qfw.qpi.program import Program as PublicProgram
from qfw.testing.expected import states
from tests.toolchain.programs import (
    NUM_SLOTS,
    PARAMETERS,
    controlled,
    same_distribution,
    same_state,
    straight,
)

H0 = Gate("h", (0,))


@settings(max_examples=150, deadline=None)
@given(straight())
def test_gates_slots_and_phase_come_back(program: Program) -> None:
    circuit = dumps(program)
    assert [slot_of(p) for p in circuit.parameters] == list(range(NUM_SLOTS))
    again = loads(circuit)
    assert again.num_slots == NUM_SLOTS
    same_state(program, again, phase=True)


@settings(max_examples=60, deadline=None)
@given(straight())
def test_the_circuits_unitary_is_the_programs(program: Program) -> None:
    bound = program.bound(PARAMETERS)
    unitary = Operator(dumps(bound)).data
    assert np.allclose(unitary[:, 0], states(bound, np.zeros((1, 0)))[0], atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(controlled())
def test_control_comes_back(program: Program) -> None:
    again = loads(dumps(program))
    assert (again.num_qubits, again.num_clbits) == (program.num_qubits, program.num_clbits)
    assert again.num_slots == NUM_SLOTS
    same_distribution(program, again)


@settings(max_examples=100, deadline=None)
@given(controlled())
def test_for_passes_loops_keep_their_bounds(program: Program) -> None:
    again = back(outward(program), NUM_SLOTS)
    assert again is not None and again.num_slots == NUM_SLOTS
    same_distribution(program, again)


@pytest.mark.parametrize("name", GATES)
def test_every_gate_is_qiskits_of_the_same_meaning(name: str) -> None:
    spec = GATES[name]
    program = Program(
        max(1, spec.num_qubits),
        0,
        spec.num_angles,
        (
            *(Gate("ry", (q,), (0.3 + q,)) for q in range(spec.num_qubits)),
            Gate(
                name, tuple(range(spec.num_qubits)), tuple(slot(i, 0.5, 0.1) for i in range(spec.num_angles))
            ),
        ),
    )
    circuit = dumps(program)
    assert circuit.num_parameters == spec.num_angles
    bound = circuit.assign_parameters(list(PARAMETERS[: spec.num_angles]) + [0.4] * (spec.num_angles - 3))
    values = np.array([list(PARAMETERS[: spec.num_angles]) + [0.4] * (spec.num_angles - 3)])
    assert np.allclose(Operator(bound).data[:, 0], states(program, values)[0])


def test_parameters_stand_in_the_order_of_the_slots() -> None:
    # As Parameters of a vector or with numbers of their own length, 10 would come before 9.
    program = Program(1, 0, 120, tuple(Gate("rz", (0,), (slot(i),)) for i in reversed(range(120))))
    circuit = dumps(program)
    assert [slot_of(p) for p in circuit.parameters] == list(range(120))
    assert loads(circuit) == program


def test_equal_programs_give_equal_circuits() -> None:
    program = Program(1, 0, 1, (Gate("rz", (0,), (slot(0, 2.0),)),))
    assert dumps(program) == dumps(program)
    assert slot_parameter(3) == slot_parameter(3)


def test_a_slot_that_nothing_uses_stays() -> None:
    program = Program(1, 0, 3, (Gate("rz", (0,), (slot(1),)),))
    again = loads(dumps(program))
    assert again.num_slots == 3
    assert again.operations[0] == program.operations[0]


def test_a_slot_that_stands_twice_in_an_angle_is_added_up() -> None:
    program = Program(1, 0, 1, (Gate("rz", (0,), (Affine(((0, 1.0), (0, 0.5)), 0.25),)),))
    assert loads(dumps(program)).operations == (Gate("rz", (0,), (slot(0, 1.5, 0.25),)),)


def test_an_unbounded_loop_stays_a_loop_and_comes_back_as_it_was() -> None:
    body = (H0, Measure(0, 0))
    program = Program(1, 2, 0, (While((0, 1), 1, body, MAX_TRIPS), Measure(0, 1)))
    circuit = dumps(program)
    assert [instruction.name for instruction in circuit.data] == ["while_loop", "measure"]
    assert loads(circuit) == program


def test_a_bounded_loop_is_unrolled_and_for_passes_labelled() -> None:
    program = Program(1, 1, 0, (While((0,), 0, (Gate("x", (0,)), Measure(0, 0)), 3),))
    assert [instruction.name for instruction in dumps(program).data] == ["if_else"] * 3
    (loop,) = outward(program).data
    assert loop.name == "while_loop"
    assert back(outward(program), 0) == program


@pytest.mark.parametrize("clbits", [(0,), ()], ids=["condition", "always"])
def test_a_loop_too_long_to_unroll_is_refused_by_name(clbits: tuple[int, ...]) -> None:
    program = Program(1, 1, 0, (While(clbits, 0, (H0, Measure(0, 0)), 900_000),))
    with pytest.raises(UnsupportedFeature, match=r"900000 trips.*while_loop"):
        dumps(program)


def test_conditions_that_are_always_or_never_true_need_no_branch() -> None:
    yes, no = (Gate("x", (0,)),), (Gate("y", (0,)),)
    for clbits, value, kept in (((), 0, yes), ((), 1, no), ((0,), 2, no), ((0, 0), 1, no), ((0,), -1, no)):
        program = Program(1, 1, 0, (IfElse(clbits, value, yes, no),))
        assert loads(dumps(program)).operations == kept
        assert loads(dumps(Program(1, 1, 0, (While(clbits, value, yes, 2),)))).operations == (
            (*yes, *yes) if kept is yes else ()
        )


def test_blocks_take_their_own_qubits_only() -> None:
    inner = IfElse((1,), 1, (Gate("x", (2,)),))
    program = Program(4, 3, 0, (Measure(0, 0), IfElse((0,), 1, (inner,)), Reset(3), Barrier((1, 2))))
    circuit = dumps(program)
    branch = circuit.data[1]
    assert [circuit.find_bit(q).index for q in branch.qubits] == [2]
    assert [circuit.find_bit(c).index for c in branch.clbits] == [0, 1]
    assert loads(circuit).operations[:2] == program.operations[:2]


def test_a_label_of_somebody_elses_is_no_bound() -> None:
    program = Program(1, 1, 0, (While((0,), 0, (H0, Measure(0, 0)), 5),))
    for label, trips in (("mine", MAX_TRIPS), ("qfw.max_trips=many", MAX_TRIPS), ("qfw.max_trips=7", 7)):
        circuit = outward(program)
        operation = circuit.data[0].operation.to_mutable()
        operation.label = label
        circuit.data[0] = circuit.data[0].replace(operation=operation)
        (loop,) = loads(circuit).operations
        assert isinstance(loop, While) and loop.max_trips == trips


def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(ProgramError, match=r"outside 0\.\.0"):
        dumps(Program(1, 0, 0, (Gate("h", (1,)),)))


def test_the_public_way() -> None:
    program = PublicProgram(1, 0, 1, (Gate("rx", (0,), (slot(0),)),))
    circuit = program.to_qiskit()
    assert [p.name for p in circuit.parameters] == ["s0000000"]
    assert PublicProgram.from_qiskit(circuit) == program


def test_delays_keep_their_time_and_those_in_dt_are_left_out() -> None:
    delayed = Program(1, 0, 0, (Gate("h", (0,)), Delay(0, 1_500), Gate("h", (0,))))
    assert loads(dumps(delayed)) == delayed
    circuit = QuantumCircuit(1)
    circuit.delay(2.5, 0, unit="us")
    circuit.delay(160, 0, unit="dt")
    circuit.x(0)
    assert loads(circuit).operations == (Delay(0, 2_500), Gate("x", (0,)))


def test_gates_written_many_at_once_are_those_of_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    operations: list[Operation] = []
    for name, spec in GATES.items():
        qubits = tuple(rng.sample(range(5), spec.num_qubits))
        angles = [rng.choice((0.3, 1, slot(1, 2.0, 0.5), slot(0))) for _ in range(spec.num_angles)]
        operations += [Gate(name, qubits, tuple(angles)), Barrier((0, 1))][: rng.randrange(1, 3)]
    program = Program(5, 1, 2, (*operations, Measure(0, 0), IfElse((0,), 1, tuple(operations), ())))
    assert set(qiskit_writer._STANDARD) > {"rx", "cx", "u", "ccx"}
    together = dumps_labelled(program)
    monkeypatch.setattr(qiskit_writer, "_STANDARD", {})
    assert dumps_labelled(program) == together
