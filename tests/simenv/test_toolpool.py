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
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation, encode_outputs
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage
from qfw.model.program import Program
from qfw.qpm.reactor import EpollReactor
from qfw.qpm.tool import Target
from qfw.qpm.wire import EXPAND, ToolWork
from qfw.simenv.toolpool import ToolPool
from tests.stack import SHORT, is_alive, strangers, until

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
def pools() -> Iterator[Pools]:
    with strangers():
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


@pytest.mark.parametrize(
    ("tool", "options", "says"),
    [
        ("quick", {"takes_s": 60}, ("stage first: tool quick", "0.5 s", "Needs.time_s")),
        (
            "slight",
            {"bytes": 256 * 2**20},
            ("stage first: tool slight", "67108864 bytes", "Needs.memory_bytes"),
        ),
        ("slight", {"bytes": 2**40}, ("stage first: tool slight", "67108864 bytes", "Needs.memory_bytes")),
        ("greedy", {}, ("stage first: tool greedy", "1000 s", "gives 60.", "tools.time_limit_s")),
        ("huge", {}, (f"needs {2**60:.15g} bytes", f"gives {2**30}.", "tools.memory_bytes")),
    ],
)
def test_a_tool_is_held_to_what_it_declares_to_need(
    pools: Pools, tmp_path: Path, tool: str, options: dict[str, Any], says: tuple[str, ...]
) -> None:
    pool = pools.make()
    log = tmp_path / "log"
    pool.lower(1, 1, SHORT.encoded, pipeline(tool, log=str(log), **options), TARGET, 60.0)
    report = pools.outcome(1)
    assert isinstance(report, ErrorReport) and report.code == "ToolFailed"
    assert all(part in report.message for part in says), report
    # What asks for too much is not begun: no worker was even started.
    assert bool(options) == log.exists() == bool(pool.pids() or tool == "quick")


def test_what_one_tool_declares_is_no_limit_of_the_next(pools: Pools) -> None:
    pool = pools.make()
    wait, much = {"takes_s": 0.3}, {"bytes": 48 * 2**20}
    stages = (
        Stage("a", "quick", wait),
        Stage("b", "slight", much),
        Stage("c", "quick", wait),
        Stage("d", "slight", much),
        Stage("e", "identity"),
    )
    pool.lower(1, 1, SHORT.encoded, Pipeline(stages).encoded, TARGET, 60.0)
    assert isinstance(pools.outcome(1), bytes)
    # Behind a tool with limits, one without takes longer and more than that may.
    behind = Pipeline((Stage("a", "quick"), Stage("b", "slight", {"bytes": 0}), Stage("c", "slow", {})))
    pool.lower(2, 1, SHORT.encoded, behind.encoded, TARGET, 60.0)
    body = pools.outcome(2)
    assert isinstance(body, bytes), body


def test_each_branch_of_an_expansion_has_the_time_of_its_tool(pools: Pools) -> None:
    pool = pools.make()
    asked = encode_outputs((Expectation((PauliSum.of("Z0"),)),))
    # Each of them is in time, all of them together are not.
    stages = (
        Stage("a", "frames", {"frames": 4, "seed": 3}),
        Stage("b", "quick", {"takes_s": 0.3}),
        Stage("c", "frames", {"frames": 2}),
    )
    work = ToolWork(EXPAND, SHORT.encoded, Pipeline(stages).encoded, asked, 100)
    pool.work(-1, 1, work, TARGET, 60.0, pools.outcomes.__setitem__)
    assert isinstance(pools.outcome(-1), bytes), pools.outcomes
    slow = Pipeline((*stages[:1], Stage("b", "quick", {"takes_s": 60}), *stages[2:]))
    work = msgspec.structs.replace(work, pipeline=slow.encoded)
    pool.work(-2, 1, work, TARGET, 60.0, pools.outcomes.__setitem__)
    report = pools.outcome(-2)
    assert (
        isinstance(report, ErrorReport)
        and "stage b: tool quick: it took longer than the 0.5 s" in report.message
    )


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
