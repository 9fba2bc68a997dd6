"""Hosts of a real daemon: their tasks are answered or fail with typed errors, and others' go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.model.device import DeviceState
from qfw.model.errors import (
    DeadlineExceeded,
    PlatformFailed,
    QFwError,
    SetupError,
    TaskInterrupted,
    WorkerLost,
    WrongAnswer,
)
from qfw.model.task import TaskOptions
from qfw.processes import cgroup
from qfw.qpi import Session
from tests.hosts.stand import PLUGINS
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, daemons_of, runtime_folder, until


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of daemons that have the hostile platform installed."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGINS), str(Path(__file__).parents[2] / "src")]))
    with runtime_folder() as made:
        yield made


def open_session(folder: Path, do: str, options: str = "") -> Session:
    config = folder / "settings.toml"
    config.write_text(
        'engines = ["reference"]\n[workers]\ncount = 1\nmax_attempts = 2\n'
        "[platforms.hostile]\nanswer_limit_s = 1.0\ngrace_s = 0.2\n"
        f'max_processes = 40\noptions = {{ do = "{do}"{options} }}\n'
    )
    found: list[Session] = []

    def serves() -> bool:
        # A session knows the devices that there were when it was opened.
        found.append(Session(runtime_folder=folder, config=config))
        return "hostile" in {device.name for device in found[-1].devices}

    until(serves, "the device in a host")
    for session in found[:-1]:
        session.close()
    return found[-1]


def test_a_task_is_answered_by_a_platform_in_a_host(folder: Path) -> None:
    with open_session(folder, "answer") as session:
        result = session.device("hostile").stream().run(SHORT, [0.3], outputs=Z0).result(LIMIT_S)
        assert result.expectation_values[0, 0] == 0.5


#: Its host is lost while the task runs, as often as a task is tried.
LOST = WorkerLost
#: Found by its task's deadline, or by a ping, whichever is first.
STUCK = (DeadlineExceeded, WorkerLost)


@pytest.mark.parametrize(
    ("do", "kinds"),
    [
        ("hang", STUCK),
        ("silent", DeadlineExceeded),
        ("stale", DeadlineExceeded),
        ("fork", STUCK),
        ("die", LOST),
        ("kill", LOST),
        ("events", LOST),
        ("garbage", LOST),
        ("giant", LOST),
        ("shape", WrongAnswer),
        ("nan", WrongAnswer),
        ("raise", PlatformFailed),
    ],
)
def test_tasks_of_a_hostile_platform_fail_typed_and_others_go_on(
    folder: Path, do: str, kinds: type[QFwError] | tuple[type[QFwError], ...]
) -> None:
    if do == "fork":
        try:
            cgroup.make(f"qfw-test-{os.getpid()}", 10).remove()
        except SetupError:
            pytest.skip("no pids cgroup can be had")
    with open_session(folder, do) as session:
        # What a host says is read a little at a time: too many events may be found out behind so short a limit.
        options = TaskOptions(time_limit_s=20.0 if do == "events" else 0.5)
        future = session.device("hostile").stream().run(SHORT, [0.3], outputs=Z0, options=options)
        other = session.device("reference").stream().run(SHORT, [0.3], outputs=Z0)
        assert cosine_is_right(other.result(LIMIT_S), 0.3)
        with pytest.raises(kinds):
            future.result(LIMIT_S)
        status = session.device("hostile").status()
        # What is not there to run tasks says why.
        assert status.state is DeviceState.ONLINE or status.reason


def test_a_second_answer_is_dropped_by_the_daemon(folder: Path) -> None:
    with open_session(folder, "twice") as session:
        stream = session.device("hostile").stream()
        results = [stream.run(SHORT, [0.3], outputs=Z0).result(LIMIT_S) for _ in range(3)]
        assert [result.expectation_values[0, 0] for result in results] == [0.5] * 3


def test_a_task_runs_again_where_its_device_does_that(folder: Path) -> None:
    with open_session(folder, "die_once", f', at_close = "{folder / "died"}"') as session:
        result = session.device("hostile").stream().run(SHORT, [0.3], outputs=Z0).result(LIMIT_S)
        assert result.expectation_values[0, 0] == 0.5
        assert (folder / "died").exists()


def test_an_interrupted_task_is_not_repeated_on_hardware(folder: Path) -> None:
    options = f', at_close = "{folder / "died"}", reruns = false'
    with open_session(folder, "die_once", options) as session:
        stream = session.device("hostile").stream()
        with pytest.raises(TaskInterrupted):
            stream.run(SHORT, [0.3], outputs=Z0).result(LIMIT_S)


def test_the_platform_closes_when_the_daemon_ends(folder: Path) -> None:
    said = folder / "said"
    with open_session(folder, "answer", f', at_close = "{said}"'):
        assert not said.exists()
    until(lambda: not daemons_of(folder), "the daemon ends with its last session")
    assert said.read_text() == "closed"
