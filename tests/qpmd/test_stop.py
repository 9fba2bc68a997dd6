"""Long-lived daemons as processes: signals, stops with work in hand, reloads, two on one folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.config.runtime import journal_dir, log_path, socket_path
from qfw.model.errors import DaemonLost, NoCapacity, NotAllowed, SetupError, TaskInterrupted
from qfw.model.events import DaemonDraining, DaemonStopped, SessionClosed, TaskDone, TaskFailed, TaskStarted
from qfw.model.outputs import Statevector, encode_outputs
from qfw.model.task import TaskState
from qfw.qpi import Session
from qfw.qpm import wire
from qfw.qpm.remote import Observer
from qfw.qpm.wire import Control, NativeAnswer, StoreProgram, Submit
from qfw.qpmd.state import DaemonState
from tests.qpmd.test_daemon import report, site, start
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

#: Takes a second or so; takes longer than any test.
LONG, ENDLESS = long_program(gates=1000), long_program(gates=200_000 // 4, qubits=20)


@pytest.fixture
def folder() -> Iterator[Path]:
    with runtime_folder() as made:
        yield made


def settings(folder: Path, text: str = "") -> str:
    """`--config` of a file that gives one worker of the reference engine."""
    path = folder / "site.toml"
    path.write_text('engines = ["reference"]\n' + text + "\n[workers]\ncount = 1\n")
    return f"--config={path}"


@contextlib.contextmanager
def submitted(folder: Path, count: int, program=LONG) -> Iterator[tuple[Session, list]]:
    """Tasks of which the first runs."""
    with contextlib.suppress(DaemonLost), Session(runtime_folder=folder) as session:
        stream = session.device("reference").stream()
        futures = [stream.run(program, [0.1 * n], outputs=Z0) for n in range(count)]
        until(lambda: any(isinstance(event, TaskStarted) for event in events_of(folder)), "a start")
        yield session, futures


def waiting(folder: Path) -> list[TaskState]:
    return [entry.state for entry in DaemonState.replay(events_of(folder)).tasks.values()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_runs_is_answered_and_what_waits_stays_listed(folder: Path, number: int) -> None:
    with site(folder, settings(folder)) as process, submitted(folder, 4) as (_, futures):
        process.send_signal(number)
        assert cosine_is_right(futures[0].result(LIMIT_S), 0.0)
        for future in futures[1:]:
            with pytest.raises(DaemonLost, match=r"stopped \(SIG.*3 tasks.*qfw squeue --journal") as raised:
                future.result(LIMIT_S)
            assert str(journal_dir(folder)) in str(raised.value)
        assert process.wait(LIMIT_S) == 0
    assert not socket_path(folder).exists()
    events = events_of(folder)
    assert isinstance(events[-1], DaemonStopped)
    assert sum(isinstance(event, TaskDone) for event in events) == 1
    assert sum(isinstance(event, SessionClosed) for event in events) == 1
    assert waiting(folder) == [TaskState.QUEUED] * 3


def test_what_runs_too_long_is_ended_and_told_so(folder: Path) -> None:
    limit = "[daemon]\nstop_limit_s = 0.2"
    with site(folder, settings(folder, limit)) as process, submitted(folder, 2, ENDLESS) as (_, futures):
        process.terminate()
        with pytest.raises(TaskInterrupted, match=r"stopped \(SIGTERM; 0.2 s were over\). Send it again"):
            futures[0].result(LIMIT_S)
        with pytest.raises(DaemonLost, match="1 tasks"):
            futures[1].result(LIMIT_S)
        assert process.wait(LIMIT_S) == 0
    assert [event.error.code for event in events_of(folder) if isinstance(event, TaskFailed)] == [
        "TaskInterrupted"
    ]
    assert waiting(folder) == [TaskState.QUEUED]


def test_a_second_signal_ends_it_at_once(folder: Path) -> None:
    with site(folder, settings(folder)) as process, submitted(folder, 2, ENDLESS) as (_, futures):
        process.terminate()
        until(lambda: any(isinstance(event, DaemonDraining) for event in events_of(folder)), "the stop")
        assert not futures[0].done()
        process.terminate()
        assert process.wait(LIMIT_S) == 0
        with pytest.raises((TaskInterrupted, DaemonLost)):
            futures[0].result(LIMIT_S)
    assert isinstance(events_of(folder)[-1], DaemonStopped)
    assert waiting(folder) == [TaskState.QUEUED]


def test_an_owner_stops_it_over_the_wire_and_its_limit_can_be_changed(folder: Path) -> None:
    with site(folder, settings(folder)) as process, submitted(folder, 1, ENDLESS) as (_, futures):
        settings(folder, "[daemon]\nstop_limit_s = 0.1")
        with Observer(folder) as observer:
            assert observer.control("reload").changed == ("daemon.stop_limit_s",)
            assert "running: 1, for 0.1 s at most" in observer.control("stop").said
        with pytest.raises(TaskInterrupted):
            futures[0].result(LIMIT_S)
        assert process.wait(LIMIT_S) == 0


def test_a_client_that_reads_nothing_does_not_hold_up_a_stop(folder: Path) -> None:
    with site(folder, settings(folder)) as process, RawClient(folder) as client:
        program = long_program(gates=1, qubits=16)
        outputs = encode_outputs((Statevector(),))
        client.send(
            StoreProgram(program.encoded),
            Submit(
                [
                    quantum_task(client.session, n, program, device="reference", outputs=outputs)
                    for n in range(1, 9)
                ]
            ),
        )
        until(lambda: sum(isinstance(event, TaskDone) for event in events_of(folder)) == 8, "8 answers")
        process.terminate()
        assert process.wait(LIMIT_S) == 0
    assert isinstance(events_of(folder)[-1], DaemonStopped)


def test_sighup_reloads_and_a_wrong_file_changes_nothing(folder: Path) -> None:
    config = settings(folder)
    with site(folder, config) as process, Observer(folder) as observer:
        path = Path(config.partition("=")[2])
        path.write_text(path.read_text() + "max_attempts = 3\n")
        assert observer.daemon().reload == ("workers.max_attempts",)
        process.send_signal(signal.SIGHUP)
        until(lambda: "changed: workers.max_attempts" in log_path(folder).read_text(), "the reload")
        path.write_text("nonsense")
        process.send_signal(signal.SIGHUP)
        until(lambda: "nothing is reloaded" in log_path(folder).read_text(), "the refusal")
        assert is_alive(process.pid)
        with Session(runtime_folder=folder) as session:
            assert session.device("reference").stream().run(SHORT, [0.25]).result(LIMIT_S).sets == 1


def test_unread_bytes_are_live(folder: Path) -> None:
    """A session that reads nothing is held sooner after a reload."""
    program, outputs = long_program(gates=1, qubits=12), encode_outputs((Statevector(),))
    with site(folder, settings(folder)), RawClient(folder) as client, Observer(folder) as observer:
        settings(folder, "unread_bytes = 4096")
        assert observer.control("reload").changed == ("unread_bytes",)
        client.send(StoreProgram(program.encoded))
        for first in range(1, 400, 20):
            tasks = range(first, first + 20)
            client.send(
                Submit(
                    [
                        quantum_task(client.session, n, program, device="reference", outputs=outputs)
                        for n in tasks
                    ]
                )
            )
        # 64 KiB each: the socket takes a few, and the others wait with the session.
        until(lambda: any(isinstance(event, TaskDone) for event in events_of(folder)), "an answer")
        seen = -1

        def stands() -> bool:
            nonlocal seen
            before, seen = seen, sum(isinstance(event, TaskDone) for event in events_of(folder))
            return seen == before and seen > 0

        until(stands, "that it is held")
        assert seen < 100


def test_clients_that_submit_while_it_drains(folder: Path) -> None:
    """Each task is either answered or refused, and none is lost."""
    with site(folder, settings(folder)), Observer(folder) as owner:
        outcomes: list[tuple[int, int]] = []
        draining = threading.Event()
        one_answered = threading.Barrier(4)

        def client() -> None:
            answered = refused = 0
            with Session(runtime_folder=folder) as session:
                stream = session.device("reference").stream()
                stream.run(SHORT, [0.5]).result(LIMIT_S)
                one_answered.wait(LIMIT_S)
                while refused < 5:
                    futures = [stream.run(SHORT, [0.5], outputs=Z0) for _ in range(10)]
                    for future in futures:
                        try:
                            assert cosine_is_right(future.result(LIMIT_S), 0.5)
                            answered += 1
                        except NoCapacity as error:
                            assert "draining since" in str(error)
                            refused += 1
                draining.wait(LIMIT_S)
            outcomes.append((answered, refused))

        threads = [threading.Thread(target=client) for _ in range(3)]
        for thread in threads:
            thread.start()
        one_answered.wait(LIMIT_S)
        owner.control("drain")
        status = owner.daemon()
        assert status.draining.startswith("asked by uid") and not status.stopping
        draining.set()
        for thread in threads:
            thread.join(LIMIT_S)
        assert len(outcomes) == 3
        assert until(lambda: owner.daemon().tasks == 0)
        owner.control("resume")
        with Session(runtime_folder=folder) as session:
            assert session.device("reference").stream().run(SHORT, [0.5]).result(LIMIT_S).sets == 1


def test_two_daemons_on_one_folder(folder: Path) -> None:
    """Of several that start at the same time one serves, and the others say who does."""
    with site(folder) as process:
        found = [start(folder) for _ in range(2)]
        for other, said in found:
            assert other.wait(LIMIT_S) == 1
            assert report(said).to_exception().args[0].startswith(f"another qpmd (pid {process.pid}) serves")
            assert isinstance(report(said).to_exception(), SetupError)
        with Session(runtime_folder=folder) as session:
            assert session.device("reference").stream().run(SHORT, [0.5]).result(LIMIT_S).sets == 1


def test_it_says_who_it_is(folder: Path) -> None:
    with (
        site(folder, settings(folder, '[daemon]\nscope = "job"\nname = "mine"')),
        RawClient(folder) as client,
    ):
        assert (client.welcome.scope, client.welcome.name) == ("job", "mine")
        with Observer(folder) as observer:
            status = observer.daemon()
            assert (status.scope, status.name, status.sessions) == ("job", "mine", 1)
            assert status.folder == str(folder) and status.config == str(folder / "site.toml")
        client.send(Control(3, "stop"))
        answer = client.receive()
        assert isinstance(answer, NativeAnswer) and isinstance(answer.error.to_exception(), NotAllowed)


def test_a_private_daemon_says_so_and_is_not_stopped(folder: Path) -> None:
    with Session(runtime_folder=folder) as session, Observer(folder) as observer:
        assert session.client.welcome.scope == "private"
        with pytest.raises(NotAllowed, match="ends with its last session"):
            observer.control("stop")


def test_it_tells_the_service_manager(folder: Path) -> None:
    address = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(LIMIT_S)

        def heard() -> dict[str, str]:
            return dict(line.partition("=")[::2] for line in manager.recv(4096).decode().splitlines())

        with site(folder, settings(folder), before=f"NOTIFY_SOCKET={address}") as process:
            assert heard() == {"READY": "1", "MAINPID": str(process.pid), "STATUS": f"serves {folder}"}
            process.send_signal(signal.SIGHUP)
            reloading = heard()
            assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0
            assert heard()["READY"] == "1"
            # What it starts is not told of the socket.
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            assert str(address).encode() in environment
            with Session(runtime_folder=folder) as session:
                session.device("reference").stream().run(SHORT, [0.5]).result(LIMIT_S)
                (worker,) = [event for event in events_of(folder) if isinstance(event, TaskStarted)]
                assert b"NOTIFY_SOCKET" not in Path(f"/proc/{worker.worker_pid}/environ").read_bytes()
            process.terminate()
            stopping = heard()
            assert stopping["STOPPING"] == "1" and int(stopping["EXTEND_TIMEOUT_USEC"]) == 75_000_000


def test_a_platform_comes_and_goes_with_a_reload(folder: Path) -> None:
    config = settings(folder)
    path = Path(config.partition("=")[2])
    without = path.read_text()
    with (
        site(folder, config) as process,
        Observer(folder) as owner,
        Session(runtime_folder=folder) as session,
    ):
        path.write_text(without + '[platforms.lab]\nplugin = "twin"\n')
        assert owner.control("reload").changed == ("platforms.lab (comes)",)

        def served() -> list[str]:
            return [d for row in owner.platforms() if row.name == "lab" for d in row.devices]

        device = until(served, "the devices of the platform")[0]
        assert [pid for pid in children(process.pid) if "qfw.hosts" in command_of(pid)]
        session.device(device)
        path.write_text(without)
        assert owner.control("reload").changed == ("platforms.lab (goes)",)
        until(lambda: not served(), "that it has gone")
        assert device not in {row.profile.name for row in owner.devices()}
        # Its host has ended with it.
        assert not [pid for pid in children(process.pid) if "qfw.hosts" in command_of(pid)]


def children(pid: int) -> list[int]:
    return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


#: A daemon of the user nobody, who may not read what Python and QFw are made of: all of it is loaded before.
AS_NOBODY = """
import os, sys
from pathlib import Path
from qfw.config.settings import Settings
from qfw.qpm import registry
from qfw.qpm.platform import PlatformConfig
from qfw.qpmd.daemon import Daemon
registry.load(registry.PLATFORMS, "simulators")(PlatformConfig("simulators"))
os.setgid(65534), os.setuid(65534)
Daemon(Path(sys.argv[1]), Settings(), False).run(lambda: print("serves", flush=True))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user, and root")
def test_root_may_control_the_daemon_of_a_user(folder: Path) -> None:
    """Another user may not; root's sessions may not either."""
    folder.chmod(0o700)
    os.chown(folder, 65534, 65534)
    process = subprocess.Popen(
        [sys.executable, "-c", AS_NOBODY, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"serves\n", process.communicate()
    with Observer(folder) as owner:
        assert owner.control("drain").verb == "drain"
        with RawClient(folder, greet=False) as client:
            client.send(wire.Hello(wire.WIRE_VERSION, "raw", os.getpid(), "raw"))
            greeting = wire.decode_greeting(client.body())
            assert isinstance(greeting, wire.Refused) and greeting.error.code == "ForeignOwner"
        owner.control("stop")
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
