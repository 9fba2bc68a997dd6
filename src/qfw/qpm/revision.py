"""Revision: a number in a file beside the socket, which grows before anybody can see that a device changed.

Who kept what a daemon said of its devices reads it, and asks again only where it grew. docs/specs/wire.md
describes the file.
"""

from __future__ import annotations

import logging
import os
import stat
import struct
from pathlib import Path

logger = logging.getLogger(__name__)

#: Bytes of the daemon's mark, and of the file: the mark and the number.
MARK_BYTES, FILE_BYTES = 16, 24


class RevisionFile:
    """The daemon's side: one file of its own for each daemon, never one that another daemon wrote."""

    def __init__(self, path: Path) -> None:
        """Makes the file; readers of an earlier daemon's keep that one. Raises OSError."""
        self._path = path
        self._number = 0
        #: What tells this daemon's file from every other's.
        self.mark = os.urandom(MARK_BYTES)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        self._fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._write()
            fresh.replace(path)
        except BaseException:
            os.close(self._fd)
            raise

    def grow(self) -> None:
        """A device is about to change: before anything that shows it is sent or written.

        Raises:
            OSError: nor can readers be told that the file is of no use; they would believe what is no longer so.
        """
        self._number += 1
        try:
            self._write()
        except OSError as error:
            logger.error("the revision cannot be written, clients ask instead: %s", error)
            os.ftruncate(self._fd, 0)

    def close(self) -> None:
        """Takes the file away. Nobody else may serve the folder yet."""
        os.close(self._fd)
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        # Whole: where somebody cut it off it is right again.
        written = os.pwrite(self._fd, self.mark + struct.pack("<Q", self._number), 0)
        if written != FILE_BYTES:
            raise OSError(f"{written} of {FILE_BYTES} bytes were written")


class RevisionReader:
    """A client's side: a descriptor that is read, not mapped, since a mapped file that is cut off ends its reader."""

    def __init__(self, path: Path, mark: bytes) -> None:
        """`mark`: the daemon's own; empty: it has no such file."""
        self._mark = mark
        self._fd = -1
        if len(mark) != MARK_BYTES:
            return
        try:
            # A FIFO there must hold up nobody.
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            logger.info("no revision, devices are asked each time: %s", error)
            return
        if not stat.S_ISREG(os.fstat(self._fd).st_mode) or self.read() is None:
            self.close()

    def read(self) -> bytes | None:
        """What differs as soon as any device of the daemon did; None where the file does not say. Any thread."""
        if self._fd < 0:
            return None
        try:
            found = os.pread(self._fd, FILE_BYTES + 1, 0)
        except OSError:
            return None
        return found if len(found) == FILE_BYTES and found.startswith(self._mark) else None

    def close(self) -> None:
        """Closes the descriptor."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()
