"""Whether a device runs a task, and what that takes, from its profile and calibration alone."""

from __future__ import annotations

from collections.abc import Sequence

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile, Estimate, Timing
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.model.timing import device_ns


def check_task(
    profile: DeviceProfile, program: Program, outputs: Sequence[Output], sets: int, shots: int
) -> None:
    """Raises unless the profile says that the device runs the task.

    Raises:
        TooLarge: more qubits, shots or sets than the device takes.
        UnsupportedFeature: a gate, pair, output or branch that it does not have, or exact answers.
    """
    check_native(program, profile)
    for output in outputs:
        tag = output.__struct_config__.tag
        if tag not in profile.outputs:
            raise UnsupportedFeature(
                f"device {profile.name} does not answer {tag}; it answers {', '.join(profile.outputs)}"
            )
    if shots == 0 and not profile.exact:
        raise UnsupportedFeature(
            f"exact answers were asked for; device {profile.name} measures, so give shots: "
            f"1 to {profile.max_shots}"
        )
    if shots > profile.max_shots:
        raise TooLarge(
            f"{shots} shots were asked for; device {profile.name} takes {profile.max_shots} per task. "
            "Send several tasks"
        )
    if sets > profile.max_sets:
        raise TooLarge(
            f"{sets} parameter sets were sent; device {profile.name} takes {profile.max_sets} per task. "
            "Send several tasks"
        )


def estimate(
    profile: DeviceProfile,
    calibration: Calibration | None,
    program: Program,
    outputs: Sequence[Output],
    sets: int,
    shots: int,
) -> Estimate:
    """Device time of a task, by the durations of the calibration; 0 of a device that has none.

    Raises:
        TooLarge, UnsupportedFeature: see `check_task`; or a gate that the calibration does not have any more.
    """
    check_task(profile, program, outputs, sets, shots)
    return cost(profile, calibration, program, outputs, sets, shots)


def cost(
    profile: DeviceProfile,
    calibration: Calibration | None,
    program: Program,
    outputs: Sequence[Output],
    sets: int,
    shots: int,
) -> Estimate:
    """Device time of a task that was checked; see `estimate`."""
    if calibration is None:
        return Estimate(0.0, 0)
    timing = profile.timing or Timing()
    return Estimate(device_ns(program, sets, shots, calibration, timing, outputs) / 1e9, 0)
