"""Programs that differ in constants only at which no stage looks are lowered once, and rightly."""

from __future__ import annotations

from math import pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qfw.formats.remembered import Remembered
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, Program, slot
from qfw.numerics.equivalence import compare
from qfw.platforms.twin.models import model
from qfw.qpm import recall
from qfw.qpm.shelf import Shelf
from qfw.qpm.tool import Target
from qfw.testing import tool_programs as programs

TARGET = Target(*model("heavy-hex-20"))


def pipeline(reads: str, *more: Stage) -> Pipeline:
    options: dict[str, Any] = {"constants": reads}
    return Pipeline((Stage("transpile", "transpile", options), *more))


def program(a: float, b: float) -> Program:
    return Program(2, 0, 1, (Gate("rx", (0,), (a,)), Gate("ry", (1,), (slot(0),)), Gate("rzz", (0, 1), (b,))))


def entries(shelf: Shelf) -> int:
    return shelf.state().entries


def _forget() -> None:
    """As another process is."""
    recall._recent = Remembered(recall.MAX_RECENT, recall.MAX_RECENT_BYTES)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    _forget()
    return Shelf(tmp_path / "lowered", 2**22)


@pytest.mark.parametrize("reads", ["special", "none"])
def test_fifty_are_lowered_once(shelf: Shelf, reads: str) -> None:
    begun: list[str] = []
    for k in range(50):
        given = program(0.1 + 0.01 * k, 1.3 - 0.02 * k)
        made, decoded = recall.lowered(pipeline(reads), given, TARGET, shelf, lambda s: begun.append(s.name))
        assert decoded.num_slots == 1 and made.encoded == decoded.encoded
        assert compare(given, decoded, made.layout, "equivalence").equal
    assert begun == ["transpile"] and entries(shelf) == 1
    # Another process has the disk only.
    _forget()
    recall.lowered(pipeline(reads), program(2.0, 2.1), TARGET, shelf, lambda s: begun.append(s.name))
    assert begun == ["transpile"] and entries(shelf) == 1


def test_what_is_read_is_in_the_key(shelf: Shelf) -> None:
    begun: list[str] = []
    for reads, a, count in (
        ("special", 0.3, 1),
        ("special", pi / 4, 2),
        ("special", pi / 2, 3),
        ("special", 0.4, 3),
        ("all", 0.3, 4),
        ("all", 0.4, 5),
        ("none", 0.3, 6),
        ("none", pi / 2, 6),
    ):
        recall.lowered(pipeline(reads), program(a, 0.7), TARGET, shelf, lambda s: begun.append(s.name))
        assert len(begun) == count, (reads, a)
    assert entries(shelf) == 6


def test_a_stage_that_looks_at_all_is_heard(shelf: Shelf) -> None:
    begun: list[str] = []
    for a in (0.3, 0.4):
        both = pipeline("none", Stage("reduce", "reduce"))
        recall.lowered(both, program(a, 0.7), TARGET, shelf, lambda s: begun.append(s.name))
    assert begun == ["transpile", "reduce"] * 2


@pytest.mark.parametrize(("most", "most_bytes", "kept"), [(2, 2**20, 2), (64, 1, 1), (64, 2**20, 4)])
def test_what_a_process_keeps_is_bounded(
    monkeypatch: pytest.MonkeyPatch, most: int, most_bytes: int, kept: int
) -> None:
    monkeypatch.setattr(recall, "_recent", Remembered(most, most_bytes))
    for width in range(2, 6):
        recall.lowered(pipeline("none"), Program(width, 0, 0, (Gate("rx", (0,), (0.3,)),)), TARGET, None)
    assert len(recall._recent) == kept


@pytest.mark.parametrize("reads", ["special", "none"])
def test_random_programs_keep_their_meaning(reads: str) -> None:
    rng = np.random.default_rng(31)
    for _ in range(6):
        free = programs.straight(rng, int(rng.integers(1, 5)), 12, measured=bool(rng.integers(2)))
        bound = free.bound(rng.choice([0.0, pi / 2, pi, 0.3, -0.3, 1.1], size=free.num_slots))
        for given in (free, bound, programs.controlled(rng, 2)):
            made, decoded = recall.lowered(pipeline(reads), given, TARGET, None)
            assert decoded.num_slots == given.num_slots
            verdict = compare(given, decoded, made.layout, "equivalence")
            assert verdict.equal, (verdict.text, given)
