"""What devices say of themselves: checked, then told to the daemon as events. Nothing is believed unchecked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import msgspec

from qfw.model.calibration import Calibration
from qfw.model.device import ACCEPTING, DeviceState
from qfw.model.errors import NoCapacity, StaleCalibration
from qfw.model.events import DeviceCame, DeviceEvent, DeviceEventKind, DeviceReported
from qfw.model.task import QuantumTask, task_name
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.state import DaemonState, DeviceEntry

logger = logging.getLogger(__name__)


class Devices:
    """The life of a daemon's devices: states, calibrations, and what follows for tasks.

    Events that a platform numbers are journalled once and in order. Those of the daemon itself (what it finds
    when a device comes, a device that was given up) have the number 0.
    """

    def __init__(
        self,
        state: DaemonState,
        platforms: Platforms,
        emit: Callable[[DeviceReported | DeviceCame], None],
        clock_ns: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        """`clock_ns`: the daemon's monotonic clock; `wall_ns`: Unix time."""
        self._state = state
        self._platforms = platforms
        self._emit = emit
        self._clock_ns = clock_ns
        self._wall_ns = wall_ns
        #: The newest of each device that has one.
        self.calibrations: dict[str, Calibration] = {}
        #: The platform that each device was last seen with.
        self._served_by: dict[str, str] = {}
        #: Those whose slots were asked for.
        self.warmed: set[str] = set()
        #: Events that were not believed.
        self.refused = 0

    # What platforms say ---------------------------------------------------------------------------

    def look(self, device: str) -> None:
        """Finds a device in the state, and with the calibration, that its platform says it has."""
        platform = self._platforms.of[device]
        name = self._platforms.profiles[device].platform
        entry = self._state.devices.get(device)
        if self._served_by.setdefault(device, name) != name:
            self._served_by[device] = name
            if entry is not None:
                # What was counted and calibrated was another one's.
                self._emit(DeviceCame(self._clock_ns(), device, name))
        found = platform.state(device)
        if found is not (entry.state if entry else DeviceState.ONLINE):
            if not self._state.may_change(device, found):
                self._say(device, DeviceEventKind.STATE, "it was away", DeviceState.OFFLINE)
            self._say(device, DeviceEventKind.STATE, f"found {found}", found)
        calibration = platform.calibration(device)
        if calibration is not None and calibration.version != self.version(device):
            refusal = self._refusal(device, calibration.version, calibration)
            if refusal:
                self._refuse(device, refusal)
                return
            self.calibrations[device] = calibration
            self._say(device, DeviceEventKind.CALIBRATION, "found", None, calibration.version)

    def reported(self, device: str, event: DeviceEvent, calibration: Calibration | None) -> None:
        """A platform reports. What its device cannot say is journalled without effect, or not at all."""
        if device not in self._platforms.of:
            self._refuse(device, "there is no such device")
            return
        entry = self._state.devices.get(device)
        due = entry.sequence + 1 if entry else 1
        if event.sequence != due:
            self._refuse(device, f"event {event.sequence} came where {due} was due")
            if event.sequence > due:
                # What was in between is lost; what is so now can be asked.
                self.look(device)
            return
        reason = ""
        if not self._state.may_change(device, event.state):
            reason = f"it cannot become {event.state}: it is {entry.state if entry else DeviceState.ONLINE}"
        elif event.calibration:
            calibration = calibration or self._platforms.of[device].calibration(device)
            reason = self._refusal(device, event.calibration, calibration)
            if not reason and calibration is not None:
                self.calibrations[device] = calibration
        if reason:
            self._refuse(device, reason)
            # Its number is taken all the same.
            event = msgspec.structs.replace(
                event, state=None, calibration="", message=f"refused, {reason}: {event.message}"
            )
        self._emit(DeviceReported(self._clock_ns(), device, event))

    def give_up(self, device: str, reason: str) -> None:
        """Its platform cannot serve it; the next task tries it again."""
        self.warmed.discard(device)
        self._say(device, DeviceEventKind.FAULT, reason, DeviceState.OFFLINE)

    def warm(self, device: str) -> None:
        """A task was accepted for a device that may have been given up: its slots shall become ready."""
        self.warmed.add(device)
        entry = self._state.devices.get(device)
        if entry is not None and entry.given_up and entry.state is DeviceState.OFFLINE:
            there = self._state.workers.get(device)
            state = DeviceState.ONLINE if there else DeviceState.STARTING
            self._say(device, DeviceEventKind.STATE, "a task tries it again", state)
        self._platforms.of[device].warm(device)

    def bring_back(self, device: str) -> None:
        """A slot of a device is ready: one that was given up is back."""
        entry = self._state.devices.get(device)
        if entry is not None and entry.given_up:
            self._say(device, DeviceEventKind.STATE, "a slot is ready", DeviceState.ONLINE)

    def forget(self, device: str) -> None:
        """The device is gone with its platform."""
        self.calibrations.pop(device, None)

    # What follows for tasks -------------------------------------------------------------------------

    def version(self, device: str) -> str:
        """Version of a device's calibration; empty where it has none."""
        entry = self._state.devices.get(device)
        return entry.calibration if entry else ""

    def check(self, task: QuantumTask) -> None:
        """Raises NoCapacity or StaleCalibration where a task cannot be accepted as its device is now."""
        refusal = self.refusal(task.device)
        if refusal is not None:
            raise refusal
        if task.calibration and task.device in self._platforms.of:
            stale = self.stale(task)
            if stale is not None:
                raise stale

    def refusal(self, device: str) -> NoCapacity | None:
        """Why a device accepts no tasks now; None where it does."""
        entry = self._state.devices.get(device)
        if entry is None or entry.state in ACCEPTING or entry.given_up:
            return None
        retry_after_s = self.remaining_s(entry)
        when = "nobody knows until when" if retry_after_s is None else f"try again in {retry_after_s:.0f} s"
        error = NoCapacity(
            f"device {device} is {entry.state}: {entry.reason or 'its platform says so'}; {when}"
        )
        error.retry_after_s = retry_after_s
        return error

    def remaining_s(self, entry: DeviceEntry) -> float | None:
        """Seconds until a device is expected in another state; None where nobody knows."""
        return max(0.0, (entry.until_ns - self._clock_ns()) / 1e9) if entry.until_ns else None

    def stale(self, task: QuantumTask) -> StaleCalibration | None:
        """Why a task may not run under the calibration that its device has; None where it may."""
        version = self.version(task.device)
        if not task.calibration or task.calibration == version:
            return None
        has = f"has {version} now" if version else "has none"
        return StaleCalibration(
            f"task {task_name(task.number)} was lowered for calibration {task.calibration[:200]} of {task.device}, "
            f"which {has}. Lower the program again and resend it"
        )

    def restated(self) -> Iterator[DeviceReported]:
        """Events that say all of this again, for a new segment of the journal."""
        now_ns, wall_ns = self._clock_ns(), self._wall_ns()
        for device, entry in self._state.devices.items():
            until_ns = wall_ns + entry.until_ns - now_ns if entry.until_ns else 0
            said = DeviceEvent(
                entry.sequence,
                DeviceEventKind.STATE,
                wall_ns,
                entry.reason,
                entry.state,
                entry.calibration,
                until_ns,
            )
            if entry.given_up:
                fault = DeviceEvent(0, DeviceEventKind.FAULT, wall_ns, entry.reason, DeviceState.OFFLINE)
                yield DeviceReported(now_ns, device, fault)
            yield DeviceReported(now_ns, device, said)

    def _refusal(self, device: str, version: str, calibration: Calibration | None) -> str:
        if calibration is None:
            return f"calibration {version} was announced and did not come"
        if not version or (calibration.device, calibration.version) != (device, version):
            return (
                f"calibration {version!r} was announced, and {calibration.version!r} of "
                f"{calibration.device} came"
            )
        return ""

    def _refuse(self, device: str, reason: str) -> None:
        self.refused += 1
        logger.error("event refused: device=%s reason=%s", device, reason)

    def _say(
        self,
        device: str,
        kind: DeviceEventKind,
        message: str,
        state: DeviceState | None,
        calibration: str = "",
    ) -> None:
        event = DeviceEvent(0, kind, self._wall_ns(), message, state, calibration)
        self._emit(DeviceReported(self._clock_ns(), device, event))
