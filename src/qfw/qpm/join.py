"""Joining the daemon of a runtime folder: one that runs, or a private one that is started for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from qfw.config.runtime import check, lock_path, log_path, prepare, socket_path
from qfw.model.errors import DaemonUnreachable, ErrorReport, ResultTimeout, SetupError
from qfw.qpm.remote import Link
from qfw.qpm.wire import SESSION

#: How often a joiner looks whether another one is done; they hold the lock for a start's length.
LOCK_RETRY_S = 0.01
#: A daemon that starts begins a new log where the one before is longer; one older log is kept.
MAX_LOG_BYTES = 8 * 2**20


def join(folder: Path, name: str, config: Path | None, timeout_s: float) -> Link:
    """A session's link to the daemon of `folder`; starts a private one where none runs.

    Whoever joins holds the folder's lock until its handshake is done, and a private daemon takes the
    lock before it ends: so nobody joins a daemon that is leaving, and only one is started.

    Raises:
        SetupError: the folder or the daemon's settings cannot be used.
        DaemonUnreachable: no daemon came up in time.
        VersionMismatch: the one that runs is of another version.
    """
    folder = prepare(folder)
    deadline = time.monotonic() + timeout_s
    with _locked(folder, deadline, timeout_s):
        try:
            return Link(folder, name, SESSION, max(0.1, deadline - time.monotonic()))
        except DaemonUnreachable:
            pass  # Nobody is there: start one.
        _start(folder, config, deadline)
        return Link(folder, name, SESSION, max(0.1, deadline - time.monotonic()))


def join_running(folder: Path, name: str, timeout_s: float) -> Link:
    """A session's link to the daemon that runs in `folder`. Starts none, and makes nothing there.

    Raises:
        SetupError: the folder cannot be a runtime folder.
        DaemonUnreachable: no daemon answers there.
        VersionMismatch: it is of another version.
    """
    folder = check(folder)
    deadline = time.monotonic() + timeout_s
    # A private one takes the lock before it ends; where nobody ever made a lock, nobody does.
    locked = lock_path(folder).exists() and socket_path(folder).exists()
    with _locked(folder, deadline, timeout_s) if locked else contextlib.nullcontext():
        return Link(folder, name, SESSION, max(0.1, deadline - time.monotonic()))


@contextlib.contextmanager
def _locked(folder: Path, deadline: float, timeout_s: float) -> Iterator[None]:
    """Holds the lock of whoever starts, joins or ends the daemon of a folder."""
    with _open(lock_path(folder)) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ResultTimeout(
                        f"{lock_path(folder)} was held by others for {timeout_s:g} s; is a daemon stuck while it "
                        f"starts? Its log: {log_path(folder)}"
                    ) from None
                time.sleep(LOCK_RETRY_S)
        yield


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}. Set QFW_RUNTIME_DIR to another folder") from error


def _rotate(log: Path) -> None:
    try:
        if log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_name(log.name + ".1"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise SetupError(f"{log}: {error.strerror}. Set QFW_RUNTIME_DIR to another folder") from error


def _start(folder: Path, config: Path | None, deadline: float) -> None:
    arguments = ["--private"]
    if config is not None:
        arguments.append(f"--config={config}")
    launch(folder, arguments, deadline)


def launch(folder: Path, arguments: list[str], deadline: float, keep: tuple[int, ...] = ()) -> int:
    """Starts a daemon in the background, which logs into its folder; its pid, when it serves.

    Args:
        folder: the runtime folder.
        arguments: of `python -m qfw.qpmd`, besides the folder.
        deadline: on the monotonic clock, in seconds.
        keep: descriptors that it inherits.

    Raises:
        QFwError: why it cannot start; DaemonUnreachable where it did not say.
    """
    log = log_path(folder)
    _rotate(log)
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "qfw.qpmd", f"--folder={folder}", f"--ready-fd={writer}", *arguments]
    try:
        with _open(log) as opened:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=opened,
                stderr=opened,
                pass_fds=(writer, *keep),
                start_new_session=True,
            )
    finally:
        os.close(writer)
    try:
        said = _read_until_closed(reader, deadline)
    finally:
        os.close(reader)
    if said == b"ready":
        # It outlives this process or is reaped here; either way nobody waits for it.
        _children[:] = [child for child in _children if child.poll() is None]
        _children.append(process)
        return process.pid
    if said:
        process.wait()
        raise msgspec.msgpack.decode(said, type=ErrorReport).to_exception()
    process.poll()
    found = (
        "it is still starting" if process.returncode is None else f"it ended with code {process.returncode}"
    )
    if process.returncode is None:
        process.kill()
        process.wait()
    raise DaemonUnreachable(f"the daemon did not come up: {found}. Its log: {log}")


#: Daemons started by this process: kept so that their end is collected, not warned about.
_children: list[subprocess.Popen[bytes]] = []


def _read_until_closed(fd: int, deadline: float) -> bytes:
    said = b""
    while (remaining := deadline - time.monotonic()) > 0:
        if select.select([fd], [], [], remaining)[0]:
            chunk = os.read(fd, 65536)
            if not chunk:
                return said
            said += chunk
    return said
