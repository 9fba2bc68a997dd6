"""Numbers of a profile, and the record of a task."""

from __future__ import annotations

import math
import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfw.model.conditions import Conditions
from qfw.model.events import DaemonStarted
from qfw.model.task import TaskState
from qfw.telemetry import history
from qfw.telemetry.history import TaskRecord
from qfw.telemetry.profile import STAGES, Profile, profile
from tests.telemetry.streams import CLIENT, DAEMON, WALL_NS, WORKER, Journal


def both(journal: Journal) -> tuple[Profile, list[TaskRecord]]:
    records: list[TaskRecord] = []
    return profile(iter(journal.events), records.append), records


def test_nothing_happened():
    found = profile(())
    assert found.tasks == found.circuits == found.sessions == found.daemon_pid == 0
    assert found.stages == ()
    assert found.findings == ()


def test_time_and_calibrations_of_devices_that_say_so():
    journal = Journal()
    for device, conditions in (
        ("reference", None),
        ("twin", Conditions("v0", 2_000_000_000)),
        ("twin", Conditions("v1", 500_000_000)),
        ("twin", Conditions("v0", 500_000_000)),
        ("cloud", Conditions("", 0)),
    ):
        task = journal.submit([[0.5]], device=device)
        journal.start(task)
        journal.done(task, conditions=conditions)
        journal.receive(task)
    found, records = both(journal)
    assert found.device_times_s == {"twin": 3.0, "cloud": 0.0}
    assert found.calibrations == {"twin": ("v0", "v1"), "cloud": ()}
    assert [record.conditions and record.conditions.calibration for record in records] == [
        None,
        "v0",
        "v1",
        "v0",
        "",
    ]


def test_stages_of_one_task():
    journal = Journal()
    task = journal.submit([[0.5]])
    journal.start(task)
    journal.done(task, cached=False, compile_us=9)
    journal.receive(task)
    found, (record,) = both(journal)
    # As the stream ticks: sent 2 after begun; accepted 3 after; started 4 after; the hop 5; …
    assert record.stages_us == {
        "client": 2,
        "wire": 3 + 5,
        "queue": 4,
        "compile": 9,
        "run": 6,
        "return": 7 + 8,
    }
    assert [times.stage for times in found.stages] == [*STAGES]
    assert all(times.median_us == times.p99_us == record.stages_us[times.stage] for times in found.stages)
    assert [record.timeline[name] for name in ("client_pid", "daemon_pid", "worker_pid")] == [
        CLIENT,
        DAEMON,
        WORKER,
    ]
    assert (record.task, record.session, record.state, record.sets) == ("1.1", "app1", TaskState.DONE, 1)
    assert 0 < record.accepted_unix_s - WALL_NS / 1e9 < 1
    assert sum(record.stages_us.values()) * 1000 == pytest.approx(
        record.timeline["received_ns"] - record.timeline["began_ns"]
    )


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300))
def test_median_and_99th_percentile(times_us):
    journal = Journal()
    for compile_us in times_us:
        task = journal.submit([[0.5]])
        journal.start(task)
        journal.done(task, compile_us=compile_us)
    times = next(times for times in profile(journal.events).stages if times.stage == "compile")
    assert times.tasks == len(times_us)
    assert times.median_us == statistics.median(times_us)
    assert sum(value <= times.p99_us for value in times_us) >= math.ceil(0.99 * len(times_us))
    assert sum(value < times.p99_us for value in times_us) < 0.99 * len(times_us)


def test_a_return_is_known_only_with_a_receipt():
    journal = Journal()
    journal.run([[0.1]])
    task = journal.submit([[0.2]])
    journal.start(task)
    journal.done(task)
    journal.close()
    found, records = both(journal)
    assert (found.done, found.received) == (2, 1)
    assert {times.stage: times.tasks for times in found.stages} == dict.fromkeys(STAGES, 2) | {"return": 1}
    assert "return" not in records[1].stages_us


def test_every_end_is_counted():
    journal = Journal()
    done, failed, cancelled, running, queued = (journal.submit([[float(at)]]) for at in range(5))
    journal.start(done)
    journal.requeue(done)
    journal.start(done, epoch=2)
    journal.done(done, epoch=2, cached=False)
    journal.start(failed)
    journal.fail(failed)
    journal.cancel(cancelled)
    journal.start(running)
    journal.stop()
    found, records = both(journal)
    assert (found.tasks, found.done, found.failed, found.cancelled, found.unanswered) == (5, 1, 1, 1, 2)
    assert (found.requeued, found.cache_hits, found.circuits) == (1, 0, 1)
    assert found.daemon_ended
    by_name = {record.task: record for record in records}
    assert len(by_name) == 5
    assert (by_name["1.1"].epoch, by_name["1.1"].requeued) == (2, 1)
    assert by_name["1.2"].error is not None
    assert by_name["1.2"].error.code == "WorkerLost"
    assert by_name["1.2"].stages_us == {}
    assert by_name["1.3"].error is not None
    assert by_name["1.4"].state is TaskState.RUNNING
    assert by_name["1.5"].state is TaskState.QUEUED
    assert queued


def test_circuits_are_parameter_sets():
    journal = Journal()
    journal.run([[0.1], [0.2], [0.3]])
    journal.run([[0.1], [0.2]], device="qulacs")
    found = profile(journal.events)
    assert (found.circuits, found.tasks, found.structures) == (5, 2, 1)
    assert found.devices == {"reference": 3, "qulacs": 2}


def test_the_end_of_a_task_whose_beginning_is_gone():
    """Old segments are dropped; what they held is said to be missing, and guessed nowhere."""
    journal = Journal()
    task = journal.submit([[0.1]])
    journal.events.pop()
    journal.start(task)
    journal.done(task)
    journal.receive(task)
    journal.run([[0.1]])
    found = profile(journal.events)
    assert (found.tasks, found.circuits, found.unknown_tasks) == (1, 1, 1)


def test_a_later_daemon_ends_what_an_earlier_one_held():
    journal = Journal()
    journal.submit([[0.1]])
    journal.events.append(DaemonStarted(journal.tick(), WALL_NS, DAEMON + 1, "0"))
    journal.open(2)
    journal.run([[0.2]], session=2)
    found, records = both(journal)
    assert (found.tasks, found.done, found.unanswered, found.daemon_pid) == (2, 1, 1, DAEMON + 1)
    assert [record.timeline["daemon_pid"] for record in records] == [DAEMON, DAEMON + 1]


def test_those_that_wait_for_a_receipt_are_bounded():
    journal, followed = Journal(), history.History(max_waiting=10)
    for _ in range(15):
        task = journal.submit([[0.1]])
        journal.start(task)
        journal.done(task)
    complete = [record for event in journal.events for record in followed.take(event)]
    assert [record.task for record in complete] == [f"1.{number}" for number in range(1, 6)]
    assert len(list(followed.rest())) == 10


def test_a_record_is_one_line_of_json():
    journal = Journal()
    journal.run([[0.1]])
    _, (record,) = both(journal)
    line = msgspec.json.encode(record)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=TaskRecord) == record
    assert msgspec.json.decode(line)["state"] == "done"
