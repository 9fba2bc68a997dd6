"""Local launcher: workers are child processes on this host."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

from qfw.config.discover import worker_environment
from qfw.model.errors import PlatformFailed


class LocalWorker:
    """A child process; satisfies `qfw.qpm.launcher.Launched`."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self._process = process
        self.channel = channel

    @property
    def pid(self) -> int:
        """See Launched."""
        return self._process.pid

    def kill(self) -> None:
        """See Launched."""
        if self._process.poll() is None:
            self._process.kill()

    def reap(self) -> str | None:
        """See Launched."""
        code = self._process.poll()
        if code is None:
            return None
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"


class LocalLauncher:
    """Forks workers on this host."""

    def launch(
        self, engine: str, name: str, threads: int, wide_threads: int, memory_bytes: int
    ) -> LocalWorker:
        """See Launcher."""
        ours, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "qfw.simenv.worker",
                    f"--engine={engine}",
                    f"--channel={theirs.fileno()}",
                    f"--threads={threads}",
                    f"--wide-threads={wide_threads}",
                    f"--memory-bytes={memory_bytes}",
                    f"--parent={os.getpid()}",
                    # A socket pair: what the worker sends arrives here itself.
                    "--descriptors",
                ],
                env=worker_environment(threads),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                # Of a group of its own: a signal to the terminal's group does not reach it.
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise PlatformFailed(f"cannot start worker {name}: {error}") from error
        finally:
            theirs.close()
        ours.setblocking(False)
        return LocalWorker(process, ours)
