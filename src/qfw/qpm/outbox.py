"""Bytes, and now and then descriptors, on their way to a non-blocking socket."""

from __future__ import annotations

import errno
import fcntl
import socket
import termios
from collections import deque

from qfw.qpm.frames import Parcel
from qfw.qpm.shared import hand_over

#: Frames up to this size travel together; a larger one is not copied again.
JOINED_BYTES = 65536


class Outbox:
    """Collects frames during a turn of a loop and writes them with as few calls as the socket takes."""

    def __init__(self, sock: socket.socket) -> None:
        """`sock` must be non-blocking."""
        self._socket = sock
        self._parts: deque[bytes | memoryview] = deque()
        #: Bytes that wait, without those of memory.
        self.size = 0
        #: Whether the last flush ended because the system has too many descriptors on their way: the socket
        #: can be written, and waiting for that would be of no use.
        self.crowded = False
        #: Memory that waits, and that was sent and may be unread: how many, and their bytes.
        self._waiting = (0, 0)
        self._sent = (0, 0)

    def put(self, data: bytes | memoryview) -> None:
        """Adds bytes; `flush` sends them. A Parcel goes with its memory, which is closed then."""
        self._parts.append(data)
        self.size += len(data)
        if isinstance(data, Parcel) and data.memory is not None:
            count, size = self._waiting
            self._waiting = count + 1, size + data.memory.size

    def flush(self) -> bool:
        """Sends what the socket takes; True when nothing is left.

        Raises:
            OSError: the peer is gone.
        """
        parts = self._parts
        self.crowded = False
        while parts:
            if isinstance(parts[0], Parcel):
                if not self._hand_over(parts[0]):
                    return False
                continue
            if len(parts) > 1 and len(parts[0]) < JOINED_BYTES:
                batch = [parts.popleft()]
                size = len(batch[0])
                while parts and size + len(parts[0]) <= JOINED_BYTES and not isinstance(parts[0], Parcel):
                    batch.append(parts.popleft())
                    size += len(batch[-1])
                data: bytes | memoryview = b"".join(batch)
            else:
                data = parts.popleft()
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            self.size -= sent
            if sent < len(data):
                parts.appendleft(memoryview(data)[sent:])
                return False
        return True

    def unread(self) -> tuple[int, int]:
        """Bytes that wait, memory included; and memories. What was sent counts until the peer read everything."""
        if self._sent[0] and _is_read(self._socket):
            self._sent = (0, 0)
        return self.size + self._waiting[1] + self._sent[1], self._waiting[0] + self._sent[0]

    def clear(self) -> None:
        """Forgets what waits, for a peer that is gone."""
        self._parts.clear()
        self.size = 0
        self._waiting = self._sent = (0, 0)

    def _hand_over(self, parcel: Parcel) -> bool:
        """Sends a parcel's memory, and what the socket takes of its bytes; False where it takes nothing."""
        memory = parcel.memory
        assert memory is not None
        try:
            sent = hand_over(self._socket, parcel, memory.fd)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            self.crowded = True
            return False
        # The descriptor went with the first byte.
        memory.close()
        self._waiting = self._waiting[0] - 1, self._waiting[1] - memory.size
        self._sent = self._sent[0] + 1, self._sent[1] + memory.size
        self._parts.popleft()
        self.size -= sent
        if sent < len(parcel):
            self._parts.appendleft(memoryview(parcel)[sent:])
        return True


def _is_read(sock: socket.socket) -> bool:
    """Whether the peer of a Unix socket has read all that was sent."""
    return fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)) == bytes(4)
