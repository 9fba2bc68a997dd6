"""Tool `reduce`: fewer gates, the same state with its phase, the same distribution, the same slots."""

from __future__ import annotations

from math import pi

import pytest
from hypothesis import HealthCheck, given, settings

from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import OptionError
from qfw.model.gates import GATES
from qfw.model.native import check_native
from qfw.model.program import (
    Affine,
    Angle,
    Barrier,
    Gate,
    IfElse,
    Measure,
    Operation,
    Program,
    Reset,
    While,
    slot,
)
from qfw.platforms.twin.models import model
from qfw.qpm import registry
from qfw.qpm.tool import Target, Tool
from qfw.toolchain.reduce import WINDOW, ReduceTool
from qfw.toolchain.transpile import TranspileTool
from tests.toolchain.programs import NUM_SLOTS, controlled, same_distribution, same_state, straight

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
ANY = Target(
    DeviceProfile("sim", DeviceKind.SIMULATOR, "reference", 30, tuple(GATES), ("counts",), 1, control=True)
)
TWIN = Target(*model("heavy-hex-20"))
TOOL = ReduceTool()


def reduced(*operations: Operation, target: Target = ANY, width: int = 3) -> tuple[Operation, ...]:
    program = Program(width, 2, NUM_SLOTS, operations)
    found, layout, *_ = TOOL.apply(program, target, {})
    assert layout is None
    found.check()
    if all(isinstance(op, Gate | Barrier) for op in operations):
        same_state(program, found, phase=True)
    else:
        same_distribution(program, found)
    return found.operations


def on(name: str, *qubits: int, at: Angle | None = None) -> Gate:
    return Gate(name, qubits, () if at is None else (at,))


@settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
@given(program=straight(max_qubits=3, max_gates=20))
def test_the_state_stays_with_its_phase(program: Program) -> None:
    for target in (ANY, TWIN):
        found = TOOL.apply(program, target, {}).program
        found.check()
        assert found.num_slots == program.num_slots
        assert sum(bool(g.qubits) for g in found.gates()) <= sum(bool(g.qubits) for g in program.gates())
        same_state(program, found, phase=True)
        assert TOOL.apply(found, target, {}).program == found


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(program=controlled())
def test_the_distribution_stays_under_control(program: Program) -> None:
    found = TOOL.apply(program, ANY, {}).program
    found.check()
    assert found.has_measurements
    same_distribution(program, found)


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(program=straight())
def test_what_is_native_stays_native(program: Program) -> None:
    lowered, layout, *_ = TranspileTool().apply(program, TWIN, {"level": 0})
    found = TOOL.apply(lowered, TWIN, {}).program
    check_native(found, TWIN.profile)
    same_state(program, found, layout)


@pytest.mark.parametrize(
    "pair",
    [
        (on("h", 0), on("h", 0)),
        (on("s", 0), on("sdg", 0)),
        (on("cx", 0, 1), on("cx", 0, 1)),
        (on("cz", 0, 1), on("cz", 1, 0)),
        (on("ccx", 0, 1, 2), on("ccx", 1, 0, 2)),
        (on("rz", 0, at=slot(1, 2.0, 0.5)), on("rz", 0, at=slot(1, -2.0, -0.5))),
        (on("rzz", 0, 1, at=0.3), on("rzz", 1, 0, at=-0.3)),
        (on("id", 0), on("rx", 1, at=0.0)),
    ],
)
def test_pairs_that_go(pair: tuple[Gate, Gate]) -> None:
    assert reduced(*pair) == ()


@pytest.mark.parametrize(
    "pair",
    [
        (on("cx", 0, 1), on("cx", 1, 0)),
        (on("iswap", 0, 1), on("iswap", 0, 1)),
        (on("rz", 0, at=0.3), on("rx", 0, at=-0.3)),
        (on("crx", 0, 1, at=0.3), on("crx", 1, 0, at=-0.3)),
        (on("crz", 0, 1, at=2 * pi), on("h", 0)),
        (on("rz", 0, at=slot(0)), on("x", 0)),
    ],
)
def test_pairs_that_stay(pair: tuple[Gate, Gate]) -> None:
    assert reduced(*pair) == pair


def test_rotations_of_one_axis_become_one() -> None:
    (gate,) = reduced(on("rz", 0, at=slot(0)), on("rz", 0, at=slot(1, 2.0, 0.5)))
    assert gate == on("rz", 0, at=Affine(((1, 2.0), (0, 1.0)), 0.5)) or gate.angles[0].offset == 0.5
    assert [g.name for g in reduced(on("t", 0), on("t", 0))] == ["s"]
    assert [g.name for g in reduced(on("sx", 0), on("sx", 0))] == ["x"]
    assert [g.name for g in reduced(on("p", 0, at=0.3), on("s", 0))] == ["p"]
    assert [g.name for g in reduced(on("x", 0), on("rx", 0, at=slot(0)))] == ["rx", "gphase"]


def test_partners_are_found_across_what_commutes_and_only_there() -> None:
    cx = on("cx", 0, 1)
    assert reduced(cx, on("rz", 0, at=0.3), on("x", 1), on("h", 2), cx) == (
        on("rz", 0, at=0.3),
        on("x", 1),
        on("h", 2),
    )
    for between in (on("h", 0), on("rx", 0, at=0.3), on("z", 1), on("cx", 1, 2), Barrier((0,)), Barrier(())):
        assert reduced(cx, between, cx) == (cx, between, cx)


def test_what_is_between_may_go_first() -> None:
    inner = (on("cx", 0, 1), on("h", 1), on("h", 1), on("cx", 0, 1))
    assert reduced(on("x", 0), *inner, on("x", 0)) == ()


def test_nothing_moves_across_measurement_reset_or_block() -> None:
    x = on("x", 0)
    for between in (
        Measure(0, 0),
        Reset(0),
        IfElse((0,), 0, (on("h", 0),)),
        While((0,), 1, (on("z", 0),), 3),
    ):
        kept = reduced(x, between, x, Measure(0, 1))
        assert kept == (x, between, x, Measure(0, 1))
    # On another qubit they are in nobody's way.
    assert reduced(x, Measure(1, 0), Reset(1), x) == (Measure(1, 0), Reset(1))


def test_blocks_are_reduced_for_themselves() -> None:
    h, t = on("h", 0), on("t", 0)
    found = reduced(h, Measure(0, 0), IfElse((0,), 1, (h, h), (t, t)), While((0,), 1, (h, t, h, h), 3))
    assert found[2:] == (IfElse((0,), 1, (), (on("s", 0),)), While((0,), 1, (h, t), 3))


def test_no_gate_comes_to_be_that_a_device_lacks() -> None:
    # sx is native there, sxdg is not; x is, but it may be out of order where sx is not.
    pair = (on("sx", 0), on("x", 0))
    assert reduced(*pair, target=TWIN) == pair
    assert reduced(on("t", 0), on("t", 0), target=TWIN) == (on("s", 0),)


def test_large_constants_are_not_added() -> None:
    pair = (on("rz", 0, at=1e17), on("rz", 0, at=0.5))
    assert TOOL.apply(Program(1, 0, 0, pair), ANY, {}).program.operations == pair


def test_a_window_bounds_the_search() -> None:
    between = [on("rz", 0, at=slot(0)) if i % 2 else on("cp", 0, 1, at=slot(1)) for i in range(2)]
    controls = [on("cx", 0, 1 + i % 2) for i in range(WINDOW)]
    assert len(reduced(on("z", 0), *between, *controls, on("z", 0))) < WINDOW
    many = [on("crx", 0, 1, at=slot(0, 1.0 + i)) for i in range(3)]
    assert len(reduced(*many)) == 1


def test_it_is_a_tool_without_options() -> None:
    kind = registry.load(registry.TOOLS, "reduce")
    assert kind is ReduceTool and isinstance(kind(), Tool) and kind.version()
    with pytest.raises(OptionError, match=r"tool reduce has no option 'level'\. It has: none"):
        kind.check_options({"level": 1})
