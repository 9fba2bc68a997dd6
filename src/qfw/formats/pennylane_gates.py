"""PennyLane operations as a Program: every numeric gate argument becomes a slot.

PennyLane does not say which numbers vary, so all do: tapes that differ in numbers only
are one structure. Wire i of n becomes qubit n-1-i, hence PennyLane's first wire is the
leftmost character of a bit string and the most significant bit of an index on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pennylane as qml
from pennylane.operation import Operator
from pennylane.ops.op_math.adjoint import Adjoint, AdjointOperation
from pennylane.tape import QuantumScript

from qfw.model.program import Affine, Angle, Barrier, Gate, Operation, Program, slot

#: Operations of one PennyLane operation: of its qubits and the slots of its arguments.
Emit = Callable[[tuple[int, ...], tuple[Affine, ...]], Iterable[Operation]]


class Rule(NamedTuple):
    """How operations of one class are lowered."""

    emit: Emit
    #: Whether the wires are those of the control and then those of the base.
    controlled: bool = False


def _gate(name: str) -> Emit:
    return lambda qubits, slots: (Gate(name, qubits, slots),)


def _affine(terms: Iterable[tuple[Affine, float]]) -> Affine:
    return Affine(tuple((angle.terms[0][0], coefficient) for angle, coefficient in terms))


def _rot(qubits: tuple[int, ...], slots: tuple[Affine, ...]) -> Iterable[Operation]:
    # RZ(ω) RY(θ) RZ(φ) = e^{-i(φ+ω)/2} u(θ, ω, φ)
    phi, theta, omega = slots
    return Gate("u", qubits, (theta, omega, phi)), Gate(
        "gphase", (), (_affine([(phi, -0.5), (omega, -0.5)]),)
    )


def _controlled_rot(qubits: tuple[int, ...], slots: tuple[Affine, ...]) -> Iterable[Operation]:
    phi, theta, omega = slots
    return (Gate("cu", qubits, (theta, omega, phi, _affine([(phi, -0.5), (omega, -0.5)]))),)


def _u2(qubits: tuple[int, ...], slots: tuple[Affine, ...]) -> Iterable[Operation]:
    angles: tuple[Angle, ...] = (math.pi / 2, *slots)
    return (Gate("u", qubits, angles),)


def _multi_rz(qubits: tuple[int, ...], slots: tuple[Affine, ...]) -> Iterable[Operation]:
    if len(qubits) == 2:
        return (Gate("rzz", qubits, slots),)
    ladder = [Gate("cx", pair) for pair in zip(qubits[1:], qubits, strict=False)]
    return (*reversed(ladder), Gate("rz", qubits[:1], slots), *ladder)


def _global_phase(qubits: tuple[int, ...], slots: tuple[Affine, ...]) -> Iterable[Operation]:
    return (Gate("gphase", (), (_affine([(slots[0], -1.0)]),)),)


#: By class, exactly: a subclass may mean something else. For an adjoint by (Adjoint, class of its base).
RULES: dict[Hashable, Rule] = {
    qml.Identity: Rule(lambda qubits, slots: ()),
    qml.Barrier: Rule(lambda qubits, slots: (Barrier(qubits),)),
    qml.GlobalPhase: Rule(_global_phase),
    qml.X: Rule(_gate("x")),
    qml.Y: Rule(_gate("y")),
    qml.Z: Rule(_gate("z")),
    qml.Hadamard: Rule(_gate("h")),
    qml.S: Rule(_gate("s")),
    qml.T: Rule(_gate("t")),
    qml.SX: Rule(_gate("sx")),
    (Adjoint, qml.S): Rule(_gate("sdg")),
    (Adjoint, qml.T): Rule(_gate("tdg")),
    (Adjoint, qml.SX): Rule(_gate("sxdg")),
    qml.RX: Rule(_gate("rx")),
    qml.RY: Rule(_gate("ry")),
    qml.RZ: Rule(_gate("rz")),
    qml.PhaseShift: Rule(_gate("p")),
    qml.U1: Rule(_gate("p")),
    qml.U2: Rule(_u2),
    qml.U3: Rule(_gate("u")),
    qml.Rot: Rule(_rot),
    qml.SWAP: Rule(_gate("swap")),
    qml.ISWAP: Rule(_gate("iswap")),
    qml.ECR: Rule(_gate("ecr")),
    qml.IsingXX: Rule(_gate("rxx")),
    qml.IsingYY: Rule(_gate("ryy")),
    qml.IsingZZ: Rule(_gate("rzz")),
    qml.MultiRZ: Rule(_multi_rz),
    qml.CNOT: Rule(_gate("cx"), controlled=True),
    qml.CY: Rule(_gate("cy"), controlled=True),
    qml.CZ: Rule(_gate("cz"), controlled=True),
    qml.CH: Rule(_gate("ch"), controlled=True),
    qml.CRX: Rule(_gate("crx"), controlled=True),
    qml.CRY: Rule(_gate("cry"), controlled=True),
    qml.CRZ: Rule(_gate("crz"), controlled=True),
    qml.CRot: Rule(_controlled_rot, controlled=True),
    qml.ControlledPhaseShift: Rule(_gate("cp"), controlled=True),
    qml.Toffoli: Rule(_gate("ccx"), controlled=True),
    qml.CCZ: Rule(_gate("ccz"), controlled=True),
    qml.CSWAP: Rule(_gate("cswap"), controlled=True),
}

#: Names by which PennyLane's graph-based decomposition knows them.
NATIVE_NAMES = frozenset(
    f"Adjoint({kind[1].__name__})" if isinstance(kind, tuple) else kind.__name__  # type: ignore[attr-defined]
    for kind in RULES
) | {"PauliX", "PauliY", "PauliZ"}


def kind_of(operation: Operator) -> Any:
    """What `RULES` knows an operation by."""
    kind = type(operation)
    return (Adjoint, type(operation.base)) if kind is AdjointOperation else kind


def is_native(operation: Operator) -> bool:
    """Whether an operation has a rule."""
    return kind_of(operation) in RULES


def structure(operations: Sequence[Operator]) -> tuple[Hashable, ...]:
    """What two lists of native operations have in common when they differ in numbers only.

    Alternately the kind and the wires' labels of each operation.
    """
    key: list[Hashable] = []
    for operation in operations:
        kind = kind_of(operation)
        key.append(kind)
        if RULES[kind].controlled:
            # The sum of two Wires, which `wires` makes, costs more than all else here.
            key.append(operation.control_wires.labels + operation.base.wires.labels)
        else:
            key.append(operation.wires.labels)
    return tuple(key)


def lower(operations: Sequence[Operator], qubits: Mapping[Hashable, int]) -> Program:
    """The Program of native operations; slots in the order of the operations' `data`.

    Args:
        operations: each of them `is_native`.
        qubits: the qubit of every wire.
    """
    lowered: list[Operation] = []
    slots = 0
    for operation in operations:
        arguments = tuple(slot(slots + index) for index in range(len(operation.data)))
        slots += len(arguments)
        lowered += RULES[kind_of(operation)].emit(tuple(qubits[wire] for wire in operation.wires), arguments)
    return Program(max(len(qubits), 1), 0, slots, tuple(lowered))


def standard_order(tape: QuantumScript) -> tuple[Hashable, ...]:
    """The wires of a tape as PennyLane's simulators number them, the most significant first.

    Integers from 0 without a gap in their own order; all others as operations and then measurements use them.
    Barriers do not count.
    """
    if any(isinstance(op, qml.Barrier) for op in tape.operations):
        tape = tape.copy(operations=[op for op in tape.operations if not isinstance(op, qml.Barrier)])
    numbers = tape._get_standard_wire_map()
    used = set(tape.wires)
    # The map may hold work wires too, which are no part of a state.
    return tuple(sorted(used)) if numbers is None else tuple(wire for wire in numbers if wire in used)
