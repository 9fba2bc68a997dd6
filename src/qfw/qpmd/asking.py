"""Asking: programs that clients lower, since their pipelines have tools that only a client can run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from qfw.config.current import Current
from qfw.model.errors import ErrorReport, ToolFailed
from qfw.qpm.frames import pack
from qfw.qpm.platform import Reactor
from qfw.qpm.wire import Lowered, NeedLowering
from qfw.qpmd.peer import Peer

#: Questions that a client has at once; it answers one after the other.
MAX_ASKED = 4


class Answer(NamedTuple):
    """What came of a question."""

    number: int
    session: int
    #: A LoweredProgram, MessagePack, or why there is none.
    outcome: bytes | ErrorReport


class Asking:
    """The questions that clients are asked, each within a time limit."""

    def __init__(
        self,
        peers: Mapping[int, Peer],
        settings: Current,
        answered: Callable[[Answer], None],
        touch: Callable[[Peer], None],
    ) -> None:
        """Nobody is asked yet.

        Args:
            peers: the clients by session.
            settings: with the time limit of tools.
            answered: is told what came.
            touch: is told of the peers that are owed something.
        """
        self._peers = peers
        self._settings = settings
        self._answered = answered
        self._touch = touch
        self._reactor: Reactor
        #: The session that each open question is for.
        self._sessions: dict[int, int] = {}
        #: By session: what it was asked, and what waits until it has answered some.
        self._asked: dict[int, set[int]] = {}
        self._waiting: dict[int, deque[NeedLowering]] = {}

    def open(self, reactor: Reactor) -> None:
        """Begins to serve."""
        self._reactor = reactor

    def ask(self, session: int, question: NeedLowering) -> None:
        """Asks the client of a session, now or when it has answered others."""
        self._sessions[question.lowering] = session
        self._waiting.setdefault(session, deque()).append(question)
        self._send(session)

    def forget(self, number: int) -> bool:
        """Nobody wants it any more: whether it was not asked yet, and is left out."""
        waiting = self._waiting.get(self._sessions.get(number, 0), deque())
        for question in waiting:
            if question.lowering == number:
                waiting.remove(question)
                del self._sessions[number]
                return True
        return False

    def heard(self, peer: Peer, message: Lowered) -> None:
        """A client answers; what it was not asked, or answers late, is dropped."""
        if message.lowering in self._asked.get(peer.session, ()):
            outcome = message.error if message.error is not None else message.body
            self._end(message.lowering, peer.session, outcome)

    def left(self, session: int) -> list[int]:
        """A client is gone: the questions that nobody answers now."""
        self._waiting.pop(session, None)
        self._asked.pop(session, None)
        numbers = [number for number, asked in self._sessions.items() if asked == session]
        for number in numbers:
            del self._sessions[number]
        return numbers

    def _send(self, session: int) -> None:
        waiting, asked = self._waiting.get(session), self._asked.setdefault(session, set())
        peer = self._peers[session]
        while waiting and len(asked) < MAX_ASKED:
            question = waiting.popleft()
            asked.add(question.lowering)
            peer.outbox.put(pack(question))
            self._touch(peer)
            limit_s = self._settings.tools.time_limit_s
            self._reactor.call_at(
                self._reactor.now() + limit_s,
                partial(self._late, question.lowering, session, limit_s),
            )

    def _late(self, number: int, session: int, limit_s: float) -> None:
        if number in self._asked.get(session, ()):
            error = ToolFailed(
                f"the client that has to lower the program did not within {limit_s:g} s "
                "(tools.time_limit_s of the daemon)"
            )
            self._end(number, session, ErrorReport.of(error))

    def _end(self, number: int, session: int, outcome: bytes | ErrorReport) -> None:
        self._asked[session].discard(number)
        self._sessions.pop(number, None)
        self._answered(Answer(number, session, outcome))
        if session in self._peers:
            self._send(session)
