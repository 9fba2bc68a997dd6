"""`qfw daemon start`: checks settings and folder, then becomes the daemon, or starts it in the background."""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from qfw.config import discover, runtime, settings
from qfw.model.errors import DaemonUnreachable, ResultTimeout, SetupError
from qfw.qpm import names
from qfw.qpm.join import rotate
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
    command = [sys.executable, "-m", "qfw.qpmd", f"--folder={folder}", f"--lock-fd={lock}", "--announce"]
    if path:
        command.append(f"--config={path}")
    if options.background:
        return _background(command, folder, lock)
    sys.stdout.flush()
    os.set_inheritable(lock, True)
    os.execv(sys.executable, command)


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
    raise SetupError(
        f"another qpmd ({welcome.scope}, pid {welcome.pid}) serves {folder}. Use it, stop it "
        f"(qfw daemon stop --folder {folder}), or choose another runtime folder"
    )


def _background(command: list[str], folder: Path, lock: int) -> int:
    rotate(runtime.log_path(folder))
    reader, writer = os.pipe()
    try:
        with runtime.log_path(folder).open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
            )
    except OSError as error:
        raise SetupError(f"{folder}: {error.strerror}. Choose another runtime folder: --folder") from error
    finally:
        os.close(writer)
        os.close(lock)
    line = _first_line(reader, time.monotonic() + START_LIMIT_S)
    os.close(reader)
    if line:
        sys.stdout.write(line)
        # It outlives this process, which waits for nothing more.
        process.returncode = 0
        return 0
    code = process.poll()
    if code is None:
        process.kill()
        process.wait()
    found = f"it did not serve within {START_LIMIT_S:g} s" if code is None else f"it ended with code {code}"
    raise DaemonUnreachable(f"the daemon did not come up: {found}. {_last_words(runtime.log_path(folder))}")


def _first_line(fd: int, deadline: float) -> str:
    """What it announces; empty where it ends before, or is late."""
    said = b""
    while (left_s := deadline - time.monotonic()) > 0 and not said.endswith(b"\n"):
        if select.select([fd], [], [], left_s)[0]:
            chunk = os.read(fd, 65536)
            if not chunk:
                return ""
            said += chunk
    return said.decode(errors="replace") if said.endswith(b"\n") else ""


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"Its log ({log}) ends with: {lines[-1][:1000]}" if lines else f"Its log: {log}"
