"""What the doctor finds, and what it says to do."""

from __future__ import annotations

import json


def checks(done) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_sound_machine(qfw, folder):
    done = qfw("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["usable"] is True
    found = checks(done)
    assert found["engine reference"]["verdict"] == "ok"
    assert "ran a circuit" in found["engine reference"]["found"]
    assert {"qfw", "python", "machine", "settings", "runtime folder", "lock", "daemon"} <= set(found)
    assert {"pennylane", "qiskit"} <= set(found)
    assert all(check["remedy"] for check in found.values() if check["verdict"] != "ok")
    assert not folder.exists()


def test_for_people(qfw):
    done = qfw("doctor")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == ["CHECK", "VERDICT", "FOUND"]


def test_a_folder_that_others_may_write_to(qfw, folder):
    folder.mkdir()
    folder.chmod(0o777)
    done = qfw("doctor", "--json")
    assert done.returncode == 1
    check = checks(done)["runtime folder"]
    assert check["verdict"] == "problem"
    assert f"chmod 700 {folder}" in check["found"]


def test_a_path_that_is_too_long(qfw, tmp_path):
    done = qfw("doctor", "--json", QFW_RUNTIME_DIR=str(tmp_path / ("x" * 120)))
    assert done.returncode == 1
    assert "SocketPathTooLong" in checks(done)["runtime folder"]["found"]


def test_settings_that_are_wrong(qfw, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text("[workers]\ncuont = 3\n")
    done = qfw("doctor", "--json", QFW_CONFIG=str(config))
    assert done.returncode == 1
    assert "did you mean `count`?" in checks(done)["settings"]["found"]


def test_a_lock_that_is_held(qfw, folder):
    import fcntl

    folder.mkdir(mode=0o700)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = qfw("doctor", "--json")
    assert done.returncode == 1
    assert checks(done)["lock"]["verdict"] == "problem"
