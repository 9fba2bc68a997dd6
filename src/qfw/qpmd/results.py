"""Results of detached tasks, kept on disk for whoever attaches: which there are, for how long, and where.

The folder is the truth: the index is read from it when a daemon begins, so results outlive daemons.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from qfw.config.settings import ResultSettings
from qfw.model.errors import NoCapacity, QFwError, ResultDamaged, ResultExpired
from qfw.model.task import task_name
from qfw.qpm.shared import Memory
from qfw.qpmd import kept as files
from qfw.qpmd.kept import Kept
from qfw.qpmd.register import Register

logger = logging.getLogger(__name__)

#: A file takes whole blocks of the file system, and a place in its folder.
BLOCK_BYTES = 4096


class Entry(NamedTuple):
    """What is known of a kept result without reading it."""

    uid: int
    #: When its task ended, Unix time in ns.
    ended_ns: int
    #: Bytes that it takes on disk.
    taken: int
    #: Bytes of its answers.
    size: int
    #: Idempotency key, or empty; and digest of what was submitted.
    key: str
    digest: bytes


class ResultStore:
    """Bounded by `retain_bytes` and `retain_s`: the oldest go first.

    Its methods belong to the daemon's loop, but for `write` and `read`, which take as long as the disk does.
    """

    def __init__(
        self, folder: Path, settings: ResultSettings, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """Looks what `folder` has; makes it if needed. `wall_ns` is Unix time.

        Raises:
            OSError: the folder cannot be used.
        """
        self.folder = folder
        self._settings = settings
        self._wall_ns = wall_ns
        #: Kept results, the one that ended first in front.
        self.index: dict[int, Entry] = {}
        #: Bytes that they take.
        self.taken = 0
        #: Tasks whose results were found damaged since this daemon began.
        self.damaged: set[int] = set()
        #: Tasks whose keys are free again; whoever keeps a list of keys empties it.
        self.gone: list[tuple[int, Entry]] = []
        folder.mkdir(mode=0o700, exist_ok=True)
        self.register = Register(folder / "tasks")
        self._look()
        self.register.begin(set(self.index))
        self.prune()

    def limit(self, settings: ResultSettings) -> None:
        """Keeps as much and as long as `settings` say from now on."""
        self._settings = settings
        self.prune()

    def _look(self) -> None:
        found: list[tuple[int, Entry]] = []
        for number in files.tasks_of(self.folder):
            path = files.path_of(self.folder, number)
            try:
                found.append((number, _entry(files.read_header(self.folder, number), path.stat().st_size)))
            except ResultDamaged as error:
                # It stays, so that whoever attaches hears why there is no result.
                self._found_damaged(number, error)
                status = path.lstat()
                uid = self.register.accepted.get(number, os.getuid())
                entry = Entry(uid, status.st_mtime_ns, _blocks(status.st_size), 0, "", b"")
                found.append((number, entry))
            except (QFwError, OSError) as error:
                logger.error("result passed over: task=%s %s", task_name(number), error)
        for number, entry in sorted(found, key=lambda each: (each[1].ended_ns, each[0])):
            self.index[number] = entry
            self.taken += entry.taken

    def write(self, kept: Kept, parts: list[bytes | memoryview]) -> Entry:
        """Writes a result; `add` its entry afterwards. From any thread.

        Raises:
            NoCapacity: it cannot be kept.
        """
        if _blocks(kept.size) > self._settings.retain_bytes:
            raise NoCapacity(
                f"the result of task {task_name(kept.quantum.number)} has {kept.size} bytes and cannot be kept: "
                f"results.retain_bytes is {self._settings.retain_bytes}. Stay connected until it ends, or raise that"
            )
        return _entry(kept, files.write(self.folder, kept, parts))

    def read(self, task: int) -> tuple[Kept, bytes | Memory]:
        """A result and its answers. From any thread.

        Raises:
            ResultExpired, ResultDamaged, NoCapacity: why it is not given.
        """
        return files.read(self.folder, task)

    def add(self, task: int, entry: Entry) -> None:
        """A result was written."""
        self.index[task] = entry
        self.taken += entry.taken
        self.register.end(task)
        self.prune()

    def prune(self) -> None:
        """Removes what is older or more than is kept; most often looks at one entry only."""
        oldest_ns = self._wall_ns() - int(self._settings.retain_s * 1e9)
        while self.index:
            number = next(iter(self.index))
            entry = self.index[number]
            if self.taken <= self._settings.retain_bytes and entry.ended_ns >= oldest_ns:
                return
            self._remove(number, entry)

    def _remove(self, number: int, entry: Entry) -> None:
        try:
            files.path_of(self.folder, number).unlink(missing_ok=True)
        except OSError as error:
            logger.error("an old result cannot be removed: task=%s %s", task_name(number), error)
        del self.index[number]
        self.damaged.discard(number)
        self.taken -= entry.taken
        self.gone.append((number, entry))
        self.register.expire(number, entry.uid)

    def lost(self, task: int, error: QFwError) -> None:
        """Reading a result failed: it is damaged, or somebody removed its file."""
        if isinstance(error, ResultDamaged):
            self._found_damaged(task, error)
        elif isinstance(error, ResultExpired):
            entry = self.index.get(task)
            if entry is not None:
                self._remove(task, entry)

    def expired(self, task: int) -> ResultExpired:
        """The error for a result that is not kept any more."""
        return ResultExpired(
            f"the result of task {task_name(task)} was kept and is not any more: results are kept for "
            f"{self._settings.retain_s:g} s, and {self._settings.retain_bytes} bytes of them in all (results.retain_s, "
            f"results.retain_bytes). Run the task again"
        )

    def _found_damaged(self, task: int, error: ResultDamaged) -> None:
        if task not in self.damaged:
            self.damaged.add(task)
            logger.error("result damaged: task=%s %s", task_name(task), error)

    def close(self) -> None:
        """Closes the register."""
        self.register.close()


def _blocks(size: int) -> int:
    return max(1, -(-size // BLOCK_BYTES)) * BLOCK_BYTES


def _entry(kept: Kept, size: int) -> Entry:
    key = kept.quantum.options.idempotency_key
    return Entry(kept.uid, kept.ended_ns, _blocks(size), kept.size, key, kept.digest)
