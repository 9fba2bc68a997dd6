"""The VQLS example: converges on every device, counts its circuits, refuses what costs too much."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "vqls" / "vqls.py"


def vqls(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), *arguments],
        # Threads of OpenMP get in each other's way where circuits are this small.
        env=os.environ | {"QFW_RUNTIME_DIR": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=110,
    )


def fidelities(output: str) -> tuple[float, float]:
    end, start = re.search(r"^fidelity ([\d.]+) \(start ([\d.]+)\)", output, re.MULTILINE).groups()
    return float(start), float(end)


@pytest.mark.parametrize("device", [["qfw", "--engine", "reference"], ["lightning.qubit"], ["default.qubit"]])
def test_gradient_descent_converges(tmp_path, device):
    done = vqls(tmp_path, "--device", *device)
    assert done.returncode == 0, done.stdout + done.stderr
    start, end = fidelities(done.stdout)
    assert start < 0.5
    assert end >= 0.95
    epochs = re.findall(r"^epoch +\d+ .* circuits +(\d+)  device calls +(\d+) ", done.stdout, re.MULTILINE)
    assert epochs
    assert set(epochs) == {("336", "142")}


def test_devices_agree(tmp_path):
    """The same costs, epoch by epoch."""
    ours, theirs = (
        re.findall(r"cost +([\d.]+)", vqls(tmp_path, "--device", device, "--optimizer", "cobyla").stdout)
        for device in ("qfw", "lightning.qubit")
    )
    assert len(ours) > 3
    assert ours == theirs


@pytest.mark.parametrize("optimizer", ["gd", "cobyla"])
def test_sampled_results_converge(tmp_path, optimizer):
    done = vqls(tmp_path, "--device", "qfw", "--shots", "1000", "--optimizer", optimizer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert fidelities(done.stdout)[1] >= 0.95


def test_too_few_epochs_do_not_converge(tmp_path):
    done = vqls(tmp_path, "--optimizer", "cobyla", "--epochs", "2")
    assert done.returncode == 1
    assert "not converged" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--shots", "0"],
        ["--optimizer", "newton"],
        ["--engine", "qulacs"],
        ["--device", "no.such.device"],
        ["--device", "qfw", "--engine", "no-such-engine"],
    ],
    ids=" ".join,
)
def test_usage(tmp_path, arguments):
    done = vqls(tmp_path, *arguments)
    assert done.returncode == 2
    assert "usage: vqls.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_refused_for_cost_before_anything_runs(tmp_path):
    done = vqls(tmp_path, "--epochs", "1000", "--max-circuits", "10000")
    assert done.returncode == 3
    assert not done.stdout
    assert "504002 circuits" in done.stderr
    assert "--epochs" in done.stderr
