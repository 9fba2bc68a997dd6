"""Backend.run beside AerSimulator: counts, memory, registers, options, parameters, what is wrong."""

from __future__ import annotations

import os
import pickle
from collections import Counter

import numpy as np
import pytest
from qiskit import QuantumCircuit, generate_preset_pass_manager, transpile
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.exceptions import QiskitError
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator

from qfw.adapters import session as shared
from qfw.model.errors import (
    OptionError,
    ParameterError,
    ProgramError,
    RequestError,
    TooLarge,
    UnknownDevice,
    UnsupportedFeature,
    UsageError,
)
from qfw.qiskit import Backend
from qfw.qpi import Session
from tests.stack import LIMIT_S, runtime_folder

from .circuits import CONTROL, STRAIGHT, bell, loose_bits, overlapping_registers

SHOTS = 8000


@pytest.fixture
def backend(session: Session) -> Backend:
    return Backend("reference", session=session, seed=5)


@pytest.fixture
def automatic(session: Session) -> Backend:
    return Backend(session=session, seed=5)


def counts_of(backend, circuit, **options):
    return backend.run(circuit, **options).result().get_counts()


def agree(ours: Counter, theirs: Counter) -> bool:
    """Whether two samples may be of one distribution: each frequency within six standard deviations.

    False of equal distributions about once in 10**8 frequencies; with fixed seeds never or always.
    """
    first, second = sum(ours.values()), sum(theirs.values())
    for key in ours.keys() | theirs.keys():
        a, b = ours.get(key, 0), theirs.get(key, 0)
        p = (a + b) / (first + second)
        if abs(a / first - b / second) > 6 * np.sqrt(p * (1 - p) * (1 / first + 1 / second)) + 1e-12:
            return False
    return True


def test_the_comparison_sees_a_difference():
    assert agree(Counter({"0": 4000, "1": 4000}), Counter({"0": 4100, "1": 3900}))
    assert not agree(Counter({"0": 4000, "1": 4000}), Counter({"0": 4500, "1": 3500}))
    assert not agree(Counter({"0": 8000}), Counter({"1": 8000}))


def aer_counts(circuit):
    simulator = AerSimulator(seed_simulator=3)
    return (
        simulator.run(transpile(circuit, simulator, optimization_level=0), shots=SHOTS).result().get_counts()
    )


@pytest.mark.parametrize("name", STRAIGHT)
@pytest.mark.parametrize("device", ["reference", "qulacs"])
def test_counts_are_those_of_aer(session, device, name):
    circuit = STRAIGHT[name]()
    ours = counts_of(Backend(device, session=session, seed=1), circuit, shots=SHOTS)
    assert sum(ours.values()) == SHOTS
    assert agree(ours, aer_counts(circuit))


@pytest.mark.parametrize("name", CONTROL)
def test_counts_of_control_are_those_of_aer(automatic, name):
    circuit = CONTROL[name]()
    result = automatic.run(circuit, shots=SHOTS).result()
    assert result.results[0].metadata["engine"] == "aer"
    assert agree(result.get_counts(), aer_counts(circuit))


@pytest.mark.parametrize(
    "name", ["gates_of_many_kinds", "grover_three_qubits", "w_state", "efficient_ansatz"]
)
@pytest.mark.parametrize("level", [0, 3])
def test_what_transpile_gives_runs(backend, name, level):
    circuit = STRAIGHT[name]()
    compiled = transpile(circuit, backend, optimization_level=level, seed_transpiler=1)
    assert set(compiled.count_ops()) <= set(backend.operation_names) | {"barrier"}
    assert agree(counts_of(backend, compiled, shots=SHOTS), aer_counts(circuit))


@pytest.mark.parametrize("name", CONTROL)
def test_what_transpile_gives_of_control_runs(session, name):
    backend = Backend("aer", session=session, seed=2)
    circuit = CONTROL[name]()
    compiled = generate_preset_pass_manager(optimization_level=1, backend=backend).run(circuit)
    assert agree(counts_of(backend, compiled, shots=SHOTS), aer_counts(circuit))


@pytest.mark.parametrize("name", ["bell", "gates_of_many_kinds", "bound_ansatz", "estimation_of_a_phase"])
def test_states_are_exact(backend, name):
    circuit = STRAIGHT[name]().remove_final_measurements(inplace=False)
    state = backend.run(circuit, shots=None).result().get_statevector()
    assert np.allclose(state.data, Statevector(circuit).data)


def test_final_measurements_do_not_change_a_state(backend):
    result = backend.run(bell(), shots=None).result()
    assert np.allclose(result.get_statevector().data, [np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    assert result.get_counts() == pytest.approx({"00": 0.5, "11": 0.5})


# Qiskit's forms -----------------------------------------------------------------------------------


def test_memory_is_the_shots_in_order(backend):
    result = backend.run(STRAIGHT["two_registers"](), shots=300, memory=True).result()
    memory = result.get_memory()
    assert len(memory) == 300 and Counter(memory) == result.get_counts()
    assert all(len(bits) == 5 and bits[3] == " " for bits in memory)
    with pytest.raises(QiskitError, match="No memory"):
        backend.run(bell(), shots=3).result().get_memory()


def test_keys_are_hexadecimal(backend):
    circuit = QuantumCircuit(1, 70)
    circuit.x(0)
    circuit.measure(0, 69)
    data = backend.run(circuit, shots=3, memory=True).result().data()
    assert data == {"counts": {hex(1 << 69): 3}, "memory": [hex(1 << 69)] * 3}


def test_the_header_says_what_the_circuit_is(backend):
    circuit = STRAIGHT["two_registers"]()
    circuit.name, circuit.metadata = "mine", {"run": 7}
    result = backend.run(circuit, shots=3).result()
    assert result.results[0].header == {
        "name": "mine",
        "n_qubits": 3,
        "memory_slots": 4,
        "creg_sizes": [["c", 1], ["d", 3]],
        "qreg_sizes": [["a", 2], ["b", 1]],
        "metadata": {"run": 7},
    }
    assert result.get_counts("mine") == result.get_counts(circuit) == result.get_counts(0)
    assert (result.backend_name, result.success, result.status) == ("reference", True, "COMPLETED")


def test_bits_outside_of_registers_are_not_lost(backend):
    # Qiskit's own formatting would cut these strings at the wrong places.
    assert counts_of(backend, loose_bits(), shots=5) == {"101": 5}
    assert counts_of(backend, overlapping_registers(), shots=5) == {"01": 5}


def test_the_metadata_says_who_ran_it_and_how_long(backend):
    found = backend.run(bell(), shots=5).result().results[0].metadata
    assert found["device"] == found["engine"] == "reference" and found["processes"]["client"] == os.getpid()
    assert found["timeline_us"]["run"] > 0 and set(found["timeline_us"]) >= {"client", "queue", "return"}


def test_results_can_be_kept(backend):
    result = backend.run([bell(), STRAIGHT["w_state"]()], shots=50, memory=True).result()
    again = pickle.loads(pickle.dumps(result))
    assert again.get_counts() == result.get_counts() and again.get_memory(1) == result.get_memory(1)
    assert result.to_dict()["results"][0]["data"]["counts"] == result.data(0)["counts"]


# Several circuits ---------------------------------------------------------------------------------


def turned(angle: float) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.ry(angle, 0)
    circuit.measure(0, 0)
    return circuit


def test_circuits_of_one_structure_are_one_task(backend):
    circuits = [turned(np.pi), bell(), turned(0.0), turned(np.pi), bell()]
    result = backend.run(circuits, shots=10).result()
    assert [one.metadata["sets"] for one in result.results] == [3, 2, 3, 3, 2]
    assert [result.get_counts(i) for i in (0, 2, 3)] == [{"1": 10}, {"0": 10}, {"1": 10}]
    assert sum(result.get_counts(1).values()) == sum(result.get_counts(4).values()) == 10
    assert len(result.get_counts()) == 5


def test_many_circuits_keep_their_order(backend):
    bits = np.random.default_rng(1).integers(0, 2, 480)
    result = backend.run([turned(np.pi * bit) for bit in bits], shots=3).result()
    assert [list(counts) for counts in result.get_counts()] == [[str(bit)] for bit in bits]


def test_copies_of_a_circuit_are_sampled_apart(backend):
    first, second = backend.run([turned(1.0)] * 2, shots=1000).result().get_counts()
    assert first != second


def test_seeds(session, backend):
    circuits = [turned(1.0), bell(), turned(2.0)]

    def run(backend, **options):
        return backend.run(circuits, shots=500, **options).result().get_counts()

    assert run(backend, seed=7) == run(backend, seed_simulator=7) == run(backend, seed=7, seed_simulator=7)
    assert run(backend, seed=7) != run(backend, seed=8)
    assert run(backend) != run(backend)
    first, second = (Backend("reference", session=session, seed=3) for _ in range(2))
    assert [run(first), run(first)] == [run(second), run(second)]
    backend.set_options(seed_simulator=7)
    assert run(backend) == run(backend, seed=7) != run(backend, seed=9)


def test_defaults_are_the_backends(session, backend):
    assert sum(counts_of(backend, bell()).values()) == 1024
    backend.set_options(shots=20, memory=True)
    assert len(backend.run(bell()).result().get_memory()) == 20
    other = Backend("reference", session=session, shots=30)
    assert sum(counts_of(other, bell()).values()) == 30
    with pytest.raises(AttributeError, match="shotz"):
        backend.set_options(shotz=1)


# Parameters ---------------------------------------------------------------------------------------


def free() -> tuple[QuantumCircuit, Parameter, Parameter]:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.rx(a, 0)
    circuit.rx(a + b, 1)
    circuit.measure_all()
    return circuit, a, b


def test_parameter_binds_in_aers_form(backend):
    circuit, a, b = free()
    binds = [{a: [0, np.pi, np.pi], b: [0, 0, -np.pi]}, {}]
    result = backend.run([circuit, bell()], parameter_binds=binds, shots=40).result()
    assert [result.get_counts(i) for i in range(3)] == [{"00": 40}, {"11": 40}, {"01": 40}]
    assert sum(result.get_counts(3).values()) == 40
    theirs = AerSimulator().run([circuit, bell()], parameter_binds=binds, shots=40).result()
    assert [theirs.get_counts(i) for i in range(3)] == [result.get_counts(i) for i in range(3)]


@pytest.mark.parametrize(
    "form",
    [
        lambda a, b: [[0, np.pi], [np.pi, -np.pi]],
        lambda a, b: {a: [0, np.pi], b: [np.pi, -np.pi]},
        lambda a, b: {"a": [0, np.pi], "b": [np.pi, -np.pi]},
        lambda a, b: BindingsArray({("a", "b"): np.array([[0, np.pi], [np.pi, -np.pi]])}),
    ],
    ids=["array", "parameters", "names", "bindings array"],
)
def test_bindings(backend, form):
    circuit, a, b = free()
    for bindings, given in ((form(a, b), circuit), ([form(a, b)], [circuit])):
        result = backend.run(given, bindings=bindings, shots=20).result()
        assert result.get_counts() == [{"10": 20}, {"01": 20}]


def test_bindings_of_vectors_and_of_one_set(backend):
    x = ParameterVector("x", 2)
    circuit = QuantumCircuit(2)
    circuit.rx(x[0], 0)
    circuit.rx(x[1], 1)
    circuit.measure_all()
    assert counts_of(backend, circuit, bindings=[0, np.pi], shots=5) == {"10": 5}
    assert counts_of(backend, circuit, parameter_binds=[{x: [[np.pi, 0]]}], shots=5) == {"01": 5}
    assert counts_of(backend, circuit, parameter_binds=[{x[0]: np.pi, x[1]: 0}], shots=5) == {"01": 5}


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        (lambda x: {x: [0.0, np.pi, 3.0]}, r"'x' has 2 elements; values of shape \(3,\)"),
        (lambda x: {x: 1.0}, r"'x' has 2 elements; values of shape \(\)"),
        (lambda x: {x: [[0.0, 1.0], [1.0]]}, "equally many"),
        (lambda x: {ParameterVector("x", 2): [0.0, 0.0]}, "no parameter 'x'"),
        (lambda x: [[0.0, 1.0], [1.0]], "equally many"),
    ],
    ids=["too many", "a number", "ragged", "another vector", "ragged array"],
)
def test_wrong_values_of_vectors_are_refused(backend, bindings, message):
    x = ParameterVector("x", 2)
    circuit = QuantumCircuit(2)
    circuit.rx(x[0], 0)
    circuit.rx(x[1], 1)
    circuit.measure_all()
    with pytest.raises(ParameterError, match=message):
        backend.run(circuit, bindings=bindings(x))


def test_a_circuit_may_use_some_elements_of_a_vector(backend):
    x = ParameterVector("x", 3)
    circuit = QuantumCircuit(1)
    circuit.rx(x[1], 0)
    circuit.measure_all()
    assert counts_of(backend, circuit, bindings={x: [0, np.pi, 0]}, shots=5) == {"1": 5}


def test_sets_of_a_circuit_without_parameters(backend):
    assert counts_of(backend, turned(np.pi), bindings=np.empty((3, 0)), shots=5) == [{"1": 5}] * 3


def test_expressions_that_are_not_affine(backend):
    a = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.rx(a * a, 0)
    circuit.measure_all()
    values = [[0.0], [np.sqrt(np.pi)]]
    assert counts_of(backend, circuit, bindings=values, shots=5) == [{"0": 5}, {"1": 5}]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ParameterError, "without values: a, b"),
        ({"parameter_binds": [{"a": [1]}]}, ParameterError, "without values: b"),
        (
            {"parameter_binds": [{"a": [1], "b": [1], "c": [1]}]},
            ParameterError,
            "no parameter 'c'; it has: a, b",
        ),
        ({"parameter_binds": [{"a": [1, 2], "b": [1, 2, 3]}]}, ParameterError, "equally many"),
        ({"parameter_binds": [{"a": [1], "b": [1j]}]}, ParameterError, "real numbers"),
        ({"parameter_binds": [{"a": [1], "b": ["x"]}]}, ParameterError, "real numbers"),
        ({"parameter_binds": [{"a": [1], "b": [float("nan")]}]}, ParameterError, "'b' of set 0 is nan"),
        ({"parameter_binds": {"a": [1], "b": [1]}}, OptionError, "list with an entry for each circuit"),
        ({"parameter_binds": [{}, {}]}, OptionError, "2 entries; 1 circuits"),
        ({"bindings": [[1, 2, 3]]}, ParameterError, r"2 parameters; bindings of shape \(1, 3\)"),
        ({"bindings": np.empty((0, 2))}, ParameterError, "no set"),
        ({"bindings": [[1, 2]], "parameter_binds": [{}]}, OptionError, "not both"),
    ],
)
def test_wrong_values_are_refused(backend, options, error, message):
    circuit, _, _ = free()
    with pytest.raises(error, match=message):
        backend.run(circuit, **options)


# What is wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": 0}, "shots must be at least 1"),
        ({"shots": -1}, "shots must be"),
        ({"shots": 10**9}, "100000000"),
        ({"shots": 10.0}, "integer"),
        ({"shots": True}, "integer"),
        ({"shots": "10"}, "integer"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"seed_simulator": 2**63}, "seed must be"),
        ({"seed": 1, "seed_simulator": 2}, "two names of one option"),
        ({"memory": "yes"}, "memory must be"),
        ({"memory": True, "shots": None}, "memory needs shots"),
        ({"meas_level": 1}, "meas_level must be 2"),
        ({"meas_return": "avg"}, "meas_return must be"),
        ({"shot": 100}, "no option of run\\(\\) is called 'shot'; did you mean 'shots'"),
        ({"noise_model": None}, "'noise_model'"),
    ],
)
def test_wrong_options_are_refused(backend, options, message):
    with pytest.raises(OptionError, match=message):
        backend.run(bell(), **options)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], RequestError, "no circuits"),
        ("OPENQASM 3;", ProgramError, "QuantumCircuit"),
        (None, ProgramError, "QuantumCircuit"),
        (7, ProgramError, "QuantumCircuit"),
        ([bell(), "x"], ProgramError, "entry 1 of the list"),
        (QuantumCircuit(), ProgramError, "no qubits"),
        (QuantumCircuit(2, 2), ProgramError, r"add measure_all\(\)"),
    ],
    ids=["empty", "text", "none", "number", "among circuits", "no qubits", "no measurement"],
)
def test_what_is_no_circuit_is_refused(backend, given, error, message):
    with pytest.raises(error, match=message):
        backend.run(given)


def wide(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


def test_too_many_qubits_are_refused(backend, automatic):
    with pytest.raises(TooLarge, match="2000 qubits"):
        automatic.run(wide(2000))
    with pytest.raises(TooLarge):
        backend.run(wide(60)).result()


def test_control_is_refused_where_the_device_has_none(backend):
    with pytest.raises(UnsupportedFeature) as caught:
        backend.run(CONTROL["reset_and_reuse"]()).result()
    assert isinstance(caught.value, QiskitError)


def test_an_unknown_device_is_told_the_nearest(session):
    with pytest.raises(UnknownDevice, match="did you mean 'reference'"):
        Backend("refrence", session=session).run(bell())
    with pytest.raises(OptionError, match="seed"):
        Backend(seed=1.5)


class Opaque(Gate):
    def __init__(self):
        super().__init__("oracle", 1, [])


def opaque() -> QuantumCircuit:
    circuit = bell()
    circuit.append(Opaque(), [0])
    return circuit


class Broken(Gate):
    """A gate whose definition cannot be made."""

    def __init__(self):
        super().__init__("broken", 1, [])

    def _define(self):
        raise ValueError("no such thing")


def broken() -> QuantumCircuit:
    circuit = bell()
    circuit.append(Broken(), [0])
    return circuit


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (opaque, UnsupportedFeature),
        (broken, UnsupportedFeature),
        (lambda: QuantumCircuit(2), ProgramError),
        (lambda: free()[0], ParameterError),
        (lambda: wide(60), TooLarge),
        (CONTROL["reset_and_reuse"], UnsupportedFeature),
    ],
    ids=["instruction", "definition", "no measurement", "unbound", "too wide", "control"],
)
def test_of_several_circuits_one_fails_alone(backend, make, error):
    wrong = make()
    wrong.name = "wrong"
    result = backend.run([turned(0.0), wrong, turned(np.pi)], shots=9).result()
    assert not result.success and result.status == "PARTIAL COMPLETED"
    assert [one.success for one in result.results] == [True, False, True]
    assert result.get_counts(0) == {"0": 9} and result.get_counts(2) == {"1": 9}
    assert error.__name__ in result.results[1].status
    for ask in (result.get_counts, result.get_memory, result.get_statevector, result.data):
        for key in (1, -2, "wrong", wrong):
            with pytest.raises(error) as caught:
                ask(key)
            assert isinstance(caught.value, QiskitError)
    with pytest.raises(error):
        result.get_counts()


def test_where_all_circuits_fail_so_does_the_result(backend):
    job = backend.run([QuantumCircuit(2), opaque()])
    assert job.status().name == "ERROR"
    with pytest.raises(ProgramError, match="measure_all") as caught:
        job.result()
    assert isinstance(caught.value, QiskitError)


# Qiskit's own primitives --------------------------------------------------------------------------


def test_backend_sampler(backend):
    circuit, _, _ = free()
    sampler = BackendSamplerV2(backend=backend, options={"seed_simulator": 3})
    values = [[0, 0], [np.pi, 0], [0, np.pi]]
    data = sampler.run([(circuit, values), bell()], shots=200).result()
    assert [data[0].data.meas.get_counts(i) for i in range(3)] == [{"00": 200}, {"11": 200}, {"10": 200}]
    assert set(data[1].data.c.get_counts()) == {"00", "11"}


def test_backend_estimator(backend):
    circuit, _, _ = free()
    circuit.remove_final_measurements()
    estimator = BackendEstimatorV2(backend=backend, options={"seed_simulator": 3})
    observables = [[SparsePauliOp("ZZ")], [SparsePauliOp(["IY", "ZI"], [1, 0.5])]]
    values = np.array([[0.3, 0.4], [1.0, -0.2]])
    found = estimator.run([(circuit, observables, values)], precision=0.01).result()[0].data.evs
    expected = [
        np.cos(values[:, 0]) * np.cos(values.sum(axis=1)),
        -np.sin(values[:, 0]) + 0.5 * np.cos(values.sum(axis=1)),
    ]
    assert np.allclose(found, expected, atol=0.07)


# The target ---------------------------------------------------------------------------------------


def test_the_target_is_the_devices(session, backend):
    profile = session.device("reference").profile
    target = backend.target
    assert isinstance(backend, BackendV2) and backend.version == 2 and backend.max_circuits is None
    assert backend.num_qubits == target.num_qubits == profile.max_qubits
    renamed = {"gphase": "global_phase"}
    assert {renamed.get(name, name) for name in profile.native_gates} == set(target.operation_names) - {
        "measure",
        "reset",
        "delay",
    }
    assert backend.coupling_map is None and target.instruction_supported("cx", (5, 2))
    assert target["cx"] == {None: None}


def test_control_flow_is_in_the_target_where_the_device_has_it(session, backend):
    flow = {"if_else", "while_loop", "for_loop", "switch_case"}
    assert flow <= set(Backend("aer", session=session).operation_names)
    assert not flow & set(backend.operation_names)


# Sessions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"), [({"device": 7}, "by its name"), ({"session": 3}, "must be a qfw.Session")]
)
def test_what_is_no_device_and_no_session_is_refused(given, message):
    with pytest.raises(OptionError, match=message):
        Backend(**given)


def test_backend_and_job_say_what_they_are(session):
    backend = Backend("reference", session=session)
    job = backend.run(bell(), shots=10)
    assert repr(backend) == "<Backend('reference')>"
    assert repr(job) == f"<Job {job.job_id()} of <Backend('reference')>>"


def test_a_closed_session_is_said():
    with runtime_folder() as folder, Session(runtime_folder=folder) as session:
        backend = Backend("reference", session=session)
        assert counts_of(backend, turned(0.0), shots=3) == {"0": 3}
        session.close()
        with pytest.raises(UsageError, match="session is closed"):
            backend.run(bell())
        with pytest.raises(UsageError, match="session is closed"):
            backend.qfw_stream()


def in_child(check) -> bool:
    """Whether `check` is true in a forked child."""
    child = os.fork()
    if not child:
        right = False
        try:
            right = check()
        finally:
            os._exit(0 if right else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_given_session_stays_with_its_process(backend):
    job = backend.run(bell(), shots=3)

    def refused() -> bool:
        found = 0
        for ask in (lambda: backend.run(bell()), backend.qfw_stream, lambda: job.result(LIMIT_S)):
            try:
                ask()
            except UsageError as error:
                found += "belongs to process" in str(error)
        return found == 3

    assert in_child(refused)
    assert sum(job.result(LIMIT_S).get_counts().values()) == 3


def test_the_shared_session_is_opened_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("QFW_RUNTIME_DIR", str(tmp_path))
    shared._close()
    try:
        backend = Backend("reference")
        assert counts_of(backend, turned(0.0), shots=3) == {"0": 3}
        stream = backend.qfw_stream()

        def opens_its_own() -> bool:
            right = (
                counts_of(backend, turned(0.0), shots=3) == {"0": 3} and backend.qfw_stream() is not stream
            )
            shared._close()
            return right

        assert in_child(opens_its_own)
        assert backend.qfw_stream() is stream
        shared.shared_session().close()
        assert counts_of(backend, turned(0.0), shots=3) == {"0": 3}
        backend.close()
        assert counts_of(backend, turned(0.0), shots=3) == {"0": 3}
    finally:
        shared._close()
