"""Halves of gates and ends of wires: the linear maps that the tool `cut` is built of, as matrices."""

from __future__ import annotations

from itertools import product
from math import pi

import numpy as np
import pytest

from qfw.model.gates import GATES
from qfw.model.observable import PauliSum
from qfw.model.program import Gate, Program, slot
from qfw.toolchain import cut_gates, cut_wires
from qfw.toolchain.cut_gates import LEG, Place, coefficients, halves, met, placed
from tests.toolchain.cut_cases import matrix, state

EXACT = 1e-12
PAULIS = {name: matrix(name, ()) for name in ("id", "x", "y", "z")}
TWO = [name for name, spec in GATES.items() if spec.num_qubits == 2]
_Z = PAULIS["z"]


def unitary(gates: tuple[Gate, ...]) -> np.ndarray:
    """Of gates on one qubit."""
    found = np.eye(2, dtype=complex)
    for gate in gates:
        found = matrix(gate.name, gate.angles) @ found
    return found


@pytest.mark.parametrize("name", [name for name in TWO if name not in ("swap", "iswap")])
def test_a_gate_is_its_halves(name: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(8):
        angles = tuple(float(a) for a in rng.uniform(-7, 7, GATES[name].num_angles))
        found = halves(Gate(name, (0, 1), angles))
        assert found is not None
        before, after = (
            np.kron(*(unitary(gates) for gates in sides)) for sides in (found.before, found.after)
        )
        made = after @ matrix("rzz", (found.angle,)) @ before
        overlap = np.trace(matrix(name, angles).conj().T @ made) / 4
        np.testing.assert_allclose(made, overlap * matrix(name, angles), atol=EXACT)
        assert abs(abs(overlap) - 1) < EXACT


def test_a_rotation_is_what_stands_in_its_halves_places() -> None:
    turns = (np.diag([1, 1j]), np.diag([1, -1j]))
    maps = (
        lambda rho: rho,
        lambda rho: _Z @ rho @ _Z,
        lambda rho: turns[0] @ rho @ turns[0].conj().T,
        lambda rho: turns[1] @ rho @ turns[1].conj().T,
        lambda rho: (_Z @ rho + rho @ _Z) / 2,
    )
    for angle in (0.3, -1.2, pi / 2, 2.9):
        weights = LEG.T @ coefficients(angle) @ LEG
        for one, other in product(PAULIS.values(), repeat=2):
            wanted = matrix("rzz", (angle,)) @ np.kron(one, other) @ matrix("rzz", (-angle,))
            found = sum(
                weights[a, b] * np.kron(maps[a](one), maps[b](other)) for a, b in product(Place, repeat=2)
            )
            np.testing.assert_allclose(found, wanted, atol=EXACT)
        assert np.abs(weights).sum() == pytest.approx(halves(Gate("rzz", (0, 1), (angle,))).kappa)  # type: ignore[union-attr]


def test_signs_that_share_an_ancilla_are_their_product_in_the_mean() -> None:
    rng = np.random.default_rng(3)
    start = (*(Gate("u", (q,), tuple(rng.uniform(-3, 3, 3))) for q in (0, 1)), Gate("cx", (0, 1)))
    between = (Gate("u", (0,), (0.4, 1.0, -2.0)), Gate("crx", (1, 0), (1.1,)))
    total = np.zeros(4)
    for turned in (False, True):
        ops = (*start, *placed(Place.SIGN, 0, 2), *between, *placed(Place.SIGN, 1, 2, turned))
        weights = np.abs(state(Program(3, 0, 0, ops), ())) ** 2
        total += (weights[..., 0] - weights[..., 1]).reshape(-1) / 2
    # Measured in the midst, outcome by outcome.
    psi = state(Program(2, 0, 0, start), ())
    wanted = np.zeros(4)
    for first, second in product((0, 1), repeat=2):
        kept = psi.copy()
        kept[1 - first] = 0
        for gate in between:
            kept = _applied(kept, gate)
        kept[:, 1 - second] = 0
        wanted += (-1) ** (first + second) * (np.abs(kept) ** 2).reshape(-1)
    np.testing.assert_allclose(total, wanted, atol=EXACT)


def _applied(psi: np.ndarray, gate: Gate) -> np.ndarray:
    count = len(gate.qubits)
    tensor = matrix(gate.name, gate.angles).reshape((2,) * 2 * count)
    found = np.tensordot(tensor, psi, (range(count, 2 * count), gate.qubits))
    return np.moveaxis(found, range(count), gate.qubits)


def test_what_a_last_half_makes_of_an_observable() -> None:
    turns = (np.diag([1, 1j]), np.diag([1, -1j]))
    seen = (
        lambda o: o,
        lambda o: _Z @ o @ _Z,
        lambda o: (_Z @ o + o @ _Z) / 2,
        lambda o: turns[0].conj().T @ o @ turns[0] - turns[1].conj().T @ o @ turns[1],
    )
    for component, (name, pauli) in product(range(4), PAULIS.items()):
        found = met(PauliSum.of("" if name == "id" else f"{name.upper()}0"), 0, component)
        made = sum((t.coefficient * PAULIS[t.paulis.lower() or "id"] for t in found.terms), np.zeros((2, 2)))
        np.testing.assert_allclose(made, seen[component](pauli), atol=EXACT)
    assert met(PauliSum.of("X0 Y3"), 3, 3) == PauliSum.of({"X0 X3": 2.0})


@pytest.mark.parametrize("sampled", [False, True])
def test_a_wire_is_what_is_measured_and_prepared(sampled: bool) -> None:
    count = cut_wires.states(sampled)
    states = []
    for number in range(count):
        psi = state(Program(1, 0, 0, cut_wires.prepared(number, 0, sampled)), ())
        states.append(np.outer(psi, psi.conj()))
    made = np.tensordot(cut_wires.components(count), states, 1)
    np.testing.assert_allclose(made, list(PAULIS.values()), atol=EXACT)
    rho = np.array([[0.7, 0.2 - 0.3j], [0.2 + 0.3j, 0.3]])
    values = [np.trace(pauli @ rho).real for pauli in PAULIS.values()]
    np.testing.assert_allclose(np.tensordot(values @ cut_wires.COEFFICIENTS, made, 1), rho, atol=EXACT)
    for pauli in "XY":
        turned = unitary(cut_wires.turned(pauli, 0))
        np.testing.assert_allclose(turned.conj().T @ _Z @ turned, PAULIS[pauli.lower()], atol=EXACT)


def test_what_has_no_halves() -> None:
    assert halves(Gate("ccx", (0, 1, 2))) is None
    assert halves(Gate("cu", (0, 1), (slot(0), 0.0, 0.0, 0.0))) is None
    assert halves(Gate("cu", (0, 1), (0.4, 0.0, 0.0, slot(0)))) is not None
    assert halves(Gate("cp", (0, 1), (slot(0),))).kappa == cut_gates.halves(Gate("cz", (0, 1))).kappa == 3  # type: ignore[union-attr]
