"""Bulletin: what a driver reports of its devices, numbered, checked and kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from qfw.model.calibration import Calibration
from qfw.model.device import DEVICE_TRANSITIONS, DeviceState
from qfw.model.errors import CalibrationError, PlatformFailed, UnknownDevice
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpm import registry

#: Told of every event, in the order of their numbers.
Told = Callable[[str, DeviceEvent, Calibration | None], None]


class _Standing:
    """What is known of a device."""

    def __init__(self) -> None:
        self.state = DeviceState.STARTING
        self.calibration: Calibration | None = None
        self.events = 0


class Bulletin:
    """State and calibration of each device, from a driver's reports; satisfies `qfw.qpm.driver.Reporter`."""

    def __init__(self, devices: Sequence[str], told: Told) -> None:
        """`told` is called on the thread that reports, under a lock: it must not report itself."""
        self._standing = {name: _Standing() for name in devices}
        self._told = told
        self._lock = threading.Lock()

    def begin(self, device: str, state: DeviceState, calibration: Calibration | None) -> None:
        """Takes the beginning of a device, except where something was reported of it already.

        Raises:
            PlatformFailed: a device cannot begin in this state.
            CalibrationError: the calibration is another device's.
        """
        with self._lock:
            standing = self._of(device)
            if standing.calibration is None and calibration is not None:
                _check_new(device, calibration, None)
                standing.calibration = calibration
            if standing.state is DeviceState.STARTING and state is not DeviceState.STARTING:
                _check_change(device, standing.state, state)
                standing.state = state

    def state(self, device: str) -> DeviceState:
        """The state that was reported last. Any thread."""
        return self._of(device).state

    def calibration(self, device: str) -> Calibration | None:
        """The calibration that was reported last. Any thread."""
        return self._of(device).calibration

    def version(self, device: str) -> str:
        """Version of that calibration; empty where there is none."""
        calibration = self._of(device).calibration
        return "" if calibration is None else calibration.version

    def report(
        self,
        device: str,
        kind: DeviceEventKind,
        message: str,
        *,
        state: DeviceState | None = None,
        calibration: Calibration | None = None,
        wall_ns: int | None = None,
        until_ns: int = 0,
        figures: Sequence[tuple[str, float]] = (),
    ) -> None:
        """See Reporter.

        Raises:
            PlatformFailed: the table does not allow this change of state.
            CalibrationError: another device's calibration, or another one under the version that is known.
            UnknownDevice: the driver has no such device.
        """
        with self._lock:
            standing = self._of(device)
            if state is not None:
                _check_change(device, standing.state, state)
            if calibration is not None:
                _check_new(device, calibration, standing.calibration)
            event = DeviceEvent(
                sequence=standing.events + 1,
                kind=DeviceEventKind(kind),
                wall_ns=time.time_ns() if wall_ns is None else wall_ns,
                message=message,
                state=state,
                calibration="" if calibration is None else calibration.version,
                until_ns=until_ns,
                figures=tuple((name, float(figure)) for name, figure in figures),
            )
            # Nothing is changed where anything of the report was wrong.
            standing.events = event.sequence
            standing.state = standing.state if state is None else state
            standing.calibration = standing.calibration if calibration is None else calibration
            # Under the lock, so that events are told in the order of their numbers.
            self._told(device, event, calibration)

    def _of(self, device: str) -> _Standing:
        found = self._standing.get(device)
        if found is None:
            raise UnknownDevice(registry.unknown("device", device, sorted(self._standing)))
        return found


def _check_change(device: str, old: DeviceState, new: DeviceState) -> None:
    if new not in DEVICE_TRANSITIONS[old]:
        allowed = ", ".join(sorted(DEVICE_TRANSITIONS[old]))
        raise PlatformFailed(
            f"the driver reports that {device} goes from {old} to {new}; from {old} a device goes to {allowed}"
        )


def _check_new(device: str, new: Calibration, old: Calibration | None) -> None:
    if new.device != device:
        raise CalibrationError(f"the driver gives {device} a calibration of {new.device!r}")
    if not new.version:
        raise CalibrationError(f"the driver gives {device} a calibration without a version")
    if old is not None and new.version == old.version and new != old:
        raise CalibrationError(
            f"the driver gives {device} another calibration under version {new.version!r}, which is in use; "
            "every change needs a version of its own"
        )
