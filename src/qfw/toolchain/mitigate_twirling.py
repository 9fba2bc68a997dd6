"""Twirling: the same program among random Pauli gates that cancel, so that noise on average is a Pauli channel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.program import Affine, Barrier, Delay, Gate, Measure, Operation, Program
from qfw.model.seeds import set_seed
from qfw.numerics.gates import matrix
from qfw.toolchain.mitigate_inverses import Inverses

#: Two bits for each qubit: 1 has an X in it, 2 a Z; 3 is Y up to a phase.
_NAMES = {1: "x", 2: "z", 3: "y"}
#: Products of Paulis and a gate are right to this.
_ROUNDING = 1e-12
#: Of one qubit, or of three.
_NO_FRAMES = ((0, 0),)


class Twirled(NamedTuple):
    """A program in one frame."""

    program: Program
    #: Gates that have a frame, of all gates of two or more qubits.
    framed: int
    wide: int


def twirled(program: Program, seed: int, inverses: Inverses) -> Twirled:
    """The program with a random Pauli pair in front of each gate of two qubits, and what undoes it behind.

    Of a Clifford gate that is one of all sixteen pairs; of another one, of those that it makes Paulis of. It does the
    same up to a global phase. What stands behind one gate and in front of the next is one gate for each qubit; Paulis
    pass barriers.

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
                frames = _frames(op.name, _angles(op)) if len(op.qubits) == 2 else _NO_FRAMES
                wide += len(op.qubits) > 1
                if len(frames) == 1:
                    settle(op.qubits)
                    operations.append(op)
                    continue
                before, behind = frames[(set_seed(seed, framed) >> 60) % len(frames)]
                framed += 1
                first, second = op.qubits
                waiting[first] = waiting.get(first, 0) ^ (before & 3)
                waiting[second] = waiting.get(second, 0) ^ (before >> 2)
                settle(op.qubits)
                operations.append(op)
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


def _angles(gate: Gate) -> tuple[float, ...]:
    """Angles of a gate; of those that depend on slots, and of others with them, some that are like no other.

    What stays a Pauli at such angles stays the same one at all: Paulis do not change little by little.
    """
    if any(isinstance(angle, Affine) for angle in gate.angles):
        return tuple(0.7390851 + 0.5772157 * place for place in range(len(gate.angles)))
    return tuple(angle for angle in gate.angles if not isinstance(angle, Affine))


@lru_cache(maxsize=4096)
def _frames(name: str, angles: tuple[float, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs of Paulis, and of what a gate of two qubits makes of them; a power of two, the identity first."""
    gate = matrix(name, *(np.asarray(angle) for angle in angles))
    found = []
    for code in range(16):
        product = gate @ _pauli(code) @ gate.conj().T
        overlaps = [np.vdot(_pauli(other), product).real / 4 for other in range(16)]
        best = int(np.argmax(np.abs(overlaps)))
        # A Pauli stays Hermitian, so it can be but another one, or its negative.
        if np.abs(product - np.sign(overlaps[best]) * _pauli(best)).max() < _ROUNDING:
            found.append((code, best))
    return tuple(found)


def _pauli(code: int) -> npt.NDArray[np.complex128]:
    """Product of Paulis on a gate's two qubits, the first of which is the most significant bit of the index."""
    single = [np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1, -1]), np.array([[0, -1j], [1j, 0]])]
    found: npt.NDArray[np.complex128] = np.kron(single[code & 3], single[code >> 2]).astype(np.complex128)
    return found
