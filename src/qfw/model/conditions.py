"""Conditions: under which a device that is not ideal ran a task."""

from __future__ import annotations

import msgspec


class Conditions(msgspec.Struct, frozen=True, array_like=True):
    """Calibration and time of a run, and what its owner should know of it."""

    #: Version of the calibration, empty where the device has none.
    calibration: str = ""
    #: Time of the device itself: programming, upload, shots; on its own clock, which may be simulated.
    device_ns: int = 0
    #: What the owner should know: "feedback took longer than …".
    notes: tuple[str, ...] = ()
