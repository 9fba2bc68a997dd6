"""The tasks of one call, submitted in one message."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qfw.adapters.qiskit.tasks import Task
from qfw.model.errors import ProgramError, QFwError
from qfw.qpi import QStream


def submit(
    tasks: Sequence[Task],
    stream: QStream,
    seed_of: Callable[[int], int | None],
    began_ns: int,
    calibration: str = "",
) -> None:
    """Submits tasks, in one message if all can be.

    What is refused before it is sent is the error of its task alone.

    Args:
        tasks: get their future or error.
        stream: where to.
        seed_of: the seed of the task of a number, those that are refused not counted; None for fresh results.
        began_ns: for the timeline, see `QStream.run`.
        calibration: the version that the tasks were lowered for; empty: any.

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
    requests = [task.request(seed_of(number), began_ns, calibration) for number, task in enumerate(able)]
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
