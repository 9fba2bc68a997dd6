"""The paper's Figure 14: a PennyLane program reaches QFw through `qiskit.remote`, by changing its device only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pennylane_qiskit", reason="pennylane-qiskit caps Qiskit; runs in make test-versions")

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "figure14.md"

#: As printed; lines that the page had no room for are joined.
LISTING = """\
from qfw_qiskit import QFWBackend, QFWBackendType, QFWBackendCapability

nwqsim = QFWBackend(
    betype=QFWBackendType.QFW_TYPE_NWQSIM,
    capability=QFWBackendCapability.QFW_CAP_STATEVECTOR)

dev_mu = qml.device("qiskit.remote",
                    wires=tot_qubits, backend=nwqsim, shots=n_shots)
"""

BEFORE = """\
import numpy as np
import pennylane as qml

tot_qubits, n_shots = 3, 10_000
"""

#: The paper's size and ansatz: three qubits, a Hadamard and an RY on each. The answers are known without noise.
AFTER = """
def ansatz(weights):
    for wire in range(tot_qubits):
        qml.Hadamard(wire)
        qml.RY(weights[wire], wire)
    qml.CZ([0, 1])
    qml.CNOT([1, 2])

@qml.qnode(dev_mu)
def circuit(weights):
    ansatz(weights)
    return qml.expval(qml.Z(0)), qml.expval(qml.X(0) @ qml.Z(1)), qml.probs(wires=[0, 2])

weights = np.array([0.4, -1.1, 2.3])
found = np.concatenate([np.atleast_1d(value) for value in circuit(weights)])
exact = qml.QNode(circuit.func, qml.device("default.qubit", wires=tot_qubits))(weights)
wanted = np.concatenate([np.atleast_1d(value) for value in exact])
# Six standard errors of a mean of ±1.
np.testing.assert_allclose(found, wanted, atol=6 / n_shots**0.5)
print("right")
"""


def run(tmp_path: Path, listing: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "vqls.py"
    path.write_text(BEFORE + listing + AFTER)
    return subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env=os.environ | {"QFW_RUNTIME_DIR": str(tmp_path / "r")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_as_printed_it_says_that_nwqsim_is_not_installed(tmp_path: Path) -> None:
    done = run(tmp_path, LISTING)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("qfw.model.errors.NotInstalled: QFW_TYPE_NWQSIM asks for the device 'nwqsim'"), (
        done.stderr
    )
    assert "nwq_qasm" in last and "none stands in for this one" in last
    assert "right" not in done.stdout


@pytest.mark.parametrize("kind", ["QFW_TYPE_AER", "QFW_TYPE_REFERENCE"])
def test_with_another_type_it_gives_the_right_answers(tmp_path: Path, kind: str) -> None:
    changed = LISTING.replace("QFW_TYPE_NWQSIM", kind)
    assert changed != LISTING
    done = run(tmp_path, changed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("right")


def test_the_guide_shows_the_listing() -> None:
    shown = GUIDE.read_text(encoding="utf-8")
    assert "".join(f"    {line}".rstrip() + "\n" for line in LISTING.splitlines()) in shown
