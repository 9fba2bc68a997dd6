"""Comparing programs: against Qiskit's operators, and by changes that each must be found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.errors import TooLarge
from qfw.model.program import Gate, IfElse, Measure, Program, Reset, While, slot
from qfw.numerics import branches
from qfw.numerics.equivalence import (
    compare,
    pair,
    random_sets,
    samples_agree,
    stimuli_agree,
    unitaries_agree,
)
from qfw.numerics.states import evolve, ground
from qfw.testing.expected import states
from tests.engines.branches import exact
from tests.toolchain.programs import PARAMETERS, controlled, straight

H0 = Gate("h", (0,))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(program=straight(max_qubits=5))
def test_states_are_those_of_the_reference_engine(program: Program) -> None:
    found = ground(program.num_qubits)
    gates = [op for op in program.bound(PARAMETERS).operations if isinstance(op, Gate)]
    evolve(found, gates, program.num_qubits)
    assert np.allclose(found[:, 0], states(program, np.array([PARAMETERS]))[0], atol=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(program=controlled())
def test_distributions_are_those_of_going_down_all_branches(program: Program) -> None:
    wanted, found = exact(program, PARAMETERS), branches.distribution(program.bound(PARAMETERS))
    for outcome in {*wanted, *found}:
        assert abs(wanted.get(outcome, 0.0) - found.get(outcome, 0.0)) < 1e-9


@settings(max_examples=40, deadline=None, derandomize=True)
@given(program=straight(max_qubits=3), data=st.data())
def test_a_program_equals_itself_moved_and_no_program_with_a_gate_more(
    program: Program, data: st.DataObject
) -> None:
    start = data.draw(st.permutations(range(5)))[: program.num_qubits]
    moved = tuple(
        Gate(op.name, tuple(start[q] for q in op.qubits), op.angles)
        for op in program.operations
        if isinstance(op, Gate)
    )
    # The first qubit goes elsewhere at the end.
    place = next(q for q in range(5) if q not in start)
    layout = (place, *start[1:])
    wide = Program(
        5, 0, program.num_slots, (*moved, Gate("swap", (start[0], place)), Gate("gphase", (), (0.4,)))
    )
    assert compare(program, wide, layout).equal
    more = Program(5, 0, program.num_slots, (*wide.operations, Gate("u", (place,), (0.3, 0.2, 0.1))))
    assert not compare(program, more, layout).equal


CHANGES = {
    "angle": (Gate("ry", (0,), (slot(0),)), Gate("ry", (0,), (slot(0, 1.001),))),
    "slot": (Gate("ry", (0,), (slot(0),)), Gate("ry", (0,), (slot(1),))),
    "order": (Gate("cx", (0, 1)), Gate("cx", (1, 0))),
    "sign": (Gate("rz", (0,), (0.2,)), Gate("rz", (0,), (-0.2,))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_is_said(change: str) -> None:
    before, behind = CHANGES[change]
    around = (H0, Gate("ry", (1,), (0.4,)))
    one, two = (Program(2, 0, 2, (*around, gate, H0)) for gate in (before, behind))
    assert compare(one, one, None).equal
    verdict = compare(one, two, None)
    assert not verdict.equal and "the amplitude of |" in verdict.text and "on qubits [1, 0]" in verdict.text


def test_that_qubits_begin_in_zero_may_be_used_and_is_told() -> None:
    verdict = compare(Program(2, 0, 0, (Gate("cx", (0, 1)), H0)), Program(2, 0, 0, (H0,)), None)
    assert verdict.equal and "on other inputs they differ" in verdict.text
    both = pair(Program(2, 0, 0, (Gate("cx", (0, 1)), H0)), Program(2, 0, 0, (H0,)), None)
    assert not unitaries_agree(both, random_sets(0, 1, np.random.default_rng(0)), 1e-6).equal
    assert not stimuli_agree(
        both, random_sets(0, 1, np.random.default_rng(0)), 1e-6, 4, np.random.default_rng(1)
    ).equal


def test_a_spare_qubit_that_is_left_in_one_is_named() -> None:
    verdict = compare(Program(1, 0, 0, (H0,)), Program(7, 0, 0, (H0, Gate("x", (5,)))), (0,))
    assert not verdict.equal and "spare qubits [5] in |1>" in verdict.text


def test_relative_phases_of_inputs_count() -> None:
    assert (
        "differ"
        in compare(Program(1, 0, 0, (Gate("z", (0,)),)), Program(1, 0, 0, (Gate("id", (0,)),)), None).text
    )


def test_measurements_swapped_are_found() -> None:
    gates = (H0, Gate("ry", (1,), (0.4,)))
    one = Program(2, 2, 0, (*gates, Measure(0, 0), Measure(1, 1)))
    two = Program(2, 2, 0, (*gates, Measure(0, 1), Measure(1, 0)))
    assert "outcome" in compare(one, two, None).text and not compare(one, two, None).equal
    assert not compare(one, Program(2, 2, 0, gates), None).equal
    assert not compare(one, Program(2, 0, 1, gates), None).equal
    # What measures nothing answers all its qubits, in order.
    assert compare(Program(2, 0, 0, gates), one, None).equal
    assert not compare(Program(2, 0, 0, gates), two, None).equal


def test_distribution_only_lets_phases_go() -> None:
    one, two = (Program(1, 1, 0, (H0, *extra, Measure(0, 0))) for extra in ((), (Gate("rz", (0,), (0.7,)),)))
    assert compare(one, two, None, "distribution").equal and not compare(one, two, None).equal


def test_control() -> None:
    def program(angle: float) -> Program:
        then = (Gate("ry", (1,), (angle,)),)
        ops = (H0, Measure(0, 0), IfElse((0,), 1, then), Reset(0), Measure(1, 1))
        return Program(2, 2, 0, ops)

    assert compare(program(0.5), program(0.5), None).equal
    verdict = compare(program(0.5), program(0.6), None)
    assert not verdict.equal and "outcome 01 had probability" in verdict.text


def test_too_many_courses_are_sampled() -> None:
    def coins(angle: float) -> Program:
        ops = [op for i in range(13) for op in (H0, Measure(0, i))]
        return Program(1, 14, 0, (*ops, Reset(0), Gate("ry", (0,), (angle,)), Measure(0, 13)))

    with pytest.raises(TooLarge):
        branches.distribution(coins(0.3))
    both = pair(coins(0.3), coins(0.3), None)
    rng = np.random.default_rng(3)
    verdict = samples_agree(both, random_sets(0, 1, rng), rng)
    assert verdict.equal and "a false alarm has a chance of 1e-09" in verdict.text
    both = pair(coins(0.3), coins(2.9), None)
    assert not samples_agree(both, random_sets(0, 1, rng), rng).equal


def test_a_loop_of_a_million_trips_ends() -> None:
    body = (H0, Measure(0, 0))
    found = branches.distribution(Program(1, 1, 0, (While((0,), 0, body, 10**6),)))
    assert abs(found[1] - 1) < 1e-9


def test_too_wide_is_refused() -> None:
    chain = Program(30, 0, 0, tuple(Gate("cx", (q, q + 1)) for q in range(29)))
    with pytest.raises(TooLarge, match="method diagrams"):
        compare(chain, chain, None)
