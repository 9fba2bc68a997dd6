"""The chain that is cut over two simulators: its closed form, its answer, and how it says that it cannot."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qfw.model.observable import PauliSum
from tests.stack import runtime_folder
from tests.toolchain.cut_cases import value

SCRIPT = Path(__file__).parents[2] / "examples" / "cut_chain" / "cut_chain.py"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), *arguments],
        env=os.environ | {"QFW_RUNTIME_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=110,
    )


def rows(output: str) -> np.ndarray:
    """Coupling, magnetisation, stated error and exact value."""
    return np.array([line.split() for line in output.splitlines()[1:-1]], dtype=float)


def test_the_closed_form() -> None:
    spec = importlib.util.spec_from_file_location("cut_chain", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    program = module.step(5, 0.7, 1.3)
    observable = PauliSum.of({f"Z{q}": 0.2 for q in range(5)})
    couplings = np.array([0.3, -1.1])
    wanted = [value(program, observable, (coupling,)) for coupling in couplings]
    np.testing.assert_allclose(module.magnetisation(5, 0.7, 1.3, couplings), wanted, atol=1e-12)


def test_thirty_six_spins_on_two_simulators() -> None:
    pytest.importorskip("qulacs", reason="nineteen qubits take the reference engine long")
    with runtime_folder() as folder:
        done = run(folder, "--shots", "2000", "--points", "2")
        assert done.returncode == 0, done.stdout + done.stderr
        found = rows(done.stdout)
        assert (np.abs(found[:, 1] - found[:, 3]) < 5 * found[:, 2]).all()
        assert (found[:, 2] > 0).all() and (found[:, 2] < 0.02).all()
        assert "rzz(17, 18)" in done.stderr and "fragments of 18, 18 qubits" in done.stderr
        devices = done.stdout.splitlines()[-1].split("on ")[1].split(";")[0].split(", ")
        assert len(set(devices)) == 2

        # Without shots to the last digit, in narrower parts.
        exact = rows(run(folder, "--shots", "0", "--width", "13", "--points", "2").stdout)
        np.testing.assert_allclose(exact[:, 1], exact[:, 3], atol=2e-6)
        assert not exact[:, 2].any()

        refused = run(folder, "--width", "8", "--cuts", "2")
        assert refused.returncode == 2
        assert "with at most 2 cuts" in refused.stderr and "13 in its widest fragment" in refused.stderr
