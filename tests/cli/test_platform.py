"""`qfw platform new`: what it writes installs into a fresh environment, and its tests pass there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qfw.cli.platform_new import FILES, write
from qfw.model.errors import OptionError, SetupError
from tests.cli.conftest import Qfw
from tests.stack import runtime_folder

ROOT = Path(__file__).parents[2]
LIMIT_S = 100


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command that sees nothing of this environment; it must end with 0."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "QFW_CONFIG"}
    seen = {name: value for name, value in os.environ.items() if name not in hidden}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=seen, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done


def blocks(kind: str) -> list[str]:
    """The guide's blocks of a kind."""
    guide = (ROOT / "docs" / "guides" / "vendor.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)


def test_the_guide_says_what_is_done_here() -> None:
    said = [line for block in blocks("sh") for line in block.splitlines()]
    assert said == [
        "qfw platform new acme",
        "pip install -e qfw-acme",
        "pytest qfw-acme",
        "qfw platform check acme",
    ]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment's interpreter: this QFw and its dependencies, installed from no index."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=ROOT)
    (site,) = (folder / "lib").glob("python*/site-packages")
    around = Path(np.__file__).parents[1]
    # A path file, not an index: the tests need no network.
    (site / "around.pth").write_text(f"{ROOT / 'src'}\n{around}\n")
    return folder / "bin" / "python"


def test_the_walk_of_the_guide_in_a_fresh_environment(qfw: Qfw, tmp_path: Path, environment: Path) -> None:
    done = qfw("platform", "new", "acme")
    assert done.returncode == 0, done.stderr
    package = tmp_path / "qfw-acme"
    assert "next: pip install -e qfw-acme" in done.stderr
    install = (sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-build-isolation", "--no-deps")
    run(*install, "--python", environment, "-e", package, cwd=tmp_path)
    tests = run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", package, cwd=tmp_path)
    assert re.search(r"\b5 passed\b", tests.stdout) and "failed" not in tests.stdout
    shown = run(
        environment, "-c", "from qfw.qpm.registry import *; print(load(PLATFORMS, 'acme'))", cwd=tmp_path
    )
    assert "qfw_acme.AcmePlatform" in shown.stdout
    checked = run(environment, "-m", "qfw.cli.main", "platform", "check", "acme", "--json", cwd=tmp_path)
    report = json.loads(checked.stdout)
    assert report["passed"] and len({finding["check"] for finding in report["findings"]}) >= 80
    served_from_its_own_environment(qfw, tmp_path, environment)


def served_from_its_own_environment(qfw: Qfw, folder: Path, environment: Path) -> None:
    """The guide's settings and task, with a daemon whose own environment does not have the package."""
    missing = qfw("platform", "check", "acme")
    assert missing.returncode == 1 and "acme" in missing.stderr
    (settings,) = blocks("toml")
    config = folder / "settings.toml"
    config.write_text(settings.replace("/opt/acme/bin/python", str(environment)))
    short = ("--only", "platform", "--only", "bits")
    found = qfw("platform", "check", "acme", *short, QFW_CONFIG=str(config))
    assert found.returncode == 0, found.stderr
    (task,) = blocks("py")
    with runtime_folder() as place:
        seen = os.environ | {"QFW_CONFIG": str(config), "QFW_RUNTIME_DIR": str(place)}
        done = subprocess.run(
            [sys.executable, "-c", task],
            cwd=folder,
            env=seen,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert (done.returncode, done.stdout) == (0, "acme 1 1\n"), done.stderr


def test_a_broken_driver_fails_the_tests_that_come_with_it(tmp_path: Path, environment: Path) -> None:
    package = write("acme", tmp_path / "acme")
    hardware = package / "src" / "qfw_acme" / "hardware.py"
    right = hardware.read_text()
    assert "state.ndim - 1 - qubit" in right
    # Qubits the wrong way round.
    hardware.write_text(right.replace("state.ndim - 1 - qubit", "qubit"))
    environment_path = {**os.environ, "PYTHONPATH": f"{package / 'src'}"}
    done = subprocess.run(
        [environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "theory"],
        cwd=package,
        env=environment_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 1, done.stdout + done.stderr


def test_what_it_writes_is_formatted_and_linted_as_qfw_is(tmp_path: Path) -> None:
    package = write("acme", tmp_path / "acme")
    rules = ("--config", ROOT / "pyproject.toml")
    run(sys.executable, "-m", "ruff", "check", *rules, "--ignore", "D", "src", "tests", cwd=package)
    run(sys.executable, "-m", "ruff", "format", "--check", *rules, "src", "tests", cwd=package)


def test_what_it_writes_has_types_that_are_right(tmp_path: Path) -> None:
    package = write("acme", tmp_path / "acme")
    lines = ["[mypy]", "strict = true", f"mypy_path = {ROOT / 'src'}", f"cache_dir = {tmp_path / 'cache'}"]
    # Of QFw's own sources only the types are looked at.
    (package / "mypy.ini").write_text("\n".join([*lines, "[mypy-qfw.*]", "follow_imports = silent"]))
    run(sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "src", cwd=package)


def test_nothing_is_left_to_fill_in(tmp_path: Path) -> None:
    package = write("acme", tmp_path / "acme")
    written = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert written == {place.format("acme") for place in FILES.values()}
    assert not any(re.search(r"@\w+@", (package / path).read_text()) for path in written)


@pytest.mark.parametrize(
    "name", ["", "Acme", "1st", "a-b", "a.b", "../up", "class", "a" * 41, "é", "simulators", "twin", "a\n"]
)
def test_a_name_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        write(name, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_folder_with_something_in_it_is_left_as_it_is(qfw: Qfw, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    done = qfw("platform", "new", "acme", "--dir", "mine")
    assert done.returncode == 1 and "left as they are" in done.stderr
    assert [path.read_text() for path in (tmp_path / "mine").iterdir()] == ["mine"]
    with pytest.raises(SetupError, match="cannot be written"):
        write("acme", tmp_path / "mine" / "README.md")


def test_without_a_sub_command_it_is_a_usage_error(qfw: Qfw) -> None:
    assert qfw("platform").returncode == 2
    assert qfw("platform", "new").returncode == 2
    assert qfw("platform", "old", "acme").returncode == 2
