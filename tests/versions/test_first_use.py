"""What a new user does first, with QFw as it is installed: the command, and a program by every way in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import qfw

OWN_INTERFACE = """
import qfw

program = qfw.Program.from_qasm('''
OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q;
bit[2] c;
h q[0];
cx q[0], q[1];
c = measure q;
''')
with qfw.Session() as session, session.device("reference").stream() as stream:
    counts = stream.run(program, shots=1000).result(timeout=30).counts[0]
assert set(counts) == {"00", "11"} and sum(counts.values()) == 1000, counts
"""

PENNYLANE = """
import math
import pennylane as qml

device = qml.device("qfw", wires=2)

@qml.qnode(device, diff_method="parameter-shift")
def energy(angle):
    qml.RY(angle, wires=0)
    qml.CNOT(wires=[0, 1])
    return qml.expval(qml.Z(1))

angle = qml.numpy.array(0.3, requires_grad=True)
assert math.isclose(energy(angle), math.cos(0.3), abs_tol=1e-9)
assert math.isclose(qml.grad(energy)(angle), -math.sin(0.3), abs_tol=1e-9)
"""

QISKIT = """
from qiskit import QuantumCircuit
from qfw.qiskit import Backend

circuit = QuantumCircuit(2)
circuit.h(0)
circuit.cx(0, 1)
circuit.measure_all()
counts = Backend().run(circuit, shots=1000).result().get_counts()
assert set(counts) == {"00", "11"} and sum(counts.values()) == 1000, counts
"""


def ends_well(tmp_path: Path, *command: str) -> str:
    """What a command printed; in a runtime folder of its own, and away from the sources."""
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"QFW_RUNTIME_DIR": str(tmp_path / "r")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program_runs(tmp_path: Path, code: str) -> None:
    path = tmp_path / "first.py"
    path.write_text(code)
    ends_well(tmp_path, sys.executable, str(path))


def test_the_command_is_installed_and_finds_all_well(tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("qfw"))
    assert qfw.__version__ in ends_well(tmp_path, command, "version")
    said = ends_well(tmp_path, command, "doctor")
    assert re.search(r"reference", said), said


def test_the_version_is_that_of_the_installed_package() -> None:
    assert version("qfw") == qfw.__version__


def test_a_program_in_qfws_own_interface(tmp_path: Path) -> None:
    program_runs(tmp_path, OWN_INTERFACE)


def test_a_pennylane_qnode(tmp_path: Path) -> None:
    pytest.importorskip("pennylane")
    program_runs(tmp_path, PENNYLANE)


def test_a_qiskit_circuit(tmp_path: Path) -> None:
    pytest.importorskip("qiskit")
    program_runs(tmp_path, QISKIT)
