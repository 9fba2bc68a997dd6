"""Soft reservations, by one simple policy: shares of a device's time, kept by the scheduler; no bound on waiting.

A platform that takes reservations is asked first, and may grant less. What the daemon adds is the order of its own
queue. Reservations of a device add up to `reservations.max_share`; each ends by itself, with its session, or when it
is given back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from qfw.config.current import Current
from qfw.model.errors import (
    ErrorReport,
    NoCapacity,
    NotAllowed,
    OptionError,
    QFwError,
    RequestError,
    UnknownDevice,
    UnsupportedFeature,
)
from qfw.model.events import DeviceEvent, DeviceEventKind, Event, ReservationEnded, ReservationGranted
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm import registry
from qfw.qpm.defaults import NoReservations
from qfw.qpm.frames import encode, pack
from qfw.qpm.platform import Platform, Reactor
from qfw.qpm.wire import Grant, NativeAnswer, Release, Renew, Reserve
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.state import DaemonState

#: Millionths of a whole device.
WHOLE_PPM = 1_000_000
#: Reservations of a session, and of a device, at once; those that are asked for counted.
MAX_OF_SESSION, MAX_OF_DEVICE = 64, 64
#: Seconds within which a platform answers, and between two questions, as long as it says that it needs a moment.
ANSWER_S, ASK_AGAIN_S, MOMENT_S = 5.0, 0.05, 1.0
NO_BOUND = "the daemon's scheduler keeps the share; no bound on waiting is promised"


class Reservations:
    """Those that last, and those that a platform is asked for."""

    def __init__(
        self,
        settings: Current,
        state: DaemonState,
        platforms: Platforms,
        refusal: Callable[[str], QFwError | None],
        emit: Callable[[Event], None],
        tell: Callable[[str, DeviceEvent], None],
        touch: Callable[[Peer], None],
        clock_ns: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        """Without reservations.

        `refusal` says why a device takes no tasks; `emit` journals; `tell` reaches subscribers; `touch` is told of
        peers that are owed something.
        """
        self._settings = settings
        self._state = state
        self._platforms = platforms
        self._refusal = refusal
        self._emit, self._tell, self._touch = emit, tell, touch
        self._clock_ns, self._wall_ns = clock_ns, wall_ns
        self._reactor: Reactor
        self._last = 0
        #: Counts the owners of each device.
        self._epochs: Counter[str] = Counter()
        #: What platforms are asked for: session, device and millionths by number.
        self._asked: dict[int, tuple[int, str, int]] = {}
        #: When each that lasts is over, on the reactor's clock.
        self._ends_s: dict[int, float] = {}
        #: Those that a platform holds too.
        self._held_by: dict[int, Platform] = {}

    def open(self, reactor: Reactor) -> None:
        """Begins to look at the time."""
        self._reactor = reactor

    # What clients ask ---------------------------------------------------------------------------

    def reserve(self, peer: Peer, message: Reserve) -> None:
        """Grants what is asked for, or says what would be granted, or why nothing is."""
        try:
            platform, offered_ppm = self._check(peer, message)
        except QFwError as error:
            self._refuse(peer, message.request, error)
            return
        self._last += 1
        number = self._last
        if not message.dry:
            self._epochs[message.device] += 1
        epoch = self._epochs[message.device]
        request = ReservationRequest(
            number, offered_ppm, message.burst_s, message.activation_s, message.lifetime_s, epoch
        )
        self._asked[number] = peer.session, message.device, 0 if message.dry else offered_ppm
        call = platform.evaluate if message.dry else platform.reserve
        end = self._evaluated if message.dry else self._granted

        def ended(answer: object) -> None:
            del self._asked[number]
            end(peer, message, platform, request, answer)

        self._ask(platform, message.device, lambda: call(message.device, request), ended)

    def renew(self, peer: Peer, message: Renew) -> None:
        """Lets a reservation last so long from now."""
        held = self._state.reservations.get(message.number)
        try:
            self._check_lifetime(message.lifetime_s)
            if held is None or held.session != peer.session:
                raise RequestError(
                    f"this session holds no reservation {message.number}: it is over, or never was"
                )
        except QFwError as error:
            self._refuse(peer, message.request, error)
            return

        def ended(answer: object) -> None:
            last = self._state.reservations.get(message.number)
            if last is None:
                answer = answer or RequestError(f"reservation {message.number} ended meanwhile")
            elif isinstance(answer, RequestError):
                self._end(message.number, f"its platform does not have it any more: {answer}")
            if isinstance(answer, QFwError):
                self._refuse(peer, message.request, answer)
                return
            assert last is not None
            self._grant(
                last.session, last.device, last.number, last.epoch, last.share_ppm, message.lifetime_s
            )
            self._reply(
                peer, message.request, Grant(last.number, last.epoch, Offer(last.share_ppm, None, NO_BOUND))
            )

        platform = self._held_by.get(message.number)
        if platform is None:
            ended(None)
        else:
            name, number, epoch = held.device, held.number, held.epoch
            self._ask(platform, name, lambda: platform.renew(name, number, epoch, message.lifetime_s), ended)

    def release(self, peer: Peer, message: Release) -> None:
        """Gives a reservation back, if it lasts."""
        held = self._state.reservations.get(message.number)
        if held is not None and held.session != peer.session:
            self._refuse(
                peer, message.request, NotAllowed(f"reservation {message.number} is another session's")
            )
            return
        if held is not None:
            self._end(message.number, "given back")
        self._answer(peer, message.request, None, b"")

    # What ends them -----------------------------------------------------------------------------

    def forget(self, peer: Peer) -> None:
        """A session is over, and its reservations with it."""
        for held in list(self._state.reservations.values()):
            if held.session == peer.session:
                self._end(held.number, "its session ended")

    def lost(self, device: str, reason: str) -> None:
        """A device is gone."""
        for held in list(self._state.reservations.values()):
            if held.device == device:
                self._held_by.pop(held.number, None)
                self._end(held.number, reason)

    def restated(self) -> Iterator[ReservationGranted]:
        """Those that last, for a new segment of the journal."""
        yield from self._state.reservations.values()

    def _end(self, number: int, reason: str) -> None:
        held = self._state.reservations[number]
        self._ends_s.pop(number, None)
        self._emit(ReservationEnded(self._clock_ns(), held.device, number, reason))
        self._say(held.device, f"reservation {number} ended: {reason}", number, held.share_ppm)
        platform = self._held_by.pop(number, None)
        if platform is not None:
            self._give_back(platform, held.device, number, held.epoch)

    def _give_back(self, platform: Platform, device: str, number: int, epoch: int) -> None:
        self._ask(platform, device, lambda: platform.release(device, number, epoch), lambda _: None)

    def _look(self, number: int) -> None:
        """A timer of a reservation; it may have been renewed, or be over."""
        end_s = self._ends_s.get(number)
        if end_s is None:
            return
        if self._reactor.now() >= end_s:
            self._end(number, "it was not renewed in time")
        else:
            self._reactor.call_at(end_s, lambda: self._look(number))

    # The policy ---------------------------------------------------------------------------------

    def _check(self, peer: Peer, message: Reserve) -> tuple[Platform, int]:
        """The device's platform, and the millionths that may be granted here. Raises why nothing may be."""
        device = message.device
        if not peer.session:
            raise NotAllowed("an observer asks only; open a session to reserve")
        platform = self._platforms.of.get(device)
        if platform is None:
            raise UnknownDevice(registry.unknown("device", device, sorted(self._platforms.of)))
        most_ppm = round(WHOLE_PPM * self._settings.reservations.max_share)
        if not 0 < message.share_ppm <= most_ppm:
            raise OptionError(
                f"a share of {message.share_ppm / WHOLE_PPM:g} was asked for; it must be above 0, and at most "
                f"{self._settings.reservations.max_share:g} of a device may be reserved (reservations.max_share)"
            )
        if not (math.isfinite(message.burst_s) and message.burst_s >= 0):
            raise OptionError(f"a burst is device-seconds of 0 or more, not {message.burst_s!r}")
        if message.activation_s != 0:
            raise UnsupportedFeature(
                f"a first start within {message.activation_s:g} s was asked for; this daemon promises no bound on "
                "waiting yet. Ask with activation_s=0"
            )
        self._check_lifetime(message.lifetime_s)
        refusal = self._refusal(device)
        if refusal is not None:
            raise refusal
        self._check_number(peer, device)
        free_ppm = most_ppm - self._reserved_ppm(device)
        if message.dry:
            return platform, min(message.share_ppm, free_ppm)
        if message.share_ppm > free_ppm:
            error = NoCapacity(
                f"{message.share_ppm / WHOLE_PPM:g} of {device} was asked for; {free_ppm / WHOLE_PPM:g} is free, of "
                f"{self._settings.reservations.max_share:g} that may be reserved (reservations.max_share)"
            )
            error.retry_after_s = self._next_end_s(device)
            raise error
        return platform, message.share_ppm

    def _check_lifetime(self, lifetime_s: float) -> None:
        most_s = self._settings.reservations.max_lifetime_s
        if not 0 < lifetime_s <= most_s:
            raise OptionError(
                f"a lifetime of {lifetime_s:g} s was asked for; it must be above 0 and at most {most_s:g} s "
                "(reservations.max_lifetime_s). Renew it before it is over"
            )

    def _check_number(self, peer: Peer, device: str) -> None:
        held = self._state.reservations.values()
        of_session = sum(one.session == peer.session for one in held)
        of_session += sum(session == peer.session for session, *_ in self._asked.values())
        of_device = sum(one.device == device for one in held)
        of_device += sum(other == device for _, other, _ in self._asked.values())
        if of_session >= MAX_OF_SESSION or of_device >= MAX_OF_DEVICE:
            raise NoCapacity(
                f"there are {of_session} reservations of this session and {of_device} of {device}; {MAX_OF_SESSION} "
                f"and {MAX_OF_DEVICE} may be. Give one back"
            )

    def _reserved_ppm(self, device: str) -> int:
        lasting = sum(held.share_ppm for held in self._state.reservations.values() if held.device == device)
        return lasting + sum(ppm for _, other, ppm in self._asked.values() if other == device)

    def _next_end_s(self, device: str) -> float | None:
        """Seconds until the first of a device's reservations is over, if there is one."""
        ends_s = [
            self._ends_s[number] for number, held in self._state.reservations.items() if held.device == device
        ]
        return max(0.0, min(ends_s) - self._reactor.now()) if ends_s else None

    # What platforms say -------------------------------------------------------------------------

    def _evaluated(
        self, peer: Peer, message: Reserve, platform: Platform, request: ReservationRequest, answer: Any
    ) -> None:
        share_ppm, reason = request.share_ppm, NO_BOUND
        if share_ppm < message.share_ppm:
            reason = f"no more is free; {reason}"
        if isinstance(answer, Offer):
            # A platform that reserves nothing itself offers nothing; the daemon's own share is there all the same.
            if 0 < answer.share_ppm < share_ppm:
                share_ppm, reason = answer.share_ppm, f"its platform: {answer.reason}; {reason}"
            elif not answer.share_ppm and not isinstance(platform, NoReservations):
                reason = f"its platform offers nothing itself: {answer.reason}; {reason}"
        elif not isinstance(answer, UnsupportedFeature):
            self._refuse(peer, message.request, answer)
            return
        self._reply(peer, message.request, Grant(0, 0, Offer(share_ppm, None, reason)))

    def _granted(
        self, peer: Peer, message: Reserve, platform: Platform, request: ReservationRequest, answer: Any
    ) -> None:
        device, share_ppm, reason = message.device, request.share_ppm, NO_BOUND
        if isinstance(answer, Offer):
            if answer.share_ppm < share_ppm:
                share_ppm, reason = answer.share_ppm, f"its platform: {answer.reason}; {reason}"
            if not share_ppm:
                answer = NoCapacity(f"the platform of {device} grants nothing: {answer.reason}")
            elif peer.closed or self._platforms.of.get(device) is not platform:
                # Nobody is there to hold it, or to keep it.
                self._give_back(platform, device, request.number, request.epoch)
                answer = NoCapacity(f"device {device} is gone")
            else:
                self._held_by[request.number] = platform
        if peer.closed:
            return
        if isinstance(answer, QFwError) and not isinstance(answer, UnsupportedFeature):
            self._refuse(peer, message.request, answer)
            return
        self._grant(peer.session, device, request.number, request.epoch, share_ppm, message.lifetime_s)
        self._reply(
            peer, message.request, Grant(request.number, request.epoch, Offer(share_ppm, None, reason))
        )

    def _grant(
        self, session: int, device: str, number: int, epoch: int, share_ppm: int, lifetime_s: float
    ) -> None:
        now_ns = self._clock_ns()
        until_ns = now_ns + round(1e9 * lifetime_s)
        renewed = number in self._ends_s
        self._emit(ReservationGranted(now_ns, session, device, number, epoch, share_ppm, until_ns))
        verb = "renewed" if renewed else "granted"
        said = f"reservation {number} {verb}: session {session} holds {share_ppm / WHOLE_PPM:g} for {lifetime_s:g} s"
        self._say(device, said, number, share_ppm)
        end_s = self._ends_s[number] = self._reactor.now() + lifetime_s
        # A renewal may be for shorter: each time a timer of its own, which finds what is so then.
        self._reactor.call_at(end_s, lambda: self._look(number))

    def _ask(
        self,
        platform: Platform,
        device: str,
        call: Callable[[], object],
        ended: Callable[[object], None],
        end_s: float | None = None,
    ) -> None:
        """Asks until there is an answer; `ended` gets it, or the error."""
        now_s = self._reactor.now()
        end_s = now_s + ANSWER_S if end_s is None else end_s
        try:
            if self._platforms.of.get(device) is not platform:
                raise NoCapacity(f"device {device} is gone: its platform does not serve it any more")
            answer = call()
        except NoCapacity as error:
            if error.retry_after_s is None or error.retry_after_s > MOMENT_S:
                ended(error)
                return
            # It asks elsewhere, as a hosted one does, and will know in a moment.
            if now_s < end_s:
                again_s = now_s + max(ASK_AGAIN_S, error.retry_after_s)
                self._reactor.call_at(again_s, lambda: self._ask(platform, device, call, ended, end_s))
                return
            ended(
                NoCapacity(f"the platform of {device} did not answer within {ANSWER_S:g} s. Try again later")
            )
        except QFwError as error:
            ended(error)
        else:
            ended(answer)

    # Answers ------------------------------------------------------------------------------------

    def _say(self, device: str, message: str, number: int, share_ppm: int) -> None:
        figures = (("number", float(number)), ("share", share_ppm / WHOLE_PPM))
        self._tell(
            device, DeviceEvent(0, DeviceEventKind.RESERVATION, self._wall_ns(), message, figures=figures)
        )

    def _reply(self, peer: Peer, request: int, grant: Grant) -> None:
        self._answer(peer, request, None, encode(grant))

    def _refuse(self, peer: Peer, request: int, error: QFwError) -> None:
        self._answer(peer, request, ErrorReport.of(error), b"")

    def _answer(self, peer: Peer, request: int, error: ErrorReport | None, body: bytes) -> None:
        if not peer.closed:
            peer.reply(pack(NativeAnswer(request, error, body)))
            self._touch(peer)
