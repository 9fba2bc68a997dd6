"""Jobs of the primitives: order, failures of single PUBs, cancelling, time limits, lost and closed sessions."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BasePrimitiveJob
from qiskit.providers import JobError, JobStatus, JobTimeoutError

from qfw.adapters import session as shared
from qfw.model.errors import (
    DaemonLost,
    QFwError,
    ResultTimeout,
    TaskCancelled,
    TooLarge,
    UnsupportedFeature,
    UsageError,
)
from qfw.qiskit import Backend, Estimator, Sampler
from qfw.qpi import Session
from tests.stack import until

LIMIT_S = 60


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """A session whose devices have two workers each."""
    folder = tmp_path_factory.mktemp("qfw")
    settings = folder / "settings.toml"
    settings.write_text('engines = ["reference"]\n[workers]\ncount = 2\n')
    with Session(runtime_folder=folder / "run", config=settings) as opened:
        yield opened


def slow(qubits: int = 20, gates: int = 3000) -> QuantumCircuit:
    """Minutes on the reference engine."""
    circuit = QuantumCircuit(qubits)
    circuit.h(range(qubits))
    for number in range(gates):
        circuit.ry(0.1, number % qubits)
    circuit.measure_all()
    return circuit


def one(bit: int = 1) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    if bit:
        circuit.x(0)
    circuit.measure_all()
    return circuit


def wide(qubits: int = 60) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.t(range(qubits))
    circuit.h(range(qubits))
    circuit.measure_all()
    return circuit


def branching() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    circuit.measure(0, 0)
    return circuit


def test_a_job_is_qiskits(session):
    job = Sampler(Backend(session=session)).run([one()])
    assert isinstance(job, BasePrimitiveJob) and isinstance(job.job_id(), str)
    assert job.job_id() != Sampler(Backend(session=session)).run([one()]).job_id()
    first = job.result()
    assert job.status() is JobStatus.DONE
    assert job.done() and job.in_final_state() and not job.running() and not job.cancelled()
    assert job.result()[0] is first[0]


def test_results_are_in_the_order_of_the_pubs_whichever_comes_first(two_workers):
    sampler = Sampler(Backend(session=two_workers))
    medium = slow(12, 300)
    pubs = [medium, one(1), one(0), medium, (one(1), None, 7)]
    data = [pub.data.meas for pub in sampler.run(pubs, shots=10).result(LIMIT_S)]
    assert [(d.num_bits, d.num_shots) for d in data] == [(12, 10), (1, 10), (1, 10), (12, 10), (1, 7)]
    assert [d.get_counts() for d in data[1:3]] == [{"1": 10}, {"0": 10}]


def test_a_job_that_is_cancelled(two_workers):
    job = Sampler(Backend(session=two_workers)).run([slow(), one()])
    # The second overtakes the first, which takes minutes.
    assert job.pub_result(1, timeout=LIMIT_S).data.meas.get_counts() == {"1": 1024}
    assert job.running() and job.status() is JobStatus.RUNNING and not job.in_final_state()
    with pytest.raises(ResultTimeout, match="goes on") as late:
        job.result(timeout=0.01)
    assert isinstance(late.value, JobTimeoutError)
    assert job.cancel() is True
    assert job.cancelled() and job.in_final_state() and not job.done() and not job.running()
    with pytest.raises(TaskCancelled, match="PUB 0 of 2") as ended:
        job.result()
    assert isinstance(ended.value, JobError)
    assert job.pub_result(1).data.meas.get_counts() == {"1": 1024}
    # The workers are free again.
    assert Sampler(Backend(session=two_workers)).run([one()]).result(LIMIT_S)[0].data.meas.num_shots == 1024


def test_what_is_done_cannot_be_cancelled(session):
    job = Estimator(Backend(session=session)).run([(QuantumCircuit(1), "Z")])
    job.result(LIMIT_S)
    assert job.cancel() is False and job.done() and job.result()[0].data.evs == 1.0


@pytest.mark.parametrize("device", [None, "reference"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_pub_that_fails_alone(session, device, place):
    sampler = Sampler(Backend(device, session=session))
    pubs = [one(), one(0)]
    pubs.insert(place, wide())
    job = sampler.run(pubs)
    with pytest.raises(TooLarge, match=f"PUB {place} of 3") as failed:
        job.result(LIMIT_S)
    assert isinstance(failed.value, JobError)
    others = [k for k in range(3) if k != place]
    assert [job.pub_result(k, LIMIT_S).data.meas.get_counts() for k in others] == [{"1": 1024}, {"0": 1024}]
    with pytest.raises(TooLarge):
        job.pub_result(place)
    until(job.in_final_state)
    assert job.status() is JobStatus.ERROR and not job.done() and not job.cancelled()
    # Once more, the same.
    with pytest.raises(TooLarge, match=f"PUB {place} of 3"):
        job.result()


def test_a_device_that_cannot_branch(session):
    job = Sampler(Backend("reference", session=session)).run([one(), branching()])
    with pytest.raises(UnsupportedFeature, match="PUB 1 of 2"):
        job.result(LIMIT_S)
    assert job.pub_result(0).data.meas.get_counts() == {"1": 1024}


def test_an_estimators_pub_that_fails_alone(session):
    job = Estimator(Backend(session=session)).run([(QuantumCircuit(80), "Z" * 80), (QuantumCircuit(1), "Z")])
    with pytest.raises(TooLarge, match="PUB 0 of 2"):
        job.result(LIMIT_S)
    assert job.pub_result(1, LIMIT_S).data.evs == 1.0


def test_a_program_that_cannot_be_sent(session):
    circuit = QuantumCircuit(1)
    circuit.h(0)
    for _ in range(19):
        circuit = circuit.compose(circuit)
    circuit.measure_all()
    job = Sampler(Backend(session=session)).run([one(), circuit, one(0)])
    with pytest.raises(TooLarge, match=r"PUB 1 of 3.*a program"):
        job.result(LIMIT_S)
    assert [job.pub_result(k, LIMIT_S).data.meas.get_counts() for k in (0, 2)] == [{"1": 1024}, {"0": 1024}]


def test_several_threads_read_one_job(session):
    job = Sampler(Backend(session=session)).run([one(k % 2) for k in range(40)], shots=3)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: job.result(LIMIT_S), range(16)))
    wanted = [{str(k % 2): 3} for k in range(40)]
    assert all([pub.data.meas.get_counts() for pub in result] == wanted for result in results)
    assert job.done() and job.cancel() is False and len(job) == 40


@pytest.mark.parametrize("number", [-1, 2, 100])
def test_there_is_no_such_pub(session, number):
    job = Sampler(Backend(session=session)).run([one(), one()])
    with pytest.raises(UsageError, match="2 PUBs"):
        job.pub_result(number)
    assert len(job) == 2


def test_a_session_that_is_closed(tmp_path):
    with Session(runtime_folder=tmp_path) as session:
        sampler, estimator = Sampler(Backend(session=session)), Estimator(Backend(session=session))
        assert sampler.run([one()]).result(LIMIT_S)
        unread = sampler.run([one()])
    with pytest.raises(UsageError, match="closed"):
        sampler.run([one()])
    with pytest.raises(UsageError, match="closed"):
        estimator.run([(QuantumCircuit(1), "Z")])
    with pytest.raises(QFwError, match="PUB 0 of 1"):
        unread.result(LIMIT_S)
    assert unread.cancel() is False and unread.in_final_state()


def test_a_daemon_that_is_killed(tmp_path):
    session = Session(runtime_folder=tmp_path)
    try:
        sampler = Sampler(Backend("reference", session=session))
        job = sampler.run([slow()])
        os.kill(session.client.welcome.pid, signal.SIGKILL)
        with pytest.raises(DaemonLost, match="PUB 0 of 1"):
            job.result(LIMIT_S)
        assert job.status() is JobStatus.ERROR
        with pytest.raises(DaemonLost):
            sampler.run([one()])
    finally:
        session.close()


def test_a_fork_and_a_lost_shared_session(tmp_path, monkeypatch):
    monkeypatch.setenv("QFW_RUNTIME_DIR", str(tmp_path))
    shared._close()
    try:
        sampler = Sampler()
        assert sampler.run([one()]).result(LIMIT_S)[0].data.meas.get_counts() == {"1": 1024}
        job = sampler.run([one()])
        child = os.fork()
        if not child:
            code = 1
            try:
                try:
                    job.result(LIMIT_S)
                except UsageError:
                    counts = sampler.run([one()]).result(LIMIT_S)[0].data.meas.get_counts()
                    code = 0 if counts == {"1": 1024} else 2
                shared._close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert job.result(LIMIT_S)[0].data.meas.get_counts() == {"1": 1024}
        shared.shared_session().close()
        assert sampler.run([one()]).result(LIMIT_S)[0].data.meas.get_counts() == {"1": 1024}
    finally:
        shared._close()


def test_a_fork_of_a_given_session(session):
    sampler = Sampler(Backend(session=session))
    sampler.run([one()]).result(LIMIT_S)
    child = os.fork()
    if not child:
        code = 1
        try:
            sampler.run([one()])
        except UsageError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_sets_are_cancelled_at_once(two_workers):
    angle = Parameter("t")
    circuit = QuantumCircuit(20)
    for number in range(3000):
        circuit.ry(angle, number % 20)
    job = Estimator(Backend(session=two_workers)).run([(circuit, "Z" * 20, np.linspace(0, 1, 50))])
    assert job.running()
    assert job.cancel() and job.cancelled()
    with pytest.raises(TaskCancelled):
        job.result(LIMIT_S)
