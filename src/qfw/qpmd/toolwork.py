"""Tool work: what sessions have the daemon's tools do, besides the lowering of their tasks; bounded, and charged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from qfw.config.current import Current
from qfw.model.errors import (
    ErrorReport,
    NoCapacity,
    NotAllowed,
    NotLowered,
    OptionError,
    QFwError,
    TaskCancelled,
    TooLarge,
    UnknownDevice,
)
from qfw.model.pipeline import Pipeline
from qfw.qpm import registry
from qfw.qpm.frames import pack
from qfw.qpm.wire import EXPAND, LOWER, MAX_PROGRAM_BYTES, EndTools, NativeAnswer, RunTools, ToolWork
from qfw.qpmd.lowering import ToolRunner
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Platforms

#: Pieces of a session that are not answered, and bytes of them together.
MAX_WORKS, MAX_WORK_BYTES = 1024, 64 * 2**20
#: Who leaves more bytes unread is answered NoCapacity in the place of what was made.
MAX_UNREAD_BYTES = 64 * 2**20
#: Bytes of outputs, of peers and of a name.
MAX_OUTPUTS_BYTES, MAX_PEERS_BYTES, MAX_NAME_BYTES = 16 * 2**20, 4 * 2**20, 1024


class _Piece(NamedTuple):
    peer: Peer
    request: int
    size: int


class ToolWorks:
    """The pieces that are under way, and the seconds that tools have taken."""

    def __init__(
        self,
        settings: Current,
        platforms: Platforms,
        peers: Mapping[int, Peer],
        refusal: Callable[[str], QFwError | None],
        target: Callable[[str], bytes],
        touch: Callable[[Peer], None],
        tools: ToolRunner | None,
    ) -> None:
        """Of parts of the daemon.

        Args:
            settings: with the time limit of tools.
            platforms: whose devices there are.
            peers: the clients by session.
            refusal: why nothing new is begun for a device, or None. One that is away still has a profile, and what is
                made for it may run elsewhere.
            target: what tools are told of a device.
            touch: is told of the peers that are owed something.
            tools: runs them; None: nobody here does.
        """
        self._settings = settings
        self._platforms = platforms
        self._peers = peers
        self._refusal = refusal
        self._target = target
        self._touch = touch
        self._tools = tools
        self._pieces: dict[int, _Piece] = {}
        #: Of each session, by the session's number for them.
        self._of: dict[Peer, dict[int, int]] = {}
        self._last = 0
        #: Pieces that were answered with what tools made.
        self.done = 0
        #: Seconds of tools by session; of all that left together as 0.
        self.spent_s: dict[int, float] = {}
        if tools is not None:
            tools.spent = self._spent

    @property
    def open(self) -> int:
        """Pieces that wait or run."""
        return len(self._pieces)

    def begin(self, peer: Peer, message: RunTools) -> None:
        """Has tools do something, or answers at once why not."""
        try:
            self._check(peer, message)
        except QFwError as error:
            self._answer(peer, message.request, ErrorReport.of(error))
            return
        assert self._tools is not None
        # Below 0: see ToolRunner.
        self._last -= 1
        self._pieces[self._last] = _Piece(peer, message.request, message.work.size)
        self._of.setdefault(peer, {})[message.request] = self._last
        limit_s = self._settings.tools.time_limit_s
        self._tools.work(
            self._last, peer.session, message.work, self._target(message.device), limit_s, self._ended
        )

    def end(self, peer: Peer, message: EndTools) -> None:
        """A session wants an answer no more; of one that it does not wait for nothing is said."""
        number = self._of.get(peer, {}).get(message.request)
        if number is None:
            return
        self._take(number)
        if self._tools is not None:
            self._tools.end(number)
        self._answer(peer, message.request, ErrorReport.of(TaskCancelled("the tool work was cancelled")))

    def left(self, peer: Peer) -> None:
        """A client is gone: what tools do for it ends."""
        for number in list(self._of.get(peer, {}).values()):
            self._take(number)
            if self._tools is not None:
                self._tools.end(number)
        took_s = self.spent_s.pop(peer.session, 0.0)
        if took_s:
            self.spent_s[0] = self.spent_s.get(0, 0.0) + took_s

    def _check(self, peer: Peer, message: RunTools) -> None:
        work, device = message.work, message.device
        if not peer.session:
            raise NotAllowed("an observer asks only; open a session to have tools work")
        mine = self._of.get(peer, {})
        if message.request in mine:
            raise OptionError(f"request {message.request} is not answered yet; number the next one otherwise")
        if device not in self._platforms.profiles:
            raise UnknownDevice(registry.unknown("device", device, sorted(self._platforms.profiles)))
        refusal = self._refusal(device)
        if refusal is not None:
            raise refusal
        if work.kind not in (LOWER, EXPAND):
            raise OptionError(f"tool work is {LOWER} or {EXPAND}, not {work.kind[:100]!r}")
        _check_sizes(work)
        named = {stage.tool for stage in Pipeline.decode(work.pipeline).stages}
        here = self._tools.tools if self._tools is not None else frozenset()
        if not named <= here:
            raise NotLowered(
                f"this daemon does not run {', '.join(sorted(named - here))[:500]}. Run the pipeline in the "
                "application, or install the tools where the daemon runs"
            )
        size = sum(self._pieces[number].size for number in mine.values()) + work.size
        if len(mine) >= MAX_WORKS or size > MAX_WORK_BYTES:
            raise NoCapacity(
                f"{len(mine)} pieces of tool work of this session are unanswered; at most {MAX_WORKS} of "
                f"{MAX_WORK_BYTES / 2**20:.0f} MiB together are taken. Wait for some"
            )

    def _ended(self, number: int, outcome: bytes | ErrorReport) -> None:
        piece = self._take(number)
        if piece is None:
            return
        if isinstance(outcome, ErrorReport):
            self._answer(piece.peer, piece.request, outcome)
        elif piece.peer.outbox.size > MAX_UNREAD_BYTES:
            error = NoCapacity(f"{piece.peer.outbox.size} bytes are unread; read them, and ask again")
            self._answer(piece.peer, piece.request, ErrorReport.of(error))
        else:
            self.done += 1
            self._answer(piece.peer, piece.request, None, outcome)

    def _take(self, number: int) -> _Piece | None:
        piece = self._pieces.pop(number, None)
        if piece is not None:
            mine = self._of[piece.peer]
            del mine[piece.request]
            if not mine:
                del self._of[piece.peer]
        return piece

    def _spent(self, session: int, seconds: float) -> None:
        here = session if session in self._peers else 0
        self.spent_s[here] = self.spent_s.get(here, 0.0) + seconds

    def _answer(self, peer: Peer, request: int, error: ErrorReport | None, body: bytes = b"") -> None:
        if peer.closed:
            return
        frame = pack(NativeAnswer(request, error, body))
        if error is not None:
            peer.reply(frame)
        else:
            # Bounded by itself: who reads slowly is not let go for one large answer.
            peer.outbox.put(frame)
        self._touch(peer)


def _check_sizes(work: ToolWork) -> None:
    for what, found, most in (
        ("program", len(work.program), MAX_PROGRAM_BYTES),
        ("list of outputs", len(work.outputs), MAX_OUTPUTS_BYTES),
        ("list of peers", len(work.peers), MAX_PEERS_BYTES),
        ("name", len(work.name), MAX_NAME_BYTES),
    ):
        if found > most:
            raise TooLarge(f"tool work with a {what} of {found} bytes; at most {most} are taken")
