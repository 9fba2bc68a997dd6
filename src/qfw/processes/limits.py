"""What a child may use; set by itself before it reads anything."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def apply(memory_bytes: int, parent: int, *, descriptors: int = 0, niceness: int = 0) -> None:
    """Limits this process for the rest of its life.

    Args:
        memory_bytes: of data (RLIMIT_DATA: heap, anonymous mappings); 0 for none.
        parent: pid of the process that started this one; when it dies, so does this one.
        descriptors: files that it may have open (RLIMIT_NOFILE); 0 for as many as now.
        niceness: by which others come before it.
    """
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if descriptors:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if most != resource.RLIM_INFINITY:
            descriptors = min(descriptors, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    if niceness:
        os.nice(niceness)
    follow(parent)
    # Ctrl-C in the user's terminal is for the application, which cancels what it has in flight.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def hold(memory_bytes: int) -> bool:
    """Lets this process allocate so many bytes beyond what it has, of those that `apply` gives; 0: all of these.

    Returns:
        Whether that is less than all of these.
    """
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    held = _data_bytes() + memory_bytes if memory_bytes else most
    if most != resource.RLIM_INFINITY:
        held = min(held, most)
    resource.setrlimit(resource.RLIMIT_DATA, (held, most))
    return held != most


def most() -> int:
    """Bytes of data that `apply` gives this process; -1 for no limit."""
    return resource.getrlimit(resource.RLIMIT_DATA)[1]


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process: proc(5), VmData."""
    for line in Path("/proc/self/status").read_bytes().splitlines():
        if line.startswith(b"VmData:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmData")


def follow(parent: int, with_signal: int = signal.SIGKILL) -> None:
    """Has this process sent a signal when the one that started it dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, with_signal) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the line above took effect.
    if os.getppid() != parent:
        os.kill(os.getpid(), with_signal)


def adopt() -> None:
    """Makes this process the parent of whatever its descendants leave behind, daemons among them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def end_descendants(limit_s: float) -> bool:
    """Kills and collects all that descends from this process, which has adopted it; whether nothing is left.

    What is killed leaves its own children to this process, so that it goes on until there are none.
    """
    end_s = time.monotonic() + limit_s
    while True:
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        if time.monotonic() > end_s:
            return False
        # Until what was killed has ended: nothing tells that without collecting it.
        time.sleep(0.001)


def _descendants() -> list[int]:
    """Pids of the processes that this one, or what descends from it, started: proc(5)."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (path / "stat").read_bytes().rpartition(b")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(path.name))
    found = children.get(os.getpid(), [])
    for pid in found:
        found += children.get(pid, [])
    return found
