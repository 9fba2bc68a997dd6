"""Exact distributions of the outcomes of small programs: every branch is followed, in NumPy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from format_yardstick import CLASSES
from qiskit.quantum_info import Operator

from qfw.model.program import Gate, IfElse, Measure, Operation, Program, Reset, While

State = npt.NDArray[np.complex128]
#: Classical bits, bit 0 first, and what the state is there, its norm the probability.
Branch = tuple[tuple[int, ...], State]


def outcomes(program: Program) -> dict[str, float]:
    """Probability of every bit string; classical bit 0 is the rightmost."""
    start = np.zeros((2,) * program.num_qubits, complex)
    start[(0,) * program.num_qubits] = 1
    found: dict[str, float] = defaultdict(float)
    for bits, state in _run(program.operations, [((0,) * program.num_clbits, start)]):
        found["".join(map(str, reversed(bits)))] += float(np.vdot(state, state).real)
    return dict(found)


def _run(operations: Sequence[Operation], branches: list[Branch]) -> list[Branch]:
    for op in operations:
        match op:
            case Gate("gphase", _, (angle,)):
                branches = [(bits, np.exp(1j * angle) * state) for bits, state in branches]
            case Gate():
                branches = [(bits, _applied(op, state)) for bits, state in branches]
            case Measure():
                branches = [
                    ((*bits[: op.clbit], value, *bits[op.clbit + 1 :]), _projected(state, op.qubit, value))
                    for bits, state in branches
                    for value in (0, 1)
                ]
            case Reset():
                flip = Gate("x", (op.qubit,))
                branches = [
                    (bits, _applied(flip, part) if value else part)
                    for bits, state in branches
                    for value in (0, 1)
                    for part in [_projected(state, op.qubit, value)]
                ]
            case IfElse():
                sides: dict[bool, list[Branch]] = {True: [], False: []}
                for branch in branches:
                    sides[_holds(op, branch[0])].append(branch)
                branches = _run(op.then, sides[True]) + _run(op.otherwise, sides[False])
            case While():
                ended: list[Branch] = []
                for _ in range(op.max_trips):
                    ended += [branch for branch in branches if not _holds(op, branch[0])]
                    branches = _run(op.body, [branch for branch in branches if _holds(op, branch[0])])
                    if not branches:
                        break
                branches += ended
        branches = [branch for branch in branches if np.vdot(branch[1], branch[1]).real > 1e-14]
    return branches


def _holds(op: IfElse | While, bits: tuple[int, ...]) -> bool:
    # A value that the bits cannot have is never theirs.
    return sum(bits[clbit] << place for place, clbit in enumerate(op.clbits)) == op.value


def _applied(gate: Gate, state: State) -> State:
    """Axis q of the state is qubit q; Qiskit's matrices have the first qubit last."""
    size = len(gate.qubits)
    unitary = Operator(CLASSES[gate.name](*gate.angles)).data.reshape((2,) * (2 * size))
    axes = gate.qubits[::-1]
    turned = np.tensordot(unitary, state, (range(size, 2 * size), axes))
    return np.moveaxis(turned, range(size), axes)


def _projected(state: State, qubit: int, value: int) -> State:
    kept = np.zeros_like(state)
    place = (slice(None),) * qubit + (value,)
    kept[place] = state[place]
    return kept
