"""Estimator against Qiskit's own: values to 1e-10, shapes, standard errors, and the work that is asked for."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import efficient_su2
from qiskit.circuit.random import random_circuit
from qiskit.primitives import StatevectorEstimator
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import Pauli, PauliList, SparsePauliOp, Statevector, random_pauli_list
from scipy.optimize import minimize

from qfw.adapters.qiskit.pubs import shots_for
from qfw.model.errors import UnsupportedFeature
from qfw.model.timeline import Timeline
from qfw.qiskit import Backend, Estimator

from .circuits import STRAIGHT
from .recorded import RecordedBackend

LIMIT_S = 60


@pytest.fixture(scope="module")
def backend(session):
    return Backend(session=session)


@pytest.fixture
def estimator(backend):
    return Estimator(backend, seed=7)


def ansatz(num_qubits: int = 2) -> QuantumCircuit:
    """Two parameters for each qubit; entangled."""
    angles = ParameterVector("a", 2 * num_qubits)
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.ry(angles[2 * qubit], qubit)
    for qubit in range(num_qubits - 1):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(num_qubits):
        circuit.rx(0.5 * angles[2 * qubit + 1] + 0.1, qubit)
    return circuit


def values(*shape: int, num_qubits: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-3, 3, size=(*shape, 2 * num_qubits))


def check(estimator: Estimator, pubs: list) -> None:
    """Values, errors and shapes as Qiskit's estimator has them."""
    ours = estimator.run(pubs).result(LIMIT_S)
    reference = StatevectorEstimator().run(pubs).result()
    assert len(ours) == len(reference) and ours.metadata == reference.metadata
    for mine, theirs in zip(ours, reference, strict=True):
        assert isinstance(mine.data.evs, np.ndarray)
        assert mine.data.shape == theirs.data.shape
        assert mine.data.evs.shape == theirs.data.evs.shape and mine.data.evs.dtype == theirs.data.evs.dtype
        assert np.allclose(mine.data.evs, theirs.data.evs, rtol=0, atol=1e-10)
        assert np.array_equal(mine.data.stds, np.zeros(mine.data.shape))


# Forms of a PUB and of observables ----------------------------------------------------------------


@pytest.mark.parametrize(
    "observable",
    [
        "ZZ",
        "XI",
        "II",
        Pauli("YY"),
        Pauli("-XY"),
        SparsePauliOp("ZX"),
        SparsePauliOp(["ZZ", "XI", "II", "YX"], [0.5, -1.5, 2.0, 0.25]),
        {"ZZ": 0.5, "IX": -1},
        {Pauli("XX"): 2.0},
        ["ZZ", "XX"],
        [["ZZ"], ["XX"], ["IY"]],
        PauliList(["ZI", "IZ", "XX"]),
        [SparsePauliOp("ZX"), Pauli("ZZ"), "XY"],
    ],
    ids=str,
)
def test_observables_in_every_form(estimator, observable):
    circuit = ansatz().assign_parameters(values())
    check(estimator, [(circuit, observable)])


@pytest.mark.parametrize("word", ["00", "1I", "+-", "rl", "0X", "Z1", "lY", "-I"])
def test_projectors(estimator, word):
    circuit = ansatz().assign_parameters(values())
    states = {"0": [1, 0], "1": [0, 1], "+": [1, 1], "-": [1, -1], "r": [1, 1j], "l": [1, -1j]}
    wanted = np.eye(1)
    for letter in word:
        if letter in states:
            vector = np.array(states[letter], dtype=complex)
            factor = np.outer(vector, vector.conj()) / (vector.conj() @ vector)
        else:
            factor = Pauli(letter).to_matrix()
        wanted = np.kron(wanted, factor)
    state = Statevector(circuit).data
    evs = estimator.run([(circuit, word)]).result(LIMIT_S)[0].data.evs
    assert evs == pytest.approx((state.conj() @ wanted @ state).real, abs=1e-10)


@pytest.mark.parametrize(
    "pub",
    [
        lambda c, v: (c, "ZZ", v),
        lambda c, v: (c, "ZZ", v, None),
        lambda c, v: [c, "ZZ", v, 0.0],
        lambda c, v: (c, "ZZ", {tuple(c.parameters): v}),
        lambda c, v: (c, "ZZ", {f"a[{k}]": v[k] for k in (2, 0, 1, 3)}),
        lambda c, v: (c, "ZZ", dict(zip(c.parameters, v, strict=True))),
        lambda c, v: EstimatorPub.coerce((c, "ZZ", v)),
        lambda c, v: EstimatorPub.coerce((c, "ZZ", v, 0.0)),
        lambda c, v: (c.assign_parameters(v), "ZZ"),
        lambda c, v: (c.assign_parameters(v), "ZZ", []),
        lambda c, v: (c, ["ZZ", "XX"], v.tolist()),
    ],
)
def test_every_form_of_a_pub(estimator, pub):
    check(estimator, [pub(ansatz(), values())])


@pytest.mark.parametrize("seed", range(8))
def test_random_circuits_and_observables(estimator, seed):
    circuit = random_circuit(4, 6, max_operands=3, seed=seed)
    words = random_pauli_list(4, 10, seed=seed, phase=False)
    coefficients = np.random.default_rng(seed).normal(size=10)
    check(estimator, [(circuit, [SparsePauliOp(words, coefficients), words[0], words[1]])])


@pytest.mark.parametrize("name", STRAIGHT)
def test_circuits_of_qiskits_documentation(estimator, name):
    circuit = STRAIGHT[name]().remove_final_measurements(inplace=False)
    words = random_pauli_list(circuit.num_qubits, 6, seed=len(name), phase=False)
    check(estimator, [(circuit, [SparsePauliOp(words, [1, -0.5, 2, 0.25, 3, -1]), *words])])


def test_parameters_in_expressions(estimator):
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2, global_phase=a)
    circuit.ry(2 * a + b, 0)
    circuit.crx(a * b, 0, 1)
    circuit.rz(b.sin(), 1)
    circuit.rx(0.3, 1)
    check(estimator, [(circuit, ["ZZ", "XI", "YX"], values(5, 1)[..., :2])])


def test_a_library_ansatz(estimator):
    circuit = efficient_su2(3, reps=1)
    given = np.random.default_rng(2).uniform(-3, 3, size=(6, circuit.num_parameters))
    check(estimator, [(circuit, [[SparsePauliOp(["ZZI", "IXX"], [1, 0.5])], ["YIY"]], given)])


def test_many_pubs_are_in_order(estimator):
    bound = [ansatz().assign_parameters(values(seed=seed)) for seed in range(20)]
    check(estimator, [(circuit, ("ZZ", "XX", "IY")[n % 3]) for n, circuit in enumerate(bound)])


def test_one_term_that_is_a_number(estimator):
    assert estimator.run([(QuantumCircuit(2), {"II": 3.5})]).result(LIMIT_S)[0].data.evs == 3.5


# Shapes -------------------------------------------------------------------------------------------

SHAPES = [(), (1,), (3,), (2, 3), (4, 1), (2, 1, 3), (1, 1, 1), (0,)]
WORDS = ["".join(letters) for letters in itertools.product("IXYZ", repeat=2) if letters != ("I", "I")]


def observables_of(shape: tuple[int, ...]):
    """Different words, as nested lists."""
    size = math.prod(shape)
    if not shape:
        return WORDS[0]
    found = np.empty(size, dtype=object)
    found[:] = [{WORDS[k % 15]: 1.0 + k} for k in range(size)]
    return found.reshape(shape).tolist()


@pytest.mark.parametrize("of_values", SHAPES, ids=str)
@pytest.mark.parametrize("of_observables", SHAPES, ids=str)
def test_shapes_broadcast_as_in_qiskit(estimator, of_values, of_observables):
    pub = (ansatz(), observables_of(of_observables), values(*of_values))
    try:
        EstimatorPub.coerce(pub)
    except ValueError:
        with pytest.raises(ValueError, match="broadcast"):
            estimator.run([pub])
        return
    check(estimator, [pub])


def test_one_circuit_without_parameters_in_an_array(estimator):
    check(estimator, [(QuantumCircuit(2), ["ZZ", "XX", "IZ"], np.empty((3, 0)))])


# Precision ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "shots"),
    [(0.0, 0), (0.1, 100), (0.01, 10_000), (1 / 3, 9), (0.3, 12), (1.0, 2), (50.0, 2), (1e-4, 10**8)],
)
def test_shots_of_a_precision(precision, shots):
    assert shots_for(precision) == shots


@pytest.mark.parametrize("shots", [2, 3, 7, 1000, 1024, 12_345, 99_999_999])
def test_shots_come_back_from_their_precision(shots):
    assert shots_for(1 / math.sqrt(shots)) == shots_for(shots**-0.5) == shots


def test_errors_are_as_large_as_said(estimator):
    circuit, given = ansatz(3), values(300, num_qubits=3)
    observable = SparsePauliOp(["ZZI", "XIX", "IYY"], [1.0, 0.5, -0.25])
    exact = estimator.run([(circuit, observable, given)]).result(LIMIT_S)[0].data.evs
    data = estimator.run([(circuit, observable, given)], precision=0.05).result(LIMIT_S)[0].data
    deviations = (data.evs - exact) / data.stds
    assert (data.stds > 0).all() and (data.stds <= 0.05 * 1.75 * 1.01).all()
    # 300 standard normal deviates: the mean within 6 of its deviations, the spread within 25 %.
    assert abs(deviations.mean()) < 6 / math.sqrt(300) and 0.75 < deviations.std() < 1.25


def test_one_word_is_within_its_precision(estimator):
    data = estimator.run([(ansatz(), WORDS, values())], precision=0.02).result(LIMIT_S)[0].data
    exact = estimator.run([(ansatz(), WORDS, values())]).result(LIMIT_S)[0].data
    assert (data.stds <= 0.02 * 1.001).all()
    assert np.allclose(data.evs, exact.evs, atol=6 * 0.02)


def test_precision_of_a_pub_goes_before_that_of_the_call_and_of_the_estimator(backend):
    estimator = Estimator(backend, default_precision=0.5)
    pubs = [
        (QuantumCircuit(1), "Z"),
        (QuantumCircuit(1), "Z", None, 0.25),
        (QuantumCircuit(1), "Z", None, 0.0),
    ]
    found = [p.metadata["target_precision"] for p in estimator.run(pubs, precision=0.1).result(LIMIT_S)]
    assert found == [0.1, 0.25, 0.0]
    metadata = estimator.run(pubs[:1]).result(LIMIT_S)[0].metadata
    assert metadata["target_precision"] == 0.5 and metadata["shots"] == 4
    estimator.options.default_precision = 0.0
    assert estimator.run(pubs[:1]).result(LIMIT_S)[0].metadata["shots"] == 0


def test_projectors_with_shots(estimator):
    circuit = QuantumCircuit(2)
    circuit.ry(1.0, 0)
    circuit.cx(0, 1)
    data = estimator.run([(circuit, "11")], precision=0.01).result(LIMIT_S)[0].data
    wanted = math.sin(0.5) ** 2
    assert data.evs == pytest.approx(wanted, abs=0.05)
    # All of its words are read from the same shots: the error is that of a yes or no.
    assert data.stds == pytest.approx(math.sqrt(wanted * (1 - wanted) / 10_000), rel=0.1)


# Seeds ----------------------------------------------------------------------------------------------


def test_an_integer_repeats_every_call(backend):
    pub = (ansatz(), ["ZZ", "XX"], values(4, 1))
    first, again = Estimator(backend, seed=3), Estimator(backend, seed=3)
    one, two, three = (e.run([pub], precision=0.1).result(LIMIT_S)[0].data.evs for e in (first, first, again))
    other = Estimator(backend, seed=4).run([pub], precision=0.1).result(LIMIT_S)[0].data.evs
    assert np.array_equal(one, two) and np.array_equal(one, three) and not np.array_equal(one, other)


def test_equal_sets_and_pubs_are_drawn_apart(estimator):
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)
    pub = (circuit, "Z", np.full(50, math.pi / 2))
    one, other = (p.data.evs for p in estimator.run([pub, pub], precision=0.02).result(LIMIT_S))
    assert len(set(one.tolist())) > 10 and not np.array_equal(one, other)


# The work that is asked for -------------------------------------------------------------------------


@pytest.fixture
def recorded(session):
    return RecordedBackend(session=session)


def sent(backend: RecordedBackend, pub, **options) -> list[tuple[int, int]]:
    """For each task of a PUB: its parameter sets and its observables."""
    backend.messages.clear()
    Estimator(backend).run([pub], **options).result(LIMIT_S)
    (message,) = backend.messages
    return [(len(request.parameters), len(request.outputs[0].observables)) for request in message]


def test_a_table_is_one_task(recorded):
    assert sent(recorded, (ansatz(), [[w] for w in WORDS], values(20))) == [(20, 15)]


def test_zipped_arrays_are_no_table(recorded):
    tasks = sent(recorded, (ansatz(), WORDS, values(15)))
    assert tasks == [(1, 1)] * 15


def test_equal_observables_are_asked_once(recorded):
    assert sent(recorded, (ansatz(), ["ZZ", "XX", "ZZ", SparsePauliOp("ZZ")], values())) == [(1, 2)]
    assert sent(recorded, (ansatz(), ["ZZ"] * 10, values(10))) == [(10, 1)]


def test_equal_sets_are_run_once_where_exact(recorded):
    given = np.repeat(values(3), 4, axis=0)
    assert sent(recorded, (ansatz(), "ZZ", given)) == [(3, 1)]
    assert sent(recorded, (ansatz(), "ZZ", given), precision=0.1) == [(12, 1)]


def test_sets_go_in_the_order_in_which_they_are_given(recorded):
    point = np.array([2.0, -1.0, 0.5, 3.0])[: ansatz().num_parameters]
    shifts = np.pi / 2 * np.eye(point.size)
    given = np.concatenate([[point], point + shifts, [point], point - shifts])
    sent(recorded, (ansatz(), "ZZ", given))
    ((request,),) = recorded.messages
    # The profile takes a set for a gradient's by the point before it.
    assert np.array_equal(request.parameters, np.delete(given, 1 + point.size, axis=0))


def test_circuits_that_differ_in_numbers_are_one_task(recorded):
    estimator = Estimator(recorded)
    bound = [ansatz().assign_parameters(values(seed=seed)) for seed in range(12)]
    operator = SparsePauliOp(["ZZ", "XX"], [1, 2])
    result = estimator.run([(circuit, operator) for circuit in bound]).result(LIMIT_S)
    (message,) = recorded.messages
    assert [len(request.parameters) for request in message] == [12]
    wanted = [Statevector(circuit).expectation_value(operator).real for circuit in bound]
    assert np.allclose([pub.data.evs for pub in result], wanted, atol=1e-10)


def test_hundreds_of_sets(estimator):
    check(estimator, [(ansatz(), [["ZZ"], ["XI"]], values(600))])


# Else -------------------------------------------------------------------------------------------------


def test_metadata(estimator, session):
    circuit = QuantumCircuit(1, metadata={"name": "nothing"})
    metadata = estimator.run([(circuit, "Z")], precision=0.1).result(LIMIT_S)[0].metadata
    assert metadata["target_precision"] == 0.1 and metadata["shots"] == 100
    assert metadata["circuit_metadata"] == {"name": "nothing"}
    assert metadata["device"] in [device.name for device in session.devices]
    assert isinstance(metadata["timeline"], Timeline) and len(metadata["tasks"]) == 1


@pytest.mark.parametrize("precision", [0.0, 0.02])
def test_what_ends_in_different_states_is_refused(estimator, precision):
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.reset(0)
    job = estimator.run([(circuit, ["Z", "X"]), (QuantumCircuit(1), "Z")], precision=precision)
    with pytest.raises(UnsupportedFeature, match="PUB 0 of 2"):
        job.result(LIMIT_S)
    assert job.pub_result(1, LIMIT_S).data.evs == 1.0


def test_a_variational_loop_as_in_qiskits_tutorials(estimator):
    hamiltonian = SparsePauliOp(["II", "IZ", "ZI", "ZZ", "XX"], [-1.0524, 0.3979, -0.3979, -0.0113, 0.1809])
    circuit = efficient_su2(2, reps=1)

    def energy(angles):
        return float(estimator.run([(circuit, [hamiltonian], [angles])]).result(LIMIT_S)[0].data.evs[0])

    start = np.random.default_rng(1).uniform(-1, 1, circuit.num_parameters)
    found = minimize(energy, start, method="COBYLA", options={"maxiter": 400}, tol=1e-6)
    assert found.fun == pytest.approx(np.linalg.eigvalsh(hamiltonian.to_matrix())[0], abs=1e-3)


def test_gradients_by_parameter_shift_as_algorithms_ask_for_them(estimator):
    circuit = ansatz(3)
    operator = SparsePauliOp(["ZZI", "IXX"], [1.0, 0.5])
    at = values(num_qubits=3)
    pubs = []
    for k in range(0, at.size, 2):
        for sign in (1, -1):
            shifted = at.copy()
            shifted[k] += sign * math.pi / 2
            pubs.append((circuit, operator, shifted))
    results = estimator.run(pubs).result(LIMIT_S)
    slopes = [(results[n].data.evs - results[n + 1].data.evs) / 2 for n in range(0, len(pubs), 2)]
    for number, k in enumerate(range(0, at.size, 2)):
        near = []
        for step in (1e-5, -1e-5):
            moved = at.copy()
            moved[k] += step
            near.append(Statevector(circuit.assign_parameters(moved)).expectation_value(operator).real)
        assert slopes[number] == pytest.approx((near[0] - near[1]) / 2e-5, abs=1e-6)
