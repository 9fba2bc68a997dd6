"""Devices: on demand, and of a running daemon."""

from __future__ import annotations

import json

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
        assert {profile.name for profile in session.devices} == set(states)
        listed = qfw("squeue")
        assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 1)
        (daemon,) = [c for c in json.loads(qfw("doctor", "--json").stdout)["checks"] if c["name"] == "daemon"]
        assert f"pid {found['daemon']['pid']}" in daemon["found"]
