"""What a stream asks of its devices between tasks: status, calibration, load; and their calibration by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from qfw.model.errors import OptionError
from qfw.qpi.device import Device
from qfw.qpi.placing import Ground

#: Native operation by which a device calibrates itself.
CALIBRATE = "calibrate"


class Load(NamedTuple):
    """What a device has to do."""

    #: Tasks that run and that wait.
    running: int
    queued: int
    #: Seconds that a task accepted now waits, by estimate; None where nobody can say.
    wait_s: float | None


def _load(device: Device) -> Load:
    status = device.status()
    return Load(status.running, status.queued, status.wait_s)


_SUBJECTS: dict[str, Callable[[Device], Any]] = {
    "status": lambda device: device.status(),
    "calibration": lambda device: device.calibration(),
    "load": _load,
}


def check_subject(subject: str) -> None:
    """Raises OptionError where there is no such subject."""
    if subject not in _SUBJECTS:
        raise OptionError(f"a stream can be asked for {', '.join(_SUBJECTS)}, not {subject!r}")


def answers_of(ground: Ground, subject: str) -> Any:
    """What each device says: of one device the value, else a dict by name."""
    return _each(ground, _SUBJECTS[subject])


def calibrate_all(ground: Ground, options: dict[str, Any], timeout_s: float) -> Any:
    """Lets each device calibrate itself; the new calibrations, of one device the value, else a dict by name.

    Raises:
        UnsupportedFeature: a device cannot; then none of them was asked.
    """
    # All at first: either each of them can, or none begins.
    operations = {device.name: device.native(CALIBRATE) for device in ground.devices}

    def calibrate(device: Device) -> Any:
        operations[device.name](options or None, timeout_s=timeout_s)
        return device.calibration()

    return _each(ground, calibrate)


def _each(ground: Ground, ask: Callable[[Device], Any]) -> Any:
    if isinstance(ground, Device):
        return ask(ground)
    return {device.name: ask(device) for device in ground.devices}
