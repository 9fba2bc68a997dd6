"""Shelf: lowered programs on disk, for every process of one user; bounded.

A cache and nothing more: whatever is wrong with it, programs are lowered as if it were not there. Entries are
written aside and renamed into place, so that nobody reads half of one, on network file systems too; what is
damaged nevertheless is found by its digest, removed and counted. No lock is held but while old entries go.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

logger = logging.getLogger(__name__)

#: Another one where entries are read otherwise.
FORMAT = b"QFWL\x01"
_DIGEST_BYTES = 32
_HEAD_BYTES = len(FORMAT) + _DIGEST_BYTES
_ENDING, _ASIDE = ".lowered", ".new"
#: What nobody finished writing for so long is removed.
ASIDE_S = 3600.0
#: The folder is looked through where this part of its bound was written since; then the oldest go down to `ROOM`.
LOOK, ROOM = 1 / 16, 0.9
#: No entry is larger than this part of the bound.
LARGEST = 1 / 4
COUNTED = ("hits", "misses", "damaged", "evicted")


class ShelfState(msgspec.Struct, frozen=True):
    """What is on a shelf, and what happened to it since its folder was made; of all processes."""

    folder: str
    entries: int
    bytes: int
    most_bytes: int
    hits: int
    misses: int
    #: Entries that were damaged, or another user's or writable for others, and were not believed.
    damaged: int
    evicted: int
    #: Why it is not used; empty where it is.
    reason: str = ""


class Shelf:
    """A folder of entries by their keys."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Looks at nothing yet; `most_bytes` bounds all entries together (0: nothing is kept)."""
        self.folder = folder
        self._most = most_bytes
        #: Bytes written since the folder was looked through; None: it never was.
        self._written: int | None = None
        self._numbers = itertools.count()
        self._told = False

    def get(self, key: bytes) -> bytes | None:
        """What was put under a key; None where there is nothing, or nothing that can be believed."""
        if not self._most:
            return None
        with self._opened(make=False) as folder:
            if folder is None:
                return None
            try:
                body = self._read(folder, key)
            except FileNotFoundError:
                self._count(folder, "misses")
                return None
            except OSError as error:
                # ELOOP: somebody put a link there.
                if error.errno != errno.ELOOP:
                    self._tell(error)
                    return None
                body = None
            if body is None:
                self._spoil(folder, key)
                return None
            # Used now: the oldest go first. A folder that is read-only keeps its order.
            with contextlib.suppress(OSError):
                os.utime(_name(key), dir_fd=folder)
            self._count(folder, "hits")
            return body
        return None

    def put(self, key: bytes, body: bytes) -> None:
        """Keeps something under a key, if there is room for it and the folder can be written."""
        size = len(body) + _HEAD_BYTES
        if size > self._most * LARGEST:
            return
        with self._opened(make=True) as folder:
            if folder is None:
                return
            aside = f".{os.getpid()}-{time.time_ns():x}-{next(self._numbers)}{_ASIDE}"
            try:
                self._write(folder, aside, (FORMAT + _digest(key, body), body))
                os.rename(aside, _name(key), src_dir_fd=folder, dst_dir_fd=folder)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.unlink(aside, dir_fd=folder)
                self._tell(error)
                return
            if self._written is None or self._written + size > self._most * LOOK:
                self._written = 0
                self._make_room(folder)
            else:
                self._written += size

    def spoil(self, key: bytes) -> None:
        """What is under a key is not what it should be: removed and counted."""
        with self._opened(make=False) as folder:
            if folder is not None:
                self._spoil(folder, key)

    def clear(self) -> int:
        """Removes all entries; how many."""
        with self._opened(make=False) as folder:
            if folder is None:
                return 0
            entries = _entries(folder)
            return sum(_unlinked(folder, name) for _, _, name in entries)
        return 0

    def state(self) -> ShelfState:
        """What is there now. Where the folder is not, or cannot be used, `reason` says so."""
        entries: list[tuple[int, int, str]] = []
        counts = dict.fromkeys(COUNTED, 0)
        reason = "" if self._most else "tools.cache_bytes is 0"
        try:
            folder = _open(self.folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            reason = reason or f"{error.strerror}"
        else:
            try:
                entries = _entries(folder)
                for name in COUNTED:
                    with contextlib.suppress(OSError):
                        counts[name] = os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
            except OSError as error:
                reason = reason or f"{error.strerror}"
            finally:
                os.close(folder)
        size = sum(size for _, size, _ in entries)
        return ShelfState(str(self.folder), len(entries), size, self._most, **counts, reason=reason)

    # The folder -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, *, make: bool) -> Iterator[int | None]:
        """A descriptor of the folder; None where it cannot be used. It is checked every time."""
        folder = None
        try:
            if make:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = _open(self.folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._tell(error)
        try:
            yield folder
        finally:
            if folder is not None:
                os.close(folder)

    def _read(self, folder: int, key: bytes) -> bytes | None:
        """The body; None where the entry is damaged or not this user's. Raises OSError."""
        # Of a FIFO that somebody put there nobody waits for the other end.
        file = os.open(_name(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            found = os.fstat(file)
            too_large = found.st_size > self._most * LARGEST
            if not stat.S_ISREG(found.st_mode) or not _is_own(found) or too_large:
                return None
            with open(file, "rb", buffering=0, closefd=False) as entry:
                data = entry.read(found.st_size + 1) or b""
        finally:
            os.close(file)
        body = data[_HEAD_BYTES:]
        return body if data[:_HEAD_BYTES] == FORMAT + _digest(key, body) else None

    def _write(self, folder: int, name: str, parts: tuple[bytes, ...]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:  # noqa: PTH123 - a descriptor
            for part in parts:
                file.write(part)

    def _spoil(self, folder: int, key: bytes) -> None:
        logger.warning("shelf %s: entry %s is damaged or not ours; removed", self.folder, _name(key))
        _unlinked(folder, _name(key))
        self._count(folder, "damaged")

    def _make_room(self, folder: int) -> None:
        """Removes what was not used for longest, where it is too much. One process at a time."""
        try:
            lock = os.open(
                # Of a FIFO that somebody put there nobody waits for the other end.
                "lock",
                os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
                0o600,
                dir_fd=folder,
            )
        except OSError as error:
            self._tell(error)
            return
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            except OSError:
                # A file system without locks: two that remove the same do no harm.
                logger.debug("shelf %s: no locks there", self.folder)
            self._evict(folder)
        except OSError as error:
            self._tell(error)
        finally:
            os.close(lock)

    def _evict(self, folder: int) -> None:
        entries = sorted(_entries(folder))
        held = sum(size for _, size, _ in entries)
        if held > self._most:
            for _, size, name in entries:
                if held <= self._most * ROOM:
                    break
                held -= size
                if _unlinked(folder, name):
                    self._count(folder, "evicted")
        late_ns = time.time_ns() - int(ASIDE_S * 1e9)
        for since_ns, _, name in _entries(folder, _ASIDE):
            if since_ns < late_ns:
                _unlinked(folder, name)

    def _count(self, folder: int, what: str) -> None:
        """One byte more: appending needs no lock."""
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            counter = os.open(what, flags, 0o600, dir_fd=folder)
            try:
                os.write(counter, b"+")
            finally:
                os.close(counter)

    def _tell(self, error: OSError) -> None:
        """Says once why it does not work."""
        if not self._told:
            self._told = True
            logger.warning("lowered programs are not kept in %s: %s", self.folder, error.strerror or error)


def _open(path: Path) -> int:
    """A descriptor of a folder that belongs to this user and nobody else can write. Raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not _is_own(os.fstat(folder)):
        os.close(folder)
        raise PermissionError(
            errno.EPERM,
            "the folder is another user's, or others may write it; make it yours alone (chmod 700)",
        )
    return folder


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _entries(folder: int, ending: str = _ENDING) -> list[tuple[int, int, str]]:
    """When each was used last (ns), its size and name."""
    found = []
    with os.scandir(folder) as names:
        for entry in names:
            if entry.name.endswith(ending):
                # Another process may have removed it.
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime_ns, status.st_size, entry.name))
    return found


def _unlinked(folder: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return _moved_away(folder, name)
    except OSError:
        return False
    return True


def _moved_away(folder: int, name: str) -> bool:
    """Of a folder in an entry's place: it may hold what somebody wants to have."""
    try:
        os.rename(name, f".{name}.{time.time_ns():x}", src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        return False
    return True


def _name(key: bytes) -> str:
    return key.hex() + _ENDING


def _digest(key: bytes, body: bytes) -> bytes:
    """Of an entry and its key: one that was renamed is none of the other key."""
    digest = hashlib.blake2b(key, digest_size=_DIGEST_BYTES)
    digest.update(body)
    return digest.digest()
