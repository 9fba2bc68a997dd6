"""Job: the circuits of one call of `Backend.run`, on their way."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qiskit.providers import JobStatus, JobTimeoutError, JobV1
from qiskit.providers.jobstatus import JOB_FINAL_STATES

from qfw.adapters.qiskit.batch import Batch
from qfw.adapters.qiskit.failures import as_job_error
from qfw.adapters.qiskit.options import RunOptions
from qfw.adapters.qiskit.results import BatchResult, result_of
from qfw.adapters.qiskit.tasks import outcomes
from qfw.model.errors import QFwError, ResultTimeout, TaskCancelled, UsageError
from qfw.model.result import Result
from qfw.model.task import TaskState
from qfw.qpi import QStream
from qfw.qpi.future import CANCEL_LIMIT_S, TaskFuture
from qfw.qpm.remote import Observer

if TYPE_CHECKING:
    from qfw.adapters.qiskit.backend import Backend


class Job(JobV1):  # type: ignore[misc]
    """The handle of a call of `Backend.run`, which has already submitted it.

    Everything that it raises on its own account is an error of Qiskit's (JobError) and of QFw's.
    """

    def __init__(
        self, backend: Backend, job_id: str, batch: Batch, options: RunOptions, stream: QStream | None
    ) -> None:
        """Made by `Backend.run`; `stream` is None where no circuit could be submitted."""
        super().__init__(backend, job_id)
        self._batch = batch
        self._options = options
        self._stream = stream
        self._result: BatchResult | None = None

    def __repr__(self) -> str:
        return f"<Job {self.job_id()} of {self.backend()!r}>"

    def submit(self) -> None:
        """Raises: `Backend.run` has submitted the job.

        Raises:
            UsageError, JobError: always.
        """
        raise as_job_error(
            UsageError(f"job {self.job_id()} is submitted already; backend.run(...) submits another")
        )

    def result(self, timeout: float | None = None) -> BatchResult:
        """The results of all circuits, in their order. Waits.

        Where some circuits failed, the others' results are there: `success` of the whole and of the failed
        ones is False, and asking for the data of a failed one raises why.

        Args:
            timeout: seconds; None waits until everything is answered or the daemon is lost.

        Raises:
            ResultTimeout, JobTimeoutError: not answered in time; the job goes on.
            TaskCancelled, JobError: it was cancelled.
            QFwError, JobError: no circuit succeeded; why the first one failed.
        """
        if self._result is None:
            self._wait(timeout)
            self._result = self._made()
        failure = self._failure()
        if failure is not None:
            raise as_job_error(failure) from failure
        return self._result

    def status(self) -> JobStatus:
        """Where the job is now: QUEUED, RUNNING, and at the end DONE, CANCELLED or ERROR.

        DONE is one whose `result` gives results, of some circuits at least.
        """
        futures = self._futures
        waiting = [future for future in futures if not future.done()]
        if not waiting:
            failure = self._failure()
            if failure is None:
                return JobStatus.DONE
            return JobStatus.CANCELLED if isinstance(failure, TaskCancelled) else JobStatus.ERROR
        if len(waiting) < len(futures) or self._is_running(waiting):
            return JobStatus.RUNNING
        return JobStatus.QUEUED

    def cancel(self) -> bool:
        """Ends what is not answered yet; True where anything was ended, and the job is cancelled.

        Raises:
            UsageError: the session is closed, or belongs to the process that this one was forked from.
        """
        if self._stream is not None:
            futures = self._futures
            self._stream.cancel(futures)
            deadline = time.monotonic() + CANCEL_LIMIT_S
            for future in futures:
                with suppress(ResultTimeout, CancelledError):
                    future.exception(max(0.0, deadline - time.monotonic()))
        return self.status() is JobStatus.CANCELLED

    def wait_for_final_state(
        self,
        timeout: float | None = None,
        wait: float = 5,
        callback: Callable[[str, JobStatus, JobV1], Any] | None = None,
    ) -> None:
        """Returns when the job is done, cancelled or failed; wakes at once then.

        Args:
            timeout: seconds; None waits without limit.
            wait: seconds between two calls of `callback`.
            callback: called with the job's id, its status and the job, as long as it is not at its end.

        Raises:
            ResultTimeout, JobTimeoutError: it was not within `timeout`.
        """
        if callback is None:
            return self._wait(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.status()) not in JOB_FINAL_STATES:
            callback(self.job_id(), status, self)
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            with suppress(ResultTimeout):
                self._wait(wait if remaining is None else min(wait, remaining))
                return None
            if remaining is not None and remaining <= wait:
                raise self._late(timeout)
        return None

    @property
    def _futures(self) -> list[TaskFuture]:
        return [task.future for task in self._batch.tasks if task.future is not None]

    def _wait(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        for future in self._futures:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                future.exception(remaining)
            except CancelledError:
                continue
            except ResultTimeout as error:
                raise self._late(timeout) from error
            except QFwError as error:
                raise as_job_error(error) from error

    def _late(self, timeout: float | None) -> QFwError:
        late = ResultTimeout(
            f"job {self.job_id()} was not answered within {timeout} s; it goes on. Wait longer, or cancel() it"
        )
        return as_job_error(late, JobTimeoutError)

    def _failure(self) -> QFwError | None:
        """Of a job at its end: why it has no result."""
        if any(future.cancelled() for future in self._futures):
            return TaskCancelled(f"job {self.job_id()} was cancelled before it was answered")
        first: QFwError | None = None
        for part in self._batch.parts:
            found: list[Result | QFwError | None] = [piece.task.outcome() for piece in part.where]
            for outcome in found or [part.error]:
                if not isinstance(outcome, QFwError):
                    return None
                first = first or outcome
        return first

    def _made(self) -> BatchResult:
        backend = self.backend()
        return result_of(
            self._batch,
            outcomes(self._batch.tasks),
            {} if self._stream is None else backend.engines(self._stream),
            shots=self._options.shots,
            seed=self._options.seed,
            memory=self._options.memory,
            job_id=self.job_id(),
            backend_name=backend.name,
            backend_version=backend.backend_version,
        )

    def _is_running(self, futures: list[TaskFuture]) -> bool:
        """Whether the daemon says that one of these tasks runs."""
        assert self._stream is not None
        names = {future.name for future in futures}
        try:
            with Observer(self._stream.device.session.folder) as observer:
                rows = observer.tasks()
        except QFwError:
            return False
        return any(row.task in names and row.state == TaskState.RUNNING for row in rows)
