"""Tasks of one call: parameter sets of one program of which the same is asked, put together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.errors import QFwError, TaskCancelled
from qfw.model.outputs import Output, answer_bytes
from qfw.model.program import Program
from qfw.model.result import Result
from qfw.qpi import Request
from qfw.qpi.future import TaskFuture

#: Sets of one task: so that the sets of one PUB keep several workers busy, and a task far from its time
#: limit. A function of the task alone, so that a seed gives the same results everywhere.
MAX_SETS = 256
#: Of the parameters and the answer of one task, unless one set has more.
MAX_BYTES = 32 * 2**20
#: Of the operations of a task's sets, each counted as the amplitudes that it changes, unless one has more.
MAX_WORK = 2**26
#: What a set costs besides, in amplitudes.
_WORK_OF_A_SET = 2**12


class Task:
    """Sets of one program; what became of them."""

    def __init__(self, program: Program, shots: int | None, outputs: tuple[Output, ...]) -> None:
        """Without sets yet; `shots` is None for exact answers."""
        self.program = program
        self.shots = shots
        self.outputs = outputs
        self.sets = 0
        #: Once submitted.
        self.future: TaskFuture | None = None
        #: Why it was not submitted.
        self.error: QFwError | None = None
        self._rows: list[npt.NDArray[np.float64]] = []

    def add(self, rows: npt.NDArray[np.float64]) -> int:
        """Adds sets of values, shape (sets, slots), radians; returns the number of the first."""
        first = self.sets
        self._rows.append(rows)
        self.sets += len(rows)
        return first

    def request(self, seed: int | None, began_ns: int, calibration: str = "") -> Request:
        """What is submitted; `calibration` is the version that it was lowered for, empty: any."""
        parameters = self._rows[0] if len(self._rows) == 1 else np.vstack(self._rows)
        self._rows = [parameters]
        return Request(
            self.program,
            parameters,
            self.shots,
            self.outputs,
            seed,
            began_ns=began_ns,
            calibration=calibration,
        )

    def outcome(self) -> Result | QFwError:
        """The result, or why there is none. Waits."""
        if self.future is None:
            assert self.error is not None
            return self.error
        try:
            return self.future.result()
        except CancelledError:
            return TaskCancelled(f"task {self.future.name} was cancelled before it was answered")
        except QFwError as error:
            return error


class Sets(NamedTuple):
    """Consecutive parameter sets of a task."""

    task: Task
    #: Which of the task's.
    rows: slice


class Tasks:
    """The tasks of one call: sets of one program of which the same is asked are sets of one task."""

    def __init__(self) -> None:
        """None yet."""
        self.tasks: list[Task] = []
        #: Those that take more sets, and how many they take in all.
        self._open: dict[tuple[int, int, tuple[Output, ...]], tuple[Task, int]] = {}

    def add(
        self, program: Program, shots: int, outputs: tuple[Output, ...], rows: npt.NDArray[np.float64]
    ) -> list[Sets]:
        """Adds sets; where they are, in order.

        Args:
            program: what to run.
            shots: 0 for exact answers.
            outputs: what is asked.
            rows: values of the program's slots, shape (sets, slots), radians.
        """
        key = (id(program), shots, outputs)
        found = []
        while len(rows):
            task, most = self._open.get(key) or self._new(key, program, shots, outputs)
            taken = rows[: most - task.sets]
            first = task.add(taken)
            found.append(Sets(task, slice(first, task.sets)))
            rows = rows[len(taken) :]
            if task.sets >= most:
                del self._open[key]
        return found

    def _new(
        self,
        key: tuple[int, int, tuple[Output, ...]],
        program: Program,
        shots: int,
        outputs: tuple[Output, ...],
    ) -> tuple[Task, int]:
        found = self._open[key] = (
            Task(program, shots or None, outputs),
            sets_per_task(program, outputs, shots),
        )
        self.tasks.append(found[0])
        return found


def outcomes(tasks: Sequence[Task]) -> dict[int, Result | QFwError]:
    """What became of each task, by its id(). Waits for all."""
    return {id(task): task.outcome() for task in tasks}


def sets_per_task(program: Program, outputs: tuple[Output, ...], shots: int) -> int:
    """How many sets of a program one task has at most, at least 1."""
    size = 8 * program.num_slots + sum(answer_bytes(output, program, 1, shots) for output in outputs)
    work = _WORK_OF_A_SET + (program.expected_steps << min(program.num_qubits, 40))
    return max(1, min(MAX_SETS, MAX_BYTES // max(size, 1), MAX_WORK // work))
