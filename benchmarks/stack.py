"""A private stack for one benchmark: its own runtime folder, two workers, ended with it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Disagreement
from qfw.config.discover import CONFIG, RUNTIME_DIR, child_environment, runtime_dir, worker_environment
from qfw.config.runtime import journal_dir
from qfw.model.events import DaemonStarted, SessionOpened, TaskDone
from qfw.model.result import Result
from qfw.qpm.journal import read

ROOT = Path(__file__).parents[1]
WORKERS = 2
SETTINGS = f"""\
engines = {{engines}}
[workers]
count = {WORKERS}
threads = 1
"""
#: Plugins that benchmarks serve: an engine of their own, and the tests' platform that misbehaves.
PLUGINS = (ROOT / "benchmarks" / "plugins", ROOT / "tests" / "hosts" / "plugins")
#: Seconds that processes have to end by themselves.
PATIENCE_S = 10.0


@contextmanager
def folder(engines: tuple[str, ...]) -> Iterator[tuple[Path, dict[str, str]]]:
    """A fresh runtime folder and the environment of a benchmark's process; nothing is left afterwards."""
    # Short: the path of a Unix socket holds 107 bytes.
    made = Path(tempfile.mkdtemp(prefix="qfwb-"))
    config = made / "qfw.toml"
    names = ", ".join(f'"{name}"' for name in engines)
    config.write_text(SETTINGS.format(engines=f"[{names}]"), encoding="utf-8")
    # One thread on both sides, limited before any library starts.
    around = child_environment()
    environment = {
        **around,
        **worker_environment(1),
        # Parsl starts commands of its own by name.
        "PATH": os.pathsep.join(filter(None, (str(Path(sys.executable).parent), around.get("PATH")))),
        # Peers' workers import the task by name; the daemon finds the benchmarks' own plugins.
        "PYTHONPATH": os.pathsep.join(
            filter(None, (str(ROOT), *map(str, PLUGINS), around.get("PYTHONPATH")))
        ),
        RUNTIME_DIR: str(made / "run"),
        CONFIG: str(config),
        # Peers send nothing home.
        "RAY_USAGE_STATS_ENABLED": "0",
        "DO_NOT_TRACK": "1",
    }
    try:
        yield made, environment
    finally:
        end_leftovers(made)
        shutil.rmtree(made, ignore_errors=True)


def leftovers(made: Path) -> list[int]:
    """Processes that were started with this runtime folder and still run, by id."""
    mark = f"{RUNTIME_DIR}={made / 'run'}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # It ended, or is another user's.
    return found


def end_leftovers(made: Path) -> None:
    """Waits for this folder's processes to end; those that do not are ended."""
    for number in (0, signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE_S
        while pids := leftovers(made):
            if number:
                for pid in pids:
                    _signal(pid, number)
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if not pids:
            return


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def three_processes(result: Result) -> dict[str, int]:
    """The processes that a task passed.

    Raises:
        Disagreement: its timeline does not name three distinct ones, the first being this one.
    """
    timeline = result.timeline
    pids = {"client": timeline.client_pid, "daemon": timeline.daemon_pid, "worker": timeline.worker_pid}
    if len(set(pids.values()) - {0}) != 3 or timeline.client_pid != os.getpid():
        raise Disagreement(f"a task did not pass three processes: {pids}")
    return pids


class Witness:
    """What the journal of this benchmark's daemon says was run, where the results do not say it."""

    def __init__(self) -> None:
        """Of this process's runtime folder."""
        self._folder = journal_dir(runtime_dir())

    def check(self, at_least: int) -> dict[str, int]:
        """Tasks done, and the client, daemon and (one) worker that took part.

        Raises:
            Disagreement: fewer than `at_least` tasks were run, or not in three processes.
        """
        daemon, clients, workers, done = 0, set(), set(), 0
        for event in read(self._folder):
            match event:
                case DaemonStarted():
                    daemon = event.pid
                case SessionOpened():
                    clients.add(event.pid)
                case TaskDone():
                    workers.add(event.worker_pid)
                    done += 1
        if done < at_least:
            raise Disagreement(f"the stack ran {done} tasks; at least {at_least} were measured")
        if (
            os.getpid() not in clients
            or len({daemon, os.getpid(), *workers}) != 2 + len(workers)
            or not workers
        ):
            raise Disagreement(
                f"not three processes: client {os.getpid()}, daemon {daemon}, workers {workers}"
            )
        return {"client": os.getpid(), "daemon": daemon, "worker": min(workers), "tasks": done}


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM now."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
