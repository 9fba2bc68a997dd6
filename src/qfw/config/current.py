"""The settings in force: what a reload replaces, for all who look at them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from qfw.config import keys
from qfw.config.settings import (
    DaemonSettings,
    JournalSettings,
    ReservationSettings,
    ResultSettings,
    SchedulingSettings,
    Settings,
    ToolSettings,
    WorkerSettings,
)


class Current:
    """Reads like `Settings`. Who keeps this, and no part of it, sees a live key's new value at once.

    Keys that are not live stay as they were when the daemon started.
    """

    # Attributes and no properties: the daemon reads some of them for every task.
    #: All of them, as they are now; then its tables and keys.
    settings: Settings
    workers: WorkerSettings
    scheduling: SchedulingSettings
    journal: JournalSettings
    daemon: DaemonSettings
    tools: ToolSettings
    results: ResultSettings
    reservations: ReservationSettings
    unread_bytes: int
    program_bytes: int

    def __init__(self, settings: Settings) -> None:
        """`settings`: as the daemon started with them."""
        self._followers: list[Callable[[Settings], None]] = []
        self._show(settings)

    def _show(self, settings: Settings) -> None:
        self.settings = settings
        for name in settings.__struct_fields__:
            if name in Current.__annotations__:
                setattr(self, name, getattr(settings, name))

    def follow(self, follower: Callable[[Settings], None]) -> None:
        """`follower` is given the new settings after each change: for who was told a value once."""
        self._followers.append(follower)

    def differences(self, wanted: Settings) -> tuple[list[str], list[str]]:
        """Keys that are not what `wanted` says: the live ones, and those that need a restart.

        Platforms are not looked at: `qfw.qpmd.platforms` says what becomes of theirs.
        """
        differ = [key for key in keys.differences(self.settings, wanted) if not key.startswith("platforms.")]
        live = keys.live()
        return [key for key in differ if key in live], [key for key in differ if key not in live]

    def take(self, wanted: Settings) -> tuple[list[str], list[str]]:
        """Takes the live keys of `wanted` over; gives what `differences` gave before."""
        changed, restart = self.differences(wanted)
        self._show(_replaced(self.settings, wanted, changed))
        if changed:
            for follower in self._followers:
                follower(self.settings)
        return changed, restart


def _replaced(old: Settings, new: Settings, names: list[str]) -> Settings:
    for name in names:
        table, _, key = name.rpartition(".")
        if table:
            part = msgspec.structs.replace(getattr(old, table), **{key: getattr(getattr(new, table), key)})
            old = msgspec.structs.replace(old, **{table: part})
        else:
            old = msgspec.structs.replace(old, **{key: getattr(new, key)})
    return old
