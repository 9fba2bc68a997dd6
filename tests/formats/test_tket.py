"""Programs as pytket's circuits: every gate against pytket's own unitary, and back without loss."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pytket")

import sympy
from hypothesis import given, settings
from pytket.circuit import Circuit, OpType

from qfw.formats import tket
from qfw.model.errors import UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Affine, Delay, Gate, IfElse, Measure, Program, Reset, slot
from qfw.numerics.states import evolve
from tests.toolchain.programs import PARAMETERS, straight


def unitary(program: Program) -> np.ndarray:
    """Row and column index: qubit 0 the least significant bit."""
    found = np.eye(2**program.num_qubits, dtype=complex)
    bound = program.bound(PARAMETERS[: program.num_slots]) if program.num_slots else program
    evolve(found, [op for op in bound.operations if isinstance(op, Gate)], program.num_qubits)
    return found


def theirs(circuit: Circuit) -> np.ndarray:
    """pytket's unitary, whose qubit 0 is the most significant bit, with ours least."""
    symbols = {sympy.Symbol(f"s{i:07d}"): value for i, value in enumerate(PARAMETERS)}
    circuit.symbol_substitution({s: v for s, v in symbols.items() if s in circuit.free_symbols()})
    qubits = circuit.n_qubits
    found = circuit.get_unitary()
    order = [int(f"{i:0{qubits}b}"[::-1], 2) for i in range(2**qubits)]
    return found[np.ix_(order, order)]


@pytest.mark.parametrize("name", GATES)
def test_every_gate_is_pytkets(name: str) -> None:
    spec = GATES[name]
    qubits = (2, 0, 1)[: spec.num_qubits]
    angles = tuple(0.3 + 0.9 * i for i in range(spec.num_angles))
    program = Program(3, 0, 0, (Gate(name, qubits, angles),))
    # The global phase is the same, too.
    assert np.allclose(theirs(tket.outward(program)), unitary(program), atol=1e-10)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(program=straight())
def test_there_and_back(program: Program) -> None:
    circuit = tket.outward(program)
    found = tket.back(circuit, program.num_qubits, program.num_slots)
    assert found is not None and found.num_slots == program.num_slots
    assert np.allclose(unitary(found), unitary(program), atol=1e-9)
    assert np.allclose(theirs(circuit), unitary(program), atol=1e-9)


def test_slots_stay_affine() -> None:
    angle = Affine(((0, 0.5), (2, -1.25)), 0.75)
    found = tket.back(tket.outward(Program(1, 0, 3, (Gate("rz", (0,), (angle,)),))), 1, 3)
    assert found is not None
    (gate,) = found.operations
    assert isinstance(gate, Gate) and isinstance(gate.angles[0], Affine)
    assert [s for s, _ in gate.angles[0].terms] == [0, 2]
    assert (
        np.allclose([c for _, c in gate.angles[0].terms], [0.5, -1.25])
        and abs(gate.angles[0].offset - 0.75) < 1e-12
    )


def test_tk1_is_turned_into_what_it_is() -> None:
    circuit = Circuit(1).add_gate(OpType.TK1, [0.3, -0.7, 1.1], [0])
    found = tket.back(circuit, 1, 0)
    assert found is not None and np.allclose(unitary(found), circuit.get_unitary(), atol=1e-12)


@pytest.mark.parametrize(
    "text", ["s0000000**2", "sin(s0000000)", "s0000000*s0000001", "atan2(s0000000, 1)", "I"]
)
def test_what_is_not_affine_is_none(text: str) -> None:
    names = {f"s000000{i}": sympy.Symbol(f"s000000{i}") for i in range(2)}
    assert tket._angle(sympy.sympify(text, locals=names)) is None


@pytest.mark.parametrize("op", [Measure(0, 0), Reset(0), Delay(0, 5), IfElse((0,), 1, ())])
def test_more_than_gates_is_refused(op: object) -> None:
    with pytest.raises(UnsupportedFeature, match="gates and barriers only"):
        tket.outward(Program(1, 1, 0, (op,)))  # type: ignore[arg-type]


def test_a_gate_without_a_counterpart_is_named() -> None:
    with pytest.raises(UnsupportedFeature, match="PhasedX"):
        tket.back(Circuit(1).add_gate(OpType.PhasedX, [0.1, 0.2], [0]), 1, 0)


def test_slots_are_told_by_their_numbers() -> None:
    assert tket._angle(sympy.Symbol("s0000011") * 2 + sympy.Rational(1, 2)) == slot(11, 2 * np.pi, np.pi / 2)
