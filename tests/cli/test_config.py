"""`qfw config`: what is wrong with a file and with what it names, and every key of one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from qfw.config import keys
from qfw.config.settings import load
from tests.cli.conftest import Qfw

ROOT = Path(__file__).parents[2]


def checked(qfw: Qfw, path: Path, code: int, **environment: str) -> dict:
    done = qfw("config", "check", path, "--json", **environment)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_a_file_that_can_be_used(qfw: Qfw, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('engines = ["reference"]\n[workers]\ncount = 2\n[platforms.lab]\nplugin = "twin"\n')
    found = checked(qfw, path, 0)
    assert found["usable"] and not found["problems"]
    values = {value["key"]: (value["value"], value["given"]) for value in found["values"]}
    assert values["workers.count"] == (2, True) and values["workers.threads"] == (1, False)
    assert values["platforms.lab.plugin"] == ("twin", True)
    assert values["platforms.lab.grace_s"] == (1.0, False)
    done = qfw("config", "check", path)
    assert "can be used" in done.stderr
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
    assert lines["workers.count"] == ["2", "file"] and lines["daemon.scope"] == ['"site"', "default"]
    assert not folder.exists()


def test_all_that_is_wrong_is_listed(qfw: Qfw, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('engine = []\nunread_bytes = 1\n[daemon]\nscope = "world"\n')
    found = checked(qfw, path, 1)
    assert not found["usable"] and not found["values"]
    assert [problem.split()[0].rstrip(":") for problem in found["problems"]] == [
        "engine",
        "unread_bytes",
        "daemon.scope",
    ]
    done = qfw("config", "check", path)
    assert (done.returncode, done.stdout) == (1, "")
    *lines, last = done.stderr.splitlines()
    assert [line.startswith(f"qfw: {path}: ") for line in lines] == [True] * 3
    assert last.endswith("are looked at once this is mended")


def test_what_a_file_names_is_looked_at(qfw: Qfw, tmp_path: Path) -> None:
    path, empty, older = tmp_path / "s.toml", tmp_path / "empty", tmp_path / "older"
    empty.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    older.write_text("#!/bin/sh\nprintf 0.0.1\n")
    for script in (empty, older):
        script.chmod(0o755)
    path.write_text(
        f"""
        engines = ["reference", "refrence", "noop"]
        [workers]
        launcher = "loca"
        [daemon]
        name = "a b"
        folder = "relative"
        [platforms.nobody]
        [platforms.simulators]
        [platforms.gone]
        plugin = "twin"
        python = "/no/such/python"
        [platforms.empty]
        plugin = "twin"
        python = "{empty}"
        [platforms.older]
        plugin = "twin"
        python = "{older}"
        """
    )
    found = " \n".join(checked(qfw, path, 1)["problems"])
    for part in (
        "engines: no engine is called 'refrence'; did you mean 'reference'?",
        "workers.launcher: no launcher is called 'loca'; did you mean 'local'?",
        'daemon.name is "a b"; allowed: letters',
        'daemon.folder is "relative"; allowed: an absolute path',
        "platforms.nobody: no platform is called 'nobody'. There are: ",
        "platforms.simulators: simulators runs within the daemon",
        "platforms.gone.python: /no/such/python cannot be started: No such file or directory",
        f"platforms.empty.python: {empty} has no QFw (ModuleNotFoundError",
        f"platforms.older.python: {older} has qfw 0.0.1, this is",
    ):
        assert part in found, (part, found)


def test_options_that_a_platform_refuses_and_memory_that_nobody_has(qfw: Qfw, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("engines = ['reference']\n[platforms.twin.options]\ndevises = ['twin-20']\n")
    (problem,) = checked(qfw, path, 1)["problems"]
    assert problem.startswith("platforms.twin: ") and "did you mean `devices`?" in problem
    path.write_text("engines = ['reference']\n[workers]\nmemory_bytes = 1000\n")
    (problem,) = checked(qfw, path, 1)["problems"]
    assert problem.startswith("workers: workers.memory_bytes is 1000; an engine takes")


@pytest.mark.parametrize("where", ["long", "shared", "foreign", "file"])
def test_the_folder_is_looked_at(qfw: Qfw, folder: Path, tmp_path: Path, where: str) -> None:
    place, said = folder.parent / where, ""
    if where == "long":
        place, said = folder.parent / ("x" * 120), "a Unix socket's path holds 108"
    elif where == "file":
        place.touch()
        said = f"{place} is not a folder"
    else:
        place.mkdir()
        place.chmod(0o777 if where == "shared" else 0o700)
        said = "may be written by others"
        if where == "foreign":
            if os.getuid():
                place, said = Path("/"), "belongs to uid 0"
            else:
                os.chown(place, 65534, 65534)
                said = "belongs to uid 65534"
    path = tmp_path / "s.toml"
    path.write_text(f'engines = ["reference"]\n[daemon]\nfolder = "{place}"\n')
    (problem,) = checked(qfw, path, 1)["problems"]
    assert problem.startswith("daemon.folder: ") and said in problem


def test_a_file_that_is_not_there(qfw: Qfw, tmp_path: Path) -> None:
    assert checked(qfw, tmp_path / "none", 1)["problems"] == [
        "No such file or directory; give a readable TOML file or none"
    ]


def test_every_key_is_shown(qfw: Qfw) -> None:
    done = qfw("config", "show")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert names == [key.name for key in keys.every_key()]
    found = {row["name"]: row for row in json.loads(qfw("config", "show", "--json").stdout)}
    assert found["workers.count"]["allowed"] == "a whole number from 0 to 4096"
    assert found["workers.max_attempts"]["live"] and not found["workers.count"]["live"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").rglob("*.toml")), ids=lambda path: path.parent.name
)
def test_examples_can_be_used(qfw: Qfw, path: Path) -> None:
    load(path)
    assert checked(qfw, path, 0)["usable"]
