"""The journal's segments: what is written is read, and damage is found."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.errors import ErrorReport, JournalDamaged
from qfw.model.events import (
    DaemonStarted,
    DaemonStopped,
    Event,
    ProgramStored,
    TaskAccepted,
    TaskDone,
    TaskFailed,
    TasksReceived,
    TaskStarted,
    WorkerReady,
)
from qfw.model.task import QuantumTask, TaskOptions
from qfw.qpm import journal
from qfw.qpm.journal import JournalWriter

BIG = 2**30
START = DaemonStarted(1, 2, 3, "0")


def numbered(count: int) -> list[Event]:
    return [TasksReceived(number, ((number, number),)) for number in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def write(folder: Path, events: list[Event], segment_bytes: int = BIG, retain_bytes: int = BIG) -> None:
    writer = JournalWriter(folder, segment_bytes, retain_bytes)
    for event in events:
        writer.append(event)
        writer.flush()
    writer.close()


def test_every_event_comes_back(folder: Path) -> None:
    task = QuantumTask(
        5, "d", b"p", b"o", 2, b"\x00" * 16, 7, 9, TaskOptions(idempotency_key="k"), "v1", 1, 2
    )
    events: list[Event] = [
        START,
        ProgramStored(1, b"d", b"program"),
        WorkerReady(2, "d", "d/1", 77),
        TaskAccepted(3, task, 0.25),
        TaskStarted(4, 5, 1, "d/1", 77),
        TaskDone(5, 5, 1, 77, 6, 7, 8, True, 3, b"abc"),
        TaskFailed(6, 6, ErrorReport("TooLarge", "m", 1.5)),
        DaemonStopped(9),
    ]
    write(folder, events)
    assert list(journal.read(folder)) == events
    assert list(journal.read(journal.segments(folder)[0])) == events


@settings(deadline=None, derandomize=True, max_examples=60)
@given(cut=st.integers(1, 200))
def test_torn_tail_loses_only_the_torn_record(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("j") / "00000001.qfj"
    records = [journal.record(event) for event in numbered(10)]
    content = journal.MAGIC + b"".join(records)
    path.write_bytes(content[: max(0, len(content) - cut)])
    kept, size = 0, len(journal.MAGIC)
    while kept < 10 and size + len(records[kept]) <= len(content) - cut:
        size += len(records[kept])
        kept += 1
    assert list(journal.read(path)) == numbered(10)[:kept]


def test_a_crash_and_a_new_daemon_leave_a_readable_journal(folder: Path) -> None:
    """The torn tail of the life before stands in the middle of the journal then."""
    write(folder, [START, *numbered(3)])
    crashed = journal.segments(folder)[0]
    crashed.write_bytes(crashed.read_bytes()[:-3])
    write(folder, [START, *numbered(2)])
    assert list(journal.read(folder)) == [START, *numbered(2), START, *numbered(2)]


def test_a_torn_segment_within_one_life_is_damage(folder: Path) -> None:
    write(folder, numbered(1000), segment_bytes=4096)
    found = journal.segments(folder)
    assert len(found) > 2
    found[0].write_bytes(found[0].read_bytes()[:-3])
    with pytest.raises(JournalDamaged, match=r"within a record.*--salvage"):
        list(journal.read(folder))
    rest = list(journal.read(folder, salvage=True))
    assert len(rest) == 999


@pytest.mark.parametrize("where", [9, 14, 20])
def test_damage_in_the_middle_is_found_and_can_be_passed_over(folder: Path, where: int) -> None:
    write(folder, numbered(1000), segment_bytes=4096)
    first = journal.segments(folder)[0]
    content = bytearray(first.read_bytes())
    content[where] ^= 0xFF
    first.write_bytes(content)
    with pytest.raises(JournalDamaged) as caught:
        list(journal.read(folder))
    assert str(first) in str(caught.value) and "byte 8" in str(caught.value)
    salvaged = list(journal.read(folder, salvage=True))
    assert salvaged and salvaged == numbered(1000)[-len(salvaged) :]


@pytest.mark.parametrize(
    ("body", "version", "said"),
    [
        (b"\x91\x63", 1, "00000001"),
        (b"\x91\x01", 9, "version 9"),
        (b"\x92\x63" + b"\x91" * 5000, 1, "byte 8"),
    ],
)
def test_records_that_cannot_be_believed(folder: Path, body: bytes, version: int, said: str) -> None:
    import struct
    import zlib

    folder.mkdir()
    head = struct.pack(">IIB", len(body), zlib.crc32(body), version)
    (folder / "00000001.qfj").write_bytes(journal.MAGIC + head + body + journal.record(START))
    with pytest.raises(JournalDamaged, match=said):
        list(journal.read(folder))


@pytest.mark.parametrize("content", [b"not a journal", b"\x00" * 100])
def test_another_file_is_no_journal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="no QFw journal"):
        list(journal.read(path))


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(JournalDamaged, match="there is no journal"):
            list(journal.read(path))


def test_segments_follow_each_other(folder: Path) -> None:
    write(folder, numbered(500), segment_bytes=4096)
    sizes = [path.stat().st_size for path in journal.segments(folder)]
    assert len(sizes) > 2 and all(4096 < size < 4200 for size in sizes[:-1])
    assert list(journal.read(folder)) == numbered(500)
    write(folder, numbered(3))
    assert len(list(journal.read(folder))) == 503


def test_a_foreign_file_among_the_segments_does_not_stop_the_daemon(folder: Path) -> None:
    folder.mkdir()
    (folder / "copy of 1.qfj").write_bytes(b"")
    write(folder, numbered(3))
    assert list(journal.read(folder)) == numbered(3)


def test_old_segments_go_and_those_of_live_tasks_stay(folder: Path) -> None:
    writer = JournalWriter(folder, 4096, 4 * 4096)

    def fill(until: int) -> None:
        while writer.segment < until:
            writer.append(numbered(1)[0])
            writer.flush()

    fill(3)
    live = writer.task_opened()
    also = writer.task_opened()
    assert live == also == 3
    fill(20)
    assert [int(path.stem) for path in journal.segments(folder)] == list(range(3, 21))
    writer.task_ended(live)
    fill(21)
    assert int(journal.segments(folder)[0].stem) == 3
    writer.task_ended(also)
    fill(22)
    assert int(journal.segments(folder)[0].stem) >= 17
    assert sum(path.stat().st_size for path in journal.segments(folder)) < 6 * 4096
    writer.close()


@pytest.fixture
def more_space() -> Iterator[Callable[[], None]]:
    """Writing beyond 8000 bytes of a file fails, as on a full disk, until this is called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    yield lift
    lift()


def test_a_full_disk_leaves_no_torn_record_behind(folder: Path, more_space: Callable[[], None]) -> None:
    writer = JournalWriter(folder, BIG, BIG)
    events = numbered(50)
    for event in events:
        writer.append(event)
    writer.flush()
    writer.append(ProgramStored(0, b"d", b"x" * 20_000))
    with pytest.raises(OSError):
        writer.flush()
    # The daemon ends now. What it still wants to say must not make of the torn tail a damaged middle.
    more_space()
    writer.append(DaemonStopped(1))
    writer.close()
    assert list(journal.read(folder)) == [*events, DaemonStopped(1)]
