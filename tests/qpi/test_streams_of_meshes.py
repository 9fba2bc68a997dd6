"""Streams of meshes: tasks spread by load, named devices, devices that leave, refuse and recalibrate."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from qfw.model.errors import ResultTimeout, UsageError
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import QStream, Request, Session, TaskFuture
from qfw.qpi.pipeline import ToolPipeline
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, long_program, running_daemon, until

ENGINES = 'engines = ["noop", "reference", "qulacs"]\nworkers.count = 2\ndaemon.name = "one"\n'
OTHER = """
engines = ["reference"]
workers.count = 1
daemon.name = "two"
[platforms.twin.options]
seed = 1
clock = "wall"
devices = [%s]
"""
TWINS = ("north", "east", "south", "west")
#: Native to the twins.
FLIP = Program(1, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
#: So many of its shots take a quarter of a second or so of a twin's time.
SHOTS = 1000
SLOW = long_program(3000, 18)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    devices = ", ".join(f'{{ model = "twin-20", name = "{name}" }}' for name in TWINS)
    with running_daemon(ENGINES) as one, running_daemon(OTHER % devices) as two:
        with Session(daemons=[two]) as early:
            early.device("north")
        with Session(daemons=[one, two]) as opened:
            yield opened


def cosines(stream: QStream, count: int, **more: object) -> list[TaskFuture]:
    return [stream.run(SHORT, [n / count], outputs=Z0, **more) for n in range(count)]  # type: ignore[arg-type]


def are_right(futures: list[TaskFuture]) -> None:
    for n, future in enumerate(futures):
        assert cosine_is_right(future.result(LIMIT_S), n / len(futures))


def devices_of(futures: list[TaskFuture]) -> Counter[str]:
    """Tasks by the daemon and the device that ran them."""
    return Counter(f"{f.result(LIMIT_S).timeline.daemon_pid}/{f.result(0).device}" for f in futures)


def test_tasks_of_one_stream_are_spread_over_engines_and_daemons(session: Session) -> None:
    with session.mesh(["reference", "qulacs", "reference@two"]).stream() as stream:
        futures = cosines(stream, 300)
        are_right(futures)
    assert len(devices_of(futures)) == 3


def test_tasks_of_a_named_device_run_there(session: Session) -> None:
    mesh = session.mesh(["reference", "qulacs", "reference@two"])
    with mesh.stream() as stream:
        for name in ("qulacs", mesh.devices[2]):
            futures = cosines(stream, 20, device=name)
            are_right(futures)
            (ran,) = devices_of(futures)
            pid = session.daemons[0 if name == "qulacs" else 1].pid
            assert ran == f"{pid}/{'qulacs' if name == 'qulacs' else 'reference'}"


def test_two_streams_of_one_mesh_do_not_wait_for_each_other(session: Session) -> None:
    """An ordered one, held up, beside a parallel one and a group; the ordered one keeps its order."""
    mesh = session.mesh(["reference", "qulacs", "reference@two"])
    gate = threading.Event()
    with mesh.stream(order="ordered") as ordered, mesh.stream() as parallel:
        held = ordered.call(gate.wait, LIMIT_S)
        behind = cosines(ordered, 30)
        group = mesh.run_group(SHORT, np.linspace(0, 1, 50)[:, None], outputs=Z0, parts=10)
        are_right(cosines(parallel, 100))
        assert group.result(LIMIT_S).sets == 50
        assert not held.done() and not any(future.done() for future in behind)
        gate.set()
        are_right(behind)
    lines = [future.result(0).timeline for future in behind]
    assert all(late.started_ns > early.answered_ns for early, late in itertools.pairwise(lines))


def test_a_short_task_overtakes_a_long_one_in_the_queue_of_a_parallel_stream(session: Session) -> None:
    with session.mesh(["reference", "reference@two"]).stream() as stream:
        queue = stream.completion_queue()
        slow = stream.run(SLOW, [0.5], outputs=Z0, device="reference")
        fast = stream.run(SHORT, [0.5], outputs=Z0, device="reference@two")
        assert queue.get(LIMIT_S).future is fast and not slow.done()
        slow.cancel()
        assert queue.get(LIMIT_S).future is slow


def test_a_device_that_leaves_without_its_tasks_cancels_them(session: Session) -> None:
    mesh = session.mesh(["reference", "reference@two"])
    with mesh.stream() as stream:
        slow = [stream.run(SLOW, [0.5], outputs=Z0, device="reference@two") for _ in range(3)]
        until(lambda: sum(len(track.tasks) for track in mesh._tracks.values()) == 3, "not all have numbers")
        mesh.remove("reference@two", drain=False, timeout=LIMIT_S)
        # The mesh hears of an end before the future does.
        until(lambda: all(future.cancelled() for future in slow), "not all were cancelled")
        are_right(cosines(stream, 10))


def test_the_last_device_leaves_while_a_stream_works(session: Session) -> None:
    mesh = session.mesh(["reference"])
    with mesh.stream() as stream:
        futures = cosines(stream, 50)
        given = [future for future in futures if future.settled]
        mesh.remove("reference", timeout=LIMIT_S)
        late = stream.run(SHORT, [0.5], outputs=Z0)
        with pytest.raises(UsageError, match="every device has left"):
            late.result(LIMIT_S)
        for n, future in enumerate(futures):
            error = future.exception(LIMIT_S)
            assert isinstance(error, UsageError) or cosine_is_right(future.result(0), n / 50)
        assert all(future.exception(0) is None for future in given)


def test_each_object_leads_to_its_neighbours(session: Session) -> None:
    mesh = session.mesh(["reference", "north"])
    assert mesh.session is session and all(device in session.devices for device in mesh.devices)
    pipeline = ToolPipeline(["transpile"])
    with mesh.stream(pipeline=pipeline) as stream, mesh.devices[0].stream() as own:
        assert stream in pipeline.streams and stream.pipeline is pipeline
        assert list(stream.ground.devices) == mesh.devices and list(own.ground.devices) == [mesh.devices[0]]
        queue = stream.completion_queue()
        future = stream.run(SHORT, [0.1], outputs=Z0)
        completion = queue.get(LIMIT_S)
        assert completion.future is future and completion.stream is stream
    assert mesh.devices[0].session is session


def test_the_faster_device_is_given_more(session: Session) -> None:
    with session.mesh(["noop", "reference"]).stream() as stream:
        program = long_program(400, 16)
        futures = stream.run_many([Request(program, [0.5], outputs=())] * 200)
        ran = devices_of(futures)
    assert ran.total() == 200 and len(ran) == 2
    noop, reference = (count for _, count in sorted(ran.items()))
    assert noop > 2 * reference


def runs(futures: list[TaskFuture]) -> list[tuple[int, int]]:
    """When each task's run began and ended, nanoseconds of one clock."""
    lines = [future.result(LIMIT_S).timeline for future in futures]
    return sorted((line.run_began_ns, line.run_ended_ns) for line in lines)


def test_four_twins_work_at_the_same_time_and_one_in_order(session: Session) -> None:
    with session.mesh(TWINS).stream() as parallel:
        futures = [parallel.run(FLIP, shots=SHOTS, device=name, seed=1) for name in TWINS]
        together = runs(futures)
    assert {future.result(0).device for future in futures} == set(TWINS)
    # All four run at one moment.
    assert max(began for began, _ in together) < min(ended for _, ended in together)
    with session.device("north").stream(order="ordered") as ordered:
        alone = runs([ordered.run(FLIP, shots=SHOTS, seed=1) for _ in range(4)])
    assert all(late[0] >= early[1] for early, late in itertools.pairwise(alone))


def test_four_twins_share_the_tasks_of_one_stream(session: Session) -> None:
    with session.mesh(TWINS).stream() as stream:
        ran = devices_of(stream.run_many([Request(FLIP, shots=100, seed=n) for n in range(40)]))
    assert len(ran) == 4 and min(ran.values()) >= 4


def test_the_outcome_of_a_calibration_comes_through_both_queues(session: Session) -> None:
    device = session.device("west")
    before = device.calibration()
    assert before is not None
    with device.stream(order="ordered") as stream, device.event_queue("calibration") as events:
        outcomes = stream.completion_queue("calibrations")
        first = stream.run(FLIP, shots=10)
        calibrated = stream.calibrate()
        last = stream.run(FLIP, shots=10)
        completion = outcomes.get(LIMIT_S)
        assert completion.future is calibrated and completion.kind == "calibrations"
        version = last.result(LIMIT_S).calibration
        assert first.result(0).calibration == before.version != version
        event = events.get(LIMIT_S)
        assert event.device == "west" and event.calibration == version
        with pytest.raises(ResultTimeout):
            outcomes.get(0.01)
