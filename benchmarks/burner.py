"""The hostile platform without QFw around it: `python -m benchmarks.burner DO CHILDREN`.

Imports what a host imports, is as nice, says that it is up, and misbehaves when it is told a line. One that floods
stops where a daemon would end it.
"""

from __future__ import annotations

import os
import sys
import time

from hostile_platform import HostilePlatform

from benchmarks.programs import PARITY, THREE_QUBITS
from qfw.config.settings import PlatformSettings
from qfw.hosts.host import NICENESS
from qfw.hosts.protocol import Reported
from qfw.model.calibration import Calibration
from qfw.model.events import DeviceEvent
from qfw.model.outputs import encode_outputs
from qfw.qpm.frames import pack
from qfw.qpm.platform import PlatformConfig, Run
from qfw.qpm.reactor import EpollReactor


class Nobody:
    """Listens as a daemon would, and does nothing of what it hears."""

    def __init__(self) -> None:
        """Nothing was heard."""
        self._left = PlatformSettings().event_burst
        self._null = os.open(os.devnull, os.O_WRONLY)

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        """See Sink."""

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        """See Sink."""
        os.write(self._null, pack(Reported(device, event, calibration)))
        self._left -= 1
        if self._left < 0:
            os._exit(0)


def main(do: str, children: int) -> None:
    """Misbehaves once."""
    os.nice(NICENESS)
    platform = HostilePlatform(PlatformConfig("bare", {"do": do, "children": children}))
    platform.open(EpollReactor(), Nobody(), None)  # type: ignore[arg-type]
    print("up", flush=True)
    if not os.read(0, 1):
        return
    run = Run(1, 1, THREE_QUBITS.digest, encode_outputs(PARITY), 1, bytes(24), 0, 1, time.monotonic())
    platform.start("bare", "only", [run])
    if do == "litter":
        # The host of such a platform has nothing to do; its children have.
        time.sleep(60.0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
