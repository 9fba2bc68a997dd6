"""Devices: on demand, and of a running daemon."""

from __future__ import annotations

import json
import os

import pytest

from qfw.model.program import Gate, Measure, Program
from qfw.qpi.session import Session


def test_without_a_daemon_it_lists_what_one_would_serve(qfw, folder):
    done = qfw("sinfo")
    assert done.returncode == 0
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == [
        "DEVICE",
        "STATE",
        "KIND",
        "ENGINE",
        "QUBITS",
        "SLOTS",
        "RUNNING",
        "QUEUED",
        "VERSION",
    ]
    assert any(line.split()[:2] == ["reference", "on-demand"] for line in lines)
    assert "no daemon runs" in done.stderr
    assert not folder.exists()
    found = json.loads(qfw("sinfo", "--json").stdout)
    assert found["daemon"] is None


def test_settings_are_heeded(qfw, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text("engines = ['reference']\n[workers]\ncount = 3\n")
    (device,) = json.loads(qfw("sinfo", "--json", QFW_CONFIG=str(config)).stdout)["devices"]
    assert (device["device"], device["slots"]) == ("reference", 3)
    config.write_text("engine = ['reference']\n")
    done = qfw("sinfo", QFW_CONFIG=str(config))
    assert done.returncode == 1
    assert "did you mean `engines`?" in done.stderr


def test_a_running_daemon_is_asked_and_not_kept(qfw, folder):
    program = Program(1, 1, 0, (Gate("h", (0,)), Measure(0, 0)))
    with Session(runtime_folder=folder) as session, session.device("reference").stream() as stream:
        stream.run(program, shots=10).result(60)
        found = json.loads(qfw("sinfo", "--json").stdout)
        assert found["daemon"]["pid"] == session.client.welcome.pid
        states = {row["device"]: (row["state"], row["running"]) for row in found["devices"]}
        assert states["reference"] == ("online", 0)
        # The preferred ones first, with a daemon as without.
        assert [device.name for device in session.devices] == list(states)
        listed = qfw("squeue")
        assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 1)
        (daemon,) = [c for c in json.loads(qfw("doctor", "--json").stdout)["checks"] if c["name"] == "daemon"]
        assert f"pid {found['daemon']['pid']}" in daemon["found"]


@pytest.mark.parametrize("command", ["sinfo", "squeue"])
def test_a_runtime_folder_that_cannot_serve_is_said(qfw, folder, command):
    """No session would start a daemon there, so none is promised."""

    def refused(place: object) -> str:
        done = qfw(command, QFW_RUNTIME_DIR=str(place))
        assert (done.returncode, done.stdout) == (1, "")
        assert "no daemon" not in done.stderr and "Set QFW_RUNTIME_DIR" in done.stderr
        return done.stderr

    assert "a Unix socket's path holds 108" in refused(folder.parent / ("x" * 120))
    taken = folder.parent / "file"
    taken.touch()
    assert f"{taken} is not a folder" in refused(taken)
    assert f"{taken} is not a folder" in refused(taken / "below")
    assert not (folder.parent / ("x" * 120)).exists()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a folder away")
@pytest.mark.parametrize("command", ["sinfo", "squeue"])
def test_a_runtime_folder_of_another_user_is_said(qfw, folder, command):
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    done = qfw(command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "belongs to uid 12345" in done.stderr


def test_options_that_are_wrong_are_said_in_words(qfw):
    for words, said in (
        (("run", "--workers", "x", "true"), "'x' is not a whole number of at least 1"),
        (("run", "--workers", "0", "true"), "'0' is not a whole number of at least 1"),
        (("squeue", "--journal", ""), "an empty path"),
    ):
        done = qfw(*words)
        assert done.returncode == 2
        assert said in done.stderr
