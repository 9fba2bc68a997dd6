"""Streams over meshes: where tasks go, how they end, and what devices do to them that leave, refuse or die."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qfw.model.errors import DaemonLost, NoCapacity, OptionError, TaskInterrupted, UsageError
from qfw.model.outputs import Counts
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import Device, Mesh, QStream, Request, Session, TaskFuture
from qfw.qpm.remote import Observer
from tests.stack import SHORT, Z0, cosine_is_right, long_program, running_daemon, until

#: No wait here is longer; reaching it is a failure.
LIMIT_S = 20.0
ONE = 'engines = ["reference", "qulacs"]\nworkers.count = 2\ndaemon.name = "one"\n'
TWO = 'engines = ["reference"]\nworkers.count = 2\ndaemon.name = "two"\n'
TWINS = """
engines = ["reference"]
workers.count = 1
[platforms.twin.options]
seed = 1
clock = "wall"
devices = [%s]
"""
#: Native to the twins.
FLIP = Program(1, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
NAMES = ("first", "second", "third", "fourth")


#: A minute of work on a free core, and more on a busy one.
LONG = long_program(80_000)


@pytest.fixture(scope="module")
def folders() -> Iterator[tuple[Path, Path]]:
    with running_daemon(ONE) as one, running_daemon(TWO) as two:
        yield one, two


@pytest.fixture(scope="module")
def session(folders: tuple[Path, Path]) -> Iterator[Session]:
    with Session(daemons=list(folders)) as opened:
        yield opened


@pytest.fixture
def mesh(session: Session) -> Mesh:
    return session.mesh(["reference", "reference@two"])


@pytest.fixture(scope="module")
def twins() -> Iterator[Session]:
    devices = ", ".join(f'{{ model = "twin-20", name = "{name}" }}' for name in NAMES)
    with running_daemon(TWINS % devices) as folder, Session(daemons=[folder]) as opened:
        yield opened


def short(stream: QStream, angle: float = 0.5, **how: Any) -> TaskFuture:
    return stream.run(SHORT, [angle], outputs=Z0, **how)


def long(stream: QStream, **how: Any) -> TaskFuture:
    """Runs for longer than any test, unless it is cancelled."""
    return stream.run(LONG, [0.5], outputs=Z0, **how)


def many(stream: QStream, count: int) -> list[TaskFuture]:
    return stream.run_many([Request(SHORT, [k / 100], outputs=Z0) for k in range(count)])


def all_right(futures: list[TaskFuture]) -> bool:
    return all(cosine_is_right(future.result(LIMIT_S), k / 100) for k, future in enumerate(futures))


def where(mesh: Mesh, futures: list[TaskFuture]) -> set[str]:
    """The devices that ran tasks: each result names its own, and the daemon by its pid."""
    pids = {device.name: device.client.welcome.pid for device in mesh}
    results = [future.result(LIMIT_S) for future in futures]
    assert all(result.timeline.daemon_pid == pids[result.device] for result in results)
    return {result.device for result in results}


def fill(stream: QStream, mesh: Mesh, device: Device) -> list[TaskFuture]:
    """Long tasks, so many that the device is given no more."""
    slow = [long(stream, device=device) for _ in range(4 * device.profile.slots)]
    until(lambda: len(mesh._tracks[device].tasks) == len(slow), "the device was not filled")
    return slow


def end(futures: list[TaskFuture]) -> None:
    for future in futures:
        future.cancel()


# Where tasks go --------------------------------------------------------------------------------------


def test_tasks_of_a_stream_are_spread(session: Session, mesh: Mesh) -> None:
    with mesh.stream() as stream:
        futures = many(stream, 200)
        assert all_right(futures)
    ran = [future.result(0) for future in futures]
    assert where(mesh, futures) == {"reference", "reference@two"}
    assert len({(result.timeline.daemon_pid, result.task) for result in ran}) == 200


def test_a_named_device_runs_the_task(session: Session, mesh: Mesh) -> None:
    with mesh.stream() as stream:
        futures = {
            name: [short(stream, 0.3, device=name) for _ in range(20)]
            for name in ("reference@two", "reference")
        }
        by_object = short(stream, 0.3, device=mesh.devices[1])
        for name, given in futures.items():
            assert where(mesh, given) == {name}
        assert where(mesh, [by_object]) == {"reference@two"}
        # One that is not here is the operation's error: devices of a mesh come and go until it begins.
        for wrong in ("qulacs", session.device("qulacs"), "no such device"):
            with pytest.raises(UsageError, match=r"not in the mesh, which has reference, reference@two"):
                short(stream, device=wrong).result(LIMIT_S)
        assert cosine_is_right(short(stream, 0.2).result(LIMIT_S), 0.2)


def test_one_program_on_two_engines_and_a_second_daemon_compares(session: Session) -> None:
    mesh = session.mesh(["reference", "qulacs", "reference@two"])
    names = [device.name for device in mesh]
    angles = [[0.1], [0.7], [2.9]]
    futures = mesh.run_on_all(SHORT, angles, outputs=Z0)
    assert list(futures) == names == ["reference", "qulacs", "reference@two"]
    with mesh.stream() as stream:
        streamed = {name: stream.run(SHORT, angles, outputs=Z0, device=name) for name in names}
        for found in (futures, streamed):
            results = {name: future.result(LIMIT_S) for name, future in found.items()}
            assert all(where(mesh, [future]) == {name} for name, future in found.items())
            for result in results.values():
                np.testing.assert_allclose(
                    result.expectation_values[:, 0], np.cos(np.ravel(angles)), atol=1e-9
                )


# Devices leave, refuse, die --------------------------------------------------------------------------


def test_a_leaving_device_is_cancelled_by_number(session: Session, mesh: Mesh) -> None:
    leaving = session.device("reference@two")
    with mesh.stream() as stream:
        slow = fill(stream, mesh, leaving)
        behind = long(stream, device=leaving)
        others = many(stream, 30)
        mesh.remove(leaving, drain=False, timeout=LIMIT_S)
        stream.drain(LIMIT_S)
        assert all(future.cancelled() for future in slow)
        # What had not been given to it finds it gone.
        assert isinstance(behind.exception(0), UsageError)
        assert all_right(others) and where(mesh, others) == {"reference"}
    assert not mesh._leaving and not any(track.in_flight or track.tasks for track in mesh._tracks.values())


def test_a_device_that_leaves_while_it_is_being_given_tasks_loses_them(session: Session, mesh: Mesh) -> None:
    """At whatever point of its beginning a task is, it does not run to its end, and the device is let go."""
    leaving = session.device("reference@two")
    with mesh.stream() as stream:
        for _ in range(20):
            slow = [long(stream, device=leaving) for _ in range(3)]
            mesh.remove(leaving, drain=False, timeout=LIMIT_S)
            stream.drain(LIMIT_S)
            assert all(
                future.cancelled() or isinstance(future.exception(LIMIT_S), UsageError) for future in slow
            )
            assert not mesh._leaving
            mesh.add(leaving)
        assert where(mesh, [short(stream, device=leaving)]) == {leaving.name}


def test_the_last_device_leaves(session: Session) -> None:
    mesh = session.mesh(["reference"])
    with mesh.stream() as stream:
        gate = threading.Event()
        futures = many(stream, 8)
        until(lambda: all(future.settled or future.tasks for future in futures), "they were not given")
        held = stream.call(gate.wait, LIMIT_S)
        mesh.remove("reference", timeout=LIMIT_S)
        assert all_right(futures)
        later = [short(stream), *many(stream, 5), short(stream, device="reference")]
        for future in later:
            assert isinstance(future.exception(LIMIT_S), UsageError)
        # What needs no device goes on.
        gate.set()
        assert held.result(LIMIT_S) is True
        stream.drain(LIMIT_S)
        mesh.add("reference")
        assert cosine_is_right(short(stream, 0.4).result(LIMIT_S), 0.4)


def test_a_full_last_device_leaves(session: Session) -> None:
    """Tasks that wait for room on it learn that there will be none."""
    mesh = session.mesh(["reference"])
    with mesh.stream() as stream, mesh.stream() as other:
        slow = fill(stream, mesh, session.device("reference"))
        waiting = [*many(stream, 5), *many(other, 5)]
        mesh.remove("reference", timeout=0)
        for future in waiting:
            assert "every device has left" in str(future.exception(LIMIT_S))
        end(slow)
        assert all(future.cancelled() for future in slow)


def test_a_device_that_joins_is_given_what_waits(session: Session) -> None:
    mesh = session.mesh(["reference"])
    with mesh.stream() as stream:
        slow = fill(stream, mesh, session.device("reference"))
        waiting = many(stream, 20)
        mesh.add("reference@two")
        assert all_right(waiting) and not any(future.settled for future in slow)
        assert where(mesh, waiting) == {"reference@two"}
        end(slow)


def test_a_task_that_was_refused_goes_elsewhere(
    mesh: Mesh, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[tuple[str, BaseException]] = []
    again = mesh.again

    def noted(device: Device, error: BaseException) -> bool:
        refused.append((device.name, error))
        return again(device, error)

    monkeypatch.setattr(mesh, "again", noted)
    # Else the mesh may know of the drain before it gives the device anything.
    monkeypatch.setattr(mesh._waits, "wanted", lambda: None)
    with Observer(folders[1]) as owner, mesh.stream() as stream:
        owner.control("drain")
        try:
            futures = many(stream, 50)
            assert all_right(futures) and where(mesh, futures) == {"reference"}
            assert refused and all(
                name == "reference@two" and isinstance(error, NoCapacity) for name, error in refused
            )
            # Who asked for it by name is told.
            with pytest.raises(NoCapacity, match="drain"):
                short(stream, device="reference@two").result(LIMIT_S)
        finally:
            owner.control("resume")


def test_a_daemon_that_is_killed_takes_only_its_own_tasks(folders: tuple[Path, Path]) -> None:
    with running_daemon(TWO) as doomed, Session(daemons=[folders[0], doomed]) as session:
        mesh = session.mesh(["reference", "reference@two"])
        dying = session.device("reference@two")
        with mesh.stream() as stream:
            queue = stream.completion_queue()
            slow = [long(stream, device=dying) for _ in range(3)]
            until(lambda: len(mesh._tracks[dying].tasks) >= 3, "nothing was given to it")
            spread = many(stream, 200)
            os.kill(dying.client.welcome.pid, signal.SIGKILL)
            for future in slow:
                assert isinstance(future.exception(LIMIT_S), DaemonLost | TaskInterrupted)
            for k, future in enumerate(spread):
                error = future.exception(LIMIT_S)
                assert isinstance(error, DaemonLost | TaskInterrupted) or (
                    error is None and cosine_is_right(future.result(0), k / 100)
                )
            # What comes later goes to the one that lives.
            later = many(stream, 20)
            assert all_right(later) and where(mesh, later) == {"reference"}
            with pytest.raises(DaemonLost):
                short(stream, device=dying).result(LIMIT_S)
        assert len(list(queue)) == len(slow) + len(spread) + len(later) + 1


# Several streams; orders -----------------------------------------------------------------------------


def test_two_streams_of_one_mesh_do_not_wait_for_each_other(session: Session, mesh: Mesh) -> None:
    first, second = session.device("reference"), session.device("reference@two")
    with mesh.stream() as one, mesh.stream() as other:
        slow = fill(one, mesh, first)
        # Half of the mesh is full.
        assert all_right(many(other, 50))
        more = fill(one, mesh, second)
        # All of it is; what has nothing under way itself is told of room.
        waiting = many(other, 10)
        assert not any(future.done() for future in waiting)
        end(more)
        assert all_right(waiting) and not any(future.settled for future in slow)
        end(slow)


def test_room_on_one_device_is_told_to_a_stream_that_has_tasks_on_another(
    session: Session, mesh: Mesh
) -> None:
    first, second = session.device("reference"), session.device("reference@two")
    with mesh.stream() as one, mesh.stream() as other:
        slow = fill(one, mesh, second)
        own = long(other, device=first)
        until(lambda: mesh._tracks[first].tasks, "it was not given")
        waiting = short(other, 0.3, device=second)
        end(slow)
        assert cosine_is_right(waiting.result(LIMIT_S), 0.3) and not own.settled
        end([own])


def test_both_streams_full_go_on_when_there_is_room(mesh: Mesh) -> None:
    with mesh.stream() as one, mesh.stream() as other:
        pairs = [
            stream.run(long_program(24, 10), [0.5], outputs=Z0) for _ in range(25) for stream in (one, other)
        ]
        assert all(cosine_is_right(future.result(LIMIT_S), 0.5) for future in pairs)
    assert not any(track.in_flight or track.tasks for track in mesh._tracks.values())


def test_ordered_and_parallel_side_by_side(mesh: Mesh) -> None:
    with mesh.stream(order="ordered") as ordered, mesh.stream() as parallel:
        in_order, as_they_come = ordered.completion_queue(), parallel.completion_queue()
        futures = []
        others = []
        for k in range(60):
            futures.append(short(ordered, k / 100))
            others += [short(parallel, k / 100), short(parallel, k / 100)]
    found = list(in_order)
    assert [completion.index for completion in found] == list(range(60))
    assert [completion.future for completion in found] == futures and all_right(futures)
    lines = [future.result(0).timeline for future in futures]
    assert all(late.run_began_ns >= early.run_ended_ns for early, late in itertools.pairwise(lines))
    assert sorted(completion.index for completion in as_they_come) == list(range(120))
    assert all_right(others[::2]) and all_right(others[1::2])


def test_a_short_task_overtakes_a_long_one(session: Session, twins: Session) -> None:
    mesh = twins.mesh(["first", "second"])
    with mesh.stream() as stream:
        queue = stream.completion_queue()
        slow = stream.run(FLIP, shots=shots_of(twins, 20.0), device="first")
        quick = [stream.run(FLIP, shots=10, device="second") for _ in range(5)]
        assert [queue.get(LIMIT_S).future for _ in quick] == quick and not slow.settled
        assert slow.cancel()
        assert queue.get(LIMIT_S).future is slow


# Devices that take their time ------------------------------------------------------------------------


def shots_of(twins: Session, seconds: float) -> int:
    """So many take a twin so long."""
    value = twins.choose(FLIP, shots=1000, among=["first"]).considered[0].value
    assert value is not None
    return round(1000 * seconds / value)


def test_four_twins_overlap(twins: Session) -> None:
    mesh, shots = twins.mesh(NAMES), shots_of(twins, 0.25)
    with mesh.stream() as stream:
        futures = [stream.run(FLIP, shots=shots, outputs=(Counts(),)) for _ in range(4)]
        results = [future.result(LIMIT_S) for future in futures]
        assert {result.device for result in results} == set(NAMES)
        assert all(sum(result.counts[0].values()) == shots for result in results)
        lines = [result.timeline for result in results]
        # All four at one moment.
        assert max(line.run_began_ns for line in lines) < min(line.run_ended_ns for line in lines)
    with twins.mesh(["first"]).stream(order="ordered") as stream:
        alone = [stream.run(FLIP, shots=shots // 5, outputs=(Counts(),)) for _ in range(4)]
        lines = [future.result(LIMIT_S).timeline for future in alone]
    assert all(early.run_ended_ns <= late.run_began_ns for early, late in itertools.pairwise(lines))


def test_a_group_is_one_operation_of_a_stream(session: Session, mesh: Mesh) -> None:
    angles = [[k / 20] for k in range(40)]
    with mesh.stream(order="ordered") as stream:
        queue = stream.completion_queue()
        before = short(stream)
        group = stream.run_group(SHORT, angles, outputs=Z0, parts=6)
        doubled = stream.call(lambda found: 2 * found.expectation_values[:, 0], group)
    assert [completion.future for completion in queue] == [before, group, doubled], (
        "the whole is told, not its parts"
    )
    alone = session.device("reference").stream().run(SHORT, angles, outputs=Z0).result(LIMIT_S)
    # Sums of batches of other sizes differ in the last bit.
    assert np.allclose(group.result(0).expectation_values, alone.expectation_values, atol=1e-14)
    assert np.array_equal(doubled.result(0), 2 * group.result(0).expectation_values[:, 0])


def test_a_group_of_a_stream_is_refused_fails_and_is_cancelled(session: Session, mesh: Mesh) -> None:
    with session.device("reference").stream() as stream, pytest.raises(UsageError, match=r"by Mesh\.stream"):
        stream.run_group(SHORT, [[0.1], [0.2]], outputs=Z0)
    with mesh.stream() as stream:
        queue = stream.completion_queue()
        with pytest.raises(OptionError, match="split"):
            stream.run_group(SHORT, [[0.1]], split="halves", outputs=Z0)
        slow = stream.run_group(LONG, [[0.1], [0.2], [0.3], [0.4]], outputs=Z0, parts=4)
        until(lambda: any(track.tasks for track in mesh._tracks.values()), "a part was not sent")
        assert slow.cancel() and slow.cancelled()
        assert cosine_is_right(short(stream).result(LIMIT_S), 0.5)
    assert sorted(completion.kind for completion in queue) == ["failures", "results"]
