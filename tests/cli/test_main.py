"""Dispatch, usage errors, and what is imported for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from qfw import __version__
from qfw.cli.main import COMMANDS

HEAVY = ["numpy", "rich", "pennylane", "qulacs", "qiskit", "scipy", "asyncio", "qfw.qpi.session"]


@pytest.mark.parametrize("arguments", [["version"], ["--help"], ["squeue", "--help"], ["run", "--help"]])
def test_no_framework_is_imported_at_start(arguments):
    code = (
        "import sys\nfrom qfw.cli.main import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        f"print('imported:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "imported: []", done.stdout + done.stderr


def test_version(qfw):
    assert qfw("version").stdout == f"qfw {__version__}\n"
    assert qfw("--version").stdout == f"qfw {__version__}\n"
    found = json.loads(qfw("version", "--json").stdout)
    assert found["qfw"] == __version__
    assert {"wire", "journal", "python"} < set(found)


def test_help_names_every_command(qfw):
    done = qfw("--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert "exit codes" in done.stdout
    for name in COMMANDS:
        shown = qfw(name, "--help")
        assert shown.returncode == 0
        assert "exit codes" in shown.stdout


def test_no_command_is_a_usage_error(qfw):
    done = qfw()
    assert done.returncode == 2
    assert "usage: qfw" in done.stdout


def test_an_unknown_command_names_the_nearest(qfw):
    done = qfw("sinof")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'sinfo'?" in done.stderr


def test_an_unknown_option_is_a_usage_error(qfw):
    assert qfw("sinfo", "--nope").returncode == 2
