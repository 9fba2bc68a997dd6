"""Handles: detached tasks, whose results are kept, and who attaches to them.

Whoever attaches is answered from what was kept: so a task that was reported to one of them is there for the
next. Only the session that submitted it gets its answer as any other.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from qfw.config.current import Current
from qfw.config.settings import ResultSettings, Settings
from qfw.model.errors import (
    ErrorReport,
    NoCapacity,
    NotAllowed,
    OptionError,
    QFwError,
    TaskInterrupted,
    UnknownTask,
    WireError,
)
from qfw.model.task import QuantumTask, task_name, task_session
from qfw.qpm.frames import pack
from qfw.qpm.platform import Reactor
from qfw.qpm.shared import Memory
from qfw.qpm.wire import MAX_ITEMS_PER_MESSAGE, Attach, Attached, AttachedTask, Known, TaskAnswer
from qfw.qpmd.background import Background
from qfw.qpmd.kept import Kept, content_digest
from qfw.qpmd.peer import Peer
from qfw.qpmd.results import Entry, ResultStore
from qfw.qpmd.state import TaskEntry
from qfw.scheduling.scheduler import Scheduler

#: Results up to this size are written and read on the loop; a thread does the others.
SMALL_BYTES = 64 * 2**10
#: Results that are read on the loop in one turn.
DELIVERED_PER_TURN = 128
#: Tasks whose results could not be kept, and why: the newest.
MAX_LOST = 4096


class _Owned(NamedTuple):
    """A detached task that has not ended, or whose result is being written."""

    uid: int
    client_pid: int
    digest: bytes
    #: Without its parameters and outputs; these had so many bytes.
    quantum: QuantumTask
    size: int


class _Usage:
    """What one user's live detached tasks take."""

    def __init__(self) -> None:
        self.tasks = 0
        self.size = 0


class Handles:
    """Detached tasks of a daemon; without a store (a private daemon) it refuses them."""

    def __init__(
        self,
        settings: Settings | Current,
        store: ResultStore | None,
        scheduler: Scheduler,
        peers: dict[int, Peer],
        touch: Callable[[Peer], None],
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`peers`: sessions by number; `touch`: a peer is owed something."""
        self._settings = settings
        self._store = store
        self._scheduler = scheduler
        self._peers = peers
        self._touch = touch
        self._wall_ns = wall_ns
        self._background = Background()
        self._live: dict[int, _Owned] = {}
        #: Tasks that ended and whose result is being written; bytes of all of them.
        self._writing: dict[int, _Owned] = {}
        self._writing_bytes = 0
        #: Sessions whose tasks wait until more is written.
        self._held: set[int] = set()
        self._usage: dict[int, _Usage] = {}
        #: Tasks by uid and idempotency key: live ones and kept ones.
        self._keys: dict[tuple[int, str], int] = {}
        self._lost: dict[int, tuple[int, ErrorReport]] = {}
        self.not_kept = 0
        #: Who waits for a task to be kept: (peer, number that it asked for).
        self._watchers: dict[int, list[tuple[Peer, int]]] = {}
        #: What a peer asked for and was not answered: number → the task that it stands for.
        self._asked: dict[Peer, dict[int, int]] = {}
        #: Of these the ones that are kept; and who waits for the thread to read one.
        self._due: dict[Peer, deque[int]] = {}
        self._reading: set[Peer] = set()
        if store is not None:
            for number, entry in store.index.items():
                if entry.key:
                    self._keys[entry.uid, entry.key] = number

    def open(self, reactor: Reactor) -> None:
        """Large results are written and read beside this loop."""
        self._background.open(reactor)

    def limit(self, settings: ResultSettings) -> None:
        """Results are kept as `settings` say from now on."""
        if self._store is not None:
            self._store.limit(settings)

    # Submission ---------------------------------------------------------------------------------

    def answered(self, peer: Peer, task: QuantumTask) -> bool:
        """Whether a submission needs nothing more: it is refused, or an earlier task stands for it."""
        if not task.options.detached:
            return False
        if self._store is None:
            refusal: QFwError = OptionError(
                f"task {task_name(task.number)} is detached, and this daemon is private: it ends with its last "
                f"session, and nobody could fetch the result later. Leave detached out, or start a "
                f"daemon that lasts: qfw daemon start --background"
            )
            peer.fail(task.number, ErrorReport.of(refusal))
            return True
        self._free_keys()
        key = task.options.idempotency_key
        earlier = self._keys.get((peer.uid, key)) if key else None
        if earlier is not None:
            self._known(peer, task, earlier)
            return True
        usage, limits = self._usage.get(peer.uid), self._settings.scheduling
        if usage is not None:
            size = usage.size + len(task.parameters) + len(task.outputs)
            if usage.tasks >= limits.max_tasks_per_session or size > limits.max_bytes_per_session:
                refusal = NoCapacity(
                    f"your {usage.tasks} unanswered detached tasks have {usage.size} bytes of parameters and outputs; "
                    f"of all sessions together {limits.max_tasks_per_session} tasks and "
                    f"{limits.max_bytes_per_session} bytes are taken (scheduling.max_tasks_per_session, "
                    f"max_bytes_per_session). Wait for some of them"
                )
                peer.fail(task.number, ErrorReport.of(refusal))
                return True
        return False

    def _known(self, peer: Peer, task: QuantumTask, earlier: int) -> None:
        if task.number in self._asked.get(peer, ()):
            return  # Sent again.
        if self._digest(earlier) != content_digest(task):
            error = OptionError(
                f"idempotency key {task.options.idempotency_key[:100]!r} is that of task {task_name(earlier)}, which "
                f"had another content (program, parameters, outputs, shots, device, seed or calibration). Use "
                f"another key"
            )
            peer.fail(task.number, ErrorReport.of(error))
            return
        if not self._may_ask(peer, task.number):
            return
        peer.outbox.put(pack(Known([(task.number, earlier)])))
        self._follow(peer, task.number, earlier)

    def _digest(self, number: int) -> bytes:
        owned = self._owned(number)
        if owned is not None:
            return owned.digest
        assert self._store is not None
        return self._store.index[number].digest

    def accepted(self, peer: Peer, task: QuantumTask) -> None:
        """A task was accepted; a detached one is its user's from now on, not its session's."""
        if not task.options.detached or self._store is None:
            return
        size = len(task.parameters) + len(task.outputs)
        bare = msgspec.structs.replace(task, parameters=b"", outputs=b"")
        self._live[task.number] = _Owned(peer.uid, peer.pid, content_digest(task), bare, size)
        if task.options.idempotency_key:
            self._keys[peer.uid, task.options.idempotency_key] = task.number
        usage = self._usage.setdefault(peer.uid, _Usage())
        usage.tasks += 1
        usage.size += size
        self._store.register.accept(task.number, peer.uid)

    # The end of a task ----------------------------------------------------------------------------

    def done(self, entry: TaskEntry, answer: TaskAnswer, memory: Memory | None) -> None:
        """A task was answered; `memory`: where its answers lie."""
        owned = self._ended(entry)
        if owned is None:
            return
        size = len(answer.answers) if memory is None else memory.size
        bare = msgspec.structs.replace(answer, answers=b"")
        kept = self._kept(owned, bare, None, size)
        if size <= SMALL_BYTES:
            self._keep(kept, answer.answers if memory is None else memory.read(), owned)
            return
        try:
            content = answer.answers if memory is None else memory.duplicate()
        except OSError as error:
            number = entry.quantum.number
            refusal = NoCapacity(
                f"the result of task {task_name(number)} cannot be kept: {error.strerror}. Raise the daemon's limit "
                f"of descriptors (ulimit -n)"
            )
            self._not_kept(number, owned, refusal)
            return
        self._keep_large(kept, content, owned)

    def failed(self, entry: TaskEntry, report: ErrorReport) -> None:
        """A task failed, or was cancelled."""
        owned = self._ended(entry)
        if owned is not None:
            self._keep(self._kept(owned, None, report, 0), b"", owned)

    def _ended(self, entry: TaskEntry) -> _Owned | None:
        owned = self._live.pop(entry.quantum.number, None)
        if owned is not None:
            usage = self._usage[owned.uid]
            usage.tasks -= 1
            usage.size -= owned.size
            if not usage.tasks:
                del self._usage[owned.uid]
        return owned

    def _kept(self, owned: _Owned, answer: TaskAnswer | None, error: ErrorReport | None, size: int) -> Kept:
        return Kept(
            owned.quantum,
            owned.uid,
            owned.digest,
            owned.client_pid,
            os.getpid(),
            self._wall_ns(),
            answer,
            error,
            size,
        )

    def _keep(self, kept: Kept, content: bytes, owned: _Owned) -> None:
        assert self._store is not None
        number = kept.quantum.number
        try:
            entry = self._store.write(kept, [content] if content else [])
        except QFwError as error:
            self._not_kept(number, owned, error)
            return
        self._is_kept(number, entry)

    def _keep_large(self, kept: Kept, content: bytes | Memory, owned: _Owned) -> None:
        store, number = self._store, kept.quantum.number
        assert store is not None
        self._writing[number] = owned
        self._writing_bytes += kept.size
        if self._writing_bytes > self._settings.unread_bytes:
            # The disk is slower than the device: what is not written yet lies in memory.
            session = task_session(number)
            self._held.add(session)
            self._scheduler.hold(session, True)

        def write() -> Entry:
            try:
                return store.write(kept, [content.view() if isinstance(content, Memory) else content])
            except OSError as error:
                raise NoCapacity(
                    f"the result of task {task_name(number)} cannot be mapped: {error.strerror}"
                ) from error

        def written(outcome: Entry | QFwError) -> None:
            del self._writing[number]
            self._writing_bytes -= kept.size
            if isinstance(outcome, QFwError):
                self._not_kept(number, owned, outcome)
            else:
                self._is_kept(number, outcome)
            if self._held and self._writing_bytes <= self._settings.unread_bytes // 2:
                self._go_on()

        self._background.do(write, written)

    def _go_on(self) -> None:
        held, self._held = self._held, set()
        for session in held:
            peer = self._peers.get(session)
            if peer is None or not peer.held:
                self._scheduler.hold(session, False)

    def holds(self, session: int) -> bool:
        """Whether a session's tasks wait until more results are written."""
        return session in self._held

    def _is_kept(self, number: int, entry: Entry) -> None:
        assert self._store is not None
        self._store.add(number, entry)
        for peer, asked in self._watchers.pop(number, ()):
            self._due.setdefault(peer, deque()).append(asked)

    def _not_kept(self, number: int, owned: _Owned, error: QFwError) -> None:
        assert self._store is not None
        self.not_kept += 1
        report = ErrorReport.of(error)
        self._lost[number] = (owned.uid, report)
        if len(self._lost) > MAX_LOST:
            self._lost.pop(next(iter(self._lost)))
        self._store.register.end(number)
        self._free_key(number, owned.uid, owned.quantum.options.idempotency_key)
        for peer, asked in self._watchers.pop(number, ()):
            self._fail(peer, asked, report)

    # Who attaches -----------------------------------------------------------------------------------

    def attach(self, peer: Peer, message: Attach) -> None:
        """A client asks for tasks of others, or of its own from before.

        Raises:
            WireError: for too many at once.
        """
        if len(message.tasks) > MAX_ITEMS_PER_MESSAGE:
            raise WireError(
                f"a message names {len(message.tasks)} tasks; at most {MAX_ITEMS_PER_MESSAGE} are taken at once"
            )
        self._free_keys()
        for number in message.tasks:
            if number in peer.tasks or number in self._asked.get(peer, ()):
                continue  # It will be answered.
            if not self._may_ask(peer, number):
                continue
            refusal = self._refusal(peer, number)
            if refusal is None:
                self._follow(peer, number, number)
            else:
                peer.fail(number, refusal)

    def _may_ask(self, peer: Peer, number: int) -> bool:
        """Whether a peer may ask for one task more; fails it where not."""
        most = self._settings.scheduling.max_tasks_per_session
        error: QFwError
        if not peer.session:
            error = NotAllowed("an observer asks; open a session to attach to a task")
        elif len(peer.tasks) + len(self._asked.get(peer, ())) >= most:
            error = NoCapacity(f"{most} tasks of this session are unanswered already; wait for some results")
        else:
            return True
        peer.fail(number, ErrorReport.of(error))
        return False

    def _refusal(self, peer: Peer, number: int) -> ErrorReport | None:
        """Why a task cannot be attached to; None where it can."""
        owned, store = self._owned(number), self._store
        if owned is not None and owned.uid == peer.uid:
            return None
        unknown = UnknownTask(
            f"there is no task {task_name(number)} that you could attach to: it never was, it is not detached, or it "
            f"is another user's"
        )
        if store is None:
            return ErrorReport.of(
                UnknownTask(f"{unknown}. This daemon is private: it keeps nothing for later sessions")
            )
        entry = store.index.get(number)
        if entry is not None and entry.uid == peer.uid:
            return None
        uid, report = self._lost.get(number, (None, None))
        if uid == peer.uid:
            return report
        if store.register.expired.get(number) == peer.uid:
            return ErrorReport.of(store.expired(number))
        if store.register.interrupted.get(number) == peer.uid:
            return ErrorReport.of(
                TaskInterrupted(
                    f"task {task_name(number)} was not answered, or its result not kept, when its daemon ended. If it "
                    f"was waiting or running it is listed by: qfw squeue --journal. A daemon does not resume such "
                    f"tasks yet; submit it again"
                )
            )
        return ErrorReport.of(unknown)

    def _owned(self, number: int) -> _Owned | None:
        return self._live.get(number) or self._writing.get(number)

    def _follow(self, peer: Peer, asked: int, number: int) -> None:
        """A peer gets the answer of a task that is there, under the number that it asked for."""
        self._asked.setdefault(peer, {})[asked] = number
        owned = self._owned(number)
        if owned is None:
            self._due.setdefault(peer, deque()).append(asked)
            return
        self._watchers.setdefault(number, []).append((peer, asked))
        self._say_attached(peer, asked, owned.client_pid, os.getpid(), owned.quantum)

    def _say_attached(
        self, peer: Peer, asked: int, client_pid: int, daemon_pid: int, quantum: QuantumTask
    ) -> None:
        peer.outbox.put(pack(Attached([AttachedTask(asked, client_pid, daemon_pid, quantum)])))
        self._touch(peer)

    def cancellable(self, peer: Peer, number: int) -> int:
        """The task that a peer may cancel by this number: of its own, or detached ones of its user."""
        if number in peer.tasks:
            return number
        number = self._asked.get(peer, {}).get(number, number)
        owned = self._live.get(number)
        return number if owned is not None and owned.uid == peer.uid else 0

    def leave(self, peer: Peer) -> list[int]:
        """A session ends: forgets what it attached to; those of its tasks that end with it."""
        for asked, number in self._asked.pop(peer, {}).items():
            waiting = self._watchers.get(number)
            if waiting is not None:
                waiting.remove((peer, asked))
                if not waiting:
                    del self._watchers[number]
        self._due.pop(peer, None)
        return sorted(number for number in peer.tasks if number not in self._live)

    def left(self, session: int) -> None:
        """A session ended; its detached tasks go on, whatever it left unread."""
        if session not in self._held:
            self._scheduler.hold(session, False)

    # The turn -----------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether the next turn has work without anything arriving."""
        return any(not peer.held and peer not in self._reading for peer in self._due)

    def turn(self) -> None:
        """Answers who attached, as far as they read; removes what is too old."""
        store = self._store
        if store is None:
            return
        self._free_keys()
        store.register.flush()
        budget = DELIVERED_PER_TURN
        for peer in list(self._due):
            asked = self._due[peer]
            while asked and budget and not peer.held and peer not in self._reading:
                budget -= 1
                self._deliver(store, peer, asked.popleft())
            if not asked:
                del self._due[peer]
            elif not budget:
                # The others come first in the next turn.
                self._due[peer] = self._due.pop(peer)
                return

    def _deliver(self, store: ResultStore, peer: Peer, asked: int) -> None:
        number = self._asked[peer][asked]
        entry = store.index.get(number)
        if entry is None:
            self._fail(peer, asked, ErrorReport.of(store.expired(number)))
            return

        def read() -> tuple[Kept, bytes | Memory]:
            return store.read(number)

        def answer(outcome: tuple[Kept, bytes | Memory] | QFwError) -> None:
            self._reading.discard(peer)
            if asked not in self._asked.get(peer, ()):
                return  # The peer left meanwhile.
            if isinstance(outcome, QFwError):
                store.lost(number, outcome)
                self._fail(peer, asked, ErrorReport.of(outcome))
            else:
                self._answer(peer, asked, *outcome)

        if entry.size > SMALL_BYTES:
            self._reading.add(peer)
            self._background.do(read, answer)
            return
        try:
            outcome: Any = read()
        except QFwError as error:
            outcome = error
        answer(outcome)

    def _answer(self, peer: Peer, asked: int, kept: Kept, content: bytes | Memory) -> None:
        if kept.answer is None:
            assert kept.error is not None
            self._fail(peer, asked, kept.error)
            return
        self._forget_asked(peer, asked)
        self._say_attached(peer, asked, kept.client_pid, kept.daemon_pid, kept.quantum)
        if isinstance(content, Memory):
            peer.answer(msgspec.structs.replace(kept.answer, task=asked), content)
        else:
            peer.answer(msgspec.structs.replace(kept.answer, task=asked, answers=content))

    def _fail(self, peer: Peer, asked: int, report: ErrorReport) -> None:
        self._forget_asked(peer, asked)
        peer.fail(asked, report)
        self._touch(peer)

    def _forget_asked(self, peer: Peer, asked: int) -> None:
        numbers = self._asked[peer]
        del numbers[asked]
        if not numbers:
            del self._asked[peer]

    def _free_keys(self) -> None:
        """Removes what is kept no longer; the keys of such results are free again."""
        store = self._store
        if store is None:
            return
        store.prune()
        while store.gone:
            number, entry = store.gone.pop()
            self._free_key(number, entry.uid, entry.key)

    def _free_key(self, number: int, uid: int, key: str) -> None:
        if key and self._keys.get((uid, key)) == number:
            del self._keys[uid, key]

    def counts(self) -> dict[str, int]:
        """Results that are kept, that were found damaged, that could not be kept."""
        store = self._store
        if store is None:
            return {}
        return {
            "results_kept": len(store.index),
            "results_damaged": len(store.damaged),
            "results_not_kept": self.not_kept,
        }

    def close(self) -> None:
        """Waits until what ended is kept."""
        self._background.close()
        if self._store is not None:
            self._store.close()
