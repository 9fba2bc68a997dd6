"""`mitigate` as users have it: on streams of a session, with shots, on a twin and on a simulator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import qfw
from qfw.model.errors import ProgramError, UnsupportedFeature
from qfw.testing.expected import values
from tests.stack import LIMIT_S, runtime_folder
from tests.toolchain.mitigating import chain, energy

AT = [[1.0, 1.0]]
SHOTS = 20_000
ENERGY = qfw.Expectation((energy(),))


@pytest.fixture(scope="module")
def session() -> Iterator[qfw.Session]:
    with runtime_folder() as folder, qfw.Session(runtime_folder=folder) as session:
        yield session


def run(session: qfw.Session, device: str, stages: list, outputs: qfw.Expectation = ENERGY) -> list:
    """Results of twenty programs, all on their way at once; each with a seed of its own."""
    pipeline = qfw.ToolPipeline(stages)
    first = 100 * len(pipeline.stages)
    with session.device(device).stream(pipeline=pipeline) as stream:
        futures = stream.run_many(
            [qfw.Request(chain(seed), AT, SHOTS, outputs, first + seed) for seed in range(20)]
        )
        return [future.result(timeout=LIMIT_S) for future in futures]


def test_twenty_programs_come_nearer_on_a_twin(session: qfw.Session) -> None:
    """By each method alone, and by both."""
    ideal = np.array([values(chain(seed), (energy(),), np.array(AT))[0, 0] for seed in range(20)])

    def off(results: list) -> np.ndarray:
        return np.abs(np.array([result.expectation_values[0, 0] for result in results]) - ideal)

    raw = off(run(session, "twin-20", ["transpile"]))
    for methods, executions in ((["readout"], SHOTS), (["zne"], 3 * SHOTS), (["readout", "zne"], 3 * SHOTS)):
        results = run(session, "twin-20", ["transpile", ("mitigate", {"methods": methods})])
        assert (off(results) < raw).sum() >= 18
        for result in results:
            assert result.executions == executions and f"{executions} executions" in result.notes[-1]
            assert result.calibration == "heavy-hex-20-0.0" and 0 < result.standard_errors[0, 0] < 0.01


def test_on_a_simulator_nothing_changes_but_the_statistics(session: qfw.Session) -> None:
    options = {"methods": ["zne", "twirl"], "frames": 4, "extrapolation": "exponential"}
    for seed, result in enumerate(run(session, "reference", [("mitigate", options)])):
        ideal = values(chain(seed), (energy(),), np.array(AT))
        assert (np.abs(result.expectation_values - ideal) < 4.5 * result.standard_errors).all()


def test_what_is_refused_says_why(session: qfw.Session) -> None:
    for device, stages, outputs, error, message in (
        ("twin-20", ["transpile", "mitigate"], qfw.Counts(), UnsupportedFeature, "not counts"),
        ("reference", ["mitigate"], ENERGY, ProgramError, "reference has none: leave readout out"),
        ("twin-20", ["mitigate", "transpile"], ENERGY, ProgramError, "let mitigate follow transpile"),
    ):
        pipeline = qfw.ToolPipeline(stages)
        with session.device(device).stream(pipeline=pipeline) as stream, pytest.raises(error, match=message):
            stream.run(chain(0), AT, shots=100, outputs=outputs).result(timeout=LIMIT_S)
