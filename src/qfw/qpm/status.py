"""Rows of listings: what a daemon, or its journal, says of its tasks and platforms."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class TaskRow(msgspec.Struct, frozen=True):
    """A task that is not answered yet."""

    #: SESSION.SEQUENCE.
    task: str
    #: Name that the application gave, and its process.
    session: str
    client_pid: int
    device: str
    #: A TaskState.
    state: str
    sets: int
    shots: int
    priority: int
    #: Estimated seconds on a worker.
    cost_s: float
    #: Seconds since it was accepted, and of these since it was given to a worker.
    age_s: float
    running_s: float
    worker: str
    worker_pid: int
    #: Whether it outlives its session.
    detached: bool = False
    #: Seconds that tools have worked for its session.
    tool_s: float = 0.0


class Counters(msgspec.Struct, frozen=True):
    """What a daemon has done so far."""

    #: Tasks by final state (done, failed, cancelled); requeued executions; programs stored; late answers refused;
    #: programs that tools were run on for tasks (lowerings) and for sessions (tool_work), and how many of the latter
    #: wait or run (tool_work_open);
    #: results of detached tasks that are kept, that are damaged, that could not be kept.
    counts: dict[str, int]
    sessions: int
    live_tasks: int
    pid: int
    version: str
    uptime_s: float
    #: Seconds that tools have worked, for all sessions.
    tool_s: float = 0.0


class PlatformState(StrEnum):
    """How far a platform is."""

    #: Installed; starts when somebody asks for a device that nobody has.
    ON_DEMAND = "on-demand"
    #: Its host is on its way up.
    STARTING = "starting"
    SERVING = "serving"
    #: Serves nothing, and will not; the reason is said.
    BROKEN = "broken"


class PlatformStatus(msgspec.Struct, frozen=True):
    """A platform at one moment."""

    name: str
    #: Its plugin, by the name of its entry point.
    plugin: str
    state: PlatformState
    #: Why it is broken; empty where it is not.
    reason: str
    #: Names of its devices; none until it serves.
    devices: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a Control."""

    verb: str
    #: One sentence.
    said: str
    #: A reload: keys and platforms that changed.
    changed: tuple[str, ...] = ()
    #: A reload: keys of the file that the running daemon does not follow.
    restart: tuple[str, ...] = ()


class DaemonStatus(msgspec.Struct, frozen=True):
    """A daemon at one moment."""

    #: *private*, *job* or *site*.
    scope: str
    #: What it is called among several.
    name: str
    pid: int
    version: str
    folder: str
    #: Its settings file; empty where it has none.
    config: str
    uptime_s: float
    #: Why it takes no new tasks; empty where it takes them.
    draining: str
    #: Seconds since then.
    draining_s: float
    #: Whether it ends as soon as what runs has.
    stopping: bool
    devices: int
    sessions: int
    #: Unanswered tasks, and those of them that run.
    tasks: int
    running: int
    #: Seconds that a stop waits for what runs.
    stop_limit_s: float
    #: What a reload would change now; what of the file needs a restart.
    reload: tuple[str, ...]
    restart: tuple[str, ...]
    #: Why the file cannot be read as it is now; empty where it can.
    problem: str
