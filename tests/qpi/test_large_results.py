"""Results that lie in shared memory: shared while they are looked at, released with the last look."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qfw.model.errors import DaemonLost, NoCapacity
from qfw.model.outputs import Statevector
from qfw.model.program import Gate, Program, slot
from qfw.model.result import Result
from qfw.qpi import QStream, Session, TaskFuture
from qfw.qpm.remote import Observer
from tests.qpi.test_session import application, finish
from tests.qpm.test_shared import no_more_descriptors
from tests.stack import (
    LIMIT_S,
    SHORT,
    Z0,
    cosine_is_right,
    long_program,
    memory_maps,
    open_fds,
    runtime_folder,
    until,
)

#: 2 MiB of statevector: cos(angle / 2) |0…0> + sin(angle / 2) |0…01>.
QUBITS = 17
WIDE = Program(QUBITS, 0, 1, (Gate("ry", (0,), (slot(0),)),))


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with runtime_folder() as folder, open_session(folder) as opened:
        opened.device().stream().run(WIDE, [0.0]).result(LIMIT_S)
        yield opened


@pytest.fixture
def stream(session: Session) -> Iterator[QStream]:
    gc.collect()
    before = open_fds()
    yield session.device().stream()
    until(lambda: gc.collect() or not memory_maps(), "all memory is released")
    assert open_fds() == before
    daemon = session.client.welcome.pid
    until(lambda: not memory_maps(daemon), "the daemon keeps none")


def open_session(folder: Path) -> Session:
    (folder / "settings.toml").write_text('engines = ["reference"]\nworkers.count = 2\n')
    return Session(runtime_folder=folder, config=folder / "settings.toml")


def ask(stream: QStream, angle: float) -> TaskFuture:
    return stream.run(WIDE, [angle], outputs=(Statevector(),))


def is_right(result: Result, angle: float) -> bool:
    found = result.statevector
    expected = np.zeros((1, 2**QUBITS))
    expected[0, :2] = np.cos(angle / 2), np.sin(angle / 2)
    return bool(np.allclose(found, expected, atol=1e-12))


def test_an_array_shares_the_memory_and_keeps_it(stream: QStream) -> None:
    result = ask(stream, 0.5).result(LIMIT_S)
    values = result.statevector
    assert np.shares_memory(values, result.statevector)
    assert values.flags.aligned and not values.flags.writeable
    assert len(memory_maps()) == 1, "one mapping, no descriptor"
    few = values[0, :2]
    del result, values
    gc.collect()
    assert memory_maps() and np.allclose(few, [np.cos(0.25), np.sin(0.25)])
    del few


def test_more_results_than_descriptors(stream: QStream) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 5, hard))
    try:
        kept = [ask(stream, n / 10).result(LIMIT_S) for n in range(30)]
        futures = [ask(stream, n / 10) for n in range(30)]
        kept += [future.result(LIMIT_S) for future in futures]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(memory_maps()) == 60
    assert all(is_right(result, n % 30 / 10) for n, result in enumerate(kept))


def test_without_a_descriptor_one_task_fails_and_the_session_goes_on(stream: QStream) -> None:
    future, small = ask(stream, 0.5), stream.run(SHORT, [0.25], outputs=Z0)
    with no_more_descriptors(), pytest.raises(NoCapacity, match="ulimit -n"):
        future.result(LIMIT_S)
    assert cosine_is_right(small.result(LIMIT_S), 0.25)
    assert is_right(ask(stream, 0.75).result(LIMIT_S), 0.75)


def test_copies_have_their_own_bytes(stream: QStream) -> None:
    result = ask(stream, 0.5).result(LIMIT_S)
    assert is_right(result, 0.5)
    copies = [pickle.loads(pickle.dumps(result)), copy.deepcopy(result), copy.copy(result)]
    del result
    gc.collect()
    assert not memory_maps() and all(is_right(other, 0.5) for other in copies)


def test_a_forked_child_sees_what_was_there(stream: QStream) -> None:
    result = ask(stream, 0.5).result(LIMIT_S)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if is_right(result, 0.5) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert is_right(result, 0.5)


def test_callbacks_and_many_at_once(stream: QStream) -> None:
    told: list[bool] = []
    futures = [ask(stream, n / 50) for n in range(50)]
    for n, future in enumerate(futures):
        future.add_done_callback(lambda done, n=n: told.append(is_right(done.result(), n / 50)))
    until(lambda: len(told) == 50)
    assert all(told)


@pytest.mark.parametrize("read", [False, True])
def test_closing_with_results_that_nobody_took(read: bool) -> None:
    gc.collect()
    before = open_fds()
    with runtime_folder() as folder:
        session = open_session(folder)
        stream = session.device().stream()
        futures = [ask(stream, n / 10) for n in range(10)]
        if read:
            assert is_right(futures[0].result(LIMIT_S), 0.0)
        with Observer(folder) as observer:
            until(lambda: not observer.tasks(), "all were sent")
        session.close()
        futures.clear()
        until(lambda: gc.collect() or not memory_maps())
        assert open_fds() == before


def test_a_killed_daemon_leaves_no_memory() -> None:
    """Killed at some moment within the traffic: what was received is right, the rest says what happened."""
    gc.collect()
    before = open_fds()
    for kill_after in (0, 1, 7, 20):
        with runtime_folder() as folder:
            with open_session(folder) as session:
                stream = session.device().stream()
                futures = [ask(stream, n / 30) for n in range(30)]
                # Answered by nobody before the kill, however fast the others are.
                last = stream.run(long_program(20_000), [0.5], outputs=Z0)
                for n in range(kill_after):
                    assert is_right(futures[n].result(LIMIT_S), n / 30)
                os.kill(session.client.welcome.pid, signal.SIGKILL)
                with pytest.raises(DaemonLost):
                    last.result(LIMIT_S)
                for n, future in enumerate(futures):
                    if not isinstance(future.exception(LIMIT_S), DaemonLost):
                        assert is_right(future.result(0), n / 30)
                futures.clear()
                del future
            until(lambda: gc.collect() or not memory_maps())
    assert open_fds() == before


def test_interrupted_waits_lose_no_large_result(folder: Path) -> None:
    """As in a notebook: the cell is interrupted again and again, the session goes on."""
    code = """
import gc, os, threading
from tests.qpi.test_large_results import ask, is_right, open_session
from tests.stack import memory_maps, open_fds
session = open_session(folder)
stream = session.device().stream()
ask(stream, 0.0).result(50)
gc.collect()
before = open_fds()
futures = [ask(stream, n / 200) for n in range(200)]
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
    while not done.wait(0.001):
        os.kill(os.getpid(), signal.SIGINT)
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
assert interrupts
for n, future in enumerate(futures):
    assert future.exception(50) is None and is_right(future.result(0), n / 200)
futures.clear()
del future
gc.collect()
assert not memory_maps(), memory_maps()
assert open_fds() == before
session.close()
print("right")
"""
    assert finish(application(folder, code)) == "right\n"
