"""The platform `twin` as a daemon makes it: models, life and noise together."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceKind, DeviceState
from qfw.model.errors import CalibrationError, ConfigError, TaskInterrupted
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, CountsAnswer, Expectation, Output
from qfw.model.program import Gate, IfElse, Measure, Program
from qfw.model.timing import Clockwork, device_ns, durations_of, surrounding_ns
from qfw.platforms.twin.options import DEFAULT_DEVICES
from qfw.platforms.twin.platform import BuiltTwinDriver
from qfw.qpm.admission import estimate
from qfw.qpm.bulletin import Bulletin
from qfw.qpm.driver import Answered, Driver, Execution
from qfw.qpm.platform import Platform, PlatformConfig


def opened(**options: Any) -> Driver:
    driver = BuiltTwinDriver(PlatformConfig("twin", options))
    driver.open(Bulletin([profile.name for profile in driver.devices()], lambda *_: None))
    return driver


def flips(calibration: Calibration, gates: int) -> tuple[Program, str]:
    """So many bit flips of qubit 0, in the device's own gates, and the name of the turn they are made of."""
    names = {gate.name for gate in calibration.gates if gate.qubits == (0,)}
    turn = [Gate("x", (0,))] if "x" in names else [Gate("rx", (0,), (np.pi,))]
    return Program(1, 1, 0, (*turn * gates, Measure(0, 0))), turn[0].name


def ones(driver: Driver, device: str, gates: int, shots: int = 2000) -> tuple[float, int]:
    calibration = driver.calibration(device)
    assert calibration is not None
    program, _ = flips(calibration, gates)
    done = driver.run(
        Execution(device, program, (Counts(),), np.empty((1, 0)), shots, [1], calibration.version, 60.0)
    )
    profile = next(profile for profile in driver.devices() if profile.name == device)
    assert profile.timing is not None
    assert done.conditions.device_ns == device_ns(program, 1, shots, calibration, profile.timing)
    answer = done.answers[0]
    assert isinstance(answer, CountsAnswer)
    found = dict(zip(answer.outcomes.numpy()[:, 0].tolist(), answer.counts.numpy().tolist(), strict=True))
    return found.get(1, 0) / shots, done.conditions.device_ns


def test_the_plugin_is_a_platform_with_the_four_devices() -> None:
    plugin = import_module("qfw.platforms.twin").TwinPlatform
    platform = plugin(PlatformConfig("twin"))
    assert isinstance(platform, Platform)
    profiles = platform.devices()
    assert tuple(profile.name for profile in profiles) == DEFAULT_DEVICES
    assert all(profile.kind is DeviceKind.TWIN and profile.platform == "twin" for profile in profiles)
    assert all(not profile.reruns and "pulse.play" in profile.native for profile in profiles)


@pytest.mark.parametrize("device", DEFAULT_DEVICES)
def test_each_device_runs_a_program_in_its_own_gates(device: str) -> None:
    driver = opened()
    probability, _ = ones(driver, device, 1)
    assert 0.9 < probability < 1


def test_without_noise_nothing_errs_and_time_is_the_same() -> None:
    noisy, ideal = opened(devices=["twin-20"]), opened(devices=["twin-20"], noise=False)
    assert ones(ideal, "twin-20", 3)[0] == 1
    assert ones(ideal, "twin-20", 4)[0] == 0
    assert ones(ideal, "twin-20", 3)[1] == ones(noisy, "twin-20", 3)[1]
    assert ones(noisy, "twin-20", 3)[0] < 1


def test_an_incident_is_felt_in_the_answers() -> None:
    life = {"noise": [{"begin_s": 0.001, "duration_s": 1e6, "factor": 20.0}]}
    driver = opened(devices=["twin-20"], life=life)
    before, _ = ones(driver, "twin-20", 1)
    during, _ = ones(driver, "twin-20", 1)
    # Readout errors of about 1 % become about 20 %.
    assert before > 0.95 > during


@pytest.mark.parametrize("year", [1969, 2201])
def test_a_clock_begins_at_a_time_that_can_be_told(year: int) -> None:
    with pytest.raises(ConfigError, match=r"begin is .* 1970 to 2200"):
        opened(devices=["twin-20"], begin=datetime(year, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("path", ["/dev/zero", "\0"])
def test_a_script_is_a_file_of_bearable_size(path: str) -> None:
    with pytest.raises(ConfigError, match=r"more than \d+ bytes|null"):
        opened(devices=["twin-20"], life=path)


def test_a_model_is_a_file_that_can_be() -> None:
    with pytest.raises(CalibrationError, match="null"):
        opened(devices=["/\0.json"])


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"devices\[0\].*'twin-21'.*did you mean"):
        opened(devices=["twin-21"])


def test_a_cancelled_run_ends() -> None:
    driver, cancelled = opened(devices=["twin-20"]), threading.Event()
    cancelled.set()
    calibration = driver.calibration("twin-20")
    assert calibration is not None
    execution = Execution(
        "twin-20", flips(calibration, 1)[0], (Counts(),), np.empty((1, 0)), 10, [1], "", 60.0, cancelled
    )
    with pytest.raises(Exception, match="cancelled"):
        driver.run(execution)


def run(driver: Driver, program: Program, shots: int, *outputs: Output) -> Answered:
    return driver.run(
        Execution("twin-20", program, outputs or (Counts(),), np.empty((1, 0)), shots, [1], "", 60.0)
    )


def branching(flipped: bool) -> Program:
    """Measures 1 or 0, then takes a long branch after 1 and none after 0; nothing errs."""
    first = (Gate("x", (0,)),) if flipped else ()
    long = IfElse((0,), 1, (Gate("x", (1,)),) * 100)
    return Program(2, 2, 0, (*first, Measure(0, 0), long, Measure(1, 1)))


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_a_program_with_control_takes_the_time_of_the_path_that_it_took(clock: str) -> None:
    driver = opened(devices=["twin-20"], noise=False, clock=clock)
    calibration, timing = driver.calibration("twin-20"), driver.devices()[0].timing
    assert calibration is not None and timing is not None
    living = driver._twins["twin-20"].living
    for flipped in (True, False):
        program, shots = branching(flipped), 7
        clockwork = Clockwork(durations_of(calibration), timing, 2, 2)
        clockwork.pass_through(program.operations, taken=lambda _, flipped=flipped: flipped)
        began_ns = living.clock.now_ns()
        taken_ns = run(driver, program, shots).conditions.device_ns
        assert taken_ns == surrounding_ns(1, shots, timing) + shots * clockwork.now_ns
        passed_ns = living.clock.now_ns() - began_ns
        assert passed_ns == taken_ns if clock == "virtual" else passed_ns >= taken_ns
        estimate_ns = device_ns(program, 1, shots, calibration, timing)
        assert (taken_ns == estimate_ns) is flipped and taken_ns <= estimate_ns
    driver.close()


def test_a_fault_behind_the_path_that_was_taken_does_not_interrupt() -> None:
    fault = {"begin_s": 0.0, "duration_s": 1.0}
    calibration = opened(devices=["twin-20"]).calibration("twin-20")
    timing = opened(devices=["twin-20"]).devices()[0].timing
    assert calibration is not None and timing is not None
    longest_ns = device_ns(branching(False), 1, 1000, calibration, timing)
    # Just before the end of an estimate that goes through the long branch.
    fault["begin_s"] = (longest_ns - 1000) / 1e9
    life = {"fault": [fault]}
    driver = opened(devices=["twin-20"], noise=False, life=life)
    assert run(driver, branching(False), 1000).conditions.device_ns < longest_ns - 1000
    driver = opened(devices=["twin-20"], noise=False, life=life)
    with pytest.raises(TaskInterrupted):
        run(driver, branching(True), 1000)
    assert driver.state("twin-20") is DeviceState.ONLINE


def test_further_bases_take_further_time() -> None:
    driver = opened(devices=["twin-20"])
    calibration, profile = driver.calibration("twin-20"), driver.devices()[0]
    assert calibration is not None and profile.timing is not None
    program = Program(2, 0, 0, (Gate("x", (0,)),))
    asked = Expectation((PauliSum.of({"Z0": 1.0, "X0": 1.0}), PauliSum.of("Y1")))
    task_ns = profile.timing.task_ns
    one_ns = run(driver, program, 100).conditions.device_ns - task_ns
    assert run(driver, program, 100, asked).conditions.device_ns - task_ns == 2 * one_ns
    admitted = estimate(profile, calibration, program, (asked,), 1, 100)
    assert admitted.cost_s == (task_ns + 2 * one_ns) / 1e9
