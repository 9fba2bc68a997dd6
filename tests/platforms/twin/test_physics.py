"""What an experimenter would find of a twin: gates, readout and waiting are as bad as its calibration says.

Every experiment is done with shots and fixed seeds; bounds are five standard errors of the estimate.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from qfw.model.calibration import Calibration, GateCalibration
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation
from qfw.model.program import Barrier, Gate, Measure, Operation, Program
from qfw.numerics.gates import matrix
from qfw.platforms.twin.channels import gate_channel
from tests.platforms.twin.noisy import calibration, simulate

#: States to prepare, by their Pauli vectors (I, X, Y, Z), and the gates that do it.
PREPARED = {
    (1, 0, 0, 1): (),
    (1, 0, 0, -1): ("x",),
    (1, 1, 0, 0): ("h",),
    (1, 0, 1, 0): ("h", "s"),
}


def with_one_bad_gate(name: str, qubits: tuple[int, ...], error: float) -> Calibration:
    """Only this gate has errors: what a tomography finds is its own, not that of preparing and reading."""
    base = calibration(2, one=0, two=0, one_ns=0, two_ns=0, read1_given0=0, read0_given1=0)
    gates = tuple(
        GateCalibration(name, qubits, error, 200) if (g.name, g.qubits) == (name, qubits) else g
        for g in base.gates
    )
    return Calibration("d", "1", 0.0, base.qubits, gates)


@pytest.mark.parametrize(
    ("name", "qubits", "error"),
    [("t", (0,), 0.02), ("x", (1,), 0.05), ("cx", (1, 0), 0.03), ("cz", (0, 1), 0.08)],
)
def test_process_tomography_finds_the_calibrations_error(
    name: str, qubits: tuple[int, ...], error: float
) -> None:
    truth, width, shots = with_one_bad_gate(name, qubits, error), len(qubits), 40_000
    words = ["".join(word) for word in product("IXYZ", repeat=width)]
    sums = tuple(
        PauliSum.of(" ".join(f"{p}{q}" for p, q in zip(word, qubits, strict=True) if p != "I"))
        for word in words[1:]
    )
    vectors, outcomes, errors = [], [], []
    for number, states in enumerate(product(PREPARED, repeat=width)):
        vector = np.ones(1)
        for state in states:
            vector = np.kron(vector, state)
        before = [Gate(n, (q,)) for s, q in zip(states, qubits, strict=True) for n in PREPARED[s]]
        program = Program(2, 0, 0, (*before, Barrier(()), Gate(name, qubits)))
        result = simulate(truth, program, Expectation(sums), shots=shots, seeds=[number])
        vectors.append(vector)
        outcomes.append(np.append(1.0, result.expectation_values[0]))
        errors.append(np.append(0.0, result.standard_errors[0]))
    # R · vectors = outcomes; the process fidelity is linear in the outcomes.
    inverse = np.linalg.inv(np.array(vectors).T)
    weights = inverse @ gate_channel(name).T / 4**width
    fidelity = float((np.array(outcomes).T * weights.T).sum())
    spread = float(np.sqrt(((np.array(errors).T * weights.T) ** 2).sum()))
    # Words of one basis share their shots, so that their errors are not independent: at most all alike.
    spread *= 2
    dimension = 2**width
    wanted = 1 - error * (dimension + 1) / dimension
    assert spread < error / 4
    assert abs(fidelity - wanted) < 5 * spread


def test_the_pulse_before_a_measurement_of_x_has_errors_too() -> None:
    # It is an sx here: a worse one makes X smaller, and leaves Z alone.
    program, asked = Program(2, 0, 0, (Gate("h", (0,)),)), Expectation((PauliSum.of("X0"), PauliSum.of("Z0")))
    found = simulate(with_one_bad_gate("sx", (0,), 0.1), program, asked).expectation_values[0]
    # Nearly: relaxation during the pulse does not shrink all axes alike.
    assert found == pytest.approx([1 - 2 * 0.1, 0.0], abs=4e-3)
    assert simulate(with_one_bad_gate("sx", (0,), 0.0), program, asked).expectation_values[0][0] > 0.99


def cliffords(pulses: tuple[str, ...]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """The 24 Cliffords of a qubit as shortest words in `pulses`, with their matrices up to a phase."""
    found: list[tuple[tuple[str, ...], np.ndarray]] = [((), np.eye(2, dtype=complex))]
    for word, unitary in found:
        for pulse in pulses:
            new = matrix(pulse) @ unitary
            if not any(abs(np.trace(known.conj().T @ new)) > 1.99 for _, known in found):
                found.append(((*word, pulse), new))
    assert len(found) == 24
    return found


def decay_of(survivals: np.ndarray, lengths: np.ndarray, limit: float) -> tuple[float, float]:
    """p and its standard error, of survival = limit + b · p**length with b from the shortest."""
    logs = np.log(survivals.mean(axis=1) - limit)
    spread = survivals.std(axis=1, ddof=1) / np.sqrt(survivals.shape[1]) / (survivals.mean(axis=1) - limit)
    design = np.stack([np.ones(len(lengths)), lengths], axis=1) / spread[:, np.newaxis]
    covariance = np.linalg.inv(design.T @ design)
    slope = (covariance @ design.T @ (logs / spread))[1]
    p = float(np.exp(slope))
    return p, p * float(np.sqrt(covariance[1, 1]))


def test_randomised_benchmarking_finds_the_calibrations_error() -> None:
    # Every Clifford is padded to the same number of pulses, so that the error of one is known exactly.
    error, pulses = 2e-3, ("sx", "s", "sdg")
    group = cliffords(pulses)
    base = calibration(1, one=error, one_ns=30, t1_us=200, t2_us=150)
    # Phases are frames of the axes: without error and time, as on superconducting devices.
    gates = tuple(
        g if g.name == "sx" else GateCalibration(g.name, g.qubits, 0.0, 0)
        for g in base.gates
        if len(g.qubits) == 1
    )
    truth = Calibration("d", "1", 0.0, base.qubits, gates)
    per_clifford = np.mean([word.count("sx") for word, _ in group])
    random, shots = np.random.default_rng(5), 4000
    lengths = np.array([2, 50, 120, 250, 400])
    survivals = np.zeros((len(lengths), 24))
    for row, length in enumerate(lengths):
        for column in range(24):
            total, words = np.eye(2, dtype=complex), []
            for index in random.integers(0, 24, length):
                words.append(group[index][0])
                total = group[index][1] @ total
            undo = next(w for w, u in group if abs(np.trace(u @ total)) > 1.99)
            operations = [Gate(n, (0,)) for word in (*words, undo) for n in word]
            program = Program(1, 1, 0, (*operations, Measure(0, 0)))
            counts = simulate(truth, program, Counts(), shots=shots, seeds=[1000 * row + column]).counts[0]
            survivals[row, column] = counts.get("0", 0) / shots
    # Fully mixed, 0 is read half the time but for the readout's errors.
    p, spread = decay_of(survivals, lengths, (0.99 + 0.03) / 2)
    # 1 - p = 2 · error, for each pulse of a Clifford.
    wanted = float(np.mean([(1 - 2 * error) ** word.count("sx") for word, _ in group]))
    assert per_clifford > 1
    assert spread < 0.1 * (1 - wanted)
    assert abs(p - wanted) < 5 * spread


def test_two_qubit_cycles_decay_with_the_calibrations_error() -> None:
    # Pairs of cx between random Pauli gates, which twirl their errors: |00> survives as a depolarised state does.
    error, shots = 0.015, 4000
    base = calibration(2, one=0, one_ns=0, two=error, two_ns=1, t1_us=1e6, t2_us=1e6)
    random = np.random.default_rng(3)
    lengths = np.array([2, 10, 24, 50])
    survivals = np.zeros((len(lengths), 16))
    for row, length in enumerate(lengths):
        for column in range(16):
            operations: list[Operation] = []
            for _ in range(length):
                twirl = [Gate(str(random.choice(["id", "x", "y", "z"])), (q,)) for q in (0, 1)]
                operations += [*twirl, Gate("cx", (0, 1)), Gate("cx", (0, 1)), *twirl]
            program = Program(2, 2, 0, (*operations, Measure(0, 0), Measure(1, 1)))
            counts = simulate(base, program, Counts(), shots=shots, seeds=[100 * row + column]).counts[0]
            survivals[row, column] = counts.get("00", 0) / shots
    p, spread = decay_of(survivals, lengths, ((0.99 + 0.03) / 2) ** 2)
    # p of one cx is 1 - error · d / (d - 1), d = 4.
    wanted = (1 - error * 4 / 3) ** 2
    assert spread < 0.1 * (1 - wanted)
    assert abs(p - wanted) < 5 * spread


@pytest.mark.parametrize(("prepared", "wrong"), [(0, 0.01), (1, 0.03)])
def test_readout_errs_as_often_as_it_says(prepared: int, wrong: float) -> None:
    truth = calibration(3, one=0, one_ns=0)
    flips = tuple(Gate("x", (q,)) for q in range(3)) if prepared else (Gate("id", (2,)),)
    program = Program(3, 3, 0, (*flips, *(Measure(q, q) for q in range(3))))
    shots = 40_000
    counts = simulate(truth, program, Counts(), shots=shots).counts[0]
    for bit in range(3):
        seen = sum(number for bits, number in counts.items() if int(bits[-1 - bit]) != prepared)
        assert abs(seen / shots - wrong) < 5 * np.sqrt(wrong * (1 - wrong) / shots)


def waiting(others: int) -> list[Operation]:
    """Qubit 0 waits for gates of qubit 1, 5 µs each."""
    return [Barrier(()), *(Gate("id", (1,)) for _ in range(others)), Barrier(())]


#: Gates on qubit 1 take 5 µs, those on qubit 0 no time; no errors but those of waiting.
def slow_neighbour() -> Calibration:
    base = calibration(
        2, one=0, one_ns=0, two=0, two_ns=0, t1_us=40, t2_us=30, read1_given0=0, read0_given1=0
    )
    gates = tuple(
        GateCalibration(g.name, g.qubits, 0.0, 5000) if (g.name, g.qubits) == ("id", (1,)) else g
        for g in base.gates
    )
    return Calibration("d", "1", 0.0, base.qubits, gates)


@pytest.mark.parametrize("steps", [0, 2, 5, 12, 30])
def test_inversion_recovery_finds_t1(steps: int) -> None:
    program = Program(2, 1, 0, (Gate("x", (0,)), *waiting(steps), Measure(0, 0)))
    shots = 20_000
    counts = simulate(slow_neighbour(), program, Counts(), shots=shots).counts[0]
    wanted = np.exp(-5 * steps / 40)
    spread = np.sqrt(max(wanted * (1 - wanted), 1e-9) / shots)
    assert abs(counts.get("1", 0) / shots - wanted) <= 5 * spread


@pytest.mark.parametrize("steps", [0, 2, 5, 12])
def test_ramsey_finds_t2(steps: int) -> None:
    # A phase of 0.3 between two right-angle turns; its fringe fades with T2, not with T1.
    program = Program(
        2, 1, 0, (Gate("h", (0,)), *waiting(steps), Gate("rz", (0,), (0.3,)), Gate("h", (0,)), Measure(0, 0))
    )
    shots = 20_000
    counts = simulate(slow_neighbour(), program, Counts(), shots=shots).counts[0]
    wanted = (1 + np.exp(-5 * steps / 30) * np.cos(0.3)) / 2
    assert abs(counts.get("0", 0) / shots - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / shots)
