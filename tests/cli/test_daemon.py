"""`qfw daemon`: start in the foreground and in the background, and everything that its owner does with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.config.runtime import log_path, socket_path
from qfw.model.errors import DaemonLost
from qfw.model.events import TaskStarted
from qfw.qpi.session import Session
from tests.cli.conftest import Qfw
from tests.stack import LIMIT_S, SHORT, daemons_of, events_of, is_alive, long_program, until

TEXT = 'engines = ["reference"]\n[workers]\ncount = 1\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(TEXT)
    return path


@contextlib.contextmanager
def background(qfw: Qfw, folder: Path, *arguments: object) -> Iterator[subprocess.CompletedProcess[str]]:
    """A daemon in the background; ended at the end."""
    done = qfw("daemon", "start", "--background", *arguments)
    try:
        yield done
    finally:
        for pid in daemons_of(folder):
            os.kill(pid, signal.SIGTERM)
        until(lambda: not daemons_of(folder), "the daemon's end")


def test_in_the_background_it_serves_when_the_command_returns(qfw: Qfw, folder: Path, config: Path) -> None:
    with background(qfw, folder, "--config", config) as done:
        assert (done.returncode, done.stderr) == (0, "")
        (pid,) = daemons_of(folder)
        assert done.stdout == (
            f"qpmd serves: folder={folder} socket={socket_path(folder)} pid={pid} scope=site; "
            f"export QFW_SITE_DAEMONS={folder}\n"
        )
        with Session(runtime_folder=folder) as session:
            assert session.device("reference").stream().run(SHORT, [0.5]).result(LIMIT_S).sets == 1
            status = json.loads(qfw("daemon", "status", "--json").stdout)
            assert (status["scope"], status["pid"], status["sessions"]) == ("site", pid, 1)
            assert status["config"] == str(config)
        # Its last session has ended, and it has not.
        assert is_alive(pid)
        second = qfw("daemon", "start", "--background", "--config", config)
        assert second.returncode == 1 and f"another qpmd (site, pid {pid}) serves {folder}" in second.stderr
        assert qfw("daemon", "start").returncode == 1
        done = qfw("daemon", "stop")
        assert (done.returncode, done.stdout) == (0, "the daemon has ended\n")
        assert not is_alive(pid) and not socket_path(folder).exists()


@pytest.mark.parametrize("verb", ["drain", "resume", "reload", "stop", "status"])
def test_without_a_daemon_it_is_said(qfw: Qfw, verb: str) -> None:
    done = qfw("daemon", verb)
    assert (done.returncode, done.stdout) == (3, "") and "no daemon answers at" in done.stderr
    assert "start one: qfw daemon start --background" in done.stderr


def test_a_private_one_is_not_to_be_stopped_but_left(qfw: Qfw, folder: Path) -> None:
    with Session(runtime_folder=folder):
        done = qfw("daemon", "start", "--background")
    assert done.returncode == 1 and "end the sessions, or choose another folder with --folder" in done.stderr


def test_in_the_foreground_it_is_the_process_that_was_started(qfw: Qfw, folder: Path, config: Path) -> None:
    """A service manager's signals reach it, and a job's script may end it."""
    command = [sys.executable, "-m", "qfw.cli.main", "daemon", "start", "--config", str(config)]
    environment = os.environ | {"QFW_RUNTIME_DIR": str(folder)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert f"pid={process.pid} " in line and f"folder={folder} " in line
        assert qfw("daemon", "status").returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
        assert "qpmd stops: SIGTERM" in process.stderr.read()


def test_drain_reload_and_resume(qfw: Qfw, folder: Path, config: Path) -> None:
    with background(qfw, folder, "--config", config):
        assert qfw("daemon", "drain").stdout.startswith("new tasks are refused")
        listed = qfw("sinfo")
        assert "takes no new tasks: asked by uid" in listed.stderr
        daemon = json.loads(qfw("sinfo", "--json").stdout)["daemon"]
        assert (daemon["scope"], daemon["name"]) == ("site", "site") and daemon["draining"]
        assert "no, for " in qfw("daemon", "status").stdout
        assert qfw("daemon", "resume").stdout == "new tasks are taken\n"
        assert json.loads(qfw("sinfo", "--json").stdout)["daemon"]["draining"] == ""
        config.write_text(TEXT.replace("count = 1", "count = 2\nmax_attempts = 2"))
        assert "workers.max_attempts" in qfw("daemon", "status").stdout
        outcome = json.loads(qfw("daemon", "reload", "--json").stdout)
        assert (outcome["changed"], outcome["restart"]) == (["workers.max_attempts"], ["workers.count"])
        config.write_text("[workers]\ncount = 'many'\nmax_attemps = 2")
        done = qfw("daemon", "reload")
        assert done.returncode == 1
        assert "2 things are wrong" in done.stderr and "did you mean `max_attempts`?" in done.stderr
        assert "settings are wrong" in qfw("daemon", "status").stdout


def test_a_stop_leaves_what_waits_listed(qfw: Qfw, folder: Path, config: Path) -> None:
    with (
        background(qfw, folder, "--config", config),
        contextlib.suppress(DaemonLost),
        Session(runtime_folder=folder) as session,
    ):
        stream = session.device("reference").stream()
        futures = [stream.run(long_program(gates=3000), [0.5]) for _ in range(3)]
        until(lambda: any(isinstance(event, TaskStarted) for event in events_of(folder)), "a start")
        assert qfw("daemon", "stop").returncode == 0
        assert futures[0].result(LIMIT_S).sets == 1
    rows = json.loads(qfw("squeue", "--json", "--journal", folder / "journal").stdout)
    assert [row["state"] for row in rows] == ["queued"] * 2
    assert qfw("squeue").returncode == 3


def test_where_the_folder_comes_from(qfw: Qfw, folder: Path, config: Path) -> None:
    """--folder, else the file's, else the environment's."""
    other, third = folder.parent / "o", folder.parent / "t"
    config.write_text(TEXT + f'[daemon]\nname = "here"\nscope = "job"\nfolder = "{other}"\n')
    with background(qfw, other, "--config", config) as done:
        assert f"folder={other} " in done.stdout and f"export QFW_JOB_DAEMON={other}\n" in done.stdout
        assert qfw("daemon", "status").returncode == 3
        for options, environment in (
            (["--folder", other], {}),
            ([], {"QFW_CONFIG": str(config)}),
            ([], {"QFW_JOB_DAEMON": str(other)}),
            ([], {"QFW_SITE_DAEMONS": str(other)}),
            (["--name", "here"], {"QFW_SITE_DAEMONS": f"{third}:{other}"}),
            (["--name", "job"], {"QFW_JOB_DAEMON": str(other)}),
        ):
            found = qfw("daemon", "status", "--json", *options, **environment)
            assert found.returncode == 0 and json.loads(found.stdout)["folder"] == str(other), found.stderr
        several = qfw("daemon", "status", QFW_SITE_DAEMONS=f"{third}:{other}")
        assert several.returncode == 1 and "--name" in several.stderr
        unknown = qfw("daemon", "status", "--name", "there", QFW_SITE_DAEMONS=str(other))
        assert unknown.returncode == 3 and str(other) in unknown.stderr
        with background(qfw, third, "--config", config, "--folder", third) as done:
            assert f"folder={third} " in done.stdout


def test_what_is_wrong_is_said_before_anything_starts(
    qfw: Qfw, folder: Path, config: Path, tmp_path: Path
) -> None:
    config.write_text("engines = ['referenz']\n[workers]\nlauncher = 'slrm'\n")
    for mode in ([], ["--background"]):
        done = qfw("daemon", "start", "--config", config, *mode)
        assert done.returncode == 1 and "did you mean 'reference'?" in done.stderr
        assert "workers.launcher" in done.stderr
    assert qfw("daemon", "start", "--config", tmp_path / "none.toml").returncode == 1
    long = qfw("daemon", "start", "--folder", folder.parent / ("x" * 120))
    assert long.returncode == 1 and "a Unix socket's path holds 108" in long.stderr
    assert not folder.exists()


def test_one_that_cannot_come_up_in_the_background_says_why(qfw: Qfw, folder: Path, config: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "journal").touch()
    done = qfw("daemon", "start", "--background", "--config", config)
    assert done.returncode == 1 and "qpmd cannot start" in done.stderr
    assert "journal" in done.stderr and log_path(folder).exists()
    assert not daemons_of(folder)


def test_two_at_the_same_time(folder: Path, config: Path) -> None:
    """One serves, and the other says who does."""
    command = [
        sys.executable,
        "-m",
        "qfw.cli.main",
        "daemon",
        "start",
        "--background",
        "--config",
        str(config),
    ]
    environment = os.environ | {"QFW_RUNTIME_DIR": str(folder)}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=LIMIT_S) for process in started]
    assert sorted(process.returncode for process in started) == [0, 1, 1]
    (pid,) = daemons_of(folder)
    assert sum(f"another qpmd (site, pid {pid}) serves" in error for _, error in said) == 2
    os.kill(pid, signal.SIGTERM)
    until(lambda: not daemons_of(folder), "the daemon's end")
