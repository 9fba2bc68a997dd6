"""Kills: of workers while they run, of the daemon while it holds tasks; and fairness seen in the journal."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path

import pytest

from qfw.config.runtime import journal_dir
from qfw.model.errors import DaemonLost
from qfw.model.events import TaskAccepted, TaskDone, TaskRequeued, TaskStarted
from qfw.model.task import task_name, task_session
from qfw.qpi import QStream, Request, Session, TaskFuture
from qfw.qpm import journal
from qfw.qpm.wire import Accepted, Done, Failed, StoreProgram, Submit
from qfw.qpmd.rows import task_rows
from qfw.qpmd.state import DaemonState
from tests.stack import (
    LIMIT_S,
    SHORT,
    Z0,
    RawClient,
    cosine_is_right,
    events_of,
    is_alive,
    long_program,
    quantum_task,
    runtime_folder,
    until,
)

#: 20 ms or more on a free core: mostly longer than it takes to see that it began, and never surely so.
LONG = long_program(gates=48)
#: Runs for seconds: no test waits for its answer.
VERY_LONG = long_program(gates=20_000)
#: Tasks are given up after five lost workers: the kills leave each of them a good distance from that.
MOST_KILLS_OF_A_TASK = 2


@pytest.fixture
def folder() -> Iterator[Path]:
    with runtime_folder() as made:
        (made / "settings.toml").write_text('engines = ["reference"]\nworkers.count = 2\n')
        yield made


def open_session(folder: Path) -> Session:
    return Session(runtime_folder=folder, config=folder / "settings.toml")


class Prey:
    """Long tasks among a session's others, as many as the kills need."""

    def __init__(self, folder: Path, stream: QStream, futures: Sequence[TaskFuture]) -> None:
        """`futures`: long tasks that are on their way."""
        self._folder, self._stream = folder, stream
        self._open = {future.task.number for future in futures}
        #: Those that had to be added, all of angle 0.5: who sees late finds the others answered already.
        self.added: list[TaskFuture] = []

    def running(self, killed: Counter[int], interrupted: Counter[int]) -> TaskStarted | None:
        """The last start of a long task that has not ended, on a worker that still lives."""
        live: dict[int, TaskStarted] = {}
        for event in events_of(self._folder):
            if isinstance(event, TaskStarted) and event.task in self._open:
                live[event.task] = event
            elif isinstance(event, TaskDone | TaskRequeued):
                live.pop(event.task, None)
                if isinstance(event, TaskDone):
                    self._open.discard(event.task)
        if all(interrupted[task] >= MOST_KILLS_OF_A_TASK for task in self._open):
            more = self._stream.run_many([Request(LONG, [0.5], outputs=Z0)] * 10)
            self.added += more
            self._open.update(future.task.number for future in more)
        found = [
            event
            for event in live.values()
            if not killed[event.worker_pid] and interrupted[event.task] < MOST_KILLS_OF_A_TASK
        ]
        return found[-1] if found else None


def test_ten_kills_of_workers_under_a_thousand_tasks(folder: Path) -> None:
    with open_session(folder) as session:
        stream = session.device().stream()
        angles = [n / 1000 for n in range(1000)]
        # Every 25th is long: the kills hit these, among the short ones.
        requests = [
            Request(LONG if n % 25 == 0 else SHORT, [angle], outputs=Z0) for n, angle in enumerate(angles)
        ]
        told: list[int] = []
        futures = stream.run_many(requests)
        for future in futures:
            future.add_done_callback(lambda future: told.append(future.task.number))  # type: ignore[attr-defined]
        prey = Prey(folder, stream, futures[::25])
        killed: Counter[int] = Counter()
        interrupted: Counter[int] = Counter()
        while len(killed) < 10:
            start = until(lambda: prey.running(killed, interrupted), "a long task runs")
            os.kill(start.worker_pid, signal.SIGKILL)
            killed[start.worker_pid] += 1
            interrupted[start.task] += 1
        for future, angle in zip(futures, angles, strict=True):
            assert cosine_is_right(future.result(LIMIT_S), angle)
        assert all(cosine_is_right(future.result(LIMIT_S), 0.5) for future in prey.added)
        until(lambda: len(told) == 1000)
        assert sorted(told) == sorted(future.task.number for future in futures)
        answered = [*told, *(future.task.number for future in prey.added)]
    events = events_of(folder)
    done = [event.task for event in events if isinstance(event, TaskDone)]
    assert sorted(done) == sorted(answered), "each is answered once"
    requeued = {event.task for event in events if isinstance(event, TaskRequeued)}
    assert requeued & interrupted.keys()
    assert not any(is_alive(pid) for pid in killed)


def test_a_killed_daemon_has_every_acknowledged_task_in_its_journal(folder: Path) -> None:
    with open_session(folder) as session, RawClient(folder) as client:
        tasks = [quantum_task(client.session, n, LONG, device="reference") for n in range(1, 1001)]
        client.send(StoreProgram(LONG.encoded))
        acknowledged: set[int] = set()
        answered: set[int] = set()
        lost = threading.Event()

        def listen() -> None:
            try:
                while True:
                    message = client.receive()
                    match message:
                        case Accepted():
                            acknowledged.update(message.tasks)
                        case Done():
                            answered.update(answer.task for answer in message.answers)
                        case Failed():
                            answered.update(task for task, _ in message.errors)
            except EOFError:
                lost.set()

        listener = threading.Thread(target=listen)
        listener.start()
        future = session.device().stream().run(SHORT, [0.5], outputs=Z0)
        for first in range(0, 1000, 50):
            client.send(Submit(tasks[first : first + 50]))
            if first == 500:
                until(lambda: len(acknowledged) > 200 and answered)
        # Within the traffic: what was sent last may be acknowledged or not.
        os.kill(session.client.welcome.pid, signal.SIGKILL)
        assert lost.wait(LIMIT_S)
        listener.join()
        wait([future], LIMIT_S, return_when=FIRST_COMPLETED)
        assert future.done()
        with pytest.raises(DaemonLost, match="squeue --journal"):
            session.device().stream().run(SHORT, [0.5]).result(LIMIT_S)
    state = DaemonState.replay(journal.read(journal_dir(folder)))
    assert len(acknowledged) > 200 and answered
    assert acknowledged - answered <= state.tasks.keys()
    # What was answered just before the end may be listed as live only if the answer is not journalled: never.
    assert not answered & state.tasks.keys()
    rows = {row.task: row for row in task_rows(state, 0)}
    assert {task_name(number) for number in acknowledged - answered} <= rows.keys()
    # The next daemon's life does not hide them.
    with open_session(folder) as session:
        assert session.device().stream().run(SHORT, [0.5], outputs=Z0).result(LIMIT_S)
    after = DaemonState.replay(journal.read(journal_dir(folder)))
    assert acknowledged - answered <= after.tasks.keys()


def test_kills_of_daemons_one_after_the_other(folder: Path) -> None:
    """Each time all futures fail at once, and the next session works."""
    for _ in range(5):
        with open_session(folder) as session:
            stream = session.device().stream()
            first = stream.run(SHORT, [0.5], outputs=Z0)
            assert cosine_is_right(first.result(LIMIT_S), 0.5)
            futures = stream.run_many([Request(LONG, [0.5], outputs=Z0)] * 100)
            futures += [stream.run(VERY_LONG, [0.5], outputs=Z0)]
            os.kill(session.client.welcome.pid, signal.SIGKILL)
            kinds = {type(future.exception(LIMIT_S)) for future in futures}
            assert kinds <= {DaemonLost, type(None)} and DaemonLost in kinds


def test_one_at_a_time_beside_ten_thousand(folder: Path) -> None:
    """Never more than twice the number of workers start between its acceptance and its start."""
    with open_session(folder) as crowd, open_session(folder) as single:
        # The last ones are long: the crowd is there until the single ones are through, on a slow machine too.
        requests = [Request(SHORT, [0.5], outputs=Z0)] * 10_000 + [Request(VERY_LONG, [0.5], outputs=Z0)] * 2
        many = crowd.device().stream().run_many(requests)
        stream = single.device().stream()
        for n in range(100):
            # Now and then one that is far longer than the others.
            program = LONG if n % 20 == 10 else SHORT
            assert cosine_is_right(stream.run(program, [n / 100], outputs=Z0).result(LIMIT_S), n / 100)
        assert not many[-1].done()
        slots = single.device().profile.slots
        number = single.client.welcome.session
    starts, accepted, passed = 0, {}, []
    for event in events_of(folder):
        if isinstance(event, TaskAccepted) and task_session(event.task.number) == number:
            accepted[event.task.number] = starts
        elif isinstance(event, TaskStarted):
            if event.task in accepted:
                passed.append(starts - accepted[event.task])
            else:
                starts += 1
    assert len(passed) == 100 and max(passed) <= 2 * slots
