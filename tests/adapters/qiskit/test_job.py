"""Jobs: their status, waiting, cancelling, and what becomes of the daemon's death."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from collections import deque

import pytest
from qiskit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.providers import JobError, JobStatus, JobTimeoutError, JobV1

from qfw.model.errors import DaemonLost, QFwError, ResultTimeout, TaskCancelled, UsageError
from qfw.qiskit import Backend, Job
from qfw.qpi import Session
from tests.stack import LIMIT_S, runtime_folder, until

from .circuits import bell


@pytest.fixture
def backend(session: Session) -> Backend:
    return Backend("reference", session=session, seed=5)


def long(gates: int = 20_000) -> QuantumCircuit:
    """Runs for many seconds: it is cancelled, or the test has failed."""
    circuit = QuantumCircuit(16, 1)
    for _ in range(gates):
        circuit.ry(0.01, 0)
    circuit.measure(0, 0)
    return circuit


def test_run_returns_a_job_and_the_job_a_result(backend):
    job = backend.run(bell(), shots=100)
    assert isinstance(job, Job) and isinstance(job, JobV1) and job.backend() is backend
    result = job.result()
    assert job.status() is JobStatus.DONE and job.done() and job.in_final_state()
    assert not job.running() and not job.cancelled() and not job.cancel()
    assert job.result() is result and result.job_id == job.job_id()


def test_a_job_that_runs_is_waited_for_and_cancelled(backend):
    job = backend.run([long(), bell()], shots=10)
    until(lambda: job.status() is JobStatus.RUNNING, "the job runs")
    assert job.running() and not job.in_final_state()
    for wait in (lambda: job.result(timeout=0.01), lambda: job.wait_for_final_state(timeout=0.01)):
        with pytest.raises(ResultTimeout, match=r"0\.01 s; it goes on") as caught:
            wait()
        assert isinstance(caught.value, JobTimeoutError)
    assert job.cancel()
    assert job.status() is JobStatus.CANCELLED and job.cancelled() and job.in_final_state()
    with pytest.raises(TaskCancelled, match=job.job_id()) as caught:
        job.result(LIMIT_S)
    assert isinstance(caught.value, JobError) and isinstance(caught.value, QiskitError)
    job.wait_for_final_state(LIMIT_S)


def test_what_waits_is_queued(session):
    backend = Backend("reference", session=session)
    jobs = [backend.run(long(), shots=1) for _ in range(12)]
    assert jobs[-1].status() is JobStatus.QUEUED
    for job in jobs[::-1]:
        assert job.cancel()


def test_one_who_waits_is_woken_by_a_cancellation(backend):
    job = backend.run(long(), shots=1)
    woken = []

    def wait() -> None:
        try:
            job.result(LIMIT_S)
        except TaskCancelled as error:
            woken.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    until(lambda: job.status() is JobStatus.RUNNING, "the job runs")
    assert job.cancel()
    waiter.join(LIMIT_S)
    assert len(woken) == 1


def test_callbacks_while_it_waits(backend):
    job = backend.run(long(), shots=1)
    seen = []

    def callback(job_id, status, same):
        seen.append((job_id, same))
        if len(seen) == 3:
            job.cancel()

    job.wait_for_final_state(LIMIT_S, wait=0.001, callback=callback)
    assert seen == [(job.job_id(), job)] * 3 and job.cancelled()
    with pytest.raises(JobTimeoutError):
        backend_job = backend.run(long(), shots=1)
        try:
            backend_job.wait_for_final_state(0.01, wait=0.001, callback=lambda *_: None)
        finally:
            backend_job.cancel()
    done = backend.run(bell())
    done.result()
    done.wait_for_final_state(callback=lambda *_: pytest.fail("it is done"))


def test_a_job_is_submitted_once(backend):
    with pytest.raises(UsageError, match="submitted already") as caught:
        backend.run(bell()).submit()
    assert isinstance(caught.value, JobError)


def test_jobs_are_found_by_their_id(backend, monkeypatch):
    monkeypatch.setattr(backend, "_kept", deque(maxlen=2))
    jobs = [backend.run(bell(), shots=3) for _ in range(4)]
    ids = [job.job_id() for job in jobs]
    held = jobs[0]
    del jobs
    gc.collect()
    # The last two are kept for who has an id alone; what somebody holds is found as well.
    assert [backend.retrieve_job(name).job_id() for name in (ids[0], *ids[2:])] == [ids[0], *ids[2:]]
    assert backend.retrieve_job(ids[0]) is held
    for unknown in (ids[1], "x"):
        with pytest.raises(UsageError, match="has no job"):
            backend.retrieve_job(unknown)


def test_jobs_with_large_answers_are_not_kept(backend):
    circuit = QuantumCircuit(21)
    job = backend.run(circuit, shots=None)
    name, watched = job.job_id(), weakref.ref(job)
    assert backend.retrieve_job(name) is job
    job.cancel()
    del job
    gc.collect()
    assert watched() is None
    with pytest.raises(UsageError, match="large answers"):
        backend.retrieve_job(name)


def test_results_come_in_order_though_tasks_do_not(backend):
    slow = QuantumCircuit(14, 1)
    for _ in range(200):
        slow.ry(0.0, 0)
    slow.measure(0, 0)
    one = QuantumCircuit(1, 1)
    one.x(0)
    one.measure(0, 0)
    result = backend.run([slow, one, slow, one], shots=4).result(LIMIT_S)
    assert result.get_counts() == [{"0": 4}, {"1": 4}, {"0": 4}, {"1": 4}]


def test_a_thousand_jobs_at_once(backend):
    jobs = [backend.run(bell(), shots=2) for _ in range(1000)]
    assert all(sum(job.result(LIMIT_S).get_counts().values()) == 2 for job in jobs)


def test_the_death_of_the_daemon_is_an_error_of_the_job():
    with runtime_folder() as folder, Session(runtime_folder=folder) as session:
        job = Backend("reference", session=session).run(long(), shots=1)
        os.kill(session.client.welcome.pid, signal.SIGKILL)
        with pytest.raises(DaemonLost) as caught:
            job.result(LIMIT_S)
        assert isinstance(caught.value, JobError) and isinstance(caught.value, QFwError)
        assert job.status() is JobStatus.ERROR
