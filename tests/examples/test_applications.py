"""The small applications: each finds the exact answer, in process and through QFw, and says when it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(folder: Path, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / name / f"{name}.py"), *arguments],
        env=os.environ | {"QFW_RUNTIME_DIR": str(folder / "run")} | environment,
        capture_output=True,
        text=True,
        timeout=110,
    )


def succeeded(folder: Path, name: str, *arguments: str) -> str:
    done = run(folder, name, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


VQE = r"electronic energy +(-[\d.]+) hartree"


@pytest.mark.parametrize("device", ["statevector", "qfw"])
def test_vqe_finds_the_ground_state_of_hydrogen(tmp_path, device):
    found = float(re.search(VQE, succeeded(tmp_path, "vqe_h2", "--device", device))[1])
    # Of the four by four matrix, by NumPy.
    assert found == pytest.approx(-1.857275030, abs=2e-6)


@pytest.mark.parametrize("device", ["statevector", "qfw"])
def test_vqe_with_shots(tmp_path, device):
    found = float(re.search(VQE, succeeded(tmp_path, "vqe_h2", "--device", device, "--precision", "0.01"))[1])
    assert found == pytest.approx(-1.857275, abs=0.04)


def test_vqe_that_misses_says_so(tmp_path):
    done = run(tmp_path, "vqe_h2", "--precision", "0.2", "--tolerance", "1e-9")
    assert done.returncode == 1
    assert "not converged" in done.stderr


@pytest.mark.parametrize("device", ["lightning.qubit", "qfw"])
def test_qaoa_finds_a_maximum_cut(tmp_path, device):
    output = succeeded(tmp_path, "qaoa_maxcut", "--device", device)
    assert re.search(r"best cut of 1000 shots +7 ", output)
    assert re.search(r"exact maximum +7$", output, re.MULTILINE)
    # Above what a random partition cuts, by far.
    assert float(re.search(r"ratio ([\d.]+)", output)[1]) > 0.85


def test_qaoa_of_a_graph_of_ones_own(tmp_path):
    output = succeeded(tmp_path, "qaoa_maxcut", "--edges", "0-1,1-2,2-3,3-0")
    assert re.search(r"exact maximum +4$", output, re.MULTILINE)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ("0-1,x", "'x' is no edge"),
        ("0-0", "with itself"),
        ("0-1,1-0", "there twice"),
        ("0-2", "without a gap"),
        (",".join(f"{k}-{k + 1}" for k in range(20)), "16 are the most"),
        ("", "'' is no edge"),
    ],
)
def test_qaoa_refuses_what_is_no_graph(tmp_path, edges, message):
    done = run(tmp_path, "qaoa_maxcut", "--edges", edges)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("device", ["aer", "qfw"])
@pytest.mark.parametrize(("phase", "digits"), [("0.3125", "6"), ("0.3", "8")])
def test_phase_estimation_is_as_theory_has_it(tmp_path, device, phase, digits):
    output = succeeded(tmp_path, "phase_estimation", "--device", device, "--phase", phase, "--digits", digits)
    value, measured = re.search(r"= ([\d.]+) +measured ([\d.]+)", output).groups()
    assert abs(float(value) - float(phase)) <= 0.5 / 2 ** int(digits)
    if phase == "0.3125":
        assert measured == "1.0000"


@pytest.mark.parametrize(
    "arguments", [["--phase", "1"], ["--phase", "nan"], ["--digits", "0"], ["--digits", "13"]]
)
def test_phase_estimation_refuses(tmp_path, arguments):
    done = run(tmp_path, "phase_estimation", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_twin_is_as_good_as_its_calibration_and_survives_another(tmp_path):
    settings = str(EXAMPLES / "twin" / "settings.toml")
    done = run(tmp_path, "twin", QFW_CONFIG=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^lowered again after a recalibration: 1$", done.stdout, re.MULTILINE)
    under = re.findall(r"^ +\d+ +[\d.]+ +[\d.]+ +(\S+)$", done.stdout, re.MULTILINE)
    assert len(under) == 6 and set(under) == {"heavy-hex-127-0.0", "heavy-hex-127-0.0+1"}
    assert under == sorted(under)


def test_twin_without_a_life_is_not_lowered_again(tmp_path):
    assert "recalibration: 0" in succeeded(tmp_path, "twin", "--widths", "2,3")


def test_twin_that_errs_more_than_its_calibration_says_so(tmp_path):
    settings = tmp_path / "noisy.toml"
    noise = "{ begin_s = 0.0, duration_s = 1e6, factor = 10.0 }"
    settings.write_text(f'[platforms.twin.options]\ndevices = ["twin-127"]\nlife = {{ noise = [{noise}] }}\n')
    done = run(tmp_path, "twin", "--widths", "3", QFW_CONFIG=str(settings))
    assert done.returncode == 1 and "not as the calibration has it" in done.stderr


@pytest.mark.parametrize("widths", ["", "1", "13", "2,x"])
def test_twin_refuses_what_are_no_widths(tmp_path, widths):
    done = run(tmp_path, "twin", "--widths", widths)
    assert done.returncode == 2 and "--widths" in done.stderr
