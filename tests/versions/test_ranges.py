"""The page of supported versions says what the package allows, and what the environments of the matrix hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guides" / "versions.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

#: By the row's first words: the distribution, and the environments whose ends it names.
ROWS = {
    "Qiskit (": ("qiskit", "qiskit"),
    "Qiskit Aer (": ("qiskit-aer", "qiskit"),
    "PennyLane (": ("pennylane", "pennylane"),
    "PennyLane Lightning (": ("pennylane-lightning", "pennylane"),
    "Qulacs (": ("qulacs", "qiskit"),
    "NumPy": ("numpy", "base"),
    "msgspec": ("msgspec", "base"),
    "Rich": ("rich", "base"),
}


def row(start: str) -> list[str]:
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def bounds(distribution: str) -> set[str]:
    """What the package allows of a distribution, wherever it names it."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    found = [re.fullmatch(r"([a-z-]+)([<>=!~].*?)(;.*)?", text) for texts in lists for text in texts]
    return {match[2] for match in found if match and match[1] == distribution}


def locked(environment: str, distribution: str) -> set[str]:
    lock = (ROOT / "requirements" / "matrix" / f"{environment}.lock").read_text(encoding="utf-8")
    return set(re.findall(rf"^{distribution}==(\S+)", lock, re.MULTILINE))


@pytest.mark.parametrize("start", ROWS)
def test_a_row_is_true(start: str) -> None:
    distribution, environment = ROWS[start]
    _, oldest, newest, allowed = row(start)
    assert {allowed.strip("`")} == bounds(distribution), "every extra has the bounds of the page"
    assert oldest in locked(f"{environment}-oldest", distribution)
    assert newest in locked(f"{environment}-newest", distribution)


def test_the_row_of_python() -> None:
    assert row("Python")[3].strip("`") == PROJECT["requires-python"]


def test_every_bound_has_two_ends() -> None:
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    assert [text for texts in lists for text in texts if not re.search(r">=.*,<", text)] == []
