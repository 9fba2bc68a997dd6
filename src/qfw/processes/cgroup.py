"""A bound of the processes and threads of a child: the pids controller of cgroups, version 1 or 2."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from qfw.model.errors import SetupError

_OURS = re.compile(r"qfw-[1-9][0-9]{0,9}-[0-9a-f]{12}")
#: Seconds that an empty group of a process that cannot be seen is left alone.
SWEEP_AGE_S = 60.0


class PidsGroup:
    """A cgroup that was made here, and is removed when its processes are gone."""

    def __init__(self, path: Path) -> None:
        #: Its folder.
        self.path = path

    def add(self, pid: int) -> None:
        """Moves a process into it; what that starts is in it too. Raises OSError: the process is gone."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def processes(self) -> list[int]:
        """Pids of the processes in it."""
        try:
            return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def kill(self) -> None:
        """Ends all of them; none can be started in it any more."""
        with contextlib.suppress(OSError):
            (self.path / "pids.max").write_text("0")
        with contextlib.suppress(OSError):
            (self.path / "cgroup.kill").write_text("1")
            return
        # Version 1, and kernels before 5.14. Nothing new can come, so once is enough.
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> bool:
        """Whether it is gone now; False as long as a process is in it."""
        try:
            self.path.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


def make(
    name: str,
    most: int,
    own: Path = Path("/proc/self/cgroup"),
    mounts: Path = Path("/proc/self/mountinfo"),
) -> PidsGroup:
    """A new cgroup in which `most` processes and threads can be at once.

    Args:
        name: of its folder; unique on this machine.
        most: at least one.
        own: says which cgroups this process is in: cgroups(7).
        mounts: says where they are mounted: proc(5).

    Raises:
        SetupError: none can be had here; says why, for each place that was tried.
    """
    reasons = []
    for parent in _places(own, mounts):
        path = parent / name
        try:
            path.mkdir()
        except OSError as error:
            reasons.append(f"{parent}: {error.strerror}")
            continue
        try:
            if not (path / "pids.max").exists():
                (parent / "cgroup.subtree_control").write_text("+pids")
            (path / "pids.max").write_text(str(most))
            return PidsGroup(path)
        except OSError as error:
            reasons.append(f"{parent}: no pids controller for groups below it ({error.strerror})")
            with contextlib.suppress(OSError):
                path.rmdir()
    raise SetupError(
        f"no pids cgroup can be had: {'; '.join(reasons) or 'no controller for pids is mounted'}. Run the daemon "
        "where its user may make cgroups (systemd: Delegate=pids), or without this bound"
    )


def group_name() -> str:
    """A name for a group of this process, by which `sweep` knows it."""
    return f"qfw-{os.getpid()}-{uuid4().hex[:12]}"


def sweep(own: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/proc/self/mountinfo")) -> int:
    """Removes empty groups of processes that are gone, which were killed before they could; how many.

    A group is touched only if it has a name of `group_name`, its process is not there, it is older than a minute
    and nothing runs in it: the process may be one of another container, which cannot be seen from here.
    """
    removed = 0
    for parent in _places(own, mounts):
        try:
            found = [path for path in parent.iterdir() if _OURS.fullmatch(path.name)]
        except OSError:
            continue
        for path in found:
            pid = path.name.split("-")[1]
            with contextlib.suppress(OSError):
                old = time.time() - path.stat().st_mtime > SWEEP_AGE_S
                if old and not Path("/proc", pid).exists():
                    # The kernel refuses where a process is in it.
                    path.rmdir()
                    removed += 1
    return removed


def _places(own: Path, mounts: Path) -> Iterator[Path]:
    """Folders below which a group may be made, the nearest to this process's own group first."""
    try:
        groups = [line.split(":", 2) for line in own.read_text(errors="surrogateescape").splitlines()]
        mounted = [line.split(" ") for line in mounts.read_text(errors="surrogateescape").splitlines()]
    except OSError:
        return
    for fields in mounted:
        kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
        if kind != "cgroup2" and not (kind == "cgroup" and "pids" in options):
            continue
        root, mount = fields[3], Path(_unescaped(fields[4]))
        for group in groups:
            if len(group) != 3 or (
                group[1] != "" if kind == "cgroup2" else "pids" not in group[1].split(",")
            ):
                continue
            inside = group[2][len(root) :] if root != "/" and group[2].startswith(root) else group[2]
            # In a container the path may be the host's: then only the mount itself is there.
            parts = [part for part in inside.split("/") if part not in ("", "..")]
            for depth in range(len(parts), -1, -1):
                place = mount.joinpath(*parts[:depth])
                if place.is_dir():
                    yield place


def _unescaped(text: str) -> str:
    """A path of mountinfo, in which blanks and the like are octal."""
    for code in ("040", "011", "012", "134"):
        text = text.replace("\\" + code, chr(int(code, 8)))
    return text
