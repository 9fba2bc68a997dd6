"""What is checked of a task before it is accepted. Nothing here allocates what the task would need."""

from __future__ import annotations

import numpy as np

from qfw.config.settings import Settings
from qfw.model.device import Estimate
from qfw.model.errors import OptionError, ParameterError, UnknownDevice
from qfw.model.outputs import check_outputs, check_shots, decode_outputs
from qfw.model.program import Program, all_angles
from qfw.model.task import DeadlineClass, QuantumTask, TaskOptions, check_options
from qfw.qpm import registry
from qfw.qpm.platform import Platform

#: Checked combinations of device, program, outputs, sets and shots that are remembered.
REMEMBERED = 16384

_USUAL = TaskOptions()


class Intake:
    """Checks tasks against their devices and estimates them."""

    def __init__(self, platforms: dict[str, Platform], settings: Settings) -> None:
        """`platforms` by the name of each device that they serve."""
        self._platforms = platforms
        self._settings = settings
        self._estimates: dict[tuple[str, bytes, bytes, int, int], Estimate] = {}

    def estimate(self, task: QuantumTask, program: Program) -> Estimate:
        """Cost of a task that is fit to run.

        Raises:
            QFwError: it is not; says what was asked, what was found and what to do.
        """
        if len(task.parameters) != 8 * task.sets * program.num_slots:
            raise ParameterError(
                f"{len(task.parameters) // 8} parameters were sent; {task.sets} sets of {program.num_slots} slots "
                f"need {task.sets * program.num_slots}"
            )
        if task.parameters and not all_angles(np.frombuffer(task.parameters, dtype="<f8")):
            raise ParameterError(
                "parameters hold NaN, infinity or more than 2**52; angles must be finite and at most that"
            )
        if not 0 <= task.seed < 2**63:
            raise OptionError(f"seed {task.seed} is outside 0..2**63 - 1")
        options = task.options
        if options != _USUAL:
            check_options(options)
        if options.deadline_class is not DeadlineClass.BEST_EFFORT:
            raise OptionError(
                f"deadline class {options.deadline_class} needs a reservation, which this daemon does not have; "
                f"use best_effort"
            )
        key = (task.device, task.program, task.outputs, task.sets, task.shots)
        found = self._estimates.get(key)
        if found is None:
            found = self._check(task, program)
            if len(self._estimates) >= REMEMBERED:
                self._estimates.clear()
            self._estimates[key] = found
        return found

    def time_limit_s(self, task: QuantumTask) -> float:
        """Seconds that the run may take."""
        limit_s = self._settings.workers.time_limit_s
        return min(task.options.time_limit_s or limit_s, limit_s)

    def _check(self, task: QuantumTask, program: Program) -> Estimate:
        platform = self._platforms.get(task.device)
        if platform is None:
            raise UnknownDevice(registry.unknown("device", task.device, sorted(self._platforms)))
        if not 1 <= task.sets <= 2**31:
            raise ParameterError(f"a task has 1 to 2**31 parameter sets, not {task.sets}")
        shots = check_shots(task.shots)
        outputs = decode_outputs(task.outputs)
        # Size first: what follows may take time in proportion to it.
        estimate = platform.estimate(task.device, program, outputs, task.sets, shots)
        check_outputs(outputs, program, task.sets, shots)
        return estimate
