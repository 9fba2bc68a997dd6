"""docs/specs/qpi.md: every promise has something that keeps it, which exists, and tests, which exist."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "specs" / "qpi.md").read_text(encoding="utf-8")
PLACE = re.compile(r"§7\.4(\.1)?, [1-9]\.[1-9]\Z")
#: Paragraphs and their sentences that promise something.
SENTENCES = {
    "§7.4": {1: 8, 2: 7},
    "§7.4.1": {1: 5, 2: 5, 3: 3},
}


class Row(NamedTuple):
    """A promise."""

    number: str
    place: str
    promise: str
    by: str
    tests: str


def rows(text: str) -> list[Row]:
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines]


def exists(name: str) -> bool:
    """Whether a dotted name can be imported, its last parts being attributes."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError as error:
            # A framework that a module needs is another matter than a module that is not there.
            if not name.startswith(error.name or ""):
                raise
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@cache
def functions_of(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def problems(row: Row) -> list[str]:
    """What is wrong with a row."""
    found = [f"{field} is empty" for field, cell in row._asdict().items() if not cell]
    if not PLACE.match(row.place):
        found.append(f"{row.place!r} is no place: §7.4 or §7.4.1, paragraph.sentence")
    for field in ("by", "tests"):
        rest = re.sub(r"`[^`]*`", "", getattr(row, field)).strip(" ,")
        if rest:
            found.append(f"{field}: {rest}")
    names, tests = re.findall(r"`([^`]*)`", row.by), re.findall(r"`([^`]*)`", row.tests)
    found += [f"there is no {name}" for name in names if not (name.startswith("qfw.") and exists(name))]
    for test in tests:
        file, _, function = test.partition("::")
        if not function.startswith("test_") or function not in functions_of(file):
            found.append(f"there is no test {test}")
    if not names or not tests:
        found.append("nothing keeps it, or nothing tests it")
    return found


ROWS = rows(TEXT)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_a_promise_is_kept_and_tested(row: Row) -> None:
    assert not problems(row), f"{row.place}: {row.promise}"


def test_every_sentence_that_promises_has_a_row() -> None:
    said = {
        f"{section}, {paragraph}.{sentence}"
        for section, paragraphs in SENTENCES.items()
        for paragraph, count in paragraphs.items()
        for sentence in range(1, count + 1)
    }
    assert {row.place for row in ROWS} == said


def test_rows_are_numbered_in_the_order_of_the_paper() -> None:
    assert [row.number for row in ROWS] == [str(number) for number in range(1, len(ROWS) + 1)]
    places = [row.place for row in ROWS]
    assert places == sorted(places, key=lambda place: (place.startswith("§7.4.1"), place))


GOOD = Row(
    "1", "§7.4, 1.1", "It runs.", "`qfw.Session`", "`tests/qpi/test_session.py::test_daemons_end_after_all`"
)


@pytest.mark.parametrize(
    "changed",
    [
        {"promise": ""},
        {"place": "§7.5, 1.1"},
        {"by": ""},
        {"by": "`qfw.Sessions`"},
        {"by": "`qfw.Session.fly`"},
        {"by": "`qfw.nowhere.Session`"},
        {"by": "`os.path`"},
        {"by": "qfw.Session"},
        {"tests": ""},
        {"tests": "TODO"},
        {"tests": "`tests/qpi/test_session.py`"},
        {"tests": "`tests/qpi/test_session.py::test_that_nobody_wrote`"},
        {"tests": "`tests/qpi/test_nothing.py::test_daemons_end_after_all`"},
        {"tests": GOOD.tests + ", TODO: more"},
    ],
)
def test_a_bad_row_is_found_out(changed: dict[str, str]) -> None:
    assert not problems(GOOD)
    assert problems(GOOD._replace(**changed))
