"""Programs with control on aer, against the exact probabilities of all branches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from qfw.engines.aer import AerEngine
from qfw.engines.aer_controller import ControllerSimulator, works
from qfw.engines.aer_public import MAX_UNROLLED, PublicSimulator
from qfw.model.errors import UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Memory, Probabilities, Statevector
from qfw.model.program import Gate, IfElse, Measure, Operation, Program, Reset, While, slot
from tests.engines.branches import exact
from tests.engines.programs import run

pytest.importorskip("qiskit_aer")

H0 = Gate("h", (0,))


@pytest.fixture(scope="module", params=["controller", "public"])
def engine(request: pytest.FixtureRequest) -> AerEngine:
    return AerEngine(1, 1, ControllerSimulator() if request.param == "controller" else PublicSimulator())


def outcomes(counts: dict[str, int]) -> dict[int, int]:
    return {int(string, 2): number for string, number in counts.items()}


def accept(observed: dict[int, int], probabilities: dict[int, float], shots: int) -> None:
    """Pearson's test at the level 1e-5; rare outcomes are put together, impossible ones never come."""
    assert set(observed) <= set(probabilities)
    assert sum(observed.values()) == shots
    assert sum(probabilities.values()) == pytest.approx(1)
    pairs = [(observed.get(key, 0), probability * shots) for key, probability in probabilities.items()]
    common = [pair for pair in pairs if pair[1] >= 8]
    seen, wanted = (sum(pair[i] for pair in pairs if pair[1] < 8) for i in (0, 1))
    if wanted >= 5:
        common.append((seen, wanted))
    if len(common) > 1:
        statistic = sum((seen - wanted) ** 2 / wanted for seen, wanted in common)
        assert statistic < chi2.ppf(1 - 1e-5, len(common) - 1), (observed, probabilities)


def check(
    engine: AerEngine, program: Program, shots: int = 1500, parameters: Any = None, seed: int = 11
) -> Any:
    program.check()
    row = [] if parameters is None else parameters
    result = run(engine, program, Counts(), Memory(), parameters=[row], shots=shots, seeds=[seed])
    assert Counter(result.memory[0]) == result.counts[0]
    assert {len(string) for string in result.counts[0]} == {program.num_bits}
    accept(outcomes(result.counts[0]), exact(program, row), shots)
    return result


def test_teleportation(engine: AerEngine) -> None:
    program = Program(
        3,
        3,
        1,
        (
            Gate("ry", (0,), (slot(0),)),
            Gate("h", (1,)),
            Gate("cx", (1, 2)),
            Gate("cx", (0, 1)),
            H0,
            Measure(0, 0),
            Measure(1, 1),
            IfElse((1,), 1, (Gate("x", (2,)),)),
            IfElse((0,), 1, (Gate("z", (2,)),)),
            Gate("ry", (2,), (slot(0, -1.0),)),
            Measure(2, 2),
        ),
    )
    result = check(engine, program, parameters=[0.9])
    # What arrived is what was sent: turned back, it is |0>.
    assert {string[0] for string in result.counts[0]} == {"0"}
    assert len(result.counts[0]) == 4


def test_repeat_until_success(engine: AerEngine) -> None:
    again = (Reset(0), H0, Measure(0, 0), Gate("ry", (1,), (0.3,)))
    program = Program(2, 2, 0, (While((0,), 0, again, 20), Measure(1, 1)))
    result = check(engine, program)
    assert all(string[1] == "1" for string in result.counts[0])


@pytest.mark.parametrize("trips", [1, 2, 3, 4, 7, 8, 13])
def test_a_loop_makes_no_more_trips_than_allowed(engine: AerEngine, trips: int) -> None:
    # The condition always holds; every trip turns a qubit by a thirteenth of a half turn.
    body = (Gate("rx", (0,), (np.pi / 13,)), Gate("x", (1,)))
    program = Program(2, 2, 0, (While((0,), 0, body, trips), Measure(0, 0), Measure(1, 1)))
    result = check(engine, program, shots=400)
    assert {int(string[0]) for string in result.counts[0]} == {trips % 2}


def test_a_loop_within_a_loop_counts_anew(engine: AerEngine) -> None:
    inner = While((1,), 0, (Gate("rx", (0,), (np.pi / 15,)),), 5)
    program = Program(1, 2, 0, (While((1,), 0, (inner,), 3), Measure(0, 0)))
    assert check(engine, program, shots=50).counts[0] == {"01": 50}


def test_a_loop_that_ends_at_once_and_one_whose_condition_cannot_be(engine: AerEngine) -> None:
    flip = (Gate("x", (0,)),)
    for clbits, value in (((0,), 1), ((0, 1), 4), ((0, 0), 2), ((), 1)):
        program = Program(
            1, 2, 0, (While(clbits, value, flip, 5), IfElse(clbits, value, flip), Measure(0, 1))
        )
        assert check(engine, program, shots=20).counts[0] == {"00": 20}
    program = Program(1, 2, 0, (While((), 0, flip, 3), Measure(0, 1)))
    assert check(engine, program, shots=20).counts[0] == {"10": 20}


@pytest.mark.parametrize("value", range(8))
def test_conditions_on_several_bits(engine: AerEngine, value: int) -> None:
    # Bits in no order, and one of them beyond 64.
    clbits = (70, 2, 33)
    operations: list[Operation] = []
    for qubit, clbit in enumerate(clbits):
        operations += [Gate("ry", (qubit,), (0.9 + 0.4 * qubit,)), Measure(qubit, clbit)]
    operations += [IfElse(clbits, value, (Gate("x", (3,)),), (Gate("ry", (3,), (0.5,)),)), Measure(3, 0)]
    check(engine, Program(4, 71, 0, tuple(operations)), shots=600)


def test_gates_and_measurements_after_measurements(engine: AerEngine) -> None:
    program = Program(
        2, 3, 0, (H0, Measure(0, 0), H0, Measure(0, 1), Gate("cx", (0, 1)), Measure(1, 2), Measure(0, 0))
    )
    check(engine, program)


def test_reset_alone_measures_every_qubit_at_the_end(engine: AerEngine) -> None:
    program = Program(2, 0, 0, (H0, Gate("cx", (0, 1)), Reset(0)))
    result = check(engine, program)
    assert set(result.counts[0]) == {"00", "10"}
    program = Program(2, 5, 0, (H0, IfElse((4,), 0, (Gate("x", (1,)),))))
    assert set(check(engine, program).counts[0]) == {"10", "11"}


def test_measurements_in_blocks_give_all_classical_bits(engine: AerEngine) -> None:
    program = Program(2, 5, 0, (H0, IfElse((4,), 0, (Measure(0, 3),))))
    assert set(check(engine, program).counts[0]) == {"00000", "01000"}


@st.composite
def blocks(draw: Any, depth: int, width: int, clbits: int) -> tuple[Operation, ...]:
    found: list[Operation] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from("gggmmr" + "iw" * (depth > 0)))
        qubit = draw(st.integers(0, width - 1))
        if kind == "g":
            name = draw(st.sampled_from(["h", "x", "ry", "cx" if width > 1 else "t"]))
            other = (qubit + 1) % width
            angles = (slot(draw(st.integers(0, 1)), 0.7, 0.4),) if name == "ry" else ()
            found.append(Gate(name, (qubit, other) if name == "cx" else (qubit,), angles))
        elif kind == "m":
            found.append(Measure(qubit, draw(st.integers(0, clbits - 1))))
        elif kind == "r":
            found.append(Reset(qubit))
        else:
            seen = tuple(draw(st.lists(st.integers(0, clbits - 1), min_size=1, max_size=2)))
            value = draw(st.integers(0, 2 ** len(seen) - 1))
            body = draw(blocks(depth - 1, width, clbits))
            if kind == "i":
                found.append(
                    IfElse(seen, value, body, draw(st.one_of(st.just(()), blocks(0, width, clbits))))
                )
            else:
                found.append(While(seen, value, body, draw(st.integers(1, 3))))
    return tuple(found)


@st.composite
def controlled(draw: Any) -> Program:
    """A random program of up to three qubits, with blocks in blocks."""
    width, clbits = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    operations = (*draw(blocks(2, width, clbits)), Measure(0, 0), H0, Measure(0, 0))
    return Program(width, clbits, 2, operations)


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(program=controlled(), angles=st.lists(st.floats(-3, 3), min_size=2, max_size=2))
def test_random_programs(program: Program, angles: list[float]) -> None:
    for simulator in (ControllerSimulator(), PublicSimulator()):
        check(AerEngine(1, 1, simulator), program, shots=400, parameters=angles)


def test_wide_programs_keep_their_order(engine: AerEngine) -> None:
    # From 14 qubits on Aer joins gates; none may be moved past a jump, a measurement or a reset.
    width = 15
    layer = tuple(Gate("h", (q,)) for q in range(width))
    operations = (
        *layer,
        *layer,
        Gate("x", (0,)),
        Measure(0, 0),
        IfElse((0,), 1, tuple(Gate("x", (q,)) for q in range(1, width)), layer),
        *(Gate("cx", (0, q)) for q in range(1, width, 2)),
        Reset(0),
        *(Measure(q, q) for q in range(1, width)),
    )
    result = run(engine, Program(width, width, 0, operations), Counts(), shots=3)
    assert result.counts[0] == {"10" * 7 + "1": 3}


def test_seeds_repeat_and_sets_do_not_mix(engine: AerEngine) -> None:
    program = Program(1, 1, 1, (Gate("ry", (0,), (slot(0),)), Measure(0, 0), H0, Measure(0, 0)))
    rows, seeds = [[0.4], [1.1], [2.0]], [7, 2**64 - 1, 3]
    together = run(engine, program, Memory(), parameters=rows, shots=64, seeds=seeds).memory
    for k in range(3):
        alone = run(engine, program, Memory(), parameters=rows[k : k + 1], shots=64, seeds=seeds[k : k + 1])
        assert alone.memory[0] == together[k]
    other = run(engine, program, Memory(), parameters=rows[:1], shots=64, seeds=[2**63]).memory
    assert other[0] != together[0]


@pytest.mark.parametrize(
    ("output", "shots"),
    [
        (Statevector(), 0),
        (Probabilities(), 0),
        (Probabilities(), 10),
        (Expectation((PauliSum.of("Z0"),)), 0),
        (Expectation((PauliSum.of("Z0"),)), 10),
    ],
)
def test_what_control_has_no_single_state_for_is_refused(engine: AerEngine, output: Any, shots: int) -> None:
    program = Program(1, 1, 0, (H0, Measure(0, 0), H0))
    with pytest.raises(UnsupportedFeature, match="counts and memory of a program with control, not"):
        run(engine, program, output, shots=shots)
    with pytest.raises(UnsupportedFeature, match="Measure into classical bits"):
        AerEngine.estimate(program, (output,), 1, shots)


def test_loops_that_cannot_be_written_out_are_refused_by_the_public_interface_only() -> None:
    program = Program(1, 1, 0, (While((0,), 0, (H0, Measure(0, 0)), MAX_UNROLLED),))
    with pytest.raises(UnsupportedFeature, match="Lower their max_trips"):
        AerEngine(1, 1, PublicSimulator()).prepare(program)
    result = run(AerEngine(1, 1), program, Counts(), shots=100)
    assert result.counts[0] == {"1": 100}


def test_a_binding_that_answers_wrongly_is_not_taken() -> None:
    class Wrong(ControllerSimulator):
        def read(self, circuit: Any, angles: Any) -> Any:
            return super().read(circuit, -angles)

    class Broken(ControllerSimulator):
        def sample(self, *given: Any) -> Any:
            raise TypeError("incompatible function arguments")

    assert works(ControllerSimulator())
    assert not works(Wrong())
    assert not works(Broken())
