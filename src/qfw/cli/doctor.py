"""Check what is here, what is not, and what to do about it.

Every engine runs a small circuit through a whole stack, in a temporary folder.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import msgspec

from qfw import __version__
from qfw.cli import output
from qfw.config import discover, runtime, settings
from qfw.model.errors import DaemonUnreachable, QFwError

EXIT_CODES = """exit codes:
  0  usable (what is missing is optional)
  1  there is a problem"""

#: Less room than this for a journal is worth a word.
MIN_FREE_BYTES = 2**30
#: A daemon's start holds the lock for a fraction of this.
LOCK_LIMIT_S, LOCK_RETRY_S = 3.0, 0.05


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    #: Optional, and not installed.
    MISSING = "missing"
    PROBLEM = "problem"


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    found: str
    #: What to do; empty where nothing is to be done.
    remedy: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    usable: bool
    checks: list[Check]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw doctor`."""
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def main(options: argparse.Namespace) -> int:
    """Prints the checks."""
    checks = list(examine())
    usable = all(check.verdict is not Verdict.PROBLEM for check in checks)
    if options.json:
        output.json(Diagnosis(usable, checks))
        return 0 if usable else 1
    output.table(
        ["CHECK", "VERDICT", "FOUND"], [[check.name, check.verdict.value, check.found] for check in checks]
    )
    for check in checks:
        if check.remedy:
            sys.stdout.write(f"\n{check.name}: {check.remedy}")
    sys.stdout.write("\n" if usable else "\nThere is a problem; see above.\n")
    return 0 if usable else 1


def examine() -> Iterator[Check]:
    """Every check, in the order in which one depends on another."""
    yield Check("qfw", Verdict.OK, f"{__version__} in {Path(__file__).parents[1]}")
    yield Check("python", Verdict.OK, f"{platform.python_version()} ({sys.executable})")
    yield Check("machine", Verdict.OK, _machine())
    yield _guarded("settings", _settings)
    folder = discover.runtime_dir()
    yield _guarded("runtime folder", lambda: _folder(folder))
    yield _guarded("lock", lambda: _lock(runtime.lock_path(folder)))
    yield _guarded("daemon", lambda: _daemon(folder))
    yield _guarded("lowered programs", _shelf)
    yield from _engines()
    yield _pennylane()
    yield _qiskit()


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except QFwError as error:
        return Check(name, Verdict.PROBLEM, f"{type(error).__name__}: {error}", "do what the error says")
    except OSError as error:
        return Check(name, Verdict.PROBLEM, str(error), "mend what the operating system complains of")


def _machine() -> str:
    return f"{platform.machine()}, {discover.cores()} cores, {discover.memory_bytes() / 2**30:.1f} GiB memory"


def _settings() -> Check:
    path = discover.config_path()
    if path is None:
        return Check("settings", Verdict.OK, f"the defaults; {discover.CONFIG} names no file")
    settings.load(path)
    return Check("settings", Verdict.OK, str(path))


def _folder(folder: Path) -> Check:
    was_there = folder.exists()
    folder = runtime.prepare(folder)
    try:
        found = os.statvfs(folder)
        free, kind = found.f_bavail * found.f_frsize, runtime.file_system(folder)
    finally:
        if not was_there:
            folder.rmdir()
    text = f"{folder} ({kind or 'unknown file system'}, {free / 2**30:.1f} GiB free)"
    if free < MIN_FREE_BYTES:
        return Check(
            "runtime folder",
            Verdict.PROBLEM,
            text,
            f"make room, or set {discover.RUNTIME_DIR} to a local folder with at least 1 GiB for the journal",
        )
    return Check("runtime folder", Verdict.OK, text)


def _lock(path: Path) -> Check:
    deadline = time.monotonic() + LOCK_LIMIT_S
    while True:
        try:
            with path.open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Check("lock", Verdict.OK, "free")
        except FileNotFoundError:
            return Check("lock", Verdict.OK, "nobody has used the runtime folder yet")
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
            time.sleep(LOCK_RETRY_S)
    return Check(
        "lock",
        Verdict.PROBLEM,
        f"{path} has been held for {LOCK_LIMIT_S:g} s by somebody who starts or joins a daemon",
        f"ask again; if it stays held, a start is stuck: see {runtime.log_path(path.parent)}",
    )


def _daemon(folder: Path) -> Check:
    from qfw.qpm.remote import Observer

    try:
        with Observer(folder) as observer:
            counters = observer.counters()
    except DaemonUnreachable as error:
        if runtime.socket_path(folder).exists():
            return Check(
                "daemon",
                Verdict.OK,
                f"none runs; the last one was killed ({error})",
                f"what it left unanswered: qfw squeue --journal {runtime.journal_dir(folder)}",
            )
        return Check("daemon", Verdict.OK, "none runs; the first session starts one")
    return Check(
        "daemon",
        Verdict.OK,
        f"pid {counters.pid}, version {counters.version}, sessions: {counters.sessions}, tasks: {counters.live_tasks}",
    )


def _shelf() -> Check:
    """Lowered programs on disk. Without them all works, more slowly."""
    from qfw.qpm.recall import own_shelf

    name, shelf = "lowered programs", own_shelf()
    if shelf is None:
        return Check(name, Verdict.OK, "none are kept on disk (tools.cache_bytes, or no cache folder)")
    found = shelf.state()
    text = (
        f"{found.entries} in {found.folder}, {found.bytes / 2**20:.1f} of {found.most_bytes / 2**20:.0f} MiB; hits "
        f"{found.hits}, misses {found.misses}, damaged {found.damaged}, evicted {found.evicted}"
    )
    if found.reason:
        remedy = "mend the folder, or name another one (tools.cache_folder); until then nothing is kept"
        return Check(name, Verdict.MISSING, f"not kept in {found.folder}: {found.reason}", remedy)
    return Check(name, Verdict.OK, text)


def _engines() -> Iterator[Check]:
    """Every engine: is it installed, and does it run a circuit through a stack."""
    from qfw.cli import trial
    from qfw.qpm import registry

    installed: dict[str, str] = {}
    for name in registry.names(registry.ENGINES):
        try:
            kind = registry.load(registry.ENGINES, name)
            version = kind.version()
        except QFwError as error:
            yield Check(f"engine {name}", Verdict.PROBLEM, str(error), "reinstall the package that brings it")
            continue
        if version is None:
            yield Check(
                f"engine {name}", Verdict.MISSING, "not installed", f"to have it: pip install 'qfw[{name}]'"
            )
        elif kind.preference >= 0:
            installed[name] = version
    if not installed:
        yield Check(
            "engines", Verdict.PROBLEM, "none", "reinstall qfw: this Python sees no entry points of it"
        )
        return
    failures = trial.run(list(installed))
    for name, version in installed.items():
        failure = failures[name]
        if failure is None:
            yield Check(f"engine {name}", Verdict.OK, f"{version}, ran a circuit through a stack of its own")
        else:
            yield Check(f"engine {name}", Verdict.PROBLEM, f"{version}: {failure}", "do what the error says")


def _pennylane() -> Check:
    """Whether PennyLane is here, new enough, and sees our device. Imports none of it."""
    try:
        found = metadata.version("pennylane")
    except metadata.PackageNotFoundError:
        return Check(
            "pennylane", Verdict.MISSING, "not installed", "to have it: pip install 'qfw[pennylane]'"
        )
    needed = _least("pennylane")
    if _numbers(found) < _numbers(needed):
        return Check(
            "pennylane", Verdict.PROBLEM, f"{found}; {needed} is needed", "run: pip install 'qfw[pennylane]'"
        )
    if not any(entry.name == "qfw" for entry in metadata.entry_points(group="pennylane.plugins")):
        return Check(
            "pennylane",
            Verdict.PROBLEM,
            f"{found} does not see the device 'qfw'",
            "reinstall qfw in this Python",
        )
    return Check("pennylane", Verdict.OK, f"{found}, device 'qfw'")


def _qiskit() -> Check:
    """Whether Qiskit is here and new enough. Imports none of it."""
    try:
        found = metadata.version("qiskit")
    except metadata.PackageNotFoundError:
        return Check("qiskit", Verdict.MISSING, "not installed", "to have it: pip install 'qfw[qiskit]'")
    needed = _least("qiskit")
    if _numbers(found) < _numbers(needed):
        return Check(
            "qiskit", Verdict.PROBLEM, f"{found}; {needed} is needed", "run: pip install 'qfw[qiskit]'"
        )
    return Check("qiskit", Verdict.OK, f"{found}, qfw.qiskit.Backend")


def _least(package: str) -> str:
    """The least version of a package that an extra of ours names; 0 where none does."""
    try:
        asked = metadata.requires("qfw") or []
    except metadata.PackageNotFoundError:
        asked = []
    found = [match[1] for line in asked if (match := re.match(rf"{package}>=([\d.]+)", line))]
    return max(found, key=_numbers, default="0")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
