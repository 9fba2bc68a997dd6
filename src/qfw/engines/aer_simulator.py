"""What AerEngine needs of Aer, whichever of Aer's interfaces gives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from qfw.model.errors import OutOfMemory, PlatformFailed
from qfw.model.gates import GATES
from qfw.model.observable import PauliSum
from qfw.model.program import Affine, Gate, Program
from qfw.numerics.question import Basis

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

#: Gates of `qfw.model.gates` that Aer's statevector has a kernel for, by the same name, with the same
#: order of qubits and angles. The phase of the whole state is applied by the engine.
GATE_NAMES = frozenset(GATES) - {"ch", "iswap", "gphase"}


class Reads(NamedTuple):
    """What is read of the final state."""

    #: Exact values of these; none of their terms is the identity.
    observables: tuple[PauliSum, ...]
    #: Distributions of outcomes in these bases.
    bases: tuple[Basis, ...]
    vector: bool


class Reading(NamedTuple):
    """What was read of one set's state."""

    #: Shape (observables,).
    values: list[float]
    #: Of each basis: shape (2**qubits,).
    distributions: list[Floats]
    #: Shape (2**qubits,), without the phases of `gphase`.
    vector: Complex | None


class Sampled(NamedTuple):
    """Outcomes of the classical bits, as integers: bit i is classical bit i."""

    counts: dict[int, int]
    #: Shot by shot; empty where not asked for.
    memory: list[int]


class Simulator(Protocol):
    """Aer, with the statevector method.

    A circuit's angles that depend on slots are its columns: in the order of the program's gates, those
    of `gphase` left out.
    """

    def straight(self, program: Program, reads: Reads, threads: int) -> Any:
        """A circuit of a straight-line program, of which `reads` are read at the end."""
        ...

    def read(self, circuit: Any, angles: Floats) -> list[Reading]:
        """Runs a circuit of `straight` with each row of `angles`, shape (sets, columns).

        One reading alone where there are no columns: all sets are the same.
        """
        ...

    def controlled(self, program: Program, threads: int) -> Any:
        """A circuit of a program with control."""
        ...

    def sample(self, circuit: Any, angles: Floats, shots: int, seed: int, memory: bool) -> Sampled:
        """Runs a circuit of `controlled` so often; `angles` has shape (columns,), `seed` 64 bits."""
        ...


def columns(program: Program) -> list[int]:
    """Rows of the program's angle table that are columns of its circuits."""
    found, row = [], 0
    for gate in program.gates():
        for angle in gate.angles:
            if isinstance(angle, Affine) and gate.qubits:
                found.append(row)
            row += 1
    return found


def phases(program: Program) -> list[int]:
    """Rows of the program's angle table that are phases of the whole state."""
    found, row = [], 0
    for gate in program.gates():
        if not gate.qubits:
            found.append(row)
        row += len(gate.angles)
    return found


def change(basis: Basis) -> Iterator[Gate]:
    """Gates after which measuring Z is measuring `basis`."""
    for qubit, pauli in basis:
        if pauli == "Y":
            yield Gate("sdg", (qubit,))
        yield Gate("h", (qubit,))


def change_back(basis: Basis) -> Iterator[Gate]:
    """Gates that undo `change`."""
    for qubit, pauli in basis:
        yield Gate("h", (qubit,))
        if pauli == "Y":
            yield Gate("s", (qubit,))


def pauli_words(observable: PauliSum, num_qubits: int) -> tuple[list[str], list[float]]:
    """Terms as Aer writes them, the last qubit first, and their coefficients."""
    words = []
    for term in observable.terms:
        word = ["I"] * num_qubits
        for qubit, pauli in zip(term.qubits, term.paulis, strict=True):
            word[num_qubits - 1 - qubit] = pauli
        words.append("".join(word))
    return words, [term.coefficient for term in observable.terms]


class Condition(NamedTuple):
    """Whether classical bits have certain values, as a mask over all of them."""

    mask: int
    value: int


def condition(clbits: tuple[int, ...], value: int) -> Condition | None:
    """When `clbits`, the first one least significant, equal `value`; None where they never can."""
    if not 0 <= value < 2 ** len(clbits):
        return None
    wanted: dict[int, int] = {}
    for place, clbit in enumerate(clbits):
        if wanted.setdefault(clbit, value >> place & 1) != value >> place & 1:
            return None  # The same bit twice, once as 0 and once as 1.
    return Condition(sum(1 << c for c in wanted), sum(bit << c for c, bit in wanted.items()))


def failure(status: str) -> PlatformFailed:
    """The error of a run that Aer says went wrong."""
    if "memory" in status.lower():
        return OutOfMemory(f"engine aer: {status}. Ask for fewer qubits, or give the worker more memory")
    return PlatformFailed(f"engine aer: the simulator failed: {status}")
