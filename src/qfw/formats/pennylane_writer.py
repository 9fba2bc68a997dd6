"""Programs as PennyLane's functions of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any

import numpy.typing as npt
import pennylane as qml

from qfw.model.errors import UnsupportedFeature, UsageError
from qfw.model.program import (
    Affine,
    Angle,
    Barrier,
    Delay,
    Gate,
    IfElse,
    Measure,
    Operation,
    Program,
    Reset,
    While,
)

#: PennyLane's operation of each gate, of its angles and wires.
_CLASSES: dict[str, Callable[..., Any]] = {
    "id": qml.Identity,
    "x": qml.X,
    "y": qml.Y,
    "z": qml.Z,
    "h": qml.Hadamard,
    "s": qml.S,
    "sdg": lambda wires: qml.adjoint(qml.S(wires)),
    "t": qml.T,
    "tdg": lambda wires: qml.adjoint(qml.T(wires)),
    "sx": qml.SX,
    "sxdg": lambda wires: qml.adjoint(qml.SX(wires)),
    "rx": qml.RX,
    "ry": qml.RY,
    "rz": qml.RZ,
    "p": qml.PhaseShift,
    "u": qml.U3,
    "cx": qml.CNOT,
    "cy": qml.CY,
    "cz": qml.CZ,
    "ch": qml.CH,
    "csx": lambda wires: qml.ctrl(qml.SX(wires[1]), wires[0]),
    "swap": qml.SWAP,
    "iswap": qml.ISWAP,
    "ecr": qml.ECR,
    "cp": qml.ControlledPhaseShift,
    "crx": qml.CRX,
    "cry": qml.CRY,
    "crz": qml.CRZ,
    "rxx": qml.IsingXX,
    "ryy": qml.IsingYY,
    "rzz": qml.IsingZZ,
    "ccx": qml.Toffoli,
    "ccz": qml.CCZ,
    "cswap": qml.CSWAP,
}


def dumps(program: Program) -> Callable[..., list[Any]]:
    """A function that queues the program's operations: `circuit(parameters=(), wires=None)`.

    Its `parameters` have shape (slots,) or, broadcast, one array of shape (sets,) for each slot; they may be what an
    interface of PennyLane differentiates. Qubit q is wires[n-1-q], of range(n) by default, so that bit strings read
    alike. It returns the values of the measurements by classical bit, None where nothing is measured into it: a
    program that measures at its end only measures there too.

    Raises:
        UnsupportedFeature: loops, and what is measured or branched on within a branch: PennyLane's conditions are on
            measurements that always take place.
    """
    program.check()
    _check(program.operations, False)

    def circuit(
        parameters: npt.ArrayLike | Sequence[Any] = (), wires: Sequence[Any] | None = None
    ) -> list[Any]:
        width = program.num_qubits
        places = list(range(width)) if wires is None else list(wires)
        if len(places) != width:
            raise UsageError(f"the program has {width} qubits; {len(places)} wires were given")
        given: Any = parameters
        if len(given) != program.num_slots:
            raise UsageError(f"the program has {program.num_slots} slots; {len(given)} parameters were given")
        writing = _Writing(places[::-1], given, program.num_clbits)
        writing.block(program.operations)
        return writing.bits

    return circuit


def _check(operations: Iterable[Operation], within: bool) -> None:
    for op in operations:
        match op:
            case While():
                raise UnsupportedFeature(
                    "PennyLane has no loop as long as a measurement says; write its trips out"
                )
            case IfElse():
                if within:
                    raise UnsupportedFeature("PennyLane has no branch within a branch")
                _check((*op.then, *op.otherwise), True)
            case Measure() | Reset() if within:
                raise UnsupportedFeature(
                    f"a {type(op).__name__.lower()} of qubit {op.qubit} within a branch: PennyLane's measurements take "
                    "place always"
                )


class _Writing:
    """Queues operations."""

    def __init__(self, wires: Sequence[Any], parameters: Any, clbits: int) -> None:
        """`wires`: of each qubit."""
        self._wires = wires
        self._parameters = parameters
        #: What was measured last into each classical bit.
        self.bits: list[Any] = [None] * clbits

    def block(self, operations: Iterable[Operation]) -> None:
        """Queues these."""
        for op in operations:
            match op:
                case Measure():
                    self.bits[op.clbit] = qml.measure(self._wires[op.qubit])
                case Reset():
                    qml.measure(self._wires[op.qubit], reset=True)
                case IfElse():
                    self._branch(op)
                case Gate():
                    self._gate(op)
                case Barrier():
                    qml.Barrier([self._wires[q] for q in op.qubits or range(len(self._wires))])
                case Delay():
                    # Time does nothing to PennyLane's qubits.
                    continue

    def _branch(self, op: IfElse) -> None:
        condition = self._condition(op)
        if isinstance(condition, bool):
            self.block(op.then if condition else op.otherwise)
            return

        def then() -> None:
            self.block(op.then)

        def otherwise() -> None:
            self.block(op.otherwise)

        qml.cond(condition, then, otherwise if op.otherwise else None)()

    def _condition(self, op: IfElse) -> Any:
        """Whether the bits have the value: a measurement value, or what is known without one."""
        if op.value >> len(op.clbits):
            return False
        wanted = []
        for place, clbit in enumerate(op.clbits):
            value, bit = self.bits[clbit], op.value >> place & 1
            if value is None:
                # Nothing was measured into it: it is 0.
                if bit:
                    return False
                continue
            wanted.append(value == bit)
        return reduce(lambda one, other: one & other, wanted) if wanted else True

    def _gate(self, gate: Gate) -> None:
        angles = [self._angle(angle) for angle in gate.angles]
        wires = [self._wires[q] for q in gate.qubits]
        if gate.name == "gphase":
            qml.GlobalPhase(-1 * angles[0])
        elif gate.name == "cu":
            theta, phi, lam, gamma = angles
            qml.PhaseShift(gamma, wires=wires[0])
            qml.ctrl(qml.U3(theta, phi, lam, wires=wires[1]), wires[0])
        else:
            _CLASSES[gate.name](*angles, wires=wires if len(wires) > 1 else wires[0])

    def _angle(self, angle: Angle) -> Any:
        if not isinstance(angle, Affine):
            return angle
        total: Any = angle.offset
        for index, coefficient in angle.terms:
            total = total + coefficient * self._parameters[index]
        return total
