"""Groups that killed daemons left behind, in a folder that looks like a cgroup's mount."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qfw.processes import cgroup


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    made = tmp_path / "mount"
    made.mkdir()
    (tmp_path / "own").write_text("0::/\n")
    (tmp_path / "mounts").write_text(f"30 20 0:26 / {made} rw - cgroup2 cgroup2 rw\n")
    return made


def gone_pid() -> int:
    """Of a process that is not there any more."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def group(mount: Path, name: str, age_s: float) -> Path:
    made = mount / name
    made.mkdir()
    then = time.time() - age_s
    os.utime(made, (then, then))
    return made


def test_only_old_empty_groups_of_gone_processes_are_removed(mount: Path) -> None:
    gone = gone_pid()
    left = group(mount, f"qfw-{gone}-0123456789ab", 3600)
    kept = [
        group(mount, f"qfw-{os.getpid()}-0123456789ab", 3600),
        group(mount, f"qfw-{gone}-0123456789ac", 1),
        group(mount, f"qfw-{gone}-0123456789abc", 3600),
        group(mount, f"qfw-{gone}-0123456789aX", 3600),
        group(mount, f"qfw-0{gone}-0123456789ab", 3600),
        group(mount, f"user-qfw-{gone}-0123456789ab", 3600),
        group(mount, "qfw-all-0123456789ab", 3600),
    ]
    used = group(mount, f"qfw-{gone}-0123456789ad", 3600)
    # The kernel refuses to remove a group with processes, as a folder with something in it is refused.
    (used / "somebody").touch()
    os.utime(used, (1.0, 1.0))
    assert cgroup.sweep(mount.parent / "own", mount.parent / "mounts") == 1
    assert not left.exists() and used.exists()
    assert all(path.exists() for path in kept)


def test_names_are_known_again(mount: Path) -> None:
    name = cgroup.group_name()
    path = group(mount, name.replace(f"-{os.getpid()}-", f"-{gone_pid()}-"), 3600)
    assert cgroup.sweep(mount.parent / "own", mount.parent / "mounts") == 1
    assert not path.exists()


def test_where_no_groups_can_be_seen_nothing_is_done(tmp_path: Path) -> None:
    assert cgroup.sweep(tmp_path / "none", tmp_path / "none") == 0
