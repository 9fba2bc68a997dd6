"""The daemon's process: who may come, what broken clients do to it, when it ends."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from qfw.config.runtime import lock_path, log_path, socket_path
from qfw.model.errors import ErrorReport, UnknownDevice, VersionMismatch, WireError
from qfw.model.events import DaemonStarted, SessionClosed
from qfw.model.outputs import Statevector, encode_outputs
from qfw.model.task import QuantumTask
from qfw.qpi import Session
from qfw.qpm import frames, wire
from qfw.qpm.join import MAX_LOG_BYTES
from qfw.qpm.remote import Observer
from qfw.qpm.wire import Accepted, Bye, Cancel, Done, Failed, Hello, Query, Refused, StoreProgram, Submit
from qfw.qpmd.daemon import MAX_UNREAD_MEMORIES
from tests.stack import (
    LIMIT_S,
    SHORT,
    RawClient,
    cosine_is_right,
    daemons_of,
    events_of,
    is_alive,
    long_program,
    memory_maps,
    open_fds,
    quantum_task,
    runtime_folder,
    until,
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with runtime_folder() as made:
        yield made


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Path, Session]]:
    """One daemon for the tests that must leave it unharmed, and a session that keeps it."""
    with runtime_folder() as made, Session(runtime_folder=made) as session:
        yield made, session


def still_serves(session: Session) -> bool:
    future = session.device("reference").stream().run(SHORT, [0.25], outputs=None)
    return future.result(LIMIT_S).sets == 1


def start(folder: Path, *arguments: str, before: str = "") -> tuple[subprocess.Popen[bytes], bytes]:
    """Starts a daemon as `join` does, after a shell command; what it said on its ready pipe."""
    reader, writer = os.pipe()
    command = f'{before} exec "$@"'
    words = [sys.executable, "-m", "qfw.qpmd", f"--folder={folder}", f"--ready-fd={writer}", *arguments]
    with log_path(folder).open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command, "sh", *words], pass_fds=(writer,), stdout=log, stderr=log
        )
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        return process, said.read()


def report(said: bytes) -> ErrorReport:
    return msgspec.msgpack.decode(said, type=ErrorReport)


@contextlib.contextmanager
def site(folder: Path, *arguments: str, before: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that nobody's last session ends."""
    process, said = start(folder, *arguments, before=before)
    assert said == b"ready", said
    try:
        yield process
    finally:
        process.terminate()
        process.wait(LIMIT_S)


# Handshakes ----------------------------------------------------------------------------------------


def refusal(client: RawClient) -> ErrorReport:
    """The daemon's refusal, behind which it closes."""
    greeting = wire.decode_greeting(client.body())
    assert isinstance(greeting, Refused)
    with pytest.raises(EOFError):
        client.body()
    return greeting.error


def test_another_version_is_told_so(shared: tuple[Path, Session]) -> None:
    folder, session = shared
    with RawClient(folder, greet=False) as client:
        client.send(Hello(99, "9.9", 1, "future"))
        error = refusal(client)
    assert error.code == "VersionMismatch"
    assert "9.9" in error.message and "version 99" in error.message and "same qfw" in error.message
    assert still_serves(session)


@pytest.mark.parametrize(
    "body",
    [b"", b"GET / HTTP/1.1", b"\x82\xa4type\xa5hello\xa1x" + b"\x91" * 10**5, b"\xff" * 50, b"\xa1\xff"],
)
def test_a_first_message_that_is_no_hello(shared: tuple[Path, Session], body: bytes) -> None:
    folder, session = shared
    with RawClient(folder, greet=False) as client:
        client.send_bytes(frames.frame(body))
        assert refusal(client).code == "WireError"
    assert still_serves(session)


def test_an_oversized_frame_is_refused_before_it_is_read(shared: tuple[Path, Session]) -> None:
    folder, session = shared
    with RawClient(folder, greet=False) as client:
        client.send_bytes(struct.pack(">I", 2**32 - 1) + b"x")
        assert refusal(client).code == "WireError"
    with RawClient(folder) as client:
        client.send_bytes(struct.pack(">I", wire.MAX_REQUEST_BYTES + 1))
        answer = client.receive()
        assert isinstance(answer, Refused) and answer.error.code == "WireError"
    assert still_serves(session)


def test_unknown_role(shared: tuple[Path, Session]) -> None:
    folder, _ = shared
    with RawClient(folder, greet=False) as client:
        client.send(Hello(wire.WIRE_VERSION, "1", 1, "x", "king"))
        assert "session or an observer" in refusal(client).message


def test_half_a_handshake_is_let_go(shared: tuple[Path, Session]) -> None:
    """Others are served meanwhile; after HANDSHAKE_LIMIT_S the connection ends."""
    folder, session = shared
    with RawClient(folder, greet=False) as client:
        client.send_bytes(frames.pack(Hello(wire.WIRE_VERSION, "1", 1, "slow"))[:9])
        assert still_serves(session)
        with pytest.raises(EOFError):
            client.body()
    assert still_serves(session)


def test_random_bytes_and_broken_messages_harm_nobody(shared: tuple[Path, Session]) -> None:
    folder, session = shared
    dice = random.Random(20)
    good = b"".join(
        map(
            frames.pack,
            (
                StoreProgram(SHORT.encoded),
                Submit([quantum_task(1, 1)]),
                Cancel([1]),
                Query(1, "tasks"),
                wire.Received([(1, 2)]),
            ),
        )
    )
    for attempt in range(150):
        with RawClient(folder, greet=attempt % 3 > 0) as client:
            broken = bytearray(good)
            for _ in range(dice.randint(1, 6)):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            with contextlib.suppress(OSError):
                client.send_bytes(bytes(broken[: dice.randint(1, len(broken))]))
    assert still_serves(session)


@pytest.mark.parametrize(
    "message",
    [b"\x92\x06" + b"\x91" * 10**5 + b"\x90", b"\x93\x05\x01\xa1\xff", b"\x91\x63", b"\x92\x01\xc4\x01\xc1"],
)
def test_a_broken_message_ends_its_own_session_only(shared: tuple[Path, Session], message: bytes) -> None:
    folder, session = shared
    with RawClient(folder) as client:
        client.send(StoreProgram(SHORT.encoded))
        client.send_bytes(frames.frame(message))
        answer = client.receive()
        assert isinstance(answer, Refused), answer
        with pytest.raises(EOFError):
            client.receive()
        number = client.session
    assert still_serves(session)
    closed = [event.session for event in events_of(folder) if isinstance(event, SessionClosed)]
    assert number in closed


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_another_user_is_refused(shared: tuple[Path, Session]) -> None:
    """Even one who can reach the socket: who connects is asked of the kernel."""
    folder, session = shared
    folder.chmod(0o711)
    socket_path(folder).chmod(0o666)
    try:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgid(12345)
            os.setuid(12345)
            said = b"?"
            try:
                with RawClient(folder, greet=False) as client:
                    client.send(Hello(wire.WIRE_VERSION, "1", 1, "stranger"))
                    said = client.body()
            finally:
                os.write(writer, said)
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            greeting = wire.decode_greeting(answer.read())
        os.waitpid(child, 0)
    finally:
        folder.chmod(0o700)
        socket_path(folder).chmod(0o600)
    assert isinstance(greeting, Refused) and greeting.error.code == "ForeignOwner"
    assert "12345" in greeting.error.message
    assert still_serves(session)


# Sessions ------------------------------------------------------------------------------------------


def test_each_task_is_answered_once_and_acknowledged(shared: tuple[Path, Session]) -> None:
    folder, _ = shared
    with RawClient(folder) as client:
        tasks = [quantum_task(client.session, sequence, device="reference") for sequence in range(1, 301)]
        client.send(StoreProgram(SHORT.encoded), Submit(tasks))
        answered: list[int] = []
        while len(answered) < 300:
            message = client.receive()
            assert isinstance(message, Accepted | Done)
            if isinstance(message, Done):
                answered += [answer.task for answer in message.answers]
        assert sorted(answered) == [task.number for task in tasks]
        client.send(Bye())
        with pytest.raises(EOFError):
            client.receive()


def test_a_client_that_is_gone_leaves_no_task(shared: tuple[Path, Session]) -> None:
    folder, session = shared
    program = long_program()
    with RawClient(folder) as client:
        number = client.session
        tasks = [quantum_task(number, sequence, program, device="reference") for sequence in range(1, 101)]
        client.send(StoreProgram(program.encoded), Submit(tasks))
        client.receive()
    with Observer(folder) as observer:
        until(lambda: not [row for row in observer.tasks() if row.task.startswith(f"{number}.")])
    assert still_serves(session)


def test_a_client_that_does_not_read_loses_nothing(folder: Path) -> None:
    """Beyond `unread_bytes` its tasks wait, others go on; when it reads, they go on at once."""
    config = folder / "settings.toml"
    config.write_text("unread_bytes = 100000\n")
    wide = long_program(gates=1, qubits=12)
    with Session(runtime_folder=folder, config=config) as other, RawClient(folder) as client:
        tasks = [
            quantum_task(
                client.session, sequence, wide, device="reference", outputs=encode_outputs((Statevector(),))
            )
            for sequence in range(1, 101)
        ]
        client.send(StoreProgram(wide.encoded), Submit(tasks))

        def is_held() -> bool:
            with Observer(folder) as observer:
                rows = [row for row in observer.tasks() if row.task.startswith(f"{client.session}.")]
                return bool(rows) and all(row.state == "queued" for row in rows)

        until(is_held, "the client's tasks are held")
        assert still_serves(other)
        answered = 0
        while answered < 100:
            message = client.receive()
            if isinstance(message, Done):
                answered += len(message.answers)
                assert all(len(answer.answers) > 65536 for answer in message.answers)


#: 2 MiB of statevector: more than travels in a frame where descriptors do.
LARGE_PROGRAM = long_program(gates=1, qubits=17)


def large_tasks(session: int, count: int) -> list[QuantumTask]:
    outputs = encode_outputs((Statevector(),))
    return [
        quantum_task(session, n, LARGE_PROGRAM, device="reference", outputs=outputs)
        for n in range(1, count + 1)
    ]


def hello(descriptors: bool) -> Hello:
    return Hello(wire.WIRE_VERSION, "raw", os.getpid(), "raw", wire.SESSION, descriptors)


@pytest.mark.parametrize(
    ("descriptors", "unread_bytes"), [(True, 10 * 2**20), (True, 2**40), (False, 10 * 2**20)]
)
def test_a_client_that_does_not_read_large_answers(
    folder: Path, descriptors: bool, unread_bytes: int
) -> None:
    """What it leaves unread is bounded by bytes and by number, though its socket would take more."""
    config = folder / "settings.toml"
    config.write_text(f"unread_bytes = {unread_bytes}\n")
    with (
        Session(runtime_folder=folder, config=config) as other,
        RawClient(folder, hello(descriptors)) as client,
    ):
        count = 140
        client.send(StoreProgram(LARGE_PROGRAM.encoded), Submit(large_tasks(client.session, count)))
        most = min(unread_bytes // 2**21, MAX_UNREAD_MEMORIES)

        def waiting() -> int:
            with Observer(folder) as observer:
                rows = [row for row in observer.tasks() if row.task.startswith(f"{client.session}.")]
                return len(rows) if rows and all(row.state == "queued" for row in rows) else 0

        assert still_serves(other)
        left = until(lambda: waiting() if waiting() <= count - most else 0, "its tasks are held")
        slots = other.device("reference").profile.slots
        assert most <= count - left <= most + 2 * slots + 1
        assert still_serves(other)
        answered = 0
        while answered < count:
            message = client.receive()
            if isinstance(message, Done):
                answered += len(message.answers)
                assert all(len(answer.answers) > 2**21 for answer in message.answers)
        assert client.parcels == (count if descriptors else 0)


def test_a_client_that_leaves_large_answers_behind(folder: Path) -> None:
    """Those on their way are closed with its connection, those that wait by the daemon."""
    with Session(runtime_folder=folder) as session:
        pid = session.client.welcome.pid
        session.device("reference").stream().run(LARGE_PROGRAM, [0.5]).result(LIMIT_S)
        until(lambda: not memory_maps(pid))
        before = open_fds(pid)
        for _ in range(3):
            with RawClient(folder, hello(True)) as client:
                tasks = large_tasks(client.session, 20)
                client.send(StoreProgram(LARGE_PROGRAM.encoded), Submit(tasks))
                until(lambda: isinstance(client.receive(), Done))
        until(lambda: open_fds(pid) == before and not memory_maps(pid), "nothing stays open")
        assert still_serves(session)


def test_a_daemon_without_a_descriptor_left(folder: Path) -> None:
    """A large answer is refused with an error that says so; small ones go on, and large ones later."""
    with site(folder, before="ulimit -n 48;"), RawClient(folder, hello(True)) as client:
        first, second, third = large_tasks(client.session, 3)
        client.send(StoreProgram(LARGE_PROGRAM.encoded), Submit([first]))
        until(lambda: isinstance(client.receive(), Done))
        pid = client.welcome.pid
        crowd = []
        while open_fds(pid) < 47:
            crowd.append(RawClient(folder))
        extra = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for sock in extra:
            sock.connect(str(socket_path(folder)))
        until(lambda: open_fds(pid) == 48)
        client.send(Submit([second]))
        failed = until(lambda: isinstance(found := client.receive(), Failed) and found)
        ((number, error),) = failed.errors
        assert number == second.number and error.code == "NoCapacity" and "ulimit -n" in error.message
        for other in (*crowd, *extra):
            other.close()
        until(lambda: open_fds(pid) < 40)
        client.send(Submit([third]))
        until(lambda: isinstance(client.receive(), Done))


def test_more_connections_than_descriptors(folder: Path) -> None:
    """The daemon stays quiet and serves those whom it has."""
    with site(folder, before="ulimit -n 64;"), RawClient(folder) as first:
        crowd = []
        for _ in range(80):
            extra = socket.socket(socket.AF_UNIX)
            extra.connect(str(socket_path(folder)))
            crowd.append(extra)
        for request in range(1000):
            first.send(Query(request, "counters"))
            assert first.receive().request == request
        for extra in crowd:
            extra.close()

        def serves() -> bool:
            with RawClient(folder) as late:
                return late.session > 0

        assert until(serves)
        # It said so when it began and when it was over; a client that came in between may make it two.
        said = log_path(folder).read_text()
        assert 1 <= said.count("accept failed") <= 3
        assert said.count("accepting again") == said.count("accept failed")


def test_a_low_soft_limit_of_descriptors_is_raised(folder: Path) -> None:
    with site(folder, before="ulimit -Sn 64;") as process:
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard > 64


def test_a_long_log_is_put_aside_once(folder: Path) -> None:
    log = log_path(folder)
    old = log.with_name("qpmd.log.1")
    log.write_bytes(b"x" * MAX_LOG_BYTES)
    with Session(runtime_folder=folder):
        assert not old.exists()
    until(lambda: not daemons_of(folder))
    whole = log.read_bytes()
    assert whole.startswith(b"x" * MAX_LOG_BYTES) and b"qpmd started" in whole
    with Session(runtime_folder=folder):
        assert old.read_bytes() == whole
        assert log.stat().st_size < 10_000


# Beginning and end ---------------------------------------------------------------------------------


def test_a_second_daemon_of_one_folder_does_not_start(folder: Path) -> None:
    with site(folder) as process:
        second, said = start(folder)
        assert second.wait(LIMIT_S) == 1
        error = report(said)
        assert error.code == "SetupError" and str(process.pid) in error.message
        with RawClient(folder) as client:
            assert client.welcome.pid == process.pid


def test_any_reason_not_to_start_is_said(folder: Path) -> None:
    (folder / "journal").write_text("in the way")
    process, said = start(folder)
    assert process.wait(LIMIT_S) == 1
    assert report(said).code != "" and "journal" in report(said).message


def test_a_plugin_that_breaks_stops_no_daemon(folder: Path, tmp_path: Path) -> None:
    """A platform that raises what nobody foresaw: it is asked for, and the daemon serves on."""
    found = tmp_path / "stranger-1.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (found / "entry_points.txt").write_text("[qfw.platforms]\nstranger = stranger:Platform\n")
    (tmp_path / "stranger.py").write_text("def Platform(settings):\n    raise ZeroDivisionError('strange')\n")
    before = f"PYTHONPATH={tmp_path}:$PYTHONPATH"
    with site(folder, before=before), Session(runtime_folder=folder) as session:
        assert session.device("reference").status().state == "online"
        with pytest.raises(UnknownDevice, match="stranger-1"):
            session.device("stranger-1")


def test_a_private_daemon_that_nobody_joins_ends(folder: Path) -> None:
    """Who started it was killed before the handshake."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "qfw.qpmd", f"--folder={folder}", "--private", f"--ready-fd={writer}"],
        pass_fds=(writer,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        assert said.read() == b"ready"
    assert process.wait(LIMIT_S) == 0


def test_session_numbers_go_on_under_the_next_daemon(folder: Path) -> None:
    numbers = []
    for _ in range(3):
        with Session(runtime_folder=folder) as session:
            numbers.append(session.client.welcome.session)
        until(lambda: not daemons_of(folder))
    assert numbers == [1, 2, 3]
    assert sum(isinstance(event, DaemonStarted) for event in events_of(folder)) == 3


def test_workers_end_with_their_daemon(folder: Path) -> None:
    with Session(runtime_folder=folder) as session:
        result = session.device("reference").stream().run(SHORT, [0.5]).result(LIMIT_S)
        pid, worker = session.client.welcome.pid, result.timeline.worker_pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(worker), "the worker ends")


def test_the_socket_of_a_killed_daemon_is_taken_over(folder: Path) -> None:
    first = Session(runtime_folder=folder)
    os.kill(first.client.welcome.pid, signal.SIGKILL)
    until(lambda: not daemons_of(folder))
    assert socket_path(folder).exists()
    with Session(runtime_folder=folder) as second:
        assert second.client.welcome.pid != first.client.welcome.pid
        future = second.device("reference").stream().run(SHORT, [0.5], outputs=None)
        assert future.result(LIMIT_S).sets == 1
    first.close()


class FakeDaemon:
    """Answers each first message with given bytes, on a daemon's socket."""

    def __init__(self, folder: Path, answer: bytes) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(socket_path(folder)))
        self._listener.listen()
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener.accept()[0] as client:
            client.recv(65536)
            client.sendall(self._answer)
            while client.recv(65536):
                pass

    def __enter__(self) -> FakeDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(LIMIT_S)
        self._listener.close()


WELCOME = wire.Welcome(99, "9.9", 4711, 1, [], 5)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (frames.pack(WELCOME), VersionMismatch, r"qfw 9\.9, pid 4711.*version 99"),
        (
            frames.pack(Refused(ErrorReport("VersionMismatch", "client too old"))),
            VersionMismatch,
            "client too old",
        ),
        (frames.frame(b"garbage"), WireError, "no qpmd"),
        (struct.pack(">I", 2**32 - 1), WireError, "announced"),
    ],
)
def test_a_daemon_that_is_another(folder: Path, answer: bytes, kind: type[Exception], said: str) -> None:
    """A typed error, and nobody starts a second daemon over it."""
    with FakeDaemon(folder, answer), pytest.raises(kind, match=said):
        Session(runtime_folder=folder, timeout_s=5.0)
    assert not daemons_of(folder) and lock_path(folder).exists()


def test_results_are_right(shared: tuple[Path, Session]) -> None:
    from tests.stack import Z0

    _, session = shared
    futures = [
        session.device("reference").stream().run(SHORT, [angle / 10], outputs=Z0) for angle in range(50)
    ]
    assert all(cosine_is_right(future.result(LIMIT_S), n / 10) for n, future in enumerate(futures))
