"""Runs a command on some bytes, within limits of time, memory and output, and ends all that it started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from qfw.config.discover import child_environment, command_environment
from qfw.model.errors import SetupError, ToolFailed
from qfw.processes import cgroup
from qfw.processes.limited import NO_COMMAND, Command
from qfw.processes.scratch import scratch
from qfw.processes.signals import signal_name

#: Bytes of its standard error that an error repeats, from the end.
TAIL = 800
#: Processes that it may have at once, where a pids cgroup can be had.
MAX_PROCESSES = 64
#: Seconds that what was killed may take to be gone.
END_S = 5.0
_CHUNK = 2**16


def run(
    what: str,
    command: Sequence[str],
    given: bytes,
    *,
    time_limit_s: float,
    memory_bytes: int,
    output_bytes: int,
) -> bytes:
    """What the command writes on its standard output, given `given` on its standard input.

    It runs in an empty folder of its own, which goes with it, without a shell, with an environment that holds little
    more than PATH. All that it started is ended with it, however it ends and wherever that went.

    Args:
        what: of it, in front of errors.
        command: program and arguments.
        given: its input.
        time_limit_s: for all of it.
        memory_bytes: that each of its processes may allocate; 0 for no bound of its own.
        output_bytes: that it may write, to its output or to a file.

    Raises:
        ToolFailed: it cannot be started, fails, takes too long or writes too much; with the end of what it wrote to
            its standard error.
    """
    with _folder(what) as folder:
        asked = Command(
            tuple(command),
            dict(command_environment(folder)),
            memory_bytes,
            # A file may be as long as the output, and no shorter than what programs like to write at once.
            max(output_bytes, 2**20),
            os.getpid(),
            str(folder),
        )
        with _started(what, asked, folder) as process:
            talk = _Talk(what, process, given, time_limit_s, output_bytes)
            try:
                written = talk.through()
                code = talk.end()
            finally:
                talk.close()
    if code:
        raise ToolFailed(f"{what}: {_ended(code)}{talk.said}")
    return written


@contextlib.contextmanager
def _folder(what: str) -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch("qfw-tool-"))
        except OSError as error:
            raise ToolFailed(f"{what}: there is no room for a folder of its own: {error}") from error
        yield folder


@contextlib.contextmanager
def _started(what: str, asked: Command, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process; afterwards nothing that it started is left."""
    group = None
    with contextlib.suppress(SetupError):
        group = cgroup.make(cgroup.group_name(), MAX_PROCESSES)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "qfw.processes.limited", msgspec.json.encode(asked).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            # The first process is ours, and finds its modules; the command gets what `asked` says.
            env=child_environment(PYTHONPATH=":".join(path for path in sys.path if path)),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        if group is not None:
            group.remove()
        raise ToolFailed(f"{what}: cannot be started: {error}") from error
    try:
        if group is not None:
            with contextlib.suppress(OSError):
                group.add(process.pid)
        yield process
    finally:
        _ask_to_end(process.pid)
        # Its pid stands for the group as long as it was not collected; processes of it may outlive the first.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if group is not None:
            group.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        if group is not None:
            end_s = time.monotonic() + END_S
            while not group.remove() and time.monotonic() < end_s:
                time.sleep(0.005)


def _ask_to_end(pid: int) -> None:
    """Has the first process end all that descends from it, and waits until it has ended itself."""
    for number in (signal.SIGTERM, signal.SIGCONT):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    end_s = time.monotonic() + END_S
    while not _has_ended(pid) and time.monotonic() < end_s:
        time.sleep(0.002)


def _has_ended(pid: int) -> bool:
    """Whether a process has; it is not collected, so that its pid goes on to name its group."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


class _Talk:
    """Both ends of its pipes at once: a command that reads late or writes early is not waited for by turns."""

    def __init__(
        self,
        what: str,
        process: subprocess.Popen[bytes],
        given: bytes,
        time_limit_s: float,
        output_bytes: int,
    ) -> None:
        self._what = what
        self._process = process
        self._left = memoryview(given)
        self._limit_s = time_limit_s
        self._end_s = time.monotonic() + time_limit_s
        self._most = output_bytes
        self._written = bytearray()
        self._tail = bytearray()
        self._selector = selectors.DefaultSelector()
        for pipe, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stdout, selectors.EVENT_READ),
            (process.stderr, selectors.EVENT_READ),
        ):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, event)

    @property
    def said(self) -> str:
        """The end of its standard error, behind a colon."""
        text = self._tail.decode(errors="replace").strip()
        return f": {text}" if text else ", and said nothing"

    def through(self) -> bytes:
        """All of its output. Raises ToolFailed where it takes too long, or is too much."""
        process = self._process
        if not self._left:
            self._done(process.stdin)
        while self._open(process.stdout) or self._open(process.stderr):
            for key, _ in self._selector.select(self._wait_s()):
                if key.fileobj is process.stdin:
                    self._write()
                else:
                    self._read(key.fileobj)
            if _has_ended(process.pid) and not self._selector.select(0):
                # What holds its pipes open is a process that it left behind.
                break
        return bytes(self._written)

    def end(self) -> int:
        """Its exit code. Raises ToolFailed where it does not end in time."""
        self._done(self._process.stdin)
        while not _has_ended(self._process.pid):
            self._selector.select(self._wait_s())
        return _code(self._process.pid)

    def close(self) -> None:
        """Closes this process's ends."""
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def _wait_s(self) -> float:
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise self._too_long()
        # The end of a process whose pipes others hold open shows nowhere else than at the process.
        return min(left_s, 0.02)

    def _too_long(self) -> ToolFailed:
        return ToolFailed(f"{self._what}: it took longer than {self._limit_s:g} s, and was ended{self.said}")

    def _write(self) -> None:
        pipe: Any = self._process.stdin
        try:
            sent = os.write(pipe.fileno(), self._left[:_CHUNK])
        except BlockingIOError:
            return
        except BrokenPipeError:
            # It has read what it wants to know.
            self._done(pipe)
            return
        self._left = self._left[sent:]
        if not self._left:
            self._done(pipe)

    def _read(self, pipe: Any) -> None:
        try:
            chunk = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            self._done(pipe)
        elif pipe is self._process.stderr:
            self._tail = (self._tail + chunk)[-TAIL:]
        else:
            self._written += chunk
            if len(self._written) > self._most:
                raise ToolFailed(
                    f"{self._what}: it wrote more than {self._most} bytes, and was ended{self.said}"
                )

    def _open(self, pipe: IO[bytes] | None) -> bool:
        return pipe is not None and not pipe.closed

    def _done(self, pipe: IO[bytes] | None) -> None:
        if pipe is not None and not pipe.closed:
            self._selector.unregister(pipe)
            # What was left unwritten by its buffer, which is none, may not be.
            with contextlib.suppress(OSError):
                pipe.close()


def _code(pid: int) -> int:
    """Exit code of a process that has ended; negative: the signal that killed it."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _ended(code: int) -> str:
    if code == NO_COMMAND:
        return "the command was not found, or could not be started"
    if code < 0:
        return f"it was killed by {signal_name(-code)}"
    return f"it ended with exit code {code}"
