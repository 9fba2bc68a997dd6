"""`qfw daemon start`: checks settings and folder, then becomes the daemon, or starts it in the background."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from pathlib import Path

from qfw.config import discover, runtime, settings
from qfw.model.errors import DaemonUnreachable, ResultTimeout, SetupError
from qfw.qpm import join, names
from qfw.qpm.remote import Observer

#: Seconds that others may hold the folder while they start or join a daemon.
LOCK_LIMIT_S, LOCK_RETRY_S = 20.0, 0.02
#: Seconds until a daemon in the background serves.
START_LIMIT_S = 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw daemon start`."""
    parser.add_argument(
        "--config", type=Path, help="settings (TOML); without, $QFW_CONFIG, else the defaults"
    )
    parser.add_argument(
        "--folder", type=Path, help="runtime folder; without, daemon.folder, else $QFW_RUNTIME_DIR"
    )
    parser.add_argument(
        "--background", action="store_true", help="return when it serves; it logs to qpmd.log in its folder"
    )


def main(options: argparse.Namespace) -> int:
    """Becomes the daemon; in the background: 0 when it serves.

    Raises:
        ConfigError: the settings are wrong.
        SetupError: the folder cannot be used, or another daemon serves it.
    """
    path = options.config or discover.config_path()
    path = path.absolute() if path else None
    chosen = settings.load(path) if path else settings.Settings()
    if path and (problems := names.problems(chosen)):
        raise settings.wrong(path, tuple(problems))
    folder = runtime.prepare(options.folder or folder_of(chosen))
    lock = _lock(runtime.lock_path(folder))
    _nobody_serves(folder)
    told = [f"--lock-fd={lock}", *([f"--config={path}"] if path else [])]
    if options.background:
        pid = join.launch(folder, told, time.monotonic() + START_LIMIT_S, keep=(lock,))
        sys.stdout.write(runtime.announcement(folder, chosen.daemon.scope, pid) + "\n")
        return 0
    sys.stdout.flush()
    os.set_inheritable(lock, True)
    os.execv(sys.executable, [sys.executable, "-m", "qfw.qpmd", f"--folder={folder}", "--announce", *told])


def folder_of(chosen: settings.Settings) -> Path:
    """Where a daemon with these settings serves."""
    return Path(chosen.daemon.folder) if chosen.daemon.folder else discover.runtime_dir()


def _lock(path: Path) -> int:
    """The folder is ours until the daemon serves: nobody starts a private one meanwhile."""
    try:
        lock = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}. Choose another runtime folder: --folder") from error
    deadline = time.monotonic() + LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise ResultTimeout(
                    f"{path} was held by others for {LOCK_LIMIT_S:g} s; is a daemon stuck while it starts? "
                    f"Its log: {runtime.log_path(path.parent)}"
                ) from None
            time.sleep(LOCK_RETRY_S)


def _nobody_serves(folder: Path) -> None:
    try:
        with Observer(folder) as observer:
            welcome = observer.welcome
    except DaemonUnreachable:
        return
    way = (
        "It ends with its last session: end the sessions"
        if welcome.scope == "private"
        else f"Use it, stop it (qfw daemon stop --folder {folder})"
    )
    raise SetupError(
        f"another qpmd ({welcome.scope}, pid {welcome.pid}) serves {folder}. {way}, "
        "or choose another folder with --folder"
    )
