"""The daemon's end of one host process: its start, frames, output and end. What it says, others judge."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import time
from collections import deque
from collections.abc import Callable

from qfw.config.discover import host_environment
from qfw.config.settings import PlatformSettings
from qfw.hosts.protocol import MESSAGE_BYTES
from qfw.model.errors import SetupError, WireError
from qfw.processes import cgroup, child
from qfw.qpm.frames import FrameReader, Receiver
from qfw.qpm.outbox import Outbox
from qfw.qpm.platform import Reactor

logger = logging.getLogger(__name__)

#: Bytes that are read of a host in one turn of the loop; messages that are looked at, and seconds after which no
#: further one is: so long may it delay the others, who have microseconds to lose.
TURN_BYTES, TURN_MESSAGES, TURN_WORK_S = 2**16, 64, 0.0001
#: Between the turns of a host that has said more: so many times what the last one took, and at least so many seconds.
#: A host that floods then has a fifth of the loop, and one that answers fast is not held up.
PAUSE_FACTOR, PAUSE_S = 4, 0.00025
#: What a host prints is read in steps of so many bytes and seconds; beyond, it waits. The end of it is kept.
OUTPUT_BYTES, OUTPUT_S, TAIL_BYTES = 2**16, 0.1, 2000
REAP_S = 0.05


class Link:
    """One host, from its start to its end."""

    def __init__(
        self,
        name: str,
        settings: PlatformSettings,
        memory_bytes: int,
        reactor: Reactor,
        message: Callable[[bytes], None],
        ended: Callable[[str], None],
    ) -> None:
        """Starts it.

        Args:
            name: the platform's.
            settings: its interpreter and limits.
            memory_bytes: that it may allocate.
            reactor: the daemon's loop.
            message: is called with each message; may raise WireError.
            ended: is called once, with the reason, when it is gone or broke the protocol; not after `end`.

        Raises:
            PlatformFailed: it cannot be started.
        """
        self._name, self._reactor = name, reactor
        self._message, self._ended = message, ended
        group = None
        try:
            group = cgroup.make(cgroup.group_name(), settings.max_processes)
        except SetupError as error:
            logger.warning("processes of a host are not bounded: platform=%s %s", name, error)

        def arguments(channel: int) -> list[str]:
            words = [f"--channel={channel}", f"--memory-bytes={memory_bytes}", f"--parent={os.getpid()}"]
            return ["-m", "qfw.hosts.host", *words]

        self._child = child.start(
            f"the host of platform {name}",
            arguments,
            host_environment(bool(settings.python)),
            python=settings.python,
            capture=True,
            group=group,
        )
        self.pid = self._child.pid
        self.reader = FrameReader(MESSAGE_BYTES, parcels=True)
        self._receiver = Receiver(TURN_BYTES)
        self._outbox = Outbox(self._child.channel)
        self._waiting: deque[bytes] = deque()
        self._tail = b""
        #: When a host that was told to leave is ended; 0 of one that was not.
        self._leaves_s = 0.0
        self.alive = True
        self._watch()
        assert self._child.output is not None
        reactor.watch(self._child.output, self._printed)

    def say(self, frame: bytes) -> None:
        """Sends a frame as soon as the host takes it."""
        if self.alive:
            self._outbox.put(frame)
            self._flush()

    @property
    def unsent(self) -> int:
        """Bytes that the host has not taken yet."""
        return self._outbox.size

    def end(self) -> None:
        """Ends the host with all that it started; nothing comes of it any more."""
        if not self.alive:
            return
        self.alive = False
        self._drain()
        self._reactor.unwatch(self._child.channel.fileno())
        if self._child.output is not None:
            self._reactor.unwatch(self._child.output)
        self._child.close()
        self._child.kill()
        self._waiting.clear()
        self.reader.close()
        self._outbox.clear()
        self._reap()

    def leave(self, frame: bytes, limit_s: float) -> None:
        """Sends a last frame, after which the host shall leave; it is ended when it has, or after so long.

        Nothing that it says is handed on any more. Does not wait.
        """
        if self.alive and not self._leaves_s:
            self._leaves_s = time.monotonic() + limit_s
            self._waiting.clear()
            self.say(frame)
            self._watch()
            self._reactor.call_at(self._reactor.now() + limit_s, self.end)

    def wait(self) -> None:
        """Waits until a host that was told to leave is ended; for a loop that ends too."""
        channel = self._child.channel
        while self.alive and (left_s := self._leaves_s - time.monotonic()) > 0:
            poll = select.poll()
            poll.register(channel, select.POLLIN | (select.POLLOUT if self._outbox.size else 0))
            if self._child.output is not None:
                poll.register(self._child.output, select.POLLIN)
            for fd, events in poll.poll(1000 * left_s):
                if not self.alive:
                    break
                if fd != channel.fileno():
                    # What it prints must not hold it up.
                    self._drain()
                elif events & ~select.POLLOUT:
                    self._readable()
                else:
                    self._flush()
        self.end()

    def collect(self, limit_s: float) -> None:
        """Waits until an ended host is gone, with its cgroup; for a loop that ends too."""
        end_s = time.monotonic() + limit_s
        while self._child.reap() is None and time.monotonic() < end_s:
            time.sleep(0.005)

    def printed(self) -> str:
        """The last line that it printed."""
        lines = self._tail.decode(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else ""

    def _reap(self) -> None:
        found = self._child.reap()
        if found is None:
            self._reactor.call_at(self._reactor.now() + REAP_S, self._reap)
        else:
            logger.info("host ended: platform=%s pid=%d %s", self._name, self.pid, found)

    def _watch(self) -> None:
        self._reactor.watch(
            self._child.channel.fileno(), self._readable, self._flush if self._outbox.size else None
        )

    def _flush(self) -> None:
        if not self.alive:
            return
        try:
            self._outbox.flush()
        except OSError as error:
            # Its end shows as readable, and is dealt with there.
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
            self._outbox.clear()
        if not self._waiting:
            self._watch()

    def _readable(self) -> None:
        try:
            chunk, memories = self._receiver.receive_with_memory(self._child.channel)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(str(error))
            return
        if not chunk:
            self._lost("it ended")
            return
        if self._leaves_s:
            for memory in memories:
                if memory is not None:
                    memory.close()
            return
        try:
            self._waiting.extend(self.reader.feed(chunk, memories))
        except WireError as error:
            self._lost(f"broken message: {error}")
            return
        self._handle()

    def _handle(self) -> None:
        began_s = self._reactor.now()
        for _ in range(TURN_MESSAGES):
            if not self.alive or not self._waiting:
                break
            try:
                self._message(self._waiting.popleft())
            except WireError as error:
                self._lost(f"broken message: {error}")
                return
            if self._reactor.now() - began_s > TURN_WORK_S:
                break
        if not self.alive:
            return
        if not self._waiting:
            self._watch()
            return
        # Others come first; meanwhile nothing more is read of it.
        self._reactor.unwatch(self._child.channel.fileno())
        now_s = self._reactor.now()
        self._reactor.call_at(now_s + max(PAUSE_S, PAUSE_FACTOR * (now_s - began_s)), self._handle)

    def _lost(self, reason: str) -> None:
        if self.alive:
            self.end()
            self._ended(reason)

    def _printed(self) -> None:
        output = self._child.output
        if output is None:
            return
        self._reactor.unwatch(output)
        if self._drain():
            self._reactor.call_at(self._reactor.now() + OUTPUT_S, self._printed_again)

    def _printed_again(self) -> None:
        if self.alive and self._child.output is not None:
            self._reactor.watch(self._child.output, self._printed)

    def _drain(self) -> bool:
        """Reads some of what it printed; False at its end."""
        chunk = b""
        if self._child.output is not None:
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(self._child.output, OUTPUT_BYTES)
                self._tail = (self._tail + chunk)[-TAIL_BYTES:]
                if not chunk:
                    self._reactor.unwatch(self._child.output)
                    self._child.close_output()
                return bool(chunk)
        return True
