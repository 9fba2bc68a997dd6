"""What the pool and its workers say to each other, in the frames of `qfw.qpm.wire`."""

from __future__ import annotations

from typing import Union

import msgspec

from qfw.model.decoding import decoder
from qfw.model.errors import ErrorReport
from qfw.qpm.platform import Run, RunDone, RunFailed

#: Frames between pool and worker: an answer and its envelope.
MAX_FRAME_BYTES = 2**30 + 2**16


class Load(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A program, before the first run that names its digest."""

    digest: bytes
    encoded: bytes


class Work(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Runs, in order, behind those that the worker has."""

    runs: list[Run]


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """First message of a worker: its engine is imported and it is limited."""

    pid: int
    version: str


class NotReady(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """First and last message of a worker whose engine cannot start."""

    error: ErrorReport


class NeedProgram(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The worker no longer has this program: load it and send the run again."""

    task: int
    epoch: int
    digest: bytes


class Ended(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Runs that ended; one whose answers come as a descriptor is alone in its message, without them."""

    outcomes: list[RunDone | RunFailed]


ToWorker = Union[Load, Work]  # noqa: UP007 - for msgspec
FromWorker = Union[Ready, NotReady, NeedProgram, Ended]  # noqa: UP007 - for msgspec

decode_to_worker = decoder(ToWorker)
decode_from_worker = decoder(FromWorker)
