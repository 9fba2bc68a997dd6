"""Tool `cut` against qiskit-addon-cutting: values, factors and numbers of programs, of the same circuits and cuts."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest

addon = pytest.importorskip(
    "qiskit_addon_cutting",
    reason="the yardstick of the tool cut is no dependency of QFw; runs in make test-versions",
)
from qiskit import QuantumCircuit  # noqa: E402
from qiskit.circuit.library import XGate  # noqa: E402
from qiskit.primitives import SamplerResult  # noqa: E402
from qiskit.quantum_info import Operator, PauliList, SparsePauliOp, Statevector  # noqa: E402
from qiskit_addon_cutting.instructions import CutWire  # noqa: E402

from qfw.engines.reference import ReferenceEngine  # noqa: E402
from qfw.formats.lowering import lower  # noqa: E402
from qfw.formats.qiskit import loads  # noqa: E402
from qfw.model.device import DeviceKind, DeviceProfile  # noqa: E402
from qfw.model.gates import GATES  # noqa: E402
from qfw.model.observable import PauliSum  # noqa: E402
from qfw.model.outputs import Expectation  # noqa: E402
from qfw.qpm.tool import Split, Target  # noqa: E402
from qfw.toolchain.cut import CutTool  # noqa: E402
from qfw.toolchain.cut_places import cost, explicit  # noqa: E402
from qfw.toolchain.cut_steps import Steps  # noqa: E402

SHOTS = 2**14
TOOL = CutTool()
#: Words on the circuits' four qubits, qubit 0 first.
WORDS = ("ZZZZ", "XIIX", "IYZI", "ZIIZ", "XXXX")


def circuit(name: str, *angles: float) -> QuantumCircuit:
    """Four qubits, of which the gate called `name` joins the first two with the last two."""
    made = QuantumCircuit(4)
    for qubit in range(4):
        made.ry(0.4 + 0.3 * qubit, qubit)
    made.cx(0, 1)
    made.cx(2, 3)
    getattr(made, name)(*angles, 1, 2)
    for qubit in range(4):
        made.rx(0.2 + 0.5 * qubit, qubit)
    made.cx(0, 1)
    made.cz(2, 3)
    return made


def ours(made: QuantumCircuit, places: list[list[Any]], shots: int = 0) -> tuple[Split, np.ndarray, float]:
    """The tool's split, its values, and its factor in executions."""
    program = loads(made)
    sums = tuple(
        PauliSum.of(" ".join(f"{letter}{qubit}" for qubit, letter in enumerate(word) if letter != "I"))
        for word in WORDS
    )
    profile = DeviceProfile("sim", DeviceKind.SIMULATOR, "reference", 4, tuple(GATES), ("expectation",), 1)
    split = TOOL.split(program, (Expectation(sums),), shots, Target(profile), {"cuts": places})
    engine = ReferenceEngine(1, 1)
    answers = [
        engine.run(
            engine.prepare(lower(v.program, engine.native_gates)),
            v.outputs,
            np.zeros((1, 0)),
            v.shots,
            [number],
        )
        for number, v in enumerate(split.variants)
    ]
    (found,) = TOOL.combine(split.recipe, answers)
    steps = Steps.of(program)
    return (
        split,
        found.values.numpy()[0],  # type: ignore[union-attr]
        exp(cost(steps, explicit(program, steps, [tuple(place) for place in places]))),
    )


def theirs(made: QuantumCircuit, labels: str | None) -> tuple[int, np.ndarray, float]:
    """The addon's number of circuits, its values, and its factor."""
    words = PauliList([word[::-1] for word in WORDS])
    if labels is None:
        moved = addon.cut_wires(made)
        words = addon.expand_observables(words, made, moved)
        made = moved
    problem = addon.partition_problem(made, partition_labels=labels, observables=words)
    experiments, coefficients = addon.generate_cutting_experiments(
        problem.subcircuits, problem.subobservables, num_samples=np.inf
    )
    results = {
        label: SamplerResult([outcomes(each) for each in found], [{}] * len(found))
        for label, found in experiments.items()
    }
    terms = addon.reconstruct_expectation_values(results, coefficients, problem.subobservables)
    return (
        sum(map(len, experiments.values())),
        np.array(terms),
        float(np.prod([basis.overhead for basis in problem.bases])),
    )


def outcomes(made: QuantumCircuit) -> dict[int, float]:
    """Probability of each outcome of a circuit that measures and resets anywhere, exactly."""
    branches = [(Statevector.from_label("0" * made.num_qubits), 0)]
    for step in made.data:
        qubits = [made.find_bit(qubit).index for qubit in step.qubits]
        name = step.operation.name
        if name == "barrier":
            continue
        if name not in ("measure", "reset"):
            branches = [(state.evolve(step.operation, qubits), bits) for state, bits in branches]
            continue
        after = []
        for state, bits in branches:
            for value in (0, 1):
                kept = state.evolve(Operator(np.diag([1 - value, value])), qubits)
                if name == "reset" and value:
                    kept = kept.evolve(XGate(), qubits)
                elif value:
                    bits |= 1 << made.find_bit(step.clbits[0]).index
                if np.linalg.norm(kept.data) > 1e-9:
                    after.append((kept, bits))
        branches = after
    found: dict[int, float] = {}
    for state, bits in branches:
        found[bits] = found.get(bits, 0.0) + float(np.linalg.norm(state.data) ** 2)
    return found


def exact(made: QuantumCircuit) -> np.ndarray:
    """The uncut circuit's values, by Qiskit."""
    state = Statevector(made)
    return np.array([state.expectation_value(SparsePauliOp(word[::-1])).real for word in WORDS])


@pytest.mark.parametrize(
    ("name", "angles"),
    [
        ("cx", ()),
        ("cz", ()),
        ("cy", ()),
        ("ch", ()),
        ("csx", ()),
        ("ecr", ()),
        ("rzz", (0.7,)),
        ("rxx", (-1.9,)),
        ("ryy", (2.4,)),
        ("crz", (1.3,)),
        ("crx", (0.9,)),
        ("cry", (-2.2,)),
        ("cp", (0.6,)),
    ],
)
def test_a_cut_gate(name: str, angles: tuple[float, ...]) -> None:
    made = circuit(name, *angles)
    split, values, factor = ours(made, [["gate", 6]])
    number, known, overhead = theirs(made, "AABB")
    np.testing.assert_allclose(values, exact(made), atol=1e-10)
    np.testing.assert_allclose(known, values, atol=1e-9)
    assert factor == pytest.approx(overhead)
    assert len(split.variants) <= 10 and len(split.variants) < number


def test_two_cut_gates() -> None:
    made = circuit("rzz", 0.7).compose(circuit("cx"))
    places = [
        number for number, op in enumerate(made.data) if [made.find_bit(q).index for q in op.qubits] == [1, 2]
    ]
    split, values, factor = ours(made, [["gate", place] for place in places])
    number, known, overhead = theirs(made, "AABB")
    np.testing.assert_allclose(values, exact(made), atol=1e-10)
    np.testing.assert_allclose(known, values, atol=1e-9)
    assert factor == pytest.approx(overhead)
    assert len(split.variants) < number


def test_a_cut_wire() -> None:
    made, marked = (QuantumCircuit(4) for _ in range(2))
    for each in (made, marked):
        for qubit in range(4):
            each.ry(0.4 + 0.3 * qubit, qubit)
        each.cx(0, 1)
        each.rx(0.8, 1)
        if each is marked:
            each.append(CutWire(), [1])
        each.cx(1, 2)
        each.ry(0.5, 2)
        each.cx(2, 3)
    split, values, factor = ours(made, [["wire", 1, 6]])
    number, known, overhead = theirs(marked, None)
    np.testing.assert_allclose(values, exact(made), atol=1e-10)
    np.testing.assert_allclose(known, values, atol=1e-9)
    assert factor == pytest.approx(overhead)
    assert len(split.variants) == 5 < number


def test_as_many_executions_give_as_small_an_error() -> None:
    """With shots, against the exact values: ours are no further off than the factor says."""
    made = circuit("cx")
    split, values, factor = ours(made, [["gate", 6]], shots=SHOTS)
    assert np.abs(values - exact(made)).max() < 6 * np.sqrt(factor / SHOTS)
    assert split.executions == SHOTS * len(split.variants)
