"""Streams whose pipelines make several programs of one: real daemons, a twin, meshes, and tools that fail."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qfw.model.errors import (
    OptionError,
    ParameterError,
    TooLarge,
    ToolFailed,
    UnsupportedFeature,
)
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Output
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, Program, slot
from qfw.model.task import TaskOptions
from qfw.qpi import GroupResult, Request, Session
from qfw.qpi.group import Progress
from tests.stack import LIMIT_S, long_program, runtime_folder, strangers, until

SETTINGS = """
engines = ["reference"]
workers.count = 2
tools.memory_bytes = 1000000000
[platforms.twin.options]
seed = 1
devices = ["twin-20", { model = "twin-20", name = "other" }]
"""
#: Three qubits, two slots.
PROGRAM = Program(
    3,
    0,
    2,
    (
        Gate("ry", (0,), (slot(0),)),
        Gate("cx", (0, 1)),
        Gate("rx", (2,), (slot(1, 2.0, 0.3),)),
        Gate("cx", (1, 2)),
    ),
)
ASKED: tuple[Output, ...] = (
    Expectation((PauliSum.of({"Z0 Z1": 0.5, "X2": -1.0, "Y1 Y2": 0.25}), PauliSum.of("Z2"))),
    Expectation((PauliSum.of({"": 2.0, "Z0": 1.0}),)),
)
VALUES = np.linspace(-1.0, 1.0, 6).reshape(3, 2)
ONE: tuple[Output, ...] = (Expectation((PauliSum.of("Z2"),)),)


def pipeline(*stages: str | tuple[str, dict[str, Any]]) -> Pipeline:
    """Stages called after their places."""
    given = [stage if isinstance(stage, tuple) else (stage, {}) for stage in stages]
    return Pipeline(tuple(Stage(f"s{at}", tool, options) for at, (tool, options) in enumerate(given)))


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """Of a daemon that finds the strangers' plugins; so does this process, from then on."""
    with strangers(), runtime_folder() as folder:
        (folder / "settings.toml").write_text(SETTINGS)
        with Session(runtime_folder=folder, config=folder / "settings.toml") as opened:
            yield opened


def exact(session: Session, outputs: tuple[Output, ...] = ASKED) -> list[np.ndarray]:
    """What the program gives as it is."""
    found = session.device("reference").stream().run(PROGRAM, VALUES, outputs=outputs).result(LIMIT_S)
    return [answer.values.numpy() for answer in found.answers]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("stages", "leaves"),
    [
        (("terms",), 6),
        (("frames",), 4),
        (("shifted", "terms"), 6),
        (("terms", "frames"), 24),
        (("terms", "shifted", ("frames", {"frames": 2}), "reduce"), 12),
        ((("bound", {"frames": 3}), "reduce"), 3),
    ],
)
def test_answers_are_those_of_the_program_as_it_is(
    session: Session, stages: tuple[Any, ...], leaves: int
) -> None:
    stream = session.device("reference").stream(pipeline=pipeline(*stages))
    future = stream.run(PROGRAM, VALUES, outputs=ASKED)
    result = future.result(LIMIT_S)
    assert isinstance(result, GroupResult)
    assert len(result.parts) == leaves and result.executions == 0 and result.sets == 3
    assert result.devices == ("reference",)
    for found, right in zip(result.answers, exact(session), strict=True):
        np.testing.assert_allclose(found.values.numpy(), right, atol=1e-12)  # type: ignore[union-attr]
    assert any("terms" in note or "frames" in note for note in result.notes)
    assert future.progress == Progress(leaves, leaves)  # type: ignore[attr-defined]


def test_the_device_that_chooses_runs_leaves_on_what_it_chooses(session: Session) -> None:
    result = session.device().stream(pipeline=pipeline("terms")).run(PROGRAM, VALUES, outputs=ASKED)
    np.testing.assert_allclose(result.result(LIMIT_S).expectation_values, exact(session)[0], atol=1e-12)
    assert result.result(0).devices == ("reference",)


def test_seeds_say_all_and_items_are_sets(session: Session) -> None:
    stages = pipeline("terms", ("frames", {"frames": 3}))
    device, mesh = session.device("reference"), session.mesh(["reference"])
    how: dict[str, Any] = {"outputs": ASKED, "shots": 90, "seed": 7}
    whole = device.stream(pipeline=stages).run(PROGRAM, VALUES, **how).result(LIMIT_S)
    assert whole.executions == 6 * 90
    again = mesh.stream(pipeline=stages).run(PROGRAM, VALUES, **how).result(LIMIT_S)
    other = device.stream(pipeline=stages).run(PROGRAM, VALUES, **{**how, "seed": 8}).result(LIMIT_S)
    items = list(device.stream(pipeline=stages).map(PROGRAM, VALUES, **how))
    for at in range(len(ASKED)):
        values = whole.answers[at].values.numpy()
        np.testing.assert_array_equal(values, again.answers[at].values.numpy())
        one_by_one = np.concatenate([item.answers[at].values.numpy() for item in items])
        np.testing.assert_array_equal(values, one_by_one)
    assert not np.array_equal(whole.expectation_values, other.expectation_values)
    errors = whole.standard_errors
    assert (errors > 0).all()
    assert (abs(whole.expectation_values - exact(session)[0]) < 6 * errors).all()


def test_a_mesh_spreads_leaves_and_tools_know_its_devices(session: Session) -> None:
    mesh = session.mesh(["reference", "twin-20", "other"])
    spread = mesh.stream(
        pipeline=pipeline(
            ("frames", {"frames": 3, "devices": ["twin-20", "other", "reference"]}), "transpile"
        )
    )
    result = spread.run(PROGRAM, VALUES, outputs=ONE, shots=600, seed=1).result(LIMIT_S)
    assert set(result.devices) == {"reference", "twin-20", "other"}
    assert [part.device for part in result.parts] == ["twin-20", "other", "reference"]
    assert set(result.calibrations["twin-20"]) != set() and result.calibrations["reference"] == ()
    (said,) = [note for note in result.notes if note.startswith("for ")]
    # The widest that can run it whole; the others are its peers.
    widest = max(mesh.devices, key=lambda device: (device.profile.max_qubits, device.profile.preference))
    assert said.startswith(f"for {widest.name}, peers ") and widest.name not in said.partition("peers")[2]
    named = spread.run(PROGRAM, VALUES, outputs=ONE, shots=60, seed=1, device="reference")
    with pytest.raises(ToolFailed, match=r"variant 1 of 3.*'twin-20', which is not there: reference"):
        named.result(LIMIT_S)
    plain = mesh.stream(pipeline=pipeline("frames", "transpile"))
    alone = plain.run(PROGRAM, VALUES, outputs=ONE, shots=60, device="other").result(LIMIT_S)
    assert alone.devices == ("other",)


def test_what_is_bound_runs_where_and_when_it_was_made_for(session: Session, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    twin = session.device("twin-20")
    mesh = session.mesh(["twin-20", "other"])
    stages = pipeline("transpile", ("bound", {"frames": 5, "log": str(log)}), ("reduce"), ("transpile"))
    result = mesh.stream(pipeline=stages).run(PROGRAM, VALUES, outputs=ONE, shots=50).result(LIMIT_S)
    assert len(result.devices) == 1
    here = twin if result.devices == ("twin-20",) else session.device("other")
    before = here.calibration()
    assert before is not None and result.calibrations[here.name] == (before.version,)
    here.stream().calibrate().result(LIMIT_S)
    after = here.calibration()
    assert after is not None and after.version != before.version
    again = mesh.stream(pipeline=stages).run(PROGRAM, VALUES, outputs=ONE, shots=50).result(LIMIT_S)
    assert again.calibrations[here.name] == (after.version,)
    assert [line.split()[1] for line in log.read_text().splitlines()] == [before.version, after.version]
    assert not gate.exists()


def test_a_recalibration_has_what_is_bound_made_anew(session: Session, tmp_path: Path) -> None:
    """Also where no stage is left that would lower for the new one: then the daemon refuses the old programs."""
    log = tmp_path / "log"
    twin = session.device("other")
    stream = twin.stream(pipeline=pipeline("transpile", ("terms", {"log": str(log)})))
    versions = []
    for _ in range(2):
        result = stream.run(PROGRAM, VALUES, outputs=ASKED, shots=20).result(LIMIT_S)
        calibration = twin.calibration()
        assert calibration is not None and result.calibration == calibration.version
        versions.append(calibration.version)
        twin.stream().calibrate().result(LIMIT_S)
    assert versions[0] != versions[1]
    assert [line.split()[1] for line in log.read_text().splitlines()] == versions


@pytest.mark.parametrize(
    ("does", "error", "says"),
    [
        ("refuse", Exception, "stage s0: this tool does not like the program"),
        ("raise", ToolFailed, "stage s0: tool strangesplit failed with ZeroDivisionError: nobody foresaw"),
        ("nothing", ToolFailed, "stage s0: tool strangesplit gave Split"),
        ("none", ToolFailed, "stage s0: tool strangesplit gave NoneType"),
        ("slots", ToolFailed, "variant 1 of 1 of tool strangesplit has 7 slots; the 2"),
        ("device", ToolFailed, "for device 'nowhere', which is not there: reference"),
        ("wide", ToolFailed, "cannot be run: the observable acts on qubit 99"),
        ("many", TooLarge, "makes 100001 programs or more of one; at most 100000"),
        ("large", TooLarge, "take more than 32 MiB"),
        ("control", UnsupportedFeature, r"part 2 of 2 .*on reference"),
        ("combine raises", ToolFailed, "stage s0: tool strangesplit failed with ZeroDivisionError"),
        ("combine nothing", ToolFailed, "does not answer what was asked: 0 answers to 1 outputs"),
        ("combine none", ToolFailed, "stage s0: tool strangesplit failed with TypeError"),
        ("combine shape", ToolFailed, r"expectation of shape \(1, 7\)"),
        ("combine sets", ToolFailed, "expectation of 9 sets; 1 were run"),
        ("combine nan", ToolFailed, "expectation with NaN or infinity"),
        ("combine kind", ToolFailed, "ProbabilitiesAnswer in the place of expectation"),
    ],
)
def test_a_tool_that_fails_fails_its_operation_and_nothing_else(
    session: Session, does: str, error: type[Exception], says: str
) -> None:
    stream = session.device("reference").stream(pipeline=pipeline(("strangesplit", {"does": does})))
    future = stream.run(PROGRAM, VALUES[:1], outputs=ONE)
    with pytest.raises(error, match=says):
        future.result(LIMIT_S)
    beside = session.device("reference").stream(pipeline=pipeline("frames"))
    assert beside.run(PROGRAM, VALUES[:1], outputs=ONE).result(LIMIT_S).sets == 1


def test_what_cannot_be_is_refused_with_what_to_do(session: Session) -> None:
    device = session.device("reference")
    stream = device.stream(pipeline=pipeline("reduce", "terms"))
    for options in (TaskOptions(idempotency_key="again"), TaskOptions(detached=True)):
        with pytest.raises(OptionError, match=r"put together in this process.*no idempotency key"):
            stream.run(PROGRAM, VALUES, outputs=ONE, options=options)
    with pytest.raises(ParameterError):
        stream.run(PROGRAM, [[1.0]], outputs=ONE)
    with pytest.raises(OptionError, match="name no calibration"):
        stream.run(PROGRAM, VALUES, outputs=ONE, calibration="v1")
    counted = stream.run(PROGRAM, VALUES, outputs=Counts(), shots=10)
    with pytest.raises(
        UnsupportedFeature, match="stage s1: tool terms puts together expectation, not counts"
    ):
        counted.result(LIMIT_S)
    mesh = session.mesh(["twin-20", "other"])
    with pytest.raises(OptionError, match="split by sets or shots, and the pipeline makes several"):
        mesh.run_group(PROGRAM, VALUES, outputs=ONE, pipeline=pipeline("terms"))
    bound = mesh.stream(pipeline=pipeline(("frames", {"devices": ["twin-20", "other"]}), "bound"))
    with pytest.raises(UnsupportedFeature, match="stage s1: a stage in front gives a program to"):
        bound.run(PROGRAM, VALUES, outputs=ONE, shots=10).result(LIMIT_S)


def test_streams_count_it_as_one_operation(session: Session) -> None:
    stages = pipeline("terms")
    with session.device("reference").stream(order="ordered", window=4, pipeline=stages) as stream:
        queue = stream.completion_queue("results")
        first = stream.run(PROGRAM, VALUES, outputs=ASKED)
        second = stream.call(lambda result: result.expectation_values[0, 0])
        third = stream.call(lambda: [Request(PROGRAM, VALUES, outputs=ASKED)] * 2)
        stream.barrier().result(LIMIT_S)
        completions = [queue.get(LIMIT_S) for _ in range(3)]
    assert [completion.future for completion in completions] == [first, second, third]
    assert second.result(0) == first.result(0).expectation_values[0, 0]
    assert [len(result.parts) for result in third.result(0)] == [6, 6]


def test_parameters_may_be_the_result_of_another_operation(session: Session) -> None:
    stream = session.device("reference").stream(pipeline=pipeline("terms"))
    angles = stream.call(lambda: VALUES)
    result = stream.run(PROGRAM, angles, outputs=ASKED).result(LIMIT_S)
    np.testing.assert_allclose(result.expectation_values, exact(session)[0], atol=1e-12)


def test_one_expansion_serves_all_who_ask_for_the_same(session: Session, tmp_path: Path) -> None:
    log = tmp_path / "log"
    stream = session.device("reference").stream(pipeline=pipeline(("terms", {"log": str(log)})))
    results = list(stream.map(PROGRAM, np.random.default_rng(1).uniform(size=(40, 2)), outputs=ASKED))
    assert len(results) == 40
    assert len(log.read_text().splitlines()) == 1


def test_cancelling_ends_all_leaves(session: Session) -> None:
    stream = session.device("reference").stream(pipeline=pipeline(("frames", {"frames": 64})))
    future = stream.run(long_program(400), np.zeros((50, 1)), outputs=(Expectation((PauliSum.of("Z0"),)),))
    until(lambda: future.progress.total == 64, "parts")  # type: ignore[attr-defined]
    assert future.cancel()
    until(lambda: session.client.open_tasks == 0, "cancelled leaves are answered")


@pytest.mark.parametrize("does", ["hang", "combine hangs"])
def test_what_hangs_can_be_cancelled(session: Session, does: str) -> None:
    stream = session.device("reference").stream(
        pipeline=pipeline("framesathome", ("strangesplit", {"does": does}))
    )
    future = stream.run(PROGRAM, VALUES[:1], outputs=ONE)
    if does == "combine hangs":
        until(lambda: future.progress == Progress(16, 16), "all parts")  # type: ignore[attr-defined]
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(0)
