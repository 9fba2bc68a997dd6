"""Pipelines for the devices of a session: a twin, which calibrates itself in between, and a simulator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from qfw.model.errors import UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation
from qfw.model.program import Gate, Measure, Program, slot
from qfw.qpi import Session
from qfw.qpi.pipeline import ToolPipeline
from qfw.testing.expected import distribution, frequencies, variation
from tests.stack import LIMIT_S, runtime_folder

SETTINGS = """
engines = ["reference"]
[workers]
count = 1
[platforms.twin.options]
clock = "virtual"
seed = 5
devices = ["twin-20"]
"""

GHZ = Program(
    5,
    5,
    1,
    (
        Gate("ry", (0,), (slot(0),)),
        *(Gate("cx", (0, q)) for q in range(1, 5)),
        *(Measure(q, q) for q in range(5)),
    ),
)
SHOTS = 4000


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with runtime_folder() as folder:
        (folder / "settings.toml").write_text(SETTINGS)
        with Session(runtime_folder=folder, config=folder / "settings.toml") as opened:
            yield opened


def test_a_pipeline_that_does_not_reach_the_gates_is_refused_with_gate_and_stage(session: Session) -> None:
    device = session.device("twin-20")
    said = r"behind stage 'reduce' \(tool reduce\), the last of the pipeline.*gate ry on qubits \(0,\) is not native"
    with (
        device.stream(pipeline=ToolPipeline(["reduce"])) as stream,
        pytest.raises(UnsupportedFeature, match=said),
    ):
        stream.run(GHZ, [1.2], shots=10).result(LIMIT_S)


def test_a_lowered_program_runs_on_the_twin_and_gives_what_was_meant(session: Session) -> None:
    device = session.device("twin-20")
    pipeline = ToolPipeline(["reduce", "transpile"])
    with pytest.raises(UnsupportedFeature, match="not native"), device.stream() as stream:
        stream.run(GHZ, [1.2], shots=10).result(LIMIT_S)
    pipeline.check(GHZ, device)
    found = pipeline.lower(GHZ, device)
    check_native(found.program, device.profile)
    with device.stream() as stream:
        result = stream.run(found.program, [1.2], shots=SHOTS, seed=1, calibration=found.calibration).result(
            LIMIT_S
        )
    wanted = distribution(GHZ, np.array([[1.2]]))[0]
    off = variation(frequencies(result.counts[0], 5), wanted)
    # What errs is what the pipeline estimates; some of it is not seen.
    assert found.stages[-1].fidelity is not None
    assert 0 < off < 1.5 * (1 - found.stages[-1].fidelity) + 0.03


def test_a_new_calibration_is_lowered_for_anew(session: Session) -> None:
    device = session.device("twin-20")
    pipeline = ToolPipeline(["transpile"])
    before = pipeline.lower(GHZ, device)
    assert pipeline.lower(GHZ, device).stages is before.stages
    device.native("calibrate")()
    after = pipeline.lower(GHZ, device)
    assert after.calibration != before.calibration
    assert after.stages is not before.stages
    assert after.calibration in str(pipeline.explain(GHZ, device))


def test_on_a_simulator_everything_stays_exact(session: Session) -> None:
    device = session.device("reference")
    bare = Program(5, 0, 1, GHZ.operations[:5])
    found = ToolPipeline(["transpile", "reduce"]).lower(bare, device)
    assert found.layout is None and found.calibration == "" and found.stages[0].fidelity is None
    z = Expectation((PauliSum.of("Z0"), PauliSum.of("Z0 Z4")))
    with device.stream() as stream:
        values = [
            stream.run(p, [1.2], outputs=(z,)).result(LIMIT_S).expectation_values
            for p in (bare, found.program)
        ]
    assert np.allclose(values[0], values[1], atol=1e-12)
