"""A daemon's runtime folder: one daemon at a time serves it, and its sessions are numbered through."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from pathlib import Path

from qfw.config.runtime import daemon_lock_path, socket_path
from qfw.model.errors import SetupError

#: The daemon before, once its socket is closed, may take this long to end.
PREDECESSOR_LIMIT_S = 20.0


def hold(folder: Path) -> int:
    """Takes the folder for this process, until the descriptor that is returned is closed.

    Raises:
        SetupError: another daemon serves it.
    """
    path = daemon_lock_path(folder)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + PREDECESSOR_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline or _answers(folder):
                pid = os.read(lock, 32).decode(errors="replace").strip()
                os.close(lock)
                raise SetupError(
                    f"another qpmd (pid {pid}) serves {folder}. Use it, end it, or choose another runtime folder"
                ) from None
            time.sleep(0.01)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def next_session(folder: Path) -> int:
    """A number that no session of this folder had, under an earlier daemon either. Raises OSError."""
    path = folder / "sessions"
    try:
        number = int(path.read_text()) + 1
    except (FileNotFoundError, ValueError):
        number = 1
    fresh = path.with_suffix(".new")
    fresh.write_text(str(number))
    fresh.replace(path)
    return number


def _answers(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(socket_path(folder))) in (0, errno.EAGAIN)
