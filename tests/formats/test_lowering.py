from __future__ import annotations

import numpy as np
import pytest
from format_programs import gate_programs
from format_yardstick import unitary
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.formats.lowering import lower
from qfw.formats.recipes import RECIPES, applied
from qfw.model.errors import UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Affine, Barrier, Gate, IfElse, Measure, Program, Reset, While, slot

QULACS = frozenset(
    {"x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "rx", "ry", "rz", "cx", "cz", "swap"}
)
TARGETS = {
    "rotations": frozenset({"rx", "ry", "rz", "cx"}),
    "qulacs": QULACS,
    "qulacs with ccx": QULACS | {"ccx"},
    "superconducting": frozenset({"rz", "sx", "x", "cx"}),
    "superconducting cz": frozenset({"rz", "sx", "x", "cz"}),
    "superconducting ecr": frozenset({"rz", "sx", "x", "ecr"}),
    "ions": frozenset({"rz", "ry", "rxx"}),
    "ions rzz": frozenset({"rz", "rx", "rzz"}),
    "u and cx": frozenset({"u", "cx"}),
    "h, p and cx": frozenset({"h", "p", "cx"}),
}
ANGLES = (0.3, -1.1, 2.7, 0.9)


@pytest.mark.parametrize(("name", "index"), [(n, i) for n, rs in RECIPES.items() for i in range(len(rs))])
def test_recipe_equals_its_gate_with_phase(name: str, index: int) -> None:
    spec = GATES[name]
    qubits, angles = tuple(range(spec.num_qubits)), ANGLES[: spec.num_angles]
    whole = Program(spec.num_qubits, 0, 0, (Gate(name, qubits, angles),))
    made = Program(spec.num_qubits, 0, 0, tuple(applied(RECIPES[name][index], qubits, angles)))
    assert np.allclose(unitary(whole), unitary(made), atol=1e-12)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", GATES)
def test_every_gate_reaches_every_target(name: str, target: str) -> None:
    spec = GATES[name]
    qubits = tuple(reversed(range(spec.num_qubits)))
    angles = tuple(slot(i, 1.5, 0.25) for i in range(spec.num_angles))
    program = Program(3, 0, spec.num_angles, (Gate(name, qubits, angles),))
    native = TARGETS[target] | {"gphase"}
    lowered = lower(program, native)
    assert {gate.name for gate in lowered.gates()} <= native
    values = ANGLES[: spec.num_angles]
    assert np.allclose(unitary(program.bound(values)), unitary(lowered.bound(values)), atol=1e-12)
    bare = lower(program, TARGETS[target])
    assert [g for g in lowered.operations if g.name != "gphase"] == list(bare.operations)


@given(gate_programs(slots=True), st.sampled_from(sorted(TARGETS)))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_random_programs_are_lowered_exactly(program: Program, target: str) -> None:
    lowered = lower(program, TARGETS[target] | {"gphase"})
    values = np.linspace(-2, 3, program.num_slots)
    assert np.allclose(unitary(program.bound(values)), unitary(lowered.bound(values)), atol=1e-9)


def test_native_program_is_the_same_object() -> None:
    program = Program(2, 1, 1, (Gate("rx", (0,), (slot(0),)), Barrier((0, 1)), Measure(0, 0)))
    assert lower(program, TARGETS["rotations"]) is program


def test_cheapest_recipe_uses_no_entangling_gate_twice() -> None:
    names = [g.name for g in lower(Program(2, 0, 0, (Gate("cx", (0, 1)),)), TARGETS["ions"]).gates()]
    assert names.count("rxx") == 1
    names = [g.name for g in lower(Program(1, 0, 0, (Gate("h", (0,)),)), TARGETS["superconducting"]).gates()]
    assert names == ["rz", "sx", "rz"]


def test_everything_else_stays_and_blocks_are_entered() -> None:
    inner = (Gate("h", (1,)), Measure(1, 0))
    branch, loop = IfElse((0,), 1, inner, (Gate("s", (0,)),)), While((0,), 1, inner, 5)
    program = Program(2, 1, 0, (Reset(0), branch, loop, Barrier((0,))))
    lowered = lower(program, frozenset({"u", "cx"}))
    reset, branch, loop, barrier = lowered.operations
    assert (reset, barrier) == (Reset(0), Barrier((0,)))
    assert isinstance(branch, IfElse) and isinstance(loop, While)
    assert [getattr(op, "name", "measure") for op in branch.then] == ["u", "measure"]
    assert [getattr(op, "name", "") for op in branch.otherwise] == ["u"]
    assert loop.max_trips == 5 and loop.body == branch.then


def test_angles_stay_affine() -> None:
    program = Program(1, 0, 2, (Gate("p", (0,), (Affine(((0, 2.0), (1, -1.0)), 0.5),)),))
    (gate,) = lower(program, frozenset({"rz"})).operations
    assert gate == Gate("rz", (0,), (Affine(((0, 2.0), (1, -1.0)), 0.5),))


def test_unreachable_gate_is_named_with_the_native_set() -> None:
    with pytest.raises(UnsupportedFeature, match=r"gate cx cannot be made of the native gates rx, rz"):
        lower(Program(2, 0, 0, (Gate("h", (0,)), Gate("cx", (0, 1)))), frozenset({"rx", "rz"}))
