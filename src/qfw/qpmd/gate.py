"""Gate: what a platform in a host says reaches the daemon where it concerns that platform's own devices."""

from __future__ import annotations

import logging
from collections.abc import Callable

from qfw.model.calibration import Calibration
from qfw.model.events import DeviceEvent
from qfw.qpm.platform import NativeDone, NativeFailed, RunDone, RunFailed, Sink
from qfw.qpm.shared import Memory

logger = logging.getLogger(__name__)


class Gate:
    """A Sink in front of another one; satisfies `qfw.qpm.platform.Sink`.

    A platform whose device has a name that is taken, or that speaks of another one's device, is not heard.
    """

    def __init__(self, platform: str, sink: Sink, serves: Callable[[str], bool]) -> None:
        """`serves` says whether a device is the platform's now."""
        self._platform = platform
        self._sink = sink
        self._serves = serves

    def devices_changed(self, platform: str) -> None:
        """See Sink. Of itself only, whatever it says."""
        self._sink.devices_changed(self._platform)

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        """See Sink."""
        if self._passes(device):
            self._sink.slot_ready(device, slot, pid)

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        """See Sink."""
        if self._passes(device):
            self._sink.slot_lost(device, slot, pid, reason, running)

    def device_offline(self, device: str, reason: str) -> None:
        """See Sink."""
        if self._passes(device):
            self._sink.device_offline(device, reason)

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        """See Sink."""
        if self._passes(device):
            self._sink.device_reported(device, event, calibration)

    def run_ended(
        self,
        device: str,
        slot: str,
        pid: int,
        outcome: RunDone | RunFailed,
        memory: Memory | None = None,
    ) -> None:
        """See Sink."""
        if self._passes(device):
            self._sink.run_ended(device, slot, pid, outcome, memory)

    def native_ended(self, device: str, outcome: NativeDone | NativeFailed) -> None:
        """See Sink."""
        if self._passes(device):
            self._sink.native_ended(device, outcome)

    def _passes(self, device: str) -> bool:
        if self._serves(device):
            return True
        logger.warning("not its device: platform=%s device=%.200s", self._platform, device)
        return False
