"""The file by which clients know whether a device changed: what is believed of it, and what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qfw.qpm.revision import FILE_BYTES, MARK_BYTES, RevisionFile, RevisionReader
from tests.stack import open_fds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "revision"


def test_every_growth_is_another_value(path: Path) -> None:
    file = RevisionFile(path)
    reader = RevisionReader(path, file.mark)
    seen = [reader.read()]
    assert reader.read() == seen[0]
    for _ in range(300):
        file.grow()
        seen.append(reader.read())
    assert None not in seen and len(set(seen)) == 301
    # As docs/specs/wire.md describes it.
    assert path.read_bytes() == file.mark + (300).to_bytes(8, "little")
    assert path.stat().st_mode & 0o777 == 0o600
    reader.close()
    file.close()
    assert not path.exists() and reader.read() is None


def test_another_daemons_file_is_not_believed(path: Path) -> None:
    first = RevisionFile(path)
    before = RevisionReader(path, first.mark)
    known = before.read()
    second = RevisionFile(path)
    assert first.mark != second.mark
    assert RevisionReader(path, first.mark).read() is None
    assert RevisionReader(path, second.mark).read() is not None
    # Whoever had the first one goes on with that.
    second.grow()
    assert before.read() == known
    first.grow()
    assert before.read() not in (known, None)
    first.close()
    second.close()


@pytest.mark.parametrize("size", [0, 1, MARK_BYTES, FILE_BYTES - 1, FILE_BYTES + 1, 2**16])
def test_a_file_of_another_length_is_not_believed_until_it_is_written_anew(path: Path, size: int) -> None:
    file = RevisionFile(path)
    reader = RevisionReader(path, file.mark)
    known = reader.read()
    os.truncate(path, size)
    assert reader.read() is None and RevisionReader(path, file.mark).read() is None
    file.grow()
    if size < FILE_BYTES:
        assert reader.read() not in (known, None)
    else:
        assert reader.read() is None
    file.close()


def test_what_is_no_file_is_not_waited_for(path: Path) -> None:
    mark = bytes(range(MARK_BYTES))
    before = open_fds()
    assert RevisionReader(path, mark).read() is None
    os.mkfifo(path)
    assert RevisionReader(path, mark).read() is None
    path.unlink()
    path.mkdir()
    assert RevisionReader(path, mark).read() is None
    path.rmdir()
    (path.parent / "other").write_bytes(mark + bytes(8))
    path.symlink_to("other")
    assert RevisionReader(path, mark).read() is None
    path.unlink()
    path.write_bytes(mark + bytes(8))
    assert RevisionReader(path, mark).read() == mark + bytes(8)
    # A daemon without one says so by an empty mark; no other length is one either.
    assert RevisionReader(path, b"").read() is None
    assert RevisionReader(path, mark[:-1]).read() is None
    assert open_fds() == before
