"""`qfw tools`: what is installed, with options; what is broken, with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qfw.cli import main as cli
from tests.cli.conftest import Qfw
from tests.toolchain.plugins import install, run


def test_our_own_tools_are_listed(qfw: Qfw) -> None:
    done = qfw("tools")
    assert done.returncode == 0, done.stderr
    assert "transpile" in done.stdout and "equivalence" in done.stdout
    assert "level" in done.stdout and "0 to 3" in done.stdout
    (row,) = [row for row in json.loads(qfw("tools", "--json").stdout) if row["tool"] == "reduce"]
    assert row["options"] == {} and row["runs"] == "anywhere" and row["reason"] == ""


def test_a_strangers_tools_are_too_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    folder = install(tmp_path)
    done = run(folder, "-m", "qfw.cli.main", "tools", "--json")
    assert done.returncode == 1, done.stderr
    rows = {row["tool"]: row for row in json.loads(done.stdout)}
    assert rows["here"]["runs"] == "application" and rows["here"]["keeps"] == "distribution"
    assert rows["plain"]["options"] == {"how": "any text"}
    assert "cannot be imported" in rows["broken"]["reason"]
    assert "pip install it" in rows["missing"]["reason"] and rows["missing"]["version"] is None
    table = run(folder, "-m", "qfw.cli.main", "tools")
    assert "tool broken" in table.stderr and "broken" in table.stdout


def test_check_passes_and_names_what_fails(tmp_path: Path) -> None:
    folder = install(tmp_path)
    passed = run(folder, "-m", "qfw.cli.main", "tools", "check", "reduce", "--only", "options", "--json")
    report = json.loads(passed.stdout)
    assert passed.returncode == 0 and report["passed"] and report["kind"] == "tool", passed.stderr
    failed = run(folder, "-m", "qfw.cli.main", "tools", "check", "turning", "--only", "program.keeps")
    assert failed.returncode == 1 and "program.keeps failed" in failed.stderr
    assert "docs/specs/tool.md, Programs" in failed.stderr
    wrong = run(folder, "-m", "qfw.cli.main", "tools", "check", "cut", "--option", "max_qubits")
    assert wrong.returncode == 1 and "--option 'max_qubits' is not NAME=VALUE" in wrong.stderr
    given = run(
        folder,
        "-m",
        "qfw.cli.main",
        "tools",
        "check",
        "cut",
        "--option",
        "max_qubits=3",
        "--only",
        "split.exact",
    )
    assert given.returncode == 0 and "tool cut: 1/1" in given.stderr


def test_external_tools_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        '[tools.external.tidy]\ncommand = ["cat"]\n[tools.external.gone]\ncommand = ["no-such-command"]\n'
    )
    monkeypatch.setenv("QFW_CONFIG", str(path))
    (tmp_path / "plugins").mkdir()
    listed = run(install(tmp_path / "plugins"), "-m", "qfw.cli.main", "tools", "--json")
    rows = {row["tool"]: row for row in json.loads(listed.stdout)}
    assert rows["tidy"]["version"] and rows["tidy"]["keeps"] == "equivalence" and not rows["tidy"]["reason"]
    assert "there is no command 'no-such-command'" in rows["gone"]["reason"]


def test_our_tools_of_pulses_are_tried_on_a_device_that_plays_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["tools", "check", "pulse", "--only", "program.form", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"]


def test_what_was_not_looked_at_is_said_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tools", "check", "mitigate", "--only", "split", "--only", "options"]) == 0
    said = capsys.readouterr().err
    assert "split not applicable: it does not split the program: readout errors are inverted" in said
    assert "options not applicable" not in said
