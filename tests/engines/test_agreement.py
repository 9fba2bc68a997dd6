"""Random programs: engines agree with the reference, slots with bound programs, sets with single ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfw.engines.aer import AerEngine
from qfw.engines.aer_public import PublicSimulator
from qfw.engines.lightning import LightningEngine
from qfw.engines.qulacs import QulacsEngine
from qfw.engines.reference import ReferenceEngine
from qfw.model.gates import GATES
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation, Probabilities, Statevector
from qfw.model.program import Gate, Program, slot
from tests.engines.programs import (
    NUM_SLOTS,
    everything_exact,
    observables,
    pauli_matrix,
    programs,
    run,
)

REPEATABLE = settings(max_examples=100, derandomize=True, deadline=None, database=None)
#: Where a fixture gives the engine, which keeps nothing between examples.
FIXED = settings(REPEATABLE, suppress_health_check=[HealthCheck.function_scoped_fixture])

REFERENCE = ReferenceEngine(1, 1)


@st.composite
def cases(draw: Any) -> tuple[Program, tuple[Any, ...], np.ndarray]:
    """A program, two observables of it, and one to four parameter sets."""
    program = draw(programs())
    sums = (draw(observables(program.num_qubits)), draw(observables(program.num_qubits)))
    values = st.lists(st.floats(-7, 7), min_size=NUM_SLOTS, max_size=NUM_SLOTS)
    return program, sums, np.array(draw(st.lists(values, min_size=1, max_size=4)))


@pytest.fixture(scope="module")
def qulacs() -> QulacsEngine:
    pytest.importorskip("qulacs")
    return QulacsEngine(1, 1)


@pytest.fixture(scope="module")
def aer() -> AerEngine:
    pytest.importorskip("qiskit_aer")
    return AerEngine(1, 1)


@pytest.fixture(scope="module")
def lightning() -> LightningEngine:
    pytest.importorskip("pennylane_lightning")
    return LightningEngine(1, 1)


@pytest.fixture(params=["reference", "qulacs", "lightning", "aer"])
def engine(request: pytest.FixtureRequest) -> Any:
    return REFERENCE if request.param == "reference" else request.getfixturevalue(request.param)


@pytest.fixture(params=["qulacs", "lightning", "aer"])
def other(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def agree(engine: Any, case: Any) -> None:
    program, sums, parameters = case
    ours, theirs = (
        run(e, program, *everything_exact(*sums), parameters=parameters) for e in (REFERENCE, engine)
    )
    np.testing.assert_allclose(ours.statevector, theirs.statevector, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.expectation_values, theirs.expectation_values, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-9)


@FIXED
@given(case=cases())
def test_engines_agree_with_the_reference(other: Any, case: Any) -> None:
    agree(other, case)


@settings(FIXED, max_examples=25)
@given(case=cases())
def test_aer_agrees_by_its_public_interface_too(aer: AerEngine, case: Any) -> None:
    public = AerEngine(1, 1, PublicSimulator())
    agree(public, case)


@pytest.mark.parametrize(
    "name", [name for name, spec in GATES.items() if spec.num_angles and spec.num_qubits]
)
def test_angles_of_every_gate_by_aers_public_interface(aer: AerEngine, name: str) -> None:
    spec = GATES[name]
    plus = (*(Gate("h", (qubit,)) for qubit in range(spec.num_qubits)), Gate("t", (0,)))
    angles = tuple(slot(k, 1.0, 0.3) for k in range(spec.num_angles))
    turn = Gate(name, tuple(range(spec.num_qubits))[::-1], angles)
    program = Program(spec.num_qubits, 0, spec.num_angles, (*plus, turn, *plus))
    parameters = np.linspace(-4, 5, 2 * spec.num_angles).reshape(2, -1)
    for rows in (parameters, parameters[:1]):
        agree(AerEngine(1, 1, PublicSimulator()), (program, (PauliSum.of("X0"), PauliSum.of("Y0")), rows))


@REPEATABLE
@given(case=cases())
def test_expectation_is_of_the_statevector(case: Any) -> None:
    program, sums, parameters = case
    result = run(REFERENCE, program, *everything_exact(*sums), parameters=parameters)
    for state, probabilities, values in zip(
        result.statevector, result.probabilities, result.expectation_values, strict=True
    ):
        np.testing.assert_allclose(probabilities, np.abs(state) ** 2, rtol=0, atol=1e-12)
        for observable, value in zip(sums, values, strict=True):
            matrix = pauli_matrix(observable, program.num_qubits)
            assert value == pytest.approx((state.conj() @ matrix @ state).real, abs=1e-12)
    assert not result.standard_errors.any()


@FIXED
@given(case=cases())
def test_sets_equal_bound_programs(engine: Any, case: Any) -> None:
    program, sums, parameters = case
    together = run(engine, program, *everything_exact(*sums), parameters=parameters)
    for k, row in enumerate(parameters):
        alone = run(engine, program.bound(row), *everything_exact(*sums))
        np.testing.assert_allclose(together.statevector[k], alone.statevector[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            together.expectation_values[k], alone.expectation_values[0], rtol=0, atol=1e-12
        )


@REPEATABLE
@given(case=cases(), data=st.data())
def test_marginals(case: Any, data: Any) -> None:
    program, _, parameters = case
    order = data.draw(st.permutations(range(program.num_qubits)))
    qubits = tuple(order[: data.draw(st.integers(1, program.num_qubits))])
    result = run(REFERENCE, program, Statevector(), Probabilities(qubits), parameters=parameters)
    expected = np.zeros((len(parameters), 2 ** len(qubits)))
    for index in range(2**program.num_qubits):
        place = sum((index >> qubit & 1) << i for i, qubit in enumerate(qubits))
        expected[:, place] += np.abs(result.statevector[:, index]) ** 2
    np.testing.assert_allclose(result.probabilities, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [9, 13])
def test_wide_programs_in_several_chunks(other: Any, width: int) -> None:
    # More sets than one chunk of the reference holds, and none left over evenly.
    operations = [Gate("ry", (q,), (slot(q % 3, 1.0 + q),)) for q in range(width)]
    operations += [Gate("cx", (q, (q + 3) % width)) for q in range(width)]
    operations += [Gate("rxx", (q, (q + 5) % width), (slot(q % 3, 0.3),)) for q in range(width)]
    program = Program(width, 0, 3, tuple(operations))
    parameters = np.random.default_rng(3).uniform(-3, 3, (67, 3))
    asked = (Expectation((PauliSum.of({"Z0 Y3": 1.0, "X1": 2.0, "": 0.5, f"Y0 Y{width - 1}": 1.5}),)),)
    ours, theirs = (run(engine, program, *asked, parameters=parameters) for engine in (REFERENCE, other))
    np.testing.assert_allclose(ours.expectation_values, theirs.expectation_values, rtol=0, atol=1e-9)


def test_long_programs_of_many_sets_are_run_in_bounded_chunks(engine: Any) -> None:
    # 2**20 coefficients are fewer than 300 sets of 4000 rotations have.
    program = Program(1, 0, 1, tuple(Gate("rx" if k % 2 else "ry", (0,), (slot(0),)) for k in range(4000)))
    parameters = np.linspace(-1, 1, 300).reshape(-1, 1)
    together = run(engine, program, Probabilities(), parameters=parameters)
    for k in (0, 64, 65, 66, 299):
        alone = run(engine, program, Probabilities(), parameters=parameters[k : k + 1])
        np.testing.assert_allclose(together.probabilities[k], alone.probabilities[0], rtol=0, atol=1e-12)
