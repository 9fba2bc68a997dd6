"""The client's end of the wire: connecting, the handshake, frames; and an observer that asks."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from qfw import __version__
from qfw.config.runtime import check_owner, socket_path
from qfw.model.device import DeviceStatus
from qfw.model.errors import (
    DaemonLost,
    DaemonUnreachable,
    ForeignOwner,
    QFwError,
    ResultTimeout,
    VersionMismatch,
    WireError,
)
from qfw.qpm.status import Counters, TaskRow
from qfw.qpm.wire import (
    MAX_REPLY_BYTES,
    OBSERVER,
    WIRE_VERSION,
    FrameReader,
    Hello,
    Query,
    Refused,
    Reply,
    Welcome,
    decode_greeting,
    decode_response,
    pack,
)

#: A daemon that does not read for this long is taken for lost.
SEND_LIMIT_S = 30.0
#: A blocking read returns at least this often.
READ_SLICE_S = 0.5
#: One read takes no more.
READ_BYTES = 2**18


class Link:
    """A connected socket to a daemon that said Welcome. Blocking; one reader and one writer at a time."""

    def __init__(self, folder: Path, name: str, role: str, timeout_s: float) -> None:
        """Connects and shakes hands.

        Raises:
            DaemonUnreachable: nobody answers in `folder` within `timeout_s`.
            ForeignOwner: the socket, or the process behind it, is another user's.
            VersionMismatch: the daemon speaks another version.
        """
        self.folder = folder
        path = socket_path(folder)
        deadline = time.monotonic() + timeout_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if path.exists():
                check_owner(path)
            self._socket.settimeout(timeout_s)
            self._socket.connect(str(path))
            pid, uid, _ = struct.unpack(
                "3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            )
            if uid not in (os.getuid(), 0):
                raise ForeignOwner(
                    f"the daemon behind {path} (pid {pid}) runs as uid {uid}, you are {os.getuid()}"
                )
            self._reader = FrameReader(MAX_REPLY_BYTES)
            self._ready: list[bytes] = []
            # Read through one buffer, as `qfw.qpm.wire.Receiver` does.
            self._buffers = (bytearray(READ_BYTES),)
            self._view = memoryview(self._buffers[0])
            #: How many bytes of the buffer were read and are not in messages yet; empty between reads.
            self._sizes: list[int] = []
            self._socket.sendall(pack(Hello(WIRE_VERSION, __version__, os.getpid(), name, role)))
            self.welcome = self._greeted(deadline)
        except QFwError:
            # Some of them are OSErrors too, and mean what they say.
            self._socket.close()
            raise
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self._socket.close()
            raise DaemonUnreachable(f"no daemon answers at {path} ({error.strerror})") from error
        except TimeoutError as error:
            self._socket.close()
            raise DaemonUnreachable(f"the daemon at {path} did not answer within {timeout_s:g} s") from error
        except OSError as error:
            self._socket.close()
            raise DaemonUnreachable(f"cannot connect to {path}: {error}") from error
        except BaseException:
            self._socket.close()
            raise
        # From here on: plain blocking calls, which the kernel ends in time.
        self._socket.settimeout(None)
        _limit(self._socket, socket.SO_RCVTIMEO, READ_SLICE_S)
        _limit(self._socket, socket.SO_SNDTIMEO, SEND_LIMIT_S)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    @property
    def fd(self) -> int:
        """The socket's descriptor; -1 when closed."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Sends frames whole. Raises DaemonLost."""
        try:
            self._socket.sendall(data)
        except BlockingIOError as error:
            raise DaemonLost(
                f"the daemon (pid {self.welcome.pid}) has not read for {SEND_LIMIT_S:g} s"
            ) from error
        except OSError as error:
            raise self.lost(str(error)) from error

    def receive(self, timeout_s: float | None, inbox: deque[bytes]) -> None:
        """Puts the messages that are there into `inbox`; waits for some, at most `timeout_s` (or READ_SLICE_S).

        May be interrupted (Ctrl-C) while it waits. If it is while it cuts what was read into messages, the
        next call says so: nothing that follows could be read.

        Raises:
            DaemonLost: the daemon closed the connection, or see above.
            WireError: it sent a frame that is too long.
        """
        if self._ready:
            inbox.extend(self._ready)
            self._ready = []
            return
        sizes = self._sizes
        if sizes:
            raise self.interrupted("read")
        try:
            if (
                timeout_s is not None
                and timeout_s < READ_SLICE_S
                and not self._poll.poll(max(0.0, timeout_s) * 1e3)
            ):
                return
            # One call from the socket to `sizes`: an interruption finds nothing read, or that something was.
            sizes.extend(map(self._socket.recv_into, self._buffers))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            raise self.lost(str(error)) from error
        if not sizes[0]:
            sizes.clear()
            raise self.lost("it closed the connection")
        inbox.extend(self._reader.feed(bytes(self._view[: sizes[0]])))
        sizes.clear()

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def shutdown(self) -> None:
        """Wakes whoever reads or writes; `close` follows."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # Not connected any more, which is what was asked for.

    def lost(self, reason: str) -> DaemonLost:
        """The error for a daemon that went away."""
        return DaemonLost(
            f"the daemon (pid {self.welcome.pid}) went away: {reason}. Tasks that it had acknowledged are listed by: "
            f"qfw squeue --journal {self.folder / 'journal'}"
        )

    def interrupted(self, doing: str) -> DaemonLost:
        """The error for a connection that this process left in the midst of a message."""
        return DaemonLost(
            f"the connection to the daemon (pid {self.welcome.pid}) cannot go on: this process was interrupted in the "
            f"midst of a message that it {doing}. Open a new Session; tasks that were in flight are cancelled"
        )

    def _greeted(self, deadline: float) -> Welcome:
        while not self._ready:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._socket.settimeout(remaining)
            chunk = bytes(self._view[: self._socket.recv_into(self._buffers[0])])
            if not chunk:
                raise DaemonUnreachable(
                    f"the daemon at {socket_path(self.folder)} closed the connection at once"
                )
            self._ready = self._reader.feed(chunk)
        try:
            greeting: Welcome | Refused = decode_greeting(self._ready.pop(0))
        except msgspec.DecodeError as error:
            raise WireError(f"what answers at {socket_path(self.folder)} is no qpmd: {error}") from error
        if isinstance(greeting, Refused):
            raise greeting.error.to_exception()
        if greeting.wire != WIRE_VERSION:
            raise VersionMismatch(
                f"the daemon (qfw {greeting.version}, pid {greeting.pid}) speaks version {greeting.wire} of the wire, "
                f"this client (qfw {__version__}) version {WIRE_VERSION}. Use the same qfw on both sides"
            )
        return greeting


_T = TypeVar("_T")


class Observer:
    """Asks a running daemon; submits nothing and keeps no private daemon alive."""

    def __init__(self, folder: Path, timeout_s: float = 5.0) -> None:
        """Connects to the daemon of a runtime folder.

        Raises:
            DaemonUnreachable: none runs there.
        """
        self._timeout_s = timeout_s
        self._link = Link(folder, "observer", OBSERVER, timeout_s)
        self._requests = 0
        self._inbox: deque[bytes] = deque()

    @property
    def welcome(self) -> Welcome:
        """What the daemon said of itself."""
        return self._link.welcome

    def devices(self) -> list[DeviceStatus]:
        """Every device and what it does now."""
        return self._ask("devices", list[DeviceStatus])

    def tasks(self) -> list[TaskRow]:
        """Tasks that are not answered yet, oldest first."""
        return self._ask("tasks", list[TaskRow])

    def counters(self) -> Counters:
        """What the daemon has done so far."""
        return self._ask("counters", Counters)

    def close(self) -> None:
        """Closes the connection."""
        self._link.close()

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, subject: str, kind: type[_T] | Any) -> _T:
        self._requests += 1
        self._link.send(pack(Query(self._requests, subject)))
        deadline = time.monotonic() + self._timeout_s
        while (remaining := deadline - time.monotonic()) > 0:
            self._link.receive(remaining, self._inbox)
            while self._inbox:
                message = decode_response(self._inbox.popleft())
                if isinstance(message, Reply) and message.request == self._requests:
                    answer: _T = msgspec.msgpack.decode(message.body, type=kind)
                    return answer
        raise ResultTimeout(f"the daemon did not say its {subject} within {self._timeout_s:g} s")


def _limit(sock: socket.socket, option: int, seconds: float) -> None:
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, int((seconds - whole) * 1e6)))
