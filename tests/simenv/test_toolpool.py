"""Tool workers: what they answer, and what happens to those that crash, hang, flood or lie."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.settings import Settings, ToolSettings
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import ErrorReport
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage
from qfw.model.program import Program
from qfw.qpm.reactor import EpollReactor
from qfw.qpm.tool import Target
from qfw.simenv.toolpool import ToolPool
from tests.stack import SHORT, is_alive, until

PLUGINS = Path(__file__).parent.parent / "plugins"
TARGET = msgspec.msgpack.encode(Target(DeviceProfile("d", DeviceKind.SIMULATOR, "e", 4, ("ry",), (), 1)))


class Pools:
    """Makes pools on a loop of the test's own."""

    def __init__(self) -> None:
        self.reactor = EpollReactor()
        self.made: list[ToolPool] = []
        self.outcomes: dict[int, bytes | ErrorReport] = {}

    def make(self, **settings: Any) -> ToolPool:
        pool = ToolPool(Settings(tools=ToolSettings(**{"memory_bytes": 2**30, **settings})))
        pool.open(self.reactor, self.outcomes.__setitem__)
        self.made.append(pool)
        return pool

    def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        def turned() -> Any:
            self.reactor.turn(0.02)
            return condition()

        return until(turned, what)

    def outcome(self, number: int) -> bytes | ErrorReport:
        self.until(lambda: number in self.outcomes, f"outcome {number}")
        return self.outcomes[number]


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pools]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGINS), os.environ.get("PYTHONPATH", "")]))
    made = Pools()
    yield made
    for pool in made.made:
        pids = pool.pids()
        pool.close()
        assert not any(map(is_alive, pids))
    made.reactor.close()


def pipeline(tool: str, **options: Any) -> bytes:
    return Pipeline((Stage("first", tool, options),)).encoded


def test_a_program_comes_back_through_the_tools(pools: Pools) -> None:
    pool = pools.make()
    assert pool.pids() == []
    stages = Pipeline((Stage("a", "shifted"), Stage("b", "shifted")))
    pool.lower(7, 1, SHORT.encoded, stages.encoded, TARGET, 60.0)
    body = pools.outcome(7)
    assert isinstance(body, bytes)
    lowered = msgspec.msgpack.decode(body, type=LoweredProgram)
    assert lowered.layout == (2, 3) and Program.decode(lowered.encoded).num_qubits == 4
    assert [report.stage for report in lowered.stages] == ["a", "b"]
    (pid,) = pool.pids()
    pool.lower(8, 1, SHORT.encoded, pipeline("identity"), TARGET, 60.0)
    pools.outcome(8)
    assert pool.pids() == [pid]


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("refuse", ("ProgramError", "stage first", "does not like")),
        ("raise", ("ToolFailed", "stage first", "tool strange", "ZeroDivisionError")),
        ("crash", ("ToolFailed", "stage first", "tool strange", "its process ended", "2 times")),
        ("hang", ("ToolFailed", "stage first", "tool strange", "tools.time_limit_s")),
        ("eat", ("ToolFailed", "stage first", "tool strange", "tools.memory_bytes")),
        ("garbage", ("ToolFailed", "stage first", "tool strange", "broke the protocol")),
        ("flood", ("ToolFailed", "stage sss", "tool strange", "broke the protocol")),
        ("announce", ("ToolFailed", "stage first", "tool strange", "4294967295")),
        ("lie", ("ToolFailed", "stage first", "tool strange", "12345")),
        ("nothing", ("ProgramError", "stage first")),
        ("layout", ("ToolFailed", "stage first", "layout")),
    ],
)
def test_a_tool_that_fails_is_ended_and_named(pools: Pools, does: str, says: tuple[str, ...]) -> None:
    pool = pools.make()
    limit_s = 1.0 if does == "hang" else 60.0
    pool.lower(1, 1, SHORT.encoded, pipeline("strange", does=does), TARGET, limit_s)
    report = pools.outcome(1)
    assert isinstance(report, ErrorReport)
    assert report.code == says[0] and all(part in report.message for part in says[1:]), report
    pool.lower(2, 1, SHORT.encoded, pipeline("identity"), TARGET, 60.0)
    assert isinstance(pools.outcome(2), bytes)


def test_a_worker_that_is_killed_is_replaced_and_its_program_lowered(pools: Pools, tmp_path: Path) -> None:
    pool = pools.make()
    log, gate = tmp_path / "log", tmp_path / "gate"
    pool.lower(1, 1, SHORT.encoded, pipeline("identity", log=str(log), gate=str(gate)), TARGET, 60.0)
    first = pools.until(lambda: log.exists() and log.read_text().split()[:1])[0]
    os.kill(int(first), signal.SIGKILL)
    pools.until(lambda: len(log.read_text().splitlines()) == 2)
    assert 1 not in pools.outcomes
    gate.touch()
    assert isinstance(pools.outcome(1), bytes)
    assert not is_alive(int(first)) and int(first) not in pool.pids()


def test_sessions_take_turns_and_what_nobody_wants_is_left_out(pools: Pools, tmp_path: Path) -> None:
    pool = pools.make()
    log, gate = tmp_path / "log", tmp_path / "gate"
    pool.lower(1, 1, SHORT.encoded, pipeline("identity", log=str(log), gate=str(gate)), TARGET, 60.0)
    pools.until(log.exists)
    for number in range(2, 12):
        pool.lower(number, 1, SHORT.encoded, pipeline("identity"), TARGET, 60.0)
    pool.lower(20, 2, SHORT.encoded, pipeline("identity"), TARGET, 60.0)
    assert pool.forget(5) and not pool.forget(1) and not pool.forget(99)
    gate.touch()
    pools.outcome(11)
    assert list(pools.outcomes).index(20) <= 2 and 5 not in pools.outcomes


def test_workers_are_as_many_as_are_allowed(pools: Pools, tmp_path: Path) -> None:
    pool = pools.make(workers=2)
    log, gate = tmp_path / "log", tmp_path / "gate"
    for number in range(5):
        pool.lower(number, 1, SHORT.encoded, pipeline("identity", log=str(log), gate=str(gate)), TARGET, 60.0)
    pools.until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    assert len(pool.pids()) == 2
    gate.touch()
    for number in range(5):
        assert isinstance(pools.outcome(number), bytes)


def test_a_tool_that_is_not_here_is_no_tool_of_the_pool(pools: Pools) -> None:
    pool = pools.make()
    pool.lower(1, 1, SHORT.encoded, pipeline("nowhere"), TARGET, 60.0)
    report = pools.outcome(1)
    assert (
        isinstance(report, ErrorReport) and report.code == "UnknownDevice" and "'nowhere'" in report.message
    )
    pool.lower(2, 1, b"no program", pipeline("identity"), TARGET, 60.0)
    report = pools.outcome(2)
    assert isinstance(report, ErrorReport) and report.code == "ProgramError"
