"""Modifiers of OpenQASM 3 on every gate of the standard library, against their definition by eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.qpi.program import Program
from tests.formats.format_yardstick import unitary

HEAD = 'OPENQASM 3.0;include "stdgates.inc";'
GATES = {
    1: [
        "x",
        "y",
        "z",
        "h",
        "s",
        "sdg",
        "t",
        "tdg",
        "sx",
        "rx(0.7)",
        "ry(0.7)",
        "rz(0.7)",
        "p(0.7)",
        "U(0.3,0.4,0.5)",
        "u3(0.3,0.4,0.5)",
        "u2(0.1,0.2)",
    ],
    2: ["cx", "cy", "cz", "ch", "swap", "cp(0.7)", "crx(0.7)", "cry(0.7)", "crz(0.7)", "cu(0.1,0.2,0.3,0.4)"],
    3: ["ccx", "cswap"],
}
ALL = [(gate, width) for width, gates in GATES.items() for gate in gates]


def matrix(width: int, call: str) -> np.ndarray:
    qubits = ", ".join(f"q[{qubit}]" for qubit in range(width))
    return unitary(Program.from_qasm(f"{HEAD} qubit[{width}] q; {call} {qubits};"))


@pytest.mark.parametrize(("gate", "width"), ALL)
@pytest.mark.parametrize("controls", [1, 2, 3])
def test_controls(gate: str, width: int, controls: int) -> None:
    if width + controls > 5:
        return
    for kind, value in (("ctrl", 2**controls - 1), ("negctrl", 0)):
        states = 2 ** (width + controls)
        chosen = [state for state in range(states) if state % 2**controls == value]
        wanted = np.eye(states, dtype=complex)
        wanted[np.ix_(chosen, chosen)] = matrix(width, gate)
        found = matrix(width + controls, f"{kind}({controls}) @ {gate}")
        np.testing.assert_allclose(found, wanted, atol=1e-9)


@pytest.mark.parametrize(("gate", "width"), ALL)
@pytest.mark.parametrize("exponent", [0.5, -0.5, 1 / 3, 2.5, 2, 3, -2])
def test_powers(gate: str, width: int, exponent: float) -> None:
    """Fractions are principal: each eigenvalue's phase is taken from -π to π."""
    found = matrix(width, f"pow({exponent}) @ {gate}")
    np.testing.assert_allclose(found, raised(matrix(width, gate), exponent), atol=1e-9)


def raised(gate: np.ndarray, exponent: float) -> np.ndarray:
    """The principal power of a unitary, by its Schur form."""
    triangle, vectors = scipy.linalg.schur(gate, output="complex")
    values = np.diag(triangle)
    phases = np.where(abs(values + 1) < 1e-12, np.pi, np.angle(values))
    return vectors @ np.diag(np.exp(1j * phases * exponent)) @ vectors.conj().T


@pytest.mark.parametrize("exponent", [0.5, -0.3])
@pytest.mark.parametrize(
    ("gate", "width"),
    [
        ("ctrl @ U(0.3,0.4,0.5)", 2),
        ("negctrl @ U(2.8,-1.4,5.5)", 2),
        ("ctrl(2) @ u3(2.5,-0.4,6.1)", 3),
        ("ctrl @ cu(0.1,0.2,0.3,0.4)", 3),
        ("inv @ U(3,2,1)", 1),
        ("U(pi,0,pi)", 1),
        ("U(0,0.3,0.4)", 1),
        ("U(0,pi,0)", 1),
        ("U(0,0,0)", 1),
        ("U(2*pi,0,0)", 1),
        ("U(1e-9,pi,0)", 1),
        ("cu(pi,0,pi,pi)", 2),
        ("cu(4*pi,0,0,0.3)", 2),
        ("g(0.3)", 1),
        ("k", 2),
    ],
)
def test_fractions_of_gates_with_known_angles(gate: str, width: int, exponent: float) -> None:
    """Also under controls, where the phase counts, and of sequences that a text defines."""
    head = (
        f"{HEAD} gate g(a) x {{ h x; t x; U(a,1,2) x; gphase(a); }} gate k a, b {{ ctrl @ U(1,2,3) a, b; }}"
    )

    def read(call: str) -> np.ndarray:
        qubits = ", ".join(f"q[{qubit}]" for qubit in range(width))
        return unitary(Program.from_qasm(f"{head} qubit[{width}] q; {call} {qubits};"))

    np.testing.assert_allclose(read(f"pow({exponent}) @ {gate}"), raised(read(gate), exponent), atol=1e-8)


def test_fractions_of_gates_with_slots_and_of_two_qubits_are_refused() -> None:
    for text in (
        "input float a; qubit q; pow(0.5) @ U(a, 0, 0) q;",
        "input float a; qubit[2] q; pow(0.5) @ ctrl @ U(0, a, 0) q[0], q[1];",
        "gate f a, b { h a; cx a, b; } qubit[2] q; pow(0.5) @ f q[0], q[1];",
    ):
        with pytest.raises(UnsupportedFeature, match="pow @ of"):
            Program.from_qasm(HEAD + text)


def test_angles_stay_affine_under_controls() -> None:
    text = f"{HEAD} input float a; qubit[3] q; ctrl(2) @ ry(2*a + 0.1) q[0], q[1], q[2];"
    program = Program.from_qasm(text)
    assert program.num_slots == 1
    np.testing.assert_allclose(unitary(program.bound([0.4])), matrix(3, "ctrl(2) @ ry(0.9)"), atol=1e-9)


def test_what_becomes_too_much_is_refused_soon() -> None:
    for call, error in (
        ("ctrl(8) @ x", TooLarge),
        ("pow(1000000) @ cu(1, 2, 3, 4)", UnsupportedFeature),
    ):
        with pytest.raises(error):
            matrix(9 if "ctrl" in call else 2, call)
