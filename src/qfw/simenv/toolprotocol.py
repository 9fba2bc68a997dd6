"""What the pool of tools and its workers say to each other, in the frames of `qfw.qpm.wire`."""

from __future__ import annotations

from typing import Union

import msgspec

from qfw.model.decoding import decoder
from qfw.model.errors import ErrorReport
from qfw.model.expansion import MAX_ENCODED_BYTES
from qfw.model.pipeline import MAX_PIPELINE_BYTES, MAX_STAGES
from qfw.qpm.wire import MAX_PROGRAM_BYTES, ToolWork

#: Frames of a worker: a lowered program, its layout and reports; or an expansion.
MAX_FRAME_BYTES = max(3 * MAX_PROGRAM_BYTES + MAX_PIPELINE_BYTES, MAX_ENCODED_BYTES + 2**16)

#: Seconds from one Began to the next of a stage that was said before.
SAID_S = 0.1
#: Began messages of one piece of work: at first, and a second from then on.
MAX_BEGAN, MAX_BEGAN_RATE = 4 * MAX_STAGES, 1000.0


class Lower(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A program to be lowered; the one before it was answered."""

    number: int
    #: Encoded program and pipeline; `qfw.qpm.tool.Target`, MessagePack.
    program: bytes
    pipeline: bytes
    target: bytes


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """First message of a worker: it is limited."""

    pid: int


class Began(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A stage began on a program; whoever ends the worker can say which.

    Not every one: the first one of a stage, all of those whose tool has a limit of its own, the one behind such a one,
    and of the others one in `SAID_S`.
    """

    number: int
    stage: str
    tool: str
    #: Whether its tool is made, and its own time begins.
    made: bool = True


class Work(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A session's tool work; the piece before it was answered."""

    number: int
    work: ToolWork
    #: As of Lower.
    target: bytes


class Lowered(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A LoweredProgram, MessagePack; of a Work what `qfw.qpm.wire.RunTools` is answered."""

    number: int
    body: bytes


class LowerFailed(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The pipeline failed on the program."""

    number: int
    error: ErrorReport


FromTools = Union[Ready, Began, Lowered, LowerFailed]  # noqa: UP007 - for msgspec

ToTools = Union[Lower, Work]  # noqa: UP007 - for msgspec

decode_to_tools = decoder(ToTools)
decode_from_tools = decoder(FromTools)
