"""The daemon's process: socket, handshakes, signals, beginning and end."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from qfw import __version__
from qfw.config.runtime import journal_dir, lock_path, results_dir, revision_path, socket_path
from qfw.config.settings import Settings
from qfw.hosts.platform import HostedPlatform
from qfw.model.errors import (
    DaemonLost,
    ErrorReport,
    ForeignOwner,
    QFwError,
    SetupError,
    VersionMismatch,
    WireError,
)
from qfw.model.events import DaemonStarted, DaemonStopped
from qfw.qpm import registry
from qfw.qpm.frames import Receiver, pack
from qfw.qpm.journal import JournalWriter
from qfw.qpm.names import WITHIN
from qfw.qpm.platform import Platform, PlatformConfig
from qfw.qpm.reactor import MAX_SLEEP_S, EpollReactor
from qfw.qpm.revision import RevisionFile
from qfw.qpm.wire import (
    OBSERVER,
    SESSION,
    WIRE_VERSION,
    Hello,
    Refused,
    Welcome,
    decode_hello,
    decode_request,
)
from qfw.qpmd.control import RELOAD, STOP
from qfw.qpmd.core import Core
from qfw.qpmd.folder import hold, next_session
from qfw.qpmd.notify import Notifier
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Host, Platforms
from qfw.qpmd.results import ResultStore
from qfw.scheduling.fair import FairScheduler
from qfw.simenv.toolpool import ToolPool

logger = logging.getLogger(__name__)

#: A client that connects and says nothing is let go.
HANDSHAKE_LIMIT_S = 5.0
#: An acknowledgement waits this long for the result that it could travel with.
ACK_DELAY_S = 0.001
#: Large answers, as descriptors, that a client may leave unread before its tasks wait.
MAX_UNREAD_MEMORIES = 64
#: While its tasks wait for it to read them, and no event would tell: how often to look.
LOOK_S = 0.01
#: After a failure to accept.
ACCEPT_RETRY_S = 0.1
MAX_CLIENTS = 4096
#: A daemon that stops waits so long, in seconds, for its clients to read what they were answered.
FLUSH_LIMIT_S = 5.0


class Daemon:
    """One qpmd, serving one runtime folder on a Unix socket."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        private: bool,
        host: Host = HostedPlatform,
        config: Path | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        """Opens journal and socket.

        Args:
            folder: the runtime folder.
            settings: what it is told.
            private: ends when its last session does.
            host: makes platforms in hosts.
            config: the file that `settings` came from, which a reload reads again.
            notifier: hears when it serves, and when it ends.

        Raises:
            SetupError: another daemon serves this folder.
        """
        self._folder = folder
        self._private = private
        self._notifier = notifier or Notifier(None)
        self._lock = hold(folder)
        self._reactor = EpollReactor()
        self._journal = JournalWriter(
            journal_dir(folder), settings.journal.segment_bytes, settings.journal.retain_bytes
        )
        within: Platform = registry.load(registry.PLATFORMS, WITHIN)(PlatformConfig(WITHIN, {}, settings))
        plugins = registry.names(registry.PLATFORMS)
        platforms = Platforms(settings, {WITHIN: within}, plugins, host)
        scheduler = FairScheduler(settings.scheduling.prefetch_s, settings.scheduling.prefetch_tasks)
        self._tools = ToolPool(settings)
        # Whoever comes later finds another daemon where a private one was.
        results = None if private else ResultStore(results_dir(folder), settings.results)
        self._revision = RevisionFile(revision_path(folder))
        self._core = Core(
            settings,
            self._journal,
            scheduler,
            platforms,
            tools=self._tools,
            results=results,
            revise=self._revision.grow,
        )
        self._settings = self._core.settings
        self._control = self._core.control
        self._control.serve(folder, config, None if private else self._begin_stop)
        self._receiver = Receiver()
        self._peers: dict[int, Peer] = {}
        self._stopping = ""
        #: Why a long-lived daemon stops when what runs has ended.
        self._stop_reason = ""
        #: Whether nobody is waited for any more.
        self._hurried = False
        #: Whether the last attempt to accept failed: said once, when it begins and when it is over.
        self._cannot_accept = False
        path = socket_path(folder)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(512)
        self._listener.setblocking(False)
        self._wake, self._waker = socket.socketpair()

    def run(self, serves: Callable[[], None] = lambda: None) -> None:
        """Serves until a signal or, for a private daemon, until its last session has ended; `serves`: it begins."""
        self._take_signals()
        self._core.emit(DaemonStarted(time.monotonic_ns(), time.time_ns(), os.getpid(), __version__))
        self._core.open_platforms(self._reactor)
        self._reactor.watch(self._listener.fileno(), self._accept)
        logger.info("qpmd started: folder=%s pid=%d version=%s", self._folder, os.getpid(), __version__)
        try:
            self._end_turn()
            serves()
            self._notifier.ready(f"serves {self._folder}")
            while not self._stopping:
                self._reactor.turn(0.0 if self._core.behind else MAX_SLEEP_S)
                self._end_turn()
                if self._private and not self._core.peers:
                    self._leave_if_alone()
                elif self._stop_reason and not (self._control.running or self._core.behind):
                    self._stopping = self._stop_reason
        finally:
            self._close()

    def _end_turn(self) -> None:
        for peer in self._core.end_turn():
            self._flush(peer)

    # Connections --------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # Out of descriptors, most likely: whoever waits would wake the loop at once again.
                if not self._cannot_accept:
                    self._cannot_accept = True
                    logger.error("accept failed, newcomers wait: clients=%d %s", len(self._peers), error)
                self._reactor.unwatch(self._listener.fileno())
                self._reactor.call_at(self._reactor.now() + ACCEPT_RETRY_S, self._accept_again)
                return
            if self._cannot_accept:
                self._cannot_accept = False
                logger.info("accepting again: clients=%d", len(self._peers))
            sock.setblocking(False)
            pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            peer = Peer(sock, uid)
            peer.pid = pid
            self._peers[sock.fileno()] = peer
            self._reactor.watch(sock.fileno(), lambda peer=peer: self._readable(peer))  # type: ignore[misc]
            if len(self._peers) > MAX_CLIENTS:
                self._refuse(peer, WireError(f"{MAX_CLIENTS} clients are connected already"))
                continue

            def let_go(peer: Peer = peer) -> None:
                if not peer.greeted and not peer.closed:
                    self._drop(peer, "no handshake")

            self._reactor.call_at(self._reactor.now() + HANDSHAKE_LIMIT_S, let_go)

    def _accept_again(self) -> None:
        self._reactor.watch(self._listener.fileno(), self._accept)

    def _readable(self, peer: Peer) -> None:
        try:
            chunk = self._receiver.receive(peer.socket)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._drop(peer, str(error))
            return
        if not chunk:
            self._drop(peer, "the client closed the connection")
            return
        try:
            for body in peer.reader.feed(chunk):
                if not peer.greeted:
                    self._greet(peer, body)
                elif not self._core.request(peer, decode_request(body)):
                    self._drop(peer, "closed in order")
                if peer.closed:
                    return
        except msgspec.DecodeError as error:
            self._refuse(peer, WireError(f"a message that this daemon cannot read: {error}"))
        except QFwError as error:
            self._refuse(peer, error)

    def _greet(self, peer: Peer, body: bytes) -> None:
        try:
            hello: Hello = decode_hello(body)
        except msgspec.DecodeError as error:
            raise WireError(f"the first message is no Hello: {error}") from error
        if hello.wire != WIRE_VERSION:
            raise VersionMismatch(
                f"the client (qfw {hello.version}) speaks version {hello.wire} of the wire, this daemon "
                f"(qfw {__version__}, pid {os.getpid()}) version {WIRE_VERSION}. Use the same qfw on both sides; "
                f"a private daemon ends with its last session"
            )
        # Root may look, and end it.
        if peer.uid != os.getuid() and (peer.uid or hello.role != OBSERVER):
            raise ForeignOwner(f"this daemon serves uid {os.getuid()} only; you are uid {peer.uid}")
        if hello.role not in (SESSION, OBSERVER):
            raise WireError(f"a client is a {SESSION} or an {OBSERVER}, not {hello.role!r}")
        peer.greeted = True
        peer.name = hello.name[:200]
        peer.descriptors = hello.descriptors
        session = 0
        if hello.role == SESSION:
            try:
                session = next_session(self._folder)
            except OSError as error:
                raise SetupError(f"no session can be numbered in {self._folder}: {error}") from error
            self._core.open_session(peer, session)
        limit = self._settings.scheduling.max_tasks_per_session
        devices = self._core.devices()
        scope, name, tools = self._control.scope, self._control.name, tuple(sorted(self._tools.tools))
        welcome = Welcome(
            WIRE_VERSION,
            __version__,
            os.getpid(),
            session,
            devices,
            limit,
            scope,
            name,
            tools,
            self._revision.mark,
        )
        peer.outbox.put(pack(welcome))
        self._core.touch(peer)

    def _flush(self, peer: Peer) -> None:
        if peer.closed:
            return
        try:
            empty = peer.flush() if peer.owed else True
        except OSError as error:
            self._drop(peer, str(error))
            return
        if peer.acks and not peer.ack_timer:
            peer.ack_timer = True
            self._reactor.call_at(self._reactor.now() + ACK_DELAY_S, lambda: self._acks_due(peer))
        # A crowded outbox goes on by the timer: the socket may be writable all the time.
        blocked = not empty and not peer.outbox.crowded
        if peer.blocked != blocked:
            peer.blocked = blocked
            self._reactor.watch(
                peer.socket.fileno(),
                lambda: self._readable(peer),
                (lambda: self._core.touch(peer)) if blocked else None,
            )
        unread, memories = peer.outbox.unread()
        most = self._settings.unread_bytes
        if not peer.held and (unread > most or memories > MAX_UNREAD_MEMORIES):
            peer.held = True
            self._core.hold(peer.session, True)
        elif peer.held and unread < most // 2 and memories < MAX_UNREAD_MEMORIES // 2:
            peer.held = False
            self._core.hold(peer.session, False)
            # Nothing need arrive for its tasks to go on.
            self._reactor.call_at(self._reactor.now(), lambda: None)
        if ((peer.held and memories) or peer.outbox.crowded) and not peer.look_timer:
            peer.look_timer = True
            self._reactor.call_at(self._reactor.now() + LOOK_S, lambda: self._look_again(peer))

    def _look_again(self, peer: Peer) -> None:
        peer.look_timer = False
        if not peer.closed:
            self._core.touch(peer)

    def _acks_due(self, peer: Peer) -> None:
        peer.ack_timer = False
        if peer.acks and not peer.closed:
            peer.acks_due = True
            self._core.touch(peer)

    def _refuse(self, peer: Peer, error: QFwError) -> None:
        logger.warning("client refused: pid=%d %s", peer.pid, error)
        try:
            peer.outbox.put(pack(Refused(ErrorReport.of(error))))
            peer.outbox.flush()
        except OSError:
            logger.debug("it is gone already: pid=%d", peer.pid)
        self._drop(peer, str(error))

    def _drop(self, peer: Peer, reason: str) -> None:
        if peer.closed:
            return
        peer.closed = True
        fd = peer.socket.fileno()
        self._reactor.unwatch(fd)
        self._peers.pop(fd, None)
        peer.socket.close()
        peer.forget()
        self._core.close_session(peer, reason)

    # Beginning and end ----------------------------------------------------------------------------

    def _take_signals(self) -> None:
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        # The terminal's Ctrl-C is for the application; its sessions end, and a private daemon with them.
        signal.signal(signal.SIGINT, signal.SIG_IGN if self._private else lambda *_: None)

        def woken() -> None:
            for number in self._wake.recv(64):
                if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    self._signalled(signal.Signals(number))

        self._reactor.watch(self._wake.fileno(), woken)

    def _signalled(self, number: signal.Signals) -> None:
        if self._private:
            self._stopping = number.name
        elif number is signal.SIGHUP:
            self._notifier.reloading()
            try:
                self._control.act(RELOAD, number.name)
            except QFwError as error:
                logger.error("nothing is reloaded: %s", error)
            self._notifier.ready(f"serves {self._folder}")
        elif self._stop_reason:
            self._hurried = True
            self._stopping = f"{number.name}, for the second time"
        else:
            self._control.act(STOP, number.name)

    def _begin_stop(self, why: str) -> None:
        """A long-lived daemon goes on until what runs has ended, but not for longer than its limit."""
        limit_s = self._settings.daemon.stop_limit_s
        self._stop_reason = why
        self._notifier.stopping("stops when what runs has ended", limit_s)

        def over() -> None:
            self._stopping = self._stopping or f"{why}; {limit_s:g} s were over"

        self._reactor.call_at(self._reactor.now() + limit_s, over)

    def _leave_if_alone(self) -> None:
        """Ends a private daemon, unless somebody is about to join: whoever joins or starts it holds the lock."""
        with lock_path(self._folder).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # The newcomer's handshake will wake the loop; look again in any case.
                self._reactor.call_at(self._reactor.now() + 0.05, lambda: None)
                return
            self._accept()
            if any(not peer.greeted for peer in self._peers.values()):
                self._reactor.call_at(self._reactor.now() + 0.05, lambda: None)
                return
            self._stopping = "its last session ended"
            socket_path(self._folder).unlink(missing_ok=True)

    def _close(self) -> None:
        logger.info("qpmd stops: %s", self._stopping or "an error")
        try:
            if not self._private:
                self._finish()
        except OSError as error:
            logger.error("clients are left without a word: %s", error)
        self._reactor.unwatch(self._listener.fileno())
        self._listener.close()
        for peer in list(self._peers.values()):
            self._drop(peer, f"the daemon stops: {self._stopping}")
        try:
            while self._core.behind:
                self._core.end_turn()
            self._core.close_platforms()
            self._core.emit(DaemonStopped(time.monotonic_ns()))
            self._journal.close()
        except OSError as error:
            logger.error("the journal cannot be closed: %s", error)
        socket_path(self._folder).unlink(missing_ok=True)
        self._reactor.close()
        self._revision.close()
        os.close(self._lock)

    def _finish(self) -> None:
        """Ends what still runs, lets the answers go out, and tells clients what becomes of what waits.

        Raises:
            OSError: the journal cannot be written.
        """
        self._core.interrupt(f"the daemon stopped ({self._stopping or 'an error'})")
        self._end_turn()
        end_s = self._reactor.now() + (0.0 if self._hurried else FLUSH_LIMIT_S)
        while any(peer.owed for peer in self._peers.values()) and (left_s := end_s - self._reactor.now()) > 0:
            self._reactor.turn(min(left_s, MAX_SLEEP_S))
            self._end_turn()
        for peer in list(self._peers.values()):
            if peer.session and peer.greeted:
                lost = DaemonLost(
                    f"the daemon (pid {os.getpid()}) stopped ({self._stopping}). Of this session it had accepted "
                    f"{len(peer.tasks)} tasks that it did not begin; they are listed by: qfw squeue --journal "
                    f"{journal_dir(self._folder)}"
                )
                self._refuse(peer, lost)
