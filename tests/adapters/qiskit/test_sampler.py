"""Sampler against Qiskit's own: forms, shapes, packing, distributions, seeds, and what is sent."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, transpile
from qiskit.circuit import Clbit, Parameter, ParameterVector
from qiskit.circuit.random import random_circuit
from qiskit.primitives import BitArray, StatevectorSampler
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.primitives import SamplerV2

from qfw.model.timeline import Timeline
from qfw.qiskit import Backend, Sampler

from .circuits import CONTROL, STRAIGHT
from .recorded import RecordedBackend

LIMIT_S = 60


@pytest.fixture(scope="module")
def backend(session):
    return Backend(session=session)


@pytest.fixture
def sampler(backend):
    return Sampler(backend, seed=11)


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def flips(num_qubits: int = 3) -> QuantumCircuit:
    """Qubit i is 1 for certain where parameter i is π, 0 where it is 0."""
    angles = ParameterVector("a", num_qubits)
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.rx(angles[qubit], qubit)
    circuit.measure_all()
    return circuit


def far(first: dict[str, int], probabilities: dict[str, float]) -> float:
    """Total variation distance of counts from probabilities."""
    shots = sum(first.values())
    keys = first.keys() | probabilities.keys()
    return sum(abs(first.get(key, 0) / shots - probabilities.get(key, 0.0)) for key in keys) / 2


# Forms of a PUB ---------------------------------------------------------------------------------


def test_circuit_alone(sampler):
    result = sampler.run([bell()]).result(LIMIT_S)
    assert len(result) == 1 and result.metadata == {"version": 2}
    data = result[0].data
    assert list(data) == ["meas"] and data.meas.num_shots == 1024 and data.meas.shape == ()
    counts = data.meas.get_counts()
    assert set(counts) == {"00", "11"} and far(counts, {"00": 0.5, "11": 0.5}) < 0.1


@pytest.mark.parametrize(
    "pub",
    [
        lambda circuit, values: (circuit, values),
        lambda circuit, values: (circuit, values, None),
        lambda circuit, values: (circuit, values, 77),
        lambda circuit, values: [circuit, values, 77],
        lambda circuit, values: (circuit, {tuple(circuit.parameters): values}),
        lambda circuit, values: (circuit, {"a[0]": values[0], ("a[2]", "a[1]"): values[:0:-1]}),
        lambda circuit, values: (circuit, dict(zip(circuit.parameters, values, strict=True))),
        lambda circuit, values: SamplerPub.coerce((circuit, values)),
        lambda circuit, values: SamplerPub.coerce((circuit, values, 77)),
        lambda circuit, values: (circuit, BindingsArray({tuple(circuit.parameters): values})),
        lambda circuit, values: circuit.assign_parameters(values),
        lambda circuit, values: (circuit.assign_parameters(values), None, 77),
        lambda circuit, values: (circuit.assign_parameters(values), []),
        lambda circuit, values: (circuit, np.array(values)),
        lambda circuit, values: (circuit, np.array(values, dtype=np.float32)),
    ],
)
def test_every_form_of_a_pub(sampler, pub):
    given = pub(flips(), [np.pi, 0.0, np.pi])
    result = sampler.run([given], shots=50).result(LIMIT_S)[0]
    reference = StatevectorSampler().run([given], shots=50).result()[0]
    assert result.data.meas == reference.data.meas
    assert result.metadata["shots"] == reference.metadata["shots"]


def test_shots_of_a_pub_go_before_those_of_the_call_and_of_the_sampler(backend):
    sampler = Sampler(backend, default_shots=10)
    circuit = bell()
    shots = [p.data.meas.num_shots for p in sampler.run([circuit, (circuit, None, 30)], shots=20).result()]
    assert shots == [20, 30]
    assert sampler.run([circuit]).result()[0].data.meas.num_shots == 10
    sampler.options.default_shots = 12
    assert sampler.run([circuit]).result()[0].data.meas.num_shots == 12


def test_pubs_of_a_generator(sampler):
    result = sampler.run(pub for pub in (bell(), (flips(), [0, 0, np.pi]))).result(LIMIT_S)
    assert len(result) == 2 and result[1].data.meas.get_counts() == {"100": 1024}


def test_no_pubs(sampler):
    job = sampler.run([])
    assert job.done() and len(job.result()) == 0


# Shapes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (4, 1), (2, 1, 3), (0,), (2, 0)])
def test_arrays_of_parameters_keep_their_shape(sampler, shape):
    values = np.random.default_rng(3).choice([0.0, np.pi], size=(*shape, 3))
    ours = sampler.run([(flips(), values)], shots=9).result(LIMIT_S)[0].data
    reference = StatevectorSampler().run([(flips(), values)], shots=9).result()[0].data
    assert ours.shape == reference.shape == shape
    assert ours.meas.array.shape == reference.meas.array.shape
    assert np.array_equal(ours.meas.array, reference.meas.array)


def test_one_parameter_in_both_shapes(sampler):
    angle = Parameter("t")
    circuit = QuantumCircuit(1)
    circuit.rx(angle, 0)
    circuit.measure_all()
    for values in (np.array([0, np.pi, 0]), np.array([[0], [np.pi], [0]])):
        data = sampler.run([(circuit, values)], shots=4).result(LIMIT_S)[0].data
        assert data.shape == (3,) and data.meas.array[:, :, 0].tolist() == [[0] * 4, [1] * 4, [0] * 4]


def test_arrays_of_several_parameters_by_name(sampler):
    circuit = flips(2)
    given = {"a[1]": np.array([[0, np.pi]] * 3), "a[0]": np.array([[np.pi, np.pi]] * 3)}
    data = sampler.run([(circuit, given)], shots=2).result(LIMIT_S)[0].data
    assert data.shape == (3, 2) and data.meas.get_counts((1, 0)) == {"01": 2}
    assert data.meas.get_counts((2, 1)) == {"11": 2}


def test_hundreds_of_sets_are_in_order(sampler):
    values = np.random.default_rng(5).choice([0.0, np.pi], size=(700, 3))
    job = sampler.run([(flips(), values)], shots=3)
    wanted = (values > 1) @ [1, 2, 4]
    result = job.result(LIMIT_S)[0]
    assert len(result.metadata["tasks"]) > 1
    assert np.array_equal(result.data.meas.array[:, :, 0], np.repeat(wanted[:, None], 3, axis=1))


# Registers --------------------------------------------------------------------------------------


def _several() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "alpha"), ClassicalRegister(1, "beta"))
    circuit.x([0, 2])
    circuit.measure([0, 1], [0, 1])
    circuit.measure(2, 2)
    return circuit


def _shared() -> QuantumCircuit:
    bits = [Clbit() for _ in range(4)]
    circuit = QuantumCircuit(QuantumRegister(3), bits)
    circuit.add_register(ClassicalRegister(bits=bits[:3], name="low"))
    circuit.add_register(ClassicalRegister(bits=bits[:0:-1], name="high_reversed"))
    circuit.x([0, 2])
    circuit.measure([0, 1, 2], [0, 1, 3])
    return circuit


def _partly() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 11)
    circuit.x([0, 1])
    circuit.measure([0, 1], [9, 2])
    return circuit


def _crossed() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(4), ClassicalRegister(4, "c"))
    circuit.x([0, 1])
    circuit.measure([0, 1, 2, 3], [2, 3, 1, 0])
    return circuit


def _wide() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(100, "c"), ClassicalRegister(30, "d"))
    circuit.x([0, 1])
    circuit.measure([0, 1, 2], [99, 63, 64])
    circuit.measure([0, 2], [128, 100])
    return circuit


def _twice() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(2, "c"))
    circuit.x(1)
    circuit.measure([0, 1], [0, 0])
    return circuit


def _with_an_empty_register() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(0, "none"), ClassicalRegister(1, "one"))
    circuit.x(0)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize("make", [_several, _partly, _crossed, _wide, _twice, _with_an_empty_register])
def test_registers_are_as_in_qiskits_sampler(sampler, make):
    circuit = make()
    ours = sampler.run([circuit], shots=5).result(LIMIT_S)[0].data
    reference = StatevectorSampler().run([circuit], shots=5).result()[0].data
    assert list(ours) == list(reference)
    for name in reference:
        assert ours[name].num_bits == reference[name].num_bits
        assert np.array_equal(ours[name].array, reference[name].array), name


def test_registers_that_share_bits(sampler):
    data = sampler.run([_shared()], shots=5).result(LIMIT_S)[0].data
    # Bits 0 … 3 are 1, 0, 0, 1; the second register has bits 3, 2, 1.
    assert data.low.get_counts() == {"001": 5}
    assert data.high_reversed.get_counts() == {"001": 5}


def test_data_joins_to_one_string(sampler):
    circuit, names = _several(), ["beta", "alpha"]
    joined = sampler.run([circuit], shots=5).result(LIMIT_S)[0].join_data(names)
    assert joined == StatevectorSampler().run([circuit], shots=5).result()[0].join_data(names)


def test_without_registers_qiskits_warning_and_an_empty_result(sampler):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    with pytest.warns(UserWarning, match="no classical registers"):
        job = sampler.run([circuit, bell()])
    result = job.result(LIMIT_S)
    assert list(result[0].data) == [] and result[0].data.shape == ()
    assert result[0].metadata["device"] is None and result[0].metadata["shots"] == 1024
    assert result[1].data.meas.num_shots == 1024


# Distributions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_random_circuits_have_their_distribution(sampler, seed):
    circuit = random_circuit(3, 5, max_operands=2, seed=seed)
    exact = Statevector(circuit).probabilities_dict()
    circuit.measure_all()
    counts = sampler.run([circuit], shots=20_000).result(LIMIT_S)[0].data.meas.get_counts()
    # Beyond 0.03 with 8 outcomes: less than 256 · exp(-2 · 20000 · 0.03²) = 6e-14 of all seeds.
    assert far(counts, exact) < 0.03


@pytest.mark.parametrize("name", [*STRAIGHT, *CONTROL])
def test_circuits_of_qiskits_documentation_as_of_aers_sampler(sampler, name):
    circuit, simulator = {**STRAIGHT, **CONTROL}[name](), AerSimulator()
    ours = sampler.run([circuit], shots=20_000).result(LIMIT_S)[0].data
    theirs = SamplerV2(seed=3).run([transpile(circuit, simulator)], shots=20_000).result()[0].data
    assert set(ours) == set(theirs)
    for register, bits in ours.items():
        counts = theirs[register].get_counts()
        # Two samples of 20000 with 32 outcomes or fewer are 0.02 apart, give or take 0.004.
        assert far(bits.get_counts(), {key: count / 20_000 for key, count in counts.items()}) < 0.05


@pytest.mark.parametrize("seed", range(2))
def test_counts_as_of_aer(sampler, seed):
    circuit = random_circuit(3, 6, max_operands=2, seed=100 + seed)
    circuit.measure_all()
    ours = sampler.run([circuit], shots=20_000).result(LIMIT_S)[0].data.meas.get_counts()
    simulator = AerSimulator(seed_simulator=5)
    theirs = simulator.run(transpile(circuit, simulator), shots=20_000).result().get_counts()
    assert far(ours, {key: count / 20_000 for key, count in theirs.items()}) < 0.05


def test_the_order_of_shots_says_nothing(sampler):
    bits = sampler.run([bell()], shots=10_000).result(LIMIT_S)[0].data.meas.array[:, 0] & 1
    # Were outcomes sorted, there would be one change; with fair coins 5000 ± 50.
    changes = int(np.count_nonzero(np.diff(bits.astype(int))))
    assert 4500 < changes < 5500


def test_a_sweep_follows_its_angle(sampler):
    angle = Parameter("t")
    circuit = QuantumCircuit(1)
    circuit.rx(angle, 0)
    circuit.measure_all()
    angles = np.linspace(0, np.pi, 20)
    data = sampler.run([(circuit, angles)], shots=20_000).result(LIMIT_S)[0].data
    ones = data.meas.array[:, :, 0].mean(axis=1)
    assert np.allclose(ones, np.sin(angles / 2) ** 2, atol=0.03)


def test_measurement_before_the_end(sampler):
    circuit = QuantumCircuit(
        QuantumRegister(2), ClassicalRegister(1, "first"), ClassicalRegister(1, "second")
    )
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 1)
    data = sampler.run([circuit], shots=2000).result(LIMIT_S)[0].data
    assert np.array_equal(data.first.array ^ 1, data.second.array)
    assert 800 < data.first.array.sum() < 1200


def test_a_branch_on_what_was_measured(sampler):
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(1, "m"), ClassicalRegister(1, "out"))
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    data = sampler.run([circuit], shots=1000).result(LIMIT_S)[0].data
    assert np.array_equal(data.m.array, data.out.array) and 350 < data.m.array.sum() < 650


def test_the_parameter_of_a_loop_needs_no_value(sampler):
    step, angle = Parameter("step"), Parameter("angle")
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(1, 3), loop_parameter=step):
        circuit.rx(np.pi / 3 * step, 0)
    circuit.measure(0, 0)
    assert sampler.run([circuit], shots=9).result(LIMIT_S)[0].data.c.get_counts() == {"1": 9}
    turned = QuantumCircuit(1, 1)
    turned.rx(angle, 0)
    turned.compose(circuit, inplace=True)
    data = sampler.run([(turned, [[np.pi], [0.0]])], shots=9).result(LIMIT_S)[0].data
    assert [data.c.get_counts(k) for k in (0, 1)] == [{"0": 9}, {"1": 9}]


# Seeds ------------------------------------------------------------------------------------------


def arrays(job) -> list[np.ndarray]:
    return [pub.data.meas.array for pub in job.result(LIMIT_S)]


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_integer_repeats_every_call(backend):
    pubs = [bell(), (flips(), np.random.default_rng(0).random((5, 3)))]
    first = Sampler(backend, seed=4)
    results = arrays(first.run(pubs))
    assert same(results, arrays(first.run(pubs))) and same(
        results, arrays(Sampler(backend, seed=4).run(pubs))
    )
    assert not same(results, arrays(Sampler(backend, seed=5).run(pubs)))


def test_a_generator_goes_on(backend):
    one, other = (
        Sampler(backend, seed=np.random.default_rng(4)),
        Sampler(backend, seed=np.random.default_rng(4)),
    )
    first, second = arrays(one.run([bell()])), arrays(one.run([bell()]))
    assert not same(first, second)
    assert same(first, arrays(other.run([bell()]))) and same(second, arrays(other.run([bell()])))


def test_without_a_seed_nothing_repeats(backend):
    sampler = Sampler(backend)
    assert not same(arrays(sampler.run([bell()])), arrays(sampler.run([bell()])))


def test_pubs_and_sets_of_a_call_differ(sampler):
    values = np.full((4, 3), np.pi / 2)
    drawn = arrays(sampler.run([bell(), bell(), (bell(), None, 1024)]))
    drawn += list(arrays(sampler.run([(flips(), values)]))[0])
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(drawn[:3], 2))
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(drawn[3:], 2))


# What is sent, what is said ---------------------------------------------------------------------


def test_all_pubs_travel_in_one_message_and_equal_structures_as_one_task(session):
    backend = RecordedBackend(session=session)
    bound = [flips().assign_parameters([angle, 0, 0]) for angle in (0, np.pi, 0)]
    result = Sampler(backend).run([*bound, bell(), (bound[1], None, 5)], shots=8).result(LIMIT_S)
    (message,) = backend.messages
    assert [(len(request.parameters), request.shots) for request in message] == [(3, 8), (1, 8), (1, 5)]
    strings = [next(iter(result[k].data.meas.get_counts())) for k in (0, 1, 2, 4)]
    assert strings == ["000", "001", "000", "001"]


def test_metadata(backend, session):
    circuit = bell()
    circuit.metadata = {"name": "bell"}
    metadata = Sampler(backend).run([circuit], shots=7).result(LIMIT_S)[0].metadata
    assert metadata["shots"] == 7 and metadata["circuit_metadata"] == {"name": "bell"}
    assert metadata["device"] in [device.name for device in session.devices] and len(metadata["tasks"]) == 1
    timeline = metadata["timeline"]
    assert isinstance(timeline, Timeline)
    assert 0 < timeline.began_ns <= timeline.sent_ns <= timeline.received_ns


def test_the_device_that_is_named_runs_it(session):
    result = Sampler(Backend("reference", session=session)).run([bell()]).result(LIMIT_S)
    assert result[0].metadata["device"] == "reference"


def test_no_warnings_in_good_use(sampler):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(sampler.run([bell()]).result(LIMIT_S)[0].data.meas, BitArray)
