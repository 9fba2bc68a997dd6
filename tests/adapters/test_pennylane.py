"""The PennyLane device gives what PennyLane's own simulator gives."""

from __future__ import annotations

import numpy as np
import pennylane as qml
import pytest
from packaging.version import Version
from pennylane import numpy as pnp
from scipy.sparse import csr_matrix

from qfw.adapters.pennylane import QFwDevice
from qfw.formats.pennylane_gates import RULES
from qfw.model.errors import OptionError, ParameterError, UnknownDevice

HERMITIAN = np.array([[1, 2j], [-2j, 3]])


@pytest.fixture
def qfw(session):
    def device(wires=None, **options):
        return QFwDevice(wires, engine="reference", session=session, **options)

    return device


def layers(w, v):
    """Native operations and some that PennyLane decomposes."""
    qml.Hadamard(0)
    qml.RX(w, 0)
    qml.Rot(v, w, 0.3, wires=1)
    qml.CNOT([0, 2])
    qml.CRX(w, [0, 1])
    qml.MultiRZ(w, [0, 1, 2])
    qml.PauliRot(v, "XY", [0, 2])
    qml.adjoint(qml.S)(1)
    qml.U2(w, v, 2)
    qml.CRot(w, v, 0.3, wires=[1, 2])
    qml.Barrier([0, 1])
    qml.GlobalPhase(0.4)


def native_layers(w, v):
    qml.Hadamard(0)
    qml.RY(w, 1)
    qml.CNOT([0, 2])
    qml.CRot(v, w, 0.3, wires=[1, 2])
    qml.ISWAP([0, 1])
    qml.ECR([1, 0])


MEASUREMENTS = {
    "words": lambda: [qml.expval(qml.Z(0) @ qml.X(1)), qml.expval(qml.Y(2)), qml.expval(qml.X(0))],
    "sum": lambda: [qml.expval(qml.Z(0) @ qml.X(1) + 2 * qml.Y(2) - 0.5 * qml.I(0))],
    "probabilities": lambda: [qml.probs([2, 0]), qml.probs([1])],
    "all probabilities": lambda: [qml.probs()],
    "mixed": lambda: [qml.var(3 * qml.X(0)), qml.probs([1, 0]), qml.expval(qml.Hadamard(1))],
    "variance of a sum": lambda: [qml.var(qml.X(0) + qml.Z(1))],
    "Hermitian": lambda: [qml.expval(qml.Hermitian(HERMITIAN, 2)), qml.var(qml.Projector([1, 0], [0, 1]))],
    "product with a Hermitian": lambda: [qml.expval(qml.Hermitian(HERMITIAN, 2) @ qml.X(0))],
}
EXACT = {
    "state": lambda: [qml.state()],
    "density matrix": lambda: [qml.density_matrix([2, 0])],
    "entropies": lambda: [qml.vn_entropy([1]), qml.purity([0, 1]), qml.mutual_info([0], [1])],
    "sparse": lambda: [qml.expval(qml.SparseHamiltonian(csr_matrix(np.diag([1.0, 2, 3, 4])), [2, 1]))],
}


def both(qfw, measurements, circuit=layers, wires=3, shots=None, arguments=(0.3, 0.4)):
    def function(w, v):
        circuit(w, v)
        return measurements()

    devices = qfw(wires, seed=7), qml.device("default.qubit", wires=wires, seed=7)
    return tuple(qml.QNode(function, device, shots=shots)(*arguments) for device in devices)


def assert_close(ours, theirs, atol):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, atol=atol)


@pytest.mark.parametrize("circuit", [layers, native_layers])
@pytest.mark.parametrize("wires", [None, 3, 5], ids=lambda wires: f"{wires} wires")
@pytest.mark.parametrize("name", MEASUREMENTS | EXACT)
def test_exact_measurements(qfw, name, wires, circuit):
    assert_close(*both(qfw, (MEASUREMENTS | EXACT)[name], circuit, wires), atol=1e-9)


@pytest.mark.parametrize("circuit", [layers, native_layers])
@pytest.mark.parametrize("name", MEASUREMENTS)
def test_sampled_measurements_estimate_the_exact_ones(qfw, name, circuit):
    sampled, _ = both(qfw, MEASUREMENTS[name], circuit, shots=40_000)
    _, exact = both(qfw, MEASUREMENTS[name], circuit)
    assert_close(sampled, exact, atol=0.09)


@pytest.mark.parametrize("circuit", [layers, native_layers])
@pytest.mark.parametrize("name", ["words", "probabilities", "mixed", "state"])
def test_broadcast_parameters(qfw, name, circuit):
    values = (np.array([0.3, 0.5, -1.2]), 0.4)
    assert_close(*both(qfw, (MEASUREMENTS | EXACT)[name], circuit, arguments=values), atol=1e-9)


def test_readouts(qfw):
    def measured():
        return [qml.counts(wires=[2, 0], all_outcomes=True), qml.sample(qml.Z(1)), qml.sample(wires=[0, 1])]

    (counts, eigenvalues, samples), _ = both(qfw, measured, shots=50)
    assert set(counts) == {"00", "01", "10", "11"}
    assert sum(counts.values()) == 50
    assert set(eigenvalues) <= {-1, 1}
    assert samples.shape == (50, 2)
    np.testing.assert_array_equal(1 - 2 * samples[:, 1], eigenvalues)


def test_bit_order_is_pennylanes(qfw):
    def flip(*_):
        qml.X(0)

    (counts,), _ = both(qfw, lambda: [qml.counts()], flip, shots=3)
    assert dict(counts) == {"100": 3}
    (samples,), _ = both(qfw, lambda: [qml.sample()], flip, shots=2)
    np.testing.assert_array_equal(samples, [[1, 0, 0]] * 2)
    (state,), theirs = both(qfw, lambda: [qml.state()], flip)
    np.testing.assert_allclose(state, theirs[0], atol=1e-12)


def test_shot_vector(qfw):
    ours, theirs = both(qfw, MEASUREMENTS["mixed"], shots=(20_000, (30_000, 2)))
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, atol=0.1)


def test_classical_shadows_beside_other_measurements(qfw):
    (estimate, mean), _ = both(
        qfw, lambda: [qml.shadow_expval(qml.Z(0) @ qml.Z(1)), qml.expval(qml.Z(0))], shots=20_000
    )
    _, exact = both(qfw, lambda: [qml.expval(qml.Z(0) @ qml.Z(1)), qml.expval(qml.Z(0))])
    np.testing.assert_allclose([estimate, mean], exact, atol=0.1)


def test_mid_circuit_measurements_are_deferred(qfw):
    def measured(x):
        qml.RX(x, 0)
        outcome = qml.measure(0)
        qml.cond(outcome, qml.X)(1)
        return qml.expval(qml.Z(1)), qml.probs(op=outcome)

    for ours, theirs in zip(
        qml.QNode(measured, qfw())(0.7), qml.QNode(measured, qml.device("default.qubit"))(0.7), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def operation_of(kind, angles):
    if isinstance(kind, tuple):
        return qml.adjoint(kind[1](0))
    if kind is qml.GlobalPhase:
        return qml.GlobalPhase(angles[0])
    wires = [0, 1, 2] if kind.num_wires is None else [2, 0, 1][: kind.num_wires]
    return kind(*angles[: kind.num_params], wires=wires)


@pytest.mark.parametrize("kind", RULES, ids=str)
def test_every_rule_is_the_operations_matrix(qfw, kind):
    """Global phase included, from a state that has every amplitude, reversed wires."""

    def circuit():
        for wire in range(3):
            qml.U3(0.3 + wire, 0.5, 0.7 - wire, wires=wire)
        operation_of(kind, [0.37, -1.1, 2.3])
        return qml.state()

    ours = qml.QNode(circuit, qfw(3))()
    np.testing.assert_allclose(ours, qml.QNode(circuit, qml.device("default.qubit", wires=3))(), atol=1e-9)


@pytest.mark.parametrize("method", ["parameter-shift", "best", "finite-diff"])
def test_gradients(qfw, method):
    def function(x):
        qml.RX(x[0], "a")
        qml.Rot(x[1], x[0] ** 2, 0.2, wires="b")
        qml.CRY(x[1], ["b", "a"])
        return qml.expval(qml.Z("a") @ qml.X("b"))

    x = pnp.array([0.3, 0.8], requires_grad=True)
    ours = qml.grad(qml.QNode(function, qfw(["a", "b"]), diff_method=method))(x)
    theirs = qml.grad(qml.QNode(function, qml.device("default.qubit")))(x)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_second_derivative(qfw):
    @qml.qnode(qfw(1), diff_method="parameter-shift", max_diff=2)
    def function(x):
        qml.RX(x, 0)
        return qml.expval(qml.Z(0))

    x = pnp.array(0.3, requires_grad=True)
    assert np.isclose(qml.grad(qml.grad(function))(x), -np.cos(0.3))


def test_trainable_observable(qfw):
    @qml.qnode(qfw())
    def function(coefficients, x):
        qml.RX(x, 0)
        return qml.expval(qml.dot(coefficients, [qml.Z(0), qml.Y(0)]))

    gradient, _ = qml.grad(function)(pnp.array([0.3, 0.4]), pnp.array(0.2))
    np.testing.assert_allclose(gradient, [np.cos(0.2), -np.sin(0.2)], atol=1e-9)


def test_a_structure_is_lowered_once_and_only_its_parameters_change(recording):
    @qml.qnode(QFwDevice(3, engine="reference", session=recording))
    def function(w):
        native_layers(w, 2 * w)
        return qml.expval(qml.Z(0))

    for w in (0.1, 0.2, 0.3):
        function(w)
    requests = [request for message in recording.messages for request in message]
    assert len(requests) == 3
    assert len({id(request.program) for request in requests}) == 1
    assert [float(request.parameters[0, 0]) for request in requests] == [0.1, 0.2, 0.3]
    assert requests[0].program.num_slots == 4


def tape_of(w, observable, shots=None):
    return qml.tape.QuantumScript([qml.RX(w, 0), qml.RY(0.5, 1)], [qml.expval(observable)], shots=shots)


def test_a_batch_is_one_message_and_equal_structures_in_a_row_one_task(recording):
    device = QFwDevice(2, engine="reference", session=recording)
    tapes = [tape_of(w, qml.Z(0)) for w in (0.1, 0.2, 0.3)] + [tape_of(0.4, qml.Z(1)), tape_of(0.5, qml.Z(0))]
    results = device.execute(tapes)
    ((first, second, third),) = recording.messages
    assert [len(request.parameters) for request in (first, second, third)] == [3, 1, 1]
    np.testing.assert_allclose(results, [*np.cos([0.1, 0.2, 0.3]), np.cos(0.5), np.cos(0.5)], atol=1e-9)


def test_a_broadcast_sweep_is_one_task(recording):
    @qml.qnode(QFwDevice(1, engine="reference", session=recording))
    def function(w):
        qml.RX(w, 0)
        return qml.expval(qml.Z(0))

    values = np.linspace(0, 3, 480)
    np.testing.assert_allclose(function(values), np.cos(values), atol=1e-9)
    ((request,),) = recording.messages
    assert request.parameters.shape == (480, 1)


def test_seeds_repeat_and_move_on(qfw):
    def run(device):
        return [int(device.execute(tape_of(1.0, qml.Z(0), shots=10_000)) * 5_000) for _ in range(3)]

    first = run(qfw(2, seed=3))
    assert first == run(qfw(2, seed=3))
    assert first != run(qfw(2, seed=4))
    assert len(set(first)) > 1


def test_what_pennylane_cannot_decompose_is_a_device_error(qfw):
    def displaced():
        qml.Displacement(0.1, 0.2, 0)
        return qml.expval(qml.Z(0))

    with pytest.raises(qml.exceptions.DeviceError, match="Displacement"):
        qml.QNode(displaced, qfw())()


@pytest.mark.parametrize(
    ("measurement", "shots"), [(qml.state, 5), (qml.sample, None), (qml.classical_shadow, None)]
)
def test_measurements_without_meaning_are_device_errors(qfw, measurement, shots):
    def function():
        qml.RX(0.1, 0)
        return measurement(wires=[0]) if measurement is qml.classical_shadow else measurement()

    with pytest.raises(qml.exceptions.DeviceError, match="not accepted"):
        qml.QNode(function, qfw(1), shots=shots)()


def test_foreign_wires_options_and_methods(qfw):
    def function():
        qml.RX(0.1, 7)
        return qml.expval(qml.Z(7))

    with pytest.raises(qml.exceptions.WireError, match="7"):
        qml.QNode(function, qfw(2))()
    with pytest.raises(qml.exceptions.DeviceError, match="one-shot"):
        qml.QNode(function, qfw(), mcm_method="one-shot", shots=5)()


def test_the_stacks_errors_arrive_as_they_are(qfw, session):
    with pytest.raises(UnknownDevice, match="reference"):
        QFwDevice(2, engine="refrence", session=session).execute(tape_of(0.1, qml.Z(0)))
    with pytest.raises(ParameterError, match="finite"):
        qfw(2).execute(tape_of(float("nan"), qml.Z(0)))


def test_close_and_use_again(qfw):
    device = qfw(2)
    before = device.execute(tape_of(0.1, qml.Z(0)))
    device.close()
    device.close()
    assert device.execute(tape_of(0.1, qml.Z(0))) == before


SHIFTED = {
    "native": lambda x: (qml.Rot(x[0], x[1], 0.3, wires=0), qml.CRot(x[1], x[0], 0.2, wires=[0, 1])),
    "ladder": lambda x: (qml.RX(x[0], 0), qml.MultiRZ(x[1], [0, 1, 2]), qml.RX(0.3, 1), qml.U2(0.3, x[0], 0)),
    "global phase": lambda x: (qml.RX(x[0], 0), qml.GlobalPhase(x[1]), qml.IsingXX(x[1], [0, 1])),
    "controlled": lambda x: (qml.Hadamard(1), qml.ctrl(qml.Rot(x[0], x[1], 0.1, wires=0), 1)),
    "template": lambda x: qml.StronglyEntanglingLayers(
        qml.math.reshape(qml.math.stack([x[0], x[1], x[0]] * 3), (1, 3, 3)), range(3)
    ),
}


@pytest.mark.parametrize("cache", ["auto", True])
@pytest.mark.parametrize("measured", [lambda: qml.expval(qml.Z(0)), lambda: qml.var(qml.X(0) @ qml.Z(1))])
@pytest.mark.parametrize("name", SHIFTED)
def test_parameter_shift_of_what_is_and_is_not_native(qfw, name, measured, cache):
    def function(x):
        SHIFTED[name](x)
        return measured()

    x = pnp.array([0.4, -1.3], requires_grad=True)
    ours = qml.QNode(function, qfw(3), diff_method="parameter-shift", cache=cache)
    theirs = qml.QNode(function, qml.device("default.qubit", wires=3), diff_method="parameter-shift")
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-9)
    np.testing.assert_allclose(qml.grad(ours)(x), qml.grad(theirs)(x), atol=1e-9)


def test_seeds_repeat_where_pennylane_draws(qfw):
    """The bases of a shadow are of the measurement's seed, its bits of the device's."""

    def run(device):
        tape = qml.tape.QuantumScript(
            [qml.RX(0.5, 0), qml.CNOT([0, 1])], [qml.classical_shadow([0, 1], seed=7)], shots=200
        )
        return [device.execute(tape).tolist() for _ in range(2)]

    first = run(qfw(2, seed=3))
    assert first == run(qfw(2, seed=3))
    assert first != run(qfw(2, seed=4))
    assert first[0] != first[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engine": 4}, "by its name"),
        ({"session": 4}, "must be a qfw.Session"),
        ({"seed": "x"}, "seed must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_arguments_of_another_kind_are_refused(given, message):
    with pytest.raises(OptionError, match=message):
        qml.device("qfw", wires=1, **given)


@pytest.mark.parametrize("angle", [1e-6, 2.1e-3, 3e-3, 0.7])
@pytest.mark.parametrize("controlled", [False, True])
def test_unitaries_near_a_product_keep_their_rotation(qfw, angle, controlled):
    turn = qml.matrix(qml.RX(angle, 0))
    operation = (
        qml.ControlledQubitUnitary(turn, wires=[0, 1])
        if controlled
        else qml.QubitUnitary(qml.matrix(qml.CRX(angle, [0, 1])), wires=[0, 1])
    )

    @qml.qnode(qfw(2))
    def state():
        qml.Hadamard(0)
        qml.apply(operation)
        return qml.state()

    expected = np.array([1, 0, np.cos(angle / 2), -1j * np.sin(angle / 2)]) / np.sqrt(2)
    # Before 0.45 PennyLane loses half of the digits where it decomposes one-qubit matrices; a lost rotation is far
    # more, but for the smallest angle.
    atol = 1e-9 if Version(qml.__version__) >= Version("0.45") else 1e-7
    np.testing.assert_allclose(state(), expected, rtol=0, atol=atol)
