"""Detached tasks in the daemon's decisions: whose they are, who is answered, what a key stands for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qfw.config.settings import ResultSettings, SchedulingSettings, Settings
from qfw.model.errors import ErrorReport
from qfw.model.events import TaskAccepted, TaskCancelled
from qfw.model.task import TaskOptions, task_number
from qfw.qpm.journal import read
from qfw.qpm.status import TaskRow
from qfw.qpm.wire import Attach, Attached, Cancel, Done, Failed, Known
from qfw.qpmd.kept import path_of
from qfw.qpmd.peer import Peer
from qfw.qpmd.results import ResultStore
from qfw.qpmd.rows import task_rows
from tests.qpmd.conftest import WALL_NS, Bench, number

DETACHED = TaskOptions(detached=True)
SETTINGS = Settings(scheduling=SchedulingSettings(max_tasks_per_session=50))


class Wall:
    """Unix time that a test sets."""

    def __init__(self) -> None:
        self.now_ns = WALL_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def wall() -> Wall:
    return Wall()


def started(folder: Path, wall: Wall, settings: Settings = SETTINGS) -> Bench:
    return Bench(
        folder / "journal", settings=settings, results=ResultStore(folder / "results", settings.results, wall)
    )


@pytest.fixture
def bench(tmp_path: Path, wall: Wall) -> Iterator[Bench]:
    made = started(tmp_path, wall)
    yield made
    made.dispose()


def keyed(key: str) -> TaskOptions:
    return TaskOptions(detached=True, idempotency_key=key)


def attach(bench: Bench, session: int, *numbers: int) -> None:
    bench.core.request(bench.clients[session][0], Attach(list(numbers)))


def answers(messages: list[Any]) -> dict[int, bytes]:
    return {a.task: a.answers for message in messages if isinstance(message, Done) for a in message.answers}


def errors(messages: list[Any]) -> dict[int, ErrorReport]:
    return {
        task: error for message in messages if isinstance(message, Failed) for task, error in message.errors
    }


def run_one(bench: Bench, session: int, sequence: int, **changes: Any) -> None:
    """A detached task runs and is answered, whoever listens."""
    bench.submit(session, sequence, **{"options": DETACHED, **changes})
    bench.turn()
    assert bench.answer("fake/1") == number(session, sequence)


def test_a_detached_task_outlives_its_session_and_any_later_one_gets_its_answer(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1, 2, options=DETACHED)
    bench.submit(1, 3)
    bench.turn()
    bench.close(1)
    bench.turn()
    assert set(bench.core.state.tasks) == {number(1, 1), number(1, 2)}
    cancelled = [event.task for event in read(bench.folder) if isinstance(event, TaskCancelled)]
    assert cancelled == [number(1, 3)]
    bench.answer("fake/1")
    bench.turn()
    # What waited goes on without its session.
    assert bench.answer("fake/1") == number(1, 2)
    for session in (2, 3):
        bench.open(session)
        attach(bench, session, number(1, 1), number(1, 2))
        messages = bench.turn()[session]
        assert answers(messages) == {number(1, 1): b"a", number(1, 2): b"a"}
        said = [followed for m in messages if isinstance(m, Attached) for followed in m.tasks]
        assert [(f.asked, f.quantum.device, f.quantum.sets) for f in said] == [
            (number(1, sequence), "fake", 1) for sequence in (1, 2)
        ]
    assert bench.core.state.tasks == {} and bench.replayed() == bench.core.state
    assert bench.core.ends.segments == {} and bench.core._handles.counts()["results_kept"] == 2


def test_who_attaches_before_the_end_is_answered_behind_it(bench: Bench) -> None:
    bench.open(1)
    bench.open(2)
    bench.ready("fake/1")
    bench.submit(1, 1, options=DETACHED)
    attach(bench, 2, number(1, 1))
    attach(bench, 2, number(1, 1))
    attach(bench, 1, number(1, 1))
    messages = bench.turn()[2]
    assert [type(message) for message in messages] == [Attached]
    bench.answer("fake/1")
    said = bench.turn()
    assert answers(said[1]) == {number(1, 1): b"a"} and answers(said[2]) == {number(1, 1): b"a"}
    assert len([m for session in (1, 2) for m in said[session] if isinstance(m, Done)]) == 2
    assert bench.turn() == {}


def test_a_failure_and_a_cancellation_are_kept_as_well(bench: Bench) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1, 2, options=DETACHED)
    bench.turn()
    bench.answer("fake/1", error=ErrorReport("TooLarge", "too wide"))
    bench.turn()
    bench.close(1)
    other = bench.open(2)
    bench.core.request(other, Cancel([number(1, 2), number(1, 1), number(1, 99)]))
    bench.answer("fake/1")
    bench.turn()
    attach(bench, 2, number(1, 1), number(1, 2))
    found = errors(bench.turn()[2])
    assert found[number(1, 1)] == ErrorReport("TooLarge", "too wide")
    assert found[number(1, 2)].code == "TaskCancelled"
    assert bench.replayed() == bench.core.state


def test_nothing_is_said_of_tasks_of_others(bench: Bench) -> None:
    bench.open(1, uid=5)
    bench.ready("fake/1")
    run_one(bench, 1, 1)
    bench.submit(1, 2, options=DETACHED)
    bench.submit(1, 3)
    bench.turn()
    stranger = bench.open(2, uid=6)
    asked = [number(1, 1), number(1, 2), number(1, 3), number(9, 9)]
    attach(bench, 2, *asked)
    bench.core.request(stranger, Cancel(asked))
    found = errors(bench.turn()[2])
    assert {task: error.code for task, error in found.items()} == dict.fromkeys(asked, "UnknownTask")
    messages = {error.message.replace(f"{task >> 32}.{task & 0xFF}", "N") for task, error in found.items()}
    assert len(messages) == 1
    bench.open(3, uid=5)
    attach(bench, 3, number(1, 3))
    assert errors(bench.turn()[3])[number(1, 3)].code == "UnknownTask"
    assert set(bench.core.state.tasks) == {number(1, 2), number(1, 3)}


def test_a_private_daemon_says_that_it_cannot(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "journal")
    bench.open(1)
    bench.submit(1, 1, options=DETACHED)
    attach(bench, 1, number(7, 1))
    found = errors(bench.turn()[1])
    assert found[number(1, 1)].code == "OptionError" and "qfw daemon start" in found[number(1, 1)].message
    assert found[number(7, 1)].code == "UnknownTask" and "private" in found[number(7, 1)].message
    assert bench.core.state.tasks == {} and list(read(bench.folder))[-1:] != []
    bench.dispose()


def test_an_expired_result_is_told_from_one_that_never_was(tmp_path: Path, wall: Wall) -> None:
    bench = started(tmp_path, wall, Settings(results=ResultSettings(retain_s=60.0)))
    bench.open(1)
    bench.ready("fake/1")
    run_one(bench, 1, 1, options=keyed("k"))
    bench.turn()
    wall.now_ns += 61 * 10**9
    attach(bench, 1, number(1, 1), number(1, 2))
    found = errors(bench.turn()[1])
    assert found[number(1, 1)].code == "ResultExpired" and "results.retain_s" in found[number(1, 1)].message
    assert found[number(1, 2)].code == "UnknownTask"
    # With the result goes its key.
    run_one(bench, 1, 2, options=keyed("k"))
    assert answers(bench.turn()[1]) == {number(1, 2): b"a"}
    bench.dispose()


def test_a_damaged_result_is_an_error_of_its_own(bench: Bench, tmp_path: Path) -> None:
    bench.open(1)
    bench.ready("fake/1")
    for sequence in (1, 2, 3):
        run_one(bench, 1, sequence)
    bench.turn()
    path = path_of(tmp_path / "results", number(1, 1))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    path_of(tmp_path / "results", number(1, 2)).unlink()
    attach(bench, 1, number(1, 1), number(1, 2), number(1, 3))
    messages = bench.turn()[1]
    assert {task: error.code for task, error in errors(messages).items()} == {
        number(1, 1): "ResultDamaged",
        number(1, 2): "ResultExpired",
    }
    assert answers(messages) == {number(1, 3): b"a"}
    counts = bench.core._listing.counters().counts
    assert (counts["results_kept"], counts["results_damaged"], counts["results_not_kept"]) == (2, 1, 0)


def test_a_result_that_cannot_be_kept_is_an_error_for_those_who_attach(tmp_path: Path, wall: Wall) -> None:
    bench = started(tmp_path, wall, Settings(results=ResultSettings(retain_bytes=0)))
    bench.open(1)
    bench.open(2)
    bench.ready("fake/1")
    bench.submit(1, 1, options=keyed("k"))
    attach(bench, 2, number(1, 1))
    bench.turn()
    bench.answer("fake/1")
    said = bench.turn()
    # Who submitted it and stayed has it.
    assert answers(said[1]) == {number(1, 1): b"a"}
    assert errors(said[2])[number(1, 1)].code == "NoCapacity"
    attach(bench, 2, number(1, 1))
    assert "cannot be kept" in errors(bench.turn()[2])[number(1, 1)].message
    assert bench.core._listing.counters().counts["results_not_kept"] == 1
    # Its key is free: whoever sends it again has it run again.
    run_one(bench, 1, 2, options=keyed("k"))
    assert answers(bench.turn()[1]) == {number(1, 2): b"a"}
    bench.dispose()


def test_a_later_daemon_knows_results_keys_and_what_was_interrupted(tmp_path: Path, wall: Wall) -> None:
    first = started(tmp_path, wall)
    first.open(1)
    first.ready("fake/1")
    run_one(first, 1, 1, options=keyed("k"))
    first.submit(1, 2, options=DETACHED)
    first.turn()
    # It is killed.
    second = started(tmp_path, wall)
    second.open(2)
    attach(second, 2, number(1, 1), number(1, 2))
    second.submit(2, 1, options=keyed("k"))
    messages = second.turn()[2]
    assert answers(messages) == {number(1, 1): b"a", number(2, 1): b"a"}
    assert [m.tasks for m in messages if isinstance(m, Known)] == [[(number(2, 1), number(1, 1))]]
    report = errors(messages)[number(1, 2)]
    assert report.code == "TaskInterrupted" and "qfw squeue --journal" in report.message
    assert second.core.state.tasks == {}
    for bench in (first, second):
        bench.dispose()


def test_a_key_stands_for_the_earlier_task_of_whatever_session(bench: Bench) -> None:
    bench.open(1)
    bench.open(2)
    bench.open(3, uid=9)
    bench.ready("fake/1")
    bench.submit(1, 1, options=keyed("k"))
    bench.submit(2, 1, options=keyed("k"))
    bench.submit(2, 1, options=keyed("k"))
    bench.submit(3, 1, options=keyed("k"))
    said = bench.turn()
    assert [m.tasks for m in said[2] if isinstance(m, Known)] == [[(number(2, 1), number(1, 1))]]
    bench.close(1)
    assert bench.answer("fake/1") == number(1, 1)
    messages = bench.turn()[2]
    assert answers(messages) == {number(2, 1): b"a"}
    (followed,) = next(m for m in messages if isinstance(m, Attached)).tasks
    assert (followed.asked, followed.quantum.number) == (number(2, 1), number(1, 1))
    # Kept: at once. Another user's key is another key.
    bench.submit(2, 2, options=keyed("k"))
    assert answers(bench.turn()[2]) == {number(2, 2): b"a"}
    accepted = [event.task.number for event in read(bench.folder) if isinstance(event, TaskAccepted)]
    assert accepted == [number(1, 1), number(3, 1)]


@pytest.mark.parametrize(
    "changes",
    [{"seed": 2}, {"parameters": b"\0" * 8}, {"shots": 5}, {"first_set": 1}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_key_with_another_content_is_refused(bench: Bench, changes: dict[str, Any]) -> None:
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, 1, options=keyed("k"))
    bench.submit(1, 2, options=keyed("k"), **changes)
    bench.submit(1, 3, options=TaskOptions(detached=True, idempotency_key="k", priority=3))
    messages = bench.turn()[1]
    report = errors(messages)[number(1, 2)]
    assert report.code == "OptionError" and "task 1.1" in report.message
    assert [m.tasks for m in messages if isinstance(m, Known)] == [[(number(1, 3), number(1, 1))]]
    bench.answer("fake/1")
    bench.turn()
    bench.submit(1, 4, options=keyed("k"), **changes)
    assert errors(bench.turn()[1])[number(1, 4)].code == "OptionError"


def test_a_key_whose_task_was_cancelled_by_its_new_number(bench: Bench) -> None:
    bench.open(1)
    other = bench.open(2)
    bench.submit(1, 1, options=keyed("k"))
    bench.submit(2, 1, options=keyed("k"))
    bench.turn()
    bench.core.request(other, Cancel([number(2, 1)]))
    said = bench.turn()
    assert errors(said[1])[number(1, 1)].code == "TaskCancelled"
    assert errors(said[2])[number(2, 1)].code == "TaskCancelled"


def test_keys_of_tasks_that_are_not_detached_are_their_streams(bench: Bench) -> None:
    bench.open(1)
    for sequence in (1, 2):
        bench.submit(1, sequence, options=TaskOptions(idempotency_key="k"))
    bench.turn()
    assert len(bench.core.state.tasks) == 2


def test_attachments_are_bounded_and_leave_with_their_session(bench: Bench) -> None:
    bench.open(1)
    bench.open(2)
    bench.submit(1, *range(1, 51), options=DETACHED)
    bench.turn()
    bench.submit(2, 1)
    attach(bench, 2, *(number(1, sequence) for sequence in range(1, 51)))
    refused = errors(bench.turn()[2])
    assert {task: error.code for task, error in refused.items()} == {number(1, 50): "NoCapacity"}
    # And so are the detached tasks of a user, however many sessions submit them.
    bench.open(3)
    bench.submit(3, 1, options=DETACHED)
    assert errors(bench.turn()[3])[number(3, 1)].code == "NoCapacity"
    handles = bench.core._handles
    bench.close(2)
    assert not handles._asked and not handles._watchers and not handles._due
    bench.close(1)
    bench.turn()
    assert len(bench.core.state.tasks) == 50


def test_an_observer_attaches_to_nothing(bench: Bench) -> None:
    peer = bench.open(1)
    peer.session = 0
    attach(bench, 1, number(1, 1))
    assert errors(bench.turn()[1])[number(1, 1)].code == "NotAllowed"
    peer.session = 1


def test_who_does_not_read_is_not_given_more(bench: Bench) -> None:
    peer = bench.open(1)
    bench.ready("fake/1")
    for sequence in range(1, 4):
        run_one(bench, 1, sequence)
    bench.turn()
    peer.held = True
    attach(bench, 1, *(number(1, sequence) for sequence in range(1, 4)))
    assert bench.turn() == {} and not bench.core.behind
    peer.held = False
    assert bench.core.behind
    assert len(answers(bench.turn()[1])) == 3 and not bench.core.behind


def test_many_attachments_are_answered_over_several_turns_one_session_after_the_other(
    tmp_path: Path, wall: Wall
) -> None:
    bench = started(tmp_path, wall, Settings())
    bench.open(1)
    bench.ready("fake/1")
    bench.submit(1, *range(1, 1001), options=DETACHED)
    while bench.core.state.tasks:
        bench.turn()
        while bench.given("fake/1"):
            bench.answer("fake/1")
    bench.open(2)
    bench.open(3)
    for session in (2, 3):
        attach(bench, session, *(number(1, sequence) for sequence in range(1, 1001)))
    found: dict[int, int] = {2: 0, 3: 0}
    turns = 0
    while bench.core.behind:
        turns += 1
        for session, messages in bench.turn().items():
            if session in found:
                found[session] += len(answers(messages))
        assert abs(found[2] - found[3]) <= 128
    assert found == {2: 1000, 3: 1000} and turns == -(-2000 // 128)
    bench.dispose()


def test_a_detached_task_is_marked_in_listings(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, 1, options=DETACHED)
    bench.submit(1, 2)
    bench.turn()
    rows: list[TaskRow] = task_rows(bench.core.state, 0)
    assert [(row.task, row.detached) for row in rows] == [("1.1", True), ("1.2", False)]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_every_asker_is_answered_once_and_alike(
    tmp_path: Path, wall: Wall, seed: int
) -> None:
    """Random sessions, keys, ends, cancellations and leavings; each task runs once, whoever asks for it."""
    draw = random.Random(seed)
    bench = started(tmp_path, wall, Settings())
    bench.ready("fake/1")
    said: dict[int, dict[int, str]] = {}
    asked: dict[int, dict[int, int]] = {}
    sequences: dict[int, int] = {}
    keys: dict[str, int] = {}
    ended: dict[int, str] = {}
    known: list[int] = []
    session = 0

    def turn() -> None:
        for at, messages in bench.turn().items():
            found = dict.fromkeys(answers(messages), "done")
            found |= {task: error.code for task, error in errors(messages).items()}
            for task, what in found.items():
                assert task not in said.setdefault(at, {}), "answered twice"
                said[at][task] = what

    for _ in range(200):
        open_sessions = list(bench.clients)
        match draw.choice(["open", "submit", "submit", "key", "attach", "answer", "fail", "cancel", "close"]):
            case "open":
                session += 1
                bench.open(session)
                asked[session], sequences[session] = {}, 0
            case "submit" | "key" as what if open_sessions:
                at = draw.choice(open_sessions)
                sequences[at] += 1
                made = task_number(at, sequences[at])
                key = draw.choice("abc") if what == "key" else ""
                bench.submit(at, sequences[at], options=keyed(key))
                source = keys.setdefault(key, made) if key else made
                asked[at][made] = source
                known.append(source)
            case "attach" if open_sessions and known:
                at, wanted = draw.choice(open_sessions), draw.choice(known)
                if wanted not in asked[at]:
                    asked[at][wanted] = wanted
                    attach(bench, at, wanted)
            case "answer" if bench.given("fake/1"):
                ended.setdefault(bench.answer("fake/1"), "done")
            case "fail" if bench.given("fake/1"):
                ended.setdefault(bench.answer("fake/1", error=ErrorReport("TooLarge", "no")), "TooLarge")
            case "cancel" if open_sessions and known:
                wanted = draw.choice(known)
                peer: Peer = bench.clients[draw.choice(open_sessions)][0]
                if wanted not in ended:
                    ended[wanted] = "TaskCancelled"
                    bench.core.request(peer, Cancel([wanted]))
            case "close" if open_sessions and draw.random() < 0.5:
                bench.close(draw.choice(open_sessions))
        turn()
    while bench.core.state.tasks:
        if bench.given("fake/1"):
            ended.setdefault(bench.answer("fake/1"), "done")
        turn()
    for at in bench.clients:
        assert said.get(at, {}) == {number: ended[source] for number, source in asked[at].items()}
    accepted = [event.task.number for event in read(bench.folder) if isinstance(event, TaskAccepted)]
    assert sorted(accepted) == sorted(set(known)) and bench.replayed() == bench.core.state
    handles = bench.core._handles
    assert not (handles._asked or handles._watchers or handles._due or handles._live or handles._usage)
    bench.dispose()
