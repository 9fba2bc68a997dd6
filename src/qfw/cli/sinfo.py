"""Show devices and their load: of your running daemon, or what a new private one would offer."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from qfw.cli import output
from qfw.config import discover, runtime, settings
from qfw.model.device import DeviceProfile, DeviceStatus
from qfw.model.errors import DaemonUnreachable
from qfw.qpm.remote import Observer

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


class DaemonRow(msgspec.Struct, frozen=True):
    """The daemon that answered."""

    pid: int
    version: str
    runtime_dir: str


class Listing(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    #: None where none runs; the devices are those that a private one would serve.
    daemon: DaemonRow | None
    devices: list[DeviceRow]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw sinfo`."""
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def main(options: argparse.Namespace) -> int:
    """Prints the devices."""
    folder = runtime.check(discover.runtime_dir())
    try:
        with Observer(folder) as observer:
            welcome = observer.welcome
            daemon = DaemonRow(welcome.pid, welcome.version, str(folder))
            statuses = sorted(observer.devices(), key=lambda status: _preferred_first(status.profile))
            rows = [_row(status) for status in statuses]
    except DaemonUnreachable:
        daemon = None
        rows = [_on_demand(profile) for profile in offered()]
    if options.json:
        output.json(Listing(daemon, rows))
        return 0
    if daemon is None:
        output.note("no daemon runs; a session of yours would start one with these devices:")
    headings = [*DeviceRow.__struct_fields__]
    if not any(row.reason for row in rows):
        headings.remove("reason")
    output.table(
        [name.upper() for name in headings], [[getattr(row, name) for name in headings] for row in rows]
    )
    return 0


def offered() -> list[DeviceProfile]:
    """Devices that a private daemon started here and now would serve, the preferred ones first."""
    from qfw.qpm import registry
    from qfw.qpm.platform import PlatformConfig

    path = discover.config_path()
    chosen = settings.load(path) if path else settings.Settings()
    found: list[DeviceProfile] = []
    for name in registry.names(registry.PLATFORMS):
        served: Sequence[DeviceProfile] = registry.load(registry.PLATFORMS, name)(
            PlatformConfig(name, {}, chosen)
        ).devices()
        found.extend(served)
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
    )


def _on_demand(profile: DeviceProfile) -> DeviceRow:
    return DeviceRow(
        profile.name,
        ON_DEMAND,
        profile.kind.value,
        profile.engine,
        profile.max_qubits,
        profile.slots,
        0,
        0,
        profile.version,
        "",
    )
