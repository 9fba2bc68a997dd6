"""The daemon's decisions, with a fake platform: what is accepted, run, answered and refused."""

from __future__ import annotations

import errno
import math
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.settings import JournalSettings, SchedulingSettings, Settings
from qfw.model.errors import ErrorReport, ProgramError, QFwError, TooLarge, WireError
from qfw.model.events import SessionClosed, TaskAccepted, TaskCancelled, TaskDone, TaskRequeued, TaskStarted
from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.outputs import Counts, Expectation, Probabilities, Statevector, encode_outputs
from qfw.model.program import Gate, Program
from qfw.model.task import DeadlineClass, QuantumTask, TaskOptions, TaskState
from qfw.qpm import shared
from qfw.qpm.journal import read
from qfw.qpm.outbox import Outbox
from qfw.qpm.platform import RunDone
from qfw.qpm.status import TaskRow
from qfw.qpm.wire import (
    MAX_PROGRAM_BYTES,
    Accepted,
    Bye,
    Cancel,
    Done,
    Failed,
    NeedPrograms,
    Query,
    StoreProgram,
)
from qfw.qpmd.listing import Listing
from qfw.qpmd.peer import MAX_UNREAD_REPLY_BYTES
from qfw.qpmd.rows import MAX_ROWS
from qfw.scheduling.fair import FairScheduler
from tests.qpmd.conftest import Bench, number
from tests.stack import SHORT, quantum_task


def kinds(messages: list[Any]) -> list[type]:
    return [type(message) for message in messages]


def test_a_task_is_journalled_started_and_answered(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, 1)
    assert kinds(bench.turn()[1]) == [Accepted]
    assert bench.platform.warmed == ["fake"]
    bench.ready("fake/1")
    bench.turn()
    assert bench.given("fake/1") == [number(1, 1)]
    bench.answer("fake/1")
    (done,) = bench.turn()[1]
    assert isinstance(done, Done) and done.answers[0].task == number(1, 1) and done.answers[0].answers == b"a"
    assert bench.core.state.tasks == {} and bench.replayed() == bench.core.state


def test_nothing_is_started_before_it_is_in_the_journal(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    seen: list[int] = []

    def start(device: str, slot: str, runs: Any) -> None:
        written = {event.task for event in read(bench.folder) if isinstance(event, TaskStarted)}
        seen.extend(run.task for run in runs if run.task in written)

    bench.platform.start = start  # type: ignore[method-assign]  # the fake's own
    bench.submit(1, 1)
    bench.turn()
    assert seen == [number(1, 1)]


def test_a_daemon_without_mappings_left_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is kept is read without one; who takes no descriptor is told of his own task."""

    def none_left(fd: int, size: int) -> memoryview:
        raise OSError(errno.ENOMEM, "no mapping left")

    monkeypatch.setattr(shared, "mapped", none_left)
    bench = Bench(tmp_path, settings=Settings(journal=JournalSettings(answer_bytes=2**22)))
    peer = bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1)
    bench.turn()
    (run,) = bench.platform.given["fake", "fake/1"]
    answers = bytes(range(256)) * 2**12
    assert not peer.descriptors
    done = RunDone(run.task, run.epoch, 1, 2, 0, True, None, b"")
    bench.core.reports.run_ended("fake", "fake/1", 100, done, shared.Memory.of([answers]))
    (failed,) = bench.turn()[1]
    assert "cannot map an answer" in failed.errors[0][1].message
    assert [event.answers for event in read(bench.folder) if isinstance(event, TaskDone)] == [answers]


def test_late_and_double_answers_are_refused(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1)
    bench.turn()
    old = bench.platform.given["fake", "fake/1"][0]
    bench.lose("fake/1")
    bench.ready("fake/2")
    bench.turn()
    late = RunDone(old.task, old.epoch, 1, 2, 0, True, None, b"late")
    for slot in ("fake/1", "fake/2"):
        bench.core.reports.run_ended("fake", slot, 100, late)
    wrong_slot = RunDone(old.task, old.epoch + 1, 1, 2, 0, True, None, b"from another")
    bench.core.reports.run_ended("fake", "fake/1", 100, wrong_slot)
    bench.core.reports.run_ended(
        "fake", "fake/2", 100, RunDone(number(1, 99), 1, 1, 2, 0, True, None, b"never asked")
    )
    assert bench.turn().get(1, []) == []
    run = bench.platform.given["fake", "fake/2"][0]
    bench.answer("fake/2")
    bench.core.reports.run_ended(
        "fake", "fake/2", 100, RunDone(run.task, run.epoch, 1, 2, 0, True, None, b"again")
    )
    (done,) = bench.turn()[1]
    assert [answer.answers for answer in done.answers] == [b"a"]
    assert bench.core._listing.counters().counts["late_answers"] == 5
    assert bench.replayed() == bench.core.state


def test_a_task_whose_worker_dies_runs_again_and_is_given_up_in_the_end(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, 1)
    for life in range(2):
        bench.ready(f"fake/{life}")
        bench.turn()
        assert bench.given(f"fake/{life}") == [number(1, 1)]
        bench.lose(f"fake/{life}")
    (failed,) = bench.turn()[1]
    assert failed.errors[0][1].code == "WorkerLost" and "max_attempts" in failed.errors[0][1].message
    assert bench.replayed() == bench.core.state


def test_only_the_task_that_ran_counts_an_attempt(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1, 2)
    bench.turn()
    for life in range(1, 6):
        assert bench.given(f"fake/{life}") == [number(1, 1)]
        bench.lose(f"fake/{life}", begun=False)
        bench.ready(f"fake/{life + 1}")
        assert bench.turn().get(1, []) in ([], [Accepted([number(1, 1), number(1, 2)])])
    requeued = [event for event in read(bench.folder) if isinstance(event, TaskRequeued)]
    assert len(requeued) == 5 and not any(event.interrupted for event in requeued)


def test_cancelling_what_waits_and_what_runs(bench: Bench) -> None:
    peer = bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1, 2)
    bench.turn()
    bench.core.request(peer, Cancel([number(1, 1), number(1, 2), number(1, 3), number(2, 1)]))
    (failed,) = bench.turn()[1]
    assert [(task, error.code) for task, error in failed.errors] == [(number(1, 2), "TaskCancelled")]
    bench.core.request(peer, Cancel([number(1, 1)]))
    assert bench.platform.cancelled == [("fake", "fake/1", number(1, 1), 1)]
    bench.answer("fake/1")
    (failed,) = bench.turn()[1]
    assert [task for task, _ in failed.errors] == [number(1, 1)]
    assert bench.replayed() == bench.core.state


def test_a_cancelled_task_whose_worker_dies_does_not_run_again(bench: Bench) -> None:
    peer = bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1)
    bench.turn()
    bench.core.request(peer, Cancel([number(1, 1)]))
    bench.lose("fake/1")
    bench.ready("fake/2")
    (failed,) = bench.turn()[1]
    assert isinstance(failed, Failed) and failed.errors[0][1].code == "TaskCancelled"
    assert bench.given("fake/2") == []


def test_another_session_cannot_cancel(bench: Bench) -> None:
    bench.open(1)
    other = bench.open(2)
    bench.submit(1, 1)
    bench.core.request(other, Cancel([number(1, 1)]))
    bench.turn()
    assert list(bench.core.state.tasks) == [number(1, 1)]


def test_the_end_of_a_session_cancels_what_it_has(bench: Bench) -> None:
    bench.open(1)
    bench.open(2)
    bench.ready("fake/1")
    bench.submit(1, *range(1, 6))
    bench.submit(2, 1)
    bench.turn()
    first, *_ = bench.given("fake/1")
    assert first == number(1, 1)
    bench.close(1)
    bench.turn()
    assert set(bench.core.state.tasks) == {number(1, 1), number(2, 1)}
    bench.answer("fake/1")
    bench.turn()
    assert bench.given("fake/1") == [number(2, 1)]
    bench.answer("fake/1")
    assert kinds(bench.turn()[2]) == [Done]
    cancelled = [event.task for event in read(bench.folder) if isinstance(event, TaskCancelled)]
    assert sorted(cancelled) == [number(1, sequence) for sequence in range(1, 6)]
    assert bench.replayed() == bench.core.state
    assert bench.core.ends.segments == {} and bench.core.ends.cancelling == set()


def test_what_still_runs_when_the_daemon_stops_is_cancelled_in_the_journal(bench: Bench) -> None:
    """Else an orderly end would leave tasks that are listed as running for ever."""
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1)
    bench.turn()
    bench.close(1)
    bench.turn()
    bench.core.close_platforms()
    bench.turn()
    assert bench.replayed().tasks == {}


def test_a_program_that_was_evicted_is_asked_for(tmp_path: Any) -> None:
    bench = Bench(tmp_path / "journal", settings=Settings(program_bytes=1))
    bench.open(1)
    other = Program(3, 0, 1, SHORT.operations)
    peer = bench.clients[1][0]
    bench.core.request(peer, StoreProgram(other.encoded))
    bench.submit(1, 1, 2)
    bench.submit(1, quantum_task(1, 3, other))
    messages = bench.turn()[1]
    asked = [message for message in messages if isinstance(message, NeedPrograms)]
    assert asked == [NeedPrograms([SHORT.digest], [number(1, 1), number(1, 2)])]
    bench.core.request(peer, StoreProgram(SHORT.encoded))
    bench.submit(1, 1, 2)
    assert set(bench.core.state.tasks) == {number(1, sequence) for sequence in (1, 2, 3)}
    # What live tasks use is never evicted.
    for qubits in range(4, 8):
        bench.core.request(peer, StoreProgram(Program(qubits, 0, 1, SHORT.operations).encoded))
    assert bench.core.programs.get(SHORT.digest) and bench.core.programs.get(other.digest)
    bench.dispose()


def test_a_task_sent_twice_is_one_task(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, 1)
    bench.submit(1, 1, sets=2, parameters=struct.pack("<2d", 1, 2))
    bench.ready("fake/1")
    bench.turn()
    bench.answer("fake/1")
    bench.turn()
    accepted = [event for event in read(bench.folder) if isinstance(event, TaskAccepted)]
    assert len(accepted) == 1


NAN = struct.pack("<d", math.nan)
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "unknown device": ({"device": "fakir"}, "UnknownDevice"),
    "no sets": ({"sets": 0, "parameters": b""}, "ParameterError"),
    "negative sets": ({"sets": -1}, "ParameterError"),
    "too many sets": ({"sets": 2**62}, "ParameterError"),
    "parameters missing": ({"parameters": b""}, "ParameterError"),
    "parameters cut": ({"parameters": b"\0" * 7}, "ParameterError"),
    "NaN": ({"parameters": NAN}, "ParameterError"),
    "infinite": ({"parameters": struct.pack("<d", math.inf)}, "ParameterError"),
    "negative seed": ({"seed": -1}, "OptionError"),
    "seed too large": ({"seed": 2**63}, "OptionError"),
    "negative shots": ({"shots": -1}, "OptionError"),
    "too many shots": ({"shots": 2**40}, "OptionError"),
    "outputs that are none": ({"outputs": b"\x91\x91\xa1\xff"}, "ProgramError"),
    "outputs nested without end": ({"outputs": b"\x91" * 50_000}, "ProgramError"),
    "counts without shots": ({"outputs": encode_outputs((Counts(),))}, "OptionError"),
    "a state with shots": ({"outputs": encode_outputs((Statevector(),)), "shots": 5}, "OptionError"),
    "a qubit that is not there": ({"outputs": encode_outputs((Probabilities((-1,)),))}, "ProgramError"),
    "a Pauli too many": (
        {"outputs": encode_outputs((Expectation((PauliSum((PauliTerm(1.0, (0,), "XX"),)),)),))},
        "ProgramError",
    ),
    "an infinite coefficient": (
        {"outputs": encode_outputs((Expectation((PauliSum((PauliTerm(math.inf, (0,), "X"),)),)),))},
        "ProgramError",
    ),
    "priority": ({"options": TaskOptions(priority=101)}, "OptionError"),
    "time limit": ({"options": TaskOptions(time_limit_s=math.nan)}, "OptionError"),
    "deadline class": ({"options": TaskOptions(deadline_class=DeadlineClass.HARD)}, "OptionError"),
}


@pytest.mark.parametrize(("changes", "code"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_fields_of_a_task_are_refused_by_name(
    bench: Bench, changes: dict[str, Any], code: str
) -> None:
    bench.open(1)
    bench.submit(1, 1, **changes)
    (failed,) = bench.turn()[1]
    assert isinstance(failed, Failed)
    task, report = failed.errors[0]
    assert (task, report.code) == (number(1, 1), code), report
    assert bench.core.state.tasks == {} and bench.platform.warmed == []


def test_too_wide_is_refused_by_estimate(bench: Bench) -> None:
    peer = bench.open(1)
    wide = Program(900_000, 0, 0, ())
    bench.core.request(peer, StoreProgram(wide.encoded))
    bench.submit(1, quantum_task(1, 1, wide))
    (failed,) = bench.turn()[1]
    assert failed.errors[0][1].code == "TooLarge"


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x91" * 50_000,
        b"\x94\x01\x00\x00\x91\x94\xa1g\xa1\xff\x91\x00\x90",
        Program(0, 0, 0, ()).encoded,
        Program(2, 0, 0, (Gate("ry", (0,), (math.nan,)),)).encoded,
        Program(2, 0, 0, (Gate("warp", (0,)),)).encoded,
        Program(2, 0, 0, (Gate("cx", (1, 1)),)).encoded,
        Program(2, 0, 0, (Gate("cx", (0, 2)),)).encoded,
        Program(2, 0, -5, ()).encoded,
    ],
)
def test_a_program_that_is_none_is_an_error_of_the_client(bench: Bench, encoded: bytes) -> None:
    peer = bench.open(1)
    with pytest.raises(QFwError):
        bench.core.request(peer, StoreProgram(encoded))


def test_tasks_of_another_session_break_the_protocol(bench: Bench) -> None:
    bench.open(1)
    bench.open(2)
    for task in (quantum_task(2, 1), quantum_task(0, 1), quantum_task(1, 1, number=-1)):
        with pytest.raises(WireError):
            bench.submit(1, task)


def test_a_message_of_too_many_tasks_breaks_the_protocol(bench: Bench) -> None:
    peer = bench.open(1)
    with pytest.raises(WireError):
        bench.core.request(peer, Cancel([number(1, 1)] * 1025))


def test_a_session_of_many_tasks_leaves_without_holding_up_another(tmp_path: Any) -> None:
    bench = Bench(tmp_path / "journal", settings=Settings())
    bench.open(1)
    bench.open(2)
    bench.ready("fake/1")
    for first in range(1, 5001, 1000):
        bench.submit(1, *range(first, first + 1000))
    bench.turn()
    bench.close(1)
    bench.submit(2, 1)
    turns = 0
    while bench.core.behind or not turns:
        bench.turn()
        turns += 1
        if bench.given("fake/1"):
            bench.answer("fake/1")
        assert all(task == number(2, 1) for task in bench.given("fake/1"))
    assert 4 < turns < 8
    assert bench.core.state.tasks == {} and bench.replayed() == bench.core.state
    assert bench.core._scheduler._devices["fake"].flows.keys() == {2}  # type: ignore[attr-defined]
    bench.dispose()


def test_an_observer_submits_nothing(bench: Bench) -> None:
    peer = bench.open(1)
    peer.session = 0
    with pytest.raises(WireError):
        bench.submit(1, quantum_task(0, 1))


def test_an_unknown_question_breaks_the_protocol(bench: Bench) -> None:
    peer = bench.open(1)
    with pytest.raises(WireError, match="devices, tasks, counters, daemon, platforms"):
        bench.core.request(peer, Query(1, "secrets"))
    assert bench.core.request(peer, Bye()) is False


def test_more_tasks_than_a_session_may_have(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, *range(1, 52))
    messages = bench.turn()[1]
    (failed,) = [message for message in messages if isinstance(message, Failed)]
    assert [(task, error.code) for task, error in failed.errors] == [(number(1, 51), "NoCapacity")]
    assert len(bench.core.state.tasks) == 50


def test_a_device_that_goes_offline_fails_what_waits_and_is_tried_again(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, 1, 2)
    bench.turn()
    bench.core.reports.device_offline("fake", "the engine does not start")
    (failed,) = bench.turn()[1]
    assert {task for task, _ in failed.errors} == {number(1, 1), number(1, 2)}
    assert failed.errors[0][1].code == "NoCapacity"
    (status,) = bench.core.devices()
    assert status.state == "offline" and "does not start" in status.reason
    bench.submit(1, 3)
    bench.turn()
    assert bench.platform.warmed == ["fake", "fake"]
    (status,) = bench.core.devices()
    assert status.state == "starting" and not status.reason
    assert bench.replayed() == bench.core.state


def test_a_device_that_is_offline_at_once_fails_the_task_that_woke_it(bench: Bench) -> None:
    """The platform may report within `warm`: the task must not wait for ever."""
    bench.open(1)
    bench.platform.on_warm = lambda device: bench.core.reports.device_offline(
        device, "no worker can be forked"
    )
    bench.submit(1, 1)
    messages = bench.turn()[1]
    assert kinds(messages) == [Failed] and messages[0].errors[0][1].code == "NoCapacity"
    assert bench.core.state.tasks == {}


def test_a_worker_that_comes_late_ends_the_offline_state(bench: Bench) -> None:
    bench.core.reports.device_offline("fake", "slow start")
    bench.ready("fake/1")
    (status,) = bench.core.devices()
    assert status.state == "online" and not status.reason


def test_slots_of_two_devices_may_have_one_name(tmp_path: Any) -> None:
    bench = Bench(tmp_path / "journal", "one", "two")
    bench.open(1)
    for device in ("one", "two"):
        bench.ready("0", device)
    bench.submit(1, 1, device="one")
    bench.submit(1, 2, device="two")
    bench.turn()
    bench.lose("0", "one")
    assert bench.core.state.tasks[number(1, 2)].state is TaskState.RUNNING
    assert bench.core.state.tasks[number(1, 1)].state is TaskState.QUEUED
    bench.answer("0", "two")
    assert kinds(bench.turn()[1])[-1] is Done
    assert bench.replayed() == bench.core.state
    bench.dispose()


def test_an_engine_error_reaches_the_client_as_it_is(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1)
    bench.turn()
    bench.answer("fake/1", error=ErrorReport("UnsupportedFeature", "no resets here", None))
    (failed,) = bench.turn()[1]
    assert failed.errors == [(number(1, 1), ErrorReport("UnsupportedFeature", "no resets here", None))]


def test_a_client_that_is_gone_is_owed_nothing(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1)
    bench.turn()
    bench.close(1)
    bench.answer("fake/1")
    bench.turn()
    closed = [event for event in read(bench.folder) if isinstance(event, SessionClosed)]
    assert len(closed) == 1 and bench.core.state.sessions == {}


def test_journal_without_its_first_segments_can_be_replayed(tmp_path: Any) -> None:
    """Old segments go; tasks that were accepted in them and ended later are no contradiction."""
    settings = Settings(journal=JournalSettings(segment_bytes=4096, retain_bytes=4096))
    bench = Bench(tmp_path / "journal", settings=settings)
    bench.open(1)
    bench.ready("fake/1")
    for sequence in range(1, 200):
        bench.submit(1, sequence)
        bench.turn()
        if sequence > 1:
            bench.answer("fake/1")
    bench.submit(1, 200)
    bench.turn()
    assert not (bench.folder / "00000001.qfj").exists()
    replayed = bench.replayed()
    assert replayed.tasks == bench.core.state.tasks and len(replayed.tasks) == 2
    assert replayed.sessions == bench.core.state.sessions and replayed.workers == bench.core.state.workers
    bench.dispose()


class Hour:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_an_answer_is_given_again_for_100_ms_and_has_10_000_rows_at_most(bench: Bench) -> None:
    clock = Hour()
    listing = Listing(
        bench.core.state, FairScheduler(), bench.platforms, bench.core._devices, bench.core.control, clock
    )
    bench.open(1)

    def tasks() -> list[str]:
        return [row.task for row in msgspec.msgpack.decode(listing.answer("tasks"), type=list[TaskRow])]

    assert tasks() == []
    for sequence in range(1, MAX_ROWS + 5):
        bench.core.emit(TaskAccepted(0, quantum_task(1, sequence), 1.0))
    clock.now_ns = 99_999_999
    assert tasks() == []
    clock.now_ns += 1
    found = tasks()
    assert len(found) == MAX_ROWS and found[0] == "1.1" and found[-1] == f"1.{MAX_ROWS}"
    bench.core.state.tasks.clear()


def test_who_asks_and_does_not_read_is_let_go(bench: Bench) -> None:
    peer = bench.open(1)
    for sequence in range(1, 10_001):
        bench.core.emit(TaskAccepted(0, quantum_task(1, sequence), 1.0))
    # What waits of its results is not held against it.
    peer.outbox.put(bytes(2 * MAX_UNREAD_REPLY_BYTES))
    with pytest.raises(WireError, match="replies are unread"):
        for request in range(1000):
            bench.core.request(peer, Query(request, "tasks"))
    one = len(bench.core._listing.answer("tasks"))
    assert MAX_UNREAD_REPLY_BYTES < peer.unread_replies < MAX_UNREAD_REPLY_BYTES + 2 * one
    peer.outbox = Outbox(peer.socket)
    bench.core.request(peer, Query(1, "counters"))
    bench.core.state.tasks.clear()


def test_a_program_that_is_too_long_is_refused_before_it_is_decoded(bench: Bench) -> None:
    peer = bench.open(1)
    # No program at all: whoever decodes it says so.
    with pytest.raises(TooLarge, match=f"{MAX_PROGRAM_BYTES + 1} bytes .* {MAX_PROGRAM_BYTES} at most"):
        bench.core.request(peer, StoreProgram(bytes(MAX_PROGRAM_BYTES + 1)))
    with pytest.raises(ProgramError) as caught:
        bench.core.request(peer, StoreProgram(bytes(MAX_PROGRAM_BYTES)))
    assert not isinstance(caught.value, TooLarge)


def test_more_bytes_than_a_session_may_have(tmp_path: Any) -> None:
    bench = Bench(
        tmp_path / "journal", settings=Settings(scheduling=SchedulingSettings(max_bytes_per_session=1000))
    )
    bench.ready("fake/1")
    for session in (1, 2):
        bench.open(session)
    empty = len(quantum_task(1, 1).outputs)

    def task(sequence: int, size: int, session: int = 1) -> QuantumTask:
        sets = (size - empty) // 8
        return quantum_task(session, sequence, sets=sets, parameters=bytes(8 * sets))

    bench.submit(1, task(1, 800), task(2, 800), task(3, 100))
    failed = next(message for message in bench.turn()[1] if isinstance(message, Failed))
    ((refused, error),) = failed.errors
    assert (refused, error.code) == (number(1, 2), "NoCapacity")
    assert "max_bytes_per_session" in error.message and "Wait" in error.message
    # Another session's share is its own, and a single task is always taken.
    bench.submit(2, task(1, 5000, session=2))
    assert kinds(bench.turn()[2]) == [Accepted]
    bench.answer("fake/1")
    bench.turn()
    bench.submit(1, task(4, 800))
    assert not any(isinstance(message, Failed) for message in bench.turn()[1])
    peer = bench.clients[1][0]
    bench.core.request(peer, Cancel([number(1, sequence) for sequence in (1, 3, 4)]))
    bench.answer("fake/1")
    bench.turn()
    assert bench.clients[1][0].task_bytes == sum(
        len(t.quantum.parameters) + len(t.quantum.outputs)
        for t in bench.core.state.tasks.values()
        if t.quantum.number in peer.tasks
    )
    bench.dispose()
