"""What devices say of themselves: believed only as far as their life allows, and what follows for tasks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.settings import JournalSettings, Settings, WorkerSettings
from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.conditions import Conditions
from qfw.model.device import ACCEPTING, DEVICE_TRANSITIONS, RUNNING, DeviceState, DeviceStatus
from qfw.model.events import DeviceEvent, DeviceEventKind, DeviceReported, TaskStarted
from qfw.qpm.journal import read
from qfw.qpm.platform import DeviceLoad, RunDone
from qfw.qpm.wire import MAX_ITEMS_PER_MESSAGE, Done, Failed, Query, Reply
from qfw.qpmd.state import DaemonState
from tests.qpmd.conftest import WALL_NS, Bench, number

S = 1_000_000_000


def calibration(version: str, device: str = "fake", error: float = 0.01) -> Calibration:
    qubit = QubitCalibration(100.0, 80.0, 0.01, 0.02, 1000)
    gates = (GateCalibration("cz", (0, 1), error, 60), GateCalibration("sx", (0,), 0.001, 30))
    return Calibration(device, version, 1.7e9, (qubit, qubit), gates)


class Said:
    """Numbers a device's events."""

    def __init__(self, bench: Bench, device: str = "fake") -> None:
        self.bench, self.device = bench, device
        self.numbers = itertools.count(1)

    def __call__(self, state: DeviceState | None = None, **more: Any) -> None:
        new = more.pop("calibration", None)
        fields: dict[str, Any] = {
            "sequence": next(self.numbers),
            "kind": DeviceEventKind.STATE,
            "wall_ns": 5 * S,
            "message": "said",
            "state": state,
            "calibration": new.version if new else "",
        }
        self.bench.core.reports.device_reported(self.device, DeviceEvent(**{**fields, **more}), new)


def status(bench: Bench) -> DeviceStatus:
    (found,) = bench.core.devices()
    return found


def reported(bench: Bench) -> list[DeviceEvent]:
    return [event.event for event in read(bench.folder) if isinstance(event, DeviceReported)]


def errors(messages: list[Any]) -> dict[int, str]:
    found = [message.errors for message in messages if isinstance(message, Failed)]
    return {task: report.code for batch in found for task, report in batch}


def test_the_revision_grows_before_a_change_can_be_seen(bench: Bench) -> None:
    seen: list[tuple[str, DeviceState, int]] = []

    def revise() -> None:
        seen.append((bench.core._devices.version("fake"), status(bench).state, len(reported(bench))))

    bench.revise = revise
    say = Said(bench)
    say(DeviceState.MAINTENANCE)
    say(calibration=calibration("v1"))
    say(DeviceState.ONLINE, calibration=calibration("v2"))
    # Nothing but words: whoever kept something keeps it.
    say(None)
    bench.turn()
    assert seen == [
        ("", DeviceState.ONLINE, 0),
        ("", DeviceState.MAINTENANCE, 0),
        ("v1", DeviceState.MAINTENANCE, 0),
    ]
    bench.core.reports.devices_changed("fakes")
    assert len(seen) == 4 and len(reported(bench)) == 4
    bench.platform.calibrations["fake"] = calibration("v3")
    bench.core.reports.devices_changed("fakes")
    assert status(bench).calibration == "v3"
    # As it comes to be looked at, and for the calibration that is found.
    assert [version for version, *_ in seen[4:]] == ["v2", "v2"]


@pytest.mark.parametrize("before", list(DeviceState))
@pytest.mark.parametrize("after", list(DeviceState))
def test_only_the_table_changes_a_state(bench: Bench, before: DeviceState, after: DeviceState) -> None:
    say = Said(bench)
    say(before)
    say(after)
    allowed = after is before or after in DEVICE_TRANSITIONS[before]
    assert bench.core.state.devices["fake"].state is (after if allowed else before)
    bench.turn()
    # What was refused has taken its number all the same, and says so in the journal.
    assert [event.sequence for event in reported(bench)] == [1, 2]
    assert ("refused" in reported(bench)[1].message) is (not allowed)
    assert bench.core._listing.counters().counts["refused_events"] == (not allowed)
    assert bench.replayed() == bench.core.state
    say(None)
    assert bench.core.state.devices["fake"].sequence == 3


@pytest.mark.parametrize("sequence", [-1, 0, 1, 3, 2**40])
def test_a_gap_or_a_repeat_is_refused(bench: Bench, sequence: int) -> None:
    say = Said(bench)
    say(DeviceState.ONLINE)
    say(DeviceState.OFFLINE, sequence=sequence)
    assert bench.core.state.devices["fake"].state is DeviceState.ONLINE
    say(DeviceState.MAINTENANCE, sequence=2)
    bench.turn()
    assert [event.sequence for event in reported(bench)] == [1, 2]
    assert status(bench).state is DeviceState.MAINTENANCE


def test_behind_a_gap_the_platform_is_asked_what_is_so(bench: Bench) -> None:
    bench.platform.states["fake"] = DeviceState.CALIBRATING
    bench.platform.calibrations["fake"] = calibration("v7")
    Said(bench)(DeviceState.OFFLINE, sequence=9)
    bench.turn()
    assert (status(bench).state, status(bench).calibration) == (DeviceState.CALIBRATING, "v7")
    assert [event.sequence for event in reported(bench)] == [0, 0]
    assert bench.replayed() == bench.core.state


def test_an_unknown_device_says_nothing(bench: Bench) -> None:
    Said(bench, "nobody")(DeviceState.OFFLINE)
    bench.core.reports.device_offline("nobody", "?")
    bench.turn()
    assert reported(bench) == [] and bench.core.state.devices == {}


@pytest.mark.parametrize("state", list(DeviceState))
def test_what_runs_and_what_is_accepted_in_each_state(bench: Bench, state: DeviceState) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.ready("fake/2")
    say = Said(bench)
    say(DeviceState.STARTING)
    bench.submit(1, 1)
    assert errors(bench.turn().get(1, [])) == {} and bench.given("fake/1") == bench.given("fake/2") == []
    if state is not DeviceState.STARTING:
        say(DeviceState.ONLINE if state is DeviceState.DRAINING else state)
        say(state)
    bench.submit(1, 2)
    failed = errors(bench.turn()[1])
    assert failed == ({} if state in ACCEPTING else {number(1, 2): "NoCapacity"})
    given = bench.given("fake/1") + bench.given("fake/2")
    assert (number(1, 1) in given) is (state in RUNNING)
    if state is not DeviceState.ONLINE:
        say(DeviceState.ONLINE)
        bench.turn()
    assert number(1, 1) in bench.given("fake/1") + bench.given("fake/2")
    assert bench.replayed() == bench.core.state


def test_a_refusal_says_why_and_when_to_come_back(bench: Bench) -> None:
    bench.open(1)
    say = Said(bench)
    say(DeviceState.OFFLINE, message="the cryostat warms up", until_ns=65 * S)
    bench.clock.now_ns += 20 * S
    bench.submit(1, 1)
    ((_, error),) = bench.turn()[1][0].errors
    assert "cryostat" in error.message and error.retry_after_s == pytest.approx(40, abs=0.1)
    assert status(bench).wait_s is None and "cryostat" in status(bench).reason
    say(DeviceState.OFFLINE, message="nobody knows")
    bench.submit(1, 2)
    ((_, error),) = bench.turn()[1][0].errors
    assert error.retry_after_s is None


def test_a_stale_task_is_refused_at_intake(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, 1, calibration="v1")
    assert errors(bench.turn()[1]) == {number(1, 1): "StaleCalibration"}
    say = Said(bench)
    say(kind=DeviceEventKind.CALIBRATION, calibration=calibration("v1"))
    bench.submit(1, 2, calibration="v1")
    assert errors(bench.turn()[1]) == {}
    say(kind=DeviceEventKind.CALIBRATION, calibration=calibration("v2"))
    bench.submit(1, 3, calibration="v1")
    bench.submit(1, 4, calibration="v1", device="nobody")
    assert errors(bench.turn()[1]) == {number(1, 3): "StaleCalibration", number(1, 4): "UnknownDevice"}


def test_a_task_that_became_stale_while_it_waited_holds_no_slot(bench: Bench) -> None:
    bench.open(1)
    say = Said(bench)
    say(calibration=calibration("v1"))
    bench.submit(1, 1, 2, 3, calibration="v1")
    bench.submit(1, 4)
    bench.turn()
    say(calibration=calibration("v2"))
    bench.submit(1, 5, calibration="v2")
    bench.ready("fake/1")
    failed = errors(bench.turn()[1])
    assert failed == {number(1, sequence): "StaleCalibration" for sequence in (1, 2, 3)}
    # In the same turn the slot has what may run; nothing of the others was started.
    assert bench.given("fake/1") == [number(1, 4)]
    started = [event.task for event in read(bench.folder) if isinstance(event, TaskStarted)]
    assert started == [number(1, 4)]
    bench.answer("fake/1")
    bench.turn()
    assert bench.given("fake/1") == [number(1, 5)]
    assert bench.replayed() == bench.core.state


def test_very_many_stale_tasks_do_not_hold_up_one_turn(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "journal", settings=Settings())
    bench.open(1)
    say = Said(bench)
    say(calibration=calibration("v1"))
    sequences = range(1, 2 * MAX_ITEMS_PER_MESSAGE + 11)
    for first in sequences[::MAX_ITEMS_PER_MESSAGE]:
        bench.submit(1, *sequences[first - 1 :][:MAX_ITEMS_PER_MESSAGE], calibration="v1")
    bench.turn()
    say(calibration=calibration("v2"))
    bench.ready("fake/1")
    ended = []
    while True:
        ended.append(len(errors(bench.turn().get(1, []))))
        if not bench.core.behind:
            break
    assert ended == [MAX_ITEMS_PER_MESSAGE, MAX_ITEMS_PER_MESSAGE, 10]
    bench.dispose()


def test_very_many_tasks_of_a_device_that_goes_offline_do_not_hold_up_one_turn(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "journal", settings=Settings())
    bench.open(1)
    sequences = range(1, 2 * MAX_ITEMS_PER_MESSAGE + 11)
    for first in sequences[::MAX_ITEMS_PER_MESSAGE]:
        bench.submit(1, *sequences[first - 1 :][:MAX_ITEMS_PER_MESSAGE])
    bench.turn()
    bench.core.reports.device_offline("fake", "it does not start")
    ended = []
    while True:
        ended.append(len(errors(bench.turn().get(1, []))))
        if not bench.core.behind:
            break
    assert ended == [MAX_ITEMS_PER_MESSAGE, MAX_ITEMS_PER_MESSAGE, 10]
    assert bench.core.state.tasks == {}
    bench.dispose()


@pytest.mark.parametrize(
    ("conditions", "right"),
    [(None, False), (Conditions("v2"), False), (Conditions(), False), (Conditions("v1", 5), True)],
)
def test_an_answer_under_another_calibration_is_refused(
    bench: Bench, conditions: Conditions | None, right: bool
) -> None:
    bench.open(1)
    bench.ready("fake/1")
    Said(bench)(calibration=calibration("v1"))
    bench.submit(1, 1, calibration="v1")
    bench.turn()
    run = bench.platform.given["fake", "fake/1"].pop(0)
    assert run.calibration == "v1"
    done = RunDone(run.task, run.epoch, 1, 2, 0, True, conditions, b"a")
    bench.core.reports.run_ended("fake", "fake/1", 100, done)
    messages = bench.turn()[1]
    if right:
        (answer,) = messages[-1].answers
        assert isinstance(messages[-1], Done) and answer.conditions == conditions
    else:
        assert errors(messages) == {run.task: "WrongAnswer"}
    assert bench.replayed() == bench.core.state


@pytest.mark.parametrize(
    ("announced", "came"),
    [("v1", None), ("v1", calibration("v2")), ("v1", calibration("v1", "another"))],
)
def test_a_calibration_that_is_not_what_was_announced_is_refused(
    bench: Bench, announced: str, came: Calibration | None
) -> None:
    event = DeviceEvent(1, DeviceEventKind.CALIBRATION, WALL_NS, "new", DeviceState.MAINTENANCE, announced)
    bench.core.reports.device_reported("fake", event, came)
    bench.turn()
    assert status(bench).calibration == "" and status(bench).state is DeviceState.ONLINE
    (kept,) = reported(bench)
    assert kept.sequence == 1 and kept.message.startswith("refused")


def test_what_had_begun_on_hardware_is_not_repeated(bench: Bench) -> None:
    bench.open(1)
    profile = msgspec.structs.replace(bench.platforms.profiles["fake"], reruns=False)
    bench.platforms.profiles["fake"] = profile
    bench.ready("fake/1")
    bench.submit(1, 1, 2)
    bench.turn()
    bench.lose("fake/1")
    bench.ready("fake/2")
    failed = errors(bench.turn()[1])
    assert failed == {number(1, 1): "TaskInterrupted"} and bench.given("fake/2") == [number(1, 2)]
    # What had not begun runs.
    bench.lose("fake/2", begun=False)
    bench.ready("fake/3")
    assert errors(bench.turn().get(1, [])) == {} and bench.given("fake/3") == [number(1, 2)]
    assert bench.replayed() == bench.core.state


def test_a_new_segment_says_again_what_devices_are(tmp_path: Path) -> None:
    settings = Settings(journal=JournalSettings(segment_bytes=4096, retain_bytes=4096))
    bench = Bench(tmp_path / "journal", "fake", "other", "third", settings=settings)
    bench.open(1)
    say = Said(bench)
    say(calibration=calibration("v1"))
    say(DeviceState.MAINTENANCE, until_ns=3600 * S)
    bench.core.reports.device_offline("other", "it does not start")
    bench.core.reports.device_offline("third", "it does not start")
    bench.submit(1, 999, device="third")
    assert bench.core.state.devices["third"].state is DeviceState.STARTING
    bench.core.ends.cancel(number(1, 999), "enough")
    bench.ready("fake/1")
    for sequence in range(1, 100):
        bench.submit(1, sequence)
        bench.core.ends.cancel(number(1, sequence), "enough")
        bench.turn()
    bench.turn()
    assert not (bench.folder / "00000001.qfj").exists()
    assert bench.replayed().devices == bench.core.state.devices
    assert bench.core.state.devices["other"].given_up and bench.core.state.devices["fake"].sequence == 2
    bench.dispose()


def test_a_journal_with_a_hole_is_read_all_the_same() -> None:
    state = DaemonState()
    for found in (DeviceState.ONLINE, DeviceState.DRAINING, DeviceState.CALIBRATING):
        state.restore(DeviceReported(1, "fake", DeviceEvent(1, DeviceEventKind.STATE, 1, "", found)))
    assert state.devices["fake"].state is DeviceState.CALIBRATING


def test_the_listing_says_calibration_and_wait(bench: Bench) -> None:
    peer = bench.open(1)
    assert (status(bench).wait_s, status(bench).two_qubit_error, status(bench).calibration) == (0.0, None, "")
    say = Said(bench)
    say(calibration=calibration("v1", error=0.02))
    found = status(bench)
    assert (found.calibration, found.calibrated_s, found.two_qubit_error) == ("v1", 1.7e9, 0.02)
    bench.ready("fake/1")
    bench.ready("fake/2")
    bench.open(2)
    for sequence, sets in ((1, 10), (2, 4), (3, 6)):
        bench.submit(1, sequence, sets=sets, parameters=bytes(8 * sets))
    bench.turn()
    # Two slots: 10 + 4 run, 6 wait.
    assert (status(bench).running, status(bench).queued, status(bench).wait_s) == (2, 1, 10.0)
    bench.platform.other_load = DeviceLoad(3, 90.0)
    assert status(bench).wait_s == 100.0
    bench.platform.other_load = DeviceLoad(None, None)
    assert status(bench).wait_s is None
    bench.platform.other_load = DeviceLoad()
    say(DeviceState.MAINTENANCE, until_ns=65 * S)
    assert status(bench).wait_s == pytest.approx(70, abs=0.1)
    say(DeviceState.CALIBRATING)
    assert status(bench).wait_s is None
    say(DeviceState.ONLINE)
    profile = bench.platforms.profiles["fake"]
    bench.platforms.profiles["fake"] = msgspec.structs.replace(profile, bounded=False)
    assert status(bench).wait_s is None
    for request, name in ((1, "fake"), (2, "nobody")):
        bench.core.request(peer, Query(request, f"calibration {name}"))
    replies = {m.request: m.body for m in bench.turn()[1] if isinstance(m, Reply)}
    assert msgspec.msgpack.decode(replies[1], type=Calibration) == calibration("v1", error=0.02)
    assert msgspec.msgpack.decode(replies[2]) is None


def test_the_wait_is_nothing_where_a_slot_is_free(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.ready("fake/2")
    bench.submit(1, 1, sets=100, parameters=bytes(800))
    bench.turn()
    assert (status(bench).running, status(bench).wait_s) == (1, 0.0)


def test_a_task_above_the_time_limit_is_refused_with_figures(tmp_path: Path) -> None:
    settings = Settings(workers=WorkerSettings(time_limit_s=5.0))
    bench = Bench(tmp_path / "journal", settings=settings)
    bench.open(1)
    bench.submit(1, 1, sets=6, parameters=bytes(48))
    ((_, error),) = bench.turn()[1][0].errors
    assert error.code == "TooLarge" and "6 s" in error.message and "5 s" in error.message
    bench.submit(1, 2, sets=5, parameters=bytes(40))
    assert errors(bench.turn()[1]) == {}
    bench.dispose()


@pytest.mark.parametrize(
    ("bounds", "changes", "code", "words"),
    [
        ({"max_shots": 10}, {"shots": 11}, "TooLarge", "11 shots were asked; one takes at most 10"),
        ({"max_sets": 2}, {"sets": 3, "parameters": bytes(24)}, "TooLarge", "3 sets; one takes at most 2"),
        ({"exact": False}, {}, "UnsupportedFeature", "one answers no exact results; give shots"),
        ({"outputs": ("counts",)}, {}, "UnsupportedFeature", "one does not answer expectation"),
    ],
)
def test_bounds_of_a_profile_and_who_would_take_it(
    tmp_path: Path, bounds: dict[str, Any], changes: dict[str, Any], code: str, words: str
) -> None:
    bench = Bench(tmp_path / "journal", "one", "hidden", "two")
    bench.open(1)
    profiles = bench.platforms.profiles
    profiles["one"] = msgspec.structs.replace(profiles["one"], **bounds)
    profiles["hidden"] = msgspec.structs.replace(profiles["hidden"], preference=-1)
    for sequence in (1, 2):  # The second time from memory.
        bench.submit(1, sequence, device="one", **changes)
        ((_, error),) = bench.turn()[1][0].errors
        assert error.code == code and words in error.message
        assert "These here would take it: two (about " in error.message and "hidden" not in error.message
    bench.submit(1, 3, device="two", **changes)
    assert errors(bench.turn()[1]) == {}
    bench.dispose()


def test_a_device_is_said_to_be_what_it_reported_last(bench: Bench) -> None:
    """Answers are kept for 100 ms; not beyond a new state or calibration."""
    peer = bench.open(1)
    say = Said(bench)

    def asked() -> tuple[DeviceState, str]:
        bench.core.request(peer, Query(1, "devices"))
        (reply,) = bench.turn()[1]
        (found,) = msgspec.msgpack.decode(reply.body, type=list[DeviceStatus])
        return found.state, found.calibration

    say(calibration=calibration("v1"))
    assert asked() == (DeviceState.ONLINE, "v1")
    say(calibration=calibration("v2"))
    assert asked() == (DeviceState.ONLINE, "v2")
    say(DeviceState.CALIBRATING)
    assert asked() == (DeviceState.CALIBRATING, "v2")
    say(DeviceState.ONLINE, calibration=calibration("v3"))
    assert asked() == (DeviceState.ONLINE, "v3")
