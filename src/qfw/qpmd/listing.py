"""What the daemon says of itself when asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import msgspec

from qfw import __version__
from qfw.model.device import DeviceProfile, DeviceState, DeviceStatus
from qfw.model.errors import WireError
from qfw.model.task import TaskState, task_name, task_session
from qfw.qpm.status import Counters, TaskRow
from qfw.qpmd.state import DaemonState
from qfw.scheduling.scheduler import Scheduler

#: Rows of one answer: more would hold up the loop.
MAX_ROWS = 10_000
#: An answer is given again for this long: who asks often costs no more than who asks sometimes.
FRESH_NS = 100_000_000


class Listing:
    """Answers queries from the state; changes nothing."""

    def __init__(
        self,
        state: DaemonState,
        scheduler: Scheduler,
        profiles: Sequence[DeviceProfile],
        clock_ns: Callable[[], int],
    ) -> None:
        self._state = state
        self._scheduler = scheduler
        self._profiles = profiles
        self._clock_ns = clock_ns
        self._started_ns = clock_ns()
        #: Encoded answers by subject, with the time of each.
        self._answers: dict[str, tuple[int, bytes]] = {}
        #: Why a device went offline; tried again when the next task for it is accepted.
        self.offline: dict[str, str] = {}
        #: Answers that were refused because their run was no longer the task's.
        self.late_answers = 0

    def answer(self, subject: str) -> bytes:
        """MessagePack of devices, tasks or counters, at most 100 ms old.

        Raises:
            WireError: another subject.
        """
        now_ns = self._clock_ns()
        made_ns, encoded = self._answers.get(subject, (0, b""))
        if not encoded or now_ns - made_ns >= FRESH_NS:
            encoded = self._encode(subject)
            self._answers[subject] = (now_ns, encoded)
        return encoded

    def _encode(self, subject: str) -> bytes:
        if subject == "devices":
            return msgspec.msgpack.encode(self.devices())
        if subject == "tasks":
            return msgspec.msgpack.encode(task_rows(self._state, self._clock_ns()))
        if subject == "counters":
            return msgspec.msgpack.encode(self.counters())
        raise WireError(f"nothing is known of the subject {subject!r}; ask for devices, tasks or counters")

    def devices(self) -> list[DeviceStatus]:
        """Every device and what it does now."""
        running = {profile.name: 0 for profile in self._profiles}
        for (device, _), tasks in self._state.running.items():
            running[device] += len(tasks)
        found = []
        for profile in self._profiles:
            name = profile.name
            waiting = self._scheduler.waiting(name)
            reason = self.offline.get(name, "")
            # Workers start with a device's first task.
            starting = waiting and not self._state.workers.get(name)
            state = (
                DeviceState.OFFLINE if reason else DeviceState.STARTING if starting else DeviceState.ONLINE
            )
            found.append(DeviceStatus(profile, state, running[name], waiting, reason))
        return found

    def counters(self) -> Counters:
        """What it has done so far."""
        counts = {str(name): number for name, number in self._state.counters.items()}
        counts["late_answers"] = self.late_answers
        uptime_s = (self._clock_ns() - self._started_ns) / 1e9
        sessions, tasks = len(self._state.sessions), len(self._state.tasks)
        return Counters(counts, sessions, tasks, os.getpid(), __version__, uptime_s)


def task_rows(state: DaemonState, now_ns: int, most: int = MAX_ROWS) -> list[TaskRow]:
    """Rows of the live tasks of a state, oldest first, at most `most`."""
    rows: list[TaskRow] = []
    for number, entry in state.tasks.items():
        if len(rows) == most:
            break
        session = state.sessions.get(task_session(number))
        running = entry.state is TaskState.RUNNING
        rows.append(
            TaskRow(
                task=task_name(number),
                session=session.name if session else "",
                client_pid=session.pid if session else 0,
                device=entry.quantum.device,
                state=entry.state.value,
                sets=entry.quantum.sets,
                shots=entry.quantum.shots,
                priority=entry.quantum.options.priority,
                cost_s=entry.cost_s,
                age_s=max(0.0, (now_ns - entry.accepted_ns) / 1e9),
                running_s=max(0.0, (now_ns - entry.started_ns) / 1e9) if running else 0.0,
                worker=entry.worker,
                worker_pid=entry.worker_pid,
            )
        )
    return rows
