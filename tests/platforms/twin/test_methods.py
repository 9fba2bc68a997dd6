"""The two methods agree with each other, with Aer under equivalent noise, and without noise with the reference."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from qfw.engines.reference import ReferenceEngine
from qfw.model.calibration import Calibration, GateCalibration
from qfw.model.errors import TaskCancelled, TooLarge, UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Memory, Probabilities, Statevector
from qfw.model.program import Barrier, Gate, IfElse, Measure, Operation, Program, Reset, While, slot
from qfw.model.timing import Clockwork, circuit_ns, durations_of
from qfw.numerics.gates import matrix
from qfw.platforms.twin.noise import NoiseModel
from qfw.platforms.twin.simulation import NoisySimulation
from tests.engines.programs import NUM_SLOTS, observables, programs, run
from tests.platforms.twin.noisy import TIMING, calibration, ideal, probabilities, simulate

IDEAL = ideal(4)
NOISY = calibration(4, t1_us=8.0, t2_us=9.0, one=0.01, two=0.03)


def accept(observed: np.ndarray, expected: np.ndarray) -> None:
    """Pearson's test at the level 1e-5; rare outcomes are put together."""
    common = expected >= 10
    seen = np.append(observed[common], observed[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum())
    if wanted[-1] < 5:
        seen, wanted = seen[:-1], wanted[:-1]
    assert ((seen - wanted) ** 2 / wanted).sum() < chi2.ppf(1 - 1e-5, max(seen.size - 1, 1))


def random_program(seed: int, width: int = 4, gates: int = 14) -> Program:
    random = np.random.default_rng(seed)
    operations: list[Operation] = []
    for _ in range(gates):
        name = str(random.choice(["sx", "ry", "rz", "cx", "rzz", "id", "barrier", "u"]))
        qubits = tuple(int(q) for q in random.permutation(width))
        if name == "barrier":
            operations.append(Barrier(qubits[:2]))
        elif name in ("cx", "rzz"):
            angles = () if name == "cx" else (slot(0, 0.7, 0.2),)
            operations.append(Gate(name, qubits[:2], angles))
        else:
            angles = {"ry": (0.8,), "rz": (slot(0),), "u": (0.4, slot(0), 1.0)}.get(name, ())
            operations.append(Gate(name, qubits[:1], angles))
    return Program(width, 0, 1, tuple(operations))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_without_noise_densities_are_the_references(data: Any) -> None:
    program = data.draw(programs(max_qubits=4))
    sums = (data.draw(observables(program.num_qubits)),)
    parameters = np.random.default_rng(1).uniform(-3, 3, (3, NUM_SLOTS))
    asked = (Expectation(sums), Probabilities())
    wanted = run(ReferenceEngine(1, 1), program, *asked, parameters=parameters)
    found = simulate(IDEAL, program, *asked, parameters=parameters)
    assert np.allclose(found.probabilities, wanted.probabilities, atol=1e-7)
    assert np.allclose(found.expectation_values, wanted.expectation_values, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_densities_are_aers(seed: int) -> None:
    aer = pytest.importorskip("qiskit_aer")
    from qiskit import QuantumCircuit
    from qiskit_aer.noise import depolarizing_error, thermal_relaxation_error

    program = random_program(seed).bound([0.6])
    model, rested = NoiseModel(NOISY), [0] * 4
    circuit = QuantumCircuit(4)

    def relax(qubit: int, until: int, since: int) -> None:
        known = NOISY.qubits[qubit]
        if until > since:
            t2_us = min(known.t2_us, 2 * known.t1_us)
            circuit.append(thermal_relaxation_error(known.t1_us, t2_us, (until - since) / 1000), [qubit])

    def visit(op: Any, begin: int, end: int) -> None:
        for qubit in op.qubits:
            relax(qubit, begin, rested[qubit])
        # Qiskit's first qubit is the least significant bit of a matrix' index.
        circuit.unitary(matrix(op.name, *op.angles), list(op.qubits[::-1]))
        for qubit in op.qubits:
            relax(qubit, end, begin)
            rested[qubit] = end
        kept = model.of_gate(op.name, op.qubits).kept
        circuit.append(depolarizing_error(1 - kept, len(op.qubits)), list(op.qubits))

    clock = Clockwork(durations_of(NOISY), TIMING, 4, 0)
    clock.pass_through(program.operations, visit)
    for qubit in range(4):
        relax(qubit, clock.now_ns, rested[qubit])
    circuit.save_density_matrix()
    simulator = aer.AerSimulator(method="density_matrix")
    state = simulator.run(circuit, shots=1).result().data()["density_matrix"]
    wanted = np.real(np.diag(np.asarray(state))).reshape(2, 2, 2, 2)
    for axis in range(4):
        confusion = np.array([[0.99, 0.03], [0.01, 0.97]])
        wanted = np.moveaxis(np.tensordot(confusion, wanted, (1, axis)), 0, axis)
    assert np.allclose(probabilities(NOISY, program), wanted.reshape(-1), atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_trajectories_are_the_densities(seed: int) -> None:
    program, shots = random_program(seed), 20_000
    parameters = [[0.6], [-1.3]]
    exact = simulate(NOISY, program, Probabilities(), parameters=parameters).probabilities
    found = simulate(
        NOISY, program, Probabilities(), parameters=parameters, shots=shots, method="trajectories"
    ).probabilities
    for row, wanted in zip(found, exact, strict=True):
        accept(row * shots, wanted * shots)


@pytest.mark.parametrize("method", ["densities", "trajectories"])
def test_expectation_values_are_measured(method: Any) -> None:
    program = random_program(2)
    sums = (PauliSum.of({"X0 Y1": 1.0, "Z2": 0.5, "": 2.0}), PauliSum.of("Y3"))
    exact = simulate(NOISY, program, Expectation(sums), parameters=[[0.6]]).expectation_values
    found = simulate(NOISY, program, Expectation(sums), parameters=[[0.6]], shots=20_000, method=method)
    assert (np.abs(found.expectation_values - exact) < 5 * found.standard_errors).all()


def test_a_program_with_control_branches_as_gates_would() -> None:
    # Measuring and then branching is a controlled gate whose control is measured.
    before = (Gate("ry", (0,), (0.9,)), Gate("ry", (1,), (0.4,)), Gate("cx", (1, 2)))
    branch = IfElse((0,), 1, (Gate("ry", (2,), (1.2,)),), (Gate("x", (1,)),))
    controlled = Program(3, 3, 0, (*before, Measure(0, 0), branch, Measure(1, 1), Measure(2, 2)))
    deferred = Program(
        3,
        0,
        0,
        (*before, Gate("cry", (0, 2), (1.2,)), Gate("x", (0,)), Gate("cx", (0, 1)), Gate("x", (0,))),
    )
    shots = 20_000
    counts = simulate(IDEAL, controlled, Counts(), shots=shots).counts[0]
    seen = np.array([counts.get(f"{state:03b}", 0) for state in range(8)])
    accept(seen, shots * probabilities(IDEAL, deferred))


def test_a_loop_goes_on_for_each_shot_by_its_own_bits() -> None:
    # Trips until a fair coin shows 0: their number is geometric.
    flip = (Gate("h", (0,)), Measure(0, 0))
    count = (IfElse((1,), 1, (Gate("x", (1,)), Measure(1, 2)), ()), Gate("x", (1,)), Measure(1, 1))
    program = Program(2, 3, 0, (*flip, While((0,), 1, (Reset(0), *flip, *count), 3)))
    shots = 16_000
    counts = simulate(IDEAL, program, Counts(), shots=shots).counts[0]
    stopped = sum(number for bits, number in counts.items() if bits[-1] == "0")
    accept(np.array([stopped, shots - stopped]), shots * np.array([1 - 1 / 16, 1 / 16]))


def test_times_of_shots_are_clockworks() -> None:
    program = Program(
        3,
        2,
        0,
        (Gate("x", (0,)), Measure(0, 0), IfElse((0,), 1, (Gate("cx", (1, 2)),)), Barrier(()), Measure(1, 1)),
    )
    clock = Clockwork(durations_of(IDEAL), TIMING, 3, 2)
    clock.pass_through(program.operations, taken=lambda op: True)
    conditions = simulate(IDEAL, program, Counts(), shots=10).conditions
    assert conditions is not None
    assert conditions.device_ns == 10 * clock.now_ns


def test_a_barrier_of_qubits_that_rest_lets_no_others_meet() -> None:
    operations = (Gate("x", (0,)), Barrier((2,)), Gate("x", (1,)), Reset(1), Measure(1, 0))
    program = Program(3, 1, 0, operations)
    conditions = simulate(IDEAL, program, Counts(), shots=1).conditions
    assert conditions is not None and conditions.device_ns == circuit_ns(program, IDEAL, TIMING)


@pytest.mark.parametrize("method", ["densities", "trajectories"])
def test_equal_seeds_give_equal_answers(method: Any) -> None:
    program = Program(4, 0, 1, random_program(5).operations)
    asked = (Memory(), Counts(), Expectation((PauliSum.of("X0"),)))
    options: Any = {"shots": 300, "method": method}
    both = simulate(NOISY, program, *asked, parameters=[[0.1], [0.2]], seeds=[7, 8], **options)
    second = simulate(NOISY, program, *asked, parameters=[[0.2]], seeds=[8], **options)
    other = simulate(NOISY, program, *asked, parameters=[[0.2]], seeds=[9], **options)
    assert both.memory[1] == second.memory[0] != other.memory[0]
    assert both.counts[1] == second.counts[0]
    assert both.expectation_values[1] == second.expectation_values[0]
    found, times = np.unique(second.memory[0], return_counts=True)
    assert dict(zip(found, times, strict=True)) == second.counts[0]


def test_a_qubit_that_rests_answers_its_readouts_error() -> None:
    program = Program(4, 70, 0, (Gate("x", (1,)), Measure(1, 3), Measure(0, 69)))
    shots = 20_000
    counts = simulate(NOISY, program, Counts(), shots=shots).counts[0]
    ones = sum(number for bits, number in counts.items() if bits[0] == "1")
    accept(np.array([ones, shots - ones]), shots * np.array([0.01, 0.99]))
    assert all(len(bits) == 70 for bits in counts)


def test_slow_feedback_is_noted_and_costs_what_waits() -> None:
    waiting = (Gate("x", (1,)), Measure(0, 0), IfElse((0,), 0, (Gate("id", (1,)),), (Gate("id", (1,)),)))
    program = Program(2, 2, 0, (*waiting, Measure(1, 1)))
    truth = calibration(2, t1_us=4.0, t2_us=4.0, one=0, one_ns=0, read1_given0=0, read0_given1=0)
    shots = 20_000
    result = simulate(truth, program, Counts(), shots=shots)
    kept = np.exp(-1.7 / truth.qubits[1].t1_us)
    ones = sum(number for bits, number in result.counts[0].items() if bits[0] == "1")
    accept(np.array([ones, shots - ones]), shots * np.array([kept, 1 - kept]))
    assert result.conditions is not None
    assert "feedback takes 700 ns, 17 % of the coherence of qubit 1" in result.conditions.notes[0]


def test_a_reset_fails_as_often_as_it_says() -> None:
    truth = calibration(1, one=0, one_ns=0, reset_error=0.1, read1_given0=0, read0_given1=0)
    program = Program(1, 1, 0, (Gate("x", (0,)), Reset(0), Measure(0, 0)))
    shots = 10_000
    counts = simulate(truth, program, Counts(), shots=shots).counts[0]
    accept(np.array([counts["1"], counts["0"]]), shots * np.array([0.1, 0.9]))


def test_only_active_qubits_of_a_large_device_are_simulated() -> None:
    base = calibration(2, one=1e-3, two=1e-2)
    chain = tuple(GateCalibration("cx", (q, q + 1), 0.01, 300) for q in range(126))
    singles = tuple(GateCalibration("h", (q,), 1e-3, 40) for q in range(127))
    truth = Calibration("large", "1", 0.0, (base.qubits * 64)[:127], chain + singles)
    ghz = (Gate("h", (60,)), *(Gate("cx", (60 + i, 61 + i)) for i in range(4)))
    program = Program(127, 5, 0, (*ghz, *(Measure(60 + i, i) for i in range(5))))
    assert NoisySimulation(TIMING).estimate(truth, program, (Counts(),), 1, 1000).memory_bytes < 2**20
    counts = simulate(truth, program, Counts(), shots=4000).counts[0]
    assert sum(counts.values()) == 4000
    assert {bits for bits, number in counts.items() if number > 400} == {"00000", "11111"}


@pytest.mark.parametrize(
    "program", [random_program(1), Program(1, 0, 1, (Reset(0),))], ids=["straight", "control"]
)
def test_a_cancelled_run_ends(program: Program) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(TaskCancelled):
        NoisySimulation(TIMING).simulate(NOISY, program, (Counts(),), np.zeros((1, 1)), 10, [0], cancelled)


def test_what_does_not_fit_is_refused_with_the_figure() -> None:
    truth = calibration(2)
    many = calibration(2)
    wide = type(many)(
        "wide",
        "1",
        0.0,
        many.qubits * 20,
        tuple(
            type(many.gates[0])("cz", (first, second), 0.01, 50)
            for first in range(40)
            for second in range(40)
            if first != second
        ),
    )
    ring = tuple(Gate("cz", (first, second)) for first in range(40) for second in range(first))
    simulation = NoisySimulation(TIMING)
    with pytest.raises(TooLarge, match="40 active qubits of wide"):
        simulation.estimate(wide, Program(40, 0, 0, ring), (Counts(),), 1, 100)
    with pytest.raises(UnsupportedFeature, match="statevector"):
        simulation.estimate(truth, Program(2, 0, 0, ()), (Statevector(),), 1, 0)
