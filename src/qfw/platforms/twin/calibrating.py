"""Calibrating: a twin measures itself because somebody asks; native operation `calibrate`."""

from __future__ import annotations

import threading
from typing import Annotated

import msgspec

from qfw.model.calibration import Calibration
from qfw.platforms.twin.device import Twin

#: Seconds of the device's clock: from a readout of all qubits to a day's work.
Duration = Annotated[float, msgspec.Meta(ge=1e-6, le=86400.0)]
Noise = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class CalibrateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `calibrate`."""

    #: Seconds of the device's clock for which it is in state CALIBRATING.
    duration_s: Duration = 2.0
    #: Standard deviation of what is measured, relative to the truth.
    measurement_noise: Noise = 0.02


class CalibrateAnswer(msgspec.Struct, frozen=True):
    """Answer of `calibrate`."""

    #: Version of the new calibration, and when it was measured, in seconds since 1970.
    calibration: str
    measured_s: float
    notes: tuple[str, ...] = ()


def calibrate(twin: Twin, request: CalibrateRequest, time_limit_s: float) -> CalibrateAnswer:
    """Lets a device calibrate itself behind what it runs; what is lowered for the old version is stale then.

    Raises:
        DeadlineExceeded: it takes longer than the limit, or the device was not free in time; nothing has begun.
        TaskInterrupted, PlatformFailed: the device failed or was worked on meanwhile.
    """
    duration_ns = round(request.duration_s * 1e9)
    # Once it has begun nobody ends it: a device that is half calibrated is of no use.
    never = threading.Event()

    def measure(_: Calibration) -> Calibration:
        return twin.living.recalibrate(duration_ns, request.measurement_noise, never)

    done = twin.take(duration_ns, measure, "", time_limit_s)
    return CalibrateAnswer(done.result.version, done.result.measured_s, done.notes)
