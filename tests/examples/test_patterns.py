"""The applications of three patterns: each finds the exact answer, and says when it does not."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import qfw
from tests.stack import runtime_folder

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = {
    "ising_sweep": ["--spins", "4", "--steps", "8", "--points", "5", "--shots", "1000"],
    "spin_glass": ["--spins", "8", "--sweeps", "1000", "--every", "100", "--ladders", "12"],
    "qaoa_graph": ["--layers", "2", "--starts", "2", "--evaluations", "30", "--shots", "1000"],
}


def run(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / name / f"{name}.py"), *arguments],
        env=os.environ | {"QFW_RUNTIME_DIR": str(folder / "run")},
        capture_output=True,
        text=True,
        timeout=110,
    )


def succeeded(folder: Path, name: str, *arguments: str) -> str:
    done = run(folder, name, *SMALL[name], *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr, "it says how far it is"
    return done.stdout


def module(name: str, part: str) -> ModuleType:
    """A module of an example, which finds its neighbours as its script does."""
    sys.path.insert(0, str(EXAMPLES / name))
    try:
        spec = importlib.util.spec_from_file_location(f"{name}_{part}", EXAMPLES / name / f"{part}.py")
        assert spec and spec.loader
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made
    finally:
        sys.path.remove(str(EXAMPLES / name))


@pytest.mark.parametrize("name", SMALL)
def test_help_and_what_nobody_serves(tmp_path: Path, name: str) -> None:
    said = run(tmp_path, name, "--help")
    assert said.returncode == 0 and "Exit codes" in said.stdout
    done = run(tmp_path, name, *SMALL[name], "--device", "nowhere")
    assert done.returncode == 2
    assert "no device is called 'nowhere'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", SMALL)
def test_equal_seeds_give_equal_answers(tmp_path: Path, name: str) -> None:
    """On one device; times apart."""
    first, second = (
        re.sub(r"device .*", "", succeeded(tmp_path, name, "--device", "reference", "--seed", "5"))
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("ising_sweep", ["--spins", "11"], "2 to 10, not 11"),
        ("ising_sweep", ["--fields", "1,x"], "no list of numbers"),
        ("ising_sweep", ["--fields", "nan"], "0 or more"),
        ("ising_sweep", ["--until", "0"], "above 0"),
        ("ising_sweep", ["--risk", "1"], "between 0 and 1"),
        ("ising_sweep", ["--shots", "0"], "not at least 1"),
        ("spin_glass", ["--spins", "17"], "2 to 16, not 17"),
        ("spin_glass", ["--coldest", "3"], "ascending"),
        ("spin_glass", ["--processes", "1", "--ladders", "1"], "two ladders"),
        ("qaoa_graph", ["--evaluations", "3"], "COBYLA needs 6"),
        ("qaoa_graph", ["nowhere.txt"], "No such file"),
    ],
)
def test_bad_usage(tmp_path: Path, name: str, arguments: list[str], message: str) -> None:
    done = run(tmp_path, name, *SMALL[name], *arguments)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


# The Ising chain ---------------------------------------------------------------------------------------


def test_the_chain_is_as_exact_diagonalisation_has_it(tmp_path: Path) -> None:
    output = succeeded(tmp_path, "ising_sweep")
    assert "statistics: 45 of 45 within" in output
    assert "Trotter error: within" in output


def test_a_chain_beyond_its_statistics_says_so(tmp_path: Path) -> None:
    """A bound that holds only now and then is passed by some of many numbers."""
    done = run(tmp_path, "ising_sweep", *SMALL["ising_sweep"], "--points", "30", "--risk", "0.99")
    assert done.returncode == 1
    assert "not as exact diagonalisation has it" in done.stderr


def test_the_chains_circuit_is_what_its_bounds_are_of() -> None:
    """The engine's exact answers against the example's own Trotter steps, which are within the bound of the truth."""
    chain = module("ising_sweep", "chain")
    times = np.array([0.0, 0.3, 1.1])
    observables = qfw.Expectation(
        tuple(map(qfw.PauliSum.of, ({f"Z{i}": 0.25 for i in range(4)}, "Z0 Z3"))),
    )
    with runtime_folder() as folder, qfw.Session(runtime_folder=folder) as session:
        for steps in (1, 3, 12):
            measured = chain.circuit(4, steps)
            bare = qfw.Program(4, 0, 2, tuple(op for op in measured.operations if isinstance(op, qfw.Gate)))
            angles = chain.angles(0.7, times, steps)
            stream = session.device("reference").stream()
            found = stream.run(bare, angles, outputs=(observables,)).result(60).expectation_values
            ideal, variances = chain.trotterised(4, 0.7, times, steps)
            assert np.allclose(found, ideal[:, [0, 2]], atol=1e-9)
            assert np.allclose(variances[:, 2], 1 - ideal[:, 2] ** 2)
            off = np.abs(ideal - chain.exact(4, 0.7, times)).max(axis=1)
            bound = chain.trotter_bound(4, 0.7, times, steps)
            assert (off <= bound + 1e-12).all()
    assert off[2] > bound[2] / 100, "the bound is not empty"


TWIN = ["--device", "twin-20", "--pipeline", "transpile", "--points", "3", "--shots", "1000"]


def test_the_chain_on_a_twin(tmp_path: Path) -> None:
    """Lowered by a pipeline; what may err by the calibration is allowed for."""
    output = succeeded(tmp_path, "ising_sweep", *TWIN, "--spins", "3", "--steps", "2", "--until", "0.4")
    assert "statistics and noise: 27 of 27 within" in output
    likely = float(re.search(r"errs in a circuit with probability ([\d.]+)", output)[1])  # type: ignore[index]
    assert 0.01 < likely < 0.2


def test_a_chain_that_errs_too_often_shows_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "ising_sweep", *SMALL["ising_sweep"], *TWIN, "--spins", "6", "--steps", "20")
    assert done.returncode == 1
    assert "they say nothing" in done.stderr


# The spin glass ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", ["1", "3"])
def test_the_glass_has_its_exact_averages(tmp_path: Path, processes: str) -> None:
    output = succeeded(tmp_path, "spin_glass", "--processes", processes, "--ladders", "24")
    assert f"of {24 * int(processes)} ladders" in output
    assert f"{10 * int(processes)} questions" in output
    assert 0 < float(re.search(r"([\d.]+)% quantum", output)[1]) < 100  # type: ignore[index]


def test_many_questions_leave_the_averages_as_they_are(tmp_path: Path) -> None:
    """Proposals are taken, and the distribution stays Boltzmann's."""
    output = succeeded(tmp_path, "spin_glass", "--every", "3", "--coldest", "0.5")
    assert int(re.search(r"(\d+) taken", output)[1]) > 100  # type: ignore[index]


def test_a_glass_that_is_off_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "spin_glass", *SMALL["spin_glass"], "--most-errors", "0.001")
    assert done.returncode == 1
    assert "not those of the sums" in done.stderr


def test_a_proposal_is_as_likely_as_the_way_back() -> None:
    glass, spin_glass = module("spin_glass", "glass"), module("spin_glass", "spin_glass")
    program = spin_glass.circuit(glass.Glass(4, 1), 3)
    bare = qfw.Program(4, 0, 4, tuple(op for op in program.operations if isinstance(op, qfw.Gate)))
    states = np.pi * ((np.arange(16)[:, None] >> np.arange(4)) & 1)
    with runtime_folder() as folder, qfw.Session(runtime_folder=folder) as session:
        stream = session.device("reference").stream()
        asked = (qfw.Probabilities(tuple(range(4))),)
        chances = stream.run(bare, states, outputs=asked).result(60).probabilities
    assert np.allclose(chances, chances.T) and np.allclose(chances.sum(axis=1), 1)
    assert chances.max() < 0.9, "it leads somewhere else"


def test_classical_moves_alone_are_right_too() -> None:
    glass = module("spin_glass", "glass")
    made = glass.Glass(5, 3)
    ladders = glass.Ladders(made, 40, [0.5, 1.0, 2.0], np.random.default_rng(4))
    taken = []
    for sweep in range(1500):
        ladders.sweep()
        ladders.swap(sweep % 2)
        taken.append(ladders.energies[:, 0].copy())
    assert np.allclose(ladders.energies, made.energies(ladders.states))
    of_ladders = np.mean(taken[300:], axis=0)
    error = of_ladders.std(ddof=1) / np.sqrt(len(of_ladders))
    assert abs(of_ladders.mean() - made.exact(0.5)[0]) < 5 * error


def test_the_glass_in_ranks_of_mpi(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py", reason="needs mpi4py and mpirun")
    if shutil.which("mpirun") is None:
        pytest.skip("needs mpi4py and mpirun")
    arguments = [*SMALL["spin_glass"], "--ladders", "16"]
    launcher = ["mpirun", "--bind-to", "none", "--map-by", ":oversubscribe", "-n", "3"]
    # Open MPI refuses root without them.
    allowed = {
        f"{prefix}_ALLOW_RUN_AS_ROOT{end}": "1" for prefix in ("OMPI", "PRTE") for end in ("", "_CONFIRM")
    }
    done = subprocess.run(
        [*launcher, sys.executable, str(EXAMPLES / "spin_glass" / "spin_glass.py"), *arguments],
        env=os.environ | allowed | {"QFW_RUNTIME_DIR": str(tmp_path / "run")},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of 48 ladders" in done.stdout


# The maximum cut ---------------------------------------------------------------------------------------


def test_the_maximum_cut_of_petersens_graph(tmp_path: Path) -> None:
    output = succeeded(tmp_path, "qaoa_graph")
    assert re.search(r"best cut of 1000 shots +12 ", output)
    assert re.search(r"exact maximum +12 ", output)
    assert float(re.search(r"ratio ([\d.]+)", output)[1]) > 0.8  # type: ignore[index]


def test_a_weighted_graph_of_ones_own(tmp_path: Path) -> None:
    """A square whose diagonal outweighs a side; the names are the file's."""
    file = tmp_path / "graph.txt"
    file.write_text("# a square\na b 2\nb c 1   # light\n\nc d 2\nd a 2\na c 4\n")
    output = succeeded(tmp_path, "qaoa_graph", str(file))
    # Of a alone: 2 + 2 + 4.
    assert re.search(r"exact maximum +8 ", output)


def test_a_cut_that_is_not_the_maximum_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "qaoa_graph", *SMALL["qaoa_graph"], "--shots", "1", "--device", "reference")
    assert done.returncode == 1, done.stdout
    assert "does not favour a maximum cut" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no edge"),
        ("a b\nc", "line 2: 'c' is no edge"),
        ("a b 1 2", "line 1"),
        ("a a", "joins node a with itself"),
        ("a b\nb a", "line 2: the edge b a is in line 1 already"),
        ("a b x", "the weight 'x'"),
        ("a b -1", "the weight '-1'"),
        ("a b nan", "the weight 'nan'"),
        ("\n".join(f"{k} {k + 1}" for k in range(20)), "20 are the most"),
    ],
)
def test_what_is_no_graph_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "graph.txt"
    file.write_text(text)
    done = run(tmp_path, "qaoa_graph", str(file))
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
