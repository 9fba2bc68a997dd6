"""Tool search: never worse than transpile with its first seed, and what its options say."""

from __future__ import annotations

from typing import Any

import pytest

from qfw.model.errors import OptionError
from qfw.model.program import Gate, Measure, Program
from qfw.platforms.twin.models import model
from qfw.qpm.quality import fidelity
from qfw.qpm.tool import Target, Tool
from qfw.toolchain.search import SearchTool
from qfw.toolchain.transpile import TranspileTool

TWIN = Target(*model("heavy-hex-20"))
RING = Program(7, 0, 0, tuple(Gate("cx", (q, (q + step) % 7)) for step in (1, 3) for q in range(7)))


def two_qubit_gates(program: Program) -> int:
    return sum(len(gate.qubits) == 2 for gate in program.gates())


def test_it_gives_the_best_of_its_seeds() -> None:
    tool: Tool = SearchTool()
    single = [TranspileTool().apply(RING, TWIN, {"level": 1, "seed": seed}) for seed in range(3, 9)]
    likely = [fidelity(found.program, TWIN.calibration) or 0.0 for found in single]
    best = likely.index(max(likely))
    assert min(likely) < max(likely), "every seed gives the same: this shows nothing"
    found = tool.apply(RING, TWIN, {"level": 1, "seed": 3, "seeds": 6})
    assert found.program == single[best].program and found.layout == single[best].layout
    assert found.notes[-1] == f"seed {3 + best} of 6 tried"


def test_a_lower_level_that_places_it_better_is_taken() -> None:
    read = (Measure(q, q) for q in range(3))
    program = Program(3, 3, 0, (Gate("rx", (0,), (1.5,)), Gate("cx", (0, 1)), Gate("cx", (0, 2)), *read))
    levels = [
        TranspileTool().apply(program, TWIN, {"level": level, "seed": seed})
        for level, seed in ((3, 0), (3, 1), (2, 0), (1, 0))
    ]
    likely = [fidelity(found.program, TWIN.calibration) or 0.0 for found in levels]
    assert max(likely[:2]) < likely[2], "level 3 is better: this shows nothing"
    found = SearchTool().apply(program, TWIN, {"seeds": 2})
    assert fidelity(found.program, TWIN.calibration) == max(likely)
    assert found.notes[-1] == "level 2, better here than 2 seeds on level 3"


def test_without_a_calibration_fewer_two_qubit_gates_are_better() -> None:
    ideal = Target(TWIN.profile)
    single = [TranspileTool().apply(RING, ideal, {"level": 1, "seed": seed}) for seed in range(6)]
    counted = [two_qubit_gates(found.program) for found in single]
    assert min(counted) < max(counted), "every seed gives the same: this shows nothing"
    found = SearchTool().apply(RING, ideal, {"level": 1, "seeds": 6})
    assert two_qubit_gates(found.program) == min(counted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sedes": 2}, "did you mean 'seeds'"),
        ({"seeds": 0}, "from 1 to 1024, not 0"),
        ({"level": 4}, "from 0 to 3, not 4"),
        ({"seed": 2**31 - 1, "seeds": 2}, "not 2147483647"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        SearchTool.check_options(options)
