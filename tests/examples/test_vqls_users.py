"""Users' systems on the command line of the VQLS example: solved, refused, or told what is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seeds
import vqls

SCRIPT = Path(vqls.__file__)
SYMMETRIC = np.array([[2.0, 0.5], [0.5, 1.0]])
COMPLEX = np.array([[2.0, 0.3j], [-0.5, 1.0 + 0.4j]])


def script(folder: Path, *arguments: object, name: str = "vqls.py", limit_s: float = 110):
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT.with_name(name)), *map(str, arguments)],
        # Threads of OpenMP get in each other's way where circuits are this small.
        env=os.environ | {"QFW_RUNTIME_DIR": str(folder / "run"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=limit_s,
        cwd=folder,
    )


def files(folder: Path, matrix, rhs) -> list[str]:
    """The options that name a system."""
    np.save(folder / "A.npy", matrix)
    np.save(folder / "b.npy", rhs)
    return ["--matrix", str(folder / "A.npy"), "--rhs", str(folder / "b.npy")]


def number(pattern: str, text: str) -> float:
    return float(re.search(pattern, text, re.MULTILINE).group(1))


@pytest.mark.parametrize(
    ("matrix", "rhs"),
    [(SYMMETRIC, np.array([[3.0], [-4.0]])), (COMPLEX, np.array([0.01j, 0.02]))],
    ids=["real", "complex"],
)
def test_through_the_stack(tmp_path, matrix, rhs):
    done = script(tmp_path, "--device", "qfw", *files(tmp_path, matrix, rhs), "--output", "x.npy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert number(r"^fidelity +([\d.]+)", done.stdout) >= 0.95
    found = np.load(tmp_path / "x.npy")
    assert found.shape == (2,)
    assert np.isrealobj(found) == np.isrealobj(matrix)
    residual = np.linalg.norm(matrix @ found - rhs.ravel()) / np.linalg.norm(rhs)
    assert number(r"^residual .* = ([\d.e+-]+) ", done.stdout) == pytest.approx(residual, rel=0.01)
    assert residual < 0.2
    # What is announced first is what an epoch then runs.
    announced = number(r"for an epoch of bfgs \((\d+) circuits\)", done.stdout)
    assert set(re.findall(r"^epoch .* circuits +(\d+)", done.stdout, re.MULTILINE)) == {str(int(announced))}
    assert done.stdout.index("predicted") < done.stdout.index("epoch  ")


@pytest.mark.parametrize("optimizer", ["adam", "cobyla", "gd"])
def test_with_shots(tmp_path, optimizer):
    done = script(
        tmp_path,
        *("--device", "qfw", "--shots", 4000, "--optimizer", optimizer, "--epochs", 60, "--restarts", 1),
        *files(tmp_path, SYMMETRIC, [1, 2]),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of the distributions, measured with 4000 shots" in done.stdout


@pytest.mark.parametrize("optimizer", ["adam", "cobyla", "gd"])
def test_other_optimizers(tmp_path, capsys, optimizer):
    system = files(tmp_path, COMPLEX.astype(np.complex64), np.array([1, 2]))
    assert vqls.main([*system, "--device", "default.qubit", "--optimizer", optimizer]) == 0
    assert "of the states" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_random_systems_converge(tmp_path):
    """Twenty seeds, none chosen: real and complex, hermitian and general, 2×2 and 4×4."""
    done = script(tmp_path, "--device", "qfw", name="seeds.py", limit_s=480)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = re.findall(r"^seed .*condition number", done.stdout, re.MULTILINE)
    assert len(lines) == 20
    kinds = [
        re.search(r"[24]×[24] (real|complex) (symmetric|hermitian|general)", line).group() for line in lines
    ]
    assert len(set(kinds)) == 8
    assert number(r"^(\d+) of 20 converged", done.stdout) >= 19


def test_in_process_too(tmp_path):
    done = script(tmp_path, "--device", "lightning.qubit", "--number", 3, "--first", 10, name="seeds.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("3 of 3 converged\n")


def test_not_converged_is_said_with_the_residual(tmp_path, capsys):
    system = files(tmp_path, *seeds.random_system(15))
    output = tmp_path / "x.npy"
    code = vqls.main(
        [*system, "--optimizer", "cobyla", "--epochs", "2", "--restarts", "0", "--output", str(output)]
    )
    assert code == 1
    printed = capsys.readouterr()
    assert re.search(r"not converged: .* residual [\d.]+", printed.err)
    assert "residual   |Ax - b| / |b| = " in printed.out
    # What was found is written all the same: the exit code tells.
    assert np.load(output).shape == (4,)


def test_pruned(tmp_path, capsys):
    """The small term is left out, its error said, and the solution is the original system's but for it."""
    matrix = np.array([[2.0, 0.01], [0.01, 1.0]])
    assert vqls.main([*files(tmp_path, matrix, [1, 1]), "--prune", "0.02"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 4 Pauli words kept" in printed
    assert number(r"relative error of the matrix ([\d.]+)", printed) == pytest.approx(0.01 / 2, rel=0.01)


@pytest.mark.parametrize("why", ["circuits", "qubits", "max-circuits"])
def test_refused(tmp_path, capsys, why):
    matrix, rhs = {
        "circuits": (seeds.np.random.default_rng(0).normal(size=(8, 8)), np.ones(8)),
        "qubits": (np.diag([1.0, 2.0] * 8), np.ones(16)),
        "max-circuits": (SYMMETRIC, np.ones(2)),
    }[why]
    options = ["--max-circuits", "1000"] if why == "max-circuits" else []
    assert vqls.main([*files(tmp_path, matrix, rhs), *options]) == 3
    printed = capsys.readouterr()
    assert printed.err.startswith("refused: ")
    assert ("--max-circuits" if options else "--force") in printed.err
    for line in ("system ", "qubits ", "terms ", "circuits ", "predicted "):
        assert f"\n{line}" in f"\n{printed.out}"
    assert "epoch  " not in printed.out


def test_forced(tmp_path, capsys):
    system = files(tmp_path, np.diag([1.0, 2.0] * 8), np.ones(16))
    options = ["--force", "--layers", "0", "--epochs", "60"]
    assert vqls.main([*system, *options]) == 0, capsys.readouterr()
    assert "2 of 256 Pauli words kept" in capsys.readouterr().out


def write(path: Path, content: object) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    return path


def header(text: str) -> bytes:
    """A file of the .npy format that has only a header."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


GOOD = [1.0, 2.0]
BAD = {
    "not square": (np.ones((2, 4)), GOOD, "square"),
    "not a matrix": (np.ones(4), GOOD, "square"),
    "three dimensions": (np.ones((2, 2, 2)), GOOD, "too large"),
    "no dimension": (np.float64(3), GOOD, "square"),
    "empty": (np.ones((0, 0)), np.ones(0), "empty"),
    "another length": (np.eye(4), GOOD, r"\(4,\)"),
    "a matrix as rhs": (np.eye(2), np.eye(2), r"\(2,\)"),
    "singular": (np.ones((2, 2)), GOOD, "singular.*condition number"),
    "zero": (np.zeros((2, 2)), GOOD, "singular"),
    "nearly singular": (np.diag([1, 1e-13]), GOOD, "condition number 1e"),
    "three unknowns": (np.eye(3), np.ones(3), "pad to 4"),
    "one unknown": (np.ones((1, 1)), np.ones(1), "1×1"),
    "nan": (np.array([[1, np.nan], [0, 1]]), GOOD, "NaN"),
    "infinite rhs": (np.eye(2), [1, np.inf], "infinite"),
    "zero rhs": (np.eye(2), [0, 0], "rhs is zero"),
    "out of range": (1e-200 * np.eye(2), [1e200, 0], "range"),
    "not npy": (b"1 2\n3 4\n", GOOD, "not an .npy file"),
    "nothing": (b"", GOOD, "not an .npy file"),
    "zip": (b"PK\x03\x04 and so on", GOOD, "not an .npy file"),
    "pickled": (np.array([[1, None], [None, 1]], dtype=object), GOOD, "pickled"),
    "text": (np.array([["a", "b"], ["c", "d"]]), GOOD, "not a number"),
    "bool": (np.eye(2, dtype=bool), GOOD, "not a number"),
    "dates": (np.zeros((2, 2), dtype="M8[s]"), GOOD, "not a number"),
    "fields": (np.zeros((2, 2), dtype=[("a", float)]), GOOD, "not a number"),
    "too many": (np.eye(512), np.ones(512), "too large"),
    "claims too many": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000)}\n"),
        GOOD,
        "too large",
    ),
    "claims more than there is": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 4)}\n"),
        GOOD,
        "cut short",
    ),
    "negative": (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-2, -2)}\n"), GOOD, "damaged"),
    "no header": (header("{'descr': '<f8'"), GOOD, "damaged"),
    "nested header": (header("(" * 9000), GOOD, "damaged"),
    "another version": (b"\x93NUMPY\x09\x00\x00\x00", GOOD, "damaged"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(tmp_path, capsys, case):
    matrix, rhs, said = BAD[case]
    paths = write(tmp_path / "A.npy", matrix), write(tmp_path / "b.npy", rhs)
    assert vqls.main(["--matrix", str(paths[0]), "--rhs", str(paths[1])]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(f"vqls.py: error: .*{said}.*\n", printed.err)


@pytest.mark.parametrize("case", ["missing", "a folder", "a pipe", "unreadable name"])
def test_no_such_file(tmp_path, capsys, case):
    files(tmp_path, np.eye(2), GOOD)
    path = tmp_path / "there"
    if case == "a folder":
        path.mkdir()
    elif case == "a pipe":
        os.mkfifo(path)
    elif case == "unreadable name":
        path = tmp_path / ("x" * 300)
    assert vqls.main(["--matrix", str(path), "--rhs", str(tmp_path / "b.npy")]) == 2
    assert re.fullmatch(
        "vqls.py: error: .*(no such file|not a regular file|too long)\n", capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--matrix", "A.npy"], "--rhs"),
        (["--rhs", "b.npy"], "--matrix"),
        (["--layers", "2"], "--matrix and --rhs"),
        (["--optimizer", "bfgs"], "--matrix and --rhs"),
        (["--force"], "--matrix and --rhs"),
    ],
)
def test_options_that_need_others(capsys, options, said):
    assert vqls.main(options) == 2
    assert re.fullmatch(f"vqls.py: error: .*{said}.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "option", [["--prune", "1"], ["--prune", "nan"], ["--layers", "-1"], ["--restarts", "x"]]
)
def test_options_out_of_range(tmp_path, option):
    with pytest.raises(SystemExit) as ended:
        vqls.main([*files(tmp_path, np.eye(2), GOOD), *option])
    assert ended.value.code == 2


@pytest.mark.parametrize(("path", "said"), [("none/x.npy", "no such folder"), (".", "is a folder")])
def test_nowhere_to_write(tmp_path, capsys, path, said):
    assert vqls.main([*files(tmp_path, SYMMETRIC, GOOD), "--output", str(tmp_path / path)]) == 2
    printed = capsys.readouterr()
    # Said before anything is run.
    assert printed.out == ""
    assert said in printed.err


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float16, np.float32, ">f8", np.longdouble])
def test_dtypes_of_numbers(tmp_path, capsys, dtype):
    system = files(tmp_path, np.array([[2, 1], [0, 1]], dtype=dtype), np.array([3, 1], dtype=dtype))
    assert vqls.main([*system, "--device", "default.qubit"]) == 0, capsys.readouterr()


def test_errors_of_the_script_have_no_traceback(tmp_path):
    done = script(tmp_path, *files(tmp_path, np.ones((2, 2)), GOOD))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("vqls.py: error: the matrix is singular")
    assert done.stderr.count("\n") == 1
