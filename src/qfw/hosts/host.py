"""A platform's host: one plugin, in a process of its own. `python -m qfw.hosts.host`.

Limits come first, then the first byte of input, then the plugin.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import socket
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec

from qfw import __version__
from qfw.hosts import claims
from qfw.hosts.protocol import (
    HOST_VERSION,
    MAX_FRAME_BYTES,
    MESSAGE_BYTES,
    Answered,
    Broken,
    CallHost,
    CancelRun,
    Close,
    Ended,
    Greeting,
    Load,
    NativeEnded,
    Offline,
    Open,
    Ping,
    Pong,
    Reported,
    Reservation,
    Settled,
    SlotLost,
    SlotReady,
    Start,
    Warm,
    decode_greeting,
    decode_to_host,
)
from qfw.model.calibration import Calibration
from qfw.model.errors import BrokenPlugin, ErrorReport, PlatformFailed, QFwError, TooLarge
from qfw.model.events import DeviceEvent
from qfw.model.outputs import decode_outputs
from qfw.model.reservation import Offer
from qfw.processes import limits
from qfw.qpm import registry
from qfw.qpm.execution import Programs
from qfw.qpm.frames import FrameReader, Receiver, pack, pack_parcel
from qfw.qpm.outbox import Outbox
from qfw.qpm.platform import API_VERSION, NativeDone, NativeFailed, Run, RunDone, RunFailed
from qfw.qpm.reactor import EpollReactor
from qfw.qpm.shared import SHARED_BYTES, Memory, can_share

#: Programs that a host keeps; more than the daemon believes it to know.
PROGRAMS = 4096
#: Files that a host may have open, and how far others come before it.
DESCRIPTORS, NICENESS = 4096, 5
#: Largest answer of a native operation: it must fit a message with its envelope.
BODY_BYTES = MESSAGE_BYTES - 2**16
#: While the system has too many descriptors on their way.
CROWDED_S = 0.01


class Host:
    """Serves one platform on its channel until that closes; also the platform's sink and program source."""

    def __init__(self, channel: socket.socket) -> None:
        """`channel`: non-blocking."""
        self._channel = channel
        self._reactor = EpollReactor()
        self._receiver = Receiver()
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._outbox = Outbox(channel)
        self._greeted = False
        self._platform: Any = None
        self._settled = False
        self._names: list[str] = []
        self._programs: OrderedDict[bytes, bytes] = OrderedDict()
        #: Those of them that were looked at last.
        self._decoded = Programs()
        self._early: list[SlotReady] = []
        self._ended = False

    def serve(self) -> None:
        """Returns when the channel closes, or the platform is broken and that was said."""
        self._say(Greeting(HOST_VERSION, API_VERSION, __version__))
        self._watch()
        while not self._ended:
            self._reactor.turn()
            self._flush()
        if self._settled:
            self._platform.close()

    def encoded(self, digest: bytes) -> bytes:
        """See ProgramSource."""
        found = self._programs.get(digest)
        if found is None:
            raise PlatformFailed(f"program {digest.hex()[:16]} is not in the host any more")
        return found

    def devices_changed(self, platform: str) -> None:
        """See Sink. Other devices than at the beginning need another host."""

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        """See Sink."""
        if self._settled:
            self._say(SlotReady(device, slot))
        else:
            self._early.append(SlotReady(device, slot))

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        """See Sink."""
        self._say(SlotLost(device, slot, reason, running))

    def device_offline(self, device: str, reason: str) -> None:
        """See Sink."""
        self._say(Offline(device, reason))

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        """See Sink."""
        # What happened before is in the states and calibrations that Settled says.
        if self._settled:
            self._say(Reported(device, event, calibration))

    def run_ended(
        self, device: str, slot: str, pid: int, outcome: RunDone | RunFailed, memory: Memory | None = None
    ) -> None:
        """See Sink. Large answers go as sealed memory."""
        if isinstance(outcome, RunDone):
            if memory is None and len(outcome.answers) > SHARED_BYTES and can_share():
                with contextlib.suppress(OSError):
                    memory = Memory.of([outcome.answers])
                    outcome = msgspec.structs.replace(outcome, answers=b"")
            if memory is not None:
                self._outbox.put(pack_parcel(Ended(device, slot, [outcome]), memory))
                self._flush()
                return
        self._say(Ended(device, slot, [outcome]))

    def native_ended(self, device: str, outcome: NativeDone | NativeFailed) -> None:
        """See Sink."""
        if isinstance(outcome, NativeDone) and len(outcome.body) > BODY_BYTES:
            error = TooLarge(
                f"device {device} answered a native operation with {len(outcome.body)} bytes; at most {BODY_BYTES} "
                f"travel. Ask for less at once"
            )
            outcome = NativeFailed(outcome.number, ErrorReport.of(error))
        self._say(NativeEnded(device, outcome))

    def _say(self, message: msgspec.Struct) -> None:
        self._outbox.put(pack(message))
        self._flush()

    def _flush(self) -> None:
        try:
            self._outbox.flush()
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
            self._ended = True
        self._watch()

    def _watch(self) -> None:
        if self._outbox.crowded:
            self._reactor.call_at(self._reactor.now() + CROWDED_S, self._flush)
        waits = self._outbox.size > 0 and not self._outbox.crowded
        self._reactor.watch(self._channel.fileno(), self._readable, self._flush if waits else None)

    def _readable(self) -> None:
        try:
            chunk = self._receiver.receive(self._channel)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            chunk = b""
        if not chunk:
            self._ended = True
            return
        for body in self._reader.feed(chunk):
            if not self._greeted:
                self._greeted = decode_greeting(body).host == HOST_VERSION
                self._ended = not self._greeted
                continue
            self._handle(decode_to_host(body))

    def _handle(self, message: Any) -> None:
        match message:
            case Open():
                self._open(message)
            case Load():
                self._programs[message.digest] = message.encoded
                if len(self._programs) > PROGRAMS:
                    self._programs.popitem(last=False)
            case Start():
                for run in message.runs:
                    self._start(message.device, message.slot, run)
            case CancelRun():
                self._platform.cancel(message.device, message.slot, message.task, message.epoch)
            case Warm():
                self._platform.warm(message.device)
            case CallHost():
                try:
                    self._platform.call(message.device, message.call)
                except Exception as error:
                    self._say(NativeEnded(message.device, NativeFailed(message.call.number, report(error))))
            case Reservation():
                self._reservation(message)
            case Ping():
                loads = tuple(self._platform.load(name) for name in self._names)
                self._say(Pong(message.number, loads))
            case Close():
                self._ended = True

    def _open(self, message: Open) -> None:
        try:
            kind = registry.load(registry.PLATFORMS, message.plugin)
            claims.check_api(getattr(kind, "api_version", None))
            claims.check_methods(kind, getattr(kind, "facets", None))
            self._platform = kind(message.config())
            self._platform.open(self._reactor, self, self)
            profiles = tuple(self._platform.devices())
            self._names = [profile.name for profile in profiles]
            calibrations = tuple(self._platform.calibration(name) for name in self._names)
            facets = frozenset(kind.facets)
            claims.check_devices(profiles, calibrations, facets)
            states = tuple(self._platform.state(name) for name in self._names)
        except Exception as error:
            found = report(error) if isinstance(error, QFwError) else report(_broken(message.plugin, error))
            self._say(Broken(found))
            self._ended = True
            return
        self._settled = True
        self._say(Settled(tuple(kind.api_version), facets, profiles, states, calibrations))
        for early in self._early:
            self._say(early)

    def _start(self, device: str, slot: str, run: Run) -> None:
        try:
            encoded = self.encoded(run.program)
            program = self._decoded.decode(run.program, encoded)
            outputs = decode_outputs(run.outputs)
            self._platform.estimate(device, program, outputs, run.sets, run.shots)
            self._platform.start(device, slot, [run])
        except Exception as error:
            self._say(Ended(device, slot, [RunFailed(run.task, run.epoch, report(error))]))

    def _reservation(self, message: Reservation) -> None:
        request, device = message.request, message.device
        offer: Offer | None = None
        try:
            match message.verb:
                case "evaluate":
                    offer = self._platform.evaluate(device, request)
                case "reserve":
                    offer = self._platform.reserve(device, request)
                case "renew":
                    self._platform.renew(device, request.number, request.epoch, request.lifetime_s)
                case _:
                    self._platform.release(device, request.number, request.epoch)
        except Exception as error:
            self._say(Answered(message.number, None, report(error)))
        else:
            self._say(Answered(message.number, offer, None))


def report(error: BaseException) -> ErrorReport:
    """The report of what a plugin raised; what is foreign is the platform's failure, not QFw's."""
    if isinstance(error, QFwError):
        return ErrorReport.of(error)
    return ErrorReport.of(PlatformFailed(f"the platform raised {type(error).__name__}: {error}"))


def _broken(plugin: str, error: Exception) -> BrokenPlugin:
    return BrokenPlugin(f"platform {plugin!r} does not start: {type(error).__name__}: {error}")


def main(words: Sequence[str] | None = None) -> int:
    """Runs one host; its exit code is 0 when the daemon closed the channel."""
    parser = argparse.ArgumentParser(prog="qfw.hosts.host")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args(words)
    limits.apply(arguments.memory_bytes, arguments.parent, descriptors=DESCRIPTORS, niceness=NICENESS)
    channel = socket.socket(fileno=arguments.channel)
    channel.setblocking(False)
    Host(channel).serve()
    # What a plugin's threads still do must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main())
