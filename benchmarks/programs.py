"""The programs that are measured, and fresh parameters for every repetition."""

from __future__ import annotations

import numpy as np

from benchmarks.measure import Floats
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation, Output
from qfw.model.program import Gate, Program, slot

#: H, RY(slot) and CZ on three qubits: the circuit of the field's smallest examples.
THREE_QUBITS = Program(
    3,
    0,
    3,
    (
        *(Gate("h", (qubit,)) for qubit in range(3)),
        *(Gate("ry", (qubit,), (slot(qubit),)) for qubit in range(3)),
        Gate("cz", (0, 1)),
        Gate("cz", (1, 2)),
        *(Gate("h", (qubit,)) for qubit in range(3)),
    ),
)
#: Asks for <Z0 Z1 Z2>, exact.
PARITY: tuple[Output, ...] = (Expectation((PauliSum.of("Z0 Z1 Z2"),)),)
#: Asks for nothing: for the engine that runs nothing.
NOTHING: tuple[Output, ...] = ()


def fresh_parameters(*shape: int, seed: int = 0) -> Floats:
    """Angles in radians, uniform from -π to π."""
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, shape)
