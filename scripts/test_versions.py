"""Tests QFw's wheel in environments of their own: both ends of the versions that it supports.

    python scripts/test_versions.py WHEEL [ENVIRONMENT ...]

Every environment is the folder `.venv-NAME`, made from `requirements/matrix/NAME.lock`, and made anew where
that lock or the interpreter changed. The wheel is installed into it together with the extras that it is for,
from no index: where lock, extras and wheel disagree, that fails. The exit code is 1 where anything failed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "requirements" / "matrix"
REPORTS = ROOT / "build" / "versions"
#: No step takes longer: making an environment, or its tests.
LIMIT_S = 900.0


class Environment(NamedTuple):
    """What is tested together."""

    name: str
    #: Extras of the wheel.
    extras: tuple[str, ...]
    #: Distributions whose versions the summary shows.
    shown: tuple[str, ...]
    tests: tuple[str, ...]


class Outcome(NamedTuple):
    """How it went in one environment."""

    name: str
    shown: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    took_s: float = 0.0
    #: What went wrong; empty where all is well.
    problem: str = ""


class Failed(Exception):
    """A step of an environment did not end well."""


FIRST = "tests/versions/test_first_use.py"
BASE = (
    FIRST,
    "tests/config",
    "tests/model",
    "tests/qpm/test_journal.py",
    "tests/qpm/test_wire.py",
    "tests/qpi/test_futures.py",
)
PENNYLANE = (
    FIRST,
    "tests/adapters/test_pennylane.py",
    "tests/adapters/test_pennylane_wires.py",
    "tests/adapters/test_session.py",
    "tests/formats/test_pennylane.py",
)
QISKIT = (
    FIRST,
    "tests/adapters/qiskit",
    "tests/qfw_qiskit",
    "tests/engines/test_aer.py",
    "tests/formats/test_qiskit_writer.py",
    # Not its random programs: Qiskit 2.0 is right to eight digits only, and leaves gates within nested blocks.
    "tests/toolchain/test_transpile.py::test_angles_stay_affine_on_every_level",
    "tests/toolchain/test_transpile.py::test_equal_input_gives_equal_output",
)
ENVIRONMENTS = (
    Environment("base-oldest", (), ("numpy", "msgspec", "rich"), BASE),
    Environment("base-newest", (), ("numpy", "msgspec", "rich"), BASE),
    Environment("pennylane-oldest", ("pennylane",), ("pennylane", "pennylane-lightning"), PENNYLANE),
    Environment("pennylane-newest", ("pennylane",), ("pennylane", "pennylane-lightning"), PENNYLANE),
    Environment("qiskit-oldest", ("qiskit", "aer", "qulacs"), ("qiskit", "qiskit-aer", "qulacs"), QISKIT),
    Environment("qiskit-newest", ("qiskit", "aer", "qulacs"), ("qiskit", "qiskit-aer", "qulacs"), QISKIT),
    Environment(
        "figure14",
        ("pennylane", "qiskit", "aer"),
        ("pennylane", "pennylane-qiskit", "qiskit", "qiskit-aer"),
        ("tests/versions/test_figure14.py",),
    ),
    Environment(
        "fakes",
        ("qiskit", "aer"),
        ("qiskit-ibm-runtime", "qiskit", "qiskit-aer", "qiskit-addon-cutting"),
        (
            "tests/versions/test_fakes.py",
            "tests/platforms/twin/test_importing.py",
            "tests/versions/test_cutting.py",
        ),
    ),
)

#: Run by the environment's interpreter: that QFw is the installed one, and what is shown of it.
LOOK = """
import sys
from importlib.metadata import version
import qfw
if not qfw.__file__.startswith(sys.prefix):
    sys.exit(f"qfw is imported from {qfw.__file__}, not from {sys.prefix}")
print(", ".join(f"{name} {version(name)}" for name in sys.argv[1:]))
"""


def prepare(environment: Environment, wheel: Path) -> Path:
    """Makes an environment, or takes it as it is, and installs the wheel; its interpreter.

    Raises:
        Failed: something cannot be installed, or does not fit together.
    """
    folder = ROOT / f".venv-{environment.name}"
    python = folder / "bin" / "python"
    lock = LOCKS / f"{environment.name}.lock"
    stamp = folder / ".made-from"
    made_from = f"{sys.version}\n{hashlib.sha256(lock.read_bytes()).hexdigest()}\n"
    if not (python.exists() and stamp.exists() and stamp.read_text() == made_from):
        print(f"making {folder.name}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        install(python, "--require-hashes", "--requirement", lock)
        stamp.write_text(made_from)
    # Removed first: the same version counts as installed, whatever is in it.
    for package in (folder / "lib").glob("python*/site-packages/qfw*"):
        shutil.rmtree(package)
    wanted = f"qfw[{','.join(environment.extras)}]" if environment.extras else "qfw"
    install(python, "--no-index", f"{wanted} @ {wheel.as_uri()}")
    return python


def install(python: Path, *arguments: object) -> None:
    """Installs with uv; with pip where uv is not, or knows no index."""
    uv = ("-m", "uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python)
    pip = ("-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--quiet")
    try:
        run(sys.executable, *uv, *arguments)
    except Failed as by_uv:
        print(f"uv could not install this; trying pip\n{by_uv}", file=sys.stderr)
        run(sys.executable, *pip, *arguments)


def run(*command: object) -> str:
    """Output of a command. Raises Failed, with what it said, where it does not end with 0."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=ROOT, env=outside(), capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(words)}: not done after {LIMIT_S:.0f} s") from error
    if done.returncode:
        raise Failed(f"{' '.join(words)}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout.strip()


def outside() -> dict[str, str]:
    """What an environment may see of this one: nothing that leads to the sources."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "QFW_CONFIG", "QFW_RUNTIME_DIR"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


def test(environment: Environment, wheel: Path, options: Sequence[str]) -> Outcome:
    """Makes an environment and runs its tests."""
    print(f"\n== {environment.name}", flush=True)
    began = time.monotonic()
    try:
        python = prepare(environment, wheel)
        shown = run(python, "-c", LOOK, *environment.shown)
        print(shown, flush=True)
    except Failed as error:
        print(error, file=sys.stderr)
        return Outcome(environment.name, "", took_s=time.monotonic() - began, problem="not made")
    report = REPORTS / f"{environment.name}.xml"
    report.unlink(missing_ok=True)
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", *options]
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    try:
        code = subprocess.run(
            [*command, *environment.tests],
            cwd=ROOT,
            env=outside() | {"PATH": path},
            timeout=LIMIT_S,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return Outcome(environment.name, shown, took_s=LIMIT_S, problem="not done in time")
    return read(environment.name, shown, report, code, time.monotonic() - began)


def read(name: str, shown: str, report: Path, code: int, took_s: float) -> Outcome:
    """The outcome that pytest reports."""
    if not report.exists():
        return Outcome(name, shown, took_s=took_s, problem=f"pytest ended with {code}")
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        for kind in counts:
            counts[kind] += int(suite.get(kind, "0"))
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    problem = "" if code == 0 and passed and not failed else f"pytest ended with {code}"
    return Outcome(name, shown, passed, failed, counts["skipped"], took_s, problem)


def summary(outcomes: Sequence[Outcome]) -> str:
    """A table of what ran where."""
    rows = [("environment", "passed", "failed", "not run", "seconds", "with")]
    rows += [
        (o.name, str(o.passed), str(o.failed), str(o.skipped), f"{o.took_s:.0f}", o.problem or o.shown)
        for o in outcomes
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:5], widths[1:5]), row[5]]) for row in rows
    ]
    bad = sum(bool(outcome.problem) for outcome in outcomes)
    end = (
        f"{bad} of {len(outcomes)} environments failed" if bad else f"all {len(outcomes)} environments passed"
    )
    return "\n".join(["", "== versions", *lines, end])


def main() -> int:
    """Tests the environments that were asked for, or all; the exit code."""
    names = [environment.name for environment in ENVIRONMENTS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("environments", nargs="*", metavar="ENVIRONMENT", help=", ".join(names))
    given, options = parser.parse_known_args()
    if unknown := set(given.environments) - set(names):
        parser.error(f"there is no environment {', '.join(sorted(unknown))}. There are: {', '.join(names)}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    chosen = [e for e in ENVIRONMENTS if not given.environments or e.name in given.environments]
    outcomes = [test(environment, given.wheel.resolve(), options) for environment in chosen]
    print(summary(outcomes))
    return 1 if any(outcome.problem for outcome in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main())
