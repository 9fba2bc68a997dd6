"""Calibration: what a device measured of itself, dated and versioned."""

from __future__ import annotations

import statistics

import msgspec

from qfw.model.gate_pulses import PulseDefinitions


class QubitCalibration(msgspec.Struct, frozen=True):
    """A qubit: coherence and readout."""

    t1_us: float
    t2_us: float
    #: Probability to read 1 of a qubit prepared in |0>, and 0 of one in |1>.
    read1_given0: float
    read0_given1: float
    readout_ns: int
    #: Of a reset within a program: probability to end in |1>, and its time.
    reset_error: float = 0.0
    reset_ns: int = 0
    frequency_ghz: float | None = None
    #: Whether it can be used at all.
    operational: bool = True


class GateCalibration(msgspec.Struct, frozen=True):
    """A native gate on certain qubits."""

    name: str
    qubits: tuple[int, ...]
    #: Average gate infidelity, 1 - F: decoherence during the gate included.
    error: float
    duration_ns: int
    operational: bool = True


class Calibration(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of a device, measured at one time."""

    device: str
    #: Another one for every change; a task may be lowered for one version.
    version: str
    #: When it was measured, Unix time in seconds.
    measured_s: float
    qubits: tuple[QubitCalibration, ...]
    gates: tuple[GateCalibration, ...]
    #: How gates and measurements are played; None: the device does not say.
    pulses: PulseDefinitions | None = None

    def __repr__(self) -> str:
        # Every figure of a large device would fill pages; they are in qubits and gates.
        return (
            f"Calibration({self.version!r} of {self.device!r}; qubits: {len(self.qubits)}, gates: {len(self.gates)}, "
            f"median error of two-qubit gates: {self.median_two_qubit_error})"
        )

    @property
    def median_two_qubit_error(self) -> float | None:
        """Median of the errors of its usable two-qubit gates; None where it has none."""
        errors = [gate.error for gate in self.gates if len(gate.qubits) == 2 and gate.operational]
        return statistics.median(errors) if errors else None
