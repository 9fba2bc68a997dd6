"""Rows of the tasks that are not answered: of a daemon, or of what its journal says."""

from __future__ import annotations

from collections.abc import Mapping

from qfw.model.task import TaskState, task_name, task_session
from qfw.qpm.status import TaskRow
from qfw.qpmd.state import DaemonState

#: Rows of one answer: more would hold up the loop.
MAX_ROWS = 10_000
_NO_TOOLS: Mapping[int, float] = {}


def task_rows(
    state: DaemonState, now_ns: int, most: int = MAX_ROWS, tool_s: Mapping[int, float] = _NO_TOOLS
) -> list[TaskRow]:
    """Rows of the live tasks of a state, oldest first, at most `most`; `tool_s`: of tools, by session."""
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
                detached=entry.quantum.options.detached,
                tool_s=tool_s.get(task_session(number), 0.0),
            )
        )
    return rows
