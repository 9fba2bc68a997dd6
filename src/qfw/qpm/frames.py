"""Frames of messages on a stream socket, some with memory beside them: what all processes of QFw talk in.

A frame is a length (4 bytes, big-endian) and that many bytes of one message, which is MessagePack. The highest bit of
the length says that a descriptor of memory comes with it. docs/specs/wire.md is the description.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Sequence

import msgspec

from qfw.model.errors import WireError
from qfw.qpm.shared import ANCILLARY_BYTES, LOST, Memory, descriptors

encode = msgspec.msgpack.Encoder().encode
_LENGTH = struct.Struct(">I")
HEADER_BYTES = _LENGTH.size
#: Bit of a frame's length: a descriptor comes with its first byte.
WITH_DESCRIPTOR = 2**31


def frame(body: bytes) -> bytes:
    """The frame of an encoded message."""
    return _LENGTH.pack(len(body)) + body


def pack(message: msgspec.Struct) -> bytes:
    """The frame of a message."""
    body = encode(message)
    return _LENGTH.pack(len(body)) + body


def pack_begin(message: msgspec.Struct, size: int) -> bytes:
    """A frame without its last `size` bytes, which are the message's last field; in `message` that is empty."""
    body = encode(message)
    # bin 32 for the empty bin 8 at its end.
    body = body[: -len(_EMPTY)] + b"\xc6" + _LENGTH.pack(size)
    return _LENGTH.pack(len(body) + size) + body


_EMPTY = encode(b"")


class Parcel(bytes):
    """A frame, or its body, that comes with memory."""

    #: None where it came, but was lost because this process has too many descriptors open.
    memory: Memory | None

    @staticmethod
    def of(data: bytes, memory: Memory | None) -> Parcel:
        """`data` with `memory`."""
        parcel = Parcel(data)
        parcel.memory = memory
        return parcel


def pack_parcel(message: msgspec.Struct, memory: Memory) -> Parcel:
    """The frame of a message whose last field lies in `memory`; in `message` it is empty."""
    body = encode(message)
    return Parcel.of(_LENGTH.pack(len(body) | WITH_DESCRIPTOR) + body, memory)


class Receiver:
    """Reads from sockets through one buffer of its own.

    `socket.recv` of as many bytes would allocate them at every call, which costs more than the call.
    """

    def __init__(self, size: int = 1 << 18) -> None:
        """`size` in bytes; one read returns no more."""
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)

    def receive(self, sock: socket.socket) -> bytes:
        """Like `sock.recv`: empty at the end of the stream, and the same errors. Descriptors are refused."""
        return bytes(self._view[: sock.recv_into(self._buffer)])

    def receive_with_memory(self, sock: socket.socket) -> tuple[bytes, list[Memory | None]]:
        """Like `receive`, but descriptors are taken: both for `FrameReader.feed`."""
        count, ancillary, flags, _ = sock.recvmsg_into(
            [self._buffer], ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
        )
        chunk = bytes(self._view[:count])
        if not ancillary and not flags & socket.MSG_CTRUNC:
            return chunk, []
        return chunk, [None if fd == LOST else Memory(fd) for fd in descriptors(ancillary, flags)]


class FrameReader:
    """Cuts a stream of bytes into messages."""

    def __init__(self, max_bytes: int, parcels: bool = False) -> None:
        """A frame that claims more than `max_bytes` is an error before it is read.

        `parcels`: frames may come with a descriptor; they are given as Parcel.
        """
        #: May be changed: for the frames that begin from then on.
        self.max_bytes = max_bytes
        self._parcels = parcels
        self._buffer = bytearray()
        self._need = HEADER_BYTES
        self._memories: deque[Memory | None] = deque()

    def feed(self, chunk: bytes, memories: Sequence[Memory | None] = ()) -> list[bytes]:
        """The bodies that are complete with `chunk`, and with the `memories` that came with it.

        Raises:
            WireError: a frame is longer than allowed, or descriptors do not fit the frames.
        """
        if not self._buffer and len(chunk) >= HEADER_BYTES and not memories:
            # The usual case: one read is one frame.
            length = _LENGTH.unpack_from(chunk)[0]
            if length + HEADER_BYTES == len(chunk):
                self._length(length)
                return [chunk[HEADER_BYTES:]]
        self._memories.extend(memories)
        buffer = self._buffer
        buffer += chunk
        if len(buffer) < self._need:
            self._refuse_unasked()
            return []
        bodies = []
        at, end = 0, len(buffer)
        with memoryview(buffer) as view:
            while True:
                if end - at < HEADER_BYTES:
                    self._need = HEADER_BYTES
                    break
                announced = _LENGTH.unpack_from(view, at)[0]
                length = self._length(announced)
                if end - at - HEADER_BYTES < length:
                    self._need = length + HEADER_BYTES
                    break
                at += HEADER_BYTES
                body = bytes(view[at : at + length])
                bodies.append(body if length == announced else self._parcel(body))
                at += length
        del buffer[:at]
        self._refuse_unasked()
        return bodies

    def close(self) -> None:
        """Forgets what came and was not given."""
        self._buffer.clear()
        self._memories.clear()

    def _length(self, announced: int) -> int:
        length = announced & ~WITH_DESCRIPTOR if self._parcels else announced
        if length > self.max_bytes:
            raise WireError(
                f"a frame of {length} bytes was announced; at most {self.max_bytes} are read here"
            )
        return length

    def _parcel(self, body: bytes) -> Parcel:
        if not self._memories:
            raise WireError("a frame was announced with a descriptor, and came without")
        return Parcel.of(body, self._memories.popleft())

    def _refuse_unasked(self) -> None:
        # The next frame may have begun, and its descriptor come with its first byte.
        if len(self._memories) > (1 if self._buffer else 0):
            self._memories.clear()
            raise WireError("a descriptor came that no frame had announced")
