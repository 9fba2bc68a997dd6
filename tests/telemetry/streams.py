"""Event streams as a daemon would write them, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qfw.model.conditions import Conditions
from qfw.model.errors import ErrorReport
from qfw.model.events import (
    DaemonStarted,
    DaemonStopped,
    Event,
    SessionClosed,
    SessionOpened,
    TaskAccepted,
    TaskCancelled,
    TaskDone,
    TaskFailed,
    TaskRequeued,
    TasksReceived,
    TaskStarted,
)
from qfw.model.task import QuantumTask, TaskOptions, task_number

CLIENT, DAEMON, WORKER = 11, 22, 33
WALL_NS = 1_700_000_000 * 10**9


class Journal:
    """Appends events with a clock of its own that ticks microseconds."""

    def __init__(self) -> None:
        self.now_ns = 10**9
        self.events: list[Event] = [DaemonStarted(self.now_ns, WALL_NS, DAEMON, "0")]
        self.sequences: dict[int, int] = {}
        self.open(1)

    def tick(self, microseconds: int = 1) -> int:
        self.now_ns += microseconds * 1000
        return self.now_ns

    def open(self, session: int) -> None:
        self.events.append(SessionOpened(self.tick(), session, 0, CLIENT, f"app{session}"))

    def close(self, session: int = 1) -> None:
        self.events.append(SessionClosed(self.tick(), session, "closed in order"))

    def stop(self) -> None:
        self.events.append(DaemonStopped(self.tick()))

    def submit(
        self,
        parameters: Sequence[Sequence[float]] | np.ndarray,
        program: str = "p",
        shots: int = 0,
        session: int = 1,
        device: str = "reference",
        outputs: bytes = b"z",
    ) -> int:
        rows = np.atleast_2d(np.asarray(parameters, dtype="<f8"))
        self.sequences[session] = sequence = self.sequences.get(session, 0) + 1
        task = QuantumTask(
            number=task_number(session, sequence),
            device=device,
            program=program.encode().ljust(32, b"."),
            outputs=outputs,
            sets=len(rows),
            parameters=rows.tobytes(),
            shots=shots,
            seed=0,
            options=TaskOptions(),
            began_ns=self.tick(),
            sent_ns=self.tick(2),
        )
        self.events.append(TaskAccepted(self.tick(3), task, 0.1))
        return task.number

    def start(self, task: int, epoch: int = 1) -> None:
        self.events.append(TaskStarted(self.tick(4), task, epoch, "w", WORKER))

    def requeue(self, task: int, epoch: int = 1) -> None:
        self.events.append(TaskRequeued(self.tick(), task, epoch, "killed", True))

    def done(
        self,
        task: int,
        epoch: int = 1,
        cached: bool = True,
        compile_us: int = 0,
        conditions: Conditions | None = None,
    ) -> None:
        began = self.tick(5)
        ended = self.tick(6 + compile_us)
        self.events.append(
            TaskDone(
                self.tick(7),
                task,
                epoch,
                WORKER,
                began,
                ended,
                compile_us * 1000,
                cached,
                8,
                b"answers!",
                conditions,
            )
        )

    def fail(self, task: int) -> None:
        self.events.append(TaskFailed(self.tick(), task, ErrorReport("WorkerLost", "too often")))

    def cancel(self, task: int) -> None:
        self.events.append(TaskCancelled(self.tick(), task, "asked"))

    def receive(self, *tasks: int) -> None:
        at = self.tick(8)
        self.events.append(TasksReceived(self.tick(), tuple((task, at) for task in tasks)))

    def run(self, parameters: Sequence[Sequence[float]] | np.ndarray, program: str = "p", **rest) -> int:
        task = self.submit(parameters, program, **rest)
        self.start(task)
        self.done(task)
        self.receive(task)
        return task
