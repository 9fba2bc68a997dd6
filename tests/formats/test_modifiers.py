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
#: Their fractions are no gates of the normal form.
WHOLE_ONLY = ("U", "u3", "u2", "cu(")


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
    if gate.startswith(WHOLE_ONLY) and exponent % 1:
        with pytest.raises(UnsupportedFeature, match="pow @ of"):
            matrix(width, f"pow({exponent}) @ {gate}")
        return
    triangle, vectors = scipy.linalg.schur(matrix(width, gate), output="complex")
    values = np.diag(triangle)
    phases = np.where(abs(values + 1) < 1e-12, np.pi, np.angle(values))
    wanted = vectors @ np.diag(np.exp(1j * phases * exponent)) @ vectors.conj().T
    np.testing.assert_allclose(matrix(width, f"pow({exponent}) @ {gate}"), wanted, atol=1e-9)


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
