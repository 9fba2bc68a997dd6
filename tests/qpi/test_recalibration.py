"""Twins that are calibrated while streams with pipelines use them: what waits is lowered again, and nobody notices."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceState, DeviceStatus
from qfw.model.errors import UnsupportedFeature, UsageError
from qfw.model.events import DeviceEventKind, TaskCancelled, TaskDone, TaskLowered
from qfw.model.native import check_native
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import CompletionQueue, QStream, Request, Session, TaskFuture
from qfw.qpi.completions import CompletionKind
from qfw.qpi.pipeline import ToolPipeline
from qfw.qpi.questions import Load
from qfw.qpm.remote import Observer
from tests.stack import LIMIT_S, events_of, runtime_folder, until

ROOT = Path(__file__).parents[2]
SETTINGS = """
engines = ["reference"]
workers.count = 1
[platforms.twin.options]
clock = "virtual"
seed = 5
devices = [
    "twin-20",
    {{ model = "twin-20", name = "worn", life = "{life}" }},
    {{ model = "twin-20", name = "steady", clock = "wall" }},
]
"""
#: Once, while tasks of 33 ms of the device's time each are run.
LIFE = """
[[recalibration]]
begin_s = 2.0
duration_s = 0.5
"""
#: Tasks of a test; the device is recalibrated when about half are done.
TASKS, SHOTS = 120, 100


def structure(qubits: int) -> Program:
    """No gate of it is a twin's own; all qubits are measured as 1, mostly."""
    flips = (Gate("h", (0,)), Gate("z", (0,)), Gate("h", (0,)))
    spread = tuple(Gate("cx", (0, qubit)) for qubit in range(1, qubits))
    return Program(qubits, qubits, 0, (*flips, *spread, *(Measure(q, q) for q in range(qubits))))


STRUCTURES = [structure(qubits) for qubits in (2, 3, 4)]


def request(number: int) -> Request:
    return Request(STRUCTURES[number % 3], shots=SHOTS, seed=number)


@pytest.fixture
def folder() -> Iterator[Path]:
    with runtime_folder() as made:
        (made / "life.toml").write_text(LIFE)
        (made / "settings.toml").write_text(SETTINGS.format(life=made / "life.toml"))
        yield made


@pytest.fixture
def session(folder: Path) -> Iterator[Session]:
    with Session(runtime_folder=folder, config=folder / "settings.toml") as opened:
        yield opened


def lowerings(folder: Path) -> int:
    """How often the daemon's tools were run on a program so far."""
    with Observer(folder) as observer:
        # It may be an answer that was made before what the test did; the next other one is not.
        asked_s = observer.counters().uptime_s
        found = until(lambda: (c := observer.counters()).uptime_s > asked_s and c, "a new answer")
        return int(found.counts["lowerings"])


def is_right(future: TaskFuture) -> bool:
    (counts,) = future.result(LIMIT_S).counts
    return counts.get("1" * len(next(iter(counts))), 0) > 0.6 * SHOTS


@pytest.mark.parametrize("order", ["ordered", "parallel"])
@pytest.mark.parametrize("how", ["by its script", "by the stream"])
def test_recalibration_in_the_middle_of_a_bound_stream(
    session: Session, folder: Path, order: str, how: str
) -> None:
    device = session.device("worn" if how == "by its script" else "twin-20")
    stream = device.stream(order=order, pipeline=ToolPipeline(["transpile"]))
    queue = stream.completion_queue()
    if how == "by its script":
        futures = list(stream.run_many([request(n) for n in range(TASKS)]))
    else:
        futures = list(stream.run_many([request(n) for n in range(TASKS // 2)]))
        if order == "parallel":
            # All three structures are known by then.
            for future in futures[:3]:
                future.result(LIMIT_S)
        futures.append(stream.calibrate())
        if order == "parallel":
            futures[-1].result(LIMIT_S)
        futures += stream.run_many([request(n) for n in range(TASKS // 2, TASKS)])
    stream.close()
    came = list(queue)
    # Every completion once.
    assert [completion.error for completion in came] == [None] * len(futures)
    assert sorted(completion.index for completion in came) == list(range(len(futures)))
    assert all(completion.future is futures[completion.index] for completion in came)
    if order == "ordered":
        assert [completion.index for completion in came] == list(range(len(futures)))
    tasks = [future for future in futures if not isinstance(future.result(0), Calibration)]
    assert len(tasks) == TASKS and all(map(is_right, tasks))
    versions = [task.result(0).calibration for task in tasks]
    assert len(set(versions)) == 2 and versions[0] != versions[-1]
    assert versions[-1] == device.calibration().version
    if order == "ordered":
        changed = versions.index(versions[-1])
        assert set(versions[changed:]) == {versions[-1]}
    if how == "by the stream":
        # Of a parallel stream, those before it may run behind it.
        assert set(versions[TASKS // 2 :]) == {versions[-1]}
    # Once for each structure and calibration; a slow tool may find the new calibration there already.
    wanted = {(task.task.program, version) for task, version in zip(tasks, versions, strict=True)}
    assert len(wanted) <= lowerings(folder) <= 6
    journal = events_of(folder)
    assert len([event for event in journal if isinstance(event, TaskDone)]) == TASKS
    lowered = [event.task for event in journal if isinstance(event, TaskLowered)]
    if (order, how) == ("parallel", "by its script"):
        # All were sent at once, so that half of them waited.
        assert len(set(lowered)) < len(lowered), "no task that waited was lowered again"


CLIENT = """
import sys, threading
from qfw import Session, TaskOptions, ToolPipeline
from tests.qpi.test_recalibration import STRUCTURES
with Session(runtime_folder=sys.argv[1]) as session:
    stream = session.device("steady").stream(pipeline=ToolPipeline(["transpile"]))
    print("ready", flush=True)
    sys.stdin.readline()
    detached = TaskOptions(detached=True)
    kept = [stream.run(STRUCTURES[1], shots=100, options=detached) for _ in range(3)]
    plain = [stream.run(STRUCTURES[1], shots=100) for _ in range(3)]
    print(*(future.handle for future in kept), *(future.task.number for future in plain), flush=True)
    threading.Event().wait(60)
"""


@pytest.fixture
def site(folder: Path) -> Iterator[Path]:
    """The folder of a daemon that lasts, whoever comes and goes."""
    reader, writer = os.pipe()
    words = [sys.executable, "-m", "qfw.qpmd", f"--folder={folder}", f"--config={folder / 'settings.toml'}"]
    log = (folder / "qpmd.log").open("ab")
    process = subprocess.Popen([*words, f"--ready-fd={writer}"], pass_fds=(writer,), cwd=ROOT, stderr=log)
    os.close(writer)
    with os.fdopen(reader, "rb") as said, log:
        assert said.read() == b"ready", (folder / "qpmd.log").read_text()
    try:
        yield folder
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def test_a_client_that_is_killed_meanwhile(site: Path) -> None:
    with Session(runtime_folder=site) as session:
        device = session.device("steady")
        stream = device.stream(pipeline=ToolPipeline(["transpile"]))
        before = stream.run(STRUCTURES[1], shots=SHOTS).result(LIMIT_S).calibration
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(site)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert client.stdin is not None and client.stdout is not None
        try:
            assert client.stdout.readline() == "ready\n"
            calibrating = stream.calibrate(duration_s=4.0)
            until(lambda: device.status().state is DeviceState.CALIBRATING, "it calibrates itself")
            client.stdin.write("go\n")
            client.stdin.flush()
            words = client.stdout.readline().split()
        finally:
            client.kill()
            client.communicate()
        handles, plain = words[:3], {int(word) for word in words[3:]}
        until(lambda: cancelled(site) == plain, "what nobody waits for is cancelled")
        assert not calibrating.settled and lowerings(site) == 1
        after = calibrating.result(LIMIT_S).version
    assert after != before
    with Session(runtime_folder=site) as other:
        futures = [other.attach(handle) for handle in handles]
        assert all(map(is_right, futures))
        assert [future.result(0).calibration for future in futures] == [after] * 3
    # All three at once, by the daemon's tools.
    assert lowerings(site) == 2
    assert cancelled(site) == plain


def cancelled(folder: Path) -> set[int]:
    return {event.task for event in events_of(folder) if isinstance(event, TaskCancelled)}


def test_calibrate_in_a_stream(session: Session) -> None:
    device = session.device("twin-20")
    with device.event_queue("calibration") as events:
        with device.stream(order="ordered", pipeline=ToolPipeline(["transpile"])) as stream:
            calibrations = CompletionQueue("calibrations").bind(stream)
            results = CompletionQueue("results").bind(stream)
            first = stream.run(STRUCTURES[0], shots=SHOTS)
            calibrated = stream.calibrate()
            second = stream.run(STRUCTURES[0], shots=SHOTS)
        (outcome,) = calibrations
        assert (outcome.kind, outcome.index) == (CompletionKind.CALIBRATIONS, 1)
        assert outcome.future is calibrated and isinstance(outcome.result, Calibration)
        assert [completion.future for completion in results] == [first, second]
        event = events.get(LIMIT_S)
        assert (event.kind, event.device) == (DeviceEventKind.CALIBRATION, "twin-20")
        versions = [future.result(0).calibration for future in (first, second)]
        assert versions[0] != versions[1] == outcome.result.version == event.calibration
        assert events.poll() is None and len(calibrations) == len(results) == 0
        assert device.calibration() == outcome.result


def test_every_task_of_two_bound_streams_is_lowered_by_the_same_stages(
    session: Session, folder: Path
) -> None:
    device = session.device("twin-20")
    pipeline = ToolPipeline(["reduce", "transpile"])
    streams: list[QStream] = [
        device.stream(pipeline=pipeline),
        device.stream(order="ordered", pipeline=pipeline),
    ]
    assert pipeline.streams == tuple(streams)
    for stream in streams:
        with pytest.raises(UsageError, match="bound to this stream already"):
            pipeline.bind(stream)
    with pytest.raises(UnsupportedFeature, match="not native"):
        device.stream().run(STRUCTURES[0], shots=SHOTS).result(LIMIT_S)
    futures = [stream.run_many([request(n) for n in range(9)]) for stream in streams]
    assert all(is_right(future) for of_stream in futures for future in of_stream)
    assert lowerings(folder) == 3
    ran = {event.program for event in events_of(folder) if isinstance(event, TaskLowered)}
    here = [pipeline.lower(program, device) for program in STRUCTURES]
    assert ran == {found.program.digest for found in here}
    for program, found in zip(STRUCTURES, here, strict=True):
        check_native(found.program, device.profile)
        explained = pipeline.explain(program, device)
        assert [row.stage for row in explained.rows] == ["as given", "reduce", "transpile"]
        assert explained.rows[1:] == found.stages and explained.calibration == found.calibration
        last = explained.rows[-1]
        assert last.gates == sum(bool(gate.qubits) for gate in found.program.gates())
        assert last.fidelity is not None and 0.6 < last.fidelity < 1
        assert explained.rows[0].fidelity is None
    assert {future.result(0).calibration for future in [*futures[0], *futures[1]]} == {here[0].calibration}


def test_query_and_calibration_among_tasks(session: Session) -> None:
    device = session.device("twin-20")
    with device.stream(order="ordered", pipeline=ToolPipeline(["transpile"])) as stream:
        queue = stream.completion_queue()
        asked: list[TaskFuture] = []
        for number in range(2):
            asked.append(stream.run(STRUCTURES[number], shots=SHOTS))
            asked += [stream.query(subject) for subject in ("status", "calibration", "load")]
            asked.append(stream.calibrate())
        asked.append(stream.query("calibration"))
    assert [completion.future for completion in queue] == asked
    answers = [future.result(0) for future in asked]
    versions = []
    for at in (0, 5):
        result, status, calibration, load, calibrated = answers[at : at + 5]
        assert isinstance(status, DeviceStatus) and status.state is DeviceState.ONLINE
        assert isinstance(load, Load) and (load.running, load.queued) == (0, 0)
        # What the task ran under, until the device is calibrated.
        assert result.calibration == status.calibration == calibration.version != calibrated.version
        versions += [result.calibration, calibrated.version]
    assert versions[1] == versions[2] and len(set(versions)) == 3
    assert answers[-1] == answers[-2] == device.calibration()
