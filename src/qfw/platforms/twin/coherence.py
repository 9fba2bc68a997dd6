"""What T1 and T2 alone cost a gate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qfw.model.calibration import QubitCalibration


def decoherence_error(qubits: Sequence[QubitCalibration], duration_ns: float) -> float:
    """Average infidelity of doing nothing on these qubits for so long, 1 - F.

    Each qubit relaxes to |0> with T1 and loses its phase with T2, by itself. The entanglement fidelity of that
    is Fe = (1 + e^{-t/T1} + 2 e^{-t/T2}) / 4; those of several qubits multiply, and F = (d Fe + 1) / (d + 1) with
    d = 2^qubits.
    """
    entanglement = math.prod(
        (1 + math.exp(-duration_ns / (1e3 * qubit.t1_us)) + 2 * math.exp(-duration_ns / (1e3 * qubit.t2_us)))
        / 4
        for qubit in qubits
    )
    dimension = float(2 ** len(qubits))
    return dimension * (1 - entanglement) / (dimension + 1)
