"""The tables that `reduce` believes, against the gates' matrices."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from qfw.model.gates import GATES
from qfw.model.program import Gate
from qfw.numerics.gates import matrix
from qfw.toolchain.axes import (
    ALL_ALIKE,
    AXES,
    CONTROLLED,
    FIRST_ALIKE,
    FIXED,
    INVERSES,
    PHASES,
    TURNS,
    commute,
    same_place,
)

ANGLES = (0.7, -1.3, 2.1, 0.4)
NAMES = [name for name in GATES if name != "gphase"]


def unitary(gate: Gate, width: int) -> np.ndarray:
    """Of a gate on `width` qubits, by applying it to every basis state."""
    count = len(gate.qubits)
    small = matrix(gate.name, *gate.angles).reshape((2,) * (2 * count))
    tensor = np.eye(2**width, dtype=complex).reshape((2,) * width + (2**width,))
    axes = [width - 1 - qubit for qubit in gate.qubits]
    moved = np.tensordot(small, tensor, axes=(list(range(count, 2 * count)), axes))
    return np.moveaxis(moved, list(range(count)), axes).reshape(2**width, 2**width)


def some(name: str, qubits: tuple[int, ...], shift: float = 0.0) -> Gate:
    return Gate(name, qubits, tuple(angle + shift for angle in ANGLES[: GATES[name].num_angles]))


def test_every_gate_has_an_axis_for_each_of_its_qubits() -> None:
    assert {name: len(axes) for name, axes in AXES.items()} == {
        name: spec.num_qubits for name, spec in GATES.items()
    }


def test_gates_commute_that_are_said_to() -> None:
    said = 0
    for one, two in product(NAMES, NAMES):
        first = some(one, tuple(range(GATES[one].num_qubits)))
        for qubits in permutations(range(4), GATES[two].num_qubits):
            second = some(two, qubits, 0.3)
            if set(first.qubits) & set(qubits) and commute(first, second):
                a, b = unitary(first, 5), unitary(second, 5)
                assert np.allclose(a @ b, b @ a), (first, second)
                said += 1
    assert said > 1000


@pytest.mark.parametrize("name", INVERSES)
def test_inverses(name: str) -> None:
    qubits = tuple(range(GATES[name].num_qubits))
    product_ = unitary(Gate(INVERSES[name], qubits), 3) @ unitary(Gate(name, qubits), 3)
    assert np.allclose(product_, np.eye(8))


@pytest.mark.parametrize("name", FIXED)
def test_fixed_turns(name: str) -> None:
    axis, angle, phase = FIXED[name]
    assert np.allclose(matrix(name), np.exp(1j * phase) * matrix(axis, angle))


@pytest.mark.parametrize("name", sorted(TURNS | PHASES | CONTROLLED))
def test_periods(name: str) -> None:
    whole = {**dict.fromkeys(TURNS, -1), **dict.fromkeys(PHASES, 1)}
    identity = np.eye(len(matrix(name, 0.0)))
    if name in whole:
        assert np.allclose(matrix(name, 2 * np.pi), whole[name] * identity)
    else:
        assert not np.allclose(np.abs(np.trace(matrix(name, 2 * np.pi))), len(identity))
        assert np.allclose(matrix(name, 4 * np.pi), identity)
    assert np.allclose(matrix(name, 0.3) @ matrix(name, 0.4), matrix(name, 0.7))


@pytest.mark.parametrize("name", [*sorted(ALL_ALIKE | FIRST_ALIKE), "cswap", "cx", "crz", "ecr"])
def test_same_place_is_the_same_matrix(name: str) -> None:
    count = GATES[name].num_qubits
    first = some(name, tuple(range(count)))
    alike = 0
    for qubits in permutations(range(count)):
        second = some(name, qubits)
        if same_place(first, second):
            alike += 1
            assert np.allclose(unitary(first, count), unitary(second, count))
    assert alike == {"cx": 1, "crz": 1, "ecr": 1, "cswap": 2, "ccx": 2, "ccz": 6}.get(name, 2)
