"""What a platform inherits that has no hardware behind it, or no say over it."""

from __future__ import annotations

from qfw.model.calibration import Calibration
from qfw.model.errors import UnsupportedFeature
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.platform import DeviceLoad


class Ideal:
    """Devices without calibration that nobody else uses."""

    def calibration(self, device: str) -> Calibration | None:
        """None: there is nothing to calibrate."""
        return None

    def load(self, device: str) -> DeviceLoad:
        """Nothing that the daemon does not know."""
        return DeviceLoad()


class NoReservations:
    """A platform that shares its devices as its daemon schedules them, and reserves nothing itself."""

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        """Nothing, and no bound."""
        return Offer(0, None, f"the platform of {device} takes no reservations")

    def reserve(self, device: str, request: ReservationRequest) -> Offer:
        """Raises UnsupportedFeature."""
        raise UnsupportedFeature(
            f"reservation {request.number} of {device}: its platform takes none. Submit tasks without one"
        )

    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        """Raises UnsupportedFeature."""
        raise UnsupportedFeature(f"reservation {number} of {device}: its platform takes none")

    def release(self, device: str, number: int, epoch: int) -> None:
        """Nothing: there is none."""
