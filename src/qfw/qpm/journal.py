"""Reading and writing the journal's segments. docs/specs/journal.md is the description.

A segment begins with MAGIC. Then records: length (4 bytes), CRC-32 of the body (4), version
of the body (1), all big-endian, and the body, one event as MessagePack.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from qfw.model.decoding import decoder
from qfw.model.errors import JournalDamaged
from qfw.model.events import DaemonStarted, Event

MAGIC = b"QFWJ\x00\x01\r\n"
RECORD_VERSION = 1
SUFFIX = ".qfj"
#: A record is an event; the largest carries a program or parameters of one message of the wire.
MAX_RECORD_BYTES = 2**28

_HEADER = struct.Struct(">IIB")
_encode = msgspec.msgpack.Encoder().encode
_decode = decoder(Event)


def record(event: Event) -> bytes:
    """The bytes of an event's record."""
    body = _encode(event)
    return _HEADER.pack(len(body), zlib.crc32(body), RECORD_VERSION) + body


def segments(path: Path) -> list[Path]:
    """Segments of a journal, oldest first: of a folder all, of a file this one."""
    if path.is_dir():
        return sorted(found for found in path.glob(f"*{SUFFIX}") if found.stem.isdecimal())
    return [path]


def read(path: Path, salvage: bool = False) -> Iterator[Event]:
    """The events of a journal (a folder, or one segment), oldest first.

    A record that is cut short at the very end, or where a later daemon begins, is what a crash leaves: it
    was never acted on and is passed over.

    Args:
        path: folder or segment.
        salvage: end quietly at the first damaged record of a segment and go on with the next.

    Raises:
        JournalDamaged: missing, no journal, or a record that fails its checksum (file and offset).
    """
    found = segments(path)
    if not found or not found[0].exists():
        raise JournalDamaged(
            f"{path}: there is no journal; name a runtime folder's journal/ or one of its segments"
        )
    for segment, following in zip(found, [*found[1:], None], strict=True):
        try:
            yield from _read_segment(segment, last=following is None or _begins_a_life(following))
        except JournalDamaged:
            if not salvage:
                raise


def _begins_a_life(path: Path) -> bool:
    """Whether a daemon started with this segment, or died before it had said so."""
    try:
        return isinstance(next(_read_segment(path, last=True), None), DaemonStarted | None)
    except JournalDamaged:
        return False


def _read_segment(path: Path, last: bool) -> Iterator[Event]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalDamaged(f"{path}: {error.strerror}") from error
    if len(content) < len(MAGIC) and MAGIC.startswith(content):
        return
    if not content.startswith(MAGIC):
        raise JournalDamaged(f"{path} is no QFw journal: it begins with {content[:8]!r}")
    at = len(MAGIC)
    while at < len(content):
        if at + _HEADER.size > len(content):
            return _cut_short(path, at, last)
        length, checksum, version = _HEADER.unpack_from(content, at)
        start = at + _HEADER.size
        if length > MAX_RECORD_BYTES:
            raise _damaged(path, at, f"a record of {length} bytes is announced")
        if start + length > len(content):
            return _cut_short(path, at, last)
        body = content[start : start + length]
        if zlib.crc32(body) != checksum:
            raise _damaged(path, at, "the checksum is wrong")
        if version != RECORD_VERSION:
            raise _damaged(path, at, f"the record has version {version}; this QFw reads {RECORD_VERSION}")
        try:
            event = _decode(body)
        except msgspec.DecodeError as error:
            raise _damaged(path, at, str(error)) from error
        yield event
        at = start + length
    return None


def _cut_short(path: Path, at: int, last: bool) -> None:
    if not last:
        raise _damaged(path, at, "the segment ends within a record, and later segments follow")


def _damaged(path: Path, at: int, what: str) -> JournalDamaged:
    return JournalDamaged(
        f"{path} is damaged at byte {at}: {what}. Records before it are intact; "
        f"read them with: qfw squeue --journal {path} --salvage"
    )


class JournalWriter:
    """Appends events: one write(2) for all that a turn of the daemon's loop brought.

    What was written survives the death of any process, not a power cut.
    """

    def __init__(self, folder: Path, segment_bytes: int, retain_bytes: int) -> None:
        """Begins a new segment behind those that `folder` has."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._retain_bytes = retain_bytes
        folder.mkdir(mode=0o700, exist_ok=True)
        existing = segments(folder)
        self._number = int(existing[-1].stem) if existing else 0
        self._pending: list[bytes] = []
        #: Live tasks by the segment that holds their TaskAccepted.
        self._live: dict[int, int] = {}
        self._fd = -1
        self._size = 0
        self._roll()

    def limit(self, segment_bytes: int, retain_bytes: int) -> None:
        """Other bounds, from now on; what is above the retention goes with the next segment."""
        self._segment_bytes = segment_bytes
        self._retain_bytes = retain_bytes

    @property
    def segment(self) -> int:
        """Number of the segment that the next record goes to."""
        return self._number

    def append(self, event: Event) -> None:
        """Notes an event; `flush` writes it."""
        body = _encode(event)
        self._pending.append(_HEADER.pack(len(body), zlib.crc32(body), RECORD_VERSION))
        self._pending.append(body)

    def task_opened(self) -> int:
        """Keeps the current segment until `task_ended` of the number that is returned."""
        self._live[self._number] = self._live.get(self._number, 0) + 1
        return self._number

    def task_ended(self, segment: int) -> None:
        """A live task of that segment is answered."""
        left = self._live[segment] - 1
        if left:
            self._live[segment] = left
        else:
            del self._live[segment]

    def flush(self) -> None:
        """Writes what was appended. Raises OSError: the disk is full or gone, and nothing of it is kept."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        with memoryview(data) as view:
            done = 0
            try:
                while done < len(data):
                    done += os.write(self._fd, view[done:])
            except OSError:
                # Half a record is passed over at the end only; others may follow.
                os.ftruncate(self._fd, self._size)
                raise
        self._size += len(data)
        if self._size > self._segment_bytes:
            self._roll()

    def close(self) -> None:
        """Writes what is left and closes the segment."""
        self.flush()
        os.close(self._fd)

    def _roll(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._number += 1
        path = self._folder / f"{self._number:08d}{SUFFIX}"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(self._fd, MAGIC)
        self._size = len(MAGIC)
        self._drop_old()

    def _drop_old(self) -> None:
        """Removes the oldest segments beyond the retention, up to the first that a live task needs."""
        found = segments(self._folder)
        total = sum(path.stat().st_size for path in found)
        oldest_live = min(self._live, default=self._number)
        for path in found:
            if total <= self._retain_bytes or int(path.stem) >= oldest_live:
                return
            total -= path.stat().st_size
            path.unlink()
