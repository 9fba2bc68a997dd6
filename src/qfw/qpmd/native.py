"""Native operations: numbered, bounded in number and time, and answered once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from qfw.config.current import Current
from qfw.model.errors import (
    DeadlineExceeded,
    ErrorReport,
    NoCapacity,
    NotAllowed,
    OptionError,
    QFwError,
    UnknownDevice,
    UnsupportedFeature,
    WrongAnswer,
)
from qfw.qpm import registry
from qfw.qpm.frames import pack
from qfw.qpm.platform import NATIVE, Native, NativeCall, NativeDone, NativeFailed, Reactor
from qfw.qpm.wire import CallNative, NativeAnswer
from qfw.qpmd.devices import Devices
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Platforms

#: Operations of a session that may be unanswered.
MAX_CALLS = 16
#: Bytes of an answer.
MAX_BODY_BYTES = 64 * 2**20


class _Call(NamedTuple):
    peer: Peer
    request: int
    device: str
    operation: str
    time_limit_s: float


class NativeCalls:
    """The operations that are under way."""

    def __init__(
        self,
        platforms: Platforms,
        devices: Devices,
        settings: Current,
        touch: Callable[[Peer], None],
    ) -> None:
        """No operation takes longer than a task may. `touch` is told of the peers that are owed something."""
        self._platforms = platforms
        self._devices = devices
        self._settings = settings
        self._touch = touch
        self._reactor: Reactor
        self._calls: dict[int, _Call] = {}
        self._last = 0

    def open(self, reactor: Reactor) -> None:
        """Begins to serve."""
        self._reactor = reactor

    def begin(self, peer: Peer, message: CallNative) -> None:
        """Starts an operation, or answers at once why not."""
        try:
            platform = self._check(peer, message)
        except QFwError as error:
            self._answer(peer, message.request, ErrorReport.of(error))
            return
        self._last += 1
        number, limit_s = self._last, min(message.time_limit_s, self._settings.workers.time_limit_s)
        self._calls[number] = _Call(peer, message.request, message.device, message.operation, limit_s)
        self._reactor.call_at(self._reactor.now() + limit_s, lambda: self._expire(number))
        try:
            platform.call(message.device, NativeCall(number, message.operation, message.body, limit_s))
        except QFwError as error:
            self.ended(message.device, NativeFailed(number, ErrorReport.of(error)))

    def ended(self, device: str, outcome: NativeDone | NativeFailed) -> bool:
        """A platform answers; False where it is late, double or of another device, and dropped."""
        call = self._calls.get(outcome.number)
        if call is None or call.device != device:
            return False
        del self._calls[outcome.number]
        if isinstance(outcome, NativeFailed):
            self._answer(call.peer, call.request, outcome.error)
        elif len(outcome.body) > MAX_BODY_BYTES:
            error = WrongAnswer(
                f"{call.operation} of {device} answered {len(outcome.body)} bytes; at most {MAX_BODY_BYTES} are taken"
            )
            self._answer(call.peer, call.request, ErrorReport.of(error))
        else:
            self._answer(call.peer, call.request, None, outcome.body)
        return True

    def lost(self, device: str, reason: str) -> None:
        """A device is gone: nobody will answer."""
        for number in [number for number, call in self._calls.items() if call.device == device]:
            call = self._calls.pop(number)
            error = NoCapacity(f"device {device} went offline during {call.operation}: {reason}")
            self._answer(call.peer, call.request, ErrorReport.of(error))

    def busy(self, devices: list[str]) -> bool:
        """Whether operations of these devices are under way."""
        return any(call.device in devices for call in self._calls.values())

    def forget(self, peer: Peer) -> None:
        """A client is gone; what it asked for goes on, and nobody hears of it."""
        for number in [number for number, call in self._calls.items() if call.peer is peer]:
            del self._calls[number]

    def _check(self, peer: Peer, message: CallNative) -> Native:
        device, operation = message.device, message.operation
        if not peer.session:
            raise NotAllowed("an observer asks only; open a session for native operations")
        platform = self._platforms.of.get(device)
        if platform is None:
            raise UnknownDevice(registry.unknown("device", device, sorted(self._platforms.of)))
        profile = self._platforms.profiles[device]
        if NATIVE not in platform.facets or not isinstance(platform, Native) or not profile.native:
            raise UnsupportedFeature(
                f"device {device} has no native operations; {operation[:100]!r} was asked"
            )
        if operation not in profile.native:
            raise UnsupportedFeature(
                f"device {device} has no native operation {operation[:100]!r}; it has {', '.join(profile.native)}"
            )
        if not (math.isfinite(message.time_limit_s) and message.time_limit_s > 0):
            raise OptionError(f"a time limit is seconds above 0, not {message.time_limit_s!r}")
        if sum(call.peer is peer for call in self._calls.values()) >= MAX_CALLS:
            raise NoCapacity(f"{MAX_CALLS} native operations of this session are unanswered; wait for one")
        refusal = self._devices.refusal(device)
        if refusal is not None:
            raise refusal
        return platform

    def _expire(self, number: int) -> None:
        call = self._calls.pop(number, None)
        if call is not None:
            error = DeadlineExceeded(
                f"{call.operation} of {call.device} was not answered within {call.time_limit_s:g} s"
            )
            self._answer(call.peer, call.request, ErrorReport.of(error))

    def _answer(self, peer: Peer, request: int, error: ErrorReport | None, body: bytes = b"") -> None:
        if not peer.closed:
            peer.reply(pack(NativeAnswer(request, error, body)))
            self._touch(peer)
