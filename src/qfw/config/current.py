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

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._followers: list[Callable[[Settings], None]] = []

    @property
    def settings(self) -> Settings:
        """All of them, as they are now."""
        return self._settings

    @property
    def workers(self) -> WorkerSettings:
        """Table [workers]."""
        return self._settings.workers

    @property
    def scheduling(self) -> SchedulingSettings:
        """Table [scheduling]."""
        return self._settings.scheduling

    @property
    def journal(self) -> JournalSettings:
        """Table [journal]."""
        return self._settings.journal

    @property
    def daemon(self) -> DaemonSettings:
        """Table [daemon]."""
        return self._settings.daemon

    @property
    def tools(self) -> ToolSettings:
        """Table [tools]."""
        return self._settings.tools

    @property
    def results(self) -> ResultSettings:
        """Table [results]."""
        return self._settings.results

    @property
    def reservations(self) -> ReservationSettings:
        """Table [reservations]."""
        return self._settings.reservations

    @property
    def unread_bytes(self) -> int:
        """Key unread_bytes."""
        return self._settings.unread_bytes

    @property
    def program_bytes(self) -> int:
        """Key program_bytes."""
        return self._settings.program_bytes

    def follow(self, follower: Callable[[Settings], None]) -> None:
        """`follower` is given the new settings after each change: for who was told a value once."""
        self._followers.append(follower)

    def differences(self, wanted: Settings) -> tuple[list[str], list[str]]:
        """Keys that are not what `wanted` says: the live ones, and those that need a restart.

        Platforms are not looked at: `qfw.qpmd.platforms` says what becomes of theirs.
        """
        differ = [key for key in keys.differences(self._settings, wanted) if not key.startswith("platforms.")]
        live = keys.live()
        return [key for key in differ if key in live], [key for key in differ if key not in live]

    def take(self, wanted: Settings) -> tuple[list[str], list[str]]:
        """Takes the live keys of `wanted` over; gives what `differences` gave before."""
        changed, restart = self.differences(wanted)
        self._settings = _replaced(self._settings, wanted, changed)
        if changed:
            for follower in self._followers:
                follower(self._settings)
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
