"""Programs of gates as pytket's circuits, and back: exact, global phase included. Slots are SymPy symbols.

pytket counts angles in half turns. Slot 7 is the symbol `s0000007`. Loaded by its users only: it imports pytket.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import sympy
from pytket.circuit import Circuit, OpType
from pytket.unit_id import UnitID

from qfw.formats.recipes import added, scaled
from qfw.model.errors import UnsupportedFeature
from qfw.model.program import Affine, Angle, Barrier, Gate, Operation, Program

#: Gates that are one of pytket's with the same qubits and, in other units, the same angles.
SAME: dict[str, OpType] = {
    "x": OpType.X,
    "y": OpType.Y,
    "z": OpType.Z,
    "h": OpType.H,
    "s": OpType.S,
    "sdg": OpType.Sdg,
    "t": OpType.T,
    "tdg": OpType.Tdg,
    "sx": OpType.SX,
    "sxdg": OpType.SXdg,
    "rx": OpType.Rx,
    "ry": OpType.Ry,
    "rz": OpType.Rz,
    "p": OpType.U1,
    "u": OpType.U3,
    "cx": OpType.CX,
    "cy": OpType.CY,
    "cz": OpType.CZ,
    "ch": OpType.CH,
    "csx": OpType.CSX,
    "swap": OpType.SWAP,
    "iswap": OpType.ISWAPMax,
    "ecr": OpType.ECR,
    "cp": OpType.CU1,
    "crx": OpType.CRx,
    "cry": OpType.CRy,
    "crz": OpType.CRz,
    "rxx": OpType.XXPhase,
    "ryy": OpType.YYPhase,
    "rzz": OpType.ZZPhase,
    "ccx": OpType.CCX,
    "ccz": OpType.CnZ,
    "cswap": OpType.CSWAP,
}
_BACK = {kind: name for name, kind in SAME.items()}
#: Coefficients and constants that rounding leaves of nothing, in half turns.
ROUNDING = 1e-14


def outward(program: Program) -> Circuit:
    """The circuit of a program of gates and barriers.

    Raises:
        UnsupportedFeature: it measures, resets, waits or branches.
    """
    circuit = Circuit(program.num_qubits)
    symbols = [sympy.Symbol(f"s{index:07d}") for index in range(program.num_slots)]
    for op in program.operations:
        match op:
            case Gate("id"):
                pass
            case Gate("gphase", _, angles):
                circuit.add_phase(_half_turns(angles[0], symbols))
            case Gate("cu", (control, target), (theta, phi, lam, gamma)):
                circuit.add_gate(OpType.U1, [_half_turns(gamma, symbols)], [control])
                given = [_half_turns(angle, symbols) for angle in (theta, phi, lam)]
                circuit.add_gate(OpType.CU3, given, [control, target])
            case Gate(name, qubits, angles):
                given = [_half_turns(angle, symbols) for angle in angles]
                circuit.add_gate(SAME[name], given, list(qubits))
            case Barrier(qubits):
                circuit.add_barrier(list(qubits or range(program.num_qubits)))
            case _:
                raise UnsupportedFeature(
                    f"{type(op).__name__.lower()}: tket is given gates and barriers only. Use compiler qiskit"
                )
    return circuit


def back(circuit: Circuit, num_qubits: int, num_slots: int) -> Program | None:
    """The program of a circuit of gates; None where an angle is not affine in the slots.

    Qubit q of the program is the circuit's qubit or node of index q.

    Raises:
        UnsupportedFeature: a gate that has no counterpart.
    """
    found: list[Operation] = []
    phase = _angle(circuit.phase)
    if phase is None:
        return None
    for command in circuit.get_commands():
        kind = command.op.type
        qubits = tuple(index_of(qubit) for qubit in command.qubits)
        if kind is OpType.Barrier:
            found.append(Barrier(qubits))
            continue
        angles: list[Angle] = []
        for given in command.op.params:
            angle = _angle(given)
            if angle is None:
                return None
            angles.append(angle)
        if kind is OpType.TK1:
            # Rz(a) Rx(b) Rz(c), the last first.
            first, middle, last = angles
            turned = (middle, added(first, -math.pi / 2), added(last, math.pi / 2))
            found.append(Gate("u", qubits, turned))
            phase = added(phase, added(scaled(first, -0.5), scaled(last, -0.5)))
        elif kind is OpType.CU3:
            found.append(Gate("cu", qubits, (*angles, 0.0)))
        elif kind is OpType.noop:
            pass
        elif kind in _BACK:
            found.append(Gate(_BACK[kind], qubits, tuple(angles)))
        else:
            raise UnsupportedFeature(f"tket's gate {kind.name} has no counterpart")
    if phase != 0.0:
        found.append(Gate("gphase", (), (phase,)))
    program = Program(num_qubits, 0, num_slots, tuple(found))
    program.check()
    return program


def index_of(qubit: UnitID) -> int:
    """The number of a qubit or node."""
    return int(qubit.index[0])


def _half_turns(angle: Angle, symbols: Sequence[Any]) -> Any:
    if not isinstance(angle, Affine):
        return angle / math.pi
    total = sympy.Float(angle.offset / math.pi)
    for index, coefficient in angle.terms:
        total += coefficient / math.pi * symbols[index]
    return total


def _angle(given: Any) -> Angle | None:
    """Radians of half turns; None where they are not affine in the slots."""
    if isinstance(given, int | float):
        return float(given) * math.pi
    offset, terms = 0.0, dict[int, float]()
    for part, coefficient in sympy.sympify(given).expand().as_coefficients_dict().items():
        number = _number(coefficient)
        if number is None:
            return None
        if isinstance(part, sympy.Symbol):
            slot = int(part.name[1:])
            terms[slot] = terms.get(slot, 0.0) + number
            continue
        constant = _number(part)
        if constant is None:
            return None
        offset += number * constant
    kept = tuple((slot, c * math.pi) for slot, c in sorted(terms.items()) if abs(c) > ROUNDING)
    return Affine(kept, offset * math.pi) if kept else offset * math.pi


def _number(part: Any) -> float | None:
    """A part that holds no slot as a number; None: it holds one, or is not real."""
    if part.free_symbols:
        return None
    value = complex(part.evalf(17))
    return value.real if abs(value.imag) <= ROUNDING and math.isfinite(value.real) else None
