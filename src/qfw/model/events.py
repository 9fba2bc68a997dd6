"""Everything that happens, once: journal record, scheduler input, telemetry row, completion.

`at_ns` is the daemon's monotonic clock; DaemonStarted ties it to wall time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Union

import msgspec

from qfw.model.conditions import Conditions
from qfw.model.device import DeviceState
from qfw.model.errors import ErrorReport
from qfw.model.task import QuantumTask, TaskState


class _Event(msgspec.Struct, frozen=True, array_like=True):
    pass


class DaemonStarted(_Event, frozen=True, tag=1):
    """The first record of every daemon's life."""

    at_ns: int
    wall_ns: int
    pid: int
    version: str


class DaemonStopped(_Event, frozen=True, tag=2):
    """An orderly end; a journal without it ended by a crash."""

    at_ns: int


class SessionOpened(_Event, frozen=True, tag=3):
    """An application connected."""

    at_ns: int
    session: int
    uid: int
    pid: int
    name: str


class SessionClosed(_Event, frozen=True, tag=4):
    """An application left; its unfinished tasks are cancelled by events of their own."""

    at_ns: int
    session: int
    reason: str


class ProgramStored(_Event, frozen=True, tag=5):
    """A program became known by its digest."""

    at_ns: int
    digest: bytes
    encoded: bytes


class TaskAccepted(_Event, frozen=True, tag=6):
    """A task was checked, estimated and journalled: from here on it is listed until answered."""

    at_ns: int
    task: QuantumTask
    cost_s: float


class TaskStarted(_Event, frozen=True, tag=7):
    """A task was given to a worker."""

    at_ns: int
    task: int
    epoch: int
    worker: str
    worker_pid: int


class TaskRequeued(_Event, frozen=True, tag=8):
    """The worker went away; the task waits again. Answers of older epochs are refused."""

    at_ns: int
    task: int
    epoch: int
    reason: str
    #: Whether it had begun to run, as far as is known.
    interrupted: bool


class TaskDone(_Event, frozen=True, tag=9):
    """A task was answered."""

    at_ns: int
    task: int
    epoch: int
    worker_pid: int
    #: The worker's engine, on the host's monotonic clock.
    run_began_ns: int
    run_ended_ns: int
    compile_ns: int
    #: Whether the worker had the program prepared already.
    cached: bool
    size: int
    #: The answers, where they are small enough for the journal.
    answers: bytes | None
    #: None for an ideal simulator.
    conditions: Conditions | None = None


class TaskFailed(_Event, frozen=True, tag=10):
    """A task will not be answered."""

    at_ns: int
    task: int
    error: ErrorReport


class TaskCancelled(_Event, frozen=True, tag=11):
    """A task was cancelled by its owner, or with its session."""

    at_ns: int
    task: int
    reason: str


class TasksReceived(_Event, frozen=True, tag=12):
    """When the client had the results: pairs (task, monotonic ns)."""

    at_ns: int
    received: tuple[tuple[int, int], ...]


class WorkerReady(_Event, frozen=True, tag=13):
    """A worker of a device takes tasks."""

    at_ns: int
    device: str
    worker: str
    pid: int


class WorkerLost(_Event, frozen=True, tag=14):
    """A worker of a device is gone."""

    at_ns: int
    device: str
    worker: str
    pid: int
    reason: str


class DeviceEventKind(StrEnum):
    """What a device reports of itself."""

    #: Its state changed, and nothing else did.
    STATE = "state"
    #: It has a new calibration.
    CALIBRATION = "calibration"
    #: It became noisier than its calibration says, or is back.
    NOISE = "noise"
    FAULT = "fault"
    MAINTENANCE = "maintenance"
    #: Others use it too: their load changed.
    LOAD = "load"
    RESERVATION = "reservation"


class DeviceEvent(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened to a device, as its platform reports it."""

    #: Counts the events of the device since its platform was opened, from 1, without a gap.
    sequence: int
    kind: DeviceEventKind
    #: When it happened: Unix time in ns, of the device's own clock (a twin's may be simulated).
    wall_ns: int
    message: str
    #: The state from now on; None where it does not change.
    state: DeviceState | None = None
    #: Version of the calibration from now on; empty where it does not change.
    calibration: str = ""
    #: When it is expected to be over, Unix time in ns; 0 where nobody knows.
    until_ns: int = 0
    #: Named numbers: qubit, factor, queued_s, …
    figures: tuple[tuple[str, float], ...] = ()


class DeviceReported(_Event, frozen=True, tag=15):
    """A device reported of itself, or the daemon found its platform in another state."""

    at_ns: int
    device: str
    event: DeviceEvent


class DeviceCame(_Event, frozen=True, tag=16):
    """A device's name is another platform's from now on, which counts its events from 1; its calibration is gone."""

    at_ns: int
    device: str
    platform: str


class PipelineStored(_Event, frozen=True, tag=17):
    """A pipeline became known by its digest."""

    at_ns: int
    digest: bytes
    encoded: bytes


class TaskLowering(_Event, frozen=True, tag=18):
    """A task waits until its program is lowered for a calibration of its device, by `state`."""

    at_ns: int
    task: int
    #: COMPILING or NEEDS_LOWERING.
    state: TaskState
    calibration: str


class TaskLowered(_Event, frozen=True, tag=19):
    """A task has a program for this calibration, and waits for its device again.

    It goes to the head of its queue; those that came back so stand there in the order of their acceptance.
    """

    at_ns: int
    task: int
    #: Digest of the lowered program.
    program: bytes
    calibration: str
    #: Estimated seconds on one worker, of the lowered program; 0: as it was accepted.
    cost_s: float = 0.0


class ReservationGranted(_Event, frozen=True, tag=20):
    """A session holds a share of a device from now on; the same number again: it holds it for longer."""

    at_ns: int
    session: int
    device: str
    number: int
    epoch: int
    #: Share of the device, in millionths.
    share_ppm: int
    until_ns: int


class ReservationEnded(_Event, frozen=True, tag=21):
    """A reservation was given back, ran out, or ended with its session."""

    at_ns: int
    device: str
    number: int
    reason: str


class DaemonDraining(_Event, frozen=True, tag=22):
    """The daemon takes no new tasks from now on; or, where `draining` is false, takes them again."""

    at_ns: int
    draining: bool
    reason: str


Event = Union[  # noqa: UP007 - for msgspec
    DaemonStarted,
    DaemonStopped,
    SessionOpened,
    SessionClosed,
    ProgramStored,
    TaskAccepted,
    TaskStarted,
    TaskRequeued,
    TaskDone,
    TaskFailed,
    TaskCancelled,
    TasksReceived,
    WorkerReady,
    WorkerLost,
    DeviceReported,
    DeviceCame,
    PipelineStored,
    TaskLowering,
    TaskLowered,
    ReservationGranted,
    ReservationEnded,
    DaemonDraining,
]
