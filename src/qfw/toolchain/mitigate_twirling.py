"""Twirling: the same program among random Pauli gates that cancel, so that noise on average is a Pauli channel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.gates import GATES
from qfw.model.program import Affine, Barrier, Delay, Gate, Measure, Operation, Program
from qfw.model.seeds import set_seed
from qfw.numerics.gates import matrix
from qfw.toolchain.mitigate_inverses import Inverses

#: Two bits for each qubit: 1 has an X in it, 2 a Z; 3 is Y up to a phase.
_NAMES = {1: "x", 2: "z", 3: "y"}
#: Entries of a Clifford gate's products are right to this.
_ROUNDING = 1e-9


class Twirled(NamedTuple):
    """A program in one frame."""

    program: Program
    #: Gates that have a frame, of all gates of two or more qubits.
    framed: int
    wide: int


def twirled(program: Program, seed: int, inverses: Inverses) -> Twirled:
    """The program with a random Pauli pair in front of each Clifford gate of two qubits, and what undoes it behind.

    It does the same up to a global phase. What stands behind one gate and in front of the next is one gate for each
    qubit; Paulis pass barriers.

    Args:
        program: without control.
        seed: of the frame, 0 to 2**63 - 1.
        inverses: makes Paulis of native gates.
    """
    operations: list[Operation] = []
    #: By qubit: what has to be applied before its next operation.
    waiting: dict[int, int] = {}
    framed = wide = 0

    def settle(qubits: Sequence[int]) -> None:
        for qubit in qubits:
            if waiting.get(qubit):
                operations.extend(inverses.native(Gate(_NAMES[waiting[qubit]], (qubit,))))
            waiting[qubit] = 0

    for op in program.operations:
        match op:
            case Gate():
                images = _images(op.name, _constants(op)) if len(op.qubits) == 2 else None
                wide += len(op.qubits) > 1
                if images is None:
                    settle(op.qubits)
                    operations.append(op)
                    continue
                drawn = set_seed(seed, framed) >> 60
                framed += 1
                first, second = op.qubits
                waiting[first] = waiting.get(first, 0) ^ (drawn & 3)
                waiting[second] = waiting.get(second, 0) ^ (drawn >> 2)
                settle(op.qubits)
                operations.append(op)
                behind = 0
                for bit in range(4):
                    behind ^= images[bit] if drawn >> bit & 1 else 0
                waiting[first], waiting[second] = behind & 3, behind >> 2
            case Measure() | Delay():
                settle((op.qubit,))
                operations.append(op)
            case Barrier():
                operations.append(op)
            case _:
                raise AssertionError("control is refused before")
    settle(sorted(waiting))
    made = Program(program.num_qubits, program.num_clbits, program.num_slots, tuple(operations))
    return Twirled(made, framed, wide)


def _constants(gate: Gate) -> tuple[float, ...] | None:
    """Angles of a gate; None where one depends on slots."""
    if any(isinstance(angle, Affine) for angle in gate.angles):
        return None
    return tuple(angle for angle in gate.angles if not isinstance(angle, Affine))


@lru_cache(maxsize=4096)
def _images(name: str, angles: tuple[float, ...] | None) -> tuple[int, int, int, int] | None:
    """What a gate of two qubits makes of X and Z of its first qubit, and of its second; None: no Paulis."""
    if angles is None or GATES[name].num_qubits != 2:
        return None
    gate = matrix(name, *(np.asarray(angle) for angle in angles))
    found = []
    for generator in (1, 2, 4, 8):
        product = gate @ _pauli(generator) @ gate.conj().T
        overlaps = [abs(np.vdot(_pauli(code), product)) / 4 for code in range(16)]
        best = int(np.argmax(overlaps))
        if overlaps[best] < 1 - _ROUNDING:
            return None
        found.append(best)
    return found[0], found[1], found[2], found[3]


def _pauli(code: int) -> npt.NDArray[np.complex128]:
    """Product of Paulis on a gate's two qubits, the first of which is the most significant bit of the index."""
    single = [np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1, -1]), np.array([[0, -1j], [1j, 0]])]
    found: npt.NDArray[np.complex128] = np.kron(single[code & 3], single[code >> 2]).astype(np.complex128)
    return found
