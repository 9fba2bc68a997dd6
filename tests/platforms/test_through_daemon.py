"""Thousands of tasks on a twin, through a real daemon and its host, in a life that does not leave them alone."""

from __future__ import annotations

import time
from collections import Counter
from itertools import dropwhile, pairwise
from pathlib import Path

from qfw.model.device import DEVICE_TRANSITIONS, DeviceState
from qfw.model.errors import NoCapacity, QFwError, StaleCalibration, TaskInterrupted
from qfw.model.events import (
    DeviceEventKind,
    DeviceReported,
    Event,
    TaskAccepted,
    TaskDone,
    TaskFailed,
    TaskRequeued,
    TaskStarted,
)
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import Request, Session, TaskFuture
from tests.stack import LIMIT_S, events_of, runtime_folder

PROGRAM = Program(2, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
TASKS, SHOTS = 10_000, 100
#: Tasks that are under way at once, and of one message.
AT_ONCE, TOGETHER = 400, 50

SETTINGS = """
engines = ["reference"]
[workers]
count = 1
[platforms.twin.options]
clock = "virtual"
seed = 5
devices = ["twin-20", {{ model = "twin-20", name = "worn", life = "{life}" }}]
"""

#: Seconds of twin-20 that a task takes.
TASK_S = 0.0336732

#: Three recalibrations, a fault, a maintenance window.
LIFE = """
drift_step_s = {window}

[[drift]]
quantity = "readout_error"
kind = "walk"
per_hour = 1.0

[[recalibration]]
begin_s = {early}
duration_s = {window}
every_s = {every}

[[fault]]
begin_s = {middle}
duration_s = {window}
reason = "cryostat warmed up"

[[maintenance]]
begin_s = {late}
duration_s = {window}
"""


def test_nothing_is_lost_or_twice_and_no_task_runs_under_another_calibration() -> None:
    with runtime_folder() as folder:
        failures = work(folder, TASKS)
        journal = events_of(folder)
    check_device(journal)
    check_tasks(journal, TASKS)
    assert failures[StaleCalibration] and failures[TaskInterrupted] == 1
    assert set(failures) <= {StaleCalibration, TaskInterrupted, NoCapacity}


def work(folder: Path, tasks: int) -> Counter[type[Exception]]:
    """Runs all tasks, each until it is answered, and counts how they failed before."""
    config = folder / "settings.toml"
    life = folder / "life.toml"
    config.write_text(SETTINGS.format(life=life))
    taken_s = tasks * TASK_S
    life.write_text(
        LIFE.format(
            window=0.01 * taken_s,
            early=0.1 * taken_s,
            every=0.35 * taken_s,
            # Within a task: its begin and end are whole times of a task from the last recalibration's end.
            middle=0.6 * taken_s + 0.4 * TASK_S,
            late=0.7 * taken_s,
        )
    )
    waiting = list(range(tasks))
    failures: Counter[type[Exception]] = Counter()
    answered: set[int] = set()
    end_s = time.monotonic() + 2 * LIMIT_S
    with Session(runtime_folder=folder, config=config) as session, session.device("worn").stream() as stream:
        under_way: list[tuple[int, str, TaskFuture]] = []
        while waiting or under_way:
            assert time.monotonic() < end_s, f"{len(answered)} of {tasks} in time; {failures}"
            while waiting and len(under_way) < AT_ONCE:
                calibration = stream.device.calibration()
                assert calibration is not None
                version = calibration.version
                numbers, waiting = waiting[:TOGETHER], waiting[TOGETHER:]
                requests = [Request(PROGRAM, shots=SHOTS, seed=n, calibration=version) for n in numbers]
                futures = stream.run_many(requests)
                under_way += [(n, version, future) for n, future in zip(numbers, futures, strict=True)]
            for number, version, future in under_way[:TOGETHER]:
                error = future.exception(LIMIT_S)
                if error is None:
                    result = future.result(0)
                    assert result.calibration == version == result.conditions.calibration
                    assert sum(result.counts[0].values()) == SHOTS
                    assert number not in answered
                    answered.add(number)
                    continue
                assert isinstance(error, QFwError) and error.retryable, error
                failures[type(error)] += 1
                waiting.append(number)
            del under_way[:TOGETHER]
    assert len(answered) == tasks
    return failures


def check_device(journal: list[Event]) -> None:
    """Everything that happened to the device is there, once, in order, and as the table of states has it."""
    reports = [record for record in journal if isinstance(record, DeviceReported) and record.device == "worn"]
    # What the daemon itself finds of it when its platform is opened counts as 0.
    events = [report.event for report in dropwhile(lambda report: report.event.sequence == 0, reports)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    # The first says that it is there, by the clock of its host.
    first, *events = events
    assert first.state is DeviceState.ONLINE and first.calibration
    assert [event.wall_ns for event in events] == sorted(event.wall_ns for event in events)
    versions = [event.calibration for event in events if event.calibration]
    assert len(versions) == len(set(versions)) == 3
    kinds = Counter(event.kind for event in events)
    assert kinds[DeviceEventKind.FAULT] == kinds[DeviceEventKind.MAINTENANCE] == 2
    states = [event.state for event in events if event.state is not None]
    for before, after in pairwise([DeviceState.ONLINE, *states]):
        assert after in DEVICE_TRANSITIONS[before]
    assert Counter(states) == {
        DeviceState.CALIBRATING: 3,
        DeviceState.OFFLINE: 1,
        DeviceState.MAINTENANCE: 1,
        DeviceState.ONLINE: 5,
    }


def check_tasks(journal: list[Event], tasks: int) -> None:
    """Every task ended once, ran once at most, and ran under the calibration that it was lowered for."""
    lowered: dict[int, str] = {}
    started: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    done = 0
    for record in journal:
        match record:
            case TaskAccepted(task=task):
                lowered[task.number] = task.calibration
            case TaskStarted(task=number):
                started[number] += 1
            case TaskDone(task=number, conditions=conditions):
                assert conditions is not None and conditions.calibration == lowered[number]
                assert conditions.device_ns == round(TASK_S * 1e9)
                ended[number] += 1
                done += 1
            case TaskFailed(task=number):
                ended[number] += 1
            case TaskRequeued():
                # Given back by a device that could not run then: it had not begun.
                assert not record.interrupted
    assert done == tasks
    assert set(ended) == set(lowered) and set(ended.values()) == {1}
    assert set(started) <= set(lowered)
