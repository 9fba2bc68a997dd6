from __future__ import annotations

import msgspec
import pytest

from qfw.model.device import ACCEPTING, DEVICE_TRANSITIONS, RUNNING, DeviceState
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.program import Gate, IfElse, Measure, Program
from tests.model.calibrations import line_calibration, line_profile

PROFILE = line_profile()


def test_every_state_can_be_reached_from_every_other_and_be_left() -> None:
    for start in DeviceState:
        reached, fresh = {start}, {start}
        while fresh:
            fresh = {state for found in fresh for state in DEVICE_TRANSITIONS[found]} - reached
            reached |= fresh
        # A device that was up does not start again unless it was offline, which it can always be.
        assert reached == set(DeviceState), start
        assert start not in DEVICE_TRANSITIONS[start]


def test_a_draining_device_runs_and_does_not_accept() -> None:
    assert {DeviceState.DRAINING} == RUNNING - ACCEPTING
    assert DeviceState.OFFLINE not in RUNNING | ACCEPTING


def test_a_program_of_native_gates_on_coupled_qubits_is_taken() -> None:
    gates = (
        Gate("sx", (0,)),
        Gate("cz", (0, 1)),
        Gate("cz", (2, 1)),
        Gate("gphase", (), (0.5,)),
        Measure(0, 0),
    )
    check_native(Program(3, 1, 0, gates), PROFILE)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Gate("h", (0,)), "gate h .* not native to line, which has cz, rz, sx, x"),
        (Gate("cz", (0, 2)), "does not couple them"),
    ],
)
def test_what_must_be_lowered_first_is_refused_also_within_blocks(gate: Gate, message: str) -> None:
    with pytest.raises(UnsupportedFeature, match=message):
        check_native(Program(3, 0, 0, (gate,)), PROFILE)
    with pytest.raises(UnsupportedFeature, match=message):
        check_native(Program(3, 1, 0, (IfElse((0,), 1, (), (gate,)),)), PROFILE)
    check_native(Program(3, 0, 0, (gate,)), msgspec.structs.replace(PROFILE, lowered_only=False))


def test_an_unsymmetric_gate_keeps_its_order() -> None:
    profile = msgspec.structs.replace(PROFILE, native_gates=("cx",))
    check_native(Program(3, 0, 0, (Gate("cx", (0, 1)),)), profile)
    with pytest.raises(UnsupportedFeature, match="in this order"):
        check_native(Program(3, 0, 0, (Gate("cx", (1, 0)),)), profile)


def test_width_and_control_are_checked_of_every_device() -> None:
    with pytest.raises(TooLarge, match="needs 4 qubits; line has 3"):
        check_native(Program(4, 0, 0, ()), PROFILE)
    profile = msgspec.structs.replace(PROFILE, control=False)
    with pytest.raises(UnsupportedFeature, match="before its end"):
        check_native(Program(1, 1, 0, (Measure(0, 0), Gate("x", (0,)))), profile)


def test_the_median_is_that_of_usable_two_qubit_gates() -> None:
    calibration = line_calibration(4)
    assert calibration.median_two_qubit_error == 5e-3
    assert msgspec.structs.replace(calibration, gates=()).median_two_qubit_error is None
