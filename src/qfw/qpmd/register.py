"""Register: which detached tasks there were, in a few bytes each, so that a later daemon can say what became of them.

A file of records of one size, appended to once in a turn and written anew where it has grown. A result's own
file says that it is kept; the register says of the others: accepted, or expired.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path

logger = logging.getLogger(__name__)

#: Tasks that are remembered when nothing else is left of them: the newest.
MAX_REMEMBERED = 65_536
#: The file is written anew beyond so many records that say nothing any more.
MAX_OBSOLETE = 262_144

_RECORD = struct.Struct(">cQII")
_ACCEPTED, _EXPIRED = b"A", b"E"


class Register:
    """Numbers of detached tasks with the uid of their owner. Decides nothing; a write that fails is logged."""

    def __init__(self, path: Path) -> None:
        """Reads what earlier daemons wrote; damaged records are passed over.

        Raises:
            OSError: the folder cannot be used.
        """
        self._path = path
        #: Live tasks; before `begin` those of earlier daemons, answered or not.
        self.accepted: dict[int, int] = {}
        #: Tasks of earlier daemons that were not answered.
        self.interrupted: dict[int, int] = {}
        #: Tasks whose result was kept and is not any more; the oldest first.
        self.expired: dict[int, int] = {}
        self._fd = -1
        self._pending: list[bytes] = []
        self._records = 0
        self._failed = False
        self._read()

    def begin(self, kept: set[int]) -> None:
        """What was accepted and is neither kept nor expired was interrupted. Raises OSError."""
        for number, uid in self.accepted.items():
            if number not in kept and number not in self.expired:
                self.interrupted[number] = uid
        self.accepted.clear()
        _shorten(self.interrupted)
        self._write_anew()

    def accept(self, task: int, uid: int) -> None:
        """A task is live from now on."""
        self.accepted[task] = uid
        self._note(_ACCEPTED, task, uid)

    def end(self, task: int) -> None:
        """It was answered."""
        self.accepted.pop(task, None)

    def expire(self, task: int, uid: int) -> None:
        """Its result is not kept any more."""
        self.expired[task] = uid
        _shorten(self.expired)
        self._note(_EXPIRED, task, uid)

    def flush(self) -> None:
        """Writes what was noted."""
        if not self._pending:
            return
        noted, self._pending = b"".join(self._pending), []
        try:
            if self._records > len(self.accepted) + 2 * MAX_REMEMBERED + MAX_OBSOLETE:
                self._write_anew()
                return
            os.write(self._fd, noted)
            self._failed = False
        except OSError as error:
            if not self._failed:
                logger.error("the register of detached tasks is not complete: %s: %s", self._path, error)
            self._failed = True

    def close(self) -> None:
        """Writes what is left, and closes the file."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _note(self, kind: bytes, task: int, uid: int) -> None:
        self._pending.append(_record(kind, task, uid))
        self._records += 1

    def _read(self) -> None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        whole = len(content) - len(content) % _RECORD.size
        for kind, task, uid, checksum in _RECORD.iter_unpack(content[:whole]):
            if zlib.crc32(_RECORD.pack(kind, task, uid, 0)) != checksum:
                continue
            if kind == _EXPIRED:
                self.accepted.pop(task, None)
                self.expired[task] = uid
            else:
                self.accepted[task] = uid
        _shorten(self.expired)

    def _write_anew(self) -> None:
        """A file of what is known now."""
        records = [
            *(_record(_EXPIRED, task, uid) for task, uid in self.expired.items()),
            *(_record(_ACCEPTED, task, uid) for task, uid in self.interrupted.items()),
            *(_record(_ACCEPTED, task, uid) for task, uid in self.accepted.items()),
        ]
        fresh = self._path.with_suffix(".fresh")
        fresh.write_bytes(b"".join(records))
        fresh.replace(self._path)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._records = len(records)


def _record(kind: bytes, task: int, uid: int) -> bytes:
    return _RECORD.pack(kind, task, uid, zlib.crc32(_RECORD.pack(kind, task, uid, 0)))


def _shorten(remembered: dict[int, int]) -> None:
    while len(remembered) > MAX_REMEMBERED:
        remembered.pop(next(iter(remembered)))
