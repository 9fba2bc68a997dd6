"""Sealed memory: a large answer as a descriptor that one process writes and others map, none copies.

Sealed means that nobody can change or shorten it any more, who wrote it included: what was checked
stays true, and reading it cannot end the reader.
"""

from __future__ import annotations

import array
import fcntl
import mmap
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qfw.model.errors import WireError

#: Answers whose arrays have more bytes than this travel so.
SHARED_BYTES = 2**20
#: Largest memory that is believed: an answer of MAX_ANSWER_BYTES and what is around its arrays.
MAX_SHARED_BYTES = 2**30 + 2**15
#: Room for the one descriptor that comes with a message. What does not fit is closed by the kernel.
ANCILLARY_BYTES = socket.CMSG_LEN(4)
#: In place of a descriptor that came, but for which this process had no number left.
LOST = -1

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Memory:
    """A descriptor of sealed memory, which this process owns: closed with the object at the latest."""

    def __init__(self, fd: int) -> None:
        """Takes over `fd`, which may be anything: see `check`."""
        self._fd = fd
        #: Bytes; 0 until `check`.
        self.size = 0

    @staticmethod
    def of(parts: Iterable[bytes | memoryview]) -> Memory:
        """Memory that holds `parts`, one behind the other.

        Raises:
            OSError: the system gives none.
        """
        import numpy as np

        memory = Memory(os.memfd_create("qfw-answers", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        for part in parts:
            rest = np.frombuffer(part, dtype=np.uint8)
            while rest.size:
                # Written, not mapped and copied: a page fault for each page costs as much again.
                rest = rest[os.write(memory.fd, rest.data) :]
        fcntl.fcntl(memory.fd, fcntl.F_ADD_SEALS, _SEALS)
        memory.check()
        return memory

    @property
    def fd(self) -> int:
        """The descriptor. Raises ValueError where it was closed."""
        if self._fd < 0:
            raise ValueError("this memory was closed")
        return self._fd

    def check(self) -> None:
        """Makes sure that it is sealed memory, and sets `size`. Raises WireError."""
        self.size = checked_size(self.fd)

    def view(self) -> memoryview:
        """Its bytes, mapped: they stay as long as the view does. Raises OSError where nothing can be mapped."""
        return mapped(self.fd, self.size)

    def read(self) -> bytes:
        """A copy of its bytes, without a mapping, of which a process has some ten thousands only."""
        return os.pread(self.fd, self.size, 0)

    def duplicate(self) -> Memory:
        """The same memory, with a descriptor of its own. Raises OSError where there is none left."""
        other = Memory(os.dup(self.fd))
        other.size = self.size
        return other

    def close(self) -> None:
        """Closes the descriptor."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def can_share() -> bool:
    """Whether this Python and system have sealed memory."""
    return hasattr(os, "memfd_create")


def checked_size(fd: int) -> int:
    """Bytes of the sealed memory behind a descriptor.

    Raises:
        WireError: it is something else, not sealed, empty or too large.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise WireError("a descriptor came that is no memory") from error
    if seals & _SEALS != _SEALS:
        raise WireError(f"memory came whose seals are {seals:#x}; {_SEALS:#x} are needed")
    size = os.fstat(fd).st_size
    if not 0 < size <= MAX_SHARED_BYTES:
        raise WireError(f"memory of {size} bytes came; 1 to {MAX_SHARED_BYTES} are read here")
    return size


def descriptors(ancillary: Sequence[tuple[int, int, bytes]], flags: int) -> list[int]:
    """The descriptors that came with a `recvmsg`; the last one is LOST where the kernel kept some back."""
    found = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return [*found, LOST] if flags & socket.MSG_CTRUNC else found.tolist()


def hand_over(sock: socket.socket, data: bytes, fd: int) -> int:
    """Sends `data` with a descriptor, which goes with the first byte; bytes that were sent. Raises OSError."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
    return sock.sendmsg([data], [rights])


def mapped(fd: int, size: int) -> memoryview:
    """The first `size` bytes behind a descriptor, read-only. `fd` may be closed afterwards.

    Raises:
        OSError: nothing can be mapped.
    """
    import numpy as np

    return np.asarray(_Pages(fd, size)).data


class _Pages:
    """A mapping that ends with the last array on it.

    Not `mmap.mmap`: it keeps a descriptor of its own (up to Python 3.12), of which a process has only some
    hundreds, and as many large results would be all that it could hold.
    """

    def __init__(self, fd: int, size: int) -> None:
        import ctypes

        self._addresses: deque[int] = deque()
        self._size = size
        mmap_, self._munmap = _calls()
        # In one step for the interpreter: a signal handler that raises must not lose the address.
        arguments = (None, size, mmap.PROT_READ, mmap.MAP_PRIVATE, fd, 0)
        self._addresses.extend(map(mmap_, *zip(arguments, strict=False)))
        if self._addresses[0] == ctypes.c_void_p(-1).value:
            self._addresses.clear()
            errno = ctypes.get_errno()
            raise OSError(errno, f"mmap of {size} bytes: {os.strerror(errno)}")

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """For NumPy, whose array keeps this object."""
        return {"shape": (self._size,), "typestr": "|u1", "data": (self._addresses[0], True), "version": 3}

    def __del__(self) -> None:
        while self._addresses:
            self._munmap(self._addresses.pop(), self._size)


def _calls() -> tuple[Callable[..., int], Callable[..., int]]:
    """The C library's mmap and munmap."""
    global _found
    if _found is None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        integer, size, pointer = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p
        libc.mmap.argtypes = [pointer, size, integer, integer, integer, ctypes.c_long]
        libc.munmap.argtypes = [pointer, size]
        _found = libc.mmap, libc.munmap
    return _found


_found: tuple[Callable[..., int], Callable[..., int]] | None = None
