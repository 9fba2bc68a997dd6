"""TwinPlatform: the plugin `twin`, twins put together of models, life and noise."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile, Estimate, Timing
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.platforms.twin.device import Simulation
from qfw.platforms.twin.driver import TwinDriver
from qfw.platforms.twin.models import load_model
from qfw.platforms.twin.simulation import NoisySimulation, Simulated
from qfw.qpm.driven import DrivenPlatform
from qfw.qpm.platform import PlatformConfig

#: Coherence of a device without noise, in microseconds: 30 000 years.
_FOREVER_US = 1e18


class NoiselessSimulation:
    """What the device would answer if nothing ever went wrong on it."""

    def __init__(self, timing: Timing) -> None:
        """Of a device with this timing."""
        self._simulation = NoisySimulation(timing)
        self._lock = threading.Lock()
        #: What was true last, and the same without its errors.
        self._kept: tuple[Calibration, Calibration] | None = None

    def simulate(
        self,
        truth: Calibration,
        program: Program,
        outputs: tuple[Output, ...],
        parameters: npt.NDArray[np.float64],
        shots: int,
        seeds: Sequence[int],
        cancelled: threading.Event,
    ) -> Simulated:
        """See Simulation."""
        return self._simulation.simulate(
            self._ideal(truth), program, outputs, parameters, shots, seeds, cancelled
        )

    def estimate(
        self, truth: Calibration, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """See Simulation."""
        return self._simulation.estimate(self._ideal(truth), program, outputs, sets, shots)

    def _ideal(self, truth: Calibration) -> Calibration:
        with self._lock:
            if self._kept is None or self._kept[0] is not truth:
                self._kept = (truth, without_errors(truth))
            return self._kept[1]


def without_errors(calibration: Calibration) -> Calibration:
    """The same device, its durations and what is out of order on it, but nothing decays or errs."""
    replace = msgspec.structs.replace
    qubits = tuple(
        replace(
            qubit, t1_us=_FOREVER_US, t2_us=_FOREVER_US, read1_given0=0.0, read0_given1=0.0, reset_error=0.0
        )
        for qubit in calibration.qubits
    )
    return replace(
        calibration, qubits=qubits, gates=tuple(replace(gate, error=0.0) for gate in calibration.gates)
    )


def make_simulation(profile: DeviceProfile, noisy: bool) -> Simulation:
    """What answers for a device."""
    timing = profile.timing or Timing()
    return NoisySimulation(timing) if noisy else NoiselessSimulation(timing)


class BuiltTwinDriver(TwinDriver):
    """Drives twins of the models that there are, with their noise."""

    def __init__(self, config: PlatformConfig) -> None:
        """Raises like TwinDriver."""
        super().__init__(config, load_model, make_simulation)


class TwinPlatform(DrivenPlatform):
    """Serves twins: docs/guides/twin.md."""

    driver_class = BuiltTwinDriver
