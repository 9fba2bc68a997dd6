"""Tasks of one call: parameter sets put together, and submitted in one message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.adapters.qiskit.batch import Task
from qfw.model.errors import ProgramError, QFwError
from qfw.model.outputs import Output, answer_bytes
from qfw.model.program import Program
from qfw.qpi import QStream

#: Sets of one task: so that the sets of one PUB keep several workers busy, and a task far from its time
#: limit. A function of the task alone, so that a seed gives the same results everywhere.
MAX_SETS = 256
#: Of the parameters and the answer of one task, unless one set has more.
MAX_BYTES = 32 * 2**20
#: Of the operations of a task's sets, each counted as the amplitudes that it changes, unless one has more.
MAX_WORK = 2**26
#: What a set costs besides, in amplitudes.
_WORK_OF_A_SET = 2**12


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


def submit(
    tasks: Sequence[Task], stream: QStream, seed_of: Callable[[int], int | None], began_ns: int
) -> None:
    """Submits tasks, in one message if all can be.

    What is refused before it is sent is the error of its task alone.

    Args:
        tasks: get their future or error.
        stream: where to.
        seed_of: the seed of the task of a number, those that are refused not counted; None for fresh results.
        began_ns: for the timeline, see `QStream.run`.

    Raises:
        UsageError, ConnectionFailed: nothing can be submitted.
    """
    able: list[Task] = []
    for task in tasks:
        try:
            stream.device.chosen(task.program, task.outputs)
        except ProgramError as error:
            task.error = error
            continue
        able.append(task)
    if not able:
        return
    requests = [task.request(seed_of(number), began_ns) for number, task in enumerate(able)]
    try:
        futures = stream.run_many(requests)
    except ProgramError:
        # Nothing was submitted: one of them cannot be, and the others shall not fail with it.
        for task, request in zip(able, requests, strict=True):
            try:
                (task.future,) = stream.run_many([request])
            except QFwError as error:
                task.error = error
        return
    for task, future in zip(able, futures, strict=True):
        task.future = future


def sets_per_task(program: Program, outputs: tuple[Output, ...], shots: int) -> int:
    """How many sets of a program one task has at most, at least 1."""
    size = 8 * program.num_slots + sum(answer_bytes(output, program, 1, shots) for output in outputs)
    work = _WORK_OF_A_SET + (program.expected_steps << min(program.num_qubits, 40))
    return max(1, min(MAX_SETS, MAX_BYTES // max(size, 1), MAX_WORK // work))
