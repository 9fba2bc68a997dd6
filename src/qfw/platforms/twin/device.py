"""Twin: one simulated device, put together: its model, its life on its clock, its controller, its simulation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration
from qfw.model.conditions import Conditions
from qfw.model.device import DeviceProfile, DeviceState, Estimate, Timing
from qfw.model.errors import DeadlineExceeded, TooLarge
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.model.pulse import PlayAnswer, PlayRequest, PlayTimes, PulseLimits, check_schedule, play_times
from qfw.model.timing import device_ns, surrounding_ns
from qfw.platforms.twin import pulses
from qfw.platforms.twin.controller import Controller, Performed
from qfw.platforms.twin.gate_pulses import limits_of
from qfw.platforms.twin.living import Living
from qfw.platforms.twin.options import TwinOptions
from qfw.platforms.twin.simulation import Simulated
from qfw.qpm.driver import Answered, Execution
from qfw.qpm.platform import DeviceLoad

T = TypeVar("T")


class Simulation(Protocol):
    """Answers what noisy hardware would."""

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
        """Answers in the order of the outputs, notes for the owner, and how long the circuits took."""
        ...

    def estimate(
        self, truth: Calibration, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """Seconds and bytes that `simulate` takes."""
        ...


@dataclass(frozen=True)
class Twin:
    """A device of the platform."""

    profile: DeviceProfile
    living: Living
    controller: Controller
    simulation: Simulation
    options: TwinOptions

    @property
    def calibration(self) -> Calibration:
        """The newest calibration."""
        return self.living.ask(lambda life: life.calibration)

    @property
    def state(self) -> DeviceState:
        """What it does now."""
        return self.living.ask(lambda life: life.state)

    @property
    def timing(self) -> Timing:
        """What its controller takes."""
        return self.profile.timing or Timing()

    def run(self, execution: Execution) -> Answered:
        """See Driver."""
        program, sets = execution.program, len(execution.seeds)

        def needed_ns(calibration: Calibration) -> int:
            return device_ns(program, sets, execution.shots, calibration, self.timing, execution.outputs)

        def taken_ns(done: Simulated) -> int:
            return surrounding_ns(sets, execution.shots, self.timing) + done.circuits_ns

        def work(truth: Calibration) -> Simulated:
            return self.simulation.simulate(
                truth,
                program,
                execution.outputs,
                execution.parameters,
                execution.shots,
                execution.seeds,
                execution.cancelled,
            )

        done = self.controller.perform(
            needed_ns,
            work,
            calibration=execution.calibration,
            cancelled=execution.cancelled,
            time_limit_s=execution.time_limit_s,
            # How long branches and loops take depends on what was measured.
            taken_ns=taken_ns if program.has_control else None,
        )
        notes = done.result.notes + done.notes
        return Answered(done.result.answers, Conditions(done.calibration, done.device_ns, notes))

    def estimate(self, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> Estimate:
        """Real seconds and bytes of a task.

        Raises:
            TooLarge: beyond what the options allow: gives the figure and what to do instead.
        """
        on_device_s, computing = check_estimate(
            self.profile, self.calibration, self.simulation, self.options, program, outputs, sets, shots
        )
        factor = getattr(self.living.clock, "factor", None)
        real_s = computing.cost_s if factor is None else max(computing.cost_s, on_device_s / factor)
        return Estimate(real_s, computing.memory_bytes)

    def load(self) -> DeviceLoad:
        """What others have it do now."""
        now_ns = self.living.clock.now_ns()
        queued, queued_ns = self.living.ask(lambda life: life.load(now_ns))
        return DeviceLoad(queued, queued_ns / 1e9)

    def take(
        self, needed_ns: int, work: Callable[[Calibration], T], calibration: str, time_limit_s: float
    ) -> Performed[T]:
        """Keeps the device busy with a native operation.

        Raises:
            DeadlineExceeded: the device takes longer than the limit; nothing has begun.
            Others: like `Controller.perform`.
        """
        factor = getattr(self.living.clock, "factor", None)
        if factor is not None and needed_ns / factor / 1e9 > time_limit_s:
            raise DeadlineExceeded(
                f"this takes {needed_ns / factor / 1e9:.3g} s on {self.profile.name}; it was given {time_limit_s:g} s. "
                "Allow more time, or ask for less"
            )
        # Nobody cancels a native operation but its time limit.
        cancelled = threading.Event()
        limit = threading.Timer(min(time_limit_s, threading.TIMEOUT_MAX), cancelled.set)
        limit.daemon = True
        limit.start()
        try:
            return self.controller.perform(
                lambda _: needed_ns,
                work,
                calibration=calibration,
                cancelled=cancelled,
                time_limit_s=time_limit_s,
            )
        finally:
            limit.cancel()

    @property
    def pulse_limits(self) -> PulseLimits:
        """What it plays."""
        calibration = self.calibration
        return calibration.pulses.limits if calibration.pulses else limits_of(calibration)

    def check_pulses(self, request: PlayRequest) -> PlayTimes:
        """Checks a schedule and gives its times. Raises ProgramError, UnsupportedFeature, TooLarge."""
        limits, timing = self.pulse_limits, self.timing
        if not 1 <= request.shots <= self.profile.max_shots:
            raise TooLarge(
                f"{request.shots} shots were asked for; {self.profile.name} plays 1 to {self.profile.max_shots}"
            )
        check_schedule(request.schedule, limits)
        pulses.check_playable(request.schedule, request.shots)
        task_ns = timing.task_ns + timing.set_ns
        times = play_times(
            request.schedule, limits, task_ns, timing.reset_ns, timing.repetition_delay_ns, request.shots
        )
        if times.device_ns > self.options.max_device_s * 1e9:
            raise TooLarge(
                f"{request.shots} shots take {times.device_ns / 1e9:.3g} s of {self.profile.name}; a task has "
                f"{self.options.max_device_s:g} s. Ask for fewer shots"
            )
        return times

    def play(self, request: PlayRequest, time_limit_s: float) -> PlayAnswer:
        """Plays a schedule. Raises like `check_pulses` and `Controller.perform`."""
        times, limits = self.check_pulses(request), self.pulse_limits

        def work(truth: Calibration) -> dict[str, int]:
            return pulses.play(request.schedule, limits, truth, request.shots, request.seed)

        done = self.take(times.device_ns, work, request.calibration, time_limit_s)
        return PlayAnswer(done.result, times, done.calibration, done.notes)


def check_estimate(
    profile: DeviceProfile,
    calibration: Calibration,
    simulation: Simulation,
    options: TwinOptions,
    program: Program,
    outputs: Sequence[Output],
    sets: int,
    shots: int,
) -> tuple[float, Estimate]:
    """Seconds of the device, and seconds and bytes of computing, of a task that the options allow.

    Raises:
        TooLarge: beyond what they allow: gives the figure and what to do instead.
    """
    on_device_s = device_ns(program, sets, shots, calibration, profile.timing or Timing(), outputs) / 1e9
    computing = simulation.estimate(calibration, program, outputs, sets, shots)
    task = f"{sets} sets of {shots} shots" if sets > 1 else f"{shots} shots"
    if on_device_s > options.max_device_s:
        raise TooLarge(
            f"{task} take {on_device_s:.3g} s of {profile.name}; a task has {options.max_device_s:g} s. "
            "Ask for fewer shots or sets per task, or raise max_device_s of the platform's options"
        )
    if computing.memory_bytes > options.max_memory_bytes:
        raise TooLarge(
            f"simulating the noise of this program takes {computing.memory_bytes / 2**20:.0f} MiB; "
            f"{profile.name} has {options.max_memory_bytes / 2**20:.0f} MiB. Use fewer active qubits, "
            "noise = false in the platform's options, or a device of kind simulator"
        )
    if computing.cost_s > options.max_compute_s:
        raise TooLarge(
            f"simulating {task} takes {computing.cost_s:.3g} s; {profile.name} has "
            f"{options.max_compute_s:g} s. Use fewer active qubits or shots, or a device of kind simulator"
        )
    return on_device_s, computing
