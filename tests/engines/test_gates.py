"""Every gate of the engines against qiskit's definition of it."""

from __future__ import annotations

from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from qfw.engines.aer import AerEngine
from qfw.engines.lightning import LightningEngine
from qfw.engines.reference import ReferenceEngine
from qfw.formats.lowering import lower
from qfw.model.gates import GATES
from qfw.model.outputs import Statevector
from qfw.model.program import Gate, Program, slot
from qfw.numerics import gates

qiskit = pytest.importorskip("qiskit")
from qiskit.circuit.library import iSwapGate  # noqa: E402
from qiskit.quantum_info import Operator  # noqa: E402

#: Different at every place, no two related by a symmetry of any gate.
ANGLES = (0.7, -1.9, 2.3, 0.4)
REGISTER = 4


def defined(name: str, qubits: tuple[int, ...], angles: tuple[float, ...], width: int) -> np.ndarray:
    """The operator as qiskit defines it: shape (2**width, 2**width), qubit 0 least significant."""
    circuit = qiskit.QuantumCircuit(width)
    if name == "gphase":
        circuit.global_phase = angles[0]
    elif name == "iswap":
        circuit.append(iSwapGate(), qubits)
    else:
        getattr(circuit, name)(*angles, *qubits)
    return Operator(circuit).data


def places(count: int) -> list[tuple[int, ...]]:
    """All placements in the register: adjacent or not, rising or falling."""
    return list(permutations(range(REGISTER), count))


@pytest.mark.parametrize("name", GATES)
def test_matrix_is_qiskits(name: str) -> None:
    qubits, angles = GATES[name]
    # Our first qubit is the matrix's most significant bit; qiskit's last one is.
    expected = defined(name, tuple(reversed(range(qubits))), ANGLES[:angles], max(qubits, 1))
    found = gates.matrix(name, *ANGLES[:angles])
    np.testing.assert_allclose(found * np.eye(2) if name == "gphase" else found, expected, atol=1e-14)


@pytest.mark.parametrize("name", [name for name, spec in GATES.items() if spec.num_angles])
def test_matrices_of_many_angles(name: str) -> None:
    angles = np.random.default_rng(1).uniform(-7, 7, (GATES[name].num_angles, 5))
    found = gates.matrix(name, *angles)
    assert found.shape == (5, 2 ** GATES[name].num_qubits, 2 ** GATES[name].num_qubits)
    for k in range(5):
        np.testing.assert_allclose(found[k], gates.matrix(name, *angles[:, k]), atol=1e-15)


def test_constant_matrices_are_made_once_and_read_only() -> None:
    assert gates.matrix("h") is gates.matrix("h")
    with pytest.raises(ValueError, match="read-only"):
        gates.matrix("h")[0, 0] = 1


@cache
def engine_of(kind: Any) -> Any:
    if kind is AerEngine:
        pytest.importorskip("qiskit_aer")
    return kind(1, 1)


@pytest.mark.parametrize(
    ("name", "slots"),
    [(name, slots) for name, spec in GATES.items() for slots in (False, True)[: 1 + spec.num_angles]],
)
@pytest.mark.parametrize("kind", [ReferenceEngine, AerEngine, LightningEngine])
def test_gate_in_a_larger_register(kind: Any, name: str, slots: bool) -> None:
    engine = engine_of(kind)
    spec = GATES[name]
    start = np.random.default_rng(7).uniform(-3, 3, (REGISTER, 3))
    given = ANGLES[: spec.num_angles]
    for qubits in places(spec.num_qubits):
        # A start with no symmetry: a different rotation on every qubit, entangled.
        operations = [Gate("u", (q,), tuple(map(float, start[q]))) for q in range(REGISTER)]
        operations += [Gate("cx", (q, q + 1)) for q in range(REGISTER - 1)]
        operator = np.eye(2**REGISTER)
        for op in operations:
            operator = defined(op.name, op.qubits, op.angles, REGISTER) @ operator  # type: ignore[arg-type]
        operator = defined(name, qubits, given, REGISTER) @ operator
        angles = tuple(slot(i) for i in range(len(given))) if slots else given
        program = Program(REGISTER, 0, len(given) if slots else 0, (*operations, Gate(name, qubits, angles)))
        program.check()
        parameters = np.array([given if slots else ()])
        prepared = engine.prepare(lower(program, engine.native_gates))
        (answer,) = engine.run(prepared, (Statevector(),), parameters, 0, [0])
        np.testing.assert_allclose(answer.values.numpy()[0], operator[:, 0], atol=1e-13, err_msg=str(qubits))
