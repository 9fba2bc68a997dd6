"""What a client keeps of a device is believed as long as it is so, and no longer: with a daemon, and without one."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qfw.config.runtime import revision_path
from qfw.model.errors import DaemonLost, UsageError
from qfw.model.program import Gate, Program
from qfw.qpi import Session
from qfw.qpi.device import Device
from qfw.qpi.pipeline import ToolPipeline
from tests.stack import LIMIT_S, daemons_of, runtime_folder, until

SETTINGS = """
engines = ["reference"]
workers.count = 1
[platforms.twin.options]
clock = "virtual"
seed = 5
devices = ["twin-20"]
"""
PROGRAM = Program(1, 0, 0, (Gate("h", (0,)),))
PIPELINE = ToolPipeline(["reduce"])


@pytest.fixture
def folder() -> Iterator[Path]:
    with runtime_folder() as made:
        (made / "settings.toml").write_text(SETTINGS)
        yield made


def opened(folder: Path) -> Session:
    return Session(runtime_folder=folder, config=folder / "settings.toml")


def recalibrated(device: Device) -> str:
    """The version of its new calibration, as the daemon answers."""
    return str(device.native("calibrate")({}, timeout_s=LIMIT_S)["calibration"])


def is_missed(device: Device) -> bool:
    """Whether lowering says that the daemon is gone."""
    try:
        PIPELINE.lower(PROGRAM, device)
    except DaemonLost:
        return True
    return False


def follow(device: Device, watching: Device, rounds: int) -> None:
    """Whoever was told of a new calibration finds it everywhere, at once."""
    seen = {watching.target().version}
    for _ in range(rounds):
        version = recalibrated(device)
        # The very next look, of one who has a connection of its own.
        found = PIPELINE.lower(PROGRAM, watching).calibration, device.target().version
        assert found == (version, version)
        seen.add(version)
        assert watching.target() is watching.target()
    assert len(seen) == rounds + 1


def test_the_very_next_lowering_is_for_the_new_calibration(folder: Path) -> None:
    with opened(folder) as one, opened(folder) as other:
        follow(one.device("twin-20"), other.device("twin-20"), 100)


def test_who_hears_of_a_calibration_first_lowers_for_it(folder: Path) -> None:
    with opened(folder) as one, opened(folder) as other:
        device, watching = one.device("twin-20"), other.device("twin-20")
        with device.stream() as stream, device.event_queue({"calibration"}) as events:
            for _ in range(100):
                watching.target()
                asked = stream.calibrate()
                # It is told before the operation is answered.
                told = events.get(LIMIT_S).calibration
                assert watching.target().version == told
                assert asked.result(LIMIT_S).version == told


def test_many_threads_see_versions_in_their_order(folder: Path) -> None:
    with opened(folder) as session, opened(folder) as other:
        device, watching = session.device("twin-20"), other.device("twin-20")
        told = [device.target().version]
        wrong: list[object] = []
        over = threading.Event()

        def look() -> None:
            try:
                while not over.is_set():
                    known = len(told) - 1
                    version = watching.target().version
                    # What was told before the look began is the oldest that may come.
                    if version in told[:known]:
                        wrong.append((version, known))
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            told.append(recalibrated(device))
        over.set()
        for thread in threads:
            thread.join(LIMIT_S)
        assert not wrong and watching.target().version == told[-1]


def test_nothing_is_asked_while_nothing_changes(folder: Path) -> None:
    with opened(folder) as session:
        device = session.device("twin-20")
        kept = device.target()
        pid = session.client.welcome.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            # It could not answer.
            assert all(device.target() is kept for _ in range(1000))
            assert device.calibration() is kept.calibration
            assert PIPELINE.lower(PROGRAM, device).calibration == kept.version
        finally:
            os.kill(pid, signal.SIGCONT)


def test_a_daemon_that_was_killed_is_missed(folder: Path) -> None:
    session = opened(folder)
    device = session.device("twin-20")
    PIPELINE.lower(PROGRAM, device)
    pid = session.client.welcome.pid
    os.kill(pid, signal.SIGKILL)
    # Until the system has closed its sockets nothing tells of its death; nothing changes in that time.
    until(lambda: is_missed(device), "it is gone")
    assert revision_path(folder).exists()
    with pytest.raises(DaemonLost):
        PIPELINE.lower(PROGRAM, device)
    with opened(folder) as later:
        # Another daemon, with the file of the first one in its way.
        assert later.client.welcome.pid != pid
        follow(later.device("twin-20"), later.device("twin-20"), 3)
        with pytest.raises(DaemonLost):
            PIPELINE.lower(PROGRAM, device)
    session.close()
    with pytest.raises(UsageError):
        PIPELINE.lower(PROGRAM, device)


def test_a_daemon_that_ended_takes_its_file_with_it(folder: Path) -> None:
    with opened(folder) as session:
        session.device("twin-20").target()
        assert revision_path(folder).exists()
    until(lambda: not daemons_of(folder), "it has ended")
    assert not revision_path(folder).exists()


def test_whatever_becomes_of_the_file(folder: Path) -> None:
    with opened(folder) as session:
        device, path = session.device("twin-20"), revision_path(folder)
        spoils: list[Callable[[], object]] = [
            lambda: os.truncate(path, 2**20),
            lambda: os.truncate(path, 0),
            lambda: os.truncate(path, 20),
            lambda: path.write_bytes(b"\xff" * 24),
            lambda: path.replace(path.with_suffix(".elsewhere")),
            lambda: path.write_bytes(b"\xff" * 24),
        ]
        for spoil in spoils:
            device.target()
            spoil()
            follow(device, device, 2)
            # Nor does one who comes later need it.
            with opened(folder) as other:
                follow(device, other.device("twin-20"), 2)


def test_without_the_file_every_look_is_a_question(folder: Path) -> None:
    with opened(folder) as session:
        path = revision_path(folder)
        shutil.copy(path, path.with_suffix(".kept"))
        path.unlink()
        with opened(folder) as other:
            assert session.client.revision() is not None and other.client.revision() is None
            follow(session.device("twin-20"), other.device("twin-20"), 3)


def test_a_forked_child_is_told_what_it_was_before(folder: Path) -> None:
    with opened(folder) as session:
        device = session.device("twin-20")
        device.target()
        child = os.fork()
        if not child:
            try:
                device.target()
                os._exit(1)
            except UsageError:
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert device.target() is device.target()
