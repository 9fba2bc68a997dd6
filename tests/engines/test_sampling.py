"""Shots: right distributions, repeatable, independent of how sets are split; standard errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from qfw.engines.aer import AerEngine
from qfw.engines.lightning import LightningEngine
from qfw.engines.qulacs import QulacsEngine
from qfw.engines.reference import ReferenceEngine
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Memory, Probabilities
from qfw.model.program import Gate, Measure, Program, slot
from qfw.model.seeds import set_seeds
from tests.engines.programs import pauli_matrix, run

ENGINES = {
    "reference": (ReferenceEngine, "numpy"),
    "qulacs": (QulacsEngine, "qulacs"),
    "lightning": (LightningEngine, "pennylane_lightning"),
    "aer": (AerEngine, "qiskit_aer"),
}


@pytest.fixture(params=list(ENGINES), scope="module")
def engine(request: pytest.FixtureRequest) -> Any:
    kind, package = ENGINES[request.param]
    pytest.importorskip(package)
    return kind(1, 1)


def entangled(width: int, *measures: Measure, num_clbits: int = 0) -> Program:
    """A program with one slot, whose outcomes all have different probabilities."""
    operations: list[Any] = [Gate("ry", (q,), (slot(0, 0.6 + 0.2 * q, 0.3),)) for q in range(width)]
    operations += [Gate("cx", (q, q + 1)) for q in range(width - 1)]
    operations += [Gate("rx", (q,), (0.4 + 0.1 * q,)) for q in range(width)]
    return Program(width, num_clbits, 1, (*operations, *measures))


def exact(width: int, parameters: Any) -> np.ndarray:
    return run(ReferenceEngine(1, 1), entangled(width), Probabilities(), parameters=parameters).probabilities


def accept(observed: np.ndarray, probabilities: np.ndarray, shots: int) -> None:
    """Pearson's test at the level 1e-4; rare outcomes are put together."""
    expected = probabilities * shots
    common = expected >= 10
    seen = np.append(observed[common], observed[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum())
    if wanted[-1] < 5:
        seen, wanted = seen[:-1], wanted[:-1]
    statistic = ((seen - wanted) ** 2 / wanted).sum()
    assert statistic < chi2.ppf(1 - 1e-4, seen.size - 1), f"chi-squared {statistic} for {seen.size} cells"


def by_state(counts: dict[str, int], width: int) -> np.ndarray:
    found = np.zeros(2**width)
    for string, number in counts.items():
        assert len(string) == width
        found[int(string, 2)] = number
    return found


# 3: one multinomial draw; 11: a uniform number for each shot.
@pytest.mark.parametrize("width", [1, 3, 11])
@pytest.mark.parametrize("shots", [1, 20_000])
def test_counts_follow_the_distribution(engine: Any, width: int, shots: int) -> None:
    parameters = [[0.3], [-2.0], [5.5]]
    result = run(engine, entangled(width), Counts(), parameters=parameters, shots=shots, seeds=[5, 6, 7])
    for counts, probabilities in zip(result.counts, exact(width, parameters), strict=True):
        assert sum(counts.values()) == shots
        if shots > 1:
            accept(by_state(counts, width), probabilities, shots)


@pytest.mark.parametrize("width", [3, 11])
def test_outcomes_of_probability_zero_never_come(engine: Any, width: int) -> None:
    program = Program(width, 0, 0, (Gate("h", (0,)), Gate("x", (width - 1,))))
    result = run(engine, program, Counts(), shots=5000)
    assert set(result.counts[0]) == {"1" + "0" * (width - 1), "1" + "0" * (width - 2) + "1"}


def layers(width: int) -> Program:
    """Outcomes of probability 0, and pairs of equal ones: what engines round this way and that."""
    operations: list[Any] = [Gate("h", (q,)) for q in range(width)]
    operations += [Gate("cx", (q, q + 1)) for q in range(width - 1)]
    operations += [Gate("sx", (q,)) for q in range(width)]
    operations += [Gate("ry", (0,), (0.7,)), Gate("h", (width - 1,))]
    return Program(width, 0, 0, tuple(operations))


@pytest.mark.parametrize("width", [1, 2, 3, 5, 10, 11])
def test_equal_seeds_give_equal_counts_on_every_engine(engine: Any, width: int) -> None:
    gates = layers(width).operations
    for end in range(1, len(gates) + 1):
        program = Program(width, 0, 0, gates[:end])
        ours, theirs = (
            run(one, program, Counts(), shots=1000, seeds=[end]).counts
            for one in (engine, ReferenceEngine(1, 1))
        )
        assert ours == theirs, f"after {end} gates"


@pytest.mark.parametrize("width", [3, 11])
def test_seeds_repeat_and_splits_do_not_matter(engine: Any, width: int) -> None:
    parameters = np.random.default_rng(2).uniform(-3, 3, (9, 1))
    seeds = set_seeds(77, 0, 9)
    asked = (
        Counts(),
        Memory(),
        Expectation((PauliSum.of({"X0": 1.0, "Z0": 0.5}), PauliSum.of("Y0"))),
        Probabilities((0,)),
    )

    def answers(rows: slice) -> tuple[Any, ...]:
        result = run(
            engine, entangled(width), *asked, parameters=parameters[rows], shots=300, seeds=seeds[rows]
        )
        return result.counts, result.memory, result.expectation_values.tolist(), result.probabilities.tolist()

    whole = answers(slice(0, 9))
    assert whole == answers(slice(0, 9))
    for k in (1, 4, 8):
        for together, first, second in zip(whole, answers(slice(0, k)), answers(slice(k, 9)), strict=True):
            assert together == first + second
    assert len({str(sorted(counts.items())) for counts in whole[0]}) == 9


def test_equal_sets_with_different_seeds_differ(engine: Any) -> None:
    result = run(engine, entangled(3), Counts(), parameters=[[0.3]] * 3, shots=1000, seeds=[1, 2, 1])
    assert result.counts[0] == result.counts[2] != result.counts[1]


@pytest.mark.parametrize("width", [3, 11])
def test_memory_is_the_counts_in_a_random_order(engine: Any, width: int) -> None:
    parameters = [[0.3], [1.0]]
    result = run(engine, entangled(width), Counts(), Memory(), parameters=parameters, shots=500)
    for counts, memory in zip(result.counts, result.memory, strict=True):
        assert len(memory) == 500
        assert {string: memory.count(string) for string in set(memory)} == counts
        assert memory != sorted(memory)
    alone = run(engine, entangled(width), Counts(), parameters=parameters, shots=500)
    assert alone.counts == result.counts
    bits = result.memory_bits[0]
    assert ["".join(map(str, row[::-1])) for row in bits.tolist()] == result.memory[0]


def test_a_qubit_may_be_measured_twice(engine: Any) -> None:
    measures = (Measure(0, 0), Measure(1, 1), Measure(0, 2))
    counts = run(
        engine, entangled(3, *measures, num_clbits=3), Counts(), shots=200, parameters=[[0.8]]
    ).counts[0]
    assert len(counts) > 1 and all(key[0] == key[2] for key in counts)


def test_all_outputs_of_the_computational_basis_share_their_shots(engine: Any) -> None:
    asked = (Expectation((PauliSum.of({"Z0 Z2": 2.0, "": 1.0}),)), Probabilities((2, 0)), Counts())
    result = run(engine, entangled(3), *asked, parameters=[[0.3]], shots=400)
    counts = result.counts[0]
    parity = sum(n * (1 if s[0] == s[2] else -1) for s, n in counts.items()) / 400
    assert result.expectation_values[0, 0] == pytest.approx(1 + 2 * parity)
    # The first qubit asked for, 2, is the least significant bit.
    for bits in range(4):
        ending = f"{bits & 1}.{bits >> 1}"
        number = sum(n for s, n in counts.items() if s[0] == ending[0] and s[2] == ending[2])
        assert result.probabilities[0, bits] == number / 400


def test_measurements_place_bits(engine: Any) -> None:
    # Qubit 2 is not measured, classical bits 0 and 66 stay 0, and bit 70 is written twice.
    measures = (Measure(0, 70), Measure(1, 3), Measure(3, 70))
    program = entangled(4, *measures, num_clbits=71)
    result = run(engine, program, Counts(), Memory(), parameters=[[0.3], [2.0]], shots=20_000)
    for k, probabilities in enumerate(exact(4, [[0.3], [2.0]])):
        expected = np.zeros(4)
        for state, probability in enumerate(probabilities):
            expected[(state >> 1 & 1) | (state >> 3 & 1) << 1] += probability
        observed = np.zeros(4)
        for string, number in result.counts[k].items():
            assert len(string) == 71
            assert string.count("1") == (string[0] + string[67]).count("1")
            observed[int(string[67]) | int(string[0]) << 1] += number
        assert len(result.counts[k]) == 4
        accept(observed, expected, 20_000)
        assert {string: result.memory[k].count(string) for string in result.counts[k]} == result.counts[k]


def test_measured_qubits_do_not_change_exact_answers(engine: Any) -> None:
    asked = (Expectation((PauliSum.of("X0 Y1"),)), Probabilities())
    plain = run(engine, entangled(3), *asked, parameters=[[0.3]])
    measured = run(engine, entangled(3, Measure(0, 0), num_clbits=1), *asked, parameters=[[0.3]])
    assert plain.expectation_values.tolist() == measured.expectation_values.tolist()
    assert plain.probabilities.tolist() == measured.probabilities.tolist()


SUMS = (
    # Two groups that do not commute qubit by qubit, and a constant.
    PauliSum.of({"Z0 Z1": 0.7, "Z0": -0.4, "X0": 1.1, "X0 X2": 0.6, "": 2.0}),
    PauliSum.of({"Y1": 1.0, "Y1 Z2": -0.5}),
    PauliSum.of({"": 3.0}),
)


def test_expectation_values_and_standard_errors(engine: Any) -> None:
    width, shots = 3, 400
    repeats = 600
    program = entangled(width)
    parameters = np.full((repeats, 1), 0.3)
    result = run(engine, program, Expectation(SUMS), parameters=parameters, shots=shots, seeds=range(repeats))
    true = run(ReferenceEngine(1, 1), program, Expectation(SUMS), parameters=[[0.3]]).expectation_values[0]
    analytic = np.sqrt(variances(program, [0.3]) / shots)
    values, errors = result.expectation_values, result.standard_errors
    assert values[:, 2].tolist() == [3.0] * repeats
    assert not errors[:, 2].any()
    for i in (0, 1):
        # The mean of many estimates, within five of its own standard errors.
        assert abs(values[:, i].mean() - true[i]) < 5 * analytic[i] / repeats**0.5
        # Their spread, and what each run says of it.
        assert values[:, i].std() == pytest.approx(analytic[i], rel=0.15)
        assert errors[:, i].mean() == pytest.approx(analytic[i], rel=0.02)
        assert (abs(values[:, i] - true[i]) < 5 * errors[:, i]).all()


def variances(program: Program, row: list[float]) -> np.ndarray:
    """Variance of one shot of each of SUMS, summed over the groups that greedy grouping makes."""
    from qfw.model.outputs import Statevector

    state = run(ReferenceEngine(1, 1), program, Statevector(), parameters=[row]).statevector[0]

    def variance(part: dict[str, float]) -> float:
        matrix = pauli_matrix(PauliSum.of(part), program.num_qubits)
        mean = (state.conj() @ matrix @ state).real
        return float((state.conj() @ matrix @ matrix @ state).real - mean**2)

    # Of SUMS[1], "Y1" joins the group of X0 X2; "Y1 Z2" fits neither that nor Z0 Z1: a third group.
    first = variance({"Z0 Z1": 0.7, "Z0": -0.4}) + variance({"X0": 1.1, "X0 X2": 0.6})
    return np.array([first, variance({"Y1": 1.0}) + variance({"Y1 Z2": -0.5}), 0.0])


def test_wide_observables_agree_with_narrow_ones(engine: Any) -> None:
    # Beyond ten qubits no table of values is kept.
    program = entangled(11)
    observable = PauliSum.of({"Z0 Z10": 0.5, "X3": 1.0, "Z1": -0.25})
    result = run(engine, program, Expectation((observable,)), parameters=[[0.3]] * 40, shots=1000)
    true = run(
        ReferenceEngine(1, 1), program, Expectation((observable,)), parameters=[[0.3]]
    ).expectation_values
    assert (abs(result.expectation_values - true) < 5 * result.standard_errors).all()


def test_one_shot_has_no_standard_error(engine: Any) -> None:
    result = run(engine, entangled(1), Expectation((PauliSum.of("Z0"),)), parameters=[[0.3]], shots=1)
    assert abs(result.expectation_values[0, 0]) == 1
    assert np.isnan(result.standard_errors[0, 0])
