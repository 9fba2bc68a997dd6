"""Pipelines stage by stage: what they make does the same, wherever the qubits went."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfw.model.native import check_native
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, IfElse, Measure, Program, Reset
from qfw.platforms.twin.models import model
from qfw.qpm import stages
from qfw.qpm.tool import Target
from tests.model.calibrations import line_calibration, line_profile
from tests.toolchain.programs import controlled, same_distribution, same_state, straight

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
LINE = Target(line_profile(6), line_calibration(6))
TWIN = Target(*model("heavy-hex-20"))
TOOLS = st.lists(st.sampled_from(["reduce", "transpile"]), min_size=1, max_size=3)


def pipeline(*tools: str) -> Pipeline:
    return Pipeline(tuple(Stage(f"{at}", tool) for at, tool in enumerate(tools)))


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(program=straight() | straight(measured=True) | controlled(), tools=TOOLS)
def test_every_pipeline_keeps_what_the_program_does(program: Program, tools: list[str]) -> None:
    for target in (LINE, TWIN):
        found = stages.run(pipeline(*tools, "transpile"), program, target)
        lowered = Program.decode(found.encoded)
        check_native(lowered, target.profile)
        assert len(found.stages) == len(tools) + 1
        same_distribution(program, lowered, found.layout)
        if not program.has_control:
            same_state(program, lowered, found.layout)
        assert stages.run(pipeline(*tools, "transpile"), program, target).encoded == found.encoded


def test_counts_of_a_program_that_measures_nothing_are_of_its_own_qubits() -> None:
    # One that is not coupled to the other two in a line, so that qubits have to move.
    ring = Program(3, 0, 0, (Gate("x", (1,)), *(Gate("cx", pair) for pair in ((0, 1), (1, 2), (0, 2)))))
    found = stages.run(pipeline("transpile"), ring, LINE)
    assert found.layout is not None
    lowered = Program.decode(found.encoded)
    assert lowered.num_bits == ring.num_bits == 3
    assert lowered.terminal_measurements == tuple((place, bit) for bit, place in enumerate(found.layout))
    # Where nothing moves there is nothing to say.
    alone = stages.run(pipeline("reduce"), ring, LINE)
    assert alone.layout is None and not Program.decode(alone.encoded).has_measurements


def test_bits_that_a_block_asks_for_stay() -> None:
    program = Program(1, 3, 0, (Gate("x", (0,)), Reset(0), IfElse((2,), 0, (Gate("x", (0,)),))))
    found = stages.run(pipeline("transpile"), program, LINE)
    lowered = Program.decode(found.encoded)
    assert lowered.num_clbits == 3 and isinstance(lowered.operations[-1], Measure)
