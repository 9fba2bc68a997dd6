"""The target of a calibrated device: what the calibration says, and circuits lowered for it are native."""

import msgspec
import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import Statevector, state_fidelity

from qfw.adapters.qiskit.tasks import Task
from qfw.formats.qiskit import loads
from qfw.formats.qiskit_target import calibrated_target, ideal_target
from qfw.model.native import check_native
from qfw.model.outputs import Counts
from qfw.model.timing import circuit_ns
from qfw.platforms.twin.models import MODELS, model

NAMES = list(MODELS.values())


def ghz(num_qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits, num_qubits)
    circuit.h(0)
    for qubit in range(1, num_qubits):
        circuit.cx(0, qubit)
    circuit.measure(range(num_qubits), range(num_qubits))
    return circuit


@pytest.mark.parametrize("name", NAMES)
def test_errors_and_durations_are_the_calibrations(name: str) -> None:
    profile, calibration = model(name)
    target = calibrated_target(profile, calibration)
    assert target.num_qubits == profile.max_qubits
    for gate in calibration.gates:
        found = target[gate.name][gate.qubits]
        assert found.error == gate.error
        assert found.duration == pytest.approx(gate.duration_ns * 1e-9)
    for index, qubit in enumerate(calibration.qubits):
        read = target["measure"][index,]
        assert read.error == pytest.approx((qubit.read1_given0 + qubit.read0_given1) / 2)
        assert read.duration == pytest.approx(qubit.readout_ns * 1e-9)
        assert target.qubit_properties[index].t1 == pytest.approx(qubit.t1_us * 1e-6)
        assert target.qubit_properties[index].t2 == pytest.approx(qubit.t2_us * 1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [1, 3])
def test_circuits_lowered_for_it_are_native_and_keep_the_devices_qubits(name: str, level: int) -> None:
    profile, calibration = model(name)
    target = calibrated_target(profile, calibration)
    lowered = transpile(ghz(5), target=target, optimization_level=level, seed_transpiler=1)
    assert lowered.num_qubits == profile.max_qubits
    program = loads(lowered)
    check_native(program, profile)
    assert circuit_ns(program, calibration, profile.timing) > 0


def test_lowering_changes_nothing_but_the_gates() -> None:
    target = calibrated_target(*model("trapped-ion"))
    circuit = ghz(4)
    circuit.remove_final_measurements()
    lowered = transpile(circuit, target=target, initial_layout=range(4), optimization_level=1)
    kept = QuantumCircuit(4)
    for instruction in lowered.data:
        kept.append(instruction.operation, [lowered.find_bit(qubit).index for qubit in instruction.qubits])
    order = lowered.layout.final_index_layout() if lowered.layout else range(4)
    assert list(order) == [0, 1, 2, 3]
    assert state_fidelity(Statevector(circuit), Statevector(kept)) == pytest.approx(1)


def test_what_is_out_of_order_is_left_out() -> None:
    profile, calibration = model("heavy-hex-20")
    qubits = list(calibration.qubits)
    qubits[3] = msgspec.structs.replace(qubits[3], operational=False)
    gates = [msgspec.structs.replace(gate, operational=gate.qubits != (4, 5)) for gate in calibration.gates]
    broken = msgspec.structs.replace(calibration, qubits=tuple(qubits), gates=tuple(gates))
    target = calibrated_target(profile, broken)
    assert (3,) not in target["measure"] and (3,) not in target["sx"]
    assert not target.instruction_supported("cz", (2, 3))
    assert not target.instruction_supported("cz", (5, 4))
    assert target.instruction_supported("cz", (5, 6)) and target.instruction_supported("cz", (6, 5))
    assert (3, 4) not in target.build_coupling_map().get_edges()


def test_a_call_carries_the_version_that_was_lowered_for() -> None:
    program = loads(ghz(2))
    task = Task(program, 10, (Counts(),))
    task.add(np.zeros((1, 0)))
    assert task.request(1, 0, "v7").calibration == "v7"
    assert task.request(1, 0).calibration == ""


def test_without_a_calibration_the_coupling_is_there() -> None:
    target = ideal_target(model("heavy-hex-20").profile)
    assert target.instruction_supported("cz", (1, 0)) is False
    assert target.instruction_supported("cz", (4, 0))
    assert target["cz"][0, 4] is None
