"""QuantumTask: the unit that is scheduled, journalled and answered."""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

from qfw.model.errors import OptionError


class TaskState(StrEnum):
    """States of a task; `TRANSITIONS` says which may follow which."""

    QUEUED = "queued"
    #: A tool worker of the daemon lowers its program for the device as it is calibrated now.
    COMPILING = "compiling"
    #: Its client has to lower its program: the pipeline has tools that only the client can run.
    NEEDS_LOWERING = "needs_lowering"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: docs/specs/task.md draws it. RUNNING to QUEUED: the worker died, the task runs again elsewhere.
TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.QUEUED: frozenset(
        {
            TaskState.RUNNING,
            TaskState.FAILED,
            TaskState.CANCELLED,
            TaskState.COMPILING,
            TaskState.NEEDS_LOWERING,
        }
    ),
    TaskState.COMPILING: frozenset({TaskState.QUEUED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.NEEDS_LOWERING: frozenset({TaskState.QUEUED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.RUNNING: frozenset({TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.QUEUED}),
    TaskState.DONE: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}

#: States of a task that waits for a tool.
LOWERING = frozenset({TaskState.COMPILING, TaskState.NEEDS_LOWERING})
FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)


class JobType(StrEnum):
    """Why a task is run (paper §4.2): policies may treat them differently."""

    PRODUCTION = "production"
    BENCHMARK = "benchmark"
    DEBUG = "debug"
    CALIBRATION = "calibration"


class DeadlineClass(StrEnum):
    """How firm the bound on a task's start is. Only best effort until reservations exist."""

    BEST_EFFORT = "best_effort"
    STATISTICAL = "statistical"
    POOLED = "pooled"
    HARD = "hard"


#: Priorities within one session: higher first.
MIN_PRIORITY, MAX_PRIORITY = -100, 100

#: Characters of an idempotency key.
MAX_KEY = 1024

#: Bits of a task's number that count within its session.
SEQUENCE_BITS = 32


def task_number(session: int, sequence: int) -> int:
    """The number of a session's task: unique within a daemon, known without asking it."""
    return session << SEQUENCE_BITS | sequence


def task_session(task: int) -> int:
    """The session that a task belongs to."""
    return task >> SEQUENCE_BITS


def task_name(task: int) -> str:
    """A task's number as people read it: SESSION.SEQUENCE."""
    return f"{task_session(task)}.{task & (1 << SEQUENCE_BITS) - 1}"


def parse_task_name(name: str) -> int:
    """The number of a task's name. Raises ValueError."""
    session, _, sequence = name.partition(".")
    return task_number(int(session), int(sequence))


class TaskOptions(msgspec.Struct, frozen=True, array_like=True):
    """What a user may say of a task besides the program; most tasks share one value."""

    job_type: JobType = JobType.PRODUCTION
    priority: int = 0
    deadline_class: DeadlineClass = DeadlineClass.BEST_EFFORT
    #: Seconds that the run itself may take before it is ended; 0 for the daemon's limit.
    time_limit_s: float = 0.0
    #: Empty, or a key of the user's: the same key in the same session is the same task; of a detached task, in any
    #: session of the same user.
    idempotency_key: str = ""
    #: Whether it outlives its session: any later one may attach to it by its name. Of a daemon of job or site scope.
    detached: bool = False


def check_options(options: TaskOptions) -> None:
    """Raises OptionError unless every option is of its type and in its range."""
    if not isinstance(options, TaskOptions):
        raise OptionError(f"options are a qfw.TaskOptions, not {type(options).__name__}")
    priority, limit_s, key = options.priority, options.time_limit_s, options.idempotency_key
    if not isinstance(priority, int) or not MIN_PRIORITY <= priority <= MAX_PRIORITY:
        raise OptionError(
            f"priority must be an integer from {MIN_PRIORITY} to {MAX_PRIORITY}, not {priority!r}"
        )
    if not isinstance(limit_s, int | float) or not 0 <= limit_s < math.inf:
        raise OptionError(
            f"time_limit_s must be seconds above 0, or 0 for the daemon's limit, not {limit_s!r}"
        )
    if not isinstance(key, str) or len(key) > MAX_KEY:
        raise OptionError(f"an idempotency key is text of at most {MAX_KEY} characters, not {key!r:.40}")
    if not isinstance(options.detached, bool):
        raise OptionError(f"detached must be True or False, not {options.detached!r}")
    if options.job_type not in tuple(JobType):
        raise OptionError(f"job_type must be one of {', '.join(JobType)}, not {options.job_type!r}")
    if options.deadline_class not in tuple(DeadlineClass):
        raise OptionError(
            f"deadline_class must be one of {', '.join(DeadlineClass)}, not {options.deadline_class!r}"
        )


class QuantumTask(msgspec.Struct, frozen=True, array_like=True):
    """A program, parameters, and what is asked of them."""

    #: `task_number` of session and sequence.
    number: int
    device: str
    #: Digest of the Program.
    program: bytes
    #: `encode_outputs` of what is asked.
    outputs: bytes
    sets: int
    #: float64, little-endian, shape (sets, slots), radians.
    parameters: bytes
    #: 0 for exact results.
    shots: int
    #: 0 to 2**63 - 1; the seed of a set is a function of this and the set's index.
    seed: int
    options: TaskOptions
    #: Version of the calibration that the program was lowered for: it runs under no other. Empty: under any.
    calibration: str = ""
    #: The client's monotonic clock: handed over, sent. See Timeline.
    began_ns: int = 0
    sent_ns: int = 0
    #: Digest of the pipeline that lowers the program for the device, as it is calibrated when the task starts; empty:
    #: the program runs as it is. A task has a pipeline or names a calibration, never both.
    pipeline: bytes = b""
    #: Index of its first set in the sets that its seed counts: a part of a split task has another one than 0.
    first_set: int = 0
    #: The group that it is a part of, 0 for none: number of the group's first task.
    group: int = 0
