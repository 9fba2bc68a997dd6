"""The example of mitigation: nearer than as measured, exact by another way of reckoning, and what it refuses."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qfw.testing.expected import values

FOLDER = Path(__file__).parents[2] / "examples" / "mitigation"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(FOLDER / "mitigation.py"), *arguments],
        env=os.environ | {"QFW_RUNTIME_DIR": str(folder / "run")},
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.parametrize(
    "arguments", [(), ("--methods", "readout,zne,twirl", "--frames", "4", "--folding", "local")]
)
def test_energies_come_nearer(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(
        r"([\d.]+) as measured, ([\d.]+) mitigated\n.* (\d+) as measured, (\d+) mitigated", done.stdout
    )
    assert found and float(found[2]) < float(found[1]) / 2
    assert int(found[4]) == 3 * int(found[3]) == 30_000
    assert "done on twin-20" in done.stderr and "cost: " in done.stdout


def test_exact_energies_are_those_of_the_circuit() -> None:
    spec = importlib.util.spec_from_file_location("trial", FOLDER / "trial.py")
    assert spec and spec.loader
    trial = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(trial)
    for spins, layers in ((2, 1), (5, 3)):
        parameters = trial.path(layers, 4)
        found = values(trial.circuit(spins, layers), (trial.energy(spins),), parameters)[:, 0]
        assert np.allclose(found, trial.exact(spins, parameters))
        # The way goes down.
        assert np.isclose(found[0], -0.8 * spins) and (np.diff(found) < 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--spins", "9"], "2 to 8, not 9"),
        (["--shots", "1"], "2 to 100000, not 1"),
        (["--seed", "-1"], "0 or more"),
        (["--methods", "zme"], "no method 'zme'; did you mean 'zne'"),
        (["--frames", "3"], "option frames of tool mitigate says something of twirl"),
        (["--device", "nowhere"], "no device is called 'nowhere'"),
        (["--device", "reference"], "reference has none: leave readout out"),
    ],
)
def test_bad_usage(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
