"""Rules of the house that no linter knows: one reader of the environment, plain lock files."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
LOCKS = sorted((ROOT / "requirements").rglob("*.lock"))
MATRIX = sorted((ROOT / "requirements" / "matrix").glob("*.in"))

#: The one module that may read the environment.
DISCOVER = "qfw/config/discover.py"
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def uses_of_environment(tree: ast.AST) -> Iterator[int]:
    """Lines that name a part of `os` which reads or writes the environment."""
    names_of_os = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "os"
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attr):
                if name in names_of_os and attr in ENVIRONMENT:
                    yield node.lineno
            case ast.ImportFrom(module="os", names=aliases):
                if any(alias.name in ENVIRONMENT for alias in aliases):
                    yield node.lineno


def imports_of_facade(tree: ast.AST) -> Iterator[int]:
    """Lines that take something other than the version from the package `qfw` itself."""
    rooms = {path.name for path in (SOURCE / "qfw").iterdir() if path.is_dir()}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                if any(alias.name == "qfw" for alias in aliases):
                    yield node.lineno
            case ast.ImportFrom(module="qfw", level=0, names=aliases):
                if any(alias.name not in rooms | {"__version__"} for alias in aliases):
                    yield node.lineno


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def pinned(lock: Path) -> dict[str, str]:
    """Text of each requirement of a lock file, by name."""
    joined = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.strip()]
    return {re.split(r"[=<>~!; ]", line, maxsplit=1)[0]: line for line in lines}


def name_of(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import os\nos.environ['HOME']", 1),
        ("import os as system\nsystem.getenv('HOME')", 1),
        ("from os import environ", 1),
        ("import os\nos.getpid()", 0),
        ("class environ: ...\nscope.environ", 0),
    ],
)
def test_the_scan_for_the_environment_sees_it(text: str, found: int) -> None:
    assert len(list(uses_of_environment(ast.parse(text)))) == found


def test_only_discover_reads_the_environment() -> None:
    found = [
        f"src/{name}:{line}"
        for name, tree in sources()
        if name != DISCOVER
        for line in uses_of_environment(tree)
    ]
    assert not found, f"only src/{DISCOVER} may use the environment: {found}"


def test_no_room_imports_the_public_face() -> None:
    found = [
        f"src/{name}:{line}"
        for name, tree in sources()
        if name != "qfw/__init__.py"
        for line in imports_of_facade(tree)
    ]
    assert not found, f"import from the room that has it, not from qfw itself: {found}"


def test_every_module_says_what_it_is() -> None:
    silent = [f"src/{name}" for name, tree in sources() if not ast.get_docstring(tree)]
    assert not silent, f"no docstring: {silent}"


def test_every_folder_is_a_package() -> None:
    folders = {path.parent for path in SOURCE.rglob("*.py")}
    missing = [str(path.relative_to(ROOT)) for path in folders if not (path / "__init__.py").exists()]
    assert not missing, f"no __init__.py: {missing}"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locks_have_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"\w+://|@ |--(extra-)?index|--find-links", text)
    for requirement in pinned(lock).values():
        assert "==" in requirement, requirement
        assert "--hash=sha256:" in requirement, requirement


def test_the_lock_has_everything_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked: list[str] = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        asked += extra
    for name in ("dev", "bench", "bootstrap"):
        lines = (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8").splitlines()
        asked += [line for line in lines if line and not line.startswith("#")]
    locked = {name for lock in LOCKS if lock.parent.name == "requirements" for name in pinned(lock)}
    assert {name_of(requirement) for requirement in asked} <= locked, "run make lock"


def test_every_environment_of_the_matrix_has_its_lock() -> None:
    locks = {lock.stem for lock in LOCKS if lock.parent.name == "matrix"}
    assert {path.stem for path in MATRIX} == locks, "run make lock"


@pytest.mark.parametrize("asked", MATRIX, ids=lambda path: path.stem)
def test_an_environments_lock_has_everything_asked_for(asked: Path) -> None:
    names = set(pinned(asked.with_suffix(".lock")))
    lines = asked.read_text(encoding="utf-8").splitlines()
    wanted = {name_of(line) for line in lines if line[0] not in "#.-"}
    assert wanted | {"numpy", "msgspec", "rich", "pytest"} <= names, "run make lock"
    assert "qfw" not in names, "the wheel is installed, not what a lock names"


@pytest.mark.parametrize(
    "lock", [path for path in MATRIX if "newest" in path.stem], ids=lambda path: path.stem
)
def test_the_newest_environments_hold_what_the_other_tests_run_with(lock: Path) -> None:
    tested = set(pinned(ROOT / "requirements" / "dev.lock").values())
    assert set(pinned(lock.with_suffix(".lock")).values()) <= tested, "run make lock"
