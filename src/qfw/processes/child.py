"""A child process with a channel to it: started, killed with all that it started, and collected without waiting."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from qfw.model.errors import PlatformFailed
from qfw.processes.cgroup import PidsGroup
from qfw.processes.signals import signal_name


class Child:
    """A process of a session and process group of its own, and this end of its channel."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        output: int | None,
        group: PidsGroup | None,
    ) -> None:
        self._process = process
        self.channel = channel
        #: Where what it prints can be read, non-blocking; None where it prints to this process's own streams.
        self.output = output
        #: The bound of its processes; None where none was had.
        self.group = group

    @property
    def pid(self) -> int:
        """Its process id, and that of its process group."""
        return self._process.pid

    def kill(self) -> None:
        """Ends it and all processes of its group at once. No error if it is gone."""
        if self.group is not None:
            self.group.kill()
        # Its pid is nobody else's as long as it was not collected.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def reap(self) -> str | None:
        """How it ended, in words; None while it, or what it started, runs. Never blocks."""
        if self._process.returncode is None:
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            # What it left behind goes with it, before its group's number is free again.
            self.kill()
            self._process.wait()
        if self.group is not None:
            self.group.kill()
            if not self.group.remove():
                return None
            self.group = None
        code = self._process.returncode
        if code < 0:
            return f"killed by {signal_name(-code)}"
        return f"exit code {code}"

    def close(self) -> None:
        """Closes this process's ends."""
        self.channel.close()
        self.close_output()

    def close_output(self) -> None:
        """Closes the end of what it prints."""
        output, self.output = self.output, None
        if output is not None:
            os.close(output)


def start(
    what: str,
    arguments: Callable[[int], Sequence[str]],
    environment: Mapping[str, str],
    *,
    python: str = "",
    capture: bool = False,
    group: PidsGroup | None = None,
) -> Child:
    """Starts a Python process that is told its end of a socket pair.

    Args:
        what: of it, for messages.
        arguments: from the channel's descriptor to the interpreter's arguments. The process shall limit
            itself by `qfw.processes.limits` before anything else.
        environment: all of it.
        python: the interpreter; empty: this one.
        capture: whether what it prints goes to a pipe: `Child.output`.
        group: it joins; belongs to the Child from here on, also where this raises.

    Raises:
        PlatformFailed: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    output = written = None
    try:
        if capture:
            output, written = os.pipe()
            os.set_blocking(output, False)
        process = subprocess.Popen(
            [python or sys.executable, *arguments(theirs.fileno())],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            pass_fds=(theirs.fileno(),),
            # Of a group of its own: a signal to the terminal's group does not reach it, and it can be ended
            # with all that it starts.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        ours.close()
        if output is not None:
            os.close(output)
        if group is not None:
            group.remove()
        raise PlatformFailed(f"cannot start {what}: {error}") from error
    finally:
        theirs.close()
        if written is not None:
            os.close(written)
    ours.setblocking(False)
    child = Child(process, ours, output, group)
    if group is not None:
        # It may have ended already, which shows at its channel.
        with contextlib.suppress(OSError):
            group.add(process.pid)
    return child
