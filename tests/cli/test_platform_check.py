"""`qfw platform check`: a table or JSON, and an exit code that means something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qfw.cli.main import main


def test_an_engine_that_passes_is_0_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", "reference", "--engine", "--only", "bits"]) == 0
    shown = capsys.readouterr()
    assert shown.out.split()[:3] == ["GROUP", "PASSED", "FAILED"] and "bits" in shown.out
    assert "passed in" in shown.err


def test_json_has_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", "reference", "--engine", "--only", "shots", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] and found["name"] == "reference"
    assert {finding["verdict"] for finding in found["findings"]} == {"passed"}
    assert len(found["findings"]) == 6


def test_a_group_that_there_is_not_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", "reference", "--engine", "--only", "no-such-group"]) == 1
    assert "no check has such a name" in capsys.readouterr().err


def test_a_platform_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", "simulatorz"]) == 1
    assert "did you mean 'simulators'?" in capsys.readouterr().err


def test_an_engine_taken_for_a_platform_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", "reference"]) == 1
    assert "add --engine" in capsys.readouterr().err


def test_a_device_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", "simulators", "--only", "bits", "--device", "referenze"]) == 1
    assert "no device is called 'referenze'; did you mean 'reference'?" in capsys.readouterr().err


def test_an_engine_has_no_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", "reference", "--engine", "--device", "reference"]) == 1
    assert "leave out --device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('[platforms.acme]\npython = "/nowhere/python"\n', "/nowhere/python"),
        ('[platforms.twin.options]\ndevises = ["twin-20"]\n', "did you mean `devices`?"),
    ],
)
def test_a_platform_that_does_not_open_is_told_with_its_reason(
    table: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "site.toml"
    settings.write_text(table)
    name = "acme" if "acme" in table else "twin"
    assert main(["platform", "check", name, "--settings", str(settings)]) == 1
    assert reason in capsys.readouterr().err
