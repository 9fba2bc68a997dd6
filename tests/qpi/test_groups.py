"""Task groups: one task on many devices, merged exactly."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfw.model.errors import (
    OptionError,
    ParameterError,
    PlatformFailed,
    QFwError,
    ResultTimeout,
    TooLarge,
    UnsupportedFeature,
    UsageError,
)
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Memory, Probabilities, Statevector
from qfw.model.program import Gate, Measure, Program, slot
from qfw.model.task import TaskOptions
from qfw.qpi import GroupResult, Mesh, Session
from qfw.qpi.pipeline import ToolPipeline
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, events_of, long_program, running_daemon, until

ONE = 'engines = ["reference"]\nworkers.count = 2\ndaemon.name = "one"\n'
TWO = """
engines = ["reference", "qulacs"]
workers.count = 1
[daemon]
name = "two"
[platforms.twin.options]
seed = 1
devices = ["twin-20", { model = "twin-20", name = "big" }]
"""
#: Three qubits, two slots; every output that is sampled.
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
SAMPLED = (
    Counts(),
    Memory(),
    Expectation((PauliSum.of({"Z0 Z1": 0.5, "X2": -1.0}), PauliSum.of("Z2"))),
    Probabilities((0, 2)),
)
SEEDS = st.integers(0, 2**63 - 1)
EXACT = (Expectation((PauliSum.of({"Z0 Z1": 0.5, "X2": -1.0}),)), Probabilities(), Statevector())


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with running_daemon(ONE) as one, running_daemon(TWO) as two:
        with Session(daemons=[two]) as early:
            early.device("big")
        with Session(daemons=[one, two]) as opened:
            yield opened


@pytest.fixture(scope="module")
def meshes(session: Session) -> list[Mesh]:
    """Of one, two and three devices, of the same engine where it counts."""
    names = ["reference", "reference@two", "qulacs"]
    return [session.mesh(names[:count]) for count in (1, 2, 3)]


def angles(sets: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).random((sets, 2)) * 3


def assert_same(found: Any, wanted: Any, exact: bool = True) -> None:
    assert found.counts == wanted.counts
    assert found.memory == wanted.memory
    tolerance = {"rtol": 0, "atol": 0 if exact else 1e-12}
    np.testing.assert_allclose(found.expectation_values, wanted.expectation_values, **tolerance)
    np.testing.assert_allclose(found.standard_errors, wanted.standard_errors, **tolerance)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, **tolerance)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sets=st.integers(1, 30),
    parts=st.integers(1, 30),
    shots=st.integers(2, 60),
    seed=SEEDS,
    which=st.integers(0, 2),
)
def test_split_by_sets_is_the_undivided_task(
    session: Session, meshes: list[Mesh], sets: int, parts: int, shots: int, seed: int, which: int
) -> None:
    values = angles(sets)
    with session.device("reference").stream() as stream:
        whole = stream.run(PROGRAM, values, shots=shots, outputs=SAMPLED, seed=seed).result(LIMIT_S)
    found = meshes[which].run_group(
        PROGRAM, values, shots=shots, outputs=SAMPLED, seed=seed, parts=min(parts, sets)
    )
    assert_same(found.result(LIMIT_S), whole, exact=which < 2)
    assert found.progress == (min(parts, sets), min(parts, sets))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=st.integers(1, 4), shots=st.integers(2, 200), seed=st.integers(0, 2**63 - 1))
def test_split_by_shots_does_not_depend_on_the_devices(
    meshes: list[Mesh], sets: int, shots: int, seed: int
) -> None:
    values = angles(sets)
    futures = [
        mesh.run_group(PROGRAM, values, split="shots", shots=shots, outputs=SAMPLED, seed=seed)
        for mesh in meshes
    ]
    first, *others = [future.result(LIMIT_S) for future in futures]
    for other in others:
        assert_same(first, other, exact=False)
    for k in range(sets):
        assert sum(first.counts[k].values()) == shots == len(first.memory[k])
        strings = list(first.memory[k])
        assert {string: strings.count(string) for string in set(strings)} == first.counts[k]


def test_exact_answers_are_split_by_sets(session: Session, meshes: list[Mesh]) -> None:
    values = angles(50)
    whole = session.device("reference").stream().run(PROGRAM, values, outputs=EXACT).result(LIMIT_S)
    found = meshes[2].run_group(PROGRAM, values, outputs=EXACT).result(LIMIT_S)
    np.testing.assert_allclose(found.statevector, whole.statevector, atol=1e-12)
    np.testing.assert_allclose(found.expectation_values, whole.expectation_values, atol=1e-12)
    np.testing.assert_allclose(found.probabilities, whole.probabilities, atol=1e-12)
    assert found.statevector.shape == (50, 8)


def test_a_program_without_slots(meshes: list[Mesh]) -> None:
    bell = Program(2, 0, 0, (Gate("h", (0,)), Gate("cx", (0, 1))))
    one = meshes[1].run_group(bell, shots=100, seed=1).result(LIMIT_S)
    assert one.sets == 1 and sum(one.counts[0].values()) == 100 and len(one.parts) == 1
    sliced = meshes[1].run_group(bell, shots=100, seed=1, split="shots", parts=5).result(LIMIT_S)
    assert len(sliced.parts) == 5 and sum(sliced.counts[0].values()) == 100
    assert set(sliced.counts[0]) == {"00", "11"}


def test_what_a_group_result_says(session: Session, meshes: list[Mesh]) -> None:
    future = meshes[1].run_group(SHORT, np.zeros((12, 1)), outputs=Z0, parts=6, seed=2)
    result = future.result(LIMIT_S)
    assert isinstance(result, GroupResult) and result.sets == 12
    assert set(result.devices) <= {"reference", "reference@two"} and result.device == ", ".join(
        result.devices
    )
    assert len(result.parts) == 6 and all(part.sets == 2 for part in result.parts)
    assert result.calibrations == dict.fromkeys(result.devices, ()) and result.conditions is None
    first, last = (
        min(p.timeline.sent_ns for p in result.parts),
        max(p.timeline.received_ns for p in result.parts),
    )
    assert (result.timeline.sent_ns, result.timeline.received_ns) == (first, last)
    assert result.timeline.client_pid and sum(result.timeline.stages_us().values()) > 0
    # One group in the journals of all daemons, which is the first part's own number.
    assert result.task == result.parts[0].task and future.name
    groups = {
        event.task.group
        for daemon in session.daemons
        for event in events_of(_path(daemon.folder))
        if type(event).__name__ == "TaskAccepted" and event.task.seed == 2 and event.task.sets == 2
    }
    assert groups == {result.task}
    for copied in (pickle.loads(pickle.dumps(result)), copy.copy(result)):
        np.testing.assert_array_equal(copied.expectation_values, result.expectation_values)
        assert copied.devices == result.devices and len(copied.parts) == 6


def _path(folder: str) -> Any:
    from pathlib import Path

    return Path(folder)


def test_calibrations_of_a_group_on_twins(session: Session) -> None:
    flip = Program(2, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
    mesh = session.mesh(["twin-20", "big"])
    result = mesh.run_group(flip, shots=4000, split="shots", parts=8, seed=1).result(LIMIT_S)
    assert sum(result.counts[0].values()) == 4000 and result.counts[0]["1"] > 3500
    assert set(result.calibrations) == set(result.devices) == {"twin-20", "big"}
    assert all(len(versions) == 1 for versions in result.calibrations.values())
    assert result.conditions is not None and result.conditions.calibration == ""
    assert result.conditions.device_ns == sum(
        part.conditions.device_ns for part in result.parts if part.conditions
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"split": "qubits"}, OptionError, "split is 'sets' or 'shots'"),
        ({"split": "shots"}, OptionError, "exact answers cannot be split by shots"),
        (
            {"split": "shots", "shots": 10, "outputs": (Statevector(),)},
            OptionError,
            "cannot be split by shots",
        ),
        ({"shots": 10, "outputs": (Statevector(),)}, OptionError, "without shots"),
        ({"outputs": (Counts(),)}, OptionError, "needs shots"),
        ({"shots": 0}, OptionError, "at least 1"),
        ({"shots": 10, "parts": 0}, OptionError, "from 1 to 2"),
        ({"shots": 10, "parts": 3}, OptionError, "from 1 to 2"),
        ({"shots": 10, "parts": True}, OptionError, "from 1 to 2"),
        ({"split": "shots", "shots": 10, "parts": 11}, OptionError, "from 1 to 10"),
        ({"shots": 10, "seed": -1}, OptionError, "seed must be"),
        ({"shots": 10, "options": TaskOptions(idempotency_key="k")}, OptionError, "no idempotency key"),
        ({"shots": 10, "options": TaskOptions(priority=1000)}, OptionError, "priority"),
        ({"parameters": [[1.0, 2.0, 3.0]]}, ParameterError, "slots"),
    ],
)
def test_bad_groups(meshes: list[Mesh], arguments: dict[str, Any], kind: type[QFwError], said: str) -> None:
    with pytest.raises(kind, match=said):
        meshes[1].run_group(PROGRAM, **{"parameters": angles(2), **arguments})


def test_a_mesh_without_common_gates(session: Session) -> None:
    mesh = session.mesh(["reference", "twin-20", "big"])
    with pytest.raises(
        UnsupportedFeature, match=r"twin-20 lacks cx, rx, ry; big lacks cx, rx, ry.*Give pipeline="
    ):
        mesh.run_group(PROGRAM, angles(2), shots=10)
    with pytest.raises(TooLarge, match="twin-20 cannot: the program needs 21 qubits"):
        mesh.run_group(Program(21, 0, 0, (Gate("x", (0,)),)), shots=10)


def test_a_pipeline_lowers_for_whatever_device_a_part_gets(session: Session) -> None:
    mesh = session.mesh(["reference", "twin-20", "big"])
    pipeline = ToolPipeline(["transpile"])
    bell = Program(2, 2, 0, (Gate("h", (0,)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))
    result = mesh.run_group(
        bell, shots=3000, split="shots", parts=12, outputs=(Counts(),), seed=1, pipeline=pipeline
    ).result(LIMIT_S)
    counts = result.counts[0]
    assert sum(counts.values()) == 3000 and counts["00"] + counts["11"] > 2400
    with pytest.raises(OptionError, match="a pipeline is"):
        mesh.run_group(bell, shots=10, pipeline="transpile")


def test_the_failure_of_a_part_names_it_and_ends_the_rest(session: Session, meshes: list[Mesh]) -> None:
    before = {daemon.pid for daemon in session.daemons}
    future = meshes[1].run_group(
        long_program(4000, 18),
        np.zeros((40, 1)),
        outputs=Z0,
        parts=20,
        options=TaskOptions(time_limit_s=0.05),
    )
    error = future.exception(LIMIT_S)
    assert isinstance(error, PlatformFailed) and type(error).__name__ == "DeadlineExceeded"
    said = str(error)
    assert said.startswith("part ") and " of 20 (sets " in said and " on reference" in said
    with pytest.raises(type(error)):
        future.result(0)
    _idle(meshes[1])
    assert {daemon.pid for daemon in session.daemons if daemon.connected} == before
    assert cosine_is_right(meshes[1].run_group(SHORT, [0.3], outputs=Z0).result(LIMIT_S), 0.3)


def _idle(mesh: Mesh) -> None:
    """Waits until nothing is under way any more."""
    until(lambda: not mesh._busy() and not any(device.client.open_tasks for device in mesh.devices))


def test_a_cancelled_group(meshes: list[Mesh]) -> None:
    future = meshes[1].run_group(long_program(4000, 18), np.zeros((40, 1)), outputs=Z0, parts=40)
    with pytest.raises(ResultTimeout, match=r"of 40 parts answered after 0\.01 s"):
        future.result(0.01)
    with pytest.raises(ResultTimeout):
        future.exception(0.01)
    assert future.cancel() and future.cancel() and future.cancelled() and future.done()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(LIMIT_S)
    _idle(meshes[1])
    done = meshes[1].run_group(SHORT, [0.3], outputs=Z0)
    done.result(LIMIT_S)
    assert not done.cancel() and cosine_is_right(done.result(0), 0.3)


def test_groups_are_awaited_and_called_back(meshes: list[Mesh]) -> None:
    async def main() -> None:
        results = await asyncio.gather(
            *(meshes[2].run_group(SHORT, [[0.1 * k]] * 3, outputs=Z0) for k in range(10))
        )
        assert all(cosine_is_right(result, 0.1 * k) for k, result in enumerate(results))
        slow = asyncio.ensure_future(_awaited(meshes[1]))
        await asyncio.sleep(0)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow

    asyncio.run(main())
    _idle(meshes[1])
    future = meshes[1].run_group(SHORT, [0.1], outputs=Z0)
    assert concurrent.futures.wait([future], LIMIT_S).done == {future}


async def _awaited(mesh: Mesh) -> Any:
    return await mesh.run_group(long_program(4000, 18), np.zeros((40, 1)), outputs=Z0)


def test_a_session_that_closes_ends_its_groups() -> None:
    with running_daemon(ONE) as folder:
        with Session(daemons=[folder]) as session:
            mesh = session.mesh(["reference"])
            futures = [
                mesh.run_group(long_program(4000, 18), np.zeros((40, 1)), outputs=Z0, parts=40)
                for _ in range(3)
            ]
            until(lambda: futures[0].name)
        for future in futures:
            assert isinstance(future.exception(LIMIT_S), UsageError)


def test_many_groups_at_once(meshes: list[Mesh]) -> None:
    futures = [
        meshes[k % 3].run_group(SHORT, np.full((20, 1), 0.01 * k), outputs=Z0, parts=10) for k in range(60)
    ]
    for k, future in enumerate(futures):
        assert cosine_is_right(future.result(LIMIT_S), 0.01 * k)


def test_one_output_is_asked_for_without_a_tuple(meshes: list[Mesh]) -> None:
    result = meshes[0].run_group(SHORT, [0.3], outputs=Z0[0]).result(LIMIT_S)
    assert cosine_is_right(result, 0.3)
    wrong: Any = Counts
    with pytest.raises(OptionError, match=r"outputs are qfw.Counts\(\)"):
        meshes[0].run_group(SHORT, [0.3], outputs=wrong)
