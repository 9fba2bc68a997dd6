"""What is checked of a task before it is accepted. Nothing here allocates what the task would need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qfw.config.current import Current
from qfw.model.device import DeviceProfile, Estimate, Timing
from qfw.model.errors import (
    ErrorReport,
    OptionError,
    ParameterError,
    ProgramError,
    QFwError,
    TooLarge,
    UnknownDevice,
    UnsupportedFeature,
)
from qfw.model.outputs import Expectation, Output, check_outputs, check_shots, decode_outputs
from qfw.model.program import Program, all_angles
from qfw.model.task import DeadlineClass, QuantumTask, TaskOptions, check_options
from qfw.qpm import registry
from qfw.qpmd.platforms import Platforms

#: Checked combinations of device, program, outputs, sets and shots that are remembered.
REMEMBERED = 16384
#: Other devices that a refusal names.
ALTERNATIVES = 3

_USUAL = TaskOptions()


class Fitted(NamedTuple):
    """A program as a device runs it, and what is asked of it."""

    program: Program
    digest: bytes
    outputs: bytes


class Intake:
    """Checks tasks against their devices and estimates them."""

    def __init__(self, platforms: Platforms, settings: Current) -> None:
        """`platforms` serve the devices that tasks may name."""
        self._platforms = platforms
        self._settings = settings
        self._known: dict[tuple[str, bytes, bytes, int, int], Estimate | ErrorReport] = {}

    def estimate(self, task: QuantumTask, program: Program, lowered: Fitted | None = None) -> Estimate:
        """Cost of a task that is fit to run.

        Args:
            task: to be checked.
            program: as it was sent.
            lowered: what the task's pipeline made of it; None where it has none, or that is not known yet: then
                nothing is checked that depends on it.

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
        if not 0 <= task.first_set < 2**63:
            raise OptionError(f"first_set {task.first_set} is outside 0..2**63 - 1")
        options = task.options
        if options != _USUAL:
            check_options(options)
        if options.deadline_class is not DeadlineClass.BEST_EFFORT:
            raise OptionError(
                f"deadline class {options.deadline_class} needs a reservation, which this daemon does not have; "
                f"use best_effort"
            )
        if task.pipeline:
            if task.calibration:
                raise OptionError(
                    f"the task names calibration {task.calibration[:200]} and has a pipeline, which lowers it for the "
                    "one that the device has when it starts; give one of the two"
                )
            if lowered is None:
                return self._outline(task, program)
        return self.fit(task, lowered or Fitted(program, task.program, task.outputs))

    def fit(self, task: QuantumTask, fitted: Fitted) -> Estimate:
        """Cost of a task by the program that its device runs. Raises QFwError where it is not fit to run."""
        key = (task.device, fitted.digest, fitted.outputs, task.sets, task.shots)
        found = self._known.get(key)
        if found is None:
            try:
                found = self._check(task, fitted)
            except (TooLarge, UnsupportedFeature) as error:
                found = ErrorReport.of(error)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = found
        if isinstance(found, ErrorReport):
            raise found.to_exception()
        return found

    def forget(self) -> None:
        """Devices or calibrations changed: what was estimated may be so no longer."""
        self._known.clear()

    def time_limit_s(self, task: QuantumTask) -> float:
        """Seconds that the run may take."""
        limit_s = self._settings.workers.time_limit_s
        return min(task.options.time_limit_s or limit_s, limit_s)

    def _outline(self, task: QuantumTask, program: Program) -> Estimate:
        """Cost of a task whose lowered program is not known yet; checks what every program of it has to keep."""
        outputs = self._asked(task)
        _check_bounds(self._platforms.profiles[task.device], outputs, task.sets, task.shots)
        for output in outputs:
            if isinstance(output, Expectation):
                for observable in output.observables:
                    observable.check(program.num_qubits)
        try:
            return self._platforms.of[task.device].estimate(
                task.device, program, outputs, task.sets, task.shots
            )
        except ProgramError:
            # It will be another program that runs.
            timing = self._platforms.profiles[task.device].timing or Timing()
            shot_ns = timing.reset_ns + timing.repetition_delay_ns
            return Estimate((timing.task_ns + task.sets * (timing.set_ns + task.shots * shot_ns)) / 1e9, 0)

    def _asked(self, task: QuantumTask) -> tuple[Output, ...]:
        if task.device not in self._platforms.of:
            raise UnknownDevice(registry.unknown("device", task.device, sorted(self._platforms.of)))
        if not 1 <= task.sets <= 2**31:
            raise ParameterError(f"a task has 1 to 2**31 parameter sets, not {task.sets}")
        check_shots(task.shots)
        return decode_outputs(task.outputs)

    def _check(self, task: QuantumTask, fitted: Fitted) -> Estimate:
        self._asked(task)
        shots, program, outputs = task.shots, fitted.program, decode_outputs(fitted.outputs)
        # Size first: what follows may take time in proportion to it.
        try:
            estimate = self._fits(task.device, program, outputs, task.sets, shots)
        except (TooLarge, UnsupportedFeature) as error:
            # Another device runs another program than one that was lowered for this one.
            others = "" if task.pipeline else self._others(task.device, program, outputs, task.sets, shots)
            raise type(error)(f"{error}{others}") from error
        check_outputs(outputs, program, task.sets, shots)
        return estimate

    def _fits(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """Cost on a device that can run it. Raises TooLarge or UnsupportedFeature where it cannot."""
        _check_bounds(self._platforms.profiles[device], outputs, sets, shots)
        estimate = self._platforms.of[device].estimate(device, program, outputs, sets, shots)
        limit_s = self._settings.workers.time_limit_s
        if estimate.cost_s > limit_s:
            raise TooLarge(
                f"the task would take {estimate.cost_s:.3g} s on {device}, by estimate; {limit_s:g} s is the "
                f"limit here (workers.time_limit_s). Send fewer parameter sets or shots per task"
            )
        return estimate

    def _others(
        self, refused: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> str:
        """Names the devices that would take it, the preferred ones first."""
        found = []
        for profile in sorted(
            self._platforms.profiles.values(), key=lambda other: (-other.preference, other.name)
        ):
            if profile.name == refused or profile.preference < 0:
                continue
            try:
                estimate = self._fits(profile.name, program, outputs, sets, shots)
            except QFwError:
                continue
            found.append(f"{profile.name} (about {estimate.cost_s:.2g} s)")
            if len(found) == ALTERNATIVES:
                break
        return f". These here would take it: {', '.join(found)}" if found else ""


def _check_bounds(profile: DeviceProfile, outputs: Sequence[Output], sets: int, shots: int) -> None:
    name = profile.name
    if shots > profile.max_shots:
        raise TooLarge(
            f"{shots} shots were asked; {name} takes at most {profile.max_shots} per task. Split them"
        )
    if sets > profile.max_sets:
        raise TooLarge(f"a task of {sets} sets; {name} takes at most {profile.max_sets}. Send several tasks")
    if not shots and not profile.exact:
        raise UnsupportedFeature(f"{name} answers no exact results; give shots, at most {profile.max_shots}")
    for output in outputs:
        tag = output.__struct_config__.tag
        if tag not in profile.outputs:
            raise UnsupportedFeature(
                f"device {name} does not answer {tag}; it answers {', '.join(sorted(profile.outputs))}"
            )
