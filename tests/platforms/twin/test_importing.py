"""Qiskit's backends as models: the same figures in our units; what is missing is said or refused."""

import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CXGate, ECRGate, RZGate, SXGate
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from qfw.formats.qiskit import loads
from qfw.model.errors import CalibrationError
from qfw.model.native import check_native
from qfw.platforms.twin.documents import parse_model, written_model
from qfw.platforms.twin.importing import Defaults, import_backend


def test_a_generic_backend() -> None:
    backend = GenericBackendV2(5, seed=1, coupling_map=[[0, 1], [1, 0], [1, 2], [2, 3], [3, 4]])
    model, _ = import_backend(backend, "five")
    assert model.profile.name == "five" and model.profile.max_qubits == 5
    target = backend.target
    for gate in model.calibration.gates:
        known = target[gate.name][gate.qubits]
        assert gate.error == (known.error or 0.0)
        assert gate.duration_ns == round((known.duration or 0.0) * 1e9)
    for index, qubit in enumerate(model.calibration.qubits):
        assert qubit.t1_us == pytest.approx(target.qubit_properties[index].t1 * 1e6)
        assert qubit.read1_given0 == target["measure"][index,].error
    assert set(model.profile.coupling or ()) == {(0, 1), (1, 0), (1, 2), (2, 3), (3, 4)}
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.measure_all()
    check_native(loads(transpile(circuit, backend, seed_transpiler=1)), model.profile)
    assert parse_model(written_model(model), "again") == model


def small(two: type = CXGate, t2: float = 1e-4, sx: InstructionProperties | None = None) -> Target:
    target = Target("small", 2, qubit_properties=[QubitProperties(1e-4, t2, 5e9)] * 2)
    pulse = sx or InstructionProperties(32e-9, 1e-4)
    target.add_instruction(SXGate(), {(0,): pulse, (1,): pulse})
    target.add_instruction(RZGate(Parameter("a")), {(0,): None, (1,): None})
    target.add_instruction(two(), {(0, 1): InstructionProperties(3e-7, 0.01)})
    read = InstructionProperties(1e-6, 0.02)
    target.add_instruction(Measure(), {(0,): read, (1,): read})
    return target


def test_ecr_is_taken_as_it_is() -> None:
    model, notes = import_backend(small(ECRGate))
    assert model.profile.native_gates == ("ecr", "rz", "sx") and model.profile.coupling == ((0, 1),)
    assert not notes


def test_t2_is_lowered_to_what_is_possible_and_that_is_said() -> None:
    model, notes = import_backend(small(t2=3e-4))
    assert model.calibration.qubits[0].t2_us == pytest.approx(200)
    assert any("lowered" in note for note in notes)


def test_what_is_missing_is_refused_or_said() -> None:
    bare = small(sx=InstructionProperties(None, None))
    with pytest.raises(CalibrationError, match=r"error of sx on \(0,\).*gate_error"):
        import_backend(bare)
    model, notes = import_backend(bare, defaults=Defaults(gate_error=1e-3, gate_ns=40))
    pulses = [gate for gate in model.calibration.gates if gate.name == "sx"]
    assert [(gate.error, gate.duration_ns) for gate in pulses] == [(1e-3, 40)] * 2
    assert any("gate_error 0.001" in note for note in notes)
    with pytest.raises(CalibrationError, match="T1 of qubit 0"):
        target = Target("bare", 1)
        target.add_instruction(Measure(), {(0,): None})
        import_backend(target)


def test_what_is_no_backend_is_refused() -> None:
    with pytest.raises(CalibrationError, match="no BackendV2"):
        import_backend("aer")


def test_what_is_no_gate_is_left_out_and_said() -> None:
    target = small()
    second = Measure().to_mutable()
    second.name = "measure_2"
    target.add_instruction(second, {(0,): InstructionProperties(2e-6, 0.01)}, name="measure_2")
    model, notes = import_backend(target)
    assert model == import_backend(small()).model
    assert notes == ("measure_2 is no gate and left out",)
