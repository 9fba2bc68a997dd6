"""What the daemon's owner may have it do: drain, resume, reload, stop; and what it says of itself.

Nothing here waits. A stop is told to the daemon's process, which ends when what runs has ended.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from qfw import __version__
from qfw.config import settings as files
from qfw.config.current import Current
from qfw.config.settings import Settings
from qfw.model.errors import ErrorReport, NoCapacity, NotAllowed, OptionError, QFwError, UsageError
from qfw.model.events import DaemonDraining
from qfw.qpm import names
from qfw.qpm.frames import pack
from qfw.qpm.platform import Reactor
from qfw.qpm.status import DaemonStatus, Outcome
from qfw.qpm.wire import Control, NativeAnswer
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.state import DaemonState

logger = logging.getLogger(__name__)

PRIVATE = "private"
DRAIN, RESUME, RELOAD, STOP = "drain", "resume", "reload", "stop"
#: How often a platform that shall go is looked at whether its tasks have ended, in seconds.
RETIRE_LOOK_S = 0.2


class Controls:
    """The owner's part of one daemon."""

    def __init__(
        self,
        current: Current,
        state: DaemonState,
        platforms: Platforms,
        emit: Callable[[DaemonDraining], None],
        changed: Callable[[str], None],
        busy: Callable[[list[str]], bool],
        clock_ns: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        """Of a private daemon, until `serve` says otherwise.

        Args:
            current: the settings in force.
            state: what the daemon knows.
            platforms: those that a reload starts and ends.
            emit: notes that the daemon drains.
            changed: is told of a platform that is gone.
            busy: whether native operations of these devices are under way.
            clock_ns: the daemon's monotonic clock.
            wall_ns: Unix time.
        """
        self._current, self._state, self._platforms = current, state, platforms
        self._emit, self._changed, self._busy = emit, changed, busy
        self._clock_ns, self._wall_ns = clock_ns, wall_ns
        self._began_ns = clock_ns()
        self._reactor: Reactor
        self._stop: Callable[[str], None] | None = None
        self._folder = ""
        self._config: Path | None = None
        self._looks = False
        #: Whether nothing is started any more: the daemon ends as soon as what runs has.
        self.stopping = False
        self.scope, self.name = PRIVATE, ""

    def open(self, reactor: Reactor) -> None:
        """Begins to serve."""
        self._reactor = reactor

    def serve(self, folder: Path, config: Path | None, stop: Callable[[str], None] | None) -> None:
        """Says where the daemon is and which file it has; `stop` begins its end, None: it is private."""
        self._folder, self._config, self._stop = str(folder), config, stop
        if stop is not None:
            self.scope, self.name = self._current.daemon.scope, self._current.daemon.name

    def take(self, peer: Peer, message: Control) -> None:
        """Does what an observer asks, and answers it."""
        try:
            if peer.session:
                raise NotAllowed(f"a session may not {message.verb[:20]} the daemon; use: qfw daemon")
            outcome = self.act(message.verb, f"asked by uid {peer.uid}, pid {peer.pid}")
            peer.reply(pack(NativeAnswer(message.request, None, msgspec.msgpack.encode(outcome))))
        except QFwError as error:
            logger.error("refused: verb=%s pid=%d %s", message.verb[:20], peer.pid, error)
            peer.reply(pack(NativeAnswer(message.request, ErrorReport.of(error), b"")))

    def act(self, verb: str, why: str) -> Outcome:
        """Drains, resumes, reloads or stops; `why` is for listings and the log.

        Raises:
            QFwError: it was not done, and nothing changed.
        """
        acts = {DRAIN: self._drain, RESUME: self._resume, RELOAD: self._reload, STOP: self._begin_stop}
        if verb not in acts:
            raise OptionError(f"a daemon does not {verb[:20]!r}; it takes {', '.join(acts)}")
        outcome = acts[verb](why)
        logger.info("%s: %s (%s)", verb, outcome.said, why)
        return outcome

    # Tasks ------------------------------------------------------------------------------------------

    def refusal(self, device: str) -> NoCapacity | None:
        """Why no new task is taken for a device; None where it is."""
        if self._state.draining is not None:
            reason, since_ns = self._state.draining
            wall_s = (self._wall_ns() - self._clock_ns() + since_ns) / 1e9
            since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall_s))
            return NoCapacity(
                f"the daemon is draining since {since} ({reason}): it takes no new tasks; those that it took go on. "
                f"Send the task to another daemon, or later"
            )
        name = self._platforms.retiring(device)
        if name is not None:
            return NoCapacity(
                f"device {device} is draining: its platform {name} leaves this daemon, or starts anew with other "
                f"settings. Choose another device, or try again later"
            )
        return None

    def _drain(self, why: str) -> Outcome:
        if self._state.draining is None:
            self._emit(DaemonDraining(self._clock_ns(), True, why))
        return Outcome(DRAIN, f"new tasks are refused; unanswered ones that go on: {len(self._state.tasks)}")

    def _resume(self, why: str) -> Outcome:
        if self.stopping:
            raise UsageError(
                "the daemon stops, and takes no tasks any more; start another one when it has ended"
            )
        if self._state.draining is not None:
            self._emit(DaemonDraining(self._clock_ns(), False, why))
        return Outcome(RESUME, "new tasks are taken")

    def restated(self) -> list[DaemonDraining]:
        """What a new segment of the journal has to say."""
        draining = self._state.draining
        return [] if draining is None else [DaemonDraining(draining[1], True, draining[0])]

    # Stop -------------------------------------------------------------------------------------------

    def _begin_stop(self, why: str) -> Outcome:
        if self._stop is None:
            raise NotAllowed("a private daemon ends with its last session; end the sessions")
        if not self.stopping:
            self.stopping = True
            if self._state.draining is None:
                self._emit(DaemonDraining(self._clock_ns(), True, f"it stops, {why}"))
            self._stop(why)
        running = self.running
        return Outcome(
            STOP,
            f"nothing is started any more; running: {running}, for {self._current.daemon.stop_limit_s:g} s at most; "
            f"waiting, which stay listed in the journal: {len(self._state.tasks) - running}",
        )

    @property
    def running(self) -> int:
        """Tasks that run."""
        return sum(map(len, self._state.running.values()))

    # Reload -----------------------------------------------------------------------------------------

    def _reload(self, why: str) -> Outcome:
        wanted = self._read()
        changed, restart = self._current.take(wanted)
        changed += self._platforms.reload(wanted.platforms)
        self._look()
        said = f"changed: {', '.join(changed) or 'nothing'}"
        if restart:
            said += f"; needs a restart: {', '.join(restart)}"
        return Outcome(RELOAD, said, tuple(changed), tuple(restart))

    def _read(self) -> Settings:
        """The file as it is now, checked whole."""
        if self._stop is None:
            raise NotAllowed(
                "a private daemon reads its settings when it starts; end its sessions, start again"
            )
        if self._config is None:
            raise UsageError(
                "this daemon was started without a settings file; there is nothing to read again"
            )
        wanted = files.load(self._config)
        if found := names.problems(wanted):
            raise files.wrong(self._config, tuple(found))
        return wanted

    def _look(self) -> None:
        """Ends the platforms that shall go and have nothing to do any more."""
        for name in self._platforms.leaving():
            devices = self._platforms.devices(name)
            used = any(entry.quantum.device in devices for entry in self._state.tasks.values())
            if used or self._busy(devices):
                continue
            end_s = self._platforms.leave(name)
            self._reactor.call_at(self._reactor.now() + end_s, lambda name=name: self._end(name))  # type: ignore[misc]
        if self._platforms.leaving() and not self._looks:
            self._looks = True
            self._reactor.call_at(self._reactor.now() + RETIRE_LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._looks = False
        self._look()

    def _end(self, name: str) -> None:
        self._platforms.remove(name)
        self._changed(name)
        self._platforms.start_wanted(name)

    # What it says of itself ---------------------------------------------------------------------------

    def status(self) -> DaemonStatus:
        """The daemon now; its file is read for it."""
        reload, restart, problem = self._pending()
        now_ns, draining = self._clock_ns(), self._state.draining
        return DaemonStatus(
            self.scope,
            self.name or self.scope,
            os.getpid(),
            __version__,
            self._folder,
            str(self._config or ""),
            (now_ns - self._began_ns) / 1e9,
            draining[0] if draining else "",
            (now_ns - draining[1]) / 1e9 if draining else 0.0,
            self.stopping,
            len(self._platforms.profiles),
            len(self._state.sessions),
            len(self._state.tasks),
            self.running,
            self._current.daemon.stop_limit_s,
            tuple(reload),
            tuple(restart),
            problem,
        )

    def _pending(self) -> tuple[list[str], list[str], str]:
        if self._stop is None or self._config is None:
            return [], [], ""
        try:
            wanted = self._read()
        except QFwError as error:
            return [], [], str(error)
        changed, restart = self._current.differences(wanted)
        return changed + self._platforms.differences(wanted.platforms), restart, ""
