"""The wheel holds what users need, and nothing else."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILD = "from setuptools import build_meta; build_meta.build_wheel('dist')"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that nothing of an earlier build is in it."""
    folder = tmp_path_factory.mktemp("build")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    # What is in the sources and must stay out.
    (folder / "tests").mkdir()
    (folder / "tests" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def told(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (entry for entry in wheel.namelist() if entry.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_it_holds_every_module_and_no_other(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    templates = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.in")}
    assert templates
    assert packed == modules | templates | {"qfw/py.typed", "qfw_qiskit/py.typed"}


def test_it_is_for_every_python_and_platform_that_is_supported(wheel: zipfile.ZipFile) -> None:
    assert "Root-Is-Purelib: true" in told(wheel, "WHEEL")
    metadata = Parser().parsestr(told(wheel, "METADATA"))
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert "Apache License" in told(wheel, "licenses/LICENSE")


def test_its_extras_are_those_of_the_project(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(told(wheel, "METADATA"))
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    # Without an extra no framework comes along.
    alone = {
        line.partition(";")[0].strip() for line in metadata.get_all("Requires-Dist") if "extra ==" not in line
    }
    assert {name.rstrip("0123456789.<>=!~, ") for name in alone} == {"msgspec", "numpy", "rich"}


def test_its_entry_points_are_those_of_the_project(wheel: zipfile.ZipFile) -> None:
    found = configparser.ConfigParser()
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(told(wheel, "entry_points.txt"))
    wanted = {group: dict(entries) for group, entries in PROJECT["entry-points"].items()}
    wanted["console_scripts"] = PROJECT["scripts"]
    assert {group: dict(found[group]) for group in found.sections()} == wanted


def test_the_readme_lists_every_extra() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) == set(PROJECT["optional-dependencies"])
