"""The daemon's part in lowering, with fake tools: who waits for what, how often tools run, and what runs in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.settings import SchedulingSettings, Settings, ToolSettings, WorkerSettings
from qfw.model.conditions import Conditions
from qfw.model.errors import ErrorReport
from qfw.model.events import (
    TaskAccepted,
    TaskDone,
    TaskFailed,
    TaskLowered,
    TaskLowering,
    TaskRequeued,
    TaskStarted,
)
from qfw.model.observable import PauliSum
from qfw.model.outputs import (
    Counts,
    Expectation,
    Output,
    Probabilities,
    Statevector,
    decode_outputs,
    encode_outputs,
)
from qfw.model.pipeline import LoweredProgram
from qfw.model.program import Gate, Program, slot
from qfw.model.task import TaskOptions, TaskState
from qfw.qpm.journal import read
from qfw.qpm.platform import RunDone, RunFailed
from qfw.qpm.wire import (
    Accepted,
    Cancel,
    Failed,
    Lowered,
    NeedLowering,
    NeedPipelines,
    Query,
    StorePipeline,
    StoreProgram,
)
from qfw.qpmd.lowered import FAILED_NS
from qfw.qpmd.results import ResultStore
from qfw.qpmd.state import DaemonState
from qfw.telemetry.profile import profile
from tests.qpmd.conftest import HERE, THERE, WALL_NS, Bench, number
from tests.qpmd.test_devices import Said, calibration, errors
from tests.stack import SHORT, quantum_task

LONGER = Program(2, 0, 1, (Gate("ry", (0,), (slot(0),)), Gate("ry", (1,), (0.25,))))
LONGEST = Program(2, 0, 1, (*LONGER.operations, Gate("ry", (1,), (0.5,))))


def shifted(program: Program) -> Program:
    """One more qubit, all others one place up."""
    ops = [Gate(op.name, tuple(q + 1 for q in op.qubits), op.angles) for op in program.gates()]
    return Program(program.num_qubits + 1, program.num_clbits, program.num_slots, tuple(ops))


def states(bench: Bench) -> Counter[TaskState]:
    return Counter(entry.state for entry in bench.core.state.tasks.values())


def of_kind(bench: Bench, kind: type) -> list[Any]:
    return [event for event in read(bench.folder) if isinstance(event, kind)]


def failure(bench: Bench, session: int = 1) -> ErrorReport:
    (failed,) = [message for message in bench.turn()[session] if isinstance(message, Failed)]
    ((_, report),) = failed.errors
    return report


def test_tasks_wait_for_one_run_of_the_tools_and_run_what_it_gave(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, *range(1, 21), pipeline=HERE.digest)
    assert [type(message) for message in bench.turn()[1]] == [Accepted]
    assert states(bench) == {TaskState.COMPILING: 20} and bench.given("fake/1") == []
    assert bench.tools.runs == [(SHORT.digest, "")]
    bench.tools.answer(shifted, layout=(1, 2))
    for sequence in range(1, 21):
        bench.turn()
        (run,) = bench.platform.given["fake", "fake/1"]
        assert run.task == number(1, sequence)
        assert run.program == shifted(SHORT).digest
        assert decode_outputs(run.outputs) == (Expectation((PauliSum.of("Z1"),)),)
        bench.answer("fake/1")
    bench.turn()
    assert bench.core.state.counters["done"] == 20 and len(bench.tools.runs) == 1
    # What is known is used at once, and costs no event.
    bench.submit(1, 21, pipeline=HERE.digest)
    bench.turn()
    assert bench.given("fake/1") == [number(1, 21)]
    assert len(of_kind(bench, TaskLowering)) == len(of_kind(bench, TaskLowered)) == 20
    assert bench.replayed() == bench.core.state and len(bench.tools.runs) == 1


def test_sessions_share_what_was_lowered(bench: Bench) -> None:
    for session in (1, 2, 3):
        bench.open(session)
        bench.submit(session, 1, 2, pipeline=HERE.digest)
    assert len(bench.tools.runs) == 1
    bench.close(1)
    bench.turn()
    bench.tools.answer()
    bench.turn()
    assert states(bench) == {TaskState.QUEUED: 4}


def test_ten_thousand_tasks_of_three_structures_are_lowered_three_times_again(tmp_path: Path) -> None:
    """Recalibrated in the middle: each structure once more, and of each the tasks start in their order."""
    many = Settings(scheduling=SchedulingSettings(max_tasks_per_session=20_000))
    bench = Bench(tmp_path / "journal", settings=many)
    peer = bench.open(1)
    say = Said(bench)
    say(calibration=calibration("v1"))
    for program in (LONGER, LONGEST):
        bench.core.request(peer, StoreProgram(program.encoded))
    structures = [SHORT, LONGER, LONGEST]
    tasks = [
        quantum_task(1, n, structures[n % 3], pipeline=HERE.digest, parameters=b"\0" * 8)
        for n in range(1, 10_001)
    ]
    for at in range(0, len(tasks), 500):
        bench.submit(1, *tasks[at : at + 500])
    bench.ready("fake/1")
    started: list[tuple[int, str]] = []

    def work(until: int) -> None:
        while len(started) < until:
            bench.turn()
            runs = bench.platform.given.get(("fake", "fake/1"), [])
            if not runs:
                assert bench.tools.asked or bench.core.behind
                while bench.tools.asked:
                    bench.tools.answer()
                continue
            started.append((runs[0].task, runs[0].calibration))
            bench.answer("fake/1")

    work(3_000)
    assert len(bench.tools.runs) == 3
    say(calibration=calibration("v2"))
    assert len(bench.tools.runs) == 6, "not begun before the first task needs it"
    work(10_000)
    assert Counter(bench.tools.runs) == {
        (program.digest, version): 1 for program in structures for version in ("v1", "v2")
    }
    assert len({task for task, _ in started}) == 10_000
    # A structure that is lowered first goes first.
    for program in structures:
        numbers = [task.number for task in tasks if task.program == program.digest]
        wanted = set(numbers)
        assert [task for task, _ in started if task in wanted] == numbers
    assert [version for _, version in started] == ["v1"] * 3_000 + ["v2"] * 7_000
    bench.turn()
    conditions = [event.conditions.calibration for event in of_kind(bench, TaskDone)]
    assert conditions == ["v1"] * 3_000 + ["v2"] * 7_000
    assert bench.core.state.tasks == {} and bench.replayed() == bench.core.state
    found = profile(read(bench.folder))
    assert found.done == 10_000 and found.unanswered == 0
    bench.dispose()


def test_a_device_that_refuses_its_calibration_gets_what_is_lowered_again(bench: Bench) -> None:
    bench.open(1)
    say = Said(bench)
    say(calibration=calibration("v1"))
    bench.ready("fake/1")
    bench.submit(1, 1, pipeline=HERE.digest)
    bench.tools.answer()
    bench.turn()
    stale = ErrorReport("StaleCalibration", "recalibrated a moment ago")
    bench.answer("fake/1", error=stale)
    bench.turn()
    # Its word is still on the way.
    assert states(bench) == {TaskState.COMPILING: 1} and len(bench.tools.runs) == 1
    say(calibration=calibration("v2"))
    bench.tools.answer()
    bench.turn()
    (run,) = bench.platform.given["fake", "fake/1"]
    assert run.calibration == "v2" and run.epoch == 2
    assert not any(event.interrupted for event in of_kind(bench, TaskRequeued))
    assert bench.replayed() == bench.core.state


def test_a_device_that_refuses_for_ever_fails_the_task(bench: Bench) -> None:
    bench.open(1)
    Said(bench)(calibration=calibration("v1"))
    bench.ready("fake/1")
    bench.submit(1, 1, pipeline=HERE.digest)
    bench.tools.answer()
    stale = ErrorReport("StaleCalibration", "no")
    bench.turn()
    bench.answer("fake/1", error=stale)
    bench.turn()
    assert bench.given("fake/1") == []
    bench.reactor.pass_s(1.5)
    bench.turn()
    bench.turn()
    bench.answer("fake/1", error=stale)
    assert failure(bench).code == "StaleCalibration"
    assert len(bench.tools.runs) == 1 and bench.core.state.tasks == {}


def test_an_answer_under_another_calibration_is_refused(bench: Bench) -> None:
    bench.open(1)
    Said(bench)(calibration=calibration("v1"))
    bench.ready("fake/1")
    bench.submit(1, 1, pipeline=HERE.digest)
    bench.tools.answer()
    bench.turn()
    (run,) = bench.platform.given["fake", "fake/1"]
    assert run.calibration == "v1"
    done = RunDone(run.task, run.epoch, 1, 2, 0, True, Conditions("v0"), b"a")
    bench.core.reports.run_ended("fake", "fake/1", 100, done)
    assert failure(bench).code == "WrongAnswer"


def test_a_failure_is_remembered_for_a_while(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, 1, 2, 3, pipeline=HERE.digest)
    bench.tools.answer(error=ErrorReport("ToolFailed", "stage first: crashed"))
    (failed,) = [message for message in bench.turn()[1] if isinstance(message, Failed)]
    assert [report.message for _, report in failed.errors] == ["stage first: crashed"] * 3
    for sequence in range(4, 1000):
        bench.submit(1, sequence, pipeline=HERE.digest)
    assert set(errors(bench.turn()[1]).values()) == {"ToolFailed"} and len(bench.tools.runs) == 1
    assert not of_kind(bench, TaskAccepted)[3:]
    bench.clock.now_ns += FAILED_NS
    bench.submit(1, 1000, pipeline=HERE.digest)
    bench.turn()
    assert len(bench.tools.runs) == 2 and states(bench) == {TaskState.COMPILING: 1}


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        msgspec.msgpack.encode(LoweredProgram(b"no program", None)),
        msgspec.msgpack.encode(LoweredProgram(Program(2, 0, 2, ()).encoded, None)),
        msgspec.msgpack.encode(LoweredProgram(Program(1, 0, 1, ()).encoded, None)),
        msgspec.msgpack.encode(LoweredProgram(SHORT.encoded, (0, 0))),
        msgspec.msgpack.encode(LoweredProgram(SHORT.encoded, (0,))),
        msgspec.msgpack.encode(LoweredProgram(SHORT.encoded, (0, 5))),
        msgspec.msgpack.encode(LoweredProgram(b"\0" * (4 * 2**20 + 1), None)),
    ],
    ids=["garbage", "no program", "slots", "narrow", "twice", "short", "outside", "long"],
)
def test_what_tools_give_is_checked(bench: Bench, body: bytes) -> None:
    bench.open(1)
    bench.submit(1, 1, pipeline=HERE.digest)
    bench.tools.answer(body=body)
    assert failure(bench).code == "ToolFailed"
    assert bench.core.state.tasks == {} and bench.replayed() == bench.core.state


@pytest.mark.parametrize(
    ("asked", "shots", "says"),
    [
        ((Statevector(),), 0, "UnsupportedFeature"),
        ((Counts(),), 5, "UnsupportedFeature"),
        ((Probabilities((7,)),), 5, "ProgramError"),
    ],
)
def test_what_cannot_follow_the_qubits_is_refused(
    bench: Bench, asked: tuple[Output, ...], shots: int, says: str
) -> None:
    bench.open(1)
    bench.submit(1, 1, pipeline=HERE.digest, outputs=encode_outputs(asked), shots=shots)
    bench.tools.answer(shifted, layout=(1, 2))
    assert failure(bench).code == says
    # Now that the lowered program is known, at intake.
    bench.submit(1, 2, pipeline=HERE.digest, outputs=encode_outputs(asked), shots=shots)
    assert failure(bench).code == says and len(of_kind(bench, TaskAccepted)) == 1


def test_probabilities_of_all_are_those_of_the_programs_qubits(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    outputs = encode_outputs((Probabilities(), Probabilities((1,))))
    bench.submit(1, 1, pipeline=HERE.digest, outputs=outputs)
    bench.tools.answer(shifted, layout=(2, 1))
    bench.turn()
    (run,) = bench.platform.given["fake", "fake/1"]
    assert decode_outputs(run.outputs) == (Probabilities((2, 1)), Probabilities((1,)))


def test_limits_are_those_of_the_lowered_program(bench: Bench) -> None:
    """A program that is too wide may be lowered to one that is not; and the other way round."""
    peer = bench.open(1)
    wide = Program(20, 0, 1, SHORT.operations)
    bench.core.request(peer, StoreProgram(wide.encoded))
    bench.submit(1, quantum_task(1, 1), quantum_task(1, 2, wide))
    assert list(errors(bench.turn()[1]).values()) == ["TooLarge"]
    bench.submit(1, quantum_task(1, 3, pipeline=HERE.digest))
    bench.tools.answer(lambda program: Program(20, 0, 1, program.operations))
    assert failure(bench).code == "TooLarge"


def test_a_program_that_only_its_lowering_makes_fit_is_accepted(bench: Bench) -> None:
    peer = bench.open(1)
    wide = Program(20, 0, 1, SHORT.operations)
    bench.core.request(peer, StoreProgram(wide.encoded))
    bench.submit(1, quantum_task(1, 2, wide, pipeline=HERE.digest, sets=3, parameters=b"\0" * 24))
    assert errors(bench.turn()[1]) == {} and states(bench) == {TaskState.COMPILING: 1}


def test_a_pipeline_is_asked_for_and_goes_with_no_calibration(bench: Bench) -> None:
    peer = bench.open(1)
    Said(bench)(calibration=calibration("v1"))
    bench.submit(1, 1, 2, pipeline=b"x" * 16)
    bench.submit(1, 3, pipeline=HERE.digest, calibration="v1")
    asked, failed = bench.turn()[1]
    assert asked == NeedPipelines([b"x" * 16], [number(1, 1), number(1, 2)])
    assert failed.errors[0][1].code == "OptionError" and "pipeline" in failed.errors[0][1].message
    with pytest.raises(ValueError, match="1 to 64 stages"):
        bench.core.request(peer, StorePipeline(msgspec.msgpack.encode([[]])))


def test_a_task_that_is_cancelled_while_tools_run_leaves_nothing(bench: Bench) -> None:
    peer = bench.open(1)
    bench.core.request(peer, StoreProgram(LONGER.encoded))
    bench.submit(1, 1, pipeline=HERE.digest)
    bench.submit(1, quantum_task(1, 2, LONGER, pipeline=HERE.digest))
    bench.core.request(peer, Cancel([number(1, 1), number(1, 2)]))
    assert set(errors(bench.turn()[1]).values()) == {"TaskCancelled"}
    # The first is under way, and what comes of it is kept; the second was not begun.
    assert len(bench.tools.asked) == 1
    bench.tools.answer()
    bench.ready("fake/1")
    bench.submit(1, 3, pipeline=HERE.digest)
    bench.turn()
    assert bench.given("fake/1") == [number(1, 3)] and len(bench.tools.runs) == 2
    assert bench.replayed() == bench.core.state


@pytest.mark.parametrize("gone", [False, True])
def test_a_device_that_goes_takes_what_is_compiled_for_it(bench: Bench, gone: bool) -> None:
    bench.open(1)
    bench.submit(1, 1, 2, pipeline=HERE.digest)
    bench.turn()
    if gone:
        bench.platform.names = ("other",)
        bench.core.reports.devices_changed("fakes")
    else:
        bench.core.reports.device_offline("fake", "no power")
    bench.core.end_turn()
    assert bench.core.state.tasks == {} and bench.core.state.counters["failed"] == 2
    bench.tools.answer()
    bench.turn()
    assert bench.replayed() == bench.core.state


def test_lowered_programs_that_nobody_needs_are_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "journal", settings=Settings(tools=ToolSettings(kept=2)))
    peer = bench.open(1)
    bench.ready("fake/1")
    for sequence, program in enumerate((SHORT, LONGER, LONGEST, SHORT, LONGEST), 1):
        bench.core.request(peer, StoreProgram(program.encoded))
        bench.submit(1, quantum_task(1, sequence, program, pipeline=HERE.digest, parameters=b"\0" * 8))
        if bench.tools.asked:
            bench.tools.answer()
        bench.turn()
        bench.answer("fake/1")
        bench.turn()
    assert [digest for digest, _ in bench.tools.runs] == [
        SHORT.digest,
        LONGER.digest,
        LONGEST.digest,
        SHORT.digest,
    ]
    bench.dispose()


def test_squeue_says_what_a_task_waits_for(bench: Bench) -> None:
    peer = bench.open(1)
    bench.submit(1, 1, pipeline=HERE.digest)
    bench.submit(1, 2, pipeline=THERE.digest)
    bench.turn()
    bench.core.request(peer, Query(1, "tasks"))
    bench.core.request(peer, Query(2, "counters"))
    tasks, counters = bench.turn()[1]
    assert [row["state"] for row in msgspec.msgpack.decode(tasks.body)] == ["compiling", "needs_lowering"]
    assert msgspec.msgpack.decode(counters.body)["counts"]["lowerings"] == 1


# Clients that lower -------------------------------------------------------------------------------


def question(messages: list[Any]) -> NeedLowering:
    (found,) = [message for message in messages if isinstance(message, NeedLowering)]
    return found


def answer(bench: Bench, session: int, asked: NeedLowering, **more: Any) -> None:
    body = more.get("body", msgspec.msgpack.encode(LoweredProgram(asked.program, None)))
    reply = Lowered(asked.lowering, more.get("error"), body)
    bench.core.request(bench.clients[session][0], reply)


def test_a_client_lowers_what_the_daemon_cannot(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1, 2, pipeline=THERE.digest)
    asked = question(bench.turn()[1])
    assert (asked.program, asked.pipeline) == (SHORT.encoded, THERE.encoded) and not bench.tools.runs
    assert states(bench) == {TaskState.NEEDS_LOWERING: 2}
    answer(bench, 1, asked)
    bench.turn()
    assert bench.given("fake/1") == [number(1, 1)] and bench.replayed() == bench.core.state


def test_another_client_is_asked_when_one_goes(bench: Bench) -> None:
    for session in (1, 2):
        bench.open(session)
        bench.submit(session, 1, pipeline=THERE.digest)
    said = bench.turn()
    first = question(said[1])
    assert not [message for message in said[2] if isinstance(message, NeedLowering)]
    bench.close(1)
    second = question(bench.turn()[2])
    assert second.lowering != first.lowering
    # Of a question that is another's by now.
    answer(bench, 2, first, body=b"garbage")
    answer(bench, 2, second)
    bench.turn()
    assert states(bench) == {TaskState.QUEUED: 1} and bench.replayed() == bench.core.state


@pytest.mark.parametrize("how", ["error", "garbage", "silence"])
def test_a_client_that_fails_fails_its_own_tasks(bench: Bench, how: str) -> None:
    for session in (1, 2):
        bench.open(session)
        bench.submit(session, 1, 2, pipeline=THERE.digest)
    asked = question(bench.turn()[1])
    if how == "silence":
        bench.reactor.pass_s(121)
    else:
        error = ErrorReport("ToolFailed", "no such thing") if how == "error" else None
        answer(bench, 1, asked, error=error, body=b"garbage")
    said = bench.turn()
    assert set(errors(said[1]).values()) == {"ToolFailed"}
    answer(bench, 2, question(bench.turn().get(2, []) + said.get(2, [])))
    bench.turn()
    assert states(bench) == {TaskState.QUEUED: 2}
    # A late word changes nothing.
    answer(bench, 1, asked, body=b"late")
    bench.turn()
    assert bench.replayed() == bench.core.state


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Bench]:
    """A daemon that keeps the results of detached tasks."""
    results = ResultStore(tmp_path / "results", Settings().results, lambda: WALL_NS)
    made = Bench(tmp_path / "journal", results=results)
    yield made
    made.dispose()


def test_a_detached_task_whose_client_is_gone_fails_and_says_so(lasting: Bench) -> None:
    lasting.open(1)
    lasting.submit(1, 1, pipeline=THERE.digest, options=TaskOptions(detached=True))
    lasting.submit(1, 2, pipeline=THERE.digest)
    lasting.turn()
    lasting.close(1)
    lasting.core.end_turn()
    failed = [event for event in of_kind(lasting, TaskFailed) if event.task == number(1, 1)]
    assert [event.error.code for event in failed] == ["NotLowered"]
    assert "Keep its session open" in failed[0].error.message
    assert lasting.core.state.tasks == {} and lasting.replayed() == lasting.core.state
    assert lasting.core.state.counters["cancelled"] == 1


def test_a_detached_task_is_lowered_again_when_its_client_is_gone(lasting: Bench) -> None:
    """Recalibrated in the meantime: by the daemon's tools, which need nobody."""
    lasting.open(1)
    say = Said(lasting)
    say(calibration=calibration("v1"))
    lasting.submit(1, 1, pipeline=HERE.digest, options=TaskOptions(detached=True))
    lasting.tools.answer()
    lasting.turn()
    lasting.close(1)
    lasting.core.end_turn()
    say(calibration=calibration("v2"))
    lasting.tools.answer()
    lasting.ready("fake/1")
    lasting.turn()
    (run,) = lasting.platform.given["fake", "fake/1"]
    assert run.calibration == "v2" and len(lasting.tools.runs) == 2
    lasting.answer("fake/1")
    lasting.turn()
    assert [event.conditions.calibration for event in of_kind(lasting, TaskDone)] == ["v2"]
    assert lasting.core.state.tasks == {}


def test_a_client_is_asked_a_few_at_a_time(bench: Bench) -> None:
    peer = bench.open(1)
    for sequence in range(1, 11):
        program = Program(2, 0, 1, (Gate("ry", (0,), (float(sequence),)),))
        bench.core.request(peer, StoreProgram(program.encoded))
        bench.submit(1, quantum_task(1, sequence, program, pipeline=THERE.digest, parameters=b"\0" * 8))
    asked = [message for message in bench.turn()[1] if isinstance(message, NeedLowering)]
    assert len(asked) == 4
    bench.core.request(peer, Cancel([number(1, 9)]))
    seen = set()
    while asked:
        seen.add(asked[0].program)
        answer(bench, 1, asked.pop(0))
        asked += [message for message in bench.turn().get(1, []) if isinstance(message, NeedLowering)]
    assert len(seen) == 9 and states(bench) == {TaskState.QUEUED: 9}


# The journal --------------------------------------------------------------------------------------


def test_a_journal_with_lost_records_is_read_all_the_same(bench: Bench) -> None:
    """Any one record gone, or any two: the tasks that were answered are not listed."""
    bench.open(1)
    say = Said(bench)
    say(calibration=calibration("v1"))
    bench.ready("fake/1")
    bench.submit(1, 1, 2, pipeline=HERE.digest)
    bench.tools.answer()
    bench.turn()
    bench.answer("fake/1", error=ErrorReport("StaleCalibration", "again"))
    bench.turn()
    say(calibration=calibration("v2"))
    bench.tools.answer()
    for _ in range(2):
        bench.turn()
        bench.answer("fake/1")
    bench.turn()
    events = list(read(bench.folder))
    kinds = Counter(type(event) for event in events)
    assert kinds[TaskLowering] == kinds[TaskLowered] == 3 and kinds[TaskStarted] == 3
    assert DaemonState.replay(events) == bench.core.state
    for first in range(len(events)):
        for second in range(first, len(events)):
            left = [event for at, event in enumerate(events) if at not in (first, second)]
            lost = {type(events[first]), type(events[second])}
            tasks = DaemonState.replay(left).tasks
            assert not tasks or TaskDone in lost


def test_the_daemons_end_is_the_tools_end(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, 1, pipeline=HERE.digest)
    bench.close(1)
    while bench.core.behind:
        bench.core.end_turn()
    bench.core.close_platforms()
    assert bench.tools.closed and bench.core.state.tasks == {}
    assert bench.core.state.counters["cancelled"] == 1


def test_a_failed_run_of_a_lowered_program_fails_its_task(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1, pipeline=HERE.digest)
    bench.tools.answer()
    bench.turn()
    (run,) = bench.platform.given["fake", "fake/1"]
    failed = RunFailed(run.task, run.epoch, ErrorReport("OutOfMemory", "too much"))
    bench.core.reports.run_ended("fake", "fake/1", 100, failed)
    assert failure(bench).code == "OutOfMemory"


def test_a_worker_that_dies_under_a_lowered_program_leaves_it_lowered(tmp_path: Path) -> None:
    settings = Settings(workers=WorkerSettings(max_attempts=3))
    bench = Bench(tmp_path / "journal", settings=settings)
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1, pipeline=HERE.digest)
    bench.tools.answer(shifted, layout=(1, 2))
    bench.turn()
    bench.lose("fake/1")
    bench.ready("fake/2")
    bench.turn()
    (run,) = bench.platform.given["fake", "fake/2"]
    assert run.program == shifted(SHORT).digest and len(bench.tools.runs) == 1
    bench.dispose()
