"""PrimitiveJob: the PUBs of one call of a primitive, on their way."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, Protocol

from qiskit.primitives import BasePrimitiveJob, PrimitiveResult, PubResult
from qiskit.providers import JobStatus, JobTimeoutError
from qiskit.providers.jobstatus import JOB_FINAL_STATES

from qfw.adapters.qiskit.failures import as_job_error
from qfw.adapters.qiskit.pubs import with_number
from qfw.adapters.qiskit.tasks import Task
from qfw.model.errors import QFwError, ResultTimeout, TaskCancelled, UsageError
from qfw.model.result import Result
from qfw.qpi import QStream
from qfw.qpi.future import CANCEL_LIMIT_S, TaskFuture


class Answer(Protocol):
    """One PUB, submitted: the tasks that answer it, and how its result is read from theirs."""

    @property
    def tasks(self) -> Sequence[Task]:
        """The tasks; one may answer several PUBs."""
        ...

    def read(self, results: Sequence[Result]) -> PubResult:
        """The PUB's result.

        Args:
            results: of `tasks`, in their order.
        """
        ...


class PrimitiveJob(BasePrimitiveJob[PrimitiveResult[PubResult], JobStatus]):  # type: ignore[misc]
    """The handle of a call of `Sampler.run` or `Estimator.run`, which has already submitted it.

    No thread waits for it: whoever asks for results reads them. What it raises is an error of QFw's and of
    Qiskit's (JobError).
    """

    def __init__(self, answers: Sequence[Answer], stream: QStream | None) -> None:
        """Made by a primitive; `stream` is None where nothing was to be run."""
        super().__init__(str(uuid.uuid4()))
        self._answers = answers
        self._stream = stream
        self._tasks = list({id(task): task for answer in answers for task in answer.tasks}.values())
        self._results: list[PubResult | None] = [None] * len(answers)

    def __len__(self) -> int:
        """Number of PUBs."""
        return len(self._results)

    def result(self, timeout: float | None = None) -> PrimitiveResult[PubResult]:
        """The results of all PUBs, in their order. Waits.

        Where a PUB failed its error is raised, which says its number; the others go on, and `pub_result`
        gives theirs.

        Args:
            timeout: seconds; None waits until everything is answered or the daemon is lost.

        Raises:
            ResultTimeout, JobTimeoutError: not answered in time; the job goes on.
            TaskCancelled, JobError: it was cancelled.
            QFwError, JobError: why the first of the failed PUBs failed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        results = [self._pub_result(number, deadline, timeout) for number in range(len(self))]
        return PrimitiveResult(results, metadata={"version": 2})

    def pub_result(self, number: int, timeout: float | None = None) -> PubResult:
        """The result of one PUB, whatever became of the others. Waits and raises like `result`.

        Args:
            number: of the PUB, from 0 in the order of the call.
            timeout: seconds.

        Raises:
            UsageError, JobError: the job has no such PUB.
        """
        if not 0 <= number < len(self):
            raise as_job_error(
                UsageError(f"the job has {len(self)} PUBs, counted from 0; there is no PUB {number}")
            )
        return self._pub_result(number, None if timeout is None else time.monotonic() + timeout, timeout)

    def status(self) -> JobStatus:
        """Where the job is now: RUNNING until everything is answered, then DONE, CANCELLED or ERROR."""
        if self._is_read():
            return JobStatus.DONE
        if not all(future.done() for future in self._futures()):
            return JobStatus.RUNNING
        if any(future.cancelled() for future in self._futures()):
            return JobStatus.CANCELLED
        failed = any(task.future is None or task.future.exception() is not None for task in self._tasks)
        return JobStatus.ERROR if failed else JobStatus.DONE

    def done(self) -> bool:
        """Whether every PUB has its result."""
        return self.status() is JobStatus.DONE

    def running(self) -> bool:
        """Whether something is not answered yet, waiting included."""
        return self.status() is JobStatus.RUNNING

    def cancelled(self) -> bool:
        """Whether it was cancelled before all was answered."""
        return self.status() is JobStatus.CANCELLED

    def in_final_state(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return self.status() in JOB_FINAL_STATES

    def cancel(self) -> bool:
        """Ends what is not answered yet; True where anything was ended, and the job is cancelled.

        Waits for the daemon's word, at most 5 s.

        Raises:
            UsageError: the session is closed, or belongs to the process that this one was forked from.
        """
        if self._stream is not None:
            self._stream.cancel(self._futures())
            deadline = time.monotonic() + CANCEL_LIMIT_S
            for future in self._futures():
                with suppress(ResultTimeout, CancelledError):
                    future.exception(max(0.0, deadline - time.monotonic()))
        return self.cancelled()

    def _futures(self) -> list[TaskFuture]:
        return [task.future for task in self._tasks if task.future is not None]

    def _is_read(self) -> bool:
        return all(result is not None for result in self._results)

    def _pub_result(self, number: int, deadline: float | None, timeout: float | None) -> PubResult:
        # In this order: another thread may drop the answers, but only when all results are there.
        answers, found = self._answers, self._results[number]
        if found is None:
            answer = answers[number]
            try:
                found = answer.read([self._wait(task, deadline, timeout) for task in answer.tasks])
            except QFwError as error:
                kind: dict[str, Any] = {"kind": JobTimeoutError} if isinstance(error, ResultTimeout) else {}
                raise as_job_error(with_number(error, number, len(self)), **kind) from error
            self._results[number] = found
            if self._is_read():
                # What the tasks answered is as large as what was read from it.
                self._answers, self._tasks = (), []
        return found

    def _wait(self, task: Task, deadline: float | None, timeout: float | None) -> Result:
        if task.future is None:
            assert task.error is not None
            raise task.error
        try:
            return task.future.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except CancelledError as error:
            raise TaskCancelled(f"task {task.future.name} was cancelled before it was answered") from error
        except ResultTimeout as error:
            raise ResultTimeout(
                f"job {self.job_id()} was not answered within {timeout} s; it goes on. Wait longer, or cancel() it"
            ) from error
