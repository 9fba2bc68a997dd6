"""Tool `cut`: what comes together again is what the uncut program gives, by a simulator of the tests' own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qfw.model.errors import OptionError, TooLarge, UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Memory, Output, Probabilities, Statevector
from qfw.model.program import Gate, IfElse, Measure, Operation, Program, Reset, slot
from qfw.qpm import registry
from qfw.qpm.tool import SplittingTool, splits
from qfw.toolchain.cut import CutTool
from tests.toolchain.cut_cases import (
    TOOL,
    answers,
    distribution,
    random_observable,
    random_program,
    reconstructed,
    target,
    value,
)

EXACT = 1e-10
#: Which kinds of cuts a case may make.
KINDS = [{}, {"wires": False}, {"gates": False, "max_cuts": 6}]


def on(name: str, *qubits: int, at: Any = None) -> Gate:
    return Gate(name, qubits, () if at is None else (at,))


def ladder(width: int) -> Program:
    return Program(width, 0, 0, (on("h", 0), *(on("cx", q, q + 1) for q in range(width - 1))))


def test_it_is_there() -> None:
    kind = registry.load(registry.TOOLS, "cut")
    assert kind is CutTool and splits(kind) and isinstance(kind(), SplittingTool)
    assert kind.version()


@pytest.mark.parametrize("kinds", KINDS, ids=["both", "gates", "wires"])
def test_exact_answers_are_those_of_the_uncut_program(kinds: dict[str, Any]) -> None:
    cut = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        width = int(rng.integers(4, 8))
        program = random_program(rng, width, int(rng.integers(1, 6)))
        sums = tuple(random_observable(rng, width) for _ in range(2))
        qubits = tuple(int(q) for q in rng.permutation(width)[: rng.integers(1, width + 1)])
        parameters = rng.uniform(-3, 3, (3, 2))
        limit = int(rng.integers(max(3, width // 2 + 1), width))
        try:
            split, found = reconstructed(
                program, (Expectation(sums), Probabilities(qubits)), parameters, limit, **kinds
            )
        except TooLarge:
            continue
        cut += 1
        assert len({variant.program for variant in split.variants}) == len(split.variants) > 1
        assert all(variant.program.num_qubits <= limit for variant in split.variants)
        assert all(variant.program.num_slots == program.num_slots for variant in split.variants)
        for number, values in enumerate(parameters):
            wanted = [value(program, observable, values) for observable in sums]
            np.testing.assert_allclose(found[0].values.numpy()[number], wanted, rtol=0, atol=EXACT)
            np.testing.assert_allclose(
                found[1].values.numpy()[number], distribution(program, qubits, values), rtol=0, atol=EXACT
            )
        assert not found[0].standard_errors.numpy().any()
    assert cut >= 25


@pytest.mark.parametrize("kinds", KINDS, ids=["both", "gates", "wires"])
def test_standard_errors_hold_and_are_not_far_too_large(kinds: dict[str, Any]) -> None:
    off: list[float] = []
    for seed in range(100, 130):
        rng = np.random.default_rng(seed)
        width = int(rng.integers(4, 7))
        program = random_program(rng, width, int(rng.integers(1, 5)))
        sums = tuple(random_observable(rng, width) for _ in range(2))
        parameters = rng.uniform(-3, 3, (2, 2))
        try:
            _, (found,) = reconstructed(
                program, (Expectation(sums),), parameters, width - 1, shots=1000, seed=seed, **kinds
            )
        except TooLarge:
            continue
        wanted = np.array([[value(program, o, values) for o in sums] for values in parameters])
        errors = found.standard_errors.numpy()
        assert (errors > 0).all()
        off.extend(((found.values.numpy() - wanted) / errors).ravel())
    assert len(off) >= 60
    assert max(map(abs, off)) < 5
    assert 0.4 < np.sqrt(np.mean(np.square(off))) < 1.2


def test_sampled_distributions_come_near() -> None:
    program = Program(
        4, 0, 0, (on("h", 0), on("cx", 0, 1), on("ry", 1, at=0.7), on("cx", 1, 2), on("cx", 2, 3))
    )
    _, (found,) = reconstructed(program, (Probabilities((2, 0)),), np.zeros((1, 0)), 3, shots=20_000)
    values = found.values.numpy()[0]
    assert (values >= 0).all() and values.sum() == pytest.approx(1)
    np.testing.assert_allclose(values, distribution(program, (2, 0), ()), rtol=0, atol=0.05)


def test_one_cut_of_a_chain_takes_few_programs() -> None:
    outputs = (Expectation((PauliSum.of("Z0 Z5"), PauliSum.of("X0 X1 X2 X3 X4 X5"))),)
    split, (found,) = reconstructed(ladder(6), outputs, np.zeros((1, 0)), 4, gates=False)
    np.testing.assert_allclose(found.values.numpy(), [[1, 1]], atol=EXACT)
    # All Pauli matrices before the cut in one program, four states behind it.
    assert len(split.variants) == 5
    split, _ = reconstructed(ladder(6), outputs, np.zeros((1, 0)), 4, shots=100, gates=False)
    assert len(split.variants) == 7
    # The control's half is last: one program, and five for the target's.
    split, (found,) = reconstructed(ladder(6), outputs, np.zeros((1, 0)), 4, wires=False)
    np.testing.assert_allclose(found.values.numpy(), [[1, 1]], atol=EXACT)
    assert len(split.variants) == 6


def test_halves_that_are_last_cost_no_program_and_no_ancilla() -> None:
    width = 6
    program = Program(
        width, 0, 0, (*(on("h", q) for q in range(width)), *(on("cz", q, q + 1) for q in range(width - 1)))
    )
    words = tuple(PauliSum.of(f"Z{q - 1} X{q} Z{q + 1}") for q in range(1, width - 1))
    split, (found,) = reconstructed(
        program, (Expectation(words),), np.zeros((1, 0)), 3, cuts=[("gate", width + 2)]
    )
    np.testing.assert_allclose(found.values.numpy(), [[1] * len(words)], atol=EXACT)
    assert [variant.program.num_qubits for variant in split.variants] == [3, 3]


def test_a_chain_of_fragments_is_contracted_along_it() -> None:
    width = 24
    outputs = (Expectation((PauliSum.of(f"Z0 Z{width - 1}"), PauliSum.of("Z3"))),)
    split, (found,) = reconstructed(ladder(width), outputs, np.zeros((1, 0)), 3, max_cuts=16, gates=False)
    np.testing.assert_allclose(found.values.numpy(), [[1, 0]], atol=EXACT)
    assert len(split.notes) > 10
    assert max(variant.program.num_qubits for variant in split.variants) <= 3


def test_cut_gates_may_have_angles_of_slots() -> None:
    ops = (on("h", 0), on("ry", 1, at=0.4), on("crz", 0, 1, at=slot(0, 2.0, 0.3)), on("ry", 1, at=slot(1)))
    program = Program(2, 0, 2, ops)
    sums = (PauliSum.of({"X0 Z1": 1.0, "Y0": 0.5}), PauliSum.of("X1"))
    parameters = np.array([[0.3, 1.0], [-2.0, 0.2]])
    wanted = np.array([[value(program, o, values) for o in sums] for values in parameters])
    _, (found,) = reconstructed(program, (Expectation(sums),), parameters, 2, cuts=[["gate", 2]])
    np.testing.assert_allclose(found.values.numpy(), wanted, atol=EXACT)
    # Where the device is not exact the cosine is sampled too, and its error counts.
    exact = target(2)
    noisy = exact.__class__(exact.profile.__class__(**{**_fields(exact.profile), "exact": False}))
    split = TOOL.split(program, (Expectation(sums),), 4000, noisy, {"cuts": [["gate", 2]]})
    assert {variant.shots for variant in split.variants} == {4000}
    (found,) = TOOL.combine(split.recipe, answers(split, parameters))
    assert (np.abs(found.values.numpy() - wanted) < 5 * found.standard_errors.numpy()).all()


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def test_explicit_places_follow_swapped_qubits() -> None:
    ops = (
        on("ry", 0, at=0.8),
        on("cx", 0, 1),
        on("swap", 1, 2),
        on("iswap", 2, 3),
        on("ry", 2, at=0.5),
        on("ccx", 3, 2, 1),
    )
    program = Program(4, 0, 0, ops)
    sums = (PauliSum.of({"Z0 Z1": 1.0, "Z2 X3": 0.4, "": 2.0}), PauliSum.of("Z1"))
    wanted = [[value(program, o, ()) for o in sums]]
    for places in ([["gate", 3]], [["wire", 2, 3]], [["wire", 0, 1], ["gate", 1]], [["wire", 1, 1]]):
        split, (found,) = reconstructed(program, (Expectation(sums),), np.zeros((1, 0)), 5, cuts=places)
        np.testing.assert_allclose(found.values.numpy(), wanted, atol=EXACT)
        for place, note in zip(sorted(places, key=lambda p: p[0], reverse=True), split.notes, strict=False):
            assert (f"wire of qubit {place[1]}" if place[0] == "wire" else f"operation {place[1]}") in note


def test_a_program_that_fits_stays_one() -> None:
    outputs: tuple[Output, ...] = (Counts(), Expectation((PauliSum.of("Z0"),)))
    split, found = reconstructed(ladder(4), outputs, np.zeros((1, 0)), 4, shots=10)
    assert [variant.program for variant in split.variants] == [ladder(4)] and split.executions == 10
    assert len(found) == 2
    # Width by default: of the widest device of the mesh.
    assert len(TOOL.split(ladder(4), outputs, 10, target(2, 6), {}).variants) == 1
    # Pieces that nothing joins need no cut.
    apart = Program(4, 0, 0, (on("cx", 0, 1), on("cx", 2, 3)))
    split, (answer,) = reconstructed(apart, (Expectation((PauliSum.of("Z0 Z3"),)),), np.zeros((1, 0)), 2)
    assert answer.values.numpy() == [[1.0]] and "cut at" not in " ".join(split.notes)


def test_what_is_constant_has_as_many_sets() -> None:
    outputs = (Expectation((PauliSum.of({"": 1.5}), PauliSum(()))),)
    program = Program(3, 0, 1, (on("rzz", 0, 1, at=slot(0)), on("rx", 2, at=slot(0)), on("cx", 1, 2)))
    for shots in (0, 10):
        _, (found,) = reconstructed(program, outputs, np.zeros((4, 1)), 2, shots=shots, gates=False)
        np.testing.assert_allclose(found.values.numpy(), [[1.5, 0.0]] * 4, atol=EXACT)
        assert not found.standard_errors.numpy().any()


def test_executions_are_each_as_asked_or_a_total_divided() -> None:
    program = Program(3, 0, 0, (on("h", 0), on("rzz", 0, 1, at=0.2), on("h", 1), on("cx", 1, 2), on("h", 0)))
    outputs = (Expectation((PauliSum.of("Z0 Z2"),)),)
    each, _ = reconstructed(program, outputs, np.zeros((1, 0)), 3, shots=100, cuts=[["gate", 1]])
    assert {variant.shots for variant in each.variants} == {100}
    split, (found,) = reconstructed(
        program, outputs, np.zeros((1, 0)), 3, shots=10_000, cuts=[["gate", 1]], shots_="divided"
    )
    assert 9_990 <= split.executions <= 10_020
    # A small angle is mostly nothing: what stands for it gets most.
    most = max(split.variants, key=lambda variant: variant.shots)
    assert not {"z", "s", "sdg"} & {gate.name for gate in most.program.gates()}
    assert abs(found.values.numpy() - value(program, PauliSum.of("Z0 Z2"), ())) < 5 * (
        found.standard_errors.numpy()
    )


def test_the_search_is_repeatable_and_balances() -> None:
    outputs = (Expectation((PauliSum.of("Z0"),)),)
    program = random_program(np.random.default_rng(4), 7, 6)
    first, second = (TOOL.split(program, outputs, 0, target(5), {"max_cuts": 8, "seed": 3}) for _ in range(2))
    assert first == second
    notes = " ".join(TOOL.split(ladder(36), outputs, 0, target(20), {}).notes)
    assert "fragments of 18, 18 qubits" in notes and "cx(17, 18)" in notes and "9 × executions" in notes


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (Reset(1), "operation 1 is a reset"),
        (IfElse((0,), 1, (on("x", 0),)), "operation 1 is a ifelse"),
        (on("x", 0), "operation 1, x, acts on qubit 0 behind its measurement"),
    ],
)
def test_control_is_refused_with_its_place(operation: Operation, words: str) -> None:
    program = Program(4, 1, 0, (Measure(0, 0), operation))
    with pytest.raises(UnsupportedFeature, match=words):
        TOOL.split(program, (Expectation((PauliSum.of("Z0"),)),), 0, target(3), {})


@pytest.mark.parametrize("output", [Counts(), Memory(), Statevector()])
def test_outputs_that_cannot_be_put_together(output: Output) -> None:
    with pytest.raises(UnsupportedFeature, match="ask for probabilities"):
        TOOL.split(ladder(4), (output,), 0, target(3), {})


def test_too_much_is_refused_with_what_can_be_reached() -> None:
    complete = Program(6, 0, 0, tuple(on("cz", a, b) for a in range(6) for b in range(a)))
    outputs = (Expectation((PauliSum.of("Z0"),)),)
    with pytest.raises(TooLarge, match=r"with at most 1 cuts of gates .* 6 in its widest fragment, not 4"):
        TOOL.split(complete, outputs, 0, target(4), {"max_cuts": 1, "wires": False})
    with pytest.raises(TooLarge, match="22 qubits of a cut program; at most 20"):
        TOOL.split(ladder(22), (Probabilities(),), 0, target(12), {})
    with pytest.raises(TooLarge, match="the widest program has 5 qubits"):
        TOOL.split(ladder(6), outputs, 0, target(4), {"cuts": [["gate", 5]]})
    with pytest.raises(TooLarge, match="more than 20000 programs"):
        wide = Program(8, 0, 0, tuple(on("rxx", q % 4, 4 + q % 3, at=0.1) for q in range(16)))
        TOOL.split(wide, outputs, 0, target(8), {"cuts": [["gate", q] for q in range(16)]})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_qubit": 3}, "did you mean 'max_qubits'"),
        ({"max_cuts": 17}, "max_cuts of tool cut is a whole number from 0 to 16"),
        ({"gates": 1}, "gates of tool cut is true or false"),
        ({"gates": False, "wires": False}, "nothing to cut"),
        ({"shots": "some"}, "'each' or 'divided'"),
        ({"cuts": [["gate"]]}, "option cuts"),
        ({"cuts": [["wire", 1, -2]]}, "option cuts"),
        ({"cuts": "gate"}, "option cuts"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        CutTool.check_options(options)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (["gate", 0], "operation 0, h, is no gate that can be cut"),
        (["gate", 9], "the program has 4 operations"),
        (["wire", 7, 1], "a wire of qubit 7"),
        (["wire", 0, 2], "nothing follows on it"),
    ],
)
def test_places_where_nothing_can_be_cut(place: list[Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        TOOL.split(ladder(4), (Expectation((PauliSum.of("Z0"),)),), 0, target(3), {"cuts": [place]})


def test_a_recipe_that_is_none() -> None:
    with pytest.raises(OptionError, match="no recipe"):
        TOOL.combine(b"\x01", [])
