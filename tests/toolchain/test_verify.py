"""Tool `verify`: finds what tools did wrong, and nothing where they did not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.errors import OptionError, TooLarge, ToolFailed, UnsupportedFeature
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, IfElse, Measure, Program, slot
from qfw.numerics.equivalence import Pair, pair, random_sets
from qfw.platforms.twin.models import model
from qfw.qpm import stages
from qfw.qpm.tool import CheckingTool, Target, compares
from qfw.testing.expected import states
from qfw.toolchain.verify import METHODS, VerifyTool
from tests.toolchain.programs import straight

H0 = Gate("h", (0,))
HEAVY = Target(*model("heavy-hex-20"))
WIDE = Target(*model("heavy-hex-127"))
TOOL = VerifyTool()


def ghz(qubits: int, *more: Any) -> Program:
    chain = tuple(Gate("cx", (q, q + 1)) for q in range(qubits - 1))
    return Program(qubits, 0, 1, (Gate("ry", (0,), (slot(0),)), *chain, *more))


def ran(program: Program, target: Target, *tools: tuple[str, dict[str, Any]]) -> Any:
    made = Pipeline(tuple(Stage(f"{i}-{tool}", tool, options) for i, (tool, options) in enumerate(tools)))
    stages.check(made)
    return stages.run(made, program, target)


def test_it_is_a_checking_tool() -> None:
    assert isinstance(TOOL, CheckingTool) and compares(VerifyTool) and VerifyTool.version()


def test_in_a_pipeline_it_passes_the_program_on_and_says_what_it_compared() -> None:
    verify = ("verify", {})
    found = ran(ghz(5), HEAVY, ("reduce", {}), verify, ("transpile", {"level": 2}), verify)
    without = ran(ghz(5), HEAVY, ("reduce", {}), ("transpile", {"level": 2}))
    assert found.encoded == without.encoded and found.layout == without.layout
    (first,), (second,) = found.stages[1].notes, found.stages[3].notes
    assert first.startswith("verified: unitaries, 5 qubits on 5 at 2 random values of the slots")
    assert "verified: unitaries, 5 qubits on" in second
    assert found.stages[1].gates == found.stages[0].gates


@pytest.mark.parametrize("method", [m for m in METHODS if m != "auto"])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(program=straight(max_qubits=4))
def test_every_method_accepts_what_transpile_makes(method: str, program: Program) -> None:
    if method == "diagrams":
        pytest.importorskip("mqt.core")
    options = {"method": method, "sets": 1}
    ran(program, HEAVY, ("transpile", {}), ("verify", options))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_a_wrong_gate(method: str) -> None:
    if method == "diagrams":
        pytest.importorskip("mqt.core")
    wrong = ghz(5, Gate("ry", (2,), (0.3,)))
    with pytest.raises(ToolFailed, match="not what the pipeline was given any more"):
        TOOL.compare(ghz(5), wrong, None, "equivalence", HEAVY, {"method": method})


def test_a_layout_that_lies_is_found() -> None:
    program = ghz(3, Gate("cx", (2, 0)), Gate("ry", (1,), (0.4,)))
    found = ran(program, HEAVY, ("transpile", {}))
    assert found.layout is not None
    turned = (found.layout[1], found.layout[0], *found.layout[2:])
    with pytest.raises(ToolFailed, match="amplitude of"):
        TOOL.compare(program, Program.decode(found.encoded), turned, "equivalence", HEAVY, {})


def test_programs_with_control() -> None:
    def program(value: int) -> Program:
        return Program(2, 2, 0, (H0, Measure(0, 0), IfElse((0,), value, (Gate("x", (1,)),)), Measure(1, 1)))

    (note,) = ran(program(1), HEAVY, ("transpile", {}), ("verify", {})).stages[1].notes
    assert "every course followed" in note
    with pytest.raises(ToolFailed, match="outcome 00 had probability"):
        TOOL.compare(program(1), program(0), None, "equivalence", HEAVY, {})
    with pytest.raises(UnsupportedFeature, match="method states compares states"):
        TOOL.compare(program(1), program(1), None, "equivalence", HEAVY, {"method": "states"})


def test_wide_programs_by_diagrams() -> None:
    pytest.importorskip("mqt.core")
    (note,) = ran(ghz(40), WIDE, ("transpile", {}), ("verify", {})).stages[1].notes
    assert "decision diagrams" in note and "40 qubits on" in note
    wrong = ghz(40, Gate("rz", (20,), (0.2,)))
    with pytest.raises(ToolFailed, match="overlap by"):
        TOOL.compare(ghz(40), wrong, None, "equivalence", WIDE, {})
    with pytest.raises(TooLarge, match="method diagrams"):
        TOOL.compare(ghz(40), wrong, None, "equivalence", WIDE, {"method": "states"})


def test_diagrams_that_take_too_long_are_not_waited_for() -> None:
    pytest.importorskip("mqt.core")
    rng = np.random.default_rng(5)
    ops = []
    for _ in range(30):
        ops += [Gate("u", (q,), tuple(rng.uniform(-3, 3, 3).tolist())) for q in range(24)]
        ops += [Gate("cz", tuple(map(int, rng.permutation(24)[:2]))) for _ in range(12)]
    deep = Program(24, 0, 0, tuple(ops))
    with pytest.raises(ToolFailed, match="not decided: decision diagrams took longer"):
        TOOL.compare(deep, deep, None, "equivalence", WIDE, {"time_s": 0.2})


@settings(max_examples=40, deadline=None, derandomize=True)
@given(program=straight(max_qubits=4), data=st.data())
def test_diagrams_are_the_states_of_the_reference_engine(program: Program, data: st.DataObject) -> None:
    diagrams = pytest.importorskip("qfw.toolchain.diagrams")
    both = pair(program, program, None)
    assert isinstance(both, Pair)
    (values,) = random_sets(program.num_slots, 1, np.random.default_rng(2))
    package = diagrams.DDPackage(both.given.num_qubits)
    bound = both.given.bound(values)
    width = bound.num_qubits
    found = np.array(diagrams._state(package, bound, range(width), width, np.inf, 1.0).get_vector())
    (wanted,) = states(bound, np.zeros((1, 0)))
    assert abs(abs(np.vdot(wanted, found)) - 1) < 1e-8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metod": "auto"}, "no option 'metod'; did you mean 'method'"),
        ({"method": "statess"}, "not 'statess'; did you mean 'states'"),
        ({"stimuli": 0}, "from 1 to 1024, not 0"),
        ({"tolerance": float("nan")}, "tolerance of tool verify is a number"),
        ({"seed": True}, "not True"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        VerifyTool.check_options(options)
