"""Qubits that are delayed decay as T1 and T2 say, whichever way the twin simulates, and others wait for them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program, Reset
from qfw.model.timing import circuit_ns
from qfw.platforms.twin.prepared import Method
from tests.platforms.twin.noisy import TIMING, calibration, simulate

#: Gates take no time and do not err: what is left is what waiting does. Qubit 0: T1 80 µs, T2 60 µs.
STILL = calibration(3, one=0, two=0, one_ns=0, two_ns=0, read1_given0=0, read0_given1=0)
T1_NS, T2_NS = 80_000, 60_000
METHODS: tuple[Method, ...] = ("densities", "trajectories")
SHOTS = 20_000


def ones(
    method: Method, *operations: Operation, qubits: int = 1, truth=STILL, shots: int = SHOTS
) -> np.ndarray:
    """How often each qubit that is measured into the bit of its number is 1."""
    measured = tuple(Measure(qubit, qubit) for qubit in range(qubits))
    program = Program(3, 3, 0, (*operations, *measured))
    counts = simulate(truth, program, Counts(), shots=shots, method=method).counts[0]
    found = np.zeros(qubits)
    for bits, count in counts.items():
        found += [count * (bits[-1 - qubit] == "1") for qubit in range(qubits)]
    return found / shots


def near(found: float, wanted: float, shots: int = SHOTS) -> None:
    """Within five standard errors."""
    assert abs(found - wanted) < 5 * math.sqrt(max(wanted * (1 - wanted), 1 / shots) / shots)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("delay_ns", [0, 20_000, 120_000])
def test_an_excited_qubit_decays_with_t1(method: Method, delay_ns: int) -> None:
    found = ones(method, Gate("x", (0,)), Delay(0, delay_ns // 2), Delay(0, delay_ns - delay_ns // 2))
    near(found[0], math.exp(-delay_ns / T1_NS))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("delay_ns", [0, 20_000, 120_000])
def test_an_echo_decays_with_t2(method: Method, delay_ns: int) -> None:
    half = Delay(0, delay_ns // 2)
    h = Gate("h", (0,))
    # x leaves |+> where it is: coherence comes back to |0>, and T1 decay does not favour a side of the equator.
    found = ones(method, h, half, Gate("x", (0,)), half, h)
    near(found[0], (1 - math.exp(-delay_ns / T2_NS)) / 2)


@pytest.mark.parametrize("method", METHODS)
def test_others_wait_behind_a_barrier_for_a_qubit_that_is_only_delayed(method: Method) -> None:
    x, wait = Gate("x", (0,)), Delay(2, 50_000)
    near(ones(method, x, wait, Barrier((0, 2)))[0], math.exp(-50_000 / T1_NS))
    near(ones(method, x, wait, Barrier(()))[0], math.exp(-50_000 / T1_NS))
    near(ones(method, x, wait)[0], 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_measured_is_read_when_all_delays_are_over(method: Method) -> None:
    for op in (Delay(0, 30_000), Delay(1, 30_000), Delay(2, 30_000)):
        program = Program(3, 0, 0, (Gate("x", (0,)), Gate("x", (1,)), op))
        asked = Expectation((PauliSum.of("Z0"),))
        found = simulate(STILL, program, asked, shots=SHOTS, method=method).expectation_values[0][0]
        near((1 - found) / 2, math.exp(-30_000 / T1_NS))


@pytest.mark.parametrize("method", METHODS)
def test_a_delay_behind_a_measurement_changes_nothing_that_was_read(method: Method) -> None:
    program = Program(
        3, 3, 0, (Gate("x", (0,)), Gate("x", (1,)), Measure(0, 0), Delay(0, 90_000), Measure(1, 1))
    )
    counts = simulate(STILL, program, Counts(), shots=1000, method=method).counts[0]
    assert counts == {"011": 1000}
    assert circuit_ns(program, STILL, TIMING) == 1_000 + 90_000


@pytest.mark.parametrize("method", METHODS)
def test_a_barrier_behind_a_measurement_costs_its_readout_only(method: Method) -> None:
    # Qubit 1, whose T1 is 88 µs, is excited while qubit 0 is read for 1 µs.
    program = Program(
        3, 2, 0, (Gate("x", (1,)), Gate("x", (0,)), Measure(0, 0), Barrier((0, 1)), Measure(1, 1))
    )
    counts = simulate(STILL, program, Counts(), shots=SHOTS, method=method).counts[0]
    near(counts["11"] / SHOTS, math.exp(-1_000 / 88_000))


def test_delays_within_branches_let_decay() -> None:
    branch = IfElse((0,), 0, (Delay(0, 40_000),), ())
    program = Program(2, 2, 0, (Gate("x", (0,)), Measure(1, 0), branch, Measure(0, 1)))
    result = simulate(STILL, program, Counts(), shots=SHOTS)
    waited = 1_000 + 700 + 40_000
    near(result.counts[0].get("10", 0) / SHOTS, math.exp(-waited / T1_NS))
    assert result.conditions.device_ns == SHOTS * (waited + 1_000)


def test_a_delayed_reset_qubit_stays_where_it_is() -> None:
    assert ones("cheaper", Gate("x", (0,)), Reset(0), Delay(0, 10**6), truth=STILL)[0] == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_both_ways_agree_on_programs_with_delays(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = calibration(3, t1_us=20.0, t2_us=15.0)
    operations: list[Operation] = [Gate("h", (q,)) for q in range(3)]
    for _ in range(12):
        first, second = (int(q) for q in random.permutation(3)[:2])
        kind = int(random.integers(4))
        operations.append(
            [
                Delay(first, int(random.integers(1, 6_000))),
                Gate("cx", (first, second)),
                Gate("ry", (first,), (float(random.uniform(-3, 3)),)),
                Barrier((first, second)),
            ][kind]
        )
    dense, shots = (ones(method, *operations, qubits=3, truth=truth) for method in METHODS)
    # The same program without its delays is something else: the test could tell.
    rushed = ones("densities", *(op for op in operations if not isinstance(op, Delay)), qubits=3, truth=truth)
    assert np.abs(dense - shots).max() < 6 * math.sqrt(0.5 / SHOTS)
    assert np.abs(dense - rushed).max() > 0.02
