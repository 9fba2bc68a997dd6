"""Tool `cut` on devices: a noisy processor behind `transpile`, and a mesh whose devices are of different width."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from qfw.model.errors import UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Probabilities
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, Program, slot
from qfw.qpi import GroupResult, Session
from tests.stack import LIMIT_S, runtime_folder
from tests.toolchain.cut_cases import distribution, value

SETTINGS = """
engines = ["reference"]
workers.count = 2
[platforms.twin.options]
seed = 3
devices = ["twin-20"]
"""
#: Its last gates come before all cuts that the search may choose: halves are not last.
PROGRAM = Program(
    5,
    0,
    1,
    (
        Gate("ry", (0,), (slot(0),)),
        *(Gate("cx", (q, q + 1)) for q in range(4)),
        *(Gate("ry", (q,), (0.4,)) for q in range(5)),
    ),
)
SUMS = (PauliSum.of({"Z0 Z4": 1.0, "Z1": 0.5}), PauliSum.of("X0 X1 X2 X3 X4"))
PARAMETERS = np.array([[0.6], [1.9]])
WANTED = np.array([[value(PROGRAM, sums, values) for sums in SUMS] for values in PARAMETERS])


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with runtime_folder() as folder:
        (folder / "settings.toml").write_text(SETTINGS)
        with Session(runtime_folder=folder, config=folder / "settings.toml") as opened:
            yield opened


def pipeline(*more: str, **options: object) -> Pipeline:
    stages = (Stage("cut", "cut", {"max_qubits": 4, **options}), *(Stage(name, name) for name in more))
    return Pipeline(stages)


def test_a_mesh_gives_the_exact_answer(session: Session) -> None:
    mesh = session.mesh(["reference", "twin-20"])
    asked = (Expectation(SUMS), Probabilities((3, 1)))
    result = mesh.stream(pipeline=pipeline()).run(PROGRAM, PARAMETERS, outputs=asked).result(LIMIT_S)
    assert isinstance(result, GroupResult)
    np.testing.assert_allclose(result.answers[0].values.numpy(), WANTED, atol=1e-10)  # type: ignore[union-attr]
    wanted = [distribution(PROGRAM, (3, 1), values) for values in PARAMETERS]
    np.testing.assert_allclose(result.answers[1].values.numpy(), wanted, atol=1e-10)  # type: ignore[union-attr]
    assert any("cut at operation" in note or "cut before operation" in note for note in result.notes)


def test_a_noisy_processor_runs_the_fragments_lowered(session: Session) -> None:
    stream = session.device("twin-20").stream(pipeline=pipeline("transpile"))
    result = stream.run(PROGRAM, PARAMETERS, outputs=Expectation(SUMS), shots=4000, seed=2).result(LIMIT_S)
    assert isinstance(result, GroupResult)
    assert result.executions == 4000 * len(result.parts)
    found, errors = result.expectation_values, result.standard_errors
    assert (errors > 0).all() and (errors < 0.1).all()
    # Gates and readout of this twin err by some per cent: near, and not the ideal.
    assert (np.abs(found - WANTED) < 0.15 + 5 * errors).all()


def test_counts_are_refused_before_anything_runs(session: Session) -> None:
    stream = session.device("reference").stream(pipeline=pipeline())
    with pytest.raises(UnsupportedFeature, match="probabilities"):
        stream.run(PROGRAM, PARAMETERS, outputs=Counts(), shots=10).result(LIMIT_S)
