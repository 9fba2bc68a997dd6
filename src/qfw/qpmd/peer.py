"""One connected client: what it is owed, and the bytes to and from it."""

from __future__ import annotations

import socket
from collections import deque

from qfw.model.errors import ErrorReport, NoCapacity, WireError
from qfw.model.events import DeviceEvent
from qfw.qpm.frames import FrameReader, pack, pack_begin, pack_parcel
from qfw.qpm.outbox import Outbox
from qfw.qpm.shared import Memory
from qfw.qpm.wire import (
    MAX_REQUEST_BYTES,
    Accepted,
    DeviceEvents,
    Done,
    Failed,
    NeedPipelines,
    NeedPrograms,
    TaskAnswer,
)

#: Acknowledgements wait for the result that may follow at once, but not for more than these.
MAX_UNSENT_ACKS = 512
#: Answers of one message; a larger one would delay the first.
MAX_ANSWERS = 1024
#: Bytes of answers in one message, unless a single one is larger.
MAX_MESSAGE_BYTES = 2**20
#: Who asks while more bytes of replies than these are unread does not read, and is let go.
MAX_UNREAD_REPLY_BYTES = 16 * 2**20
#: Events of devices that wait for a client to read; the oldest go where there are more. Events of one message.
MAX_UNREAD_EVENTS, MAX_EVENTS = 10_000, 256


class Peer:
    """A session (or an observer) as the daemon holds it."""

    def __init__(self, sock: socket.socket, uid: int) -> None:
        self.socket = sock
        self.uid = uid
        self.pid = 0
        self.name = ""
        #: 0 until the handshake, and for observers.
        self.session = 0
        self.greeted = False
        #: Whether it takes large answers as descriptors.
        self.descriptors = False
        self.reader = FrameReader(MAX_REQUEST_BYTES)
        self.outbox = Outbox(sock)
        #: Live tasks.
        self.tasks: set[int] = set()
        #: Bytes of their parameters and outputs.
        self.task_bytes = 0
        #: Digests and tasks to be asked for.
        self.needed: dict[bytes, list[int]] = {}
        self.needed_pipelines: dict[bytes, list[int]] = {}
        self.acks: dict[int, None] = {}
        #: Whether they have waited long enough; whether a timer will say so.
        self.acks_due = False
        self.ack_timer = False
        self.answers: list[TaskAnswer] = []
        #: Those whose answers lie in memory; without them in the TaskAnswer.
        self.large: list[tuple[TaskAnswer, Memory | memoryview]] = []
        self.errors: list[tuple[int, ErrorReport]] = []
        #: Events of devices that it asked for, and how many were lost before them.
        self._events: deque[tuple[str, DeviceEvent]] = deque()
        self._missed = 0
        #: Bytes of replies, and of errors, since the outbox was empty.
        self._reply_bytes = self._error_bytes = 0
        #: Whether it is told to the loop that the socket is full, and to the scheduler.
        self.blocked = False
        self.held = False
        #: Whether a timer will look what it has read.
        self.look_timer = False
        self.closed = False

    def answer(self, answer: TaskAnswer, memory: Memory | None = None) -> None:
        """Owes it an answer, which acknowledges the task as well. `memory`: where its `answers` lie."""
        if memory is None:
            self._acknowledged(answer.task)
            self.answers.append(answer)
            return
        try:
            # Who takes no descriptor gets the same bytes in a frame; they are sent from the mapping.
            lies = memory if self.descriptors else memory.view()
        except OSError as error:
            refusal = NoCapacity(f"the daemon cannot map an answer of {memory.size} bytes: {error}")
            self.fail(answer.task, ErrorReport.of(refusal))
            return
        self._acknowledged(answer.task)
        self.large.append((answer, lies))

    def fail(self, task: int, error: ErrorReport) -> None:
        """Owes it an error, which acknowledges the task as well."""
        self._acknowledged(task)
        self.errors.append((task, error))

    def reply(self, frame: bytes) -> None:
        """Owes it an answer to a question."""
        self.outbox.put(frame)
        self._reply_bytes += len(frame)

    def tell(self, device: str, event: DeviceEvent) -> None:
        """Owes it an event of a device, as long as it reads: results never wait for events."""
        if len(self._events) >= MAX_UNREAD_EVENTS:
            self._events.popleft()
            self._missed += 1
        self._events.append((device, event))

    @property
    def unread_replies(self) -> int:
        """Bytes of replies that wait for it, or a little more; results that wait are not among them."""
        return min(self._reply_bytes, self.outbox.size)

    def check_reads(self, most_errors: int | None) -> None:
        """Raises WireError for one who asks, and does not read what it was answered.

        `most_errors`: bytes of errors that it may leave unread, for what is answered by errors; None: what it asks
        is answered by a reply.
        """
        if most_errors is None:
            unread, most, what = self.unread_replies, MAX_UNREAD_REPLY_BYTES, "replies"
        else:
            unread, most = min(self._error_bytes, self.outbox.size), max(most_errors, MAX_UNREAD_REPLY_BYTES)
            what = "errors"
        if unread > most:
            raise WireError(f"{unread} bytes of {what} are unread and more is asked; read them first")

    def _acknowledged(self, task: int) -> None:
        self.acks.pop(task, None)
        if not self.acks:
            self.acks_due = False

    @property
    def owed(self) -> bool:
        """Whether a flush would send something now."""
        return bool(
            self.answers
            or self.errors
            or self.large
            or self.needed
            or self.needed_pipelines
            or self.outbox.size
            or self._events
            or (self.acks and (self.acks_due or len(self.acks) >= MAX_UNSENT_ACKS))
        )

    def flush(self) -> bool:
        """Sends what is owed; False where the socket took only a part.

        Raises:
            OSError: the client is gone.
        """
        outbox = self.outbox
        if self.acks and (
            self.acks_due or len(self.acks) >= MAX_UNSENT_ACKS or self.answers or self.errors or self.large
        ):
            outbox.put(pack(Accepted(list(self.acks))))
            self.acks.clear()
            self.acks_due = False
        if self.needed:
            digests = list(self.needed)
            outbox.put(
                pack(NeedPrograms(digests, [task for digest in digests for task in self.needed[digest]]))
            )
            self.needed.clear()
        if self.needed_pipelines:
            tasks = [task for named in self.needed_pipelines.values() for task in named]
            outbox.put(pack(NeedPipelines(list(self.needed_pipelines), tasks)))
            self.needed_pipelines.clear()
        if self.answers:
            self._put_answers()
        if self.large:
            self._put_large()
        if self.errors:
            frame = pack(Failed(self.errors))
            outbox.put(frame)
            self._error_bytes += len(frame)
            self.errors = []
        empty = outbox.flush()
        while empty and self._events:
            # Only where everything else is on its way: at most one message of events is in front of a result.
            batch = [self._events.popleft() for _ in range(min(len(self._events), MAX_EVENTS))]
            outbox.put(pack(DeviceEvents(batch, self._missed)))
            self._missed = 0
            empty = outbox.flush()
        if empty:
            self._reply_bytes = self._error_bytes = 0
        return empty

    def _put_answers(self) -> None:
        batch: list[TaskAnswer] = []
        size = 0
        for answer in self.answers:
            if batch and (size + len(answer.answers) > MAX_MESSAGE_BYTES or len(batch) == MAX_ANSWERS):
                self.outbox.put(pack(Done(batch)))
                batch, size = [], 0
            batch.append(answer)
            size += len(answer.answers)
        self.outbox.put(pack(Done(batch)))
        self.answers = []

    def _put_large(self) -> None:
        for answer, lies in self.large:
            if isinstance(lies, Memory):
                self.outbox.put(pack_parcel(Done([answer]), lies))
            else:
                self.outbox.put(pack_begin(Done([answer]), len(lies)))
                self.outbox.put(lies)
        self.large = []

    def forget(self) -> None:
        """It is gone: what it was owed goes too, and with it the memory."""
        self.answers, self.large, self.errors = [], [], []
        self._events.clear()
        self.outbox.clear()
