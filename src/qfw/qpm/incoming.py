"""What a client has read and not yet acted on: bytes and descriptors, and the messages that they make.

Signal handlers may raise anywhere in here. So what `recvmsg` gives is kept as it is, everything else is
worked out of it anew as often as it takes, and a descriptor is closed in one step for the interpreter.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence

from qfw.model.errors import NoCapacity, WireError
from qfw.qpm.frames import HEADER_BYTES, WITH_DESCRIPTOR
from qfw.qpm.shared import LOST, checked_size, descriptors, mapped
from qfw.qpm.wire import MAX_REPLY_BYTES


class Mapped(bytes):
    """A message whose last field came as a descriptor."""

    #: That field; or, where this process had no room for it, the error that says so.
    content: memoryview | NoCapacity


class Incoming:
    """What arrived and is not cut into messages yet. Only ever appended to; then replaced whole."""

    def __init__(self, rest: bytes = b"", fds: Sequence[int] = ()) -> None:
        #: As `recvmsg` gives them: bytes, ancillary data, flags, address.
        self.chunks = deque([(rest, _NOTHING, 0, None)] if rest else ())
        #: Descriptors that came with `rest`.
        self._fds = fds
        #: Descriptors of the messages before, which are mapped by now. LOST is below them.
        self.spent: list[int] | None = None
        #: Chunks that were counted, and their bytes.
        self._counted = (0, 0)
        #: Bytes up to the end of the first message, as far as is known.
        self._need = _need(rest) if rest else HEADER_BYTES

    def complete(self) -> bool:
        """Whether the first message is there. Raises WireError where it would be too long."""
        count, size = self._counted
        while count < len(self.chunks):
            size += len(self.chunks[count][0])
            count += 1
        self._counted = (count, size)
        if size < self._need:
            return False
        if self._need == HEADER_BYTES:
            self._need = _need(self._joined())
        return size >= self._need

    def cut(self, most: int | None = None) -> tuple[list[bytes], Incoming]:
        """The messages that are complete, at most `most`, and what is left. May be repeated.

        Raises:
            WireError: descriptors do not fit the messages, or are not sealed memory.
        """
        data, fds, at, used = self._joined(), self.fds(), 0, 0
        bodies: list[bytes] = []
        while len(bodies) != most and (end := at + _need(data, at)) <= len(data) and end > at + HEADER_BYTES:
            body = data[at + HEADER_BYTES : end]
            if data[at] & _FLAGGED:
                if used == len(fds):
                    raise WireError("a frame was announced with a descriptor, and came without")
                body = Mapped(body)
                body.content = _content(fds[used])
                used += 1
            bodies.append(body)
            at = end
        if not fds:
            return bodies, Incoming(data[at:])
        # The next message may have begun, and its descriptor come with its first byte.
        if len(fds) - used > (1 if at < len(data) else 0):
            raise WireError("a descriptor came that no frame had announced")
        left = Incoming(data[at:], fds[used:])
        left.spent = [LOST, *(fd for fd in fds[:used] if fd != LOST)]
        return bodies, left

    def close_spent(self) -> None:
        """Closes the descriptors that are mapped."""
        if self.spent:
            # In one step for the interpreter, so that each is closed once.
            deque(map(os.close, iter(self.spent.pop, LOST)), maxlen=0)

    def close(self) -> None:
        """Closes all descriptors. Nothing is read any more."""
        self.close_spent()
        fds = self.fds()
        self.chunks.clear()
        self._fds = ()
        self.spent = [LOST, *(fd for fd in fds if fd != LOST)]
        self.close_spent()

    def fds(self) -> Sequence[int]:
        """Descriptors that came, in order, and LOST for each that was lost."""
        found = self._fds
        for _, ancillary, flags, _ in self.chunks:
            if ancillary or flags & socket.MSG_CTRUNC:
                found = [*found, *descriptors(ancillary, flags)]
        return found

    def _joined(self) -> bytes:
        chunks = self.chunks
        return chunks[0][0] if len(chunks) == 1 else b"".join([chunk[0] for chunk in chunks])


#: Ancillary data of a chunk that had none.
_NOTHING: list[tuple[int, int, bytes]] = []
#: WITH_DESCRIPTOR, in the first byte of a frame.
_FLAGGED = WITH_DESCRIPTOR >> 24


def _need(data: bytes, at: int = 0) -> int:
    """Bytes of the message at `at`, its header included; the header's alone where that is not there yet."""
    if len(data) - at < HEADER_BYTES:
        return HEADER_BYTES
    length = int.from_bytes(data[at : at + HEADER_BYTES], "big") & ~WITH_DESCRIPTOR
    if not 0 < length <= MAX_REPLY_BYTES:
        raise WireError(f"a frame of {length} bytes was announced; 1 to {MAX_REPLY_BYTES} are read here")
    return HEADER_BYTES + length


def _content(fd: int) -> memoryview | NoCapacity:
    if fd == LOST:
        return NoCapacity(
            "a large result came, and this process had no file descriptor left for it. Close some, or raise "
            "the limit (ulimit -n)"
        )
    size = checked_size(fd)
    try:
        return mapped(fd, size)
    except OSError as error:
        return NoCapacity(f"a large result of {size} bytes came, and this process cannot map it: {error}")
