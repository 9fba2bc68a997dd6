"""Script of a twin's life: what will happen to the device, as a TOML file says it. docs/guides/twin.md.

All times are seconds of the device's clock from its start; `every_s` repeats an entry, 0 does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from qfw.model.errors import ConfigError
from qfw.platforms.twin.reading import converted, read_toml

#: Longest time that a script may name: a hundred years.
_MOST_S = 100 * 365 * 86400.0


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that begins, lasts and is over."""

    begin_s: float
    duration_s: float
    #: From one beginning to the next; 0: it happens once.
    every_s: float = 0.0

    def begins_ns(self, after_ns: int = -1) -> Iterator[int]:
        """When it begins, in order, later than `after_ns`."""
        begin, every = seconds(self.begin_s), seconds(self.every_s)
        if every == 0:
            if begin > after_ns:
                yield begin
            return
        number = max(0, (after_ns - begin) // every + 1)
        while True:
            yield begin + number * every
            number += 1

    @property
    def duration_ns(self) -> int:
        """How long it lasts."""
        return seconds(self.duration_s)


class Recalibration(Window, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The device measures itself: CALIBRATING, and then a new calibration."""

    #: Standard deviation of what is measured, relative to the truth.
    measurement_noise: float = 0.02


class Incident(Window, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Errors of gates and readout are `factor` times as large; the calibration does not know."""

    factor: float
    #: None given: all.
    qubits: tuple[int, ...] = ()


class Fault(Window, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The device is OFFLINE; the task that it runs fails."""

    reason: str = "control electronics lost synchronisation"
    #: How the running task fails: TaskInterrupted or PlatformFailed.
    error: Literal["interrupted", "failed"] = "interrupted"


class Maintenance(Window, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody works on the device: MAINTENANCE."""

    reason: str = "planned maintenance"


class Drift(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A quantity moves away from what was measured."""

    quantity: Literal["t1", "t2", "gate_error", "readout_error"]
    #: walk: its logarithm takes normal steps, each qubit and gate its own; linear: the factor 1 + per_hour · hours.
    kind: Literal["walk", "linear"]
    #: walk: standard deviation after an hour; linear: relative change in an hour.
    per_hour: float
    #: None given: all.
    qubits: tuple[int, ...] = ()


class OtherUsers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tasks of others, first come, first served: arrivals and durations are exponentially distributed."""

    arrivals_per_hour: float
    mean_s: float


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that will happen to a device. Empty: nothing."""

    #: None: the seed of the device.
    seed: int | None = None
    #: Drift stands still in between: the truth changes every so many seconds.
    drift_step_s: float = 600.0
    drift: tuple[Drift, ...] = ()
    recalibration: tuple[Recalibration, ...] = ()
    noise: tuple[Incident, ...] = ()
    fault: tuple[Fault, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    load: tuple[OtherUsers, ...] = ()


def load_script(source: str | dict[str, Any], where: str, folder: Path | None = None) -> Script:
    """The checked script of a TOML file, or of a table that stands in the options.

    Args:
        source: path of the file (relative to `folder`), or the table.
        where: what the options call it, for errors about a table.
        folder: None: the working folder.

    Raises:
        ConfigError: unreadable, not TOML, an unknown key (names the nearest), a value out of range; says the file
            and the key.
    """
    if isinstance(source, str):
        path = Path(source) if folder is None else folder / source
        source, where = read_toml(path), str(path)
    script = converted(source, Script, where)
    _check(script, where)
    return script


def check_qubits(script: Script, num_qubits: int, where: str) -> None:
    """Raises ConfigError where a script names a qubit that the device does not have."""
    entries: Sequence[tuple[str, Sequence[Drift | Incident]]] = (
        ("drift", script.drift),
        ("noise", script.noise),
    )
    for name, group in entries:
        for index, entry in enumerate(group):
            for qubit in entry.qubits:
                if not 0 <= qubit < num_qubits:
                    raise ConfigError(
                        f"{where}: {name}[{index}].qubits names {qubit}; the device has qubits 0 to {num_qubits - 1}"
                    )


def seconds(value: float) -> int:
    """Nanoseconds of seconds."""
    return round(value * 1e9)


def _check(script: Script, where: str) -> None:
    if script.seed is not None:
        _within(where, "seed", script.seed, 0, 2**63 - 1)
    _within(where, "drift_step_s", script.drift_step_s, 1e-3, _MOST_S)
    for index, drift in enumerate(script.drift):
        low = 0.0 if drift.kind == "walk" else -1e3
        _within(where, f"drift[{index}].per_hour", drift.per_hour, low, 1e3)
    for name in ("recalibration", "noise", "fault", "maintenance"):
        entries: tuple[Window, ...] = getattr(script, name)
        for index, entry in enumerate(entries):
            key = f"{name}[{index}]"
            _within(where, f"{key}.begin_s", entry.begin_s, 0.0, _MOST_S)
            _within(where, f"{key}.duration_s", entry.duration_s, 1e-6, _MOST_S)
            if entry.every_s:
                _within(where, f"{key}.every_s", entry.every_s, 1e-6, _MOST_S)
                if entry.every_s <= entry.duration_s:
                    raise ConfigError(
                        f"{where}: {key}.every_s is {entry.every_s}; it must be more than duration_s, "
                        f"{entry.duration_s}, or the device never comes back"
                    )
    for index, recalibration in enumerate(script.recalibration):
        _within(where, f"recalibration[{index}].measurement_noise", recalibration.measurement_noise, 0.0, 1.0)
    for index, incident in enumerate(script.noise):
        _within(where, f"noise[{index}].factor", incident.factor, 1e-3, 1e3)
    for index, load in enumerate(script.load):
        _within(where, f"load[{index}].arrivals_per_hour", load.arrivals_per_hour, 1e-6, 3.6e6)
        _within(where, f"load[{index}].mean_s", load.mean_s, 1e-6, _MOST_S)
    busy = sum(load.arrivals_per_hour * load.mean_s for load in script.load) / 3600
    if busy >= 1:
        raise ConfigError(
            f"{where}: load keeps the device busy for {busy:.3g} of its time; it must be less than 1, "
            "or nobody else's turn comes"
        )


def _within(where: str, key: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"{where}: {key} is {value}; it must be {low:g} to {high:g}")
