"""Runs a command under limits. `python -m qfw.processes.limited`: reads what to do from its one argument, JSON.

The command is its child, in its process group: where whoever asked dies, it is told so, and ends the whole group.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import NoReturn

import msgspec

from qfw.processes import limits

#: Exit code where the command cannot be started.
NO_COMMAND = 127
#: Files that a command may have open.
DESCRIPTORS = 256


class Command(msgspec.Struct, frozen=True):
    """What is to be run."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    #: Of data; 0 for as many as this process may have.
    memory_bytes: int
    #: That a file may have.
    file_bytes: int
    #: Pid of the process that asks: the command, and all that it started, dies with it.
    parent: int


def main() -> int:
    """Ends as the command did."""
    asked = msgspec.json.decode(sys.argv[1], type=Command)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    limits.follow(asked.parent, signal.SIGTERM)
    own = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(asked, own)
    # What the command closes is to be seen at the other ends.
    os.close(0)
    os.close(1)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(own, number)
    return os.waitstatus_to_exitcode(status)


def _become(asked: Command, parent: int) -> NoReturn:
    """Turns this process into the command."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        memory_bytes = asked.memory_bytes
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if memory_bytes and hard != resource.RLIM_INFINITY:
            memory_bytes = min(memory_bytes, hard)
        limits.apply(memory_bytes, parent, descriptors=DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked.file_bytes, asked.file_bytes))
        os.execvpe(asked.arguments[0], asked.arguments, asked.environment)
    except (OSError, ValueError) as error:
        os.write(2, f"{asked.arguments[0]!r} cannot be started: {error}\n".encode(errors="replace"))
    finally:
        os._exit(NO_COMMAND)


if __name__ == "__main__":
    raise SystemExit(main())
