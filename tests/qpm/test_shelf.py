"""Shelf: bounded, for one user, for several processes at once; whatever is wrong with it, it only finds nothing."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qfw.qpm import shelf as module
from qfw.qpm.shelf import FORMAT, Shelf
from tests.stack import open_fds

MOST = 2**20


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def entry(shelf: Shelf, number: int) -> Path:
    return shelf.folder / f"{key(number).hex()}.lowered"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "a" / "lowered", MOST)


def test_what_was_put_is_found(shelf: Shelf) -> None:
    assert shelf.get(key(1)) is None and not shelf.folder.exists()
    shelf.put(key(1), b"one")
    shelf.put(key(2), b"")
    other = Shelf(shelf.folder, MOST)
    assert other.get(key(1)) == b"one" and other.get(key(2)) == b"" and other.get(key(3)) is None
    state = shelf.state()
    assert (state.entries, state.hits, state.misses, state.damaged, state.reason) == (2, 2, 1, 0, "")
    assert shelf.folder.stat().st_mode & 0o777 == 0o700
    assert other.clear() == 2 and shelf.get(key(1)) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data + b"x",
        lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
        lambda data: b"QFWL\x02" + data[len(FORMAT) :],
        lambda data: os.urandom(MOST),
    ],
)
def test_damaged_entries_are_removed_and_counted(shelf: Shelf, damage) -> None:  # type: ignore[no-untyped-def]
    shelf.put(key(1), b"body" * 10)
    entry(shelf, 1).write_bytes(damage(entry(shelf, 1).read_bytes()))
    assert shelf.get(key(1)) is None
    assert not entry(shelf, 1).exists() and shelf.state().damaged == 1
    shelf.put(key(1), b"again")
    assert shelf.get(key(1)) == b"again"


def test_an_entry_of_another_key_is_none_of_this(shelf: Shelf) -> None:
    shelf.put(key(1), b"one")
    entry(shelf, 1).rename(entry(shelf, 2))
    assert shelf.get(key(2)) is None and shelf.state().damaged == 1


def test_links_and_fifos_are_not_followed(shelf: Shelf) -> None:
    shelf.put(key(1), b"one")
    entry(shelf, 2).symlink_to(entry(shelf, 1))
    os.mkfifo(entry(shelf, 3))
    assert shelf.get(key(2)) is None and shelf.get(key(3)) is None
    assert shelf.state().damaged == 2 and shelf.get(key(1)) == b"one"


def test_folders_and_fifos_in_the_place_of_files_do_no_harm(shelf: Shelf) -> None:
    shelf.put(key(1), b"one")
    entry(shelf, 1).unlink()
    (entry(shelf, 1) / "within").mkdir(parents=True)
    (shelf.folder / "lock").unlink()
    os.mkfifo(shelf.folder / "lock")
    before = open_fds()
    other = Shelf(shelf.folder, MOST)
    assert other.get(key(1)) is None and open_fds() == before
    assert shelf.state().damaged == 1
    # What it held is not ours to remove; the place is free again.
    assert len(list(shelf.folder.glob(".*/within"))) == 1
    other.put(key(1), b"again")
    assert other.get(key(1)) == b"again"


def test_what_others_may_write_is_not_believed(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.put(key(1), b"one")
    entry(shelf, 1).chmod(0o666)
    assert shelf.get(key(1)) is None and shelf.state().damaged == 1
    shelf.put(key(1), b"one")
    shelf.folder.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        assert shelf.get(key(1)) is None
        shelf.put(key(2), b"two")
        shelf.put(key(3), b"three")
    assert caplog.text.count("not kept") == 1 and "chmod 700" in caplog.text
    assert "chmod 700" in shelf.state().reason
    shelf.folder.chmod(0o700)
    assert shelf.get(key(1)) == b"one" and shelf.get(key(2)) is None


def test_another_users_folder_is_not_believed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put(key(1), b"one")
    own = os.geteuid()
    monkeypatch.setattr(module.os, "geteuid", lambda: own + 1)
    assert shelf.get(key(1)) is None and "another user's" in shelf.state().reason


def test_a_folder_that_cannot_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    shelf = Shelf(tmp_path / "file" / "lowered", MOST)
    shelf.put(key(1), b"one")
    shelf.put(key(2), b"one")
    assert shelf.get(key(1)) is None and shelf.state().entries == 0
    assert len([record for record in caplog.records if "not kept" in record.message]) == 1


NARROW = """
import logging, resource, sys
from pathlib import Path
from qfw.qpm.shelf import Shelf
logging.basicConfig(level=logging.WARNING)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
shelf = Shelf(Path(sys.argv[1]), 2**20)
for number in range(3):
    shelf.put(number.to_bytes(32, "big"), bytes(5000))
    assert shelf.get(number.to_bytes(32, "big")) is None
"""


def test_where_there_is_no_room_for_an_entry(shelf: Shelf) -> None:
    done = subprocess.run([sys.executable, "-c", NARROW, shelf.folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("not kept") == 1 and "File too large" in done.stderr
    state = shelf.state()
    assert (state.entries, state.damaged) == (0, 0) and not list(shelf.folder.glob(".*.new"))


def test_the_oldest_used_go_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 10_000)
    for number in range(9):
        shelf.put(key(number), bytes(1000))
        os.utime(entry(shelf, number), ns=(number, number))
    assert shelf.get(key(0)) is not None
    for number in range(9, 14):
        shelf.put(key(number), bytes(1000))
    state = shelf.state()
    assert state.bytes <= 10_000 and state.evicted == 14 - state.entries
    assert shelf.get(key(0)) is not None and shelf.get(key(1)) is None and shelf.get(key(13)) is not None


def test_too_large_ones_are_not_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "s", 10_000)
    shelf.put(key(1), bytes(5000))
    assert not shelf.folder.exists()
    none = Shelf(tmp_path / "none", 0)
    none.put(key(1), b"")
    assert none.get(key(1)) is None and not none.folder.exists() and "cache_bytes" in none.state().reason


def test_what_nobody_finished_is_removed(shelf: Shelf) -> None:
    shelf.put(key(1), b"one")
    old, new = shelf.folder / ".1-2-3.new", shelf.folder / ".1-2-4.new"
    old.write_text("")
    new.write_text("")
    os.utime(old, (1, 1))
    Shelf(shelf.folder, MOST).put(key(2), b"two")
    assert not old.exists() and new.exists()


WRITER = """
import sys
from pathlib import Path
from qfw.qpm.shelf import Shelf
shelf = Shelf(Path(sys.argv[1]), 40_000)
for turn in range(60):
    for number in range(20):
        key, body = number.to_bytes(32, "big"), bytes([number]) * (2000 + number)
        found = shelf.get(key)
        assert found is None or found == body, "half an entry was read"
        shelf.put(key, body)
"""


def test_many_processes_at_once(shelf: Shelf) -> None:
    running = [subprocess.Popen([sys.executable, "-c", WRITER, shelf.folder]) for _ in range(4)]
    assert [each.wait(60) for each in running] == [0] * 4
    state = Shelf(shelf.folder, 40_000).state()
    # Each process may write a part of the bound until it looks.
    assert state.damaged == 0 and state.evicted > 0 and state.bytes <= 40_000 * (1 + 4 * module.LOOK)
    assert not list(shelf.folder.glob(".*.new"))
