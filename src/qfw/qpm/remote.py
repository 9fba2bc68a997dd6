"""The client's end of the wire: connecting, the handshake, frames; and an observer that asks."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from qfw import __version__
from qfw.config.runtime import check_owner, socket_path
from qfw.model.calibration import Calibration
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
from qfw.qpm.frames import pack
from qfw.qpm.incoming import Incoming
from qfw.qpm.shared import ANCILLARY_BYTES, can_share
from qfw.qpm.status import Counters, DaemonStatus, Outcome, PlatformStatus, TaskRow
from qfw.qpm.wire import (
    OBSERVER,
    WIRE_VERSION,
    Control,
    Hello,
    NativeAnswer,
    Query,
    Refused,
    Reply,
    Welcome,
    decode_greeting,
    decode_response,
)

#: A daemon that does not read for this long is taken for lost.
SEND_LIMIT_S = 30.0
#: One read takes no more. Below what an allocator asks the system for, which would cost more than the read.
RECEIVE_BYTES = 1 << 16
#: Arguments of `recvmsg`, for `map`: bytes, room for a descriptor, flags.
_RECEIVE = ((RECEIVE_BYTES,), (ANCILLARY_BYTES,), (socket.MSG_CMSG_CLOEXEC,))
#: A blocking read returns at least this often.
READ_SLICE_S = 0.5


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
        self._incoming = self._following = Incoming()
        try:
            # Root may look into every daemon, and submit to none but its own.
            any_owner = role == OBSERVER and not os.getuid()
            if path.exists() and not any_owner:
                check_owner(path)
            self._socket.settimeout(timeout_s)
            self._socket.connect(str(path))
            pid, uid, _ = struct.unpack(
                "3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            )
            if uid not in (os.getuid(), 0) and not any_owner:
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
    def ended(self) -> bool:
        """Whether the daemon's end is closed, whatever is unread here. Any thread; never waits."""
        fd = self._socket.fileno()
        if fd < 0:
            return True
        # One of its own: two threads may not use the same one at once.
        poll = select.poll()
        poll.register(fd, select.POLLRDHUP)
        return bool(poll.poll(0))

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
_A = TypeVar("_A", Reply, NativeAnswer)


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

    def platforms(self) -> list[PlatformStatus]:
        """Every platform that is installed or configured, as it is; starts none."""
        return self._ask("platforms now", list[PlatformStatus])

    def start_platforms(self, timeout_s: float) -> list[PlatformStatus]:
        """The same, once those that wait for somebody to ask have come up, or have failed to."""
        return self._ask("platforms", list[PlatformStatus], timeout_s)

    def calibration(self, device: str) -> Calibration | None:
        """The newest calibration of a device; None of one that has none."""
        found: Calibration | None = self._ask(f"calibration {device}", Calibration | None)
        return found

    def counters(self) -> Counters:
        """What the daemon has done so far."""
        return self._ask("counters", Counters)

    def daemon(self) -> DaemonStatus:
        """What the daemon is, and whether it takes tasks."""
        return self._ask("daemon", DaemonStatus)

    def control(self, verb: str) -> Outcome:
        """Has the daemon *drain*, *resume*, *reload* or *stop*; what became of it.

        Raises:
            QFwError: the daemon's reason why nothing changed.
        """
        self._requests += 1
        self._link.send(pack(Control(self._requests, verb)))
        answer = self._awaited(NativeAnswer, self._timeout_s)
        if answer is None:
            raise ResultTimeout(f"the daemon did not answer {verb!r} within {self._timeout_s:g} s")
        if answer.error is not None:
            raise answer.error.to_exception()
        return msgspec.msgpack.decode(answer.body, type=Outcome)

    def close(self) -> None:
        """Closes the connection."""
        self._link.close()

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, subject: str, kind: type[_T] | Any, timeout_s: float | None = None) -> _T:
        timeout_s = timeout_s or self._timeout_s
        self._requests += 1
        self._link.send(pack(Query(self._requests, subject)))
        reply = self._awaited(Reply, timeout_s)
        if reply is None:
            raise ResultTimeout(f"the daemon did not say its {subject} within {timeout_s:g} s")
        answer: _T = msgspec.msgpack.decode(reply.body, type=kind)
        return answer

    def _awaited(self, kind: type[_A], timeout_s: float) -> _A | None:
        """The answer to the last request; None where it does not come in time."""
        deadline = time.monotonic() + timeout_s
        while (remaining := deadline - time.monotonic()) > 0:
            bodies = self._link.receive(remaining)
            self._link.taken()
            for body in bodies:
                message = decode_response(body)
                if isinstance(message, Refused):
                    raise message.error.to_exception()
                if isinstance(message, kind) and message.request == self._requests:
                    return message
        return None


def _limit(sock: socket.socket, option: int, seconds: float) -> None:
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, int((seconds - whole) * 1e6)))
