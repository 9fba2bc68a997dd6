"""A twin through Qiskit: a circuit as wide as the device, under the calibration that it was lowered for only."""

import pytest
from qiskit import QuantumCircuit, transpile

from qfw.adapters.qiskit.backend import Backend
from qfw.model.errors import StaleCalibration
from qfw.qpi.session import Session
from tests.stack import runtime_folder


def test_a_lowered_circuit_runs_under_its_calibration_only() -> None:
    circuit = QuantumCircuit(5)
    circuit.h(0)
    for qubit in range(1, 5):
        circuit.cx(0, qubit)
    circuit.measure_all()
    with runtime_folder() as folder, Session(runtime_folder=folder) as session:
        backend = Backend("twin-127", session=session, seed=1)
        lowered = transpile(circuit, backend, seed_transpiler=1)
        assert lowered.num_qubits == 127 and backend.qfw_calibration
        counts = backend.run(lowered, shots=1000).result().get_counts()
        assert counts["00000"] + counts["11111"] > 700
        backend._calibration = "of another day"
        with pytest.raises(StaleCalibration):
            backend.run(lowered, shots=10).result()
        backend.refresh()
        assert backend.run(lowered, shots=10).result().success
