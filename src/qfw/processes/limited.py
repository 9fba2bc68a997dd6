"""Runs a command under limits. `python -m qfw.processes.limited`: reads what to do from its one argument, JSON.

The command is its child. Whatever that leaves behind becomes its child too, and is ended with the command, whatever
group or session it went to. Where whoever asked dies, or wants no more of it, it is told so by SIGTERM.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from qfw.processes import limits
from qfw.processes.scratch import remove

#: Exit code where the command cannot be started.
NO_COMMAND = 127
#: Files that a command may have open.
DESCRIPTORS = 256
#: Seconds that what is killed may take to be gone.
END_S = 1.0


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
    #: Its folder, which goes with it where it is ended.
    folder: str


def main() -> int:
    """Ends as the command did."""
    asked = msgspec.json.decode(sys.argv[1], type=Command)
    own = os.getpid()
    signal.signal(signal.SIGTERM, lambda *_: _end(asked, own))
    limits.adopt()
    limits.follow(asked.parent, signal.SIGTERM)
    pid = os.fork()
    if pid == 0:
        _become(asked, own)
    # What the command closes is to be seen at the other ends.
    os.close(0)
    os.close(1)
    _, status = os.waitpid(pid, 0)
    limits.end_descendants(END_S)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(own, number)
    return os.waitstatus_to_exitcode(status)


def _end(asked: Command, own: int) -> NoReturn:
    """Ends all of it at once, and with it this process."""
    if os.getpid() == own:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        limits.end_descendants(END_S)
        # Whoever asked may not be there any more to do it.
        remove(Path(asked.folder))
    os.killpg(0, signal.SIGKILL)
    raise AssertionError("it is killed")


def _become(asked: Command, parent: int) -> NoReturn:
    """Turns this process into the command."""
    try:
        # As a shell would start it: Python itself ignores the others.
        for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
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
