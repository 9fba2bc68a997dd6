"""A small interpreter of Programs, control included: exact, slow, and written apart from every engine."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from qfw.model.program import Barrier, Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.numerics.gates import matrix

#: Branches less probable than this are dropped.
NEGLIGIBLE = 1e-12
#: Trips that a test's loop may take, until what still runs is negligible.
MAX_TRIPS = 60


class Branch(NamedTuple):
    """One run of events: an unnormalised state of shape (2,) * qubits, qubit 0 last; and bits."""

    state: np.ndarray
    bits: tuple[int, ...]


def unitary(program: Program) -> np.ndarray:
    """The matrix of a program of gates."""
    size = 2**program.num_qubits
    columns = np.eye(size, dtype=complex)
    return np.column_stack(
        [_run(program.operations, [_branch(program, column)])[0].state.reshape(size) for column in columns]
    )


def distribution(program: Program) -> dict[str, float]:
    """Probability of every string of classical bits, bit 0 rightmost; of a program without slots."""
    start = np.zeros(2**program.num_qubits, dtype=complex)
    start[0] = 1
    found: dict[str, float] = defaultdict(float)
    for branch in _run(program.operations, [_branch(program, start)]):
        found["".join(map(str, reversed(branch.bits)))] += np.vdot(branch.state, branch.state).real
    return dict(found)


def _branch(program: Program, state: np.ndarray) -> Branch:
    return Branch(state.reshape((2,) * program.num_qubits), (0,) * program.num_clbits)


def _run(operations: tuple[Operation, ...], branches: list[Branch]) -> list[Branch]:
    for op in operations:
        branches = [after for branch in branches for after in _step(op, branch)]
    return branches


def _step(op: Operation, branch: Branch) -> list[Branch]:
    match op:
        case Gate():
            return [branch._replace(state=_applied(op, branch.state))]
        case Barrier():
            return [branch]
        case Measure():
            return [
                Branch(state, (*branch.bits[: op.clbit], bit, *branch.bits[op.clbit + 1 :]))
                for bit, state in _projections(branch.state, op.qubit)
            ]
        case Reset():
            return [
                branch._replace(state=_applied(Gate("x", (op.qubit,)), state) if bit else state)
                for bit, state in _projections(branch.state, op.qubit)
            ]
        case IfElse():
            return _run(op.then if _holds(op, branch) else op.otherwise, [branch])
        case While():
            ended, running = [], [branch]
            for _ in range(min(op.max_trips, MAX_TRIPS)):
                ended += [b for b in running if not _holds(op, b)]
                running = _run(op.body, [b for b in running if _holds(op, b)])
            assert all(np.linalg.norm(b.state) < 1e-6 or not _holds(op, b) for b in running)
            return ended + running
    raise AssertionError(op)


def _holds(op: IfElse | While, branch: Branch) -> bool:
    return all(branch.bits[clbit] == op.value >> i & 1 for i, clbit in enumerate(op.clbits))


def _projections(state: np.ndarray, qubit: int) -> list[tuple[int, np.ndarray]]:
    axis, found = state.ndim - 1 - qubit, []
    for bit in (0, 1):
        kept = np.zeros_like(state)
        where = tuple(bit if i == axis else slice(None) for i in range(state.ndim))
        kept[where] = state[where]
        if np.vdot(kept, kept).real > NEGLIGIBLE:
            found.append((bit, kept))
    return found


def _applied(gate: Gate, state: np.ndarray) -> np.ndarray:
    if gate.name == "gphase":
        return state * np.exp(1j * gate.angles[0])
    count = len(gate.qubits)
    axes = [state.ndim - 1 - qubit for qubit in gate.qubits]
    tensor = matrix(gate.name, *gate.angles).reshape((2,) * (2 * count))
    return np.moveaxis(np.tensordot(tensor, state, axes=(range(count, 2 * count), axes)), range(count), axes)
