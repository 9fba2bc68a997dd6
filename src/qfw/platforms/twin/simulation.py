"""NoisySimulation: what a device with this calibration would answer, and what finding out costs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration
from qfw.model.device import Estimate, Timing
from qfw.model.errors import OutOfMemory
from qfw.model.outputs import Answer, Output
from qfw.model.program import Program
from qfw.platforms.twin.noise import NoiseModel
from qfw.platforms.twin.prepared import Method, Prepared
from qfw.platforms.twin.runs import branching, exact, straight

Floats = npt.NDArray[np.float64]

#: Prepared programs, and calibrations, that are remembered.
REMEMBERED_PROGRAMS, REMEMBERED_CALIBRATIONS = 64, 4


class Simulated(NamedTuple):
    """What a run gave."""

    #: In the order of the outputs.
    answers: tuple[Answer, ...]
    #: What the task's owner should know.
    notes: tuple[str, ...]
    #: Of all shots of all sets together: from the first operation to the end of the last. Of one basis.
    circuits_ns: int


class NoisySimulation:
    """Answers programs in a device's native gates under its noise. May be called from several threads.

    Straight-line programs by densities, where what is held of them fits, else by trajectories. Expectation values
    are measured as hardware does: qubits are turned by one more pulse with its noise, and read with errors.
    Without shots an answer is the limit of many shots. Equal seeds give equal answers.
    """

    def __init__(self, timing: Timing, method: Method = "cheaper") -> None:
        """Of a device with this timing; `method` where both would do."""
        self._method: Method = method
        self._timing = timing
        self._lock = threading.Lock()
        # By identity: a calibration is kept with its model, so that its id is nobody else's.
        self._models: OrderedDict[int, NoiseModel] = OrderedDict()
        self._prepared: OrderedDict[tuple[int, bytes, tuple[Output, ...], bool], Prepared] = OrderedDict()

    def estimate(
        self, truth: Calibration, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """Seconds and bytes of this process that `simulate` takes.

        Raises:
            TooLarge: no method holds so many active qubits.
            UnsupportedFeature: an output or gate that the device does not have.
        """
        return self._prepare(truth, program, tuple(outputs), shots > 0).estimate(sets, shots)

    def simulate(
        self,
        truth: Calibration,
        program: Program,
        outputs: tuple[Output, ...],
        parameters: Floats,
        shots: int,
        seeds: Sequence[int],
        cancelled: threading.Event | None = None,
    ) -> Simulated:
        """Runs a program.

        Args:
            truth: the noise to run under.
            program: in native gates, on the device's own qubits.
            outputs: what is asked.
            parameters: shape (sets, slots), radians.
            shots: of each set, 0 for the limit of many.
            seeds: of each set, 0 to 2**64 - 1.
            cancelled: ends the run soon.

        Raises:
            TaskCancelled: `cancelled` was set.
            OutOfMemory: not enough memory.
            TooLarge, UnsupportedFeature: as `estimate`.
        """
        prepared = self._prepare(truth, program, outputs, shots > 0)
        event = cancelled or threading.Event()
        angles = program.angle_table.bind(parameters)
        sets = len(angles)
        try:
            if prepared.branches:
                prepared.by_density(sets, shots)
                answers, elapsed_ns = branching(prepared, angles, shots, seeds, event)
                return Simulated(answers, prepared.notes, elapsed_ns)
            dense = prepared.by_density(sets, shots)
            answer = straight if shots else exact
            answers = answer(prepared, angles, shots, seeds, event, dense)
        except MemoryError as error:
            raise OutOfMemory(
                f"the noise of {len(prepared.active)} active qubits did not fit into memory: {error}. "
                "Use fewer active qubits or fewer sets at once"
            ) from error
        return Simulated(answers, prepared.notes, sets * shots * prepared.circuit_ns)

    def _prepare(
        self, truth: Calibration, program: Program, outputs: tuple[Output, ...], sampled: bool
    ) -> Prepared:
        key = (id(truth), program.digest, outputs, sampled)
        with self._lock:
            found = self._prepared.get(key)
            if found is not None:
                self._prepared.move_to_end(key)
                return found
            model = self._models.get(id(truth))
            if model is None:
                model = self._models[id(truth)] = NoiseModel(truth)
                if len(self._models) > REMEMBERED_CALIBRATIONS:
                    gone, _ = self._models.popitem(last=False)
                    for other in [k for k in self._prepared if k[0] == gone]:
                        del self._prepared[other]
            self._models.move_to_end(id(truth))
            found = self._prepared[key] = Prepared(
                program, outputs, sampled, model, self._timing, self._method
            )
            if len(self._prepared) > REMEMBERED_PROGRAMS:
                self._prepared.popitem(last=False)
            return found
