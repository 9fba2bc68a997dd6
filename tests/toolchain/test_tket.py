"""`transpile` with compiler tket: native, the same state, affine slots, the qubits that err least."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

pytest.importorskip("pytket")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfw.model.errors import OptionError, TooLarge, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.program import Delay, Gate, Measure, Program, Reset, slot
from qfw.qpm.tool import Target
from qfw.testing import Verdict, check_tool
from qfw.toolchain.transpile import TranspileTool
from tests.model.calibrations import line_calibration
from tests.toolchain.programs import NUM_SLOTS, same_distribution, same_state, straight
from tests.toolchain.test_transpile import LINE, TARGETS

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TOOL = TranspileTool()
#: Checks of the kit that the properties here are not.
SOME = {
    "program.form",
    "program.layout",
    "program.pure",
    "program.process",
    "program.native",
    "program.too_wide",
}


def lowered(program: Program, target: Target, **options: Any) -> Any:
    return TOOL.apply(program, target, {"compiler": "tket", **options})


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=8, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(program=straight(max_gates=10), level=st.integers(0, 3))
def test_gates(name: str, program: Program, level: int) -> None:
    found, layout, *_ = lowered(program, TARGETS[name], level=level)
    found.check()
    check_native(found, msgspec.structs.replace(TARGETS[name].profile, lowered_only=True))
    assert found.num_slots == NUM_SLOTS
    same_state(program, found, layout)


@pytest.mark.parametrize("name", ["heavy-hex-20", "line"])
@settings(max_examples=8, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(program=straight(measured=True, max_gates=10))
def test_measurements_at_the_end(name: str, program: Program) -> None:
    found, layout, *_ = lowered(program, TARGETS[name])
    assert not found.has_control
    same_distribution(program, found, layout)


def test_it_keeps_the_contract_of_tools() -> None:
    report = check_tool("transpile", options={"compiler": "tket", "level": 2}, only=SOME)
    assert report.passed, report.of(Verdict.FAILED, Verdict.STUCK)


def test_it_optimises() -> None:
    program = Program(
        3, 0, 1, (*(Gate("cx", (0, 1)),) * 2, Gate("rz", (2,), (slot(0),)), *(Gate("h", (1,)),) * 4)
    )
    two_qubit = [gate for gate in lowered(program, LINE).program.gates() if len(gate.qubits) == 2]
    assert not two_qubit


def test_a_better_calibrated_pair_is_taken() -> None:
    for best in ((0, 1), (3, 4)):
        calibration = line_calibration(6)
        gates = tuple(
            msgspec.structs.replace(gate, error=1e-4 if gate.qubits == best else 0.05)
            if gate.name == "cz"
            else gate
            for gate in calibration.gates
        )
        target = Target(LINE.profile, msgspec.structs.replace(calibration, gates=gates, version=str(best)))
        bell = Program(2, 2, 0, (Gate("h", (0,)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))
        layout = lowered(bell, target).layout
        assert set(layout) == set(best)


def test_what_is_out_of_order_is_not_used() -> None:
    calibration = line_calibration(6)
    qubits = tuple(
        msgspec.structs.replace(qubit, operational=index != 2)
        for index, qubit in enumerate(calibration.qubits)
    )
    target = Target(LINE.profile, msgspec.structs.replace(calibration, qubits=qubits, version="broken"))
    chain = Program(3, 0, 0, tuple(Gate("cx", (q, q + 1)) for q in range(2)))
    assert set(lowered(chain, target).layout) == {3, 4, 5}
    with pytest.raises(TooLarge, match="needs 4 qubits; line has 3 that work and are connected"):
        lowered(Program(4, 0, 0, (Gate("h", (3,)),)), target)


def test_angles_that_are_not_affine_are_left_to_a_lower_level(caplog: pytest.LogCaptureFixture) -> None:
    ops = [Gate("u", (0,), (slot(0), slot(1), slot(2))), Gate("cx", (0, 1)), Gate("ry", (0,), (slot(1),))]
    program = Program(2, 0, 3, tuple(ops * 3))
    with caplog.at_level(logging.INFO):
        found, layout, *_ = lowered(program, TARGETS["heavy-hex-20"], level=3)
    assert "level 3 leaves angles that are not affine" in caplog.text
    same_state(program, found, layout)


def test_what_it_does_not_take_is_said() -> None:
    reset = Program(1, 1, 0, (Gate("h", (0,)), Reset(0), Gate("h", (0,))))
    with pytest.raises(UnsupportedFeature, match="Use compiler qiskit"):
        lowered(reset, TARGETS["simulator"])
    with pytest.raises(UnsupportedFeature, match="Use compiler qiskit"):
        lowered(Program(1, 0, 0, (Delay(0, 100),)), TARGETS["simulator"])
    with pytest.raises(OptionError, match="not 'tkett'; did you mean 'tket'"):
        TranspileTool.check_options({"compiler": "tkett"})
