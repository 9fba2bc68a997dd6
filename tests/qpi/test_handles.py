"""Handles outlive processes: one submits, another fetches or cancels, and a daemon's death in between loses nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qfw.config.runtime import results_dir
from qfw.model.errors import (
    DaemonLost,
    NoCapacity,
    OptionError,
    QFwError,
    ResultDamaged,
    ResultTimeout,
    TaskInterrupted,
    UnknownTask,
    UsageError,
)
from qfw.model.events import TaskAccepted, TaskStarted
from qfw.model.outputs import Counts, Statevector
from qfw.model.program import Gate, Measure, Program
from qfw.model.task import TaskOptions
from qfw.qpi import Session
from qfw.qpi.handle import parse_handle
from qfw.qpm.remote import Observer
from tests.stack import (
    LIMIT_S,
    SHORT,
    Z0,
    RawClient,
    cosine_is_right,
    daemons_of,
    events_of,
    long_program,
    memory_maps,
    runtime_folder,
    until,
)

ROOT = Path(__file__).parents[2]
DETACHED = TaskOptions(detached=True)
#: Its statevector has 2 MiB for each set, more than is sent in a frame, and far more than the journal keeps.
WIDE = Program(17, 0, 1, tuple(Gate("h", (qubit,)) for qubit in range(17)))
#: Minutes, unless it is cancelled.
LONG, AGES = long_program(gates=2000), [[0.5]] * 100
BELL = Program(2, 2, 0, (Gate("h", (0,)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))

APPLICATION = """
import sys
from pathlib import Path
from qfw.model.task import TaskOptions
from qfw.qpi import Session
from tests.stack import SHORT, Z0, cosine_is_right, long_program
folder = Path(sys.argv[1])
"""


class Site:
    """A daemon that lasts until it is ended, whoever comes and goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "settings.toml"
        self.config.write_text(
            'engines = ["reference"]\nworkers.count = 1\ndaemon.stop_limit_s = 0.1\ndaemon.name = "here"\n'
        )
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qfw.qpmd", f"--folder={self.folder}", f"--config={self.config}"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "qpmd.log").open("ab"),
        )
        until(self._answers, "the daemon comes up")

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "qpmd.log").read_text()
        try:
            with Observer(self.folder):
                return True
        except QFwError:
            return False

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(LIMIT_S)

    def open(self) -> Session:
        return Session(runtime_folder=self.folder)

    def counts(self) -> dict[str, int]:
        with Observer(self.folder) as observer:
            return observer.counters().counts


@pytest.fixture
def site() -> Iterator[Site]:
    with runtime_folder() as folder:
        made = Site(folder)
        yield made
        if made.process.poll() is None:
            made.end()


def application(site: Site, code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", APPLICATION + code, str(site.folder), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    try:
        out, error = process.communicate("go\n", timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, error
    return out


SUBMIT = """
with Session(runtime_folder=folder) as session:
    stream = session.device("reference").stream()
    print(stream.run(long_program(), [0.5], outputs=Z0, options=TaskOptions(detached=True)).handle)
"""


def test_one_process_submits_and_others_fetch(site: Site) -> None:
    handle = said(application(site, SUBMIT)).strip()
    assert handle == f"{site.folder}:1.1"
    fetch = """
with Session(runtime_folder=folder) as session:
    result = session.attach(sys.argv[2]).result(60)
    assert cosine_is_right(result, 0.5), result
    print(result.timeline.client_pid, result.device, result.sets)
"""
    others = [application(site, fetch, name) for name in (handle, "1.1")]
    first, second = (said(other).split() for other in others)
    assert first == second and first[1:] == ["reference", "1"]
    assert int(first[0]) not in [other.pid for other in others]
    with site.open() as session:
        future = session.attach(handle)
        result = future.result(LIMIT_S)
        assert cosine_is_right(result, 0.5)
        timeline = result.timeline
        assert timeline.daemon_pid == site.process.pid and timeline.received_ns == 0
        stages = timeline.stages_us()
        total = (timeline.answered_ns - timeline.began_ns) / 1e3
        assert all(stage >= 0 for stage in stages.values()) and sum(stages.values()) <= total + 1
        # What was submitted is known, but for its parameters and outputs.
        assert future.task.seed and future.task.sent_ns and not future.task.parameters
        assert (future.name, future.handle) == ("1.1", handle)
        for name in (handle, f"here:{future.name}"):
            again = session.attach(name).result(LIMIT_S)
            assert again.expectation_values == result.expectation_values
    assert len([event for event in events_of(site.folder) if isinstance(event, TaskAccepted)]) == 1


def test_another_process_cancels(site: Site) -> None:
    with site.open() as session:
        stream = session.device("reference").stream()
        running = stream.run(LONG, AGES, outputs=Z0, options=DETACHED)
        waiting = stream.run(SHORT, [0.5], outputs=Z0, options=DETACHED)
        assert running.handle and waiting.handle
        until(lambda: any(isinstance(event, TaskStarted) for event in events_of(site.folder)), "it runs")
        code = """
with Session(runtime_folder=folder) as session:
    for name in sys.argv[2:]:
        assert session.attach(name).cancel()
"""
        said(application(site, code, waiting.handle, running.handle))
        for future in (running, waiting):
            with pytest.raises(concurrent.futures.CancelledError):
                future.result(LIMIT_S)
    with site.open() as session, pytest.raises(concurrent.futures.CancelledError):
        session.attach(running.name).result(LIMIT_S)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_results_outlive_the_daemon(site: Site, number: int) -> None:
    with site.open() as session:
        stream = session.device("reference").stream()
        small = stream.run(SHORT, [0.5], outputs=Z0, options=DETACHED)
        large = stream.run(WIDE, [0.1], outputs=(Statevector(),), options=DETACHED)
        broken = stream.run(BELL, shots=10**6, outputs=(Counts(),), options=DETACHED)
        handles = [future.handle for future in (small, large, broken)]
        state = np.array(large.result(LIMIT_S).statevector)
        broken.result(LIMIT_S)
        until(lambda: site.counts()["results_kept"] == 3, "all are kept")
        stuck = stream.run(LONG, AGES, outputs=Z0, options=DETACHED).handle
        behind = stream.run(SHORT, [0.5], outputs=Z0, options=DETACHED)
        assert behind.handle
        path = results_dir(site.folder) / f"{broken.name}.qfr"
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
        site.end(number)
        with pytest.raises(DaemonLost):
            behind.result(LIMIT_S)
        with pytest.raises(DaemonLost):
            session.attach(small.handle)
    site.start()
    with site.open() as session:
        found = [session.attach(handle) for handle in handles]
        assert cosine_is_right(found[0].result(LIMIT_S), 0.5)
        assert np.array_equal(found[1].result(LIMIT_S).statevector, state)
        with pytest.raises(ResultDamaged, match="Run the task again"):
            found[2].result(LIMIT_S)
        killed = number == signal.SIGKILL
        said_of_it = "qfw squeue --journal" if killed else "was ended while it ran: the daemon stopped"
        with pytest.raises(TaskInterrupted, match=said_of_it):
            session.attach(stuck).result(LIMIT_S)
        with pytest.raises(TaskInterrupted, match="qfw squeue --journal"):
            session.attach(behind.name).result(LIMIT_S)
    listed = subprocess.run(
        [sys.executable, "-m", "qfw.cli.main", "squeue", "--json", "--journal", str(site.folder / "journal")],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    rows = json.loads(listed.stdout)
    assert [row["task"] for row in rows] == (["1.4", "1.5"] if killed else ["1.5"])
    assert all(row["detached"] for row in rows)


def test_a_thousand_attachments(site: Site) -> None:
    with site.open() as session:
        stream = session.device("reference").stream()
        futures = [stream.run(SHORT, [0.001 * at], outputs=Z0, options=DETACHED) for at in range(1000)]
        names = [future.name for future in futures]
        with site.open() as other:
            # While they run, and again when all are kept; the session that submitted them too.
            during = [other.attach(name) for name in names]
            assert all(cosine_is_right(f.result(LIMIT_S), 0.001 * at) for at, f in enumerate(during))
            assert all(cosine_is_right(f.result(LIMIT_S), 0.001 * at) for at, f in enumerate(futures))
            for again in (other, session):
                after = [again.attach(name) for name in names]
                assert all(cosine_is_right(f.result(LIMIT_S), 0.001 * at) for at, f in enumerate(after))


def test_large_results_for_many_who_attach_and_leave(site: Site) -> None:
    """Descriptors, frames for who takes none, and nothing that stays."""
    with site.open() as session:
        stream = session.device("reference").stream()
        names = [stream.run(WIDE, [0.1], outputs=(Statevector(),), options=DETACHED).handle for _ in range(3)]
        with site.open() as second, RawClient(site.folder) as raw:
            futures = [each.attach(name) for each in (second, session) for name in names]
            from qfw.qpm.wire import Attach, Attached, Done

            raw.send(Attach([parse_handle(name).task for name in names]))
            for future in futures:
                assert abs(future.result(LIMIT_S).statevector[0, 0] - 2**-8.5) < 1e-12
            sizes = []
            while len(sizes) < 3:
                message = raw.receive()
                if isinstance(message, Done):
                    sizes += [len(answer.answers) for answer in message.answers]
                else:
                    assert not isinstance(message, QFwError) and message
            assert min(sizes) > 2**21 and raw.parcels == 0
            assert Attached
            # Who leaves while its answer is read leaves nothing behind.
            raw.send(Attach([parse_handle(name).task for name in names]))
        del futures, future
    until(lambda: not memory_maps(site.process.pid), "the daemon holds no answer any more")


def test_a_full_disk_fails_nobody_who_is_there(site: Site) -> None:
    """No file of the daemon may become longer than 1 MiB: the journal goes on, the large result has no room."""
    pid = site.process.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
    with site.open() as session, site.open() as other:
        stream = session.device("reference").stream()
        large = stream.run(WIDE, [0.1], outputs=(Statevector(),), options=DETACHED)
        attached = other.attach(large.handle)
        assert large.result(LIMIT_S).statevector.shape == (1, 2**17)
        with pytest.raises(NoCapacity, match="cannot be kept"):
            attached.result(LIMIT_S)
        with pytest.raises(NoCapacity, match="cannot be kept"):
            other.attach(large.name).result(LIMIT_S)
        small = stream.run(SHORT, [0.5], outputs=Z0, options=DETACHED)
        assert cosine_is_right(other.attach(small.handle).result(LIMIT_S), 0.5)
    assert site.counts()["results_not_kept"] == 1 and site.process.poll() is None


def test_bytes_and_seconds_are_bounded(site: Site) -> None:
    site.end()
    site.config.write_text(site.config.read_text() + "[results]\nretain_bytes = 40960\n")
    site.start()
    with site.open() as session:
        stream = session.device("reference").stream()
        futures = [stream.run(SHORT, [0.1], outputs=Z0, options=DETACHED) for _ in range(30)]
        for future in futures:
            future.result(LIMIT_S)
        outcomes = []
        for future in futures:
            try:
                session.attach(future.name).result(LIMIT_S)
                outcomes.append("")
            except QFwError as error:
                outcomes.append(type(error).__name__)
        assert outcomes == ["ResultExpired"] * 20 + [""] * 10
    assert len(list(results_dir(site.folder).glob("*.qfr"))) == 10


RACE = """
from tests.qpi.test_handles import BELL
with Session(runtime_folder=folder) as session:
    stream = session.device("reference").stream()
    print("ready", flush=True)
    sys.stdin.readline()
    options = TaskOptions(detached=True, idempotency_key=sys.argv[2])
    futures = [stream.run(BELL, shots=1000, options=options) for _ in range(5)]
    print(sorted({(f.result(60).counts[0]["00"], f.name) for f in futures}))
"""


@pytest.mark.parametrize("key", [f"key {attempt}" for attempt in range(5)])
def test_a_key_of_two_processes_at_once_is_one_execution(site: Site, key: str) -> None:
    processes = [application(site, RACE, key) for _ in range(3)]
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda process=process: found.append(said(process))) for process in processes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert len(found) == 3 and len(set(found)) == 1, found
    assert len([event for event in events_of(site.folder) if isinstance(event, TaskAccepted)]) == 1


def test_a_key_says_what_it_stands_for(site: Site) -> None:
    options = TaskOptions(detached=True, idempotency_key="mine")
    with site.open() as session:
        stream = session.device("reference").stream()
        first = stream.run(SHORT, [0.5], outputs=Z0, options=options)
        handle = first.handle
        again = stream.run(SHORT, [0.5], outputs=Z0, options=options)
        other = stream.run(SHORT, [0.6], outputs=Z0, options=options)
        with pytest.raises(OptionError, match="another content"):
            other.result(LIMIT_S)
        with pytest.raises(OptionError, match="another content"):
            assert other.handle
        assert again.handle == handle and again.name == first.name
        result = again.result(LIMIT_S)
        assert cosine_is_right(result, 0.5) and result.task == first.task.number
        seeded = stream.run(SHORT, [0.5], outputs=Z0, options=options, seed=3)
        with pytest.raises(OptionError, match="seed"):
            seeded.result(LIMIT_S)


def test_a_private_daemon_refuses(folder: Path) -> None:
    with Session(runtime_folder=folder) as session:
        stream = session.device("reference").stream()
        future = stream.run(SHORT, [0.5], outputs=Z0, options=DETACHED)
        with pytest.raises(OptionError, match="private"):
            assert future.handle
        with pytest.raises(OptionError, match="private"):
            future.result(LIMIT_S)
        with pytest.raises(UnknownTask, match="private"):
            session.attach("1.77").result(LIMIT_S)
        with pytest.raises(UsageError, match="detached=True"):
            assert stream.run(SHORT, [0.5], outputs=Z0).handle
    assert not results_dir(folder).exists()


def test_handles_that_are_none(site: Site) -> None:
    with site.open() as session:
        for text in ("", "3", "3.", ".1", "a.b", "1.1.1", " 1.1", "1_0.1", "-1.1", "1.99999999999", "x:1.x"):
            with pytest.raises(OptionError, match=r"SESSION\.SEQUENCE"):
                session.attach(text)
        with pytest.raises(OptionError):
            session.attach(None)  # type: ignore[arg-type]  # what users do
        with pytest.raises(UsageError, match="runtime_folder='/elsewhere'"):
            session.attach("/elsewhere:1.1")
        with pytest.raises(UnknownTask, match="never was"):
            session.attach(f"{site.folder}:7.7").result(LIMIT_S)
        attached = session.attach("8.8")
        with pytest.raises(UnknownTask):
            assert attached.handle
    assert parse_handle("/a:b:3.17") == ("/a:b", 3 << 32 | 17)


def test_awaiting_waiting_and_callbacks_of_an_attached_task(site: Site) -> None:
    with site.open() as session, site.open() as other:
        stream = session.device("reference").stream()
        long = stream.run(LONG, AGES, outputs=Z0, options=DETACHED)
        short = stream.run(SHORT, [0.5], outputs=Z0, options=DETACHED)
        with pytest.raises(ResultTimeout):
            other.attach(long.handle).result(0.01)
        assert other.attach(long.name) is other.attach(long.handle)

        async def give_up() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(other.attach(long.name), 0.05)

        asyncio.run(give_up())
        # Who stops awaiting a detached task has not ended it.
        assert not long.done()
        assert other.attach(long.name).cancel()
        done, _ = concurrent.futures.wait([other.attach(short.name)], LIMIT_S)
        assert cosine_is_right(done.pop().result(0), 0.5)
        called = threading.Event()
        other.attach(short.name).add_done_callback(lambda _: called.set())
        assert called.wait(LIMIT_S)


def test_the_command_line(site: Site) -> None:
    def qfw(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qfw.cli.main", "result", *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=os.environ | {"QFW_RUNTIME_DIR": str(site.folder)},
        )

    with site.open() as session:
        stream = session.device("reference").stream()
        counted = stream.run(BELL, shots=100, seed=1, options=DETACHED)
        exact = stream.run(SHORT, [[0.5], [0.6]], outputs=Z0, options=DETACHED)
        handles = [counted.handle, exact.handle]
        counts = counted.result(LIMIT_S).counts[0]
        exact.result(LIMIT_S)
        stuck = stream.run(LONG, AGES, outputs=Z0, options=DETACHED).handle
    shown = qfw(handles[0])
    assert shown.returncode == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines == [["SET", "WHAT", "OF", "VALUE"]] + [
        ["0", "count", bits, str(number)] for bits, number in sorted(counts.items())
    ]
    document = json.loads(qfw("--json", "1.2", "--wait", "5").stdout)
    assert np.allclose(document["expectation_values"], np.cos([[0.5], [0.6]]))
    assert document["device"] == "reference" and document["stages_us"]["run"] > 0
    waits = qfw(stuck)
    assert (waits.returncode, waits.stdout) == (4, "") and "not answered yet" in waits.stderr
    ended = qfw("--cancel", stuck)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert qfw("--cancel", handles[0]).returncode == 1
    again = qfw(stuck)
    assert again.returncode == 1 and "was cancelled" in again.stderr
    unknown = qfw("9.9")
    assert unknown.returncode == 1 and "there is no task 9.9" in unknown.stderr
    assert qfw("nonsense").returncode == 1 and qfw(handles[0], "--wait", "-1").returncode == 2
    assert qfw(f"{site.folder}/none:1.1").returncode == 3
    site.end()
    assert qfw(handles[0]).returncode == 3 and not daemons_of(site.folder)
