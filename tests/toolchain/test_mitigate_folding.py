"""Folding does the same with more gates, reaches the factors that it says, and is not undone behind."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfw.model.gates import GATES
from qfw.model.native import check_native
from qfw.model.program import Affine, Barrier, Delay, Gate, Measure, Program, slot
from qfw.platforms.twin.models import MODELS, model
from qfw.qpm.tool import Target
from qfw.toolchain.mitigate_folding import everything, local
from qfw.toolchain.mitigate_inverses import Inverses
from qfw.toolchain.reduce import ReduceTool
from qfw.toolchain.transpile import TranspileTool
from tests.toolchain.mitigating import SIMULATOR, TWIN, chain, lowered, matrix, same_up_to_phase
from tests.toolchain.programs import NUM_SLOTS, PARAMETERS, straight

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
ANY = Inverses(None)


def wide(program: Program) -> int:
    return sum(len(gate.qubits) > 1 for gate in program.gates())


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("native", [None, *(model(name).profile.native_gates for name in MODELS)])
def test_every_gate_is_undone(name: str, native: tuple[str, ...] | None) -> None:
    spec = GATES[name]
    angles = tuple(Affine(((k % NUM_SLOTS, 0.7 + k),), 0.3 * k - 0.5) for k in range(spec.num_angles))
    gate = Gate(name, tuple(reversed(range(spec.num_qubits))), angles)
    if native is not None and name not in native:
        # Of programs in native gates only these are undone.
        return
    undone = Inverses(None if native is None else frozenset(native)).of(gate)
    program = Program(3, 0, NUM_SLOTS, (gate, *undone))
    program.check()
    assert same_up_to_phase(matrix(program, PARAMETERS), np.eye(8))
    assert native is None or {g.name for g in undone} <= {*native, "gphase"}
    assert sum(len(g.qubits) > 1 for g in undone) == (spec.num_qubits > 1)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
@given(
    program=straight(max_qubits=3, max_gates=8, measured=True), factor=st.sampled_from([1, 1.7, 2, 3, 4.4, 5])
)
def test_what_is_folded_does_the_same(program: Program, factor: float) -> None:
    for fold in (local, everything):
        folded = fold(program, factor, ANY)
        folded.program.check()
        assert folded.program.num_slots == program.num_slots
        assert sorted(map(repr, _measured(folded.program))) == sorted(map(repr, _measured(program)))
        assert not folded.program.has_control
        assert same_up_to_phase(matrix(folded.program, PARAMETERS), matrix(program, PARAMETERS))


def _measured(program: Program) -> list[Measure]:
    return [op for op in program.operations if isinstance(op, Measure)]


@pytest.mark.parametrize("fold", [local, everything])
@pytest.mark.parametrize("factor", [1.0, 1.3, 2.0, 2.5, 3.0, 5.0, 7.1])
def test_factors_are_reached_as_nearly_as_gates_allow(fold, factor: float) -> None:
    program = Program(4, 0, 0, tuple(Gate("cx", (q % 3, q % 3 + 1)) for q in range(10)))
    found = fold(program, factor, ANY)
    assert found.factor == wide(found.program) / wide(program)
    # A pair of gates is a fifth.
    assert abs(found.factor - factor) <= 0.1 + 1e-12
    if factor == 1:
        assert found.program.operations == program.operations


def test_a_part_is_spread_evenly() -> None:
    program = Program(2, 0, 0, (Gate("cz", (0, 1)), Gate("sx", (0,))) * 8)
    gates = [gate.name for gate in local(program, 1.5, ANY).program.gates()]
    # Two of eight are folded: one of each four.
    assert "".join({"cz": "c", "sx": "s"}[name] for name in gates) == "cscscscccs" * 2


def test_a_part_of_the_whole_is_its_end() -> None:
    program = Program(2, 2, 0, (Gate("cx", (0, 1)), Gate("h", (0,)), Gate("cz", (0, 1)), Measure(0, 1)))
    found = everything(program, 2.0, ANY)
    names = [op.name for op in found.program.operations if isinstance(op, Gate)]
    assert names == ["cx", "h", "cz", "cz", "cz"] and found.program.operations[-1] == Measure(0, 1)


@pytest.mark.parametrize("fold", [local, everything])
def test_tools_behind_do_not_undo_it(fold) -> None:
    program = chain(3, 4, 2)
    folded = fold(program, 3, ANY).program
    for target in (SIMULATOR, TWIN):
        reduced = ReduceTool().apply(folded, target, {}).program
        assert wide(reduced) == 3 * wide(program)
    once = TranspileTool().apply(program, TWIN, {"level": 3}).program
    thrice = TranspileTool().apply(folded, TWIN, {"level": 3}).program
    # On a line nothing is routed.
    assert wide(once) == wide(program) and wide(thrice) == 3 * wide(once)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("fold", [local, everything])
def test_native_programs_stay_native(fold, name: str) -> None:
    target = Target(*model(name))
    program, _ = lowered(chain(1, 4, 1), (), target)
    inverses = Inverses(frozenset(target.profile.native_gates))
    found = fold(program, 3, inverses).program
    check_native(found, target.profile)
    assert wide(found) == 3 * wide(program)
    # No more pulses than three times as many either: nothing is undone by a detour.
    if fold is everything:
        before, after = (Counter(gate.name for gate in each.gates()) for each in (program, found))
        assert all(after[name] == 3 * before[name] for name in before if name != "rz")


def test_waits_and_barriers_stay() -> None:
    body = (Gate("cx", (0, 1)), Delay(1, 500), Barrier((0,)), Gate("rx", (1,), (slot(0),)))
    found = everything(Program(2, 0, 1, body), 3, ANY).program.operations
    back = (Gate("rx", (1,), (slot(0, -1.0, -0.0),)), Barrier((0,)), Delay(1, 500), Gate("cx", (0, 1)))
    assert found == (*body, Barrier((0, 1)), *back, Barrier((0, 1)), *body)


def test_without_gates_there_is_nothing_to_fold() -> None:
    single, nothing = Program(1, 0, 0, (Gate("x", (0,)),)), Program(1, 1, 0, (Measure(0, 0),))
    assert local(single, 3, ANY) == (single, 1.0) and everything(single, 3, ANY).factor == 3
    assert everything(nothing, 3, ANY) == (nothing, 1.0)
