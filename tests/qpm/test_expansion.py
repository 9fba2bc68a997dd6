"""Expansions as values: what travels, what is refused, and answers that are not those of the leaves."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfw.model.errors import OptionError, ToolFailed, WrongAnswer
from qfw.model.expansion import MAX_ENCODED_BYTES, MAX_LEAVES, Expanded
from qfw.model.observable import PauliSum
from qfw.model.outputs import Array, Expectation, ExpectationAnswer, Output
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, Program, slot
from qfw.model.seeds import leaf_seed, set_seed, slice_seed
from qfw.qpm.expansion import combine, expand, front, splitting
from qfw.qpm.tool import Target
from tests.model.calibrations import line_calibration, line_profile
from tests.stack import strangers

LINE = Target(line_profile(6), line_calibration(6))
PROGRAM = Program(2, 0, 1, (Gate("ry", (0,), (slot(0),)), Gate("cx", (0, 1))))
ASKED: tuple[Output, ...] = (Expectation((PauliSum.of({"Z0": 1.0, "X0 X1": 2.0}), PauliSum.of("Z1"))),)


@pytest.fixture(scope="module", autouse=True)
def plugins() -> Iterator[None]:
    """This process finds the strangers' plugins."""
    with strangers():
        yield


def pipeline(*stages: str | tuple[str, dict[str, Any]]) -> Pipeline:
    given = [stage if isinstance(stage, tuple) else (stage, {}) for stage in stages]
    return Pipeline(tuple(Stage(f"s{at}", tool, options) for at, (tool, options) in enumerate(given)))


def answer(sets: int, width: int, value: float = 0.5) -> tuple[ExpectationAnswer, ...]:
    return (ExpectationAnswer(Array.of(np.full((sets, width), value)), Array.of(np.zeros((sets, width)))),)


def test_levels_follow_the_stages_and_what_is_behind_is_the_rest() -> None:
    stages = pipeline("reduce", "terms", "reduce", ("frames", {"frames": 2}), "reduce", "transpile")
    found = expand(stages, PROGRAM, ASKED, 7, LINE)
    assert [level.stage for level in found.levels] == [1, 3]
    assert [fork.variants for fork in found.levels[0].forks] == [3]
    assert [fork.variants for fork in found.levels[1].forks] == [2, 2, 2]
    assert [leaf.shots for leaf in found.leaves] == [4, 3] * 3 and found.executions == 21
    # Equal programs travel once: the frames of all terms are the same two.
    assert len(found.programs) == 2
    assert found.rest is not None and [stage.name for stage in found.rest.stages] == ["s4", "s5"]
    assert not found.bound and found.calibration == LINE.version and found.device == LINE.profile.name
    assert [stage.name for stage in front(stages)] == ["s0", "s1", "s2", "s3"]
    assert Expanded.decode(found.encoded) == found
    assert expand(stages, PROGRAM, ASKED, 7, LINE).leaves == found.leaves
    assert expand(pipeline("transpile", "terms"), PROGRAM, ASKED, 0, LINE).bound
    assert not expand(pipeline("terms", "transpile"), PROGRAM, ASKED, 0, LINE).bound


def test_which_pipelines_split() -> None:
    assert splitting(pipeline("reduce", "terms")) and not splitting(pipeline("reduce"))
    # Of tools that are not here nobody knows.
    assert not splitting(pipeline("nobody-has-this"))
    with pytest.raises(OptionError, match="no stage of the pipeline makes several"):
        expand(pipeline("reduce"), PROGRAM, ASKED, 0, LINE)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_answers_that_are_not_those_of_the_leaves_are_refused(data: st.DataObject) -> None:
    stages = pipeline("terms", ("frames", {"frames": 2}))
    found = expand(stages, PROGRAM, ASKED, 0, LINE)
    answers: list[Any] = [answer(2, 1) for _ in found.leaves]
    combined = combine(stages, found, answers)
    assert combined[0].values.numpy().shape == (2, 2)  # type: ignore[union-attr]
    at = data.draw(st.integers(0, len(answers) - 1))
    wrong = data.draw(st.sampled_from(["sets", "width", "none", "more", "nan", "fewer"]))
    match wrong:
        case "sets":
            answers[at] = answer(3, 1)
        case "width":
            answers[at] = answer(2, 4)
        case "none":
            answers[at] = ()
        case "more":
            answers[at] = answer(2, 1) * 2
        case "nan":
            answers[at] = answer(2, 1, np.nan)
        case "fewer":
            del answers[at]
    with pytest.raises(WrongAnswer):
        combine(stages, found, answers)


def test_an_expansion_of_another_pipeline_is_refused() -> None:
    found = expand(pipeline("reduce", "reduce", "terms"), PROGRAM, ASKED, 0, LINE)
    with pytest.raises(ToolFailed, match="no stage 3"):
        combine(pipeline("terms"), found, [answer(1, 1) for _ in found.leaves])


def test_bytes_that_are_no_expansion_are_refused_and_cost_little() -> None:
    found = expand(pipeline("terms"), PROGRAM, ASKED, 0, LINE)
    replace = msgspec.structs.replace
    level, fork, leaf = found.levels[0], found.levels[0].forks[0], found.leaves[0]
    for wrong in (
        replace(found, leaves=found.leaves[:-1]),
        replace(found, leaves=(replace(leaf, program=9), *found.leaves[1:])),
        replace(found, leaves=(replace(leaf, program=-1), *found.leaves[1:])),
        replace(found, leaves=(replace(leaf, shots=-1), *found.leaves[1:])),
        replace(found, levels=()),
        replace(found, levels=(level, level)),
        replace(found, levels=(replace(level, forks=()),)),
        replace(found, levels=(replace(level, forks=(replace(fork, variants=0), fork)),)),
        replace(found, levels=(replace(level, stage=-1),)),
        replace(found, rest=Pipeline(())),
        replace(found, programs=(bytes(33 * 2**20),) * 1),
    ):
        with pytest.raises(ToolFailed):
            Expanded.decode(wrong.encoded)
    with pytest.raises(ToolFailed, match="at most"):
        Expanded.decode(bytes(MAX_ENCODED_BYTES + 1))
    # Thirty million empty leaves, of one byte each, are not even read.
    bomb = b"\x9a\x90\xdd" + (30_000_000).to_bytes(4, "big") + b"\x90" * 30_000_000
    tracemalloc.start()
    try:
        with pytest.raises(ToolFailed, match="no expansion"):
            Expanded.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()
    assert MAX_LEAVES == 100_000


def test_seeds_of_leaves_are_a_family_of_their_own() -> None:
    drawn = {leaf_seed(seed, leaf) for seed in range(30) for leaf in range(30)}
    assert len(drawn) == 900 and all(0 <= seed < 2**63 for seed in drawn)
    assert not drawn & {slice_seed(seed, at) for seed in range(30) for at in range(30)}
    assert not drawn & {set_seed(seed, at) for seed in range(30) for at in range(30)}
