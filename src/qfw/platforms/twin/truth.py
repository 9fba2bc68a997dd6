"""Truth: what a twin's device really is at a time. Its calibration only says what was measured of it, earlier."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration
from qfw.platforms.twin.script import Drift, Incident, Script, seconds

Floats = npt.NDArray[np.float64]

#: Smallest factor that linear drift comes to; coherence does not become negative.
_LEAST_FACTOR = 0.01


class Figures:
    """The drifting figures of a calibration as arrays, and back."""

    def __init__(self, base: Calibration) -> None:
        """Figures of `base`."""
        self._base = base
        self.t1: Floats = np.array([qubit.t1_us for qubit in base.qubits])
        self.t2: Floats = np.array([qubit.t2_us for qubit in base.qubits])
        self.read1: Floats = np.array([qubit.read1_given0 for qubit in base.qubits])
        self.read0: Floats = np.array([qubit.read0_given1 for qubit in base.qubits])
        self.gate: Floats = np.array([gate.error for gate in base.gates])

    def calibration(self, version: str, measured_s: float) -> Calibration:
        """A calibration with these figures, brought within what can be: T2 ≤ 2·T1, errors no worse than chance."""
        t2 = np.minimum(self.t2, 2 * self.t1)
        qubits = tuple(
            msgspec.structs.replace(
                qubit,
                t1_us=float(self.t1[index]),
                t2_us=float(t2[index]),
                read1_given0=float(min(self.read1[index], 0.5)),
                read0_given1=float(min(self.read0[index], 0.5)),
            )
            for index, qubit in enumerate(self._base.qubits)
        )
        gates = tuple(
            msgspec.structs.replace(gate, error=float(min(self.gate[index], 1 - 0.5 ** len(gate.qubits))))
            for index, gate in enumerate(self._base.gates)
        )
        return Calibration(self._base.device, version, measured_s, qubits, gates, self._base.pulses)


class Truth:
    """How the device drifts from what it was in the beginning, and what incidents add. Time goes forward only."""

    def __init__(self, script: Script, seed: int, base: Calibration) -> None:
        """At time 0 it is `base`."""
        self._base = base
        self._seed = seed
        self._step_ns = seconds(script.drift_step_s)
        self._drifts = tuple(_Drifting(drift, index, seed, base) for index, drift in enumerate(script.drift))
        self._step = 0
        self._gate_qubits = tuple(frozenset(gate.qubits) for gate in base.gates)
        self._kept: dict[tuple[int, tuple[Incident, ...]], Calibration] = {(0, ()): base}

    def at(self, at_ns: int, incidents: Sequence[Incident] = ()) -> Calibration:
        """What is true at a time, during some incidents; its version names no calibration that anybody measured.

        The same object while nothing changes, so that what is derived from it can be kept.
        """
        if self._drifts:
            self._advance(at_ns // self._step_ns)
        key = (self._step, tuple(incidents))
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= 8:
                self._kept.clear()
            names = "".join(
                f"*{incident.factor:g}({','.join(map(str, incident.qubits))})" for incident in incidents
            )
            found = self._figures(incidents).calibration(
                f"{self._base.version}@{self._step}{names}", self._base.measured_s
            )
            self._kept[key] = found
        return found

    def measured(
        self,
        at_ns: int,
        incidents: Sequence[Incident],
        noise: float,
        stream: tuple[int, int],
        version: str,
        measured_s: float,
    ) -> Calibration:
        """What a recalibration finds: each figure times exp(noise · normal).

        Args:
            stream: place and number of the recalibration; makes its measurement errors its own.
        """
        if self._drifts:
            self._advance(at_ns // self._step_ns)
        figures = self._figures(incidents)
        random = np.random.default_rng((self._seed, 2, *stream))
        for values in (figures.t1, figures.t2, figures.read1, figures.read0, figures.gate):
            values *= np.exp(noise * random.standard_normal(values.shape))
        return figures.calibration(version, measured_s)

    def _advance(self, step: int) -> None:
        while self._step < step:
            self._step += 1
            for drift in self._drifts:
                drift.step(self._step * self._step_ns / 3.6e12, self._step_ns / 3.6e12)

    def _figures(self, incidents: Sequence[Incident]) -> Figures:
        figures = Figures(self._base)
        for drift in self._drifts:
            drift.apply(figures)
        for incident in incidents:
            chosen = set(incident.qubits) or set(range(len(self._base.qubits)))
            qubits = np.array([qubit in chosen for qubit in range(len(self._base.qubits))], dtype=bool)
            gates = np.array([bool(touched & chosen) for touched in self._gate_qubits], dtype=bool)
            figures.read1[qubits] *= incident.factor
            figures.read0[qubits] *= incident.factor
            figures.gate[gates] *= incident.factor
        return figures


class _Drifting:
    """One entry of the script, as far as it has come."""

    def __init__(self, drift: Drift, index: int, seed: int, base: Calibration) -> None:
        self._drift = drift
        self._random = np.random.default_rng((seed, 1, index))
        chosen = set(drift.qubits)
        if drift.quantity == "gate_error":
            taken = [not chosen or bool(chosen & set(gate.qubits)) for gate in base.gates]
        else:
            taken = [not chosen or qubit in chosen for qubit in range(len(base.qubits))]
        self._taken = np.array(taken, dtype=bool)
        self._logarithm: Floats = np.zeros(len(taken))

    def step(self, hours: float, step_hours: float) -> None:
        """Drifts on by a step, to so many hours since the beginning."""
        if self._drift.kind == "walk":
            normal = self._random.standard_normal(self._logarithm.shape)
            self._logarithm += self._drift.per_hour * np.sqrt(step_hours) * normal
        else:
            self._logarithm[:] = np.log(max(1 + self._drift.per_hour * hours, _LEAST_FACTOR))

    def apply(self, figures: Figures) -> None:
        """Multiplies what drifts."""
        factors = np.where(self._taken, np.exp(self._logarithm), 1.0)
        match self._drift.quantity:
            case "t1":
                figures.t1 *= factors
            case "t2":
                figures.t2 *= factors
            case "gate_error":
                figures.gate *= factors
            case "readout_error":
                figures.read1 *= factors
                figures.read0 *= factors
