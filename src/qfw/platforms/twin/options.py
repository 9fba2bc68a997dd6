"""Options of the platform `twin`: what a user may say of it. docs/guides/twin.md."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from qfw.model.errors import ConfigError
from qfw.platforms.twin.clock import Clock, ScaledClock, VirtualClock
from qfw.platforms.twin.link import LinkOptions, check_link
from qfw.platforms.twin.reading import converted

#: The devices that there are when nobody says which.
DEFAULT_DEVICES = ("twin-20", "twin-127", "twin-ion", "twin-atoms")

ClockName = Literal["wall", "scaled", "virtual"]


class DeviceOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device; what it leaves out is as the platform's options say."""

    #: Name of a model, or path of a JSON file.
    model: str
    #: Empty: the model's own.
    name: str = ""
    seed: int | None = None
    clock: ClockName | None = None
    factor: float | None = None
    #: Path of a script, or the script itself.
    life: str | dict[str, Any] | None = None
    noise: bool | None = None


class TwinOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All options."""

    devices: tuple[str | DeviceOptions, ...] = DEFAULT_DEVICES
    #: Of everything that happens; each device's own follows from it and the device's name.
    seed: int = 0
    clock: ClockName = "virtual"
    #: Of a scaled clock: seconds of the device in a second.
    factor: float = 1000.0
    life: str | dict[str, Any] = {}
    #: Whether gates, idling and readout err as the calibration says.
    noise: bool = True
    #: Time at which the devices' clocks start. None: now; of a virtual clock the time of the calibration.
    begin: datetime | None = None
    links: tuple[LinkOptions, ...] = ()
    #: A task that needs more by estimate is refused: seconds of the device, seconds and bytes of the simulation.
    max_device_s: float = 86400.0
    max_compute_s: float = 3600.0
    max_memory_bytes: int = 2 * 2**30


def read_options(options: dict[str, Any], platform: str) -> TwinOptions:
    """The checked options of a platform.

    Raises:
        ConfigError: an unknown key (names the nearest known one), a wrong type, a value out of range.
    """
    where = f"platforms.{platform}.options"
    found = converted(options, TwinOptions, where)
    if not found.devices:
        raise ConfigError(f"{where}.devices is empty; name one device at least, or leave it out")
    _check_seed(where, found.seed)
    _check_factor(where, found.factor)
    if found.begin is not None and not 1970 <= found.begin.year <= 2200:
        raise ConfigError(f"{where}.begin is {found.begin}; it must be in the years 1970 to 2200")
    for index, device in enumerate(found.devices):
        if isinstance(device, DeviceOptions):
            at = f"{where}.devices[{index}]"
            if device.seed is not None:
                _check_seed(at, device.seed)
            if device.factor is not None:
                _check_factor(at, device.factor)
    for name, value in (
        ("max_device_s", found.max_device_s),
        ("max_compute_s", found.max_compute_s),
        ("max_memory_bytes", found.max_memory_bytes),
    ):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{where}.{name} is {value}; it must be more than 0")
    for index, link in enumerate(found.links):
        check_link(link, f"{where}.links[{index}]")
        if link.seed is not None:
            _check_seed(f"{where}.links[{index}]", link.seed)
    return found


def make_clock(options: TwinOptions, device: DeviceOptions) -> Clock:
    """The clock of a device; it starts now."""
    name = device.clock or options.clock
    if name == "virtual":
        return VirtualClock()
    return ScaledClock(1.0 if name == "wall" else device.factor or options.factor)


def origin_ns(options: TwinOptions, clock: Clock, measured_s: float, now_ns: int) -> int:
    """Unix time at which a device's clock starts."""
    if options.begin is not None:
        begin = options.begin
        if begin.tzinfo is None:
            begin = begin.replace(tzinfo=UTC)
        return round(begin.timestamp()) * 10**9
    # A simulated time owes nothing to the day on which it is simulated.
    return round(measured_s * 1e9) if clock.jumps else now_ns


def _check_seed(where: str, seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise ConfigError(f"{where}.seed is {seed}; it must be 0 to 2**63 - 1")


def _check_factor(where: str, factor: float) -> None:
    if not (math.isfinite(factor) and 1e-3 <= factor <= 1e6):
        raise ConfigError(f"{where}.factor is {factor}; it must be 0.001 to 1000000")
