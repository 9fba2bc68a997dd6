"""Show devices and their load: of your running daemon, or what a new private one would offer."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import msgspec

from qfw.cli import output, platforms
from qfw.config import discover, runtime, settings
from qfw.model.device import DeviceProfile, DeviceState, DeviceStatus
from qfw.model.errors import DaemonUnreachable
from qfw.qpm.remote import Observer
from qfw.qpm.status import PlatformState, PlatformStatus

#: State of a device that a private daemon would serve.
ON_DEMAND = "on-demand"


class DeviceRow(msgspec.Struct, frozen=True):
    """One line of the table."""

    device: str
    #: A DeviceState, or on-demand.
    state: str
    kind: str
    engine: str
    qubits: int
    slots: int
    running: int
    queued: int
    version: str
    #: Why it is not online; empty where it is.
    reason: str
    #: Platform that serves it.
    platform: str
    #: Version of its calibration, and how old it is; empty and None where it has none.
    calibration: str
    calibration_age_s: float | None
    #: Median error of its two-qubit gates; None where nobody measured.
    two_qubit_error: float | None
    #: Seconds that a task accepted now waits, by estimate; None where nobody can say.
    wait_s: float | None


class DaemonRow(msgspec.Struct, frozen=True):
    """The daemon that answered."""

    pid: int
    version: str
    runtime_dir: str
    #: *private*, *job* or *site*, and what it is called among several.
    scope: str
    name: str
    #: Why it takes no new tasks; empty where it takes them.
    draining: str


class Listing(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    #: None where none runs; the devices are those that a private one would serve.
    daemon: DaemonRow | None
    devices: list[DeviceRow]
    #: Those that are installed or configured.
    platforms: list[PlatformStatus]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw sinfo`."""
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def main(options: argparse.Namespace) -> int:
    """Prints the devices, and the platforms that serve none yet, or never will."""
    folder = runtime.check(discover.runtime_dir())
    try:
        with Observer(folder) as observer:
            welcome = observer.welcome
            status = observer.daemon()
            daemon = DaemonRow(
                welcome.pid, welcome.version, str(folder), status.scope, status.name, status.draining
            )
            statuses = sorted(observer.devices(), key=lambda row: _preferred_first(row.profile))
            rows = [_row(row) for row in statuses]
            found = observer.platforms()
        # What it did not start yet may be broken all the same.
        found = platforms.looked_at(found, settings.Settings())
    except DaemonUnreachable:
        daemon = None
        chosen = _settings()
        rows = [_on_demand(profile) for profile in offered(chosen)]
        found = platforms.configured(chosen)
    if options.json:
        output.json(Listing(daemon, rows, found))
        return 0
    if daemon is None:
        output.note("no daemon runs; a session of yours would start one with these devices:")
    elif daemon.scope != "private" or daemon.draining:
        called = "" if daemon.name == daemon.scope else f" {daemon.name}"
        takes = f", takes no new tasks: {daemon.draining}" if daemon.draining else ""
        output.note(f"{daemon.scope} daemon{called}, pid {daemon.pid}{takes}")
    _print_devices(rows, waits=daemon is not None)
    others = [row for row in found if row.state is not PlatformState.SERVING]
    if others:
        sys.stdout.write("\n")
        output.table(
            ["PLATFORM", "STATE", "REASON"], [[row.name, row.state.value, row.reason] for row in others]
        )
    return 0


#: Fields of a DeviceRow that make a column as they are.
_PLAIN = ("device", "state", "kind", "engine", "qubits", "slots", "running", "queued")


def _print_devices(rows: Sequence[DeviceRow], waits: bool) -> None:
    """The table; columns in which nobody has anything are left out. `waits`: whether anybody can wait."""
    columns: list[tuple[str, list[object]]] = [
        (name.upper(), [getattr(row, name) for row in rows]) for name in _PLAIN
    ]
    if waits:
        columns.append(("WAIT", ["unbounded" if row.wait_s is None else _span(row.wait_s) for row in rows]))
    if any(row.calibration for row in rows):
        ages = [None if row.calibration_age_s is None else _span(row.calibration_age_s) for row in rows]
        columns.append(("CALIBRATED", [f"{age} ago" if age else "-" for age in ages]))
        errors = [row.two_qubit_error for row in rows]
        columns.append(("2Q-ERROR", ["-" if error is None else f"{error:.2%}" for error in errors]))
    columns.append(("VERSION", [row.version for row in rows]))
    if any(row.reason for row in rows):
        columns.append(("REASON", [row.reason for row in rows]))
    cells = [values for _, values in columns]
    output.table([heading for heading, _ in columns], [list(line) for line in zip(*cells, strict=True)])


def _span(seconds: float) -> str:
    """A time as people say it."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 or seconds == 0 else f"{seconds:.1f} s"


def _settings() -> settings.Settings:
    path = discover.config_path()
    return settings.load(path) if path else settings.Settings()


def offered(chosen: settings.Settings) -> list[DeviceProfile]:
    """Devices that a private daemon started here and now would serve at once, the preferred ones first."""
    from qfw.qpm import registry
    from qfw.qpm.platform import PlatformConfig

    config = PlatformConfig(platforms.WITHIN, {}, chosen)
    found: Sequence[DeviceProfile] = registry.load(registry.PLATFORMS, platforms.WITHIN)(config).devices()
    return sorted(found, key=_preferred_first)


def _preferred_first(profile: DeviceProfile) -> tuple[float, str]:
    return -profile.preference, profile.name


def _row(status: DeviceStatus) -> DeviceRow:
    profile = status.profile
    return DeviceRow(
        profile.name,
        status.state.value,
        profile.kind.value,
        profile.engine,
        profile.max_qubits,
        profile.slots,
        status.running,
        status.queued,
        profile.version,
        status.reason,
        profile.platform,
        status.calibration,
        # Of a twin whose clock is simulated it may have been measured in what is the future here.
        max(0.0, time.time() - status.calibrated_s) if status.calibration else None,
        status.two_qubit_error,
        status.wait_s,
    )


def _on_demand(profile: DeviceProfile) -> DeviceRow:
    row = _row(DeviceStatus(profile, DeviceState.ONLINE, 0, 0))
    return msgspec.structs.replace(row, state=ON_DEMAND)
