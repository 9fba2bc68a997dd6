"""Profile: what only the stack can know of an application, counted from its journal.

A *circuit* is one parameter set of a task. Circuits count once their task is answered. By which rule they are
told apart by cause: `qfw.telemetry.causes`. How the stages follow from a task's timeline: `qfw.model.timeline`.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from qfw.model.events import Event
from qfw.model.task import FINAL, TaskState
from qfw.telemetry.history import History, TaskRecord

#: The stages of a task in the order in which it passes them.
STAGES = ("client", "wire", "queue", "compile", "run", "return")


class StageTimes(msgspec.Struct, frozen=True):
    """How long tasks were in one stage."""

    stage: str
    #: Tasks for which it is known.
    tasks: int
    median_us: float
    #: 99 of 100 tasks took no longer.
    p99_us: float


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What applications did with a stack, and how long it took."""

    #: Tasks accepted, and of these by how they ended; unanswered: not by the end of the journal.
    tasks: int
    done: int
    failed: int
    cancelled: int
    unanswered: int
    #: Executions that were repeated because a worker went away.
    requeued: int
    #: Circuits of the answered tasks; by cause; those that repeat an earlier one exactly.
    circuits: int
    cost_circuits: int
    gradient_circuits: int
    repeated_circuits: int
    #: Circuits by the device that ran them.
    devices: dict[str, int]
    #: Seconds of their own that answered tasks took of devices that say so, by device, and under which calibrations.
    device_times_s: dict[str, float]
    calibrations: dict[str, tuple[str, ...]]
    #: Distinct programs among the answered tasks.
    structures: int
    #: Answered tasks whose program the worker had prepared already.
    cache_hits: int
    #: Single-set tasks in long runs of one structure (`causes.MIN_SINGLES` or more), and the number of these runs.
    single_tasks: int
    single_runs: int
    #: Answered tasks of which it is known when the client had the result.
    received: int
    stages: tuple[StageTimes, ...]
    sessions: int
    #: Tasks that ended and whose beginning is in a part of the journal that is gone; in no other number.
    unknown_tasks: int
    #: Process id of the last daemon, and whether it ended in order; 0 where no daemon wrote.
    daemon_pid: int
    daemon_ended: bool
    #: What was wasteful, a sentence each.
    findings: tuple[str, ...] = ()


def profile(events: Iterable[Event], each: Callable[[TaskRecord], None] | None = None) -> Profile:
    """The profile of a journal's events, which are read once and not kept.

    Args:
        events: in their order, as `qfw.qpm.journal.read` gives them.
        each: called with every task's record, in the order in which they become complete.
    """
    history, totals = History(), _Totals()
    for event in events:
        for record in history.take(event):
            totals.add(record)
            if each is not None:
                each(record)
    for record in history.rest():
        totals.add(record)
        if each is not None:
            each(record)
    return totals.profile(history)


def findings(found: Profile) -> tuple[str, ...]:
    """Where the application could do with less, each one plain sentence."""
    sentences = []
    if found.gradient_circuits and found.cost_circuits:
        times = 1 + found.gradient_circuits / found.cost_circuits
        sentences.append(
            f"The gradient costs {times:.1f} times what a gradient-free step does: {found.gradient_circuits} circuits "
            f"ran for gradients beside {found.cost_circuits} for the cost itself."
        )
    if found.repeated_circuits:
        sentences.append(
            f"{found.repeated_circuits} of {found.circuits} circuits were identical to an earlier one and exact, "
            f"so their answers were known already."
        )
    if found.single_tasks:
        sentences.append(
            f"{found.single_tasks} tasks came one by one in {found.single_runs} "
            f"{'run' if found.single_runs == 1 else 'runs'} of one structure and could be a batch, one task with many "
            f"parameter sets, where none needs the result before it."
        )
    return tuple(sentences)


class _Totals:
    """Sums over records."""

    def __init__(self) -> None:
        self._states: Counter[TaskState] = Counter()
        self._requeued = self._cost = self._gradient = self._repeated = self._hits = self._received = 0
        self._devices: Counter[str] = Counter()
        self._device_times_ns: Counter[str] = Counter()
        #: By device its versions, in the order in which they were first met.
        self._calibrations: dict[str, dict[str, None]] = {}
        self._structures: set[str] = set()
        self._times = {stage: array("d") for stage in STAGES}

    def add(self, record: TaskRecord) -> None:
        self._states[record.state] += 1
        self._requeued += record.requeued
        if record.state is not TaskState.DONE:
            return
        self._cost += record.cost
        self._gradient += record.gradient
        self._repeated += record.repeated
        self._hits += bool(record.cached)
        self._received += "return" in record.stages_us
        self._devices[record.device] += record.sets
        if record.conditions is not None:
            self._device_times_ns[record.device] += record.conditions.device_ns
            self._calibrations.setdefault(record.device, {})[record.conditions.calibration] = None
        self._structures.add(record.program)
        for stage, microseconds in record.stages_us.items():
            self._times[stage].append(microseconds)

    def profile(self, history: History) -> Profile:
        states, daemon = self._states, history.daemon
        found = Profile(
            tasks=states.total(),
            done=states[TaskState.DONE],
            failed=states[TaskState.FAILED],
            cancelled=states[TaskState.CANCELLED],
            unanswered=sum(states[state] for state in TaskState if state not in FINAL),
            requeued=self._requeued,
            circuits=self._cost + self._gradient,
            cost_circuits=self._cost,
            gradient_circuits=self._gradient,
            repeated_circuits=self._repeated,
            devices=dict(self._devices.most_common()),
            device_times_s={name: ns / 1e9 for name, ns in self._device_times_ns.most_common()},
            calibrations={name: tuple(filter(None, found)) for name, found in self._calibrations.items()},
            structures=len(self._structures),
            cache_hits=self._hits,
            single_tasks=history.singles.tasks,
            single_runs=history.singles.runs,
            received=self._received,
            stages=tuple(_stage_times(stage, times) for stage, times in self._times.items() if times),
            sessions=history.sessions,
            unknown_tasks=history.unknown,
            daemon_pid=daemon.pid if daemon else 0,
            daemon_ended=history.ended,
        )
        return msgspec.structs.replace(found, findings=findings(found))


def _stage_times(stage: str, times: array[float]) -> StageTimes:
    ordered = sorted(times)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    # Nearest rank: the least value that 99 of 100 do not exceed.
    return StageTimes(stage, len(ordered), median, ordered[math.ceil(0.99 * len(ordered)) - 1])
