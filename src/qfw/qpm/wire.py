"""Messages of the wire between applications and daemons, in `qfw.qpm.frames`. docs/specs/wire.md is its description.

The two messages of the handshake are maps, so that versions can tell each other apart; all
others are arrays headed by their tag.
"""

from __future__ import annotations

from typing import Annotated, Union

import msgspec

from qfw.model.conditions import Conditions
from qfw.model.decoding import decoder
from qfw.model.device import DeviceStatus
from qfw.model.errors import ErrorReport
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.model.reservation import Offer
from qfw.model.task import QuantumTask

#: Changes whenever an older peer could misread a message.
WIRE_VERSION = 5
#: Largest frame that a daemon reads from a client.
MAX_REQUEST_BYTES = 64 * 2**20
#: Largest frame that a client reads; an answer of MAX_ANSWER_BYTES and its envelope.
MAX_REPLY_BYTES = 2**30 + 2**16

#: Largest program: one of 200 000 gates. Reading it holds up the daemon for a fraction of a second.
MAX_PROGRAM_BYTES = 4 * 2**20
#: Tasks of one Submit or Cancel, and receipts of one Received: what is done for them is one turn of the daemon.
MAX_ITEMS_PER_MESSAGE = 1024
#: A longer list is not even decoded: one of empty items takes fifty times the memory that its frame has.
_SHORT = msgspec.Meta(max_length=2**16)

SESSION, OBSERVER = "session", "observer"


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """First message of a client."""

    wire: int
    version: str
    pid: int
    #: What people see in listings.
    name: str
    #: A *session* submits; an *observer* only asks and does not keep a private daemon alive.
    role: str = SESSION
    #: Whether it takes large answers as descriptors of sealed memory; otherwise they come in frames.
    descriptors: bool = False


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The daemon's answer to a Hello that it accepts."""

    wire: int
    version: str
    pid: int
    #: Upper half of the numbers of this session's tasks.
    session: int
    devices: list[DeviceStatus]
    #: Tasks that a session may have unanswered.
    max_tasks: int
    #: *private*, *job* or *site*.
    scope: str = "private"
    #: What it is called among several; empty for its scope.
    name: str = ""
    #: Tools that its workers run.
    tools: tuple[str, ...] = ()
    #: What begins its file `revision`; empty where it has none.
    revision: bytes = b""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The daemon's answer to a Hello that it does not accept, or to a broken message; then it closes."""

    error: ErrorReport


class _Message(msgspec.Struct, frozen=True, array_like=True):
    pass


class StoreProgram(_Message, frozen=True, tag=1):
    """A program, before the first task that names its digest."""

    encoded: bytes


class Submit(_Message, frozen=True, tag=2):
    """Tasks, in order."""

    tasks: Annotated[list[QuantumTask], _SHORT]


class Cancel(_Message, frozen=True, tag=3):
    """Tasks of this session that shall end; each is answered by Failed (TaskCancelled) or by its result."""

    tasks: Annotated[list[int], _SHORT]


class Received(_Message, frozen=True, tag=4):
    """When the client had results: pairs (task, monotonic ns). For timelines only; may be left out."""

    received: Annotated[list[tuple[int, int]], _SHORT]


class Query(_Message, frozen=True, tag=5):
    """A question; `subject` is devices, tasks, counters, `calibration DEVICE`, or `platforms`.

    The answer to *platforms* comes when every platform that is installed or configured has come up, or is
    known not to; those that were not started yet are.
    """

    request: int
    subject: str


class Bye(_Message, frozen=True, tag=6):
    """The session ends in order; unfinished tasks are cancelled."""


class Accepted(_Message, frozen=True, tag=7):
    """These tasks are checked and journalled. Not sent for a task that is answered in the same moment."""

    tasks: list[int]


class NeedPrograms(_Message, frozen=True, tag=8):
    """These digests are not known here: store the programs and submit the tasks again."""

    digests: list[bytes]
    tasks: list[int]


class TaskAnswer(msgspec.Struct, frozen=True, array_like=True):
    """A task's answers and where its time went (see Timeline)."""

    task: int
    worker_pid: int
    accepted_ns: int
    started_ns: int
    run_began_ns: int
    run_ended_ns: int
    compile_ns: int
    answered_ns: int
    #: None of an ideal simulator.
    conditions: Conditions | None
    answers: bytes


class Done(_Message, frozen=True, tag=9):
    """Tasks that were answered; one whose answers come as a descriptor is alone in its message, without them."""

    answers: list[TaskAnswer]


class Failed(_Message, frozen=True, tag=10):
    """Tasks that will not be answered, and why."""

    errors: list[tuple[int, ErrorReport]]


class Reply(_Message, frozen=True, tag=11):
    """Answer to a Query: MessagePack of what the subject says."""

    request: int
    body: bytes


class CallNative(_Message, frozen=True, tag=12):
    """A native operation of a device; answered by a NativeAnswer with the same number."""

    request: int
    device: str
    operation: str
    #: MessagePack, in the form that the operation documents.
    body: bytes
    time_limit_s: float


class NativeAnswer(_Message, frozen=True, tag=13):
    """Answer to a CallNative, Reserve, Renew, Release, Control or RunTools: a body, or why there is none."""

    request: int
    error: ErrorReport | None
    body: bytes


class StorePipeline(_Message, frozen=True, tag=14):
    """A pipeline, before the first task that names its digest: `encoded` of `qfw.model.pipeline.Pipeline`."""

    encoded: bytes


class Attach(_Message, frozen=True, tag=15):
    """Detached tasks of any session of the same user; each is answered by Done or Failed, like those of one's own."""

    tasks: Annotated[list[int], _SHORT]


class Subscribe(_Message, frozen=True, tag=16):
    """The events that a client wants pushed, from now on: pairs (device, kinds). Replaces what it wanted before."""

    wanted: Annotated[list[tuple[str, list[DeviceEventKind]]], _SHORT]


class Reserve(_Message, frozen=True, tag=17):
    """A soft reservation of a device; answered by a NativeAnswer with a Grant. `dry`: only what would be granted."""

    request: int
    device: str
    share_ppm: int
    burst_s: float
    activation_s: float
    lifetime_s: float
    dry: bool = False


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """What was granted of a Reserve."""

    #: Of the reservation; 0 for a dry one.
    number: int
    epoch: int
    offer: Offer


class Renew(_Message, frozen=True, tag=18):
    """Lets a reservation last so long from now; answered by a NativeAnswer."""

    request: int
    number: int
    lifetime_s: float


class Release(_Message, frozen=True, tag=19):
    """Gives a reservation back; answered by a NativeAnswer. No error if it is over already."""

    request: int
    number: int


class Control(_Message, frozen=True, tag=20):
    """Of the daemon's owner: *drain*, *resume*, *reload* or *stop*; answered by a NativeAnswer."""

    request: int
    verb: str


class Known(_Message, frozen=True, tag=21):
    """Tasks whose idempotency keys an earlier task has: pairs (task, the earlier one, whose answer comes for it)."""

    tasks: list[tuple[int, int]]


class NeedPipelines(_Message, frozen=True, tag=22):
    """These digests are not known here: store the pipelines and submit the tasks again."""

    digests: list[bytes]
    tasks: list[int]


class NeedLowering(_Message, frozen=True, tag=23):
    """The daemon asks a client to lower a program, by a pipeline with tools that it cannot run itself."""

    #: Number of this question.
    lowering: int
    #: Encoded program and pipeline; `qfw.qpm.tool.Target`, MessagePack.
    program: bytes
    pipeline: bytes
    target: bytes


class Lowered(_Message, frozen=True, tag=24):
    """The client's answer to a NeedLowering: a LoweredProgram, MessagePack, or why there is none."""

    lowering: int
    error: ErrorReport | None
    body: bytes


class OfferLowered(_Message, frozen=True, tag=29):
    """What a client's pipeline made of a program ahead of time, in front of tasks of that client that need it.

    Not answered: where the device is not what it is for any more, or it is wrong, tools make it.
    """

    #: Digests.
    program: bytes
    pipeline: bytes
    device: str
    #: Digest of the `qfw.qpm.tool.Target`.
    target: bytes
    #: A LoweredProgram, MessagePack.
    body: bytes


class DeviceEvents(_Message, frozen=True, tag=25):
    """Events of devices that the client subscribed to; `missed`: those lost before them, since it did not read."""

    events: list[tuple[str, DeviceEvent]]
    missed: int = 0


class AttachedTask(msgspec.Struct, frozen=True, array_like=True):
    """What somebody who did not submit a task needs to read its answer."""

    #: The number that was asked for: of an Attach, or of a submission that is Known.
    asked: int
    #: Processes that submitted it, and that answered or will answer it.
    client_pid: int
    daemon_pid: int
    #: The task, without its parameters and outputs.
    quantum: QuantumTask


class Attached(_Message, frozen=True, tag=26):
    """These tasks are there: said at once of those that are not answered yet, and always in front of a Done."""

    tasks: list[AttachedTask]


class ToolWork(msgspec.Struct, frozen=True, array_like=True):
    """A pipeline and a program that it is to be run on, now."""

    #: LOWER or EXPAND.
    kind: str
    #: Encoded program and pipeline.
    program: bytes
    pipeline: bytes
    #: To expand: encoded outputs, and executions for each parameter set.
    outputs: bytes = b""
    shots: int = 0
    #: What tools know the device by; empty: by the daemon's name for it.
    name: str = ""
    #: Other devices that tools are told of: list of DeviceProfile, MessagePack; empty: none.
    peers: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of it."""
        return len(self.program) + len(self.pipeline) + len(self.outputs) + len(self.name) + len(self.peers)


#: Kinds of tool work, and what is answered: `(version of the calibration, LoweredProgram)`; an Expanded.
LOWER, EXPAND = "lower", "expand"


class RunTools(_Message, frozen=True, tag=27):
    """A session has the daemon's tools do something for a device as it is now; answered by a NativeAnswer."""

    request: int
    device: str
    work: ToolWork


class EndTools(_Message, frozen=True, tag=28):
    """A session wants the answer to a RunTools no more; it is TaskCancelled, unless it is on its way."""

    request: int


Request = Union[  # noqa: UP007 - for msgspec
    StoreProgram,
    Submit,
    Cancel,
    Received,
    Query,
    Bye,
    CallNative,
    StorePipeline,
    Attach,
    Subscribe,
    Reserve,
    Renew,
    Release,
    Control,
    Lowered,
    RunTools,
    EndTools,
    OfferLowered,
]
Response = Union[  # noqa: UP007 - for msgspec
    Accepted,
    NeedPrograms,
    Done,
    Failed,
    Reply,
    NativeAnswer,
    Known,
    NeedPipelines,
    NeedLowering,
    DeviceEvents,
    Attached,
]
Greeting = Union[Welcome, Refused]  # noqa: UP007 - for msgspec

decode_hello = decoder(Hello)
decode_greeting = decoder(Greeting)
decode_request = decoder(Request)
_decode_response = decoder(Response)
_decode_refused = decoder(Refused)


def decode_response(body: bytes) -> Response | Refused:
    """A message of the daemon after the handshake. Raises msgspec.DecodeError."""
    # The one map after the handshake is a Refused, in front of the end of the connection.
    if body[:1] and 0x80 <= body[0] <= 0x8F:
        refused: Refused = _decode_refused(body)
        return refused
    answer: Response = _decode_response(body)
    return answer
