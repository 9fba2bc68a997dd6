"""Pipelines end to end: a real daemon, its tool workers, a twin that is recalibrated, and clients that lower."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qfw.model.errors import OptionError, ProgramError, ToolFailed, UnknownDevice
from qfw.model.events import TaskDone, TaskLowered, TaskLowering
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation, Output
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, Measure, Program
from qfw.model.task import TaskState
from qfw.qpi import Request, Session
from qfw.qpm import registry
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, events_of, is_alive, runtime_folder, until

ROOT = Path(__file__).parent.parent
#: Two qubits, of which the first is measured as 1.
PROGRAM = Program(2, 1, 0, (Gate("x", (0,)), Measure(0, 0)))


def pipeline(tool: str, **options: Any) -> Pipeline:
    return Pipeline((Stage("only", tool, options),))


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of a daemon that finds the strangers' plugins; so does this process, from then on."""
    paths = [str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    with runtime_folder() as made:
        (made / "settings.toml").write_text(
            'engines = ["reference"]\nworkers.count = 1\ntools.memory_bytes = 1000000000\n'
        )
        yield made


def opened(folder: Path, **more: Any) -> Session:
    return Session(runtime_folder=folder, config=folder / "settings.toml", **more)


def test_a_stream_with_a_pipeline_runs_what_it_gives(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    outputs: tuple[Output, ...] = (Expectation((PauliSum.of("Z0"), PauliSum.of("Z1"))),)
    with opened(folder) as session:
        assert {"identity", "shifted", "tonative"} <= set(session.client.welcome.tools)
        assert not {"athome", "elsewhere"} & set(session.client.welcome.tools)
        stream = session.device("reference").stream(pipeline=pipeline("shifted", log=str(log)))
        results = [stream.run(SHORT, [0.1 * n], outputs=outputs) for n in range(50)]
        for n, future in enumerate(results):
            assert cosine_is_right(future.result(LIMIT_S), 0.1 * n)
            assert abs(future.result(0).expectation_values[0, 1]) < 1e-9
        with pytest.raises(OptionError, match="name no calibration"):
            stream.run(SHORT, [0.1], outputs=Z0, calibration="v1")
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("does", "error", "says"),
    [
        ("refuse", ProgramError, "stage only: this tool does not like"),
        ("crash", ToolFailed, "stage only: tool strange: its process ended"),
        ("nonsense", ToolFailed, "no lowered program"),
        ("slots", ToolFailed, "7 slots"),
    ],
)
def test_a_tool_that_fails_fails_its_tasks_and_nothing_else(
    folder: Path, does: str, error: type[Exception], says: str
) -> None:
    with opened(folder) as session:
        device = session.device("reference")
        bad = device.stream(pipeline=pipeline("strange", does=does, number=1))
        futures = [bad.run(SHORT, [0.1], outputs=Z0) for _ in range(3)]
        for future in futures:
            with pytest.raises(error, match=says):
                future.result(LIMIT_S)
        assert cosine_is_right(device.stream().run(SHORT, [0.3], outputs=Z0).result(LIMIT_S), 0.3)
        good = device.stream(pipeline=pipeline("identity"))
        assert cosine_is_right(good.run(SHORT, [0.3], outputs=Z0).result(LIMIT_S), 0.3)


def test_a_killed_tool_worker_costs_a_second_try_and_nothing_is_left(folder: Path, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    with opened(folder) as session:
        stream = session.device("reference").stream(
            pipeline=pipeline("identity", log=str(log), gate=str(gate))
        )
        future = stream.run(SHORT, [0.3], outputs=Z0)
        first = int(until(lambda: log.exists() and log.read_text().split())[0])
        os.kill(first, signal.SIGKILL)
        until(lambda: len(log.read_text().splitlines()) == 2)
        gate.touch()
        assert cosine_is_right(future.result(LIMIT_S), 0.3)
        second = int(log.read_text().split()[1])
        assert is_alive(second)
    until(lambda: not is_alive(second), "the tool worker outlives its daemon")


def test_a_session_that_ends_while_tools_run_leaves_the_others_theirs(folder: Path, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    lowers = pipeline("identity", log=str(log), gate=str(gate))
    with opened(folder) as session:
        future = session.device("reference").stream(pipeline=lowers).run(SHORT, [0.3], outputs=Z0)
        with opened(folder) as other:
            leaves = other.device("reference").stream(pipeline=lowers).run(SHORT, [0.3], outputs=Z0)
            until(log.exists)
            until(lambda: len([e for e in events_of(folder) if isinstance(e, TaskLowering)]) == 2)
        assert leaves.settled
        gate.touch()
        assert cosine_is_right(future.result(LIMIT_S), 0.3)
    assert len(log.read_text().splitlines()) == 1


# Recalibration --------------------------------------------------------------------------------------

TWIN = """
engines = ["reference"]
workers.count = 1
[platforms.twin.options]
clock = "virtual"
seed = 5
devices = ["twin-20", {{ model = "twin-20", name = "worn", life = "{life}" }}]
"""
LIFE = """
[[recalibration]]
begin_s = 4.0
duration_s = 0.5
every_s = 6.0
"""
#: Of 33 ms of the device's time each: three recalibrations or so.
TASKS = 500


def test_a_recalibration_in_the_middle_of_a_stream_is_nobodys_concern(folder: Path, tmp_path: Path) -> None:
    """Waiting tasks are lowered again, once for each structure and calibration; none fails."""
    (folder / "life.toml").write_text(LIFE)
    (folder / "settings.toml").write_text(TWIN.format(life=folder / "life.toml"))
    log = tmp_path / "log"
    programs = [PROGRAM, Program(3, 1, 0, PROGRAM.operations), Program(4, 1, 0, PROGRAM.operations)]
    with opened(folder) as session:
        stream = session.device("worn").stream(pipeline=pipeline("tonative", log=str(log)))
        requests = [Request(programs[n % 3], shots=100, seed=n) for n in range(TASKS)]
        futures = stream.run_many(requests)
        results = [future.result(LIMIT_S) for future in futures]
    versions = {result.calibration for result in results}
    assert len(versions) >= 3 and None not in versions
    assert all(result.counts[0].get("1", 0) > 80 for result in results)
    journal = events_of(folder)
    done = {event.task: event for event in journal if isinstance(event, TaskDone)}
    assert len(done) == TASKS
    lowered = {(e.program, e.calibration) for e in journal if isinstance(e, TaskLowered)}
    runs = Counter(line.split()[1] for line in log.read_text().splitlines())
    # A calibration may come and go before a task starts under it.
    assert versions <= runs.keys() and set(runs.values()) == {3}, runs
    assert len(lowered) <= 3 * len(runs)


# Clients that lower ---------------------------------------------------------------------------------

CLIENT = """
import sys, threading
from qfw.model.pipeline import Pipeline, Stage
from qfw.qpi import Session
from tests.stack import SHORT, Z0
folder, gate, log = sys.argv[1:]
with Session(runtime_folder=folder) as session:
    stages = Stage("only", "athome", {"gate": gate, "log": log})
    future = session.device("reference").stream(pipeline=Pipeline((stages,))).run(SHORT, [0.3], outputs=Z0)
    print("sent", flush=True)
    threading.Event().wait(60)
"""


@pytest.fixture
def athome(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process has the strangers' tools too."""
    monkeypatch.syspath_prepend(str(ROOT / "plugins"))
    registry._entries.cache_clear()
    registry._load.cache_clear()
    yield
    registry._entries.cache_clear()
    registry._load.cache_clear()


def test_a_client_lowers_while_nobody_waits(folder: Path, tmp_path: Path, athome: None) -> None:
    log = tmp_path / "log"
    with opened(folder) as session:
        stream = session.device("reference").stream(pipeline=pipeline("athome", log=str(log)))
        future = stream.run(SHORT, [0.3], outputs=Z0)
        # Nobody reads but the thread that is there for this.
        until(lambda: future.settled)
        assert cosine_is_right(future.result(0), 0.3)
        assert int(log.read_text().split()[0]) == os.getpid()
        bad = session.device("reference").stream(pipeline=pipeline("athome", fails=True))
        with pytest.raises(ProgramError, match="stage only: not at home"):
            bad.run(SHORT, [0.3], outputs=Z0).result(LIMIT_S)
        with pytest.raises(UnknownDevice, match="no tool is called 'nowhere'"):
            stream = session.device("reference").stream(pipeline=pipeline("nowhere"))
            stream.run(SHORT, [0.3], outputs=Z0).result(LIMIT_S)


def test_the_next_client_lowers_when_the_first_is_killed(folder: Path, tmp_path: Path, athome: None) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    stages = pipeline("athome", gate=str(gate), log=str(log))
    with opened(folder) as session:
        words = [sys.executable, "-c", CLIENT, str(folder), str(gate), str(log)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT.parent)]),
        }
        first = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment)
        try:
            assert first.stdout is not None and first.stdout.readline() == b"sent\n"
            until(lambda: log.exists() and log.read_text(), "the first client lowers")
            future = session.device("reference").stream(pipeline=stages).run(SHORT, [0.3], outputs=Z0)
            until(
                lambda: sum(e.state is TaskState.NEEDS_LOWERING for e in lowerings(folder)) == 2,
                "both tasks wait",
            )
        finally:
            first.kill()
            first.communicate()
        until(lambda: len(log.read_text().splitlines()) == 2, "the second client lowers")
        gate.touch()
        assert cosine_is_right(future.result(LIMIT_S), 0.3)
    assert [int(line.split()[0]) for line in log.read_text().splitlines()] == [first.pid, os.getpid()]


def lowerings(folder: Path) -> list[TaskLowering]:
    return [event for event in events_of(folder) if isinstance(event, TaskLowering)]
