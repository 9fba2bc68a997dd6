"""Calls of a platform besides runs: native operations and reservations, asked in its host and answered later."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from qfw.config.settings import PlatformSettings
from qfw.hosts import claims
from qfw.hosts.answers import trimmed
from qfw.hosts.protocol import Answered, CallHost, NativeEnded, Reservation
from qfw.model.errors import DeadlineExceeded, ErrorReport, NoCapacity, QFwError, WireError
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.platform import NativeCall, NativeFailed, Reactor, Sink

#: Seconds after which the question for a reservation is worth repeating.
ASK_AGAIN_S = 0.05
#: Native operations that a host may have unanswered, and the bytes of their bodies: they wait in the daemon.
MAX_OPEN, MAX_OPEN_BYTES = 256, 64 * 2**20

Say = Callable[[msgspec.Struct], None]


class Natives:
    """Native operations that a host has not answered yet."""

    def __init__(
        self, grace_s: float, reactor: Reactor, sink: Sink, say: Say, lose: Callable[[str], None]
    ) -> None:
        """`say` speaks to the host, `lose` ends it."""
        self._grace_s, self._reactor, self._sink, self._say, self._lose = grace_s, reactor, sink, say, lose
        #: Device and size of each, by number; another object for each host.
        self._open: dict[int, tuple[str, int]] = {}

    def call(self, device: str, call: NativeCall) -> None:
        """Asks the host, which is ended where it does not answer in time.

        Raises:
            NoCapacity: it has too many unanswered.
        """
        mine = self._open
        held = sum(size for _, size in mine.values())
        if len(mine) >= MAX_OPEN or (mine and held + len(call.body) > MAX_OPEN_BYTES):
            raise NoCapacity(
                f"{len(mine)} native operations of the platform of {device} are unanswered, with {held} bytes; at most "
                f"{MAX_OPEN} and {MAX_OPEN_BYTES} bytes are taken. Try again later"
            )
        mine[call.number] = device, len(call.body)
        self._say(CallHost(device, call))

        def overdue() -> None:
            if self._open is mine and call.number in mine:
                self._fail(
                    call.number,
                    DeadlineExceeded(f"{call.operation} took longer than {call.time_limit_s:g} s"),
                )
                self._lose(f"native operation {call.operation} was not answered in time")

        self._reactor.call_at(self._reactor.now() + call.time_limit_s + self._grace_s, overdue)

    def ended(self, message: NativeEnded) -> None:
        """The host answers. Raises WireError: to nothing."""
        outcome = message.outcome
        device, _ = self._open.pop(outcome.number, (None, 0))
        if device != message.device:
            raise WireError("a native operation was answered that nobody had asked for")
        if isinstance(outcome, NativeFailed):
            outcome = NativeFailed(outcome.number, trimmed(outcome.error))
        self._sink.native_ended(message.device, outcome)

    def fail_all(self, error: QFwError) -> None:
        """The host is gone."""
        for number in list(self._open):
            self._fail(number, error)
        self._open = {}

    def _fail(self, number: int, error: QFwError) -> None:
        device, _ = self._open.pop(number)
        self._sink.native_ended(device, NativeFailed(number, ErrorReport.of(error)))


class Questions:
    """Calls about reservations. Who asks again for the same finds the answer that came meanwhile."""

    def __init__(self, name: str, settings: PlatformSettings, say: Say) -> None:
        """`name`: the platform's; at most `settings.event_burst` are remembered."""
        self._name, self._most, self._say = name, settings.event_burst, say
        self._number = 0
        self._asked: dict[tuple[str, str, ReservationRequest], Answered | None] = {}
        self._open: dict[int, tuple[str, str, ReservationRequest]] = {}

    def ask(self, device: str, verb: str, request: ReservationRequest) -> Offer | None:
        """What the host answered to this before; else it is asked.

        Raises:
            NoCapacity: it was asked just now.
        """
        key = (device, verb, request)
        answer = self._asked.get(key)
        if answer is not None:
            del self._asked[key]
            if answer.error is not None:
                raise trimmed(answer.error).to_exception()
            return answer.offer
        if key not in self._asked:
            if len(self._asked) >= self._most:
                self._asked.clear()
            self._asked[key] = None
            self._number += 1
            self._open[self._number] = key
            self._say(Reservation(self._number, device, verb, request))
        error = NoCapacity(f"platform {self._name} was asked to {verb}; ask again for its answer")
        error.retry_after_s = ASK_AGAIN_S
        raise error

    def answered(self, message: Answered) -> None:
        """The host answers. Raises WireError: to nothing, or what cannot be."""
        key = self._open.pop(message.number, None)
        if key is None:
            raise WireError("an answer came to what nobody had asked")
        if message.error is None:
            claims.check_offer(message.offer, key[1], key[2])
        self._asked[key] = message

    def clear(self) -> None:
        """The host is gone, and its answers with it."""
        self._open.clear()
        self._asked.clear()
