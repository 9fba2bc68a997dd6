"""The client's end of the wire: connecting, the handshake, frames; and an observer that asks."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
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
    NoCapacity,
    QFwError,
    ResultTimeout,
    VersionMismatch,
    WireError,
)
from qfw.qpm.shared import ANCILLARY_BYTES, LOST, can_share, checked_size, descriptors, mapped
from qfw.qpm.status import Counters, TaskRow
from qfw.qpm.wire import (
    HEADER_BYTES,
    MAX_REPLY_BYTES,
    OBSERVER,
    WIRE_VERSION,
    WITH_DESCRIPTOR,
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
#: One read takes no more. Below what an allocator asks the system for, which would cost more than the read.
RECEIVE_BYTES = 1 << 16
#: Arguments of `recvmsg`, for `map`.
_RECEIVE = ((RECEIVE_BYTES,), (ANCILLARY_BYTES,), (socket.MSG_CMSG_CLOEXEC,))
#: A blocking read returns at least this often.
READ_SLICE_S = 0.5


class Mapped(bytes):
    """A message whose last field came as a descriptor."""

    #: That field; or, where this process had no room for it, the error that says so.
    content: memoryview | NoCapacity


class _Incoming:
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

    def cut(self, most: int | None = None) -> tuple[list[bytes], _Incoming]:
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
            return bodies, _Incoming(data[at:])
        # The next message may have begun, and its descriptor come with its first byte.
        if len(fds) - used > (1 if at < len(data) else 0):
            raise WireError("a descriptor came that no frame had announced")
        left = _Incoming(data[at:], fds[used:])
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


class Link:
    """A connected socket to a daemon that said Welcome. Blocking; one reader and one writer at a time."""

    def __init__(
        self, folder: Path, name: str, role: str, timeout_s: float, descriptors: bool = True
    ) -> None:
        """Connects and shakes hands. `descriptors`: large answers may come as sealed memory.

        Raises:
            DaemonUnreachable: nobody answers in `folder` within `timeout_s`.
            ForeignOwner: the socket, or the process behind it, is another user's.
            VersionMismatch: the daemon speaks another version.
        """
        self.folder = folder
        path = socket_path(folder)
        deadline = time.monotonic() + timeout_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._incoming = self._following = _Incoming()
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
            hello = Hello(WIRE_VERSION, __version__, os.getpid(), name, role, descriptors and can_share())
            self._socket.sendall(pack(hello))
            self.welcome = self._greeted(deadline)
        except QFwError:
            # Some of them are OSErrors too, and mean what they say.
            self.close()
            raise
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self.close()
            raise DaemonUnreachable(f"no daemon answers at {path} ({error.strerror})") from error
        except TimeoutError as error:
            self.close()
            raise DaemonUnreachable(f"the daemon at {path} did not answer within {timeout_s:g} s") from error
        except OSError as error:
            self.close()
            raise DaemonUnreachable(f"cannot connect to {path}: {error}") from error
        except BaseException:
            self.close()
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

    def receive(self, timeout_s: float | None) -> list[bytes]:
        """Bodies of the messages that are there; waits for some, at most `timeout_s` (or READ_SLICE_S).

        Whatever interrupts it, nothing is lost: call `taken` when they are kept.

        Raises:
            DaemonLost: the daemon closed the connection.
            WireError: it sent a frame that is too long, or a descriptor that is not to be believed.
        """
        incoming = self._following = self._incoming
        if not incoming.complete():
            try:
                if (
                    timeout_s is not None
                    and timeout_s < READ_SLICE_S
                    and not self._poll.poll(max(0.0, timeout_s) * 1e3)
                ):
                    return []
                # In one step for the interpreter: what was read is kept, whatever a signal handler raises.
                incoming.chunks.extend(map(self._socket.recvmsg, *_RECEIVE))
            except (BlockingIOError, InterruptedError):
                return []
            except OSError as error:
                raise self.lost(str(error)) from error
            if not incoming.chunks[-1][0]:
                raise self.lost("it closed the connection")
            if not incoming.complete():
                return []
        bodies, self._following = incoming.cut()
        return bodies

    def taken(self) -> None:
        """The bodies that `receive` gave are in safe hands; until then it gives the same ones again."""
        self._incoming = self._following
        self._incoming.close_spent()

    def close(self) -> None:
        """Closes the socket, and the descriptors that came and were not taken."""
        self._socket.close()
        self._incoming.close()

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

    def _greeted(self, deadline: float) -> Welcome:
        while not self._incoming.complete():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._socket.settimeout(remaining)
            self._incoming.chunks.extend(map(self._socket.recvmsg, *_RECEIVE))
            if not self._incoming.chunks[-1][0]:
                raise DaemonUnreachable(
                    f"the daemon at {socket_path(self.folder)} closed the connection at once"
                )
        bodies, self._incoming = self._incoming.cut(most=1)
        try:
            greeting: Welcome | Refused = decode_greeting(bodies[0])
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
            bodies = self._link.receive(remaining)
            self._link.taken()
            for body in bodies:
                message = decode_response(body)
                if isinstance(message, Reply) and message.request == self._requests:
                    answer: _T = msgspec.msgpack.decode(message.body, type=kind)
                    return answer
        raise ResultTimeout(f"the daemon did not say its {subject} within {self._timeout_s:g} s")


def _limit(sock: socket.socket, option: int, seconds: float) -> None:
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, int((seconds - whole) * 1e6)))
