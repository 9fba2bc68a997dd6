"""Streams of meshes: tasks spread by load, named devices, devices that leave, refuse and recalibrate."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from qfw.model.errors import ResultTimeout
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import QStream, Request, Session, TaskFuture
from qfw.qpi.pipeline import ToolPipeline
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, long_program, running_daemon

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
