"""Children and their ends, for real."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qfw.config.discover import child_environment
from qfw.model.errors import PlatformFailed, SetupError
from qfw.processes import cgroup, child
from tests.stack import is_alive, until

PARENT = """
import os, subprocess, sys
made = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
os.write(int(sys.argv[1]), str(made.pid).encode())
sys.stdin.read()
{end}
"""


def start(end: str, group: cgroup.PidsGroup | None = None) -> tuple[child.Child, int]:
    """A child with a child of its own; the latter's pid."""
    text = PARENT.format(end=end)
    made = child.start("it", lambda fd: ["-c", text, str(fd)], child_environment(), group=group)
    made.channel.setblocking(True)
    return made, int(made.channel.recv(32))


def test_what_a_child_started_ends_with_it() -> None:
    made, grandchild = start("")
    assert until(made.reap, "its end") == "exit code 0"
    until(lambda: not is_alive(grandchild), "the end of what it started")
    made.close()


def test_a_child_is_killed_with_all_of_its_group() -> None:
    made, grandchild = start("import time; time.sleep(1000)")
    assert made.reap() is None
    made.kill()
    assert until(made.reap, "its end") == "killed by SIGKILL"
    until(lambda: not is_alive(grandchild), "the end of what it started")
    made.kill()
    made.close()


def test_what_cannot_be_started_is_said() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(PlatformFailed, match="cannot start it"):
        child.start("it", lambda fd: [], {}, python="/nowhere/python", capture=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_group_bounds_ends_and_goes() -> None:
    try:
        group = cgroup.make(f"qfw-test-{os.getpid()}-group", 5)
    except SetupError:
        pytest.skip("no pids cgroup can be had")
    made, grandchild = start("import time; time.sleep(1000)", group)
    # It may have been started before its parent joined.
    assert made.pid in group.processes() and (group.path / "pids.max").read_text().strip() == "5"
    made.kill()
    assert until(made.reap, "its end") == "killed by SIGKILL"
    assert not group.path.exists() and made.group is None
    until(lambda: not is_alive(grandchild), "the end of what it started")
    made.close()


def test_where_no_group_can_be_had_the_reasons_are_said(tmp_path: Path) -> None:
    own, mounts = tmp_path / "cgroup", tmp_path / "mountinfo"
    (tmp_path / "mount" / "a").mkdir(parents=True)
    own.write_text("0::/a\n")
    mounts.write_text(f"41 31 0:38 / {tmp_path / 'mount'} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "mount" / "a" / "cgroup.subtree_control").mkdir()
    (tmp_path / "mount" / "cgroup.subtree_control").mkdir()
    with pytest.raises(SetupError, match=r"mount/a: no pids controller.*mount: no pids controller"):
        cgroup.make("name", 5, own, mounts)
    assert not (tmp_path / "mount" / "a" / "name").exists()
    with pytest.raises(SetupError, match="no controller for pids is mounted"):
        cgroup.make("name", 5, own, tmp_path / "absent")
