"""A kept result: one file, which says whose it is and proves that it is whole. docs/specs/task.md is the description.

MAGIC, then the length of the header (4 bytes, big-endian) and its CRC-32 (4), the header as MessagePack, and
the answers as they travelled.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import msgspec

from qfw.model.decoding import decoder
from qfw.model.errors import ErrorReport, NoCapacity, ResultDamaged, ResultExpired
from qfw.model.task import QuantumTask, parse_task_name, task_name
from qfw.qpm.shared import SHARED_BYTES, Memory, can_share
from qfw.qpm.wire import TaskAnswer

MAGIC = b"QFWR\x00\x01\r\n"
SUFFIX, FRESH = ".qfr", ".new"
#: A header has no parameters and no outputs; an error's message may be long.
MAX_HEADER_BYTES = 2**22
#: What is read or checked in one step.
STEP_BYTES = 2**20

_LENGTHS = struct.Struct(">II")


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """How a detached task ended: the header of its file."""

    #: Without its parameters and outputs.
    quantum: QuantumTask
    #: Whose it is.
    uid: int
    #: `content_digest` of what was submitted.
    digest: bytes
    client_pid: int
    daemon_pid: int
    #: When it ended, Unix time in ns.
    ended_ns: int
    #: Without the answers; None where it failed or was cancelled.
    answer: TaskAnswer | None
    error: ErrorReport | None
    #: Bytes of the answers.
    size: int
    #: Their CRC-32.
    checksum: int = 0


_decode_header = decoder(Kept)
_encode = msgspec.msgpack.Encoder().encode


def content_digest(task: QuantumTask) -> bytes:
    """Digest of what makes two submissions the same work: all but numbers, times and options."""
    return blake2b(
        _encode(
            (
                task.device,
                task.program,
                task.outputs,
                task.sets,
                task.parameters,
                task.shots,
                task.seed,
                task.calibration,
                task.pipeline,
                task.first_set,
            )
        ),
        digest_size=32,
    ).digest()


def path_of(folder: Path, task: int) -> Path:
    """The file of a task's result."""
    return folder / f"{task_name(task)}{SUFFIX}"


def tasks_of(folder: Path) -> Iterator[int]:
    """Numbers of the tasks whose results are in a folder; removes what a write that was cut short left there."""
    for entry in os.scandir(folder):
        stem, _, suffix = entry.name.rpartition(".")
        if f".{suffix}" == FRESH:
            # What is not ours to remove, such as a folder, is no harm.
            with contextlib.suppress(OSError):
                Path(entry.path).unlink()
        elif f".{suffix}" == SUFFIX:
            try:
                number = parse_task_name(stem)
            except ValueError:
                continue
            # One name for each task, and numbers that the register holds.
            if 0 <= number < 2**64 and task_name(number) == stem:
                yield number


def write(folder: Path, kept: Kept, parts: Sequence[bytes | memoryview]) -> int:
    """Writes a result; whoever looks finds all of it or nothing. Bytes of the file.

    Raises:
        NoCapacity: the system does not take it (disk full).
    """
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    header = _encode(msgspec.structs.replace(kept, checksum=checksum))
    path = path_of(folder, kept.quantum.number)
    fresh = path.with_suffix(FRESH)
    try:
        try:
            with fresh.open("wb", buffering=0) as file:
                begin = MAGIC + _LENGTHS.pack(len(header), zlib.crc32(header)) + header
                for piece in (begin, *parts):
                    _write_all(file, piece)
                size = file.tell()
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise NoCapacity(
            f"the result of task {task_name(kept.quantum.number)} ({kept.size} bytes) cannot be kept: {folder}: "
            f"{error.strerror}. Make room there, or keep less (results.retain_bytes, results.retain_s)"
        ) from error
    return size


def _write_all(file: BinaryIO, piece: bytes | memoryview) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


def read_header(folder: Path, task: int) -> Kept:
    """Whose a result is, and what it is. Raises like `read`."""
    with _opened(folder, task) as file:
        return _header(file, task)


def read(folder: Path, task: int) -> tuple[Kept, bytes | Memory]:
    """A result and its answers; large ones in sealed memory.

    Raises:
        ResultExpired: it is not there.
        ResultDamaged: it is not what was written.
        NoCapacity: the system does not give it now.
    """
    with _opened(folder, task) as file:
        kept = _header(file, task)
        try:
            if kept.size <= SHARED_BYTES or not can_share():
                whole = file.read(kept.size + 1)
                if len(whole) != kept.size or zlib.crc32(whole) != kept.checksum:
                    raise _damaged(file, "the checksum of its answers is wrong")
                return kept, whole
            return kept, Memory.of(_checked(file, kept))
        except OSError as error:
            if isinstance(error, ResultDamaged):
                raise
            raise _unreadable(file.name, error) from error


def _checked(file: BinaryIO, kept: Kept) -> Iterable[bytes]:
    """The answers, piece by piece; raises behind the last one unless all of them were right."""
    checksum, left = 0, kept.size
    while left:
        piece = file.read(min(left, STEP_BYTES))
        if not piece:
            raise _damaged(file, f"{left} bytes are missing at its end")
        checksum = zlib.crc32(piece, checksum)
        left -= len(piece)
        yield piece
    if checksum != kept.checksum or file.read(1):
        raise _damaged(file, "the checksum of its answers is wrong")


def _opened(folder: Path, task: int) -> BinaryIO:
    path = path_of(folder, task)
    try:
        file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - it is given away
    except FileNotFoundError as error:
        raise ResultExpired(f"the result of task {task_name(task)} is not in {folder} any more") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ResultDamaged(f"{path} is damaged: it is a link. Run the task again") from error
        raise _unreadable(str(path), error) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        with file:
            raise _damaged(file, "it is no regular file")
    return file


def _open_at_once(path: str, flags: int) -> int:
    """No link is followed, and nobody is waited for who would write into a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _header(file: BinaryIO, task: int) -> Kept:
    try:
        begin = file.read(len(MAGIC) + _LENGTHS.size)
        if not begin.startswith(MAGIC) or len(begin) < len(MAGIC) + _LENGTHS.size:
            raise _damaged(file, f"it begins with {begin[:8]!r}")
        length, checksum = _LENGTHS.unpack_from(begin, len(MAGIC))
        if length > MAX_HEADER_BYTES:
            raise _damaged(file, f"a header of {length} bytes is announced")
        header = file.read(length)
    except OSError as error:
        raise _unreadable(file.name, error) from error
    if len(header) != length or zlib.crc32(header) != checksum:
        raise _damaged(file, "the checksum of its header is wrong")
    try:
        kept: Kept = _decode_header(header)
    except msgspec.DecodeError as error:
        raise _damaged(file, f"its header cannot be read: {error}") from error
    if kept.quantum.number != task or (kept.answer is None) == (kept.error is None):
        raise _damaged(file, f"its header is of task {task_name(kept.quantum.number)}")
    return kept


def _damaged(file: BinaryIO, what: str) -> ResultDamaged:
    return ResultDamaged(f"{file.name} is damaged: {what}. Run the task again")


def _unreadable(path: str, error: OSError) -> NoCapacity:
    return NoCapacity(f"{path} cannot be read: {error.strerror or error}. Try again later")
