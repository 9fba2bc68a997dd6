"""BaseDriver: everything of a Driver that most devices have in common. `devices` and `run` are left to write."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from qfw.model.device import DeviceProfile, DeviceState, Estimate
from qfw.model.errors import UnsupportedFeature
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.qpm.defaults import Ideal, NoReservations
from qfw.qpm.driver import Answered, Execution, Reporter
from qfw.qpm.platform import PlatformConfig


class BaseDriver(Ideal, NoReservations, ABC):
    """Devices that are online from the beginning, ideal, without native operations or reservations.

    A device that is calibrated overrides `calibration`; satisfies `qfw.qpm.driver.Driver`.
    """

    def __init__(self, config: PlatformConfig) -> None:
        """`config.options` are the driver's own; it refuses those that it does not know with ConfigError."""
        self.config = config
        #: Takes reports from `open` on.
        self.reporter: Reporter

    @abstractmethod
    def devices(self) -> Sequence[DeviceProfile]:
        """See Driver."""

    @abstractmethod
    def run(self, execution: Execution) -> Answered:
        """See Driver."""

    def open(self, reporter: Reporter) -> None:
        """Keeps the reporter."""
        self.reporter = reporter

    def state(self, device: str) -> DeviceState:
        """Online."""
        return DeviceState.ONLINE

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate | None:
        """None: as profile and calibration say."""
        return None

    def native(self, device: str, operation: str, body: bytes, time_limit_s: float) -> bytes:
        """Raises UnsupportedFeature: there is none."""
        raise UnsupportedFeature(f"device {device} has no native operation {operation!r}")

    def close(self) -> None:
        """Nothing."""
