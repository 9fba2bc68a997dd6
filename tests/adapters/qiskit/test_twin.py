"""Qiskit and PennyLane on twins: backend, primitives, a recalibration between two calls; nobody gets one unasked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import SparsePauliOp

from qfw.adapters.qiskit import Backend, Estimator, Sampler
from qfw.model.errors import StaleCalibration, TooLarge, UnsupportedFeature
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import Session
from tests.stack import LIMIT_S, runtime_folder

DEVICES = ["twin-20", "twin-127", "twin-ion", "twin-atoms"]

#: A device that is recalibrated once, after the first tasks.
SETTINGS = """
engines = ["reference"]
[workers]
count = 1
[platforms.twin.options]
seed = 3
[[platforms.twin.options.devices]]
model = "twin-20"
name = "moving"
life = { recalibration = [{ begin_s = 0.001, duration_s = 60.0 }] }
"""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with runtime_folder() as folder, Session(runtime_folder=folder) as opened:
        yield opened


def ghz(measured: bool) -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    if measured:
        circuit.measure_all()
    return circuit


def is_mostly_ghz(counts: dict[str, int], shots: int) -> bool:
    right = counts.get("000", 0), counts.get("111", 0)
    return sum(counts.values()) == shots and min(right) > 0.4 * shots and sum(right) < shots


@pytest.mark.parametrize("device", DEVICES)
def test_counts_memory_and_sampler(session: Session, device: str) -> None:
    backend = Backend(device, session=session, seed=1)
    lowered = transpile(ghz(True), backend, seed_transpiler=1)
    result = backend.run(lowered, shots=1000, memory=True).result()
    assert is_mostly_ghz(result.get_counts(), 1000)
    memory = result.get_memory()
    assert {bits: memory.count(bits) for bits in set(memory)} == result.get_counts()
    sampled = Sampler(backend, seed=1).run([lowered], shots=1000).result(LIMIT_S)[0]
    assert is_mostly_ghz(sampled.data.meas.get_counts(), 1000)


@pytest.mark.parametrize("device", DEVICES)
def test_estimator_of_observables_on_the_lowered_circuit(session: Session, device: str) -> None:
    backend = Backend(device, session=session, seed=1)
    lowered = transpile(ghz(False), backend, seed_transpiler=1)
    observables = [SparsePauliOp(word).apply_layout(lowered.layout) for word in ("ZZI", "XXX", "IIZ")]
    data = Estimator(backend, seed=1).run([(lowered, observables)], precision=0.02).result(LIMIT_S)[0].data
    assert observables[0].num_qubits == lowered.num_qubits == backend.num_qubits
    # Noise takes something off <ZZ> and <XXX>; readout errs a little more towards 0.
    assert np.all(data.evs[:2] > 0.85) and np.all(data.evs[:2] < 1) and abs(data.evs[2]) < 0.12
    assert np.all(data.stds <= 0.0201)


def test_what_a_twin_refuses_says_what_to_do(session: Session) -> None:
    backend = Backend("twin-20", session=session)
    with pytest.raises(UnsupportedFeature, match="give shots"):
        Estimator(backend).run([(transpile(ghz(False), backend), "I" * 20)]).result(LIMIT_S)
    with pytest.raises(UnsupportedFeature, match="transpile"):
        backend.run(ghz(True), shots=10).result()
    with pytest.raises(TooLarge, match="100000 per task"):
        backend.run(transpile(ghz(True), backend), shots=100_001).result()


def test_after_a_recalibration_it_is_lowered_again(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(SETTINGS)
    with runtime_folder() as folder, Session(runtime_folder=folder, config=config) as session:
        backend = Backend("moving", session=session, seed=1)
        lowered = transpile(ghz(True), backend, seed_transpiler=1)
        plain = transpile(ghz(False), backend, seed_transpiler=1)
        first = backend.qfw_calibration
        assert backend.run(lowered, shots=1000).result().success
        with pytest.raises(StaleCalibration, match="Lower the program again"):
            backend.run(lowered, shots=1000).result()
        with pytest.raises(StaleCalibration):
            Sampler(backend).run([lowered]).result(LIMIT_S)
        observable = SparsePauliOp("ZZI").apply_layout(plain.layout)
        with pytest.raises(StaleCalibration):
            Estimator(backend).run([(plain, observable)], precision=0.1).result(LIMIT_S)
        target = backend.refresh()
        assert backend.qfw_calibration == f"{first}+1" and backend.target is target
        lowered = transpile(ghz(True), backend, seed_transpiler=1)
        assert is_mostly_ghz(backend.run(lowered, shots=1000).result().get_counts(), 1000)
        assert is_mostly_ghz(Sampler(backend).run([lowered]).result(LIMIT_S)[0].data.meas.get_counts(), 1024)


def test_nobody_gets_a_twin_who_did_not_name_it(session: Session) -> None:
    # The twins are there, and are not chosen, whatever the task.
    assert all(session.device(name).name == name for name in DEVICES)
    with session.device().stream() as stream:
        straight = Program(2, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
        assert stream.run(straight, shots=10).result(LIMIT_S).device not in DEVICES
        with pytest.raises(TooLarge, match="100 qubits"):
            stream.run(Program(100, 1, 0, (Gate("x", (0,)), Measure(0, 0))), shots=10)
    counts = Backend(session=session, seed=1).run(ghz(True), shots=2000).result().get_counts()
    assert set(counts) == {"000", "111"}


def test_pennylane_runs_native_gates_and_refuses_others_typed(session: Session) -> None:
    qml = pytest.importorskip("pennylane")

    def value(engine: str, entangled: bool, shots: int | None) -> float:
        @qml.qnode(qml.device("qfw", wires=2, engine=engine, session=session, seed=1))
        def circuit(angle: float) -> object:
            qml.RX(angle, wires=0)
            if entangled:
                qml.CNOT(wires=[0, 1])
            return qml.expval(qml.Z(0))

        return float((qml.set_shots(circuit, shots) if shots else circuit)(0.3))

    assert abs(value("twin-ion", False, 2000) - np.cos(0.3)) < 0.1
    with pytest.raises(UnsupportedFeature, match=r"gate cx on qubits .* is not native to twin-ion"):
        value("twin-ion", True, 100)
    with pytest.raises(UnsupportedFeature, match="give shots"):
        value("twin-ion", False, None)
