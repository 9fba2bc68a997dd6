"""Random programs with slots and control, and whether a lowered one does the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from qfw.model.gates import GATES
from qfw.model.program import (
    Affine,
    Angle,
    Barrier,
    Delay,
    Gate,
    IfElse,
    Measure,
    Operation,
    Program,
    Reset,
    While,
)
from qfw.testing.expected import states
from tests.engines.branches import exact

NUM_SLOTS = 3
PARAMETERS = (0.7, -1.9, 2.3)
#: A program without qubits' worth of doubt: what rounding leaves.
EXACT = 1e-9

_ROUND = st.sampled_from([0.0, np.pi, -np.pi / 2, np.pi / 4, 2 * np.pi, -0.3, 1.1])
_NUMBERS = _ROUND | st.floats(-7, 7, allow_nan=False)
_COEFFICIENTS = st.sampled_from([1.0, -1.0, 2.0, 0.5, -0.37])


@st.composite
def angles(draw: st.DrawFn) -> Angle:
    if draw(st.booleans()):
        return draw(_NUMBERS)
    terms = draw(st.dictionaries(st.integers(0, NUM_SLOTS - 1), _COEFFICIENTS, min_size=1, max_size=2))
    return Affine(tuple(sorted(terms.items())), draw(_NUMBERS))


@st.composite
def gates(draw: st.DrawFn, width: int) -> Gate:
    # Few names and qubits often: so that there is something to reduce.
    names = [name for name, spec in GATES.items() if spec.num_qubits <= width]
    common = [name for name in ("h", "x", "t", "s", "rz", "rx", "p", "cx", "cz") if name in names]
    name = draw(st.sampled_from(common) | st.sampled_from(names))
    order = draw(st.permutations(range(width)))
    spec = GATES[name]
    return Gate(name, tuple(order[: spec.num_qubits]), tuple(draw(angles()) for _ in range(spec.num_angles)))


@st.composite
def straight(draw: st.DrawFn, max_qubits: int = 4, max_gates: int = 14, measured: bool = False) -> Program:
    """Gates and barriers; with `measured` every qubit may be measured, each behind its last gate."""
    width = draw(st.integers(1, max_qubits))
    operations: list[Operation] = list(draw(st.lists(gates(width), min_size=1, max_size=max_gates)))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(operations)))
        operations.insert(at, Barrier(tuple(range(draw(st.integers(0, width))))))
    clbits = draw(st.integers(1, 3)) if measured else 0
    if measured:
        for qubit in draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=4)):
            last = max((i for i, op in enumerate(operations) if _uses(op, qubit)), default=-1)
            at = draw(st.integers(last + 1, len(operations)))
            operations.insert(at, Measure(qubit, draw(st.integers(0, clbits - 1))))
    program = Program(width, clbits, NUM_SLOTS, tuple(operations))
    program.check()
    return program


def _uses(op: Operation, qubit: int) -> bool:
    return isinstance(op, Gate) and qubit in op.qubits


@st.composite
def blocks(draw: st.DrawFn, width: int, clbits: int, depth: int, size: int) -> tuple[Operation, ...]:
    found: list[Operation] = []
    for _ in range(draw(st.integers(0, size))):
        kind = draw(st.sampled_from(["gate"] * 5 + ["measure", "reset", "barrier", "if", "while"]))
        qubit = draw(st.integers(0, width - 1))
        if kind == "gate" or (kind in ("if", "while") and not depth):
            found.append(draw(gates(width)))
        elif kind == "measure":
            found.append(Measure(qubit, draw(st.integers(0, clbits - 1))))
        elif kind == "reset":
            found.append(Reset(qubit))
        elif kind == "barrier":
            found.append(Barrier((qubit,)))
        else:
            bits = tuple(draw(st.lists(st.integers(0, clbits - 1), min_size=1, max_size=2)))
            # Now and then a value that the bits cannot have.
            value = draw(st.integers(0, 2 ** len(bits)))
            inner = blocks(width, clbits, depth - 1, 3)
            if kind == "if":
                found.append(IfElse(bits, value, draw(inner), draw(inner)))
            else:
                found.append(While(bits, value, draw(inner), draw(st.integers(1, 3))))
    return tuple(found)


@st.composite
def controlled(draw: st.DrawFn, max_qubits: int = 3) -> Program:
    """Measurements, resets, branches and loops anywhere; something is measured at the end."""
    width, clbits = draw(st.integers(1, max_qubits)), draw(st.integers(1, 3))
    operations = draw(blocks(width, clbits, 2, 7))
    program = Program(width, clbits, NUM_SLOTS, (*operations, Measure(width - 1, 0)))
    program.check()
    return program


def same_distribution(program: Program, lowered: Program, layout: Sequence[int] | None = None) -> None:
    """Every outcome has the same probability; of programs that measure nothing, of the qubits that these came to."""
    narrow, places = compact(lowered, layout, program.num_qubits)
    if not program.has_measurements:
        ending = tuple(Measure(place, qubit) for qubit, place in enumerate(places))
        narrow = Program(
            narrow.num_qubits, program.num_qubits, narrow.num_slots, (*narrow.operations, *ending)
        )
    wanted, found = exact(program, PARAMETERS), exact(narrow, PARAMETERS)
    for outcome in {*wanted, *found}:
        assert abs(wanted.get(outcome, 0.0) - found.get(outcome, 0.0)) < EXACT, (outcome, wanted, found)


def same_state(
    program: Program, lowered: Program, layout: Sequence[int] | None = None, phase: bool = False
) -> None:
    """The final states agree on the qubits that the program's came to, the others being |0>; with `phase` exactly."""
    narrow, places = compact(lowered, layout, program.num_qubits)
    values = np.array([PARAMETERS])
    (found,), (given,) = states(narrow, values), states(program, values)
    wanted = np.zeros(2**narrow.num_qubits, dtype=complex)
    for index, amplitude in enumerate(given):
        wanted[sum((index >> qubit & 1) << place for qubit, place in enumerate(places))] = amplitude
    overlap = np.vdot(wanted, found)
    assert abs(abs(overlap) - 1) < EXACT
    if phase:
        assert np.allclose(wanted, found, atol=EXACT)


def compact(program: Program, layout: Sequence[int] | None, width: int) -> tuple[Program, list[int]]:
    """The program on those of its qubits that something acts on, and where `layout` leads there."""
    places = list(range(width)) if layout is None else list(layout)
    active = sorted({*places, *_active(program.operations)})
    index = {qubit: number for number, qubit in enumerate(active)}
    moved = tuple(_moved(op, index) for op in program.operations)
    narrow = Program(len(active), program.num_clbits, program.num_slots, moved)
    narrow.check()
    return narrow, [index[place] for place in places]


def _active(operations: Sequence[Operation]) -> set[int]:
    found: set[int] = set()
    for op in operations:
        match op:
            case Gate():
                found.update(op.qubits)
            case Measure() | Reset() | Delay():
                found.add(op.qubit)
            case IfElse():
                found |= _active((*op.then, *op.otherwise))
            case While():
                found |= _active(op.body)
    return found


def _moved(op: Operation, index: dict[int, int]) -> Operation:
    match op:
        case Gate():
            return Gate(op.name, tuple(index[q] for q in op.qubits), op.angles)
        case Measure():
            return Measure(index[op.qubit], op.clbit)
        case Reset():
            return Reset(index[op.qubit])
        case Delay():
            return Delay(index[op.qubit], op.duration_ns)
        case Barrier():
            return Barrier(tuple(index[q] for q in op.qubits if q in index))
        case IfElse():
            then, otherwise = (tuple(_moved(o, index) for o in ops) for ops in (op.then, op.otherwise))
            return IfElse(op.clbits, op.value, then, otherwise)
        case While():
            return While(op.clbits, op.value, tuple(_moved(o, index) for o in op.body), op.max_trips)
