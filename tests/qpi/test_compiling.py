"""Tool work of sessions: expansions and many lowerings on a real daemon's workers; what fails, and who is freed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import OptionError, ProgramError, QFwError, ToolFailed, UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation, encode_outputs
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, Program, slot
from qfw.qpi import Session
from qfw.qpi.group import Progress
from qfw.qpi.pipeline import ToolPipeline
from qfw.qpm.status import Counters, TaskRow
from qfw.qpm.wire import EXPAND, LOWER, EndTools, NativeAnswer, RunTools, ToolWork
from tests.stack import LIMIT_S, SHORT, RawClient, is_alive, running_daemon, strangers, until

ROOT = Path(__file__).parent.parent
SETTINGS = """
engines = ["reference"]
workers.count = 2
tools.memory_bytes = 1500000000
[platforms.twin.options]
seed = 1
"""
OUTPUTS = (Expectation((PauliSum.of({"Z0": 1.0, "X1": 0.5}),)),)


def ring(size: int) -> Program:
    """Its qubits have to move on a twin."""
    pairs = tuple(Gate("cx", (q, (q + 2) % size)) for q in range(size))
    return Program(size, 0, 1, (Gate("ry", (0,), (slot(0),)), *pairs))


@pytest.fixture(scope="module")
def plugins() -> Iterator[None]:
    """Daemons and this process find the strangers' plugins."""
    with strangers():
        yield


@pytest.fixture(scope="module")
def folder(plugins: None) -> Iterator[Path]:
    """Of a daemon that outlives its sessions, with one tool worker."""
    with running_daemon('daemon.name = "one"\n' + SETTINGS + "\n") as made:
        yield made


@pytest.fixture
def session(folder: Path) -> Iterator[Session]:
    with Session(runtime_folder=folder) as opened:
        yield opened


def counters(session: Session) -> Counters:
    return msgspec.msgpack.decode(session.client.ask("counters", LIMIT_S), type=Counters)


def split(**options: Any) -> Pipeline:
    return Pipeline((Stage("only", "frames", options),))


def test_the_daemon_expands_and_says_what_it_took(session: Session, tmp_path: Path) -> None:
    log = tmp_path / "log"
    before = counters(session)
    stream = session.device("reference").stream(pipeline=split(log=str(log)))
    stream.run(SHORT, [0.3], outputs=OUTPUTS).result(LIMIT_S)
    (line,) = log.read_text().splitlines()
    worker = int(line.split()[0])
    assert worker != os.getpid() and is_alive(worker)
    found = until(lambda: (c := counters(session)).counts["tool_work"] > before.counts["tool_work"] and c)
    assert found.tool_s > before.tool_s
    assert found.counts["lowerings"] == before.counts["lowerings"]
    held = session.device("reference").stream(pipeline=split(gate=str(tmp_path / "gate")))
    future = held.run(SHORT, [0.3], outputs=OUTPUTS)
    # Tasks of the session show what its tools took.
    plain = session.device("reference").stream(
        pipeline=Pipeline((Stage("s", "identity", {"gate": str(tmp_path / "gate")}),))
    )
    waiting = plain.run(SHORT, [0.1], outputs=OUTPUTS)
    rows = until(lambda: msgspec.msgpack.decode(session.client.ask("tasks", LIMIT_S), type=list[TaskRow]))
    assert rows[0].tool_s > 0
    (tmp_path / "gate").touch()
    future.result(LIMIT_S)
    waiting.result(LIMIT_S)


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("crash", r"stage only: tool strangesplit: its process ended.* \(2 times\)"),
        ("garbage", r"stage only: tool strangesplit: it broke the protocol"),
        ("raise", "stage only: tool strangesplit failed with ZeroDivisionError"),
    ],
)
def test_a_tool_that_fails_there_fails_its_operation_alone(session: Session, does: str, says: str) -> None:
    device = session.device("reference")
    stream = device.stream(pipeline=Pipeline((Stage("only", "strangesplit", {"does": does}),)))
    with pytest.raises(ToolFailed, match=says):
        stream.run(SHORT, [0.1], outputs=OUTPUTS).result(LIMIT_S)
    assert device.stream(pipeline=split(seed=3)).run(SHORT, [0.1], outputs=OUTPUTS).result(LIMIT_S).sets == 1


def test_what_hangs_there_ends_in_time_and_when_it_is_cancelled(plugins: None, tmp_path: Path) -> None:
    hanging = Pipeline(
        (
            Stage("log", "identity", {"log": str(tmp_path / "log")}),
            Stage("only", "strangesplit", {"does": "hang"}),
        )
    )
    with (
        running_daemon("tools.time_limit_s = 2\n" + SETTINGS) as folder,
        Session(runtime_folder=folder) as session,
    ):
        device = session.device("reference")
        late = device.stream(pipeline=hanging).run(SHORT, [0.1], outputs=OUTPUTS)
        with pytest.raises(ToolFailed, match="stage only: tool strangesplit: it took longer than 2 s"):
            late.result(LIMIT_S)
        given_up = device.stream(pipeline=hanging).run(SHORT, [0.2], outputs=OUTPUTS)
        lines = until(lambda: (found := (tmp_path / "log").read_text().splitlines())[1:] and found)
        assert given_up.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            given_up.result(LIMIT_S)
        until(lambda: not is_alive(int(lines[1].split()[0])), "the worker is ended")
        assert device.stream(pipeline=split()).run(SHORT, [0.1], outputs=OUTPUTS).result(LIMIT_S)


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_tools_of_a_session_that_is_gone_are_ended(
    folder: Path, session: Session, how: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    program = f"""
import sys
from qfw.qpi import Session
from qfw.model.pipeline import Pipeline, Stage
from tests.qpi.test_compiling import OUTPUTS, SHORT
stages = (Stage("log", "identity", {{"log": {str(log)!r}}}), Stage("only", "strangesplit", {{"does": "hang"}}))
session = Session(runtime_folder={str(folder)!r})
future = session.device("reference").stream(pipeline=Pipeline(stages)).run(SHORT, [0.1], outputs=OUTPUTS)
print("submitted", flush=True)
sys.stdin.read()
session.close()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), *sys.path])},
    )
    try:
        worker = int(until(lambda: log.exists() and log.read_text().split())[0])
        assert is_alive(worker)
        if how == "killed":
            child.kill()
        assert child.stdin is not None
        child.stdin.close()
        until(lambda: not is_alive(worker), "its worker is ended")
        # The only one: who comes next has it.
        stream = session.device("reference").stream(pipeline=split(seed=len(how)))
        assert stream.run(SHORT, [0.1], outputs=OUTPUTS).result(LIMIT_S).sets == 1
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.wait(LIMIT_S)


def test_whoever_closes_the_session_hears_of_what_was_open(folder: Path, tmp_path: Path) -> None:
    with Session(runtime_folder=folder) as session:
        device = session.device("reference")
        gated = split(gate=str(tmp_path / "never"))
        waiting = device.stream(pipeline=gated).run(SHORT, [0.1], outputs=OUTPUTS)
        lowered = ToolPipeline([("identity", {"gate": str(tmp_path / "never")})]).submit(SHORT, device)
        until(lambda: counters(session).counts["tool_work_open"] == 2, "both are there")
    for future in (waiting, lowered):
        assert isinstance(future.exception(LIMIT_S), QFwError)


def test_sessions_take_turns(folder: Path, session: Session, tmp_path: Path) -> None:
    """One that has many programs lowered does not hold up one with a single expansion."""
    gate, log = tmp_path / "gate", tmp_path / "log"
    pipeline = ToolPipeline([("identity", {"gate": str(gate), "log": str(log)})])
    many = [pipeline.submit(ring(4 + n), session.device("reference")) for n in range(12)]
    until(lambda: log.exists() and log.read_text(), "the first one began")
    with Session(runtime_folder=folder) as other:
        # Of a device with a calibration, which the log shows.
        twin = other.device("twin-20")
        stages = Pipeline((Stage("only", "frames", {"log": str(log)}), Stage("native", "transpile")))
        future = twin.stream(pipeline=stages).run(SHORT, [0.1], outputs=OUTPUTS, shots=10)
        until(lambda: counters(session).counts["tool_work_open"] == 13, "all are there")
        gate.touch()
        assert future.result(LIMIT_S).sets == 1
    for each in many:
        each.result(LIMIT_S)
    versions = [line.split()[1:] for line in log.read_text().splitlines()]
    assert len(versions) == 13
    # Behind the one that ran, and one that may have been the next already.
    assert next(at for at, version in enumerate(versions) if version) <= 2


def test_results_do_not_depend_on_the_number_of_workers(plugins: None) -> None:
    pipeline = ToolPipeline([("transpile", {"level": 1}), "frames", "terms"])
    found = []
    for workers in (1, 2):
        settings = f"tools.workers = {workers}\n" + SETTINGS
        with running_daemon(settings) as folder, Session(runtime_folder=folder) as session:
            stream = session.device("reference").stream(pipeline=pipeline)
            futures = [
                stream.run(ring(size), [[0.1], [0.2]], outputs=OUTPUTS, shots=100, seed=size)
                for size in (4, 5, 6)
            ]
            found.append([future.result(LIMIT_S).expectation_values for future in futures])
            twin = session.device("twin-20")
            search = ToolPipeline(["transpile"]).search(ring(5), twin, values=range(4))
            best = search.result(LIMIT_S)
            found[-1].append(np.array([best.value]))
            assert search.progress == Progress(4, 4)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_many_programs_come_in_order(session: Session) -> None:
    pipeline = ToolPipeline(["reduce", "transpile"])
    twin = session.device("twin-20")
    programs = [ring(size) for size in (6, 3, 5, 4)]
    found = list(pipeline.map(iter(programs), twin, window=2))
    for program, lowered in zip(programs, found, strict=True):
        serially = pipeline.lower(program, twin)
        assert lowered.program.digest == serially.program.digest and lowered.layout == serially.layout
        assert lowered.calibration == serially.calibration != ""
        assert [row.stage for row in lowered.stages] == ["reduce", "transpile"]
    with pytest.raises(OptionError, match="window"):
        pipeline.map(programs, twin, window=0)
    with pytest.raises(UnsupportedFeature, match="tool frames makes several programs of one"):
        ToolPipeline(["frames"]).submit(programs[0], twin)
    refusing = ToolPipeline([("strange", {"does": "refuse"})])
    with pytest.raises(ProgramError, match="stage strange: this tool does not like"):
        refusing.submit(programs[0], twin).result(LIMIT_S)


def test_a_search_finds_what_trying_one_after_the_other_finds(session: Session) -> None:
    twin = session.device("twin-20")
    pipeline = ToolPipeline(["transpile"])
    program, values = ring(7), [3, 1, 4, 15, 9]
    serially = [
        ToolPipeline([("transpile", {"seed": value})]).lower(program, twin).stages[-1] for value in values
    ]
    for best, key in (
        ("fidelity", lambda row: (-row.fidelity, row.two_qubit_gates, row.depth)),
        ("two_qubit_gates", lambda row: (row.two_qubit_gates, -row.fidelity, row.depth)),
        ("depth", lambda row: (row.depth, row.two_qubit_gates, -row.fidelity)),
    ):
        found = pipeline.search(program, twin, values=values, best=best).result(LIMIT_S)
        first = min(range(len(values)), key=lambda at: key(serially[at]))
        assert found.value == values[first]
        assert [value for value, _ in found.tried] == values
        assert found.lowered.stages[-1].two_qubit_gates == serially[first].two_qubit_gates
    for wrong in ({"best": "beauty"}, {"stage": "route"}, {"values": []}, {"option": "sed"}):
        with pytest.raises(OptionError):
            pipeline.search(program, twin, **wrong)  # type: ignore[arg-type]


def test_a_cancelled_search_ends_its_lowerings(session: Session, tmp_path: Path) -> None:
    log = tmp_path / "log"
    pipeline = ToolPipeline([("identity", {"log": str(log), "gate": str(tmp_path / "never")})])
    future = pipeline.search(
        SHORT, session.device("reference"), option="x", values=range(8), stage="identity"
    )
    worker = int(until(lambda: log.exists() and log.read_text().split())[0])
    assert future.cancel()
    until(lambda: not is_alive(worker), "its worker is ended")
    assert len(log.read_text().splitlines()) < 8


def test_explain_shows_what_would_be_run(session: Session) -> None:
    pipeline = ToolPipeline(["reduce", "terms", "transpile"], name="by terms")
    device = session.device("reference")
    with pytest.raises(OptionError, match="give outputs"):
        pipeline.explain(SHORT, device)
    found = pipeline.explain(SHORT, session.mesh(["reference", "twin-20"]), OUTPUTS, shots=100)
    assert [row.stage for row in found.rows] == ["as given", "reduce", "terms"]
    assert found.rows[-1].gates == 2 * found.rows[1].gates
    assert found.notes == ("terms: 2 variants of 1 programs, 200 executions for each set", "2 terms")
    assert "200 executions" in str(found) and "200 executions" in found._repr_html_()
    expanded = pipeline.expand(SHORT, device, OUTPUTS)
    assert len(expanded.leaves) == 2 and len(expanded.programs) == 1 and expanded.rest is not None
    with pytest.raises(UnsupportedFeature, match=r"stage terms: .*ToolPipeline\.expand"):
        pipeline.lower(SHORT, device)


# What a stranger may send --------------------------------------------------------------------------


def work(**changes: Any) -> ToolWork:
    fields: dict[str, Any] = {
        "kind": EXPAND,
        "program": SHORT.encoded,
        "pipeline": split().encoded,
        "outputs": encode_outputs(OUTPUTS),
    }
    return ToolWork(**{**fields, **changes})


def test_messages_that_are_wrong_are_answered_and_nothing_else_happens(folder: Path) -> None:
    away = Pipeline((Stage("only", "athome"),))
    wrong = {
        "no program": (work(program=b"x" * 100), "reference", "ProgramError"),
        "no pipeline": (work(pipeline=b"\xc1"), "reference", "OptionError"),
        "no outputs": (work(outputs=b"\x91\x01"), "reference", "ProgramError"),
        "shots": (work(shots=-3), "reference", "OptionError"),
        "peers": (work(peers=b"\x91\x91\x91"), "reference", "OptionError"),
        "kind": (work(kind="erase"), "reference", "OptionError"),
        "device": (work(), "nowhere", "UnknownDevice"),
        "tool": (work(pipeline=away.encoded), "reference", "NotLowered"),
        "large": (work(program=bytes(5 * 2**20)), "reference", "TooLarge"),
        "name": (work(name="n" * 2000), "reference", "TooLarge"),
        "splits": (work(kind=LOWER), "reference", "UnsupportedFeature"),
        "nothing splits": (
            work(pipeline=Pipeline((Stage("only", "identity"),)).encoded),
            "reference",
            "OptionError",
        ),
    }
    with RawClient(folder) as client:
        for number, (what, (given, device, code)) in enumerate(wrong.items(), 1):
            client.send(RunTools(number, device, given))
            answer = client.receive()
            assert isinstance(answer, NativeAnswer) and answer.request == number, what
            assert answer.error is not None and answer.error.code == code, (what, answer.error)
        client.send(EndTools(77), RunTools(100, "reference", work()))
        answer = client.receive()
        assert answer.request == 100 and answer.error is None
        profile = DeviceProfile("far", DeviceKind.TWIN, "none", 3, (), (), 1)
        peers = msgspec.msgpack.encode([profile])
        client.send(RunTools(101, "reference", work(peers=peers, name="near")))
        assert b"for near, peers far" in client.receive().body


def test_more_work_than_is_taken_is_refused(folder: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    held = work(pipeline=split(gate=str(gate)).encoded)
    with RawClient(folder) as client:
        client.send(*(RunTools(number, "reference", held) for number in range(1, 1025)))
        client.send(RunTools(1, "reference", held))
        again = client.receive()
        assert again.request == 1 and again.error.code == "OptionError"
        client.send(RunTools(2000, "reference", held))
        assert client.receive().error.code == "NoCapacity"
        client.send(*(EndTools(number) for number in range(1, 1025)))
        assert {client.receive().error.code for _ in range(1024)} == {"TaskCancelled"}
        # Behind one that holds the worker 64 MiB wait, and no more.
        large = work(program=bytes(4 * 2**20))
        client.send(RunTools(1, "reference", held), *(RunTools(n, "reference", large) for n in range(2, 18)))
        refused = client.receive()
        assert refused.request == 17 and refused.error.code == "NoCapacity"
        gate.touch()
        answers = [client.receive() for _ in range(16)]
        assert {answer.error.code for answer in answers if answer.error} == {"ProgramError"}
        assert [answer.request for answer in answers if not answer.error] == [1]
