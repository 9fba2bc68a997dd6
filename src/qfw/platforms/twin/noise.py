"""The noise of a device, from its calibration: made once for a version, and of each gate when it is used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.errors import CalibrationError, UnsupportedFeature
from qfw.model.native import SYMMETRIC
from qfw.platforms.twin import channels
from qfw.platforms.twin.channels import Floats

#: Idle times of a model that are remembered; all forgotten beyond.
REMEMBERED = 4096
#: Gates that a basis is changed with where the calibration has them, the preferred first: each turns a qubit by
#: a right angle in one pulse, frames of the axes being changed at no cost.
_TURNS = ("sx", "rx", "ry", "u", "h", "x")


@dataclass(frozen=True)
class GateNoise:
    """What follows an ideal gate: relaxation of each qubit, then a random Pauli word on all of them."""

    qubits: tuple[int, ...]
    duration_ns: int
    #: Of each qubit: probability that |1> decays, and that the phase is flipped.
    decays: tuple[tuple[float, float], ...]
    #: Every Pauli word but the identity is multiplied by this.
    kept: float
    #: Relaxation of all qubits, shape (4**k, 4**k).
    relaxation: Floats

    @property
    def depolarising(self) -> float:
        """Probability of a Pauli word, each but the identity alike."""
        squared = 4 ** len(self.qubits)
        return float((1 - self.kept) * (squared - 1) / squared)

    @cached_property
    def channel(self) -> Floats:
        """Shape (4**k, 4**k)."""
        return channels.depolarising(self.kept, len(self.qubits)) @ self.relaxation


class NoiseModel:
    """Noise under one calibration: the device's own, or what is true of it while that is out of date."""

    def __init__(self, calibration: Calibration) -> None:
        """Costs one look at each gate's name; nothing is worked out before it is used."""
        self.calibration = calibration
        self._gates = {(gate.name, gate.qubits): gate for gate in calibration.gates}
        self._noise: dict[tuple[str, tuple[int, ...]], GateNoise] = {}
        self._idle: dict[tuple[int, int], Floats] = {}
        self._turns: dict[int, GateNoise | None] = {}

    def of_gate(self, name: str, qubits: tuple[int, ...]) -> GateNoise:
        """What follows a gate on these qubits, such that its average infidelity is the calibration's error.

        Decoherence over its duration is part of the error; where it alone is more, the error is that.

        Raises:
            UnsupportedFeature: the calibration does not have this gate on these qubits, or not any more.
        """
        found = self._noise.get((name, qubits))
        if found is None:
            found = self._noise[name, qubits] = self._gate_noise(self._find(name, qubits), qubits)
        return found

    def idle(self, qubit: int, duration_ns: int) -> Floats:
        """Relaxation of a qubit that waits, shape (4, 4)."""
        found = self._idle.get((qubit, duration_ns))
        if found is None:
            if len(self._idle) >= REMEMBERED:
                self._idle.clear()
            found = self._idle[qubit, duration_ns] = channels.relaxation(duration_ns, *self.coherence(qubit))
        return found

    def coherence(self, qubit: int) -> tuple[float, float]:
        """T1 and T2 in microseconds.

        Raises:
            CalibrationError: one is not a positive number.
            UnsupportedFeature: the qubit is out of order.
        """
        known = self._qubit(qubit)
        if not (known.t1_us > 0 and known.t2_us > 0):
            raise CalibrationError(
                f"calibration {self.calibration.version} of {self.calibration.device}: qubit {qubit} has T1 "
                f"{known.t1_us} us and T2 {known.t2_us} us; both must be positive"
            )
        return known.t1_us, known.t2_us

    def readout(self, qubit: int) -> Floats:
        """Probability to read each bit (row) of a qubit in each state (column), shape (2, 2)."""
        known = self._qubit(qubit)
        p10, p01 = min(known.read1_given0, 1.0), min(known.read0_given1, 1.0)
        return np.array([[1 - p10, p01], [p10, 1 - p01]])

    def reset_error(self, qubit: int) -> float:
        """Probability that a reset leaves the qubit in |1>."""
        return self._qubit(qubit).reset_error

    def turn(self, qubit: int) -> GateNoise | None:
        """What follows the pulse before a measurement of X or Y; None where no gate of the device does it.

        It is one gate of a quarter turn (sx, else rx, ry, u, h, x), its phases being frames of the axes.
        """
        if qubit not in self._turns:
            found = None
            for name in _TURNS:
                gate = self._gates.get((name, (qubit,)))
                if gate is not None and gate.operational:
                    found = self.of_gate(name, (qubit,))
                    break
            self._turns[qubit] = found
        return self._turns[qubit]

    def _qubit(self, qubit: int) -> QubitCalibration:
        known = self.calibration.qubits[qubit]
        if not known.operational:
            raise UnsupportedFeature(
                f"qubit {qubit} of {self.calibration.device} is out of order; lower the program for it again"
            )
        return known

    def _find(self, name: str, qubits: tuple[int, ...]) -> GateCalibration:
        found = self._gates.get((name, qubits))
        if found is None and name in SYMMETRIC:
            found = self._gates.get((name, qubits[::-1]))
        if found is None or not found.operational:
            why = "is not in the calibration of" if found is None else "is out of order on"
            raise UnsupportedFeature(
                f"gate {name} on qubits {qubits} {why} {self.calibration.device}; lower the program for it again"
            )
        return found

    def _gate_noise(self, gate: GateCalibration, qubits: tuple[int, ...]) -> GateNoise:
        times = [self.coherence(qubit) for qubit in qubits]
        relaxed = channels.beside(*(channels.relaxation(gate.duration_ns, *time) for time in times))
        return GateNoise(
            qubits,
            gate.duration_ns,
            tuple(channels.decay(gate.duration_ns, *time) for time in times),
            channels.depolarised(relaxed, gate.error),
            relaxed,
        )
