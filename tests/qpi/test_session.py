"""Sessions: processes that share a daemon, ends in order and out of order, interruptions, forks."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from qfw.config.runtime import socket_path
from qfw.model.errors import DaemonLost, OptionError, ProgramError, TooLarge, UsageError
from qfw.model.events import DaemonStarted, SessionClosed, TaskAccepted, TaskCancelled, TaskStarted
from qfw.model.program import Gate, Program
from qfw.model.result import Result, Timeline
from qfw.model.task import TaskOptions
from qfw.qpi import QStream, Request, Session
from qfw.qpi.future import TaskFuture
from qfw.qpm.remote import Observer
from tests.stack import (
    LIMIT_S,
    SHORT,
    Z0,
    cosine_is_right,
    daemons_of,
    events_of,
    is_alive,
    long_program,
    until,
)

ROOT = Path(__file__).parents[2]

APPLICATION = """
import signal
# A shell's background job ignores Ctrl-C, and so would what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys
from pathlib import Path
from qfw.qpi import Session
from tests.stack import SHORT, Z0, cosine_is_right, long_program
folder = Path(sys.argv[1])
"""


def application(folder: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", APPLICATION + code, str(folder), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], limit_s: float = LIMIT_S) -> str:
    try:
        said, error = process.communicate("go\n", timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, error
    return said


def test_a_session_that_is_over_keeps_nothing_of_who_waited_for_it(folder: Path) -> None:
    """The error has the frames that it went through, and these the results that were there already."""
    with Session(runtime_folder=folder) as session:
        stream = session.device("reference").stream()
        future = stream.run(long_program(gates=2000), [0.5], outputs=Z0)

    def wait(future: TaskFuture) -> weakref.ref[Result]:
        held = Result(1, "reference", b"", 1, Timeline(*[0] * 12))
        with pytest.raises(UsageError, match="was closed before"):
            future.result(LIMIT_S)
        return weakref.ref(held)

    held = wait(future)
    del future
    gc.collect()
    assert held() is None
    with pytest.raises(UsageError, match="closed"):
        session.client.check()


def test_two_processes_share_a_daemon_and_the_last_one_ends_it(folder: Path) -> None:
    code = """
with Session(runtime_folder=folder) as session:
    print(session.client.welcome.pid, flush=True)
    sys.stdin.readline()
    assert cosine_is_right(session.device("reference").stream().run(SHORT, [0.5], outputs=Z0).result(50), 0.5)
"""
    first, second = (application(folder, code) for _ in range(2))
    assert first.stdout and second.stdout
    pids = {int(first.stdout.readline()), int(second.stdout.readline())}
    assert len(pids) == 1
    pid = pids.pop()
    assert is_alive(pid)
    finish(first)
    finish(second)
    until(lambda: not is_alive(pid), "the daemon ends with its last session")
    assert not socket_path(folder).exists()
    assert sum(isinstance(event, DaemonStarted) for event in events_of(folder)) == 1


def test_opening_and_closing_from_several_processes_never_fails(folder: Path) -> None:
    code = """
for _ in range(20):
    with Session(runtime_folder=folder) as session:
        assert session.client.welcome.session
"""
    for process in [application(folder, code) for _ in range(4)]:
        # Up to eighty daemons start and end, one after the other.
        finish(process, limit_s=100.0)
    closed = [event.session for event in events_of(folder) if isinstance(event, SessionClosed)]
    assert sorted(closed) == list(range(1, 81))


def test_threads_open_sessions_at_the_same_time(folder: Path) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(3):
                with Session(runtime_folder=folder) as session:
                    session.device("reference").stream().run(SHORT, [0.1], outputs=Z0).result(LIMIT_S)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.parametrize("protected", [True, False])
def test_ctrl_c_cancels_what_is_in_flight(folder: Path, protected: bool) -> None:
    code = """
session = Session(runtime_folder=folder)
def work():
    stream = session.device("reference").stream()
    futures = [stream.run(long_program(20000), [0.5], outputs=Z0) for _ in range(6)]
    print("running", flush=True)
    futures[-1].result()
if sys.argv[2] == "True":
    with session:
        work()
work()
"""
    with Session(runtime_folder=folder) as keeper:
        process = application(folder, code, str(protected))
        assert process.stdout and process.stdout.readline() == "running\n"
        until(lambda: any(isinstance(event, TaskStarted) for event in events_of(folder)))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT_S)
        assert process.returncode != 0 and "KeyboardInterrupt" in said
        with Observer(folder) as observer:
            until(lambda: not observer.tasks(), "all tasks are cancelled")
        accepted = sum(isinstance(event, TaskAccepted) for event in events_of(folder))
        cancelled = sum(isinstance(event, TaskCancelled) for event in events_of(folder))
        assert accepted == cancelled == 6
        future = keeper.device("reference").stream().run(SHORT, [0.5], outputs=Z0)
        assert cosine_is_right(future.result(LIMIT_S), 0.5)


def test_interrupted_waits_lose_no_answer(folder: Path) -> None:
    """As in a notebook: the cell is interrupted, the session goes on.

    Of hundreds of interruptions one may hit the moment between the kernel and us: then all that is open
    fails with an error that says so. Nothing hangs, nothing is wrong.
    """
    code = """
import os, signal, threading
session = Session(runtime_folder=folder)
stream = session.device("reference").stream()
futures = []
armed = False
interrupts = 0
def act(*_):
    global interrupts
    if armed:
        interrupts += 1
        raise KeyboardInterrupt
signal.signal(signal.SIGINT, act)
done = threading.Event()
def interrupt():
    while not done.wait(0.002):
        os.kill(os.getpid(), signal.SIGINT)
futures = [stream.run(SHORT, [n / 1000], outputs=Z0) for n in range(1500)]
thread = threading.Thread(target=interrupt)
thread.start()
while True:
    try:
        armed = True
        for future in futures:
            future.exception(50)
        armed = False
        break
    except KeyboardInterrupt:
        armed = False
done.set()
thread.join()
for n, future in enumerate(futures):
    error = future.exception(50)
    if error is None:
        assert cosine_is_right(future.result(0), n / 1000)
    else:
        assert type(error).__name__ == "DaemonLost" and "interrupted" in str(error), error
session.close()
print("right")
"""
    assert finish(application(folder, code)) == "right\n"


def test_a_fork_is_told_to_open_its_own_session(stream: QStream, session: Session) -> None:
    future = stream.run(long_program(200), [0.5], outputs=Z0)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        kinds = []
        for act in (
            lambda: stream.run(SHORT, [0.5]),
            lambda: future.result(5),
            lambda: future.exception(5),
            lambda: future.cancel(),
            lambda: future.done(),
            lambda: future.add_done_callback(print),
        ):
            try:
                act()
                kinds.append("nothing")
            except BaseException as error:
                kinds.append(type(error).__name__)
        session.client.close()
        os.write(writer, json.dumps(kinds).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert json.load(said) == ["UsageError"] * 6
    os.waitpid(child, 0)
    assert cosine_is_right(future.result(LIMIT_S), 0.5)
    assert stream.run(SHORT, [0.5], outputs=Z0).result(LIMIT_S)


def test_a_forked_child_opens_its_own(session: Session, shared_folder: Path) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with Session(runtime_folder=shared_folder) as own:
                result = own.device("reference").stream().run(SHORT, [0.5], outputs=Z0).result(LIMIT_S)
                code = 0 if cosine_is_right(result, 0.5) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_closed_session(folder: Path) -> None:
    session = Session(runtime_folder=folder)
    stream = session.device("reference").stream()
    answered = stream.run(SHORT, [0.5], outputs=Z0)
    answered.result(LIMIT_S)
    futures = [stream.run(long_program(20_000), [0.5], outputs=Z0) for _ in range(4)]
    session.close()
    session.close()
    for future in futures:
        with pytest.raises(UsageError, match="closed"):
            future.result(LIMIT_S)
    assert cosine_is_right(answered.result(0), 0.5)
    with pytest.raises(UsageError, match="open a new one"):
        stream.run(SHORT, [0.5])
    with pytest.raises(UsageError):
        session.device("reference").stream().run(SHORT, [0.5])


@pytest.mark.parametrize("background", [True, False])
def test_closing_while_others_wait(folder: Path, background: bool) -> None:
    """They are told that the session was closed, not that the daemon is lost."""
    session = Session(runtime_folder=folder)
    stream = session.device("reference").stream()
    futures = [stream.run(long_program(20_000), [0.5], outputs=Z0) for _ in range(6)]
    if background:
        futures[0].add_done_callback(lambda _: None)
    kinds: list[type | None] = []

    def wait(future: Any) -> None:
        try:
            future.result(LIMIT_S)
            kinds.append(None)
        except BaseException as error:
            kinds.append(type(error))

    threads = [threading.Thread(target=wait, args=(future,)) for future in futures]
    for thread in threads:
        thread.start()
    until(lambda: len(session.client._readers._waiters) >= 5)
    session.close()
    for thread in threads:
        thread.join(LIMIT_S)
    assert kinds == [UsageError] * 6


def test_closing_in_a_callback(folder: Path) -> None:
    session = Session(runtime_folder=folder)
    stream = session.device("reference").stream()
    other = stream.run(long_program(20_000), [0.5], outputs=Z0)
    future = stream.run(SHORT, [0.5], outputs=Z0)
    future.add_done_callback(lambda _: session.close())
    with pytest.raises(UsageError):
        other.result(LIMIT_S)
    assert cosine_is_right(future.result(LIMIT_S), 0.5)


def test_a_program_that_ends_without_closing_leaves_nothing(folder: Path) -> None:
    code = """
session = Session(runtime_folder=folder)
future = session.device("reference").stream().run(long_program(20000), [0.5], outputs=Z0)
future.add_done_callback(lambda _: None)
print(session.client.welcome.pid)
"""
    pid = int(finish(application(folder, code)))
    until(lambda: not is_alive(pid))


def test_a_session_that_is_dropped_is_closed(folder: Path) -> None:
    session = Session(runtime_folder=folder)
    pid = session.client.welcome.pid
    del session
    gc.collect()
    until(lambda: not is_alive(pid))


def test_a_killed_daemon_fails_everything_at_once(folder: Path) -> None:
    """Those who wait, those with callbacks, those that nobody looks at, and what comes later."""
    with Session(runtime_folder=folder) as session:
        stream = session.device("reference").stream()
        futures = stream.run_many([Request(long_program(100), [0.5], outputs=Z0)] * 500)
        told = threading.Event()
        futures[-1].add_done_callback(lambda _: told.set())
        until(lambda: any(isinstance(event, TaskStarted) for event in events_of(folder)))
        os.kill(session.client.welcome.pid, signal.SIGKILL)
        with pytest.raises(DaemonLost, match=r"qfw squeue --journal .*/journal"):
            futures[-2].result(LIMIT_S)
        assert told.wait(LIMIT_S)
        for future in futures:
            assert future.done()
            assert future.exception(0) is None or isinstance(future.exception(0), DaemonLost)
        with pytest.raises(DaemonLost):
            stream.run(SHORT, [0.5])
        assert session.client.open_tasks == 0


def test_the_same_idempotency_key_is_the_same_task(stream: QStream) -> None:
    def request(key: str, angle: float = 0.5) -> Request:
        return Request(SHORT, [angle], outputs=Z0, options=TaskOptions(idempotency_key=key))

    first, plain, again, other = stream.run_many(
        [request("a"), Request(SHORT, [0.5], outputs=Z0), request("a"), request("b")]
    )
    assert first is again and len({first, plain, other}) == 3
    assert stream.run(SHORT, [0.7], outputs=Z0, options=TaskOptions(idempotency_key="a")) is first
    assert stream.run_many([request("b"), request("a")]) == [other, first]
    assert cosine_is_right(first.result(LIMIT_S), 0.5)
    with pytest.raises(OptionError, match="1024"):
        stream.run_many([request("x" * 5000)])


def test_nothing_of_a_wrong_list_is_submitted(stream: QStream, session: Session) -> None:
    before = session.client._sequence
    keyed = TaskOptions(idempotency_key="never")
    with pytest.raises(OptionError):
        stream.run_many([Request(SHORT, [0.5], outputs=Z0, options=keyed), Request(SHORT, [0.5], shots=0)])
    assert session.client._sequence == before and "never" not in stream._keys


def test_a_key_from_several_threads_is_one_task(stream: QStream) -> None:
    options = TaskOptions(idempotency_key="threads")
    found: list[Any] = []
    ready = threading.Barrier(8)

    def work() -> None:
        ready.wait()
        found.append(stream.run(SHORT, [0.5], outputs=Z0, options=options))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and found[0].result(LIMIT_S)


def test_what_does_not_fit_a_message_is_refused_and_harms_nobody(stream: QStream) -> None:
    import numpy as np

    other = stream.run(SHORT, [0.5], outputs=Z0)
    with pytest.raises(TooLarge, match="fewer sets"):
        stream.run(SHORT, np.zeros((9_000_000, 1)), outputs=Z0)
    huge = Program(2, 0, 0, (Gate("u", (0,), (0.1, 0.2, 0.3)),) * 2_000_000)
    with pytest.raises(TooLarge, match="a program of"):
        stream.run(huge, outputs=Z0)
    assert cosine_is_right(other.result(LIMIT_S), 0.5)
    assert cosine_is_right(stream.run(SHORT, [0.2], outputs=Z0).result(LIMIT_S), 0.2)


def test_many_tasks_of_large_questions_travel_in_several_messages(stream: QStream) -> None:
    from qfw.model.observable import PauliSum, PauliTerm
    from qfw.model.outputs import Expectation

    # A question of a megabyte, which the daemon refuses; 64 MiB are the most that a message may have.
    question = (Expectation((PauliSum((PauliTerm(1.0, (7,), "Z"),) * 80_000),)),)
    futures = stream.run_many([Request(SHORT, [0.5], outputs=question)] * 80)
    assert all(isinstance(future.exception(LIMIT_S), ProgramError) for future in futures)


def test_a_program_that_the_daemon_forgot_is_sent_again(folder: Path) -> None:
    config = folder / "settings.toml"
    config.write_text("program_bytes = 0\n")
    with Session(runtime_folder=folder, config=config) as session:
        stream = session.device("reference").stream()
        programs = [Program(qubits, 0, 1, SHORT.operations) for qubits in range(2, 8)]
        for _ in range(5):
            for number, program in enumerate(programs):
                future = stream.run(program, [number / 10], outputs=Z0)
                assert cosine_is_right(future.result(LIMIT_S), number / 10)
        futures = stream.run_many([Request(p, [0.3], outputs=Z0) for _ in range(50) for p in programs])
        assert all(cosine_is_right(future.result(LIMIT_S), 0.3) for future in futures)


def test_a_timeline_names_three_processes_in_order(stream: QStream) -> None:
    began_ns = time.monotonic_ns()
    timeline = stream.run(SHORT, [0.5], outputs=Z0).result(LIMIT_S).timeline
    assert len({timeline.client_pid, timeline.daemon_pid, timeline.worker_pid}) == 3
    moments = [
        began_ns,
        timeline.began_ns,
        timeline.sent_ns,
        timeline.accepted_ns,
        timeline.started_ns,
        timeline.run_began_ns,
        timeline.run_ended_ns,
        timeline.answered_ns,
        timeline.received_ns,
        time.monotonic_ns(),
    ]
    assert moments == sorted(moments)


def test_daemons_end_after_all(folder: Path) -> None:
    with Session(runtime_folder=folder) as session:
        assert daemons_of(folder) == [session.client.welcome.pid]
    until(lambda: daemons_of(folder) == [])
