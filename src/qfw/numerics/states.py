"""States under a program's gates, one gate after another: for whoever wants to know what a program does.

Engines fuse, batch and thread; this does not, so that it can be read, and so that it can be held against them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.program import (
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
from qfw.numerics.gates import matrix

Complex = npt.NDArray[np.complex128]


def ground(num_qubits: int, columns: int = 1) -> Complex:
    """|0…0>, so many times: shape (2**num_qubits, columns)."""
    found = np.zeros((2**num_qubits, columns), dtype=np.complex128)
    found[0] = 1.0
    return found


def evolve(states: Complex, gates: Iterable[Gate], num_qubits: int) -> None:
    """Lets bound gates act on states, in place.

    Args:
        states: shape (2**num_qubits, columns), C-contiguous; qubit 0 is the least significant bit of a row's number.
        gates: without slots.
        num_qubits: of the states.
    """
    tensor = states.reshape((2,) * num_qubits + (-1,))
    for gate in gates:
        act(tensor, gate, num_qubits)


def act(tensor: Complex, gate: Gate, num_qubits: int) -> None:
    """Lets one bound gate act, in place, on states of shape (2, … 2, columns); qubit q is axis num_qubits - 1 - q."""
    rows = matrix(gate.name, *(_constant(angle) for angle in gate.angles))
    size = len(rows)
    parts = [tensor[_where(gate.qubits, row, num_qubits)] for row in range(size)]
    changed: list[tuple[int, Complex]] = []
    for row in range(size):
        entries = [(column, rows[row, column]) for column in range(size) if rows[row, column] != 0]
        if entries != [(row, 1.0)]:
            total = entries[0][1] * parts[entries[0][0]]
            for column, entry in entries[1:]:
                total += entry * parts[column]
            changed.append((row, total))
    for row, total in changed:
        parts[row][...] = total


def slots_filled(program: Program, values: npt.ArrayLike) -> Program:
    """The program with these values, shape (slots,), in place of its slots."""
    return program.bound(values) if program.num_slots else program


def random_products(num_qubits: int, columns: int, rng: np.random.Generator) -> Complex:
    """States of which each qubit is in a random state of its own: shape (2**num_qubits, columns)."""
    found = np.ones((1, columns), dtype=np.complex128)
    for _ in range(num_qubits):
        # The next qubit is the more significant one.
        one = rng.normal(size=(2, columns)) + 1j * rng.normal(size=(2, columns))
        one /= np.linalg.norm(one, axis=0)
        found = (one[:, None, :] * found[None, :, :]).reshape(-1, columns)
    return np.ascontiguousarray(found)


def spread(states: Complex, places: Sequence[int], num_qubits: int) -> Complex:
    """The states in a wider register: qubit q is qubit places[q] there, all others are |0>."""
    index = np.zeros(len(states), dtype=np.int64)
    numbers = np.arange(len(states))
    for qubit, place in enumerate(places):
        index |= (numbers >> qubit & 1) << place
    found = np.zeros((2**num_qubits, states.shape[1]), dtype=np.complex128)
    found[index] = states
    return found


def narrowed(program: Program, kept: Sequence[int]) -> Program:
    """The program on these of its qubits, among which are all that it touches, in this order."""
    index = {qubit: number for number, qubit in enumerate(kept)}
    return Program(
        max(len(kept), 1), program.num_clbits, program.num_slots, tuple(_moved(program.operations, index))
    )


def _moved(operations: Iterable[Operation], index: dict[int, int]) -> Iterator[Operation]:
    for op in operations:
        match op:
            case Gate():
                yield Gate(op.name, tuple(index[q] for q in op.qubits), op.angles)
            case Measure() | Reset():
                yield msgspec.structs.replace(op, qubit=index[op.qubit])
            case IfElse():
                then, otherwise = (tuple(_moved(block, index)) for block in (op.then, op.otherwise))
                yield IfElse(op.clbits, op.value, then, otherwise)
            case While():
                yield While(op.clbits, op.value, tuple(_moved(op.body, index)), op.max_trips)
            case Barrier() | Delay():
                pass


def _where(qubits: Sequence[int], row: int, num_qubits: int) -> tuple[slice | int, ...]:
    """Index of the part of the states in which these qubits, the first the most significant, have the bits of `row`."""
    found: list[slice | int] = [slice(None)] * (num_qubits + 1)
    for position, qubit in enumerate(qubits):
        found[num_qubits - 1 - qubit] = row >> (len(qubits) - 1 - position) & 1
    return tuple(found)


def _constant(angle: object) -> float:
    assert isinstance(angle, float | int), "gates are bound before they act"
    return float(angle)
