"""Rows of listings: what a daemon, or its journal, says of its tasks."""

from __future__ import annotations

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


class Counters(msgspec.Struct, frozen=True):
    """What a daemon has done so far."""

    #: Tasks by final state (done, failed, cancelled); requeued executions; programs stored; late answers refused.
    counts: dict[str, int]
    sessions: int
    live_tasks: int
    pid: int
    version: str
    uptime_s: float
