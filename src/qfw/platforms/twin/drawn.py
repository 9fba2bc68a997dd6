"""Numbers drawn from a seed, the same on every machine, bit by bit."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import NormalDist

from qfw.model.calibration import GateCalibration, QubitCalibration
from qfw.platforms.twin.coherence import decoherence_error

#: Significant digits of a drawn number: where mathematics libraries differ, they do far behind these.
DIGITS = 6
_NORMAL = NormalDist()


class Drawn:
    """A sequence of random numbers that a text names, such as "heavy-hex-20 7"."""

    def __init__(self, name: str) -> None:
        """Equal names give equal sequences."""
        self._random = random.Random(name)

    def around(self, median: float, sigma: float) -> float:
        """Log-normal: `median` times e^(sigma · normal), the normal number within ±2.5."""
        normal = _NORMAL.inv_cdf(min(max(self._random.random(), 1e-9), 1 - 1e-9))
        return rounded(median * math.exp(sigma * max(-2.5, min(2.5, normal))))

    def between(self, low: float, high: float) -> float:
        """Uniform."""
        return rounded(low + (high - low) * self._random.random())

    def t2_us(self, t1_us: float, median: float, sigma: float) -> float:
        """Log-normal, and at most 1.9 T1: the law allows 2."""
        return rounded(min(self.around(median, sigma), 1.9 * t1_us))

    def gate(
        self,
        name: str,
        qubits: tuple[int, ...],
        all_qubits: Sequence[QubitCalibration],
        duration_ns: int,
        control_error: float,
        sigma: float,
    ) -> GateCalibration:
        """A gate whose error is that of decoherence over its time, and a log-normal one of its control on top."""
        floor = decoherence_error([all_qubits[qubit] for qubit in qubits], duration_ns)
        error = floor + self.around(control_error, sigma)
        # Rounded up: never below what T1 and T2 alone cost.
        return GateCalibration(name, qubits, rounded(error * (1 + 0.5 * 10 ** (1 - DIGITS))), duration_ns)


def rounded(value: float) -> float:
    """To DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")
