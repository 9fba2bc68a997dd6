"""The life of a platform's hosts: one after another, each looked at, the next one started."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from qfw import __version__
from qfw.config.settings import PlatformSettings
from qfw.hosts.link import Link
from qfw.hosts.protocol import HOST_VERSION, Close, Greeting, Ping, Pong, decode_greeting
from qfw.hosts.rate import Rate
from qfw.model.errors import BrokenPlugin, PlatformFailed, QFwError, VersionMismatch, WireError
from qfw.processes.backoff import retry_s
from qfw.qpm.frames import pack
from qfw.qpm.platform import API_VERSION, Reactor

logger = logging.getLogger(__name__)

#: Hosts that may end in a row, with no run given or answered, until the platform is broken.
MAX_FAILURES = 4
#: A host that lived so long did not fail in a row.
HEALTHY_S = 60.0
#: Seconds that a host may take to close its platform when the daemon ends, a little more than a driver has; and
#: until it is gone when it was ended.
LEAVE_S, COLLECT_S = 0.9, 0.1


class Life:
    """The present host, if there is one, and what became of those before."""

    def __init__(
        self,
        name: str,
        settings: PlatformSettings,
        memory_bytes: int,
        reactor: Reactor,
        opening: msgspec.Struct,
        heard: Callable[[bytes], None],
        lost: Callable[[int, str], bool],
        broken: Callable[[QFwError], None],
    ) -> None:
        """Starts nothing yet.

        Args:
            name: the platform's.
            settings: the host's interpreter and limits.
            memory_bytes: that a host may allocate.
            reactor: the daemon's loop.
            opening: is said to each host whose version fits.
            heard: is called with each later message; may raise WireError.
            lost: is called with pid and reason when a host is gone; says whether it had runs.
            broken: is called when there will be none any more.
        """
        self._name, self._settings, self._memory_bytes = name, settings, memory_bytes
        self._reactor, self._opening = reactor, opening
        self._heard, self._lost, self._broken = heard, lost, broken
        self._link: Link | None = None
        self._closed = False
        #: Whether the present host has settled.
        self.up: bool
        #: Ends of hosts in a row, without a run answered; and those among them without a run begun.
        self._failures = self._idle_failures = 0
        self._begin()

    def _begin(self) -> None:
        """What belongs to one host."""
        self._greeted = self.up = False
        self._ping = self._pinged = 0
        self._began_s = self._reactor.now()
        self._rate = Rate(self._settings.event_burst, self._settings.events_per_s, self._began_s)

    @property
    def pid(self) -> int | None:
        """Of the present host."""
        return self._link.pid if self._link is not None else None

    def allow_frames(self, max_bytes: int, *, afresh: bool = False) -> None:
        """What the host sends from now on may have frames of this size; `afresh`: and of no larger one."""
        if self._link is not None:
            reader = self._link.reader
            reader.max_bytes = max_bytes if afresh else max(reader.max_bytes, max_bytes)

    def launch(self) -> None:
        """Starts a host."""
        if self._closed:
            return
        self._begin()
        try:
            link = self._link = Link(
                self._name, self._settings, self._memory_bytes, self._reactor, self._message, self._gone
            )
        except PlatformFailed as error:
            # What the settings name cannot be run: that stays so.
            self._broken(BrokenPlugin(str(error)))
            return
        link.say(pack(Greeting(HOST_VERSION, API_VERSION, __version__)))
        limit_s = self._settings.start_limit_s

        def not_up_in_time() -> None:
            if self._link is link and not self.up:
                self.lose(f"it did not come up within {limit_s:g} s")

        self._reactor.call_at(self._began_s + limit_s, not_up_in_time)

    def say(self, message: msgspec.Struct) -> None:
        """Speaks to the host, if there is one."""
        if self._link is not None:
            self._link.say(pack(message))

    def look_for_life(self) -> None:
        """The host has come up: from here on it has to show that it lives."""
        if self._link is not None:
            self._look_for_life(self._link)

    def answered(self) -> None:
        """A run was answered well: what was before is forgiven."""
        self._failures = self._idle_failures = 0

    def take_event(self) -> None:
        """The host says something unasked. Raises WireError: too often."""
        if not self._rate.take(self._reactor.now()):
            raise WireError(
                f"more than {self._settings.event_burst} events at once and "
                f"{self._settings.events_per_s:g} per second"
            )

    def take_pong(self, message: Pong) -> None:
        """The host lives. Raises WireError: nobody had asked."""
        if message.number != self._ping or message.number == self._pinged:
            raise WireError("a pong came that nothing had asked for")
        self._pinged = message.number

    def lose(self, reason: str) -> None:
        """Ends the host, and deals with its end."""
        self._gone(reason)

    def give_up(self, error: QFwError) -> None:
        """Ends the host, and there will be no other one."""
        self._gone(str(error), error)

    def leave(self) -> None:
        """Begins to close, and waits for nothing: the host closes its platform, or is ended a little later."""
        if self._closed:
            return
        self._closed = True
        if self._link is not None and self.up:
            self._link.leave(pack(Close()), LEAVE_S)
        elif self._link is not None:
            # What has not come up has nothing to close.
            self._link.end()

    def close(self) -> None:
        """Waits for the end of the host, within a second of `leave`."""
        self.leave()
        link, self._link = self._link, None
        if link is not None:
            link.wait()
            link.collect(COLLECT_S)

    def _message(self, body: bytes) -> None:
        if self._greeted:
            self._heard(body)
            return
        try:
            greeting: Greeting = decode_greeting(body)
        except msgspec.DecodeError as error:
            raise WireError(str(error)) from error
        if greeting.host != HOST_VERSION or greeting.api[0] != API_VERSION[0]:
            self.give_up(
                VersionMismatch(
                    f"the host of platform {self._name} has QFw {greeting.version[:64]} (protocol {greeting.host}, "
                    f"API {greeting.api}); this daemon has {__version__} ({HOST_VERSION}, {API_VERSION}). "
                    "Install the same version in both environments"
                )
            )
            return
        self._greeted = True
        self.say(self._opening)

    def _gone(self, reason: str, error: QFwError | None = None) -> None:
        """The host is ended, and another one starts later."""
        if self._link is None or self._closed:
            return
        link, self._link = self._link, None
        link.end()
        if printed := link.printed():
            reason = f"{reason} (it printed: {printed})"
        logger.error("host lost: platform=%s pid=%d reason=%s", self._name, link.pid, reason)
        healthy = self.up and self._reactor.now() - self._began_s > HEALTHY_S
        self.up = False
        self._failures = 1 if healthy else self._failures + 1
        # One that is lost under a run may be so by the run's fault, which its owner is told after some attempts.
        if not self._lost(link.pid, reason):
            self._idle_failures = 1 if healthy else self._idle_failures + 1
        if error is None and self._idle_failures >= MAX_FAILURES:
            error = BrokenPlugin(
                f"platform {self._name}: its host was lost {self._idle_failures} times in a row, at last because "
                f"{reason}"
            )
        if error is not None:
            self._broken(error)
        else:
            self._reactor.call_at(self._reactor.now() + retry_s(self._failures), self.launch)

    def _look_for_life(self, link: Link) -> None:
        """Pings; the last one must have been answered."""
        if self._link is not link:
            return
        if self._pinged != self._ping:
            self.lose(f"it did not answer for {self._settings.answer_limit_s:g} s")
            return
        self._ping += 1
        self.say(Ping(self._ping))
        self._reactor.call_at(
            self._reactor.now() + self._settings.answer_limit_s, lambda: self._look_for_life(link)
        )
