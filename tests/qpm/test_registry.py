"""Plugins that are there, that are not, and that are broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qfw.model.errors import SetupError, UnknownDevice
from qfw.qpm import registry


def test_our_own_are_plugins_like_any_other() -> None:
    assert {"reference", "noop"} <= set(registry.names(registry.ENGINES))
    assert registry.load(registry.ENGINES, "reference").__name__ == "ReferenceEngine"


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UnknownDevice, match="no engine is called 'referense'; did you mean 'reference'"):
        registry.load(registry.ENGINES, "referense")
    with pytest.raises(UnknownDevice, match=r"There are: .*reference"):
        registry.load(registry.ENGINES, "zzz")


def ask(folder: Path, entry_points: str, code: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` where one more distribution, with these entry points, is installed."""
    for number, text in enumerate(entry_points.split("----")):
        found = folder / f"stranger{number}-1.dist-info"
        found.mkdir()
        (found / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stranger{number}\nVersion: 1\n")
        (found / "entry_points.txt").write_text(text)
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_plugin_that_cannot_be_imported_says_which(tmp_path: Path) -> None:
    code = "from qfw.qpm import registry; registry.load('qfw.engines', 'broken')"
    said = ask(tmp_path, "[qfw.engines]\nbroken = no_such_module:Engine\n", code).stderr
    assert "SetupError: engine 'broken' (no_such_module:Engine) cannot be imported" in said


def test_two_plugins_of_one_name_are_not_chosen_between(tmp_path: Path) -> None:
    code = "from qfw.qpm import registry; registry.load('qfw.engines', 'reference')"
    said = ask(tmp_path, "[qfw.engines]\nreference = stranger:Engine\n", code).stderr
    assert "SetupError" in said and "stranger:Engine" in said and "qfw.engines.reference" in said


def test_setup_errors_are_no_request_errors() -> None:
    assert not issubclass(SetupError, UnknownDevice)


def test_an_unknown_platform_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownDevice, match="no platform is called 'simulator'; did you mean 'simulators'"):
        registry.load(registry.PLATFORMS, "simulator")
