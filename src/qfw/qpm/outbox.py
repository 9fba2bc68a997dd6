"""Bytes on their way to a non-blocking socket."""

from __future__ import annotations

import socket
from collections import deque


class Outbox:
    """Collects frames during a turn of a loop and writes them with as few calls as the socket takes."""

    def __init__(self, sock: socket.socket) -> None:
        """`sock` must be non-blocking."""
        self._socket = sock
        self._parts: deque[bytes | memoryview] = deque()
        #: Bytes that wait.
        self.size = 0

    def put(self, data: bytes) -> None:
        """Adds bytes; `flush` sends them."""
        self._parts.append(data)
        self.size += len(data)

    def flush(self) -> bool:
        """Sends what the socket takes; True when nothing is left.

        Raises:
            OSError: the peer is gone.
        """
        parts = self._parts
        while parts:
            # Small frames travel together; a large one is not copied again.
            if len(parts) > 1 and len(parts[0]) < 65536:
                batch = [parts.popleft()]
                size = len(batch[0])
                while parts and size < 65536:
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
