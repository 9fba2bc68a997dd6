"""Programs for the tool `cut`, a simulator that shares nothing with QFw's, and runs of what the tool made."""

from __future__ import annotations

from cmath import exp
from collections.abc import Sequence
from math import cos, pi, sin
from typing import Any

import numpy as np

from qfw.engines.reference import ReferenceEngine
from qfw.formats.lowering import lower
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.gates import GATES
from qfw.model.observable import PauliSum
from qfw.model.outputs import Answer, Output
from qfw.model.program import Affine, Angle, Barrier, Delay, Gate, Operation, Program
from qfw.qpm.tool import Split, Target
from qfw.toolchain.cut import CutTool

TOOL = CutTool()

_X = np.array([[0, 1], [1, 0]], dtype=complex)
_Y = np.array([[0, -1j], [1j, 0]])
_Z = np.diag([1.0 + 0j, -1])
_H = (_X + _Z) / np.sqrt(2)
_PAULIS = {"I": np.eye(2, dtype=complex), "X": _X, "Y": _Y, "Z": _Z}


def target(width: int, *others: int) -> Target:
    """Simulators of these widths."""
    made = [
        DeviceProfile(f"sim{k}", DeviceKind.SIMULATOR, "reference", w, tuple(GATES), ("expectation",), 1)
        for k, w in enumerate((width, *others))
    ]
    return Target(made[0], None, tuple(made[1:]))


def _u(theta: float, phi: float, lam: float) -> np.ndarray:
    c, s = cos(theta / 2), sin(theta / 2)
    return np.array([[c, -exp(1j * lam) * s], [exp(1j * phi) * s, exp(1j * (phi + lam)) * c]])


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    return cos(angle / 2) * np.eye(len(axis)) - 1j * sin(angle / 2) * axis


def _controlled(inner: np.ndarray) -> np.ndarray:
    # The control is the first qubit: the most significant bit of these matrices.
    size = len(inner)
    return np.block([[np.eye(size), np.zeros((size, size))], [np.zeros((size, size)), inner]])


def matrix(name: str, angles: Sequence[float]) -> np.ndarray:
    """A gate's matrix, its first qubit the most significant bit."""
    a = angles[0] if angles else 0.0
    swap = np.eye(4)[[0, 2, 1, 3]].astype(complex)
    if name.startswith("cc"):
        return _controlled(_controlled(matrix(name[2:], angles)))
    singles = {
        "id": np.eye(2),
        "x": _X,
        "y": _Y,
        "z": _Z,
        "h": _H,
        "s": np.diag([1, 1j]),
        "sdg": np.diag([1, -1j]),
        "t": np.diag([1, exp(1j * pi / 4)]),
        "tdg": np.diag([1, exp(-1j * pi / 4)]),
        "sx": exp(1j * pi / 4) * _turn(_X, pi / 2),
        "sxdg": exp(-1j * pi / 4) * _turn(_X, -pi / 2),
        "rx": _turn(_X, a),
        "ry": _turn(_Y, a),
        "rz": _turn(_Z, a),
        "p": np.diag([1, exp(1j * a)]),
    }
    if name in singles:
        return singles[name]
    match name:
        case "u":
            return _u(*angles)
        case "cu":
            return _controlled(exp(1j * angles[3]) * _u(*angles[:3]))
        case "swap":
            return swap
        case "iswap":
            return swap @ np.diag([1, 1j, 1j, 1])
        case "ecr":
            return (np.kron(_X, np.eye(2)) - np.kron(_Y, _X)) / np.sqrt(2)
        case "rxx" | "ryy" | "rzz":
            pauli = _PAULIS[name[1].upper()]
            return _turn(np.kron(pauli, pauli), a)
        case "cswap":
            return _controlled(swap)
        case _:
            return _controlled(matrix(name[1:], angles))


def _value(angle: Angle, values: Sequence[float]) -> float:
    if isinstance(angle, Affine):
        return angle.offset + sum(c * values[k] for k, c in angle.terms)
    return angle


def state(program: Program, values: Sequence[float]) -> np.ndarray:
    """The final state; axis q is qubit q."""
    found = np.zeros((2,) * program.num_qubits, dtype=complex)
    found[(0,) * program.num_qubits] = 1
    for gate in program.gates():
        if not gate.qubits:
            continue
        count = len(gate.qubits)
        unitary = matrix(gate.name, [_value(angle, values) for angle in gate.angles]).reshape(
            (2,) * 2 * count
        )
        found = np.tensordot(unitary, found, (range(count, 2 * count), gate.qubits))
        found = np.moveaxis(found, range(count), gate.qubits)
    return found


def value(program: Program, observable: PauliSum, values: Sequence[float]) -> float:
    """Expectation value of an observable."""
    psi = state(program, values)
    total = 0.0
    for term in observable.terms:
        turned = psi
        for qubit, pauli in zip(term.qubits, term.paulis, strict=True):
            turned = np.moveaxis(np.tensordot(_PAULIS[pauli], turned, (1, qubit)), 0, qubit)
        total += term.coefficient * np.vdot(psi, turned).real
    return total


def distribution(program: Program, qubits: Sequence[int], values: Sequence[float]) -> np.ndarray:
    """Probabilities over qubits, the first one the least significant bit."""
    weights = np.abs(state(program, values)) ** 2
    rest = tuple(q for q in range(program.num_qubits) if q not in qubits)
    left = [q for q in range(program.num_qubits) if q in qubits]
    return weights.sum(axis=rest).transpose([left.index(q) for q in reversed(qubits)]).reshape(-1)


def answers(split: Split, parameters: Any, engine: Any = None, seed: int = 0) -> list[tuple[Answer, ...]]:
    """What an engine answers to the variants."""
    engine = engine or ReferenceEngine(1, 1)
    values = np.asarray(parameters, dtype=float)
    found = []
    for number, variant in enumerate(split.variants):
        variant.program.check()
        seeds = [seed * 1_000_003 + number * 1009 + k for k in range(len(values))]
        prepared = engine.prepare(lower(variant.program, engine.native_gates))
        found.append(engine.run(prepared, variant.outputs, values, variant.shots, seeds))
    return found


def reconstructed(
    program: Program,
    outputs: tuple[Output, ...],
    parameters: Any,
    width: int,
    shots: int = 0,
    seed: int = 0,
    engine: Any = None,
    **options: Any,
) -> tuple[Split, tuple[Answer, ...]]:
    """The tool's split of a program, and what it makes of an engine's answers."""
    # `shots` is the number of executions here: the option of that name is given as `shots_`.
    options = {name.rstrip("_"): chosen for name, chosen in options.items()}
    CutTool.check_options(options)
    split = TOOL.split(program, outputs, shots, target(width), options)
    return split, TOOL.combine(split.recipe, answers(split, parameters, engine, seed))


def random_program(
    rng: np.random.Generator, width: int, gates: int, near: bool = True, slots: int = 2
) -> Program:
    """Gates of all kinds, at most two qubits each mostly neighbours, with angles of slots and constants."""
    names = [name for name, spec in GATES.items() if 1 <= spec.num_qubits <= 2]
    operations: list[Operation] = [Gate("ry", (q,), (float(rng.uniform(0, pi)),)) for q in range(width)]
    # A chain: so that it is of one piece.
    operations += [
        Gate("rxx", (q, q + 1), (_angle(rng, slots),)) if rng.random() < 0.4 else Gate("csx", (q, q + 1))
        for q in range(width - 1)
    ]
    for _ in range(gates):
        name = str(rng.choice(names if rng.random() < 0.5 else ["cx", "cz", "rzz", "crx", "swap", "cp"]))
        spec = GATES[name]
        first = int(rng.integers(width))
        others = [q for q in range(width) if q != first and (not near or abs(q - first) == 1)]
        qubits = (first, int(rng.choice(others)))[: spec.num_qubits]
        operations.append(Gate(name, qubits, tuple(_angle(rng, slots) for _ in range(spec.num_angles))))
        if rng.random() < 0.1:
            operations.append(Barrier(tuple(range(width))) if rng.random() < 0.5 else Delay(first, 100))
    return Program(width, 0, slots, tuple(operations))


def _angle(rng: np.random.Generator, slots: int) -> Angle:
    constant = float(rng.uniform(-4, 4))
    if rng.random() < 0.6:
        return constant
    return Affine(((int(rng.integers(slots)), float(rng.choice([1.0, -0.5, 2.0]))),), constant)


def random_observable(rng: np.random.Generator, width: int, terms: int = 4) -> PauliSum:
    """A sum of random words, the identity now and then among them."""
    words = {}
    for _ in range(terms):
        word = " ".join(
            f"{pauli}{q}" for q, pauli in enumerate(rng.choice(list("IIXYZ"), size=width)) if pauli != "I"
        )
        words[word] = float(rng.uniform(-2, 2))
    return PauliSum.of(words)
