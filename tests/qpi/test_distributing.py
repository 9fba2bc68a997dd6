"""One program over two twins with a link, through a stream of their joint device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qfw.model.errors import UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation
from qfw.model.program import Gate, Measure, Program, slot
from qfw.qpi import Session
from qfw.qpi.pipeline import ToolPipeline
from tests.engines.branches import exact
from tests.stack import LIMIT_S, running_daemon

TWINS = """
engines = ["reference", "qulacs"]
[platforms.twin.options]
noise = false
devices = [{ model = "trapped-ion", name = "left" }, { model = "trapped-ion", name = "right" }]
links = [{ devices = ["left", "right"], fidelity = 1.0, rate_per_s = 1e5, attempt_us = 1.0 }]
"""
SPREAD = ToolPipeline(["reduce", ("distribute", {"max_qubits": 3})])
CHAIN = Program(
    5,
    5,
    1,
    (
        *(Gate("ry", (q,), (slot(0, 1.0, 0.3 * q),)) for q in range(5)),
        *(Gate("cz", (q, (q + 1) % 5)) for q in range(5)),
        *(Gate("rx", (q,), (0.4 + 0.1 * q,)) for q in range(5)),
        *(Measure(q, q) for q in range(5)),
    ),
)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with running_daemon(TWINS) as folder, Session(runtime_folder=Path(folder)) as opened:
        opened.device("left")
        yield opened


def test_two_twins_give_the_distribution_of_one(session: Session) -> None:
    joint, shots = session.mesh(["left", "right"]).joint(), 4000
    with joint.stream(pipeline=SPREAD) as stream:
        result = stream.run(CHAIN, [[0.7], [2.1]], shots=shots, seed=3).result(LIMIT_S)
    assert result.devices == ("left+right",) and "entangled pairs: 2" in result.notes[0]
    for counts, angle in zip(result.counts, (0.7, 2.1), strict=True):
        wanted = exact(CHAIN, (angle,))
        found = {int(bits, 2): number / shots for bits, number in counts.items()}
        distance = sum(abs(wanted.get(k, 0.0) - found.get(k, 0.0)) for k in {*wanted, *found})
        assert distance < 0.15 and sum(counts.values()) == shots


def test_expectation_values_come_with_their_errors(session: Session) -> None:
    joint = session.mesh(["left", "right"]).joint()
    body = Program(5, 0, 1, CHAIN.operations[:-5])
    observables = PauliSum.of("Z0 Z4"), PauliSum.of({"X1 Y2": 0.5, "Z3": 1.0})
    with joint.stream(pipeline=SPREAD) as stream:
        future = stream.run(body, [0.7], shots=4000, seed=3, outputs=Expectation(observables))
        result = future.result(LIMIT_S)
    with session.device("reference").stream() as stream:
        wanted = stream.run(body, [0.7], outputs=Expectation(observables)).result(LIMIT_S).expectation_values
    off = np.abs(result.expectation_values - wanted)
    errors = result.standard_errors
    assert (errors > 0).all() and (off < 5 * errors).all()


def test_a_mesh_without_a_link_is_given_fragments(session: Session) -> None:
    body = Program(5, 0, 1, CHAIN.operations[:-5])
    outputs = Expectation((PauliSum.of("Z0 Z4"), PauliSum.of({"X1 Y2": 0.5, "Z3": 1.0})))
    mesh = session.mesh(["reference", "qulacs"])
    with mesh.stream(pipeline=ToolPipeline([("distribute", {"max_qubits": 4})])) as stream:
        result = stream.run(body, [[0.7], [0.2]], outputs=outputs).result(LIMIT_S)
    with session.device("reference").stream() as stream:
        wanted = stream.run(body, [[0.7], [0.2]], outputs=outputs).result(LIMIT_S).expectation_values
    assert len(result.parts) > 1 and "cut" in result.notes[0]
    np.testing.assert_allclose(result.expectation_values, wanted, atol=1e-9)


def test_a_device_of_its_own_is_refused_by_name(session: Session) -> None:
    with (
        session.device("left").stream(pipeline=SPREAD) as stream,
        pytest.raises(UnsupportedFeature, match=r"stage distribute: left is one device"),
    ):
        stream.run(CHAIN, [0.7], shots=100).result(LIMIT_S)
