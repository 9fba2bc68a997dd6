"""Exact probabilities of programs with control, by going down all branches."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from qfw.model.program import Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.numerics import gates


def exact(program: Program, parameters: Any = ()) -> dict[int, float]:
    """Probability of every outcome (bit i is classical bit i), by going down all branches."""
    bound = program.bound(parameters) if program.num_slots else program
    operations = list(bound.operations)
    if not program.has_measurements:
        operations += [Measure(q, q) for q in range(program.num_qubits)]
    start = np.zeros(2**program.num_qubits, dtype=complex)
    start[0] = 1
    found: dict[int, float] = defaultdict(float)
    _descend(start, 0, operations, found)
    return dict(found)


def _descend(state: np.ndarray, bits: int, rest: list[Operation], found: dict[int, float]) -> None:
    # `state` is not normalised: its square is the probability of this branch.
    for position, op in enumerate(rest):
        behind = rest[position + 1 :]
        match op:
            case Gate():
                state = _applied(state, op)
            case Measure() | Reset():
                ones = (np.arange(state.size) >> op.qubit & 1).astype(bool)
                for outcome in (0, 1):
                    kept = np.where(ones == bool(outcome), state, 0)
                    if np.vdot(kept, kept).real < 1e-15:
                        continue
                    after = bits
                    if isinstance(op, Measure):
                        after = bits & ~(1 << op.clbit) | outcome << op.clbit
                    elif outcome:
                        kept = _applied(kept, Gate("x", (op.qubit,)))
                    _descend(kept, after, behind, found)
                return
            case IfElse():
                chosen = op.then if _holds(op, bits) else op.otherwise
                return _descend(state, bits, [*chosen, *behind], found)
            case While():
                if not op.max_trips or not _holds(op, bits):
                    continue
                again = While(op.clbits, op.value, op.body, op.max_trips - 1)
                return _descend(state, bits, [*op.body, again, *behind], found)
    found[bits] += np.vdot(state, state).real


def _holds(op: IfElse | While, bits: int) -> bool:
    return sum((bits >> clbit & 1) << place for place, clbit in enumerate(op.clbits)) == op.value


def _applied(state: np.ndarray, gate: Gate) -> np.ndarray:
    width = state.size.bit_length() - 1
    count = len(gate.qubits)
    tensor = state.reshape((2,) * width)
    axes = [width - 1 - qubit for qubit in gate.qubits]
    matrix = gates.matrix(gate.name, *gate.angles).reshape((2,) * (2 * count))
    moved = np.tensordot(matrix, tensor, axes=(list(range(count, 2 * count)), axes))
    return np.moveaxis(moved, list(range(count)), axes).reshape(-1)
