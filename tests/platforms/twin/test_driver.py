"""Twins behind the driver contract: time, life, refusals; with the machine of `machines`."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import msgspec
import numpy as np
import pytest

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceState
from qfw.model.errors import (
    ConfigError,
    DeadlineExceeded,
    OptionError,
    PlatformFailed,
    QFwError,
    StaleCalibration,
    TaskCancelled,
    TaskInterrupted,
    TooLarge,
)
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.model.outputs import Memory, encode_answers
from qfw.model.pulse import PlayAnswer, PlayTimes, PulseLimits
from qfw.platforms.twin.calibrating import CalibrateAnswer
from qfw.platforms.twin.driver import TwinDriver
from qfw.platforms.twin.link import EntangleAnswer
from qfw.qpm.bulletin import Bulletin
from qfw.qpm.driver import Answered, Execution
from qfw.qpm.platform import PlatformConfig
from tests.platforms.twin.machines import PROGRAM, SHOT_NS, Echo, error_of, models
from tests.stack import until

S = 10**9


class Stand:
    """A driver that is open, and what it reports."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("devices", ["small"])
        self.driver = TwinDriver(PlatformConfig("twin", options), models, lambda profile, noisy: Echo())
        self.events: list[tuple[str, DeviceEvent]] = []
        names = [profile.name for profile in self.driver.devices()]
        self.bulletin = Bulletin(names, lambda device, event, _: self.events.append((device, event)))
        self.driver.open(self.bulletin)
        for name in names:
            self.bulletin.begin(name, self.driver.state(name), self.driver.calibration(name))

    def run(self, shots: int = 100, **more: Any) -> Answered:
        fields: dict[str, Any] = {
            "device": "small",
            "program": PROGRAM,
            "outputs": (Memory(),),
            "parameters": np.empty((1, 0)),
            "shots": shots,
            "seeds": [1],
            "calibration": "",
            "time_limit_s": 60.0,
            **more,
        }
        return self.driver.run(Execution(**fields))

    def native(self, operation: str, kind: type, body: dict[str, Any], device: str = "small") -> Any:
        encoded = self.driver.native(device, operation, msgspec.msgpack.encode(body), 60.0)
        return msgspec.msgpack.decode(encoded, type=kind)

    def now_ns(self, device: str = "small") -> int:
        return self.driver._twins[device].living.clock.now_ns()


def task_ns(shots: int, sets: int = 1) -> int:
    return 1_000_000 + sets * (10_000 + shots * SHOT_NS)


def test_a_virtual_clock_passes_by_exactly_the_time_of_the_calibration() -> None:
    stand = Stand()
    total = 0
    for shots, sets in ((1, 1), (100, 1), (7, 3)):
        done = stand.run(shots, seeds=[0] * sets, parameters=np.empty((sets, 0)))
        assert done.conditions.device_ns == task_ns(shots, sets)
        assert done.conditions.calibration == "v0" and done.conditions.notes == ()
        total += task_ns(shots, sets)
        assert stand.now_ns() == total


def test_a_wall_clock_lets_a_run_last_as_long() -> None:
    stand = Stand(clock="wall")
    began_ns = stand.now_ns()
    done = stand.run(1000)
    assert stand.now_ns() - began_ns >= task_ns(1000) == done.conditions.device_ns


def test_a_run_on_a_wall_clock_is_cancelled_in_the_middle() -> None:
    stand, cancelled = Stand(clock="wall"), threading.Event()
    timer = threading.Timer(0.02, cancelled.set)
    timer.start()
    with pytest.raises(TaskCancelled):
        stand.run(1_000_000, cancelled=cancelled)
    assert stand.now_ns() < task_ns(1_000_000)
    timer.join()
    stand.run(1)


def test_a_busy_device_is_waited_for_no_longer_than_allowed() -> None:
    stand, cancelled = Stand(clock="wall"), threading.Event()

    def long() -> None:
        with pytest.raises(TaskCancelled):
            stand.run(1_000_000, cancelled=cancelled)

    thread = threading.Thread(target=long)
    busy = stand.driver._twins["small"].controller._busy
    thread.start()
    until(busy.locked, "the first run")
    with pytest.raises(DeadlineExceeded, match=r"was busy for 0\.01 s"):
        stand.run(1, time_limit_s=0.01)
    cancelled.set()
    thread.join()


@pytest.mark.parametrize(("error", "kind"), [("interrupted", TaskInterrupted), ("failed", PlatformFailed)])
def test_a_fault_ends_the_run_and_the_device_comes_back(error: str, kind: type[QFwError]) -> None:
    stand = Stand(life={"fault": [{"begin_s": 1.0, "duration_s": 5.0, "error": error}]})
    with pytest.raises(kind) as caught:
        stand.run(1_000_000)
    assert type(caught.value) is kind and caught.value.retryable and caught.value.retry_after_s == 5.0
    assert [(event.state, event.kind) for _, event in stand.events] == [
        (DeviceState.OFFLINE, DeviceEventKind.FAULT),
        (DeviceState.ONLINE, DeviceEventKind.FAULT),
    ]
    assert stand.now_ns() == 6 * S
    stand.run(1)


def test_a_fault_on_a_wall_clock_is_met_while_the_run_waits() -> None:
    stand = Stand(clock="scaled", factor=10.0, life={"fault": [{"begin_s": 0.5, "duration_s": 36000.0}]})
    with pytest.raises(TaskInterrupted):
        stand.run(1_000_000)
    assert stand.driver.state("small") is DeviceState.OFFLINE
    with pytest.raises(PlatformFailed, match="offline") as caught:
        stand.run(1)
    assert caught.value.retry_after_s is not None and 0 < caught.value.retry_after_s < 36000
    stand.driver.close()


def test_life_goes_on_by_itself_on_a_clock_that_moves() -> None:
    stand = Stand(
        clock="scaled",
        factor=1000.0,
        life={"recalibration": [{"begin_s": 10.0, "duration_s": 5.0}]},
    )
    until(lambda: len(stand.events) == 2, "a recalibration")
    assert [event.state for _, event in stand.events] == [DeviceState.CALIBRATING, DeviceState.ONLINE]
    assert stand.events[1][1].calibration == stand.driver.calibration("small").version == "v0+1"
    assert stand.events[1][1].wall_ns - stand.events[0][1].wall_ns == 5 * S
    stand.driver.close()


def test_a_task_lowered_for_an_old_calibration_is_refused() -> None:
    stand = Stand(life={"recalibration": [{"begin_s": 0.001, "duration_s": 5.0}]})
    stand.run(calibration="v0")
    with pytest.raises(StaleCalibration, match="has v0\\+1 now"):
        stand.run(calibration="v0")
    assert stand.run(calibration="v0+1").conditions.calibration == "v0+1"


def test_a_run_sees_the_truth_not_the_calibration() -> None:
    stand = Stand(life={"noise": [{"begin_s": 0.001, "duration_s": 1000.0, "factor": 5.0}]})
    assert error_of(stand.run().answers[0]) == 3e-4
    assert error_of(stand.run().answers[0]) == pytest.approx(15e-4)
    assert stand.driver.calibration("small").gates[0].error == 3e-4


def test_others_delay_our_runs() -> None:
    stand = Stand(life={"load": [{"arrivals_per_hour": 3600.0, "mean_s": 0.5}]}, seed=5)
    waited = [note for _ in range(30) for note in stand.run(100_000).conditions.notes]
    assert waited and all("for the device" in note for note in waited)
    assert stand.now_ns() > 30 * task_ns(100_000)
    assert any(event.kind is DeviceEventKind.LOAD for _, event in stand.events)


def test_a_script_that_lets_the_device_run_nothing_is_an_error_not_a_hang() -> None:
    life = {
        "maintenance": [
            {"begin_s": 0.0, "duration_s": 6.0, "every_s": 10.0},
            {"begin_s": 5.0, "duration_s": 6.0, "every_s": 10.0},
        ]
    }
    with pytest.raises(PlatformFailed, match="lets it run nothing"):
        Stand(life=life).run(1)


LIFE = {
    "drift": [{"quantity": "gate_error", "kind": "walk", "per_hour": 0.3}],
    "drift_step_s": 1.0,
    "recalibration": [{"begin_s": 3.0, "duration_s": 60.0, "every_s": 63.0 + 7.0}],
    "noise": [{"begin_s": 1.0, "duration_s": 1.5, "factor": 3.0, "qubits": [0]}],
    "fault": [{"begin_s": 68.0001234, "duration_s": 30.0}],
    "maintenance": [{"begin_s": 200.0, "duration_s": 60.0}],
}


def live(seed: int) -> tuple[list[tuple[str, DeviceEvent]], str, dict[str, int]]:
    """10 000 tasks: the events, a digest of all answers, and how often what happened."""
    stand = Stand(life=LIFE, seed=seed)
    digest, happened = hashlib.sha256(), {"done": 0, "stale": 0, "interrupted": 0}
    version, calibrations = "v0", {"v0"}
    while happened["done"] < 10_000:
        try:
            answered = stand.run(calibration=version, shots=500)
        except StaleCalibration:
            # Lowered again, and sent again.
            happened["stale"] += 1
            version = stand.bulletin.version("small")
            calibrations.add(version)
            continue
        except TaskInterrupted:
            happened["interrupted"] += 1
            continue
        assert answered.conditions.calibration == version
        digest.update(encode_answers(answered.answers))
        happened["done"] += 1
    digest.update(str(stand.now_ns()).encode())
    happened["calibrations"] = len(calibrations)
    return stand.events, digest.hexdigest(), happened


def test_ten_thousand_tasks_through_a_life() -> None:
    events, digest, happened = live(1)
    found = [event for _, event in events]
    assert [event.sequence for event in found] == list(range(1, len(found) + 1))
    assert [event.wall_ns for event in found] == sorted(event.wall_ns for event in found)
    assert len(set(found)) == len(found)
    versions = [event.calibration for event in found if event.calibration]
    assert versions == [f"v0+{number + 1}" for number in range(len(versions))] and len(versions) >= 3
    kinds = [event.kind for event in found]
    assert kinds.count(DeviceEventKind.FAULT) == 2
    assert kinds.count(DeviceEventKind.NOISE) == 2
    assert kinds.count(DeviceEventKind.MAINTENANCE) == 2
    assert happened["interrupted"] == 1
    assert happened["stale"] == happened["calibrations"] - 1 >= 3
    assert live(1) == (events, digest, happened)
    assert live(2)[1] != digest


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"devises": []}, "did you mean `devices`"),
        ({"devices": [{"model": "small", "sed": 1}]}, "did you mean `seed`"),
        ({"devices": []}, "devices is empty"),
        ({"devices": ["smal"]}, "no model is called 'smal'"),
        ({"devices": ["small", "small"]}, "there is a device small already"),
        ({"clock": "fast"}, "$.clock"),
        ({"clock": "scaled", "factor": 0.0}, "factor is 0.0"),
        ({"devices": [{"model": "small", "factor": -1.0}]}, "devices[0].factor"),
        ({"seed": -1}, "seed is -1"),
        ({"life": "nowhere.toml"}, "nowhere.toml"),
        ({"life": {"falt": []}}, "options.life"),
        ({"life": {"drift": [{"quantity": "t1", "kind": "walk", "per_hour": 1, "qubits": [3]}]}}, "names 3"),
        ({"max_device_s": 0.0}, "max_device_s"),
        ({"links": [{"devices": ["small", "x"], "fidelity": 0.9, "rate_per_s": 1.0}]}, "names x"),
    ],
)
def test_options_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Stand(**options)
    assert said in str(caught.value)


def test_estimates_refuse_with_the_figure_and_an_alternative() -> None:
    def estimate(**options: Any) -> Any:
        return Stand(**options).driver.estimate("small", PROGRAM, (Memory(),), 1, 100_000)

    assert estimate().cost_s == pytest.approx(0.1)
    assert estimate(clock="wall").cost_s == pytest.approx(task_ns(100_000) / 1e9)
    with pytest.raises(TooLarge, match=r"take 0\.345 s of small; a task has 0\.1 s\. Ask for fewer shots"):
        estimate(max_device_s=0.1)
    with pytest.raises(TooLarge, match=r"takes 0\.1 s; small has 0\.01 s\. Use fewer"):
        estimate(max_compute_s=0.01)
    with pytest.raises(TooLarge, match="Use fewer active qubits"):
        estimate(max_memory_bytes=1000)


PULSES = {
    "schedule": {
        "instructions": [
            {
                "type": "play",
                "line": "drive",
                "qubits": [0],
                "start": 0,
                "duration": 160,
                "envelope": {"type": "gaussian", "amplitude": 0.2, "sigma": 40.0},
            },
            {
                "type": "play",
                "line": "measure",
                "qubits": [0],
                "start": 160,
                "duration": 1600,
                "envelope": {"type": "constant", "amplitude": 0.1},
            },
            {"type": "acquire", "qubit": 0, "start": 160, "duration": 1600, "bit": 0},
        ]
    },
    "shots": 100,
    "seed": 4,
}


def test_pulses_are_checked_timed_and_played() -> None:
    stand = Stand()
    limits = stand.native("pulse.limits", PulseLimits, {})
    assert limits.num_qubits == 3 and (1, 0) in limits.controls
    times = stand.native("pulse.check", PlayTimes, PULSES)
    assert stand.now_ns() == 0
    # 1760 samples of 2/9 ns.
    assert times.schedule_ns == 392 and times.device_ns == 1_010_000 + 100 * (500 + 392 + 2000)
    answer = stand.native("pulse.play", PlayAnswer, PULSES)
    assert answer.times == times and sum(answer.counts.values()) == 100 and answer.calibration == "v0"
    assert stand.now_ns() == times.device_ns
    with pytest.raises(StaleCalibration):
        stand.native("pulse.play", PlayAnswer, {**PULSES, "calibration": "older"})
    for body in ({}, {**PULSES, "shot": 1}):
        with pytest.raises(OptionError, match="not a PlayRequest"):
            stand.native("pulse.check", PlayTimes, body)
    with pytest.raises(TooLarge, match="plays 1 to"):
        stand.native("pulse.check", PlayTimes, {**PULSES, "shots": 0})


def test_a_native_operation_keeps_its_time_limit() -> None:
    stand = Stand(clock="wall")
    body = msgspec.msgpack.encode({**PULSES, "shots": 1_000_000})
    with pytest.raises(DeadlineExceeded, match="it was given 1 s"):
        stand.driver.native("small", "pulse.play", body, 1.0)
    # The device is kept by a maintenance that nobody expected: the limit ends the wait.
    stand = Stand(clock="wall", life={"maintenance": [{"begin_s": 0.0, "duration_s": 3600.0}]})
    with pytest.raises(TaskCancelled):
        stand.driver.native("small", "pulse.play", msgspec.msgpack.encode(PULSES), 0.05)
    stand.driver.close()


def test_a_device_calibrates_itself_when_it_is_asked() -> None:
    stand = Stand()
    answer = stand.native("calibrate", CalibrateAnswer, {"duration_s": 30.0})
    assert stand.now_ns() == 30 * S
    newest = stand.driver.calibration("small")
    assert answer.calibration == newest.version == "v0+1" and answer.measured_s == newest.measured_s
    assert [(event.kind, event.state, event.calibration) for _, event in stand.events] == [
        (DeviceEventKind.STATE, DeviceState.CALIBRATING, ""),
        (DeviceEventKind.CALIBRATION, DeviceState.ONLINE, "v0+1"),
    ]
    with pytest.raises(StaleCalibration):
        stand.run(calibration="v0")
    done = stand.run(calibration="v0+1").conditions
    assert done is not None and done.calibration == "v0+1"
    # Nothing said is all by itself, and each has a version of its own.
    assert stand.driver.native("small", "calibrate", msgspec.msgpack.encode(None), 60.0)
    assert stand.driver.calibration("small").version == "v0+2"
    for body in ({"duration_s": 0.0}, {"measurement_noise": 2.0}, {"duration": 1.0}):
        with pytest.raises(OptionError, match="not a CalibrateRequest"):
            stand.native("calibrate", CalibrateAnswer, body)


def test_a_calibration_that_was_asked_for_goes_among_those_of_the_script() -> None:
    script = {"recalibration": [{"begin_s": 10.0, "duration_s": 1.0}, {"begin_s": 100.0, "duration_s": 1.0}]}

    def life() -> list[DeviceEvent]:
        stand = Stand(life=script)
        stand.native("calibrate", CalibrateAnswer, {"duration_s": 5.0})
        stand.native("calibrate", CalibrateAnswer, {"duration_s": 50.0})
        stand.native("calibrate", CalibrateAnswer, {"duration_s": 60.0})
        return [event for _, event in stand.events]

    events = life()
    versions = [event.calibration for event in events if event.calibration]
    assert versions == [f"v0+{number}" for number in range(1, 6)]
    times = [event.wall_ns for event in events]
    assert times == sorted(times) and life() == events


def test_a_calibration_during_which_somebody_works_on_the_device_is_given_up() -> None:
    stand = Stand(life={"maintenance": [{"begin_s": 1.0, "duration_s": 10.0}]})
    with pytest.raises(PlatformFailed, match="given up"):
        stand.native("calibrate", CalibrateAnswer, {"duration_s": 5.0})
    assert stand.driver.calibration("small").version == "v0"
    assert stand.driver.state("small") is DeviceState.ONLINE
    # It takes longer than it was given: nothing has begun.
    stand = Stand(clock="wall")
    body = msgspec.msgpack.encode({"duration_s": 60.0})
    with pytest.raises(DeadlineExceeded):
        stand.driver.native("small", "calibrate", body, 1.0)
    assert not stand.events
    stand.driver.close()


def test_what_an_operation_is_told_beyond_its_form_is_refused() -> None:
    stand = Stand()
    for body in (b"\xc1\xff", msgspec.msgpack.encode({"shots": 1})):
        with pytest.raises(OptionError, match=r"pulse\.limits"):
            stand.driver.native("small", "pulse.limits", body, 1.0)


def test_a_link_keeps_both_devices_busy() -> None:
    link = {"devices": ["small", "other"], "fidelity": 0.9, "rate_per_s": 1000.0}
    stand = Stand(devices=["other", "small"], links=[link])
    *twins, joint = stand.driver.devices()
    assert all("link.entangle" in profile.native for profile in twins)
    assert joint.name == "other+small" and [part.device for part in joint.parts] == ["other", "small"]
    peers = msgspec.msgpack.decode(stand.driver.native("small", "link.peers", b"", 1.0) or b"")
    assert peers == [{"peer": "other", "fidelity": 0.9, "rate_per_s": 1000.0}]
    body = {"peer": "other", "pairs": 50, "bases": "XX", "seed": 3}
    answer = stand.native("link.entangle", EntangleAnswer, body)
    assert stand.now_ns("small") == stand.now_ns("other") == answer.device_ns == answer.succeeded_ns[-1]
    assert len(answer.outcomes) == 50 and answer.fidelity == 0.9 and len(answer.state) == 4
    back = stand.native("link.entangle", EntangleAnswer, {**body, "peer": "small"}, "other")
    assert back.attempts == answer.attempts
    with pytest.raises(OptionError, match="no link with 'third'; it has one with other"):
        stand.native("link.entangle", EntangleAnswer, {"peer": "third"})
    with pytest.raises(OptionError, match="not a EntangleRequest"):
        stand.native("link.entangle", EntangleAnswer, {**body, "pairs": 0})


def test_a_fault_of_either_end_interrupts_a_link() -> None:
    life = {"fault": [{"begin_s": 0.001, "duration_s": 1.0}]}
    for broken in ("small", "other"):
        devices = [{"model": name, "life": life if name == broken else {}} for name in ("small", "other")]
        link = {"devices": ["small", "other"], "fidelity": 0.9, "rate_per_s": 1000.0}
        stand = Stand(devices=devices, links=[link])
        with pytest.raises(TaskInterrupted, match=broken):
            stand.native("link.entangle", EntangleAnswer, {"peer": "other", "pairs": 500})


def test_calibrations_belong_to_their_device() -> None:
    stand = Stand(devices=[{"model": "small", "name": "mine"}])
    calibration = stand.driver.calibration("mine")
    assert isinstance(calibration, Calibration) and calibration.device == "mine"
