"""A bare two-hop echo: what moving the same bytes through the same kinds of process costs.

`python -m benchmarks.echo middle|worker FD … BYTES …` is one of its processes.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from types import TracebackType

from benchmarks.measure import Disagreement

#: Larger than any frame that is echoed.
BUFFER_BYTES = 1 << 18


class Echo:
    """Client (this process, blocking), middle (an epoll loop), worker (blocking): three processes.

    Unix stream sockets, one message under way, plain bytes of given sizes on each of the four ways.
    """

    def __init__(self, sizes: tuple[int, int, int, int]) -> None:
        """Sizes of the messages: client to middle, middle to worker, and back."""
        self._sent, to_worker, from_worker, self._wanted = bytes(sizes[0]), sizes[1], sizes[2], sizes[3]
        self._socket, client = socket.socketpair()
        middle, worker = socket.socketpair()
        self._processes = [
            _start("middle", client, middle, sizes[0], to_worker, from_worker, sizes[3]),
            _start("worker", worker, None, to_worker, from_worker),
        ]
        self._buffer = bytearray(BUFFER_BYTES)

    def run(self, index: int) -> None:
        """There and back once."""
        self._socket.sendall(self._sent)
        got = 0
        while got < self._wanted:
            count = self._socket.recv_into(self._buffer)
            if not count:
                raise Disagreement("the echo's processes ended")
            got += count

    def __enter__(self) -> Echo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        for process in self._processes:
            # A closed socket ends each in turn.
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(
    part: str, first: socket.socket, second: socket.socket | None, *sizes: int
) -> subprocess.Popen[bytes]:
    sockets = [first] if second is None else [first, second]
    fds = [sock.fileno() for sock in sockets]
    command = [sys.executable, "-m", "benchmarks.echo", part, *map(str, (*fds, *sizes))]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=fds)
    for sock in sockets:
        sock.close()
    return process


def middle(
    client_fd: int, worker_fd: int, request: int, to_worker: int, from_worker: int, reply: int
) -> None:
    """Passes each whole request on to the worker and each whole answer back, by an epoll loop."""
    client, worker = socket.socket(fileno=client_fd), socket.socket(fileno=worker_fd)
    client.setblocking(False)
    worker.setblocking(False)
    onward, back = bytes(to_worker), bytes(reply)
    ways = {client_fd: (client, worker, request, onward), worker_fd: (worker, client, from_worker, back)}
    got = {client_fd: 0, worker_fd: 0}
    buffer = bytearray(BUFFER_BYTES)
    epoll = select.epoll()
    for fd in ways:
        epoll.register(fd, select.EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            source, target, whole, message = ways[fd]
            count = source.recv_into(buffer)
            if not count:
                return
            got[fd] += count
            if got[fd] >= whole:
                got[fd] -= whole
                target.send(message)


def worker(fd: int, request: int, reply: int) -> None:
    """Answers each whole request; blocks."""
    sock = socket.socket(fileno=fd)
    sock.setblocking(True)
    answer, buffer, got = bytes(reply), bytearray(BUFFER_BYTES), 0
    while count := sock.recv_into(buffer):
        got += count
        if got >= request:
            got -= request
            sock.sendall(answer)


if __name__ == "__main__":
    {"middle": middle, "worker": worker}[sys.argv[1]](*map(int, sys.argv[2:]))
