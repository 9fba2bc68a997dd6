"""Wrong use of the primitives: a typed error at once, which says what is wrong and in which PUB."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from qfw.model.device import MAX_SHOTS
from qfw.model.errors import (
    OptionError,
    ParameterError,
    ProgramError,
    UnsupportedFeature,
    UsageError,
)
from qfw.qiskit import Backend, Estimator, EstimatorOptions, Sampler, SamplerOptions

A, B = Parameter("a"), Parameter("b")


@pytest.fixture(scope="module")
def sampler(session):
    return Sampler(Backend(session=session))


@pytest.fixture(scope="module")
def estimator(session):
    return Estimator(Backend(session=session))


def fine() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    return circuit


def turned() -> QuantumCircuit:
    """Two parameters, measured."""
    circuit = QuantumCircuit(2)
    circuit.ry(A, 0)
    circuit.ry(B, 1)
    circuit.measure_all()
    return circuit


def ansatz() -> QuantumCircuit:
    """Two parameters."""
    return turned().remove_final_measurements(inplace=False)


def named(name: str) -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(1, name))
    circuit.measure(0, 0)
    return circuit


def unmeasured() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    return circuit


# Sampler ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pub", "error", "says"),
    [
        (turned(), ParameterError, "2 parameters"),
        ((turned(), None), ParameterError, "a, b"),
        ((turned(), [1.0]), ParameterError, "parameter"),
        ((turned(), [1.0, 2.0, 3.0]), ParameterError, "parameter"),
        ((turned(), np.zeros((4, 3))), ParameterError, "parameter"),
        ((fine(), [1.0]), ParameterError, "parameter"),
        ((turned(), {"a": 1.0}), ParameterError, "2 parameters"),
        ((turned(), {"a": 1.0, "c": 2.0}), ParameterError, "c"),
        ((turned(), {"a": 1.0, "b": [1.0, 2.0]}), ParameterError, "shape"),
        ((turned(), [1j, 0]), ParameterError, "complex"),
        ((turned(), np.array([1j, 0])), ParameterError, "complex"),
        ((turned(), np.array([1 + 0j, 0])), ParameterError, "complex"),
        ((turned(), {"a": 1.0, "b": np.complex128(1j)}), ParameterError, "complex"),
        ((turned(), [1.0, float("nan")]), ParameterError, "'b' of set 0 is nan"),
        ((turned(), [[1.0, 0.0], [float("inf"), 0.0]]), ParameterError, "'a' of set 1 is inf"),
        ((turned(), ["x", "y"]), ParameterError, "parameter"),
        ((turned(), [[1.0], [1.0, 2.0]]), ParameterError, "parameter"),
        ((turned(), A), ParameterError, "parameter"),
        ((fine(), None, 0), OptionError, "1 to"),
        ((fine(), None, -3), OptionError, "1 to"),
        ((fine(), None, 1.5), OptionError, "1.5"),
        ((fine(), None, True), OptionError, "True"),
        ((fine(), None, "many"), OptionError, "many"),
        ((fine(), None, MAX_SHOTS + 1), OptionError, str(MAX_SHOTS)),
        ((fine(), None, 10, 4), UsageError, "4 entries"),
        ((), UsageError, "0 entries"),
        ("circuit", UsageError, "str"),
        (3, UsageError, "int"),
        (None, UsageError, "NoneType"),
        (("circuit", [1.0]), ProgramError, "QuantumCircuit"),
        (unmeasured(), ProgramError, "measures nothing"),
        (named("shape"), ProgramError, "shape"),
        (named("keys"), ProgramError, "keys"),
        (named("self"), ProgramError, "self"),
        (QuantumCircuit(), ProgramError, "no qubits"),
    ],
)
def test_a_wrong_pub(sampler, pub, error, says):
    with pytest.raises(error, match=says) as raised:
        sampler.run([fine(), pub])
    assert "PUB 1 of 2" in str(raised.value)


def test_names_of_registers_that_are_attributes_of_nothing(sampler):
    for name in ("class", "values_", "c0", "meas"):
        assert list(sampler.run([named(name)], shots=3).result(60)[0].data) == [name]


@pytest.mark.parametrize("shots", [0, -1, 1.0, True, "10", MAX_SHOTS + 1, float("nan"), [10]])
def test_wrong_shots(sampler, session, shots):
    with pytest.raises(OptionError, match="shots"):
        sampler.run([fine()], shots=shots)
    with pytest.raises(OptionError, match="shots"):
        Sampler(Backend(session=session), default_shots=shots)
    changed = Sampler(Backend(session=session))
    changed.options.default_shots = shots
    with pytest.raises(OptionError, match="shots"):
        changed.run([fine()])


def test_numpys_integers_are_shots(sampler):
    assert (
        sampler.run([(fine(), None, np.int32(5))], shots=np.int64(4)).result(60)[0].data.meas.num_shots == 5
    )


@pytest.mark.parametrize("pubs", [None, 3, "pubs", {"a": 1}, fine()], ids=repr)
def test_what_is_no_list_of_pubs(sampler, estimator, pubs):
    for primitive in (sampler, estimator):
        with pytest.raises(UsageError, match="list of PUBs"):
            primitive.run(pubs)


def test_a_pub_that_was_not_put_into_a_list(sampler, estimator):
    with pytest.raises(ParameterError, match=r"run\(\[\(circuit, values\)\]\)"):
        sampler.run((turned(), [1.0, 2.0]))
    with pytest.raises(UsageError, match=r"run\(\[\.\.\.\]\)"):
        estimator.run((ansatz(), "ZZ", [1.0, 2.0]))


def test_an_instruction_that_no_device_knows(sampler):
    circuit = fine()
    circuit.add_var("flag", False)
    with pytest.raises(UnsupportedFeature, match="PUB 0 of 1"):
        sampler.run([circuit])


# Estimator ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pub", "error", "says"),
    [
        ((ansatz(), "Z", [1, 2]), ProgramError, "1 qubits, the circuit has 2"),
        ((ansatz(), "ZZZ", [1, 2]), ProgramError, "3 qubits, the circuit has 2"),
        ((ansatz(), SparsePauliOp("Z"), [1, 2]), ProgramError, "the circuit has 2"),
        ((ansatz(), ["ZZ", "Z"], [1, 2]), ProgramError, "number of qubits"),
        ((ansatz(), SparsePauliOp(["ZZ"], [1j]), [1, 2]), ProgramError, "Hermitian"),
        ((ansatz(), {"ZZ": 1 + 1j}, [1, 2]), ProgramError, "Hermitian"),
        ((ansatz(), "AB", [1, 2]), ProgramError, "cannot be read"),
        ((ansatz(), None, [1, 2]), ProgramError, "cannot be read"),
        ((ansatz(), {"ZZ": float("nan")}, [1, 2]), ProgramError, "."),
        ((ansatz(), "ZZ"), ParameterError, "2 parameters"),
        ((ansatz(), "ZZ", [1]), ParameterError, "parameter"),
        ((ansatz(), "ZZ", [1, 2, 3]), ParameterError, "parameter"),
        ((ansatz(), "ZZ", [1j, 2]), ParameterError, "complex"),
        ((ansatz(), "ZZ", [1, float("inf")]), ParameterError, "'b' of set 0 is inf"),
        ((ansatz(), ["ZZ", "XX"], np.zeros((3, 2))), ProgramError, "do not broadcast"),
        ((ansatz(), "ZZ", [1, 2], -0.1), OptionError, "negative"),
        ((ansatz(), "ZZ", [1, 2], float("nan")), OptionError, "finite"),
        ((ansatz(), "ZZ", [1, 2], float("inf")), OptionError, "finite"),
        ((ansatz(), "ZZ", [1, 2], 1e-5), OptionError, "shots"),
        ((ansatz(), "ZZ", [1, 2], 1e-300), OptionError, "shots"),
        ((ansatz(), "ZZ", [1, 2], "fine"), OptionError, "real number"),
        ((ansatz(), "ZZ", [1, 2], True), OptionError, "real number"),
        ((ansatz(), "ZZ", [1, 2], 0.1, 0.2), UsageError, "5 entries"),
        ((ansatz(),), UsageError, "1 entries"),
        (ansatz(), UsageError, "QuantumCircuit"),
        (("circuit", "Z"), ProgramError, "QuantumCircuit"),
        ((turned(), "ZZ", [1, 2]), ProgramError, "remove_final_measurements"),
    ],
)
def test_a_wrong_pub_of_an_estimator(estimator, pub, error, says):
    with pytest.raises(error, match=says) as raised:
        estimator.run([(QuantumCircuit(1), "Z"), pub])
    assert "PUB 1 of 2" in str(raised.value)


@pytest.mark.parametrize("precision", [-1.0, float("nan"), float("inf"), 1e-5, "0.1", True, 1j])
def test_wrong_precision(estimator, session, precision):
    with pytest.raises(OptionError, match="precision"):
        estimator.run([(QuantumCircuit(1), "Z")], precision=precision)
    with pytest.raises(OptionError, match="precision"):
        Estimator(Backend(session=session), default_precision=precision)


# Constructors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("primitive", [Sampler, Estimator])
def test_what_is_no_backend_of_qfw(primitive):
    for other in (AerSimulator(), "qulacs", StatevectorSampler(), 3):
        with pytest.raises(UsageError, match=r"qfw\.qiskit\.Backend"):
            primitive(other)


@pytest.mark.parametrize("primitive", [Sampler, Estimator])
def test_backend_by_each_of_its_names(primitive, session):
    backend = Backend(session=session)
    assert primitive(backend).backend is backend and primitive(mode=backend).backend is backend
    assert (
        primitive(backend=backend).backend is backend and primitive.from_backend(backend).backend is backend
    )
    assert isinstance(primitive().backend, Backend)
    with pytest.raises(UsageError, match="mode"):
        primitive(backend, mode=backend)


@pytest.mark.parametrize("primitive", [Sampler, Estimator])
@pytest.mark.parametrize("seed", [-1, 1.5, "seed", True])
def test_wrong_seeds(primitive, session, seed):
    with pytest.raises(OptionError, match="seed"):
        primitive(Backend(session=session), seed=seed)


def test_options_are_seen_and_may_be_changed(session):
    backend = Backend(session=session)
    sampler, estimator = (
        Sampler(backend, default_shots=5, seed=1),
        Estimator(backend, default_precision=0.5, seed=2),
    )
    assert sampler.options == SamplerOptions(default_shots=5, seed=1)
    assert estimator.options == EstimatorOptions(default_precision=0.5, seed=2)
    assert (sampler.default_shots, sampler.seed) == (5, 1)
    assert (estimator.default_precision, estimator.seed) == (0.5, 2)
    sampler.options.default_shots, estimator.options.default_precision = 6, 0.0
    assert sampler.default_shots == 6 and estimator.default_precision == 0.0
