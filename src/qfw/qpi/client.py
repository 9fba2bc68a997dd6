"""A session's traffic with one daemon: numbers tasks and sends them, asks, and ends what is open when it is over."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import msgspec

from qfw.config.runtime import revision_path
from qfw.model.errors import (
    DaemonLost,
    QFwError,
    ResultTimeout,
    TooLarge,
    UsageError,
    WireError,
)
from qfw.model.pipeline import Pipeline
from qfw.model.program import Program
from qfw.model.task import QuantumTask, TaskOptions, task_number
from qfw.qpi.future import AttachedFuture, TaskFuture
from qfw.qpi.inbox import Inbox
from qfw.qpi.lowering import ClientLowering
from qfw.qpi.offers import Offer
from qfw.qpi.question import Awaited, Question
from qfw.qpi.readers import Readers
from qfw.qpm.frames import pack
from qfw.qpm.remote import Link
from qfw.qpm.revision import RevisionReader
from qfw.qpm.wire import (
    MAX_ITEMS_PER_MESSAGE,
    MAX_PROGRAM_BYTES,
    MAX_REQUEST_BYTES,
    Attach,
    Bye,
    CallNative,
    Cancel,
    Control,
    NeedPipelines,
    NeedPrograms,
    OfferLowered,
    Query,
    Received,
    Release,
    Renew,
    Reserve,
    StorePipeline,
    StoreProgram,
    Submit,
)

#: Tasks of one message.
TASKS_PER_MESSAGE = 256
#: Bytes of parameters and outputs of one message, unless one task has more.
BYTES_PER_MESSAGE = 4 * 2**20
#: Receipts that wait for the next submission to travel with.
RECEIPTS_PER_MESSAGE = 512
#: Number of a question that nobody waits for.
NOBODY = 0
#: Times that the daemon may ask for the program of one task.
MAX_SENT_AGAIN = 8
#: Digests that the client remembers to have sent.
SENT_DIGESTS = 65536
#: The daemon ends an operation in time and says so; its word is waited for so much longer, in seconds.
ANSWER_MARGIN_S = 5.0


class Draft(NamedTuple):
    """A task that has no number yet."""

    program: Program
    device: str
    #: The fields of a QuantumTask from `outputs` to `began_ns`, in its order.
    rest: tuple[bytes, int, bytes, int, int, TaskOptions, str, int]
    #: Its last three: pipeline (empty: that of `pipeline`), first set, group (below 0: it is the first of its own).
    more: tuple[bytes, int, int] = (b"", 0, 0)
    #: What lowers the program for the device.
    pipeline: Pipeline | None = None
    #: What it made of the program ahead of time.
    offers: tuple[Offer, ...] = ()


class Owner(Protocol):
    """Who submits tasks and follows them."""

    def began(self, futures: Sequence[TaskFuture], /) -> None:
        """These are about to be sent, in the order of their drafts; it must not wait."""
        ...

    def ended(self, future: TaskFuture, /) -> None:
        """One is settled and its callbacks come next; it must not wait."""
        ...


class Client:
    """Shared by all streams of a session; safe for several threads, not across fork."""

    def __init__(self, link: Link) -> None:
        """Takes over a link whose handshake is done."""
        self._link = link
        self.welcome = link.welcome
        self._pid = os.getpid()
        self._session = link.welcome.session
        #: The runtime folder of its daemon.
        self.folder = link.folder
        self._revision = RevisionReader(revision_path(link.folder), link.welcome.revision)
        self._sequence = 0
        # May be taken again by a callback that runs while it is held.
        self._sending = threading.RLock()
        self._readers = Readers(self._read, lambda: self.over)
        self._inbox = Inbox((self._pid, link.welcome.pid), self._readers.watched, self._send_again)
        self._futures, self._questions = self._inbox.futures, self._inbox.questions
        self._receipts = self._inbox.receipts
        #: What the session calls devices, where that is not what their daemon calls them; for Results.
        self.device_names = self._inbox.device_names
        #: Who is told, once, that the connection is over.
        self._mourners: list[Callable[[QFwError], None]] = []
        self._asked = 0
        self._sent: set[bytes] = set()
        #: Of what was made ahead of time and was offered.
        self._offered: set[int] = set()
        #: Those that were sent.
        self._pipelines: dict[bytes, Pipeline] = {}
        self._lowering = ClientLowering(self.hear, self._pipelines, link.welcome.tools, self.post)
        self._closed = False
        #: Why nothing can be sent any more. Not the error: that has the frames of all who met it.
        self._lost: str | None = None

    @property
    def open_tasks(self) -> int:
        """Tasks that are not answered yet."""
        return len(self._futures)

    @property
    def submitting(self) -> AbstractContextManager[object]:
        """While it is held nothing is submitted by others."""
        return self._sending

    @property
    def over(self) -> bool:
        """Whether nothing can be sent or come any more."""
        return self._closed or self._lost is not None

    @property
    def reads_here(self) -> bool:
        """Whether this thread is reading, and so runs a callback."""
        return self._readers.thread == threading.get_ident()

    def tasks_of(self, owner: Owner) -> list[TaskFuture]:
        """What an owner has submitted and is not answered yet."""
        return [f for f in list(self._futures.values()) if f.owner is owner and not f.settled]

    @property
    def lost(self) -> bool:
        """Whether the daemon went away, as far as was read."""
        return self._lost is not None and not self._closed

    def check(self) -> None:
        """Raises UsageError or DaemonLost where nothing can be sent any more."""
        self.check_process()
        if self._closed:
            raise UsageError("the session is closed; open a new one")
        if self._lost is not None:
            raise DaemonLost(self._lost)

    def check_process(self) -> None:
        """Raises UsageError in a forked child."""
        if os.getpid() != self._pid:
            raise UsageError(
                f"this session belongs to process {self._pid}; after a fork open a Session of your own in process "
                f"{os.getpid()}"
            )

    def submit(self, drafts: Sequence[Draft], owner: Owner | None = None) -> list[TaskFuture]:
        """Numbers and sends tasks, in order; their futures, which tell `owner` of their ends."""
        self.check()
        for draft in drafts:
            outputs, _, parameters, *_ = draft.rest
            size = len(outputs) + len(parameters)
            _check_size(size, MAX_REQUEST_BYTES - 2**16, "a task's parameters", "Send fewer sets in a task")
            if draft.pipeline is not None and draft.pipeline.digest not in self._pipelines:
                Pipeline.decode(draft.pipeline.encoded)
            if draft.program.digest not in self._sent:
                # As the daemon will: what it cannot read would end the session.
                Program.decode(draft.program.encoded)
                _check_size(
                    len(draft.program.encoded), MAX_PROGRAM_BYTES, "a program", "Cut it into smaller ones"
                )
        futures = []
        with self._sending:
            for first in range(0, len(drafts), TASKS_PER_MESSAGE):
                futures += self._submit(drafts[first : first + TASKS_PER_MESSAGE], owner)
        return futures

    def _submit(self, drafts: Sequence[Draft], owner: Owner | None) -> list[TaskFuture]:
        frames: list[bytes] = []
        tasks: list[QuantumTask] = []
        futures: list[TaskFuture] = []
        asked: list[TaskFuture] = []
        size = 0
        for draft in drafts:
            self._sequence += 1
            number = task_number(self._session, self._sequence)
            digest = draft.program.digest
            more, pipeline = draft.more, draft.pipeline
            if more[2] < 0:
                more = (*more[:2], number)
            if pipeline is not None:
                more = (pipeline.digest, *more[1:])
                if pipeline.digest not in self._pipelines:
                    self._pipelines[pipeline.digest] = pipeline
                    frames.append(pack(StorePipeline(pipeline.encoded)))
            task = QuantumTask(number, draft.device, digest, *draft.rest, time.monotonic_ns(), *more)
            if digest not in self._sent:
                if len(self._sent) >= SENT_DIGESTS:
                    self._sent.clear()
                self._sent.add(digest)
                if tasks:
                    # Directly before the tasks that need it: what a daemon keeps unused is bounded.
                    frames.append(pack(Submit(tasks)))
                    tasks, size = [], 0
                frames.append(pack(StoreProgram(draft.program.encoded)))
            if draft.offers and pipeline is not None:
                self._offer(draft, pipeline, frames)
            future = self._futures[number] = TaskFuture(self, task, draft.program, owner)
            if task.options.detached:
                future.receipt = Question()
            futures.append(future)
            if pipeline is not None and self._lowering.may_be_asked(pipeline):
                asked.append(future)
            if tasks and size + len(task.parameters) + len(task.outputs) > BYTES_PER_MESSAGE:
                frames.append(pack(Submit(tasks)))
                tasks, size = [], 0
            tasks.append(task)
            size += len(task.parameters) + len(task.outputs)
        frames.append(pack(Submit(tasks)))
        if len(self._receipts) >= RECEIPTS_PER_MESSAGE:
            frames.append(self._pack_receipts())
        if owner is not None:
            owner.began(futures)
        self._send(b"".join(frames))
        for future in asked:
            # Whether or not anybody waits, the daemon's question must be read.
            self.need_reader(future)
        return futures

    def _offer(self, draft: Draft, pipeline: Pipeline, frames: list[bytes]) -> None:
        """Says once what was made ahead of time for the device of a draft."""
        for offer in draft.offers:
            key = hash((draft.program.digest, pipeline.digest, offer.device, offer.target))
            if offer.device != draft.device or key in self._offered:
                continue
            if len(self._offered) >= SENT_DIGESTS:
                self._offered.clear()
            self._offered.add(key)
            frames.append(
                pack(
                    OfferLowered(
                        draft.program.digest, pipeline.digest, offer.device, offer.target, offer.body
                    )
                )
            )

    def attach(self, task: int) -> TaskFuture:
        """The future of a detached task, of whatever session; of one that is open here the same as before."""
        self.check()
        with self._sending:
            future = self._futures.get(task)
            if future is None:
                future = self._futures[task] = AttachedFuture(self, task)
                future.receipt = Question()
                self._send(pack(Attach([task])))
        return future

    def cancel(self, tasks: list[int]) -> None:
        """Asks the daemon to end these tasks."""
        self.check()
        parts = range(0, len(tasks), MAX_ITEMS_PER_MESSAGE)
        self._send(b"".join(pack(Cancel(tasks[at : at + MAX_ITEMS_PER_MESSAGE])) for at in parts))

    def ask(self, subject: str, timeout_s: float) -> bytes:
        """The daemon's answer to a question: MessagePack of what the subject says (docs/specs/wire.md).

        Raises:
            ResultTimeout: none came in time.
            DaemonLost: the daemon is gone.
        """
        return self.question(lambda request: Query(request, subject), timeout_s, f"its {subject}")

    def revision(self) -> bytes | None:
        """What is the same as long as no device of the daemon changed; None where only asking tells.

        To be read before the question whose answer is kept with it. Sends nothing.

        Raises:
            UsageError, DaemonLost: as `check`.
        """
        self.check()
        # Of one that was killed the file stays as it was: asking says that it is gone.
        return None if self._link.ended else self._revision.read()

    def call(self, device: str, operation: str, body: bytes, time_limit_s: float) -> bytes:
        """A native operation's answer: MessagePack, as the operation documents it. Raises why there is none."""
        _check_size(len(body), MAX_REQUEST_BYTES - 2**16, "the body of a native operation", "Send less")
        return self.question(
            lambda request: CallNative(request, device, operation, body, time_limit_s),
            time_limit_s + ANSWER_MARGIN_S,
            f"what {operation} of {device} gave",
        )

    def question(
        self,
        message: Callable[[int], Query | CallNative | Reserve | Renew | Release | Control],
        timeout_s: float,
        what: str,
    ) -> bytes:
        """The body that answers a message with the number that it is given. Raises what is answered in its place.

        Raises:
            ResultTimeout: nothing came in time; `what` is missing.
            DaemonLost: the daemon is gone.
        """
        number, asked = self.pose(message)
        try:
            if not self.wait(asked, timeout_s):
                raise ResultTimeout(f"the daemon did not say {what} within {timeout_s:g} s")
        finally:
            self.drop(number)
        return asked.answer()

    def pose(self, message: Callable[[int], msgspec.Struct]) -> tuple[int, Question]:
        """Sends a message with a number of its own, and that number; its question is settled when it is answered."""
        self.check()
        asked = Question()
        with self._sending:
            self._asked += 1
            number = self._asked
            self._questions[number] = asked
        try:
            self._send(pack(message(number)))
        except BaseException:
            self.drop(number)
            raise
        return number, asked

    def drop(self, number: int) -> None:
        """The answer to what was asked with this number is waited for no more."""
        self._questions.pop(number, None)

    def post(self, message: msgspec.Struct) -> None:
        """Sends a message that is not answered, or by messages that somebody `hears`."""
        self.check()
        self._send(pack(message))

    def hear(self, kind: type[msgspec.Struct], listener: Callable[[Any], None]) -> None:
        """Gives every message of a kind to `listener` from now on, on the thread that reads; it must not wait."""
        self._inbox.listeners[kind] = listener

    def when_over(self, listener: Callable[[QFwError], None]) -> None:
        """Calls `listener` when nothing comes any more, with the reason; at once where it is so. It must not wait."""
        self._mourners.append(listener)
        if self._closed:
            listener(_closed())
        elif self._lost is not None:
            listener(DaemonLost(self._lost))

    def _send(self, data: bytes) -> None:
        with self._sending:
            try:
                self._link.send(data)
            except DaemonLost as error:
                self._fail_all(error)
            except BaseException:
                # Ctrl-C, perhaps within a frame: nothing that follows could be read.
                self._fail_all(self._link.lost("this process was interrupted while it sent to it"))
                raise

    # Waiting ------------------------------------------------------------------------------------

    def wait(self, future: Awaited, timeout_s: float | None) -> bool:
        """Whether `future` is done, after waiting for it; reads the connection if nobody else does."""
        self.check_process()
        return self._readers.wait(future, timeout_s)

    def rouse(self, threads: Collection[int]) -> None:
        """Lets one of these threads, where it reads, look again at what it waits for: the daemon's word wakes it."""
        reader = self._readers.thread
        if reader in threads and reader != threading.get_ident() and not self.over:
            self._send(pack(Query(NOBODY, "counters")))

    def need_reader(self, future: Awaited) -> None:
        """Somebody waits for `future` without reading: the background thread does until it is done.

        What is no task is done when `need_no_reader` says so.
        """
        self.check_process()
        self._readers.need_reader(future)

    def need_no_reader(self, awaited: Awaited) -> None:
        """Nobody waits for it without reading any more."""
        self._readers.need_no_reader(awaited)

    # Reading ------------------------------------------------------------------------------------

    def _read(self, timeout_s: float | None) -> None:
        """One read, and all that is known then is taken in; only by the one who reads."""
        try:
            if self._inbox.empty:
                self._inbox.put(self._link.receive(timeout_s))
                self._link.taken()
            self._inbox.take_in()
        except QFwError as error:
            self._fail_all(_closed() if self._closed else error)
        except msgspec.DecodeError as error:
            self._fail_all(WireError(f"a message of the daemon that this client cannot read: {error}"))

    def _send_again(self, message: NeedPrograms | NeedPipelines) -> None:
        wanted = [future for number in message.tasks if (future := self._futures.get(number)) is not None]
        what = "program" if isinstance(message, NeedPrograms) else "pipeline"
        for future in wanted:
            future.sent_again += 1
            if future.sent_again > MAX_SENT_AGAIN:
                raise WireError(
                    f"the daemon asked {MAX_SENT_AGAIN} times for what task {future.name} needs, the last time for "
                    f"its {what}; either it and this client disagree on a digest, or the daemon's program_bytes are "
                    "too few"
                )
        frames: list[bytes] = []
        key = _program if isinstance(message, NeedPrograms) else _pipeline
        for digest, group in groupby(sorted(wanted, key=key), key=key):
            futures = list(group)
            store = (
                StoreProgram(futures[0].program.encoded)
                if isinstance(message, NeedPrograms)
                else StorePipeline(self._pipelines[digest].encoded)
            )
            frames.append(pack(store))
            for at in range(0, len(futures), TASKS_PER_MESSAGE):
                frames.append(pack(Submit([future.task for future in futures[at : at + TASKS_PER_MESSAGE]])))
        self._send(b"".join(frames))

    def _fail_all(self, error: QFwError) -> None:
        """The connection is over: every open future fails with the reason, now."""
        self._lost = self._lost or str(error)
        # The daemon need not run what nobody will hear of; and nothing more can be sent.
        self._link.shutdown()
        for question in list(self._questions.values()):
            question.settle(b"", error)
        for listener in list(self._mourners):
            listener(error)
        while self._futures:
            for future in list(self._futures.values()):
                future.fail(error)
                self._inbox.settled(future)
        self._readers.watched.clear()

    def _pack_receipts(self) -> bytes:
        """A message of the oldest receipts; several readers and writers may meet here."""
        count = min(len(self._receipts), RECEIPTS_PER_MESSAGE)
        return pack(Received([self._receipts.popleft() for _ in range(count)]))

    def close(self) -> None:
        """Says goodbye; what is unanswered is cancelled by the daemon. Does not wait for that."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() == self._pid:
            if self._lost is None:
                frames = []
                while self._receipts:
                    frames.append(self._pack_receipts())
                self._send(b"".join([*frames, pack(Bye())]))
            self._readers.stop()
            # Whoever still reads wakes, and finds the connection over.
            self._link.shutdown()
            self._lowering.close()
            self._readers.settle(1.0)
            self._fail_all(_closed())
        self._link.close()
        self._revision.close()
        self._inbox.clear()


def _check_size(size: int, most: int, what: str, remedy: str) -> None:
    if size > most:
        raise TooLarge(
            f"{what} of {size / 2**20:.1f} MiB; at most {most / 2**20:.1f} travel at once. {remedy}"
        )


def _program(future: TaskFuture) -> bytes:
    return future.task.program


def _pipeline(future: TaskFuture) -> bytes:
    return future.task.pipeline


def _closed() -> UsageError:
    return UsageError("the session was closed before this task was answered")
