"""Every good program of tests/corpus means what it says, and still does when preset `default` lowered it for a twin.

A line `expect: {…}` says the probability of each outcome, classical bit 0 the rightmost character.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from qfw.formats import openqasm, qir
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Program
from qfw.platforms.twin.models import model
from qfw.qpm import presets, stages
from qfw.qpm.tool import Target
from tests.engines.branches import exact
from tests.toolchain.programs import compact

FOLDER = Path(__file__).parents[1] / "corpus"
READERS = {".qasm": openqasm.loads, ".ll": qir.loads}
GOOD = sorted(
    path for path in FOLDER.rglob("*.*") if path.suffix in READERS and not path.name.startswith("bad_")
)
TWIN = Target(*model("heavy-hex-20"))
EXACT = 1e-9


def read(path: Path) -> tuple[Program, str]:
    """A program of the corpus, its slots filled, and its text."""
    text = path.read_text(encoding="utf-8")
    program = READERS[path.suffix](text)
    return program.bound(np.linspace(-1.3, 2.1, program.num_slots)) if program.num_slots else program, text


def differences(wanted: dict[int, float], found: dict[int, float]) -> list[tuple[int, float, float]]:
    both = [(key, wanted.get(key, 0.0), found.get(key, 0.0)) for key in {*wanted, *found}]
    return [(key, one, two) for key, one, two in both if abs(one - two) > EXACT]


def test_there_is_something_of_every_kind() -> None:
    assert {path.parent.name for path in GOOD} == {"openqasm", "qir", "written"}
    assert len(GOOD) >= 50


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_it_means_what_it_says_lowered_too(path: Path) -> None:
    program, text = read(path)
    wanted = exact(program)
    if "expect:" in text:
        said = ast.literal_eval(text.split("expect:", 1)[1].split("\n", 1)[0].strip())
        assert not differences({int(bits, 2): chance for bits, chance in said.items()}, wanted)
        assert {len(bits) for bits in said} == {program.num_bits}
    pipeline = Pipeline((*presets.preset("default"), Stage("verify", "verify", {})))
    lowered = stages.run(pipeline, program, TWIN)
    assert lowered.stages[-1].notes[0].startswith("verified: ")
    narrow, _ = compact(Program.decode(lowered.encoded), lowered.layout, program.num_qubits)
    assert not differences(wanted, exact(narrow))
