"""Questions of clients that wait until all platforms have come up, or are known not to."""

from __future__ import annotations

from collections.abc import Callable

from qfw.model.errors import WireError
from qfw.qpm.frames import pack
from qfw.qpm.platform import Reactor
from qfw.qpm.wire import Reply
from qfw.qpmd.listing import SETTLED, Listing
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Platforms

#: Questions of a client that may wait until all platforms have settled.
MAX_ASKING = 16


class Settling:
    """Who asked for all platforms and waits; bounded."""

    def __init__(self, platforms: Platforms, listing: Listing, touch: Callable[[Peer], None]) -> None:
        """`touch` is told of the peers that are owed something."""
        self._platforms = platforms
        self._listing = listing
        self._touch = touch
        self._reactor: Reactor
        self._asking: list[tuple[Peer, int]] = []

    def open(self, reactor: Reactor) -> None:
        """Begins to serve."""
        self._reactor = reactor

    def ask(self, peer: Peer, request: int) -> None:
        """Starts what was not started yet; the answer comes when all have settled, or are late.

        Raises:
            WireError: too many questions of this client wait.
        """
        limit_s = self._platforms.start_all()
        if self._platforms.settled:
            peer.reply(pack(Reply(request, self._listing.answer(SETTLED))))
            return
        if sum(asking is peer for asking, _ in self._asking) >= MAX_ASKING:
            raise WireError(f"{MAX_ASKING} questions for platforms are unanswered and more is asked")
        self._asking.append((peer, request))
        self._reactor.call_at(self._reactor.now() + limit_s, self._answer)

    def look(self) -> None:
        """A platform has other devices than before: answers, if it was the last one."""
        if self._platforms.settled:
            self._answer()

    def _answer(self) -> None:
        asking, self._asking = self._asking, []
        for peer, request in asking:
            if not peer.closed:
                self._listing.forget()
                peer.reply(pack(Reply(request, self._listing.answer(SETTLED))))
                self._touch(peer)
