"""Without wires of its own the device numbers those of a tape as PennyLane's simulator does."""

from __future__ import annotations

import random

import numpy as np
import pennylane as qml
import pytest
from packaging.version import Version

from qfw.adapters.pennylane import QFwDevice

#: Labels in the order in which a tape may meet them.
LABELS = [(0, 1, 2), (2, 1, 0), (2, 1, 5), ("b", "a", 7), (1, 2, 3), ("x", 0, 1), (7, 3, 0)]

#: PennyLane before 0.45 loses half of the digits where it decomposes some matrices.
ATOL = 1e-8 if Version(qml.__version__) >= Version("0.45") else 1e-6

#: Operations of three wires and an angle: native ones, and ones whose decomposition meets the wires in
#: another order.
OPERATIONS = [
    lambda w, a: qml.RX(a, w[0]),
    lambda w, a: qml.RY(a, w[1]),
    lambda w, a: qml.CNOT(w[:2]),
    lambda w, a: qml.CRot(a, 0.3, a, wires=w[1:]),
    lambda w, a: qml.Barrier(w[:2]),
    lambda w, a: qml.MultiRZ(a, w),
    lambda w, a: qml.Identity(w[2]),
    lambda w, a: qml.GlobalPhase(a),
    lambda w, a: qml.ctrl(qml.X(w[0]), control=w[1:], control_values=[0, 1]),
    lambda w, a: qml.pow(qml.X(w[1]), a),
    lambda w, a: qml.adjoint(qml.CRX(a, w[:2])),
    lambda w, a: qml.PauliRot(a, "XIY", w),
    lambda w, a: qml.PauliRot(a, "IZX", w),
    lambda w, a: qml.Toffoli(w),
    lambda w, a: qml.QFT(wires=w),
    lambda w, a: qml.ControlledSequence(qml.RX(a, w[2]), control=w[:2]),
    lambda w, a: qml.StronglyEntanglingLayers(np.full((1, 3, 3), a), w),
    lambda w, a: qml.QubitUnitary(qml.CRY.compute_matrix(a), wires=w[1:]),
    lambda w, a: qml.MultiControlledX(w, work_wires=["work", "bench"]),
]
EXACT = [
    lambda w: [qml.probs()],
    lambda w: [qml.state()],
    lambda w: [qml.expval(qml.Z(w[2])), qml.probs()],
    lambda w: [qml.probs(), qml.var(qml.X(w[0]) @ qml.Z(w[1]))],
    lambda w: [qml.probs(wires=[w[1], w[0]]), qml.probs()],
    lambda w: [qml.expval(qml.Hermitian(np.diag([1.0, 2.0]), w[2])), qml.probs()],
]
SAMPLED = [lambda w: [qml.sample()], lambda w: [qml.counts()], lambda w: [qml.probs()]]


def random_operations(rng, labels, kinds=OPERATIONS):
    count = rng.randint(1, 6)
    found = [rng.choice(kinds)(rng.sample(labels, 3), rng.uniform(-3, 3)) for _ in range(count)]
    # The stack has no programs without qubits.
    return [*found, qml.X(rng.choice(labels))]


def execute(device, operations, measurements, shots=None):
    tape = qml.tape.QuantumScript(operations, measurements, shots=shots)
    (result,) = qml.execute([tape], device, diff_method=None)
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("block", range(8))
def test_exact_results_of_random_tapes(session, block):
    rng = random.Random(block)
    device, simulator = QFwDevice(engine="reference", session=session), qml.device("default.qubit")
    for _ in range(50):
        labels = rng.choice(LABELS)
        operations, measurements = random_operations(rng, labels), rng.choice(EXACT)(rng.sample(labels, 3))
        ours, theirs = (execute(on, operations, measurements) for on in (device, simulator))
        for mine, its in zip(ours, theirs, strict=True):
            said = f"{operations} {measurements}"
            assert np.shape(mine) == np.shape(its), said
            np.testing.assert_allclose(mine, its, atol=ATOL, err_msg=said)


def frequencies(value, wires):
    """Probabilities by outcome of samples, counts or frequencies."""
    if isinstance(value, dict):
        found = np.zeros(2**wires)
        for bits, count in value.items():
            found[int(bits, 2)] = count
        return found / found.sum()
    value = np.asarray(value)
    if value.dtype.kind == "f" and value.ndim == 1:
        return value
    rows = value.reshape(len(value), -1).astype(int)
    return np.bincount(rows @ (1 << np.arange(wires)[::-1]), minlength=2**wires) / len(rows)


@pytest.mark.parametrize("block", range(3))
def test_sampled_results_of_random_basis_states(session, block):
    """Permutations only, so every shot is the same and nothing is estimated."""
    flips = [
        lambda w, a: qml.X(w[0]),
        lambda w, a: qml.CNOT(w[:2]),
        lambda w, a: qml.ctrl(qml.X(w[0]), control=w[1:], control_values=[0, 1]),
        lambda w, a: qml.CSWAP(w),
        lambda w, a: qml.PauliRot(np.pi, "XIX", w),
        lambda w, a: qml.BasisEmbedding([1, 0, 1], w),
    ]
    rng = random.Random(block)
    device, simulator = QFwDevice(engine="reference", session=session), qml.device("default.qubit")
    for _ in range(40):
        labels = rng.choice(LABELS)
        operations, measurements = random_operations(rng, labels, flips), rng.choice(SAMPLED)(labels)
        wires = len(qml.tape.QuantumScript(operations, measurements).wires)
        (ours,), (theirs,) = (execute(on, operations, measurements, 20) for on in (device, simulator))
        np.testing.assert_array_equal(
            frequencies(ours, wires), frequencies(theirs, wires), err_msg=f"{operations} {measurements}"
        )


def test_dynamic_wires_come_where_they_are_first_used(session):
    def function():
        qml.RX(0.5, "b")
        with qml.allocate(1) as work:
            qml.CNOT(["b", work[0]])
        qml.ctrl(qml.X("a"), control=["c", "b"], control_values=[0, 1])
        return qml.probs()

    ours, theirs = (
        qml.QNode(function, on)()
        for on in (QFwDevice(engine="reference", session=session), qml.device("default.qubit"))
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
