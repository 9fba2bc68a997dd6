"""Tool `transpile`: what it makes is native, does the same, and keeps slots, measurements and loops."""

from __future__ import annotations

import logging

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import OptionError, TooLarge, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.native import check_native
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Program, Reset, While, slot
from qfw.platforms.twin.models import MODELS, model
from qfw.qpm import registry
from qfw.qpm.tool import Target, Tool
from qfw.toolchain.transpile import TranspileTool
from tests.model.calibrations import line_calibration, line_profile
from tests.toolchain.programs import NUM_SLOTS, controlled, same_distribution, same_state, straight

H0 = Gate("h", (0,))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

#: A device that takes gates as they are, and one that has few of them.
SIMULATOR = Target(
    DeviceProfile("sim", DeviceKind.SIMULATOR, "reference", 30, tuple(GATES), ("counts",), 1, control=True)
)
FEW = Target(
    DeviceProfile("few", DeviceKind.HARDWARE, "few", 8, ("rx", "rz", "cz"), ("counts",), 1, lowered_only=True)
)
LINE = Target(line_profile(6), line_calibration(6))
TARGETS = {name: Target(*model(name)) for name in MODELS.values() if name != "heavy-hex-127"} | {
    "simulator": SIMULATOR,
    "few gates": FEW,
    "line": LINE,
}


@pytest.fixture(scope="module")
def tool() -> TranspileTool:
    return TranspileTool()


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(program=straight(), level=st.integers(0, 3))
def test_gates(tool: TranspileTool, name: str, program: Program, level: int) -> None:
    found, layout, *_ = tool.apply(program, TARGETS[name], {"level": level})
    _native(found, TARGETS[name], program)
    same_state(program, found, layout)


@pytest.mark.parametrize("name", ["heavy-hex-20", "trapped-ion", "simulator", "line"])
@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(program=straight(measured=True), level=st.integers(0, 3))
def test_measurements_at_the_end(tool: TranspileTool, name: str, program: Program, level: int) -> None:
    found, layout, *_ = tool.apply(program, TARGETS[name], {"level": level})
    _native(found, TARGETS[name], program)
    assert not found.has_control
    same_distribution(program, found, layout)
    # Observables see the state before the measurements.
    same_state(program, found, layout)


@pytest.mark.parametrize("name", ["heavy-hex-20", "simulator", "line"])
@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(program=controlled(), level=st.integers(0, 3))
def test_control(tool: TranspileTool, name: str, program: Program, level: int) -> None:
    found, layout, *_ = tool.apply(program, TARGETS[name], {"level": level})
    _native(found, TARGETS[name], program)
    same_distribution(program, found, layout)


def _native(found: Program, target: Target, program: Program) -> None:
    found.check()
    strict = msgspec.structs.replace(target.profile, lowered_only=True)
    check_native(found, strict)
    assert found.num_slots == NUM_SLOTS and found.num_clbits == program.num_clbits


def test_it_is_a_tool_and_needs_no_framework_to_be_known() -> None:
    kind = registry.load(registry.TOOLS, "transpile")
    assert kind is TranspileTool and isinstance(TranspileTool(), Tool)
    assert kind.version() and kind.keeps == "equivalence" and not kind.needs_client


def test_equal_input_gives_equal_output(tool: TranspileTool) -> None:
    program = _chain(8)
    for level in range(4):
        first = tool.apply(program, TARGETS["heavy-hex-20"], {"level": level})
        tool.apply(_chain(5), TARGETS["heavy-hex-20"], {"level": level})
        again = TranspileTool().apply(program, Target(*model("heavy-hex-20")), {"level": level, "seed": 0})
        assert first == again


@pytest.mark.parametrize("level", [1, 2, 3])
def test_between_equally_good_places_the_choice_is_the_same_every_time(
    tool: TranspileTool, level: int
) -> None:
    # All qubits of the line are alike, and one of the program's is free to be anywhere.
    program = Program(4, 0, 0, (Gate("sx", (0,)), Gate("cz", (3, 1)), Gate("cry", (2, 1), (0.3,))))
    assert len({tool.apply(program, LINE, {"level": level}).program.digest for _ in range(20)}) == 1


def test_a_seed_searches_elsewhere(tool: TranspileTool) -> None:
    ring = Program(9, 0, 0, tuple(Gate("cx", (q, (q + 4) % 9)) for q in range(9)))
    found = {tool.apply(ring, TARGETS["heavy-hex-20"], {"seed": seed}).program.digest for seed in range(4)}
    assert len(found) > 1


def test_a_better_calibrated_pair_is_taken(tool: TranspileTool) -> None:
    profile, calibration = LINE.profile, line_calibration(6)
    for best in ((0, 1), (3, 4)):
        gates = tuple(
            msgspec.structs.replace(gate, error=1e-4) if gate.name == "cz" and gate.qubits == best else gate
            for gate in calibration.gates
        )
        target = Target(profile, msgspec.structs.replace(calibration, gates=gates, version=str(best)))
        program = Program(2, 2, 0, (H0, Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))
        found, layout, *_ = tool.apply(program, target, {})
        assert layout is not None and set(layout) == set(best)
        assert {op.qubit for op in found.operations if isinstance(op, Measure)} == set(best)


def test_what_is_out_of_order_is_not_used(tool: TranspileTool) -> None:
    calibration = line_calibration(6)
    qubits = tuple(
        msgspec.structs.replace(qubit, operational=index != 2)
        for index, qubit in enumerate(calibration.qubits)
    )
    target = Target(LINE.profile, msgspec.structs.replace(calibration, qubits=qubits, version="broken"))
    layout = tool.apply(_chain(3), target, {}).layout
    assert layout is not None and set(layout) == {3, 4, 5}
    with pytest.raises(UnsupportedFeature, match="Qiskit cannot lower the program for line"):
        tool.apply(_chain(4), target, {})


def test_a_loop_keeps_its_bound_and_its_condition(tool: TranspileTool) -> None:
    body = (H0, Gate("cx", (0, 2)), Measure(0, 0), Reset(0))
    program = Program(3, 2, 0, (While((0,), 0, body, 17), IfElse((0,), 1, (Gate("y", (1,)),)), Measure(2, 1)))
    found = tool.apply(program, TARGETS["heavy-hex-20"], {"level": 1}).program
    (loop,) = [op for op in found.operations if isinstance(op, While)]
    assert (loop.clbits, loop.value, loop.max_trips) == ((0,), 0, 17)


@pytest.mark.parametrize("level", range(4))
def test_angles_stay_affine_on_every_level(tool: TranspileTool, level: int) -> None:
    ops = [Gate("u", (0,), (slot(0), slot(1), slot(2))), Gate("cu", (0, 1), (slot(0), slot(1), 0.2, slot(2)))]
    ops += [Gate("rz", (1,), (slot(0),)), Gate("rz", (1,), (slot(1),)), Gate("ry", (1,), (slot(2),))]
    program = Program(2, 0, 3, (*ops, *ops[::-1]))
    found, layout, *_ = tool.apply(program, TARGETS["trapped-ion"], {"level": level})
    same_state(program, found, layout)


def test_a_level_whose_angles_are_not_affine_is_left_and_said(
    tool: TranspileTool, caplog: pytest.LogCaptureFixture
) -> None:
    class Ambitious(TranspileTool):
        """Finds, as a pass might, no affine angle above level 1."""

        def __init__(self) -> None:
            super().__init__()
            proper = self._lowered
            self._lowered = lambda body, target, level, seed: (
                None if level > 1 else proper(body, target, level, seed)
            )

    with caplog.at_level(logging.INFO):
        found = Ambitious().apply(_chain(4), LINE, {"level": 3})
    assert found == tool.apply(_chain(4), LINE, {"level": 1})
    assert "level 3" in caplog.text and "level 2" in caplog.text and "level 1" not in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"levle": 1}, "no option 'levle'; did you mean 'level'"),
        ({"level": 4}, "level of tool transpile is a whole number from 0 to 3, not 4"),
        ({"level": True}, "not True"),
        ({"seed": -1}, "seed"),
        ({"seed": "x"}, "not 'x'"),
    ],
)
def test_bad_options(tool: TranspileTool, options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        TranspileTool.check_options(options)
    with pytest.raises(OptionError, match=said):
        tool.apply(_chain(2), LINE, options)


def test_too_wide_and_control_where_there_is_none(tool: TranspileTool) -> None:
    with pytest.raises(TooLarge, match="needs 9 qubits; few has 8"):
        tool.apply(_chain(9), FEW, {})
    with pytest.raises(UnsupportedFeature, match="device few does not"):
        tool.apply(Program(1, 1, 0, (H0, Reset(0), H0)), FEW, {})


def test_a_barrier_stays_and_a_phase_too(tool: TranspileTool) -> None:
    program = Program(2, 0, 1, (H0, Barrier((0, 1)), H0, Gate("gphase", (), (slot(0),))))
    found, layout, *_ = tool.apply(program, SIMULATOR, {"level": 1})
    assert layout is None and found.num_qubits == 2
    assert [op.name for op in found.operations if isinstance(op, Gate)] == ["h", "h", "gphase"]
    same_state(Program(2, 0, 3, program.operations), Program(2, 0, 3, found.operations), phase=True)


def _chain(width: int) -> Program:
    ops = [Gate("ry", (q,), (slot(q),)) for q in range(width)]
    ops += [Gate("cx", (q, q + 1)) for q in range(width - 1)] + [Gate("rz", (width - 1,), (0.4,))]
    return Program(width, 0, width, tuple(ops))


@pytest.mark.parametrize("level", range(4))
def test_delays_stay_where_they_are_and_one_behind_a_measurement_goes(level: int) -> None:
    h = Gate("h", (0,))
    ending = (Measure(1, 1), Delay(1, 90_000), Measure(0, 0))
    ramsey = Program(2, 2, 1, (h, Delay(0, 5_000), Gate("rz", (0,), (slot(0),)), h, Delay(1, 700), *ending))
    found, layout, *_ = TranspileTool().apply(ramsey, Target(*model("heavy-hex-20")), {"level": level})
    places = layout or (0, 1)
    delays = {op.qubit: op.duration_ns for op in found.operations if isinstance(op, Delay)}
    assert delays == {places[0]: 5_000, places[1]: 700}
    on_0 = [
        type(op)
        for op in found.operations
        if places[0] in getattr(op, "qubits", (getattr(op, "qubit", None),))
    ]
    # Gates on both sides: nothing was moved across.
    middle = on_0.index(Delay)
    assert Gate in on_0[:middle] and Gate in on_0[middle:]
    branch = IfElse((0,), 1, (Gate("x", (1,)), Delay(1, 100), Gate("x", (1,))))
    branching = Program(2, 2, 0, (h, Measure(0, 0), branch, Measure(1, 1)))
    block = next(
        op
        for op in TranspileTool()
        .apply(branching, Target(*model("heavy-hex-20")), {"level": level})
        .program.operations
        if isinstance(op, IfElse)
    )
    assert [op.duration_ns for op in block.then if isinstance(op, Delay)] == [100]
