"""Real workers under real limits, with an engine that sleeps, eats, crashes and lies."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qfw.config.settings import WorkerSettings
from qfw.model.errors import (
    ConfigError,
    DeadlineExceeded,
    InternalError,
    NoCapacity,
    OutOfMemory,
    TooLarge,
    WorkerLost,
)
from qfw.model.events import TaskRequeued, TaskStarted, WorkerReady
from qfw.model.events import WorkerLost as WorkerLostEvent
from qfw.model.outputs import Output, Probabilities, Statevector, encode_outputs
from qfw.model.program import Gate, Program, slot
from qfw.model.result import Result
from qfw.model.task import TaskOptions
from qfw.model.timeline import Timeline
from qfw.processes.backoff import retry_s
from qfw.qpi import QStream, Request, Session, TaskFuture
from qfw.qpm import wire
from qfw.qpm.remote import Observer
from qfw.simenv.capacity import share
from tests.stack import (
    LIMIT_S,
    SHORT,
    Z0,
    RawClient,
    cosine_is_right,
    events_of,
    is_alive,
    memory_maps,
    open_fds,
    quantum_task,
    runtime_folder,
    until,
)

PLUGINS = Path(__file__).parents[1] / "plugins"
ANSWER, SLEEP, EAT, DIE, RAISE, BABBLE, READY_AGAIN, LIE, ENDLESS, FORGET, ABORT = range(11)
FALSE_MEMORY = {
    "empty": 11,
    "not sealed": 12,
    "not sealed for writing": 13,
    "too large": 14,
    "a device": 15,
    "two descriptors": 16,
    "very many": 17,
    "announced, and came without": 18,
    "not announced": 19,
    "answers in the frame too": 20,
    "not with answers": 21,
    "cut short": 22,
}
NO_ANSWERS = 23
STRANGE = Program(1, 0, 2, (Gate("ry", (0,), (slot(0),)), Gate("ry", (0,), (slot(1),))))
NEVER_S = 1000.0


def do(stream: QStream, what: int, value: float = 0.0, **options: object) -> TaskFuture:
    return stream.run(STRANGE, [what, value], outputs=Z0, options=TaskOptions(**options))  # type: ignore[arg-type]


def answers(future: TaskFuture, value: float) -> bool:
    return future.result(LIMIT_S).expectation_values[0, 0] == value


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of daemons that have the strange engines installed."""
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    with runtime_folder() as made:
        yield made


def open_session(folder: Path, workers: str = "count = 2\nmax_attempts = 2", top: str = "") -> Session:
    config = folder / "settings.toml"
    config.write_text(f"{top}\n[workers]\n{workers}\n")
    return Session(runtime_folder=folder, config=config)


@pytest.fixture
def stream(folder: Path) -> Iterator[QStream]:
    with open_session(folder) as session:
        yield session.device("strange").stream()


def workers_of(folder: Path) -> dict[str, int]:
    """Pids of the workers that are there, as the journal says."""
    found: dict[str, int] = {}
    for event in events_of(folder):
        if isinstance(event, WorkerReady):
            found[event.worker] = event.pid
        elif isinstance(event, WorkerLostEvent):
            found.pop(event.worker, None)
    return found


def test_a_strangers_engine_is_a_device(stream: QStream) -> None:
    assert stream.device.profile.engine == "strange"
    assert answers(do(stream, ANSWER, 7.0), 7.0)


def test_a_deadline_ends_the_run_and_no_other(stream: QStream, folder: Path) -> None:
    late = do(stream, SLEEP, NEVER_S, time_limit_s=0.1)
    others = [do(stream, ANSWER, float(n)) for n in range(20)]
    with pytest.raises(DeadlineExceeded, match=r"limit of 0\.1 s.*time_limit_s"):
        late.result(LIMIT_S)
    assert all(answers(future, float(n)) for n, future in enumerate(others))
    requeued = [event for event in events_of(folder) if isinstance(event, TaskRequeued)]
    # What waited behind it in its worker had not begun.
    assert not any(event.interrupted for event in requeued)


def test_a_deadline_behind_others_counts_from_its_own_begin(stream: QStream) -> None:
    """Given ahead: what it waits for in the worker is not its own time."""
    stream.run(STRANGE, [ANSWER, 0], outputs=Z0).result(LIMIT_S)
    first = [do(stream, SLEEP, 0.1) for _ in range(8)]
    timed = [do(stream, ANSWER, 1.0, time_limit_s=0.25) for _ in range(4)]
    assert all(answers(future, 1.0) for future in timed)
    assert all(answers(future, 0.1) for future in first)


def test_the_daemons_limit_holds_whatever_was_asked(folder: Path) -> None:
    with open_session(folder, "count = 1\ntime_limit_s = 0.2") as session:
        stream = session.device("strange").stream()
        with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
            do(stream, SLEEP, NEVER_S, time_limit_s=1e9).result(LIMIT_S)


def test_memory_limit_is_a_typed_error_and_the_worker_lives(stream: QStream) -> None:
    pids = {do(stream, ANSWER).result(LIMIT_S).timeline.worker_pid for _ in range(1)}
    with pytest.raises(OutOfMemory, match=r"workers\.memory_bytes"):
        do(stream, EAT, 10e6).result(LIMIT_S)
    assert answers(do(stream, EAT, 10.0), 10.0)
    assert all(is_alive(pid) for pid in pids)


def test_too_little_memory_for_an_engine_is_said(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"workers\.memory_bytes is 20000000; .* 600 MiB .*or more"):
        open_session(folder, "count = 2\nmemory_bytes = 20_000_000")


GIB = 2**30


@pytest.mark.parametrize(
    ("cores", "memory", "count"),
    [
        (64, 24 * GIB, 22),
        (2, 24 * GIB, 2),
        (1, 24 * GIB, 1),
        (8, GIB, 1),
        (1, 1000, 1),
        (256, 1024 * GIB, 256),
    ],
)
def test_automatic_workers_have_room_for_tasks(cores: int, memory: int, count: int) -> None:
    found, each = share(WorkerSettings(), cores, memory)
    assert found == count and each == int(0.8 * memory / count)


def test_more_workers_than_memory_suffices_for_are_refused_with_figures() -> None:
    with pytest.raises(
        ConfigError, match=r"count is 64, .*307\.2 MiB .*of 24 GiB.*600 MiB.*Give 32 or fewer"
    ):
        share(WorkerSettings(count=64), 64, 24 * GIB)
    assert share(WorkerSettings(count=32), 64, 24 * GIB)[0] == 32
    # Who states the limit of each is believed: it is a limit, and nothing that is taken at once.
    assert share(WorkerSettings(count=64, memory_bytes=GIB), 64, 24 * GIB) == (64, GIB)


def test_failed_starts_wait_longer_and_not_for_ever() -> None:
    waits = [retry_s(failed) for failed in range(1, 2000)]
    assert waits[:3] == [0.2, 0.8, 3.2] and waits == sorted(waits) and waits[-1] == 30.0


def test_too_wide_for_a_worker_is_refused_before_anything_runs(stream: QStream, folder: Path) -> None:
    reference = stream.device.session.device("reference")
    with pytest.raises(TooLarge, match=r"needs 900000 qubits.*holds \d+.*workers\.memory_bytes"):
        reference.stream().run(Program(900_000, 0, 0, (Gate("h", (0,)),)), shots=10).result(LIMIT_S)
    assert workers_of(folder) == {}


@pytest.mark.parametrize("how", [DIE, ABORT])
def test_a_task_that_kills_its_workers_is_given_up(stream: QStream, folder: Path, how: int) -> None:
    killer = do(stream, how)
    others = [do(stream, ANSWER, float(n)) for n in range(50)]
    with pytest.raises(WorkerLost, match=r"2 workers died under task .*max_attempts"):
        killer.result(LIMIT_S)
    assert all(answers(future, float(n)) for n, future in enumerate(others))
    until(lambda: len(workers_of(folder)) == 2, "both workers are replaced")


def test_a_foreign_error_says_what_it_was(stream: QStream) -> None:
    with pytest.raises(InternalError, match="ZeroDivisionError"):
        do(stream, RAISE).result(LIMIT_S)


@pytest.mark.parametrize("how", [BABBLE, ENDLESS, READY_AGAIN])
def test_a_worker_that_breaks_the_protocol_is_ended(stream: QStream, folder: Path, how: int) -> None:
    liar = do(stream, how)
    with pytest.raises(WorkerLost):
        liar.result(LIMIT_S)
    assert answers(do(stream, ANSWER, 3.0), 3.0)
    # A worker that was counted twice would have been given two long tasks at once.
    until(lambda: len(workers_of(folder)) == 2)


def test_a_worker_cannot_answer_for_another(folder: Path) -> None:
    with open_session(folder) as session, open_session(folder) as liars:
        stream = session.device("strange").stream()
        victim = do(stream, SLEEP, 0.4)
        until(lambda: any(isinstance(event, TaskStarted) for event in events_of(folder)))
        lie = do(liars.device("strange").stream(), LIE, float(victim.task.number))
        assert lie.result(LIMIT_S) and answers(victim, 0.4)
        with Observer(folder) as observer:
            assert observer.counters().counts["late_answers"] == 1


def test_a_worker_that_forgets_is_told_again(stream: QStream) -> None:
    """It may ask for the program of any run: it gets that, or nothing."""
    assert do(stream, FORGET, 1e6).result(LIMIT_S)
    assert answers(do(stream, ANSWER, 3.0), 3.0)


def test_killed_workers_are_replaced_and_their_tasks_run_again(folder: Path) -> None:
    with open_session(folder, "count = 2") as session:
        stream = session.device("strange").stream()
        # A second of work: both workers are up, and killed, before it is over.
        futures = [do(stream, SLEEP, 0.02) for _ in range(100)]
        until(lambda: len(workers_of(folder)) == 2)
        before = workers_of(folder)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        assert all(answers(future, 0.02) for future in futures)
        until(lambda: len(workers_of(folder)) == 2 and not set(before) & set(workers_of(folder)))
        assert not any(is_alive(pid) for pid in before.values())


def test_cancelling_what_was_given_ahead_and_is_long(stream: QStream, folder: Path) -> None:
    """Behind another in its worker when it is cancelled: it is ended when its turn comes."""
    first = do(stream, SLEEP, 0.3)
    behind = [do(stream, SLEEP, NEVER_S) for _ in range(4)]
    assert all(future.cancel() for future in behind)
    assert answers(first, 0.3)
    assert answers(do(stream, ANSWER, 1.0), 1.0)


def test_an_engine_that_cannot_start_takes_its_device_offline(stream: QStream, folder: Path) -> None:
    """And says why; the other devices go on; the next task tries it again."""
    stillborn = stream.device.session.device("stillborn").stream()
    futures = stillborn.run_many([Request(STRANGE, [0, 0], outputs=Z0)] * 5)
    for future in futures:
        with pytest.raises(NoCapacity, match="no device found at 0x0"):
            future.result(LIMIT_S)
    with Observer(folder) as observer:
        status = {status.profile.name: status for status in observer.devices()}
    assert status["stillborn"].state == "offline" and "0x0" in status["stillborn"].reason
    assert status["strange"].state == "online"
    assert answers(do(stream, ANSWER, 1.0), 1.0)


def test_workers_have_the_threads_that_were_set(folder: Path) -> None:
    with open_session(folder, "count = 3\nthreads = 1\nwide_threads = 2") as session:
        stream = session.device("strange").stream()
        assert answers(do(stream, ANSWER, 1.0), 1.0)
        until(lambda: len(workers_of(folder)) == 3)
        for pid in workers_of(folder).values():
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            assert b"OMP_NUM_THREADS=1" in environment
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            assert {b"--threads=1", b"--wide-threads=2"} <= set(words)
            limits = Path(f"/proc/{pid}/limits").read_text()
            (line,) = [line for line in limits.splitlines() if line.startswith("Max data size")]
            assert "unlimited" not in line


def test_reference_in_the_same_daemon_is_right(stream: QStream) -> None:
    reference = stream.device.session.device("reference").stream()
    assert cosine_is_right(reference.run(SHORT, [0.75], outputs=Z0).result(LIMIT_S), 0.75)


# Large answers -----------------------------------------------------------------------------------------


def descriptors_of(stream: QStream) -> int:
    return open_fds(stream.device.session.client.welcome.pid)


@pytest.mark.parametrize("how", FALSE_MEMORY.values(), ids=FALSE_MEMORY.keys())
def test_a_worker_whose_memory_is_not_believed_is_ended(stream: QStream, folder: Path, how: int) -> None:
    """And nothing of what it sent stays open in the daemon."""
    assert answers(do(stream, ANSWER, 7.0), 7.0)
    until(lambda: len(workers_of(folder)) == 2)
    before = descriptors_of(stream)
    future = do(stream, how)
    # It names the task that it runs; the pool looks at what came with it first.
    with pytest.raises(WorkerLost, match="2 workers died"):
        future.result(LIMIT_S)
    assert answers(do(stream, ANSWER, 3.0), 3.0)
    until(lambda: len(workers_of(folder)) == 2, "both workers are replaced")
    until(lambda: descriptors_of(stream) == before, "the daemon has closed what came")


def test_memory_for_a_run_that_it_does_not_have_is_dropped(folder: Path) -> None:
    with open_session(folder) as session, open_session(folder) as liars:
        stream = session.device("strange").stream()
        victim = do(stream, SLEEP, 0.4)
        until(lambda: any(isinstance(event, TaskStarted) for event in events_of(folder)))
        lie = do(liars.device("strange").stream(), NO_ANSWERS, float(victim.task.number))
        assert lie.result(LIMIT_S) and answers(victim, 0.4)
        with Observer(folder) as observer:
            assert observer.counters().counts["late_answers"] == 1
        until(lambda: not memory_maps(session.client.welcome.pid), "the daemon has closed it")


MEBIBYTES = Program(2, 0, 2, (Gate("ry", (0,), (slot(0),)), Gate("ry", (0,), (slot(1),))))
LARGE: tuple[Output, ...] = (Probabilities(), Statevector())


def large_is_right(result: Result, mebibytes: float, value: float) -> bool:
    count = int(mebibytes * 2**20)
    assert result.probabilities.shape == (1, count // 8) and result.statevector.shape == (1, count // 16)
    return bool((result.probabilities == value).all() and (result.statevector == value).all())


@pytest.mark.parametrize("launcher", ["local", "plain"])
@pytest.mark.parametrize("descriptors", [True, False])
@pytest.mark.parametrize("mebibytes", [0.25, 0.5, 0.501, 3.0])
def test_large_answers_are_right_by_every_way(
    folder: Path, launcher: str, descriptors: bool, mebibytes: float
) -> None:
    """From a worker with or without descriptors to a client with or without."""
    with open_session(folder, f'count = 1\nlauncher = "{launcher}"') as session:
        hello = wire.Hello(wire.WIRE_VERSION, "1", os.getpid(), "raw", wire.SESSION, descriptors)
        with RawClient(folder, hello) as raw:
            task = quantum_task(
                raw.session,
                1,
                MEBIBYTES,
                device="large",
                outputs=encode_outputs(LARGE),
                parameters=np.array([mebibytes, 5.0]).tobytes(),
            )
            raw.send(wire.StoreProgram(MEBIBYTES.encoded), wire.Submit([task]))
            message = until(lambda: isinstance(found := raw.receive(), wire.Done) and found)
            (answer,) = message.answers
            seen = Timeline(*[0] * 12)
            assert large_is_right(Result(1, "large", answer.answers, 1, seen), mebibytes, 5.0)
            assert raw.parcels == (descriptors and launcher == "local" and mebibytes > 0.5)
        stream = session.device("large").stream()
        result = stream.run(MEBIBYTES, [mebibytes, 7.0], outputs=LARGE).result(LIMIT_S)
        assert large_is_right(result, mebibytes, 7.0)
        assert bool(memory_maps()) == (launcher == "local" and mebibytes > 0.5)
        pids = session.client.welcome.pid, result.timeline.worker_pid
        until(lambda: not any(map(memory_maps, pids)), "neither daemon nor worker keeps it")


def test_killed_workers_and_large_answers(folder: Path) -> None:
    """Kills all along: each task is answered, rightly, and nothing is left of what was on its way."""
    with open_session(folder, "count = 2\nmax_attempts = 1000") as session:
        stream = session.device("large").stream()
        futures: list[TaskFuture] = []
        killed: set[int] = set()
        for _ in range(12):
            more = [stream.run(MEBIBYTES, [4.0, float(len(futures) + n)], outputs=LARGE) for n in range(6)]
            futures += more
            more[-1].add_done_callback(lambda _: None)
            numbers = {future.task.number for future in more}
            pid = until(lambda numbers=numbers: started_on(folder, numbers) - killed).pop()
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        for n, future in enumerate(futures):
            assert large_is_right(future.result(LIMIT_S), 4.0, float(n))
        until(lambda: len(workers_of(folder)) == 2)
        daemon = session.client.welcome.pid
        until(lambda: not memory_maps(daemon), "the daemon holds nothing")
        futures.clear()
        more.clear()
        del future
        until(lambda: gc.collect() or not memory_maps(), "nor does the client")


def started_on(folder: Path, tasks: set[int]) -> set[int]:
    """Pids of the workers on which any of these tasks began."""
    return {e.worker_pid for e in events_of(folder) if isinstance(e, TaskStarted) and e.task in tasks}
