"""What runs commands under limits: nothing that a command started is left, where there are no cgroups too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from qfw.processes.limited import Command
from qfw.processes.scratch import remove, scratch
from qfw.processes.signals import signal_name
from tests.stack import LIMIT_S, is_alive, until

#: Leaves a daemon: a process of a session of its own, whose parent is gone, and which holds no pipe.
DAEMON = """
import os, pathlib, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (0, 1, 2):
            os.close(number)
        pathlib.Path(sys.argv[1] + ".new").write_text(str(os.getpid()))
        os.rename(sys.argv[1] + ".new", sys.argv[1])
        time.sleep(600)
    os._exit(0)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.001)
"""


def started(code: str, note: Path, folder: Path) -> subprocess.Popen[bytes]:
    asked = Command(
        (sys.executable, "-S", "-c", code, str(note)),
        dict(os.environ),
        2**30,
        2**20,
        os.getpid(),
        str(folder),
    )
    return subprocess.Popen(
        [sys.executable, "-m", "qfw.processes.limited", msgspec.json.encode(asked).decode()],
        cwd=folder,
        start_new_session=True,
    )


def _terminated(process: subprocess.Popen[bytes]) -> None:
    process.terminate()


def _left(process: subprocess.Popen[bytes]) -> None:
    """It ends by itself."""


@pytest.mark.parametrize(("waits", "ends", "code"), [("", _left, 0), ("time.sleep(600)", _terminated, -9)])
def test_a_daemon_that_a_command_left_is_ended(
    tmp_path: Path, waits: str, ends: Callable[[subprocess.Popen[bytes]], None], code: int
) -> None:
    note, folder = tmp_path / "pid", tmp_path / "folder"
    folder.mkdir()
    process = started(DAEMON + waits, note, folder)
    until(note.exists, "the daemon")
    daemon = int(note.read_text())
    assert ends is _left or is_alive(daemon)
    ends(process)
    assert process.wait(LIMIT_S) == code
    assert not is_alive(daemon)
    # Whoever asked to end it may not be there any more.
    assert folder.exists() == (ends is _left)


def test_where_the_asker_dies_nothing_is_left_and_the_folder_goes(tmp_path: Path) -> None:
    note, folder = tmp_path / "pid", tmp_path / "folder"
    asker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from tests.processes.test_limited import DAEMON, started; "
            "Path(sys.argv[2]).mkdir(); started(DAEMON + 'time.sleep(600)', *map(Path, sys.argv[1:])).wait()",
            str(note),
            str(folder),
        ]
    )
    until(note.exists, "the daemon")
    (folder / "left").write_text("behind")
    asker.kill()
    asker.wait(LIMIT_S)
    until(lambda: not folder.exists(), "the folder is gone")
    assert not is_alive(int(note.read_text()))


def test_a_folder_goes_whatever_is_in_it(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    here = Path.cwd()
    with scratch("qfw-test-") as folder:
        (folder / "link").symlink_to(kept)
        os.mkfifo(folder / "fifo")
        (folder / "closed" / "inner").mkdir(parents=True)
        (folder / "closed").chmod(0)
        os.chdir(folder)
        try:
            # Deeper than Python's stack and longer than a path may be.
            for _ in range(1500):
                Path("deeper").mkdir()
                os.chdir("deeper")
        finally:
            os.chdir(here)
        folder.chmod(0o500)
    assert not folder.exists() and (kept / "file").read_text() == "kept"
    assert remove(folder)


def test_signals_have_names() -> None:
    assert signal_name(9) == "SIGKILL"
    assert signal_name(signal.SIGRTMIN + 6) == "SIGRTMIN+6"
    assert signal_name(33) == "signal 33"
