"""`mitigate` as users have it: on streams of a session, with shots, on a twin and on a simulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


def run(session: qfw.Session, device: str, stages: list, programs: int = 20) -> list:
    """Results of programs that are all on their way at once; each with a seed of its own."""
    pipeline = qfw.ToolPipeline(stages)
    first = 100 * len(pipeline.stages)
    with session.device(device).stream(pipeline=pipeline) as stream:
        futures = stream.run_many(
            [qfw.Request(chain(seed), AT, SHOTS, ENERGY, first + seed) for seed in range(programs)]
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
    for seed, result in enumerate(run(session, "reference", [("mitigate", options)], 6)):
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


def test_after_a_recalibration_it_is_made_anew(tmp_path: Path) -> None:
    """Every result was mitigated by the calibration that it ran under, and there are two."""
    settings = tmp_path / "settings.toml"
    settings.write_text(
        '[platforms.twin.options]\ndevices = ["twin-20"]\n'
        "life = { recalibration = [{ begin_s = 20.0, duration_s = 5.0, every_s = 1000.0 }] }\n"
    )
    with runtime_folder() as folder, qfw.Session(runtime_folder=folder, config=settings) as session:
        stages = ["transpile", ("mitigate", {"methods": ["readout"]})]
        results = run(session, "twin-20", stages)
    versions = set()
    for result in results:
        ((version,),) = result.calibrations.values()
        assert f"inverted by calibration {version};" in result.notes[0]
        versions.add(version)
    assert versions == {"heavy-hex-20-0.0", "heavy-hex-20-0.0+1"}


def test_parts_of_a_cut_program_are_mitigated(session: qfw.Session) -> None:
    """Each part by itself, behind its own lowering; both tools put their answers together."""
    program, (exact,) = chain(0, 5, 1), values(chain(0, 5, 1), (energy(),), np.array(AT))[0]
    cut, off = ("cut", {"max_qubits": 4}), []
    for stages, times in (([cut, "transpile"], 1), ([cut, "transpile", "mitigate"], 3)):
        with session.device("twin-20").stream(pipeline=qfw.ToolPipeline(stages)) as stream:
            result = stream.run(program, AT, shots=SHOTS, outputs=ENERGY, seed=1).result(timeout=LIMIT_S)
        off.append(abs(result.expectation_values[0, 0] - exact))
        assert result.executions == times * 7 * SHOTS
    assert off[1] < off[0] / 2
