"""PennyLane's own device tests: no failure, passed no fewer and skipped no more than lightning.qubit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pennylane_lightning")


def outcomes(device: str, shots: str, folder: Path) -> dict[str, int]:
    command = [sys.executable, "-c", "from pennylane.devices.tests import cli; cli()"]
    done = subprocess.run(
        [
            *command,
            "--device",
            device,
            f"--shots={shots}",
            "-q",
            "-p",
            "no:warnings",
            "-p",
            "no:cacheprovider",
        ],
        # The suite starts `pytest` by name.
        env=os.environ
        | {
            "QFW_RUNTIME_DIR": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    summary = done.stdout.strip().splitlines()[-1]
    counted = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", summary)}
    assert "passed" in counted, done.stdout[-4000:] + done.stderr[-4000:]
    assert not {"failed", "error", "errors"} & counted.keys(), done.stdout[-8000:]
    return counted


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shots", ["None", "10000"])
def test_no_worse_than_lightning(shots, tmp_path):
    ours = outcomes("qfw", shots, tmp_path)
    theirs = outcomes("lightning.qubit", shots, tmp_path)
    assert ours["passed"] >= theirs["passed"]
    assert ours.get("skipped", 0) <= theirs.get("skipped", 0)
