"""The platforms of a daemon: those within it, those in host processes, and which serves which device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from qfw.config.settings import PlatformSettings, Settings
from qfw.model.device import DeviceProfile
from qfw.model.errors import ErrorReport, QFwError, SetupError
from qfw.qpm.platform import Platform, PlatformConfig, ProgramSource, Reactor, Sink
from qfw.qpm.status import PlatformState, PlatformStatus
from qfw.qpmd.gate import Gate

logger = logging.getLogger(__name__)

#: Beyond its own limit a host is waited for so long, in seconds, until the others are said without it.
SETTLE_MARGIN_S = 2.0
#: A host that was told to leave has ended, or was ended, after so long, in seconds.
LEAVE_S = 1.5


class Hosted(Platform, Protocol):
    """A platform in a host process; it calls `Sink.devices_changed` whenever what is below changes."""

    @property
    def name(self) -> str:
        """Its name in this daemon."""
        ...

    @property
    def settled(self) -> bool:
        """Whether its devices are known, or that there will be none."""
        ...

    @property
    def broken(self) -> ErrorReport | None:
        """Why it serves nothing, for good."""
        ...

    def leave(self) -> None:
        """Begins to close, and waits for nothing; `close` may follow."""
        ...


#: Makes a platform in a host process of its own: from what it is told, its plugin and the host's limits.
Host = Callable[[PlatformConfig, str, PlatformSettings], Hosted]


class Platforms:
    """Starts platforms, and knows who serves what."""

    def __init__(
        self,
        settings: Settings,
        within: Mapping[str, Platform],
        plugins: Sequence[str] = (),
        host: Host | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            settings: with the platforms that start with the daemon.
            within: the platforms that run in the daemon itself, by plugin.
            plugins: names of all that are installed.
            host: makes the others.
        """
        self._settings = settings
        self._installed = list(plugins)
        self._within = dict(within)
        self._host = host
        self._hosted: dict[str, Hosted] = {}
        #: Plugin of each platform that is not within, by the platform's name.
        self._plugins = {name: table.plugin or name for name, table in settings.platforms.items()}
        self._on_demand = self._spare()
        #: Tables of the platforms that were started, or tried; those that the last reload wants; who was started
        #: because somebody asked; who shall go, and of these who has been told to.
        self._tables: dict[str, PlatformSettings] = dict(settings.platforms)
        self._wanted = dict(self._tables)
        self._asked: set[str] = set()
        self._retiring: set[str] = set()
        self._told: set[str] = set()
        #: Why a platform is broken, where not itself says so.
        self._refused: dict[str, str] = {}
        #: Devices of each platform.
        self._names: dict[str, list[str]] = {name: [] for name in self._within}
        #: The platform that serves a device, and what the device can do.
        self.of: dict[str, Platform] = {}
        self.profiles: dict[str, DeviceProfile] = {}
        for name in self._within:
            self.changed(name)

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        """Begins to serve: within, and in hosts those that the settings name."""
        self._reactor, self._sink, self._programs = reactor, sink, programs
        for platform in self._within.values():
            platform.open(reactor, sink, programs)
        for name, table in self._settings.platforms.items():
            if table.plugin in self._within or name in self._within:
                self._refused[name] = (
                    f"{self._plugins[name]} runs within the daemon; give it no table of its own"
                )
            else:
                self._start(name, table)

    def start_all(self) -> float:
        """Starts those that wait for somebody to ask; seconds within which all have settled."""
        waiting, self._on_demand = self._on_demand, []
        for name in waiting:
            self._plugins[name] = name
            self._tables[name] = self._wanted[name] = PlatformSettings()
            self._asked.add(name)
            self._start(name, PlatformSettings())
        limits = [self._limits(name).start_limit_s for name in self._hosted if not self._has_settled(name)]
        return max(limits) + SETTLE_MARGIN_S if limits else 0.0

    @property
    def settled(self) -> bool:
        """Whether all that were started have come up, or are known not to."""
        return all(map(self._has_settled, self._hosted))

    def changed(self, name: str) -> tuple[list[str], list[str]]:
        """Looks at a platform again: devices that came, and that went."""
        platform = self._within.get(name) or self._hosted.get(name)
        if name in self._refused:
            return [], []
        hosted = self._hosted.get(name)
        found: dict[str, DeviceProfile] = {}
        if platform is not None and (hosted is None or hosted.broken is None):
            found = {profile.name: profile for profile in platform.devices()}
        taken = [device for device in found if self.of.get(device, platform) is not platform]
        if taken:
            other = self.profiles[taken[0]].platform
            self._refuse(
                name, f"its device {taken[0]} has the name of one of platform {other}; rename one of them"
            )
            found = {}
        before = self._names.get(name, [])
        came = [device for device in found if device not in before]
        gone = [device for device in before if device not in found]
        for device in gone:
            del self.of[device], self.profiles[device]
        for device, profile in found.items():
            assert platform is not None
            self.of[device] = platform
            self.profiles[device] = profile
        self._names[name] = list(found)
        return came, gone

    def devices(self, name: str) -> list[str]:
        """Names of a platform's devices."""
        return list(self._names.get(name, ()))

    def statuses(self) -> list[PlatformStatus]:
        """Every platform that is installed or configured, by name."""
        rows = [
            PlatformStatus(name, name, PlatformState.SERVING, "", tuple(self._names[name]))
            for name in self._within
        ]
        rows += [PlatformStatus(name, name, PlatformState.ON_DEMAND, "", ()) for name in self._on_demand]
        for name, plugin in self._plugins.items():
            hosted = self._hosted.get(name)
            reason = self._refused.get(name, "")
            if not reason and hosted is not None and hosted.broken is not None:
                reason = hosted.broken.message
            ready = hosted is not None and hosted.settled
            state = (
                PlatformState.BROKEN if reason else PlatformState.SERVING if ready else PlatformState.STARTING
            )
            rows.append(PlatformStatus(name, plugin, state, reason, tuple(self._names.get(name, ()))))
        return sorted(rows, key=lambda row: row.name)

    # What a reload changes ---------------------------------------------------------------------------

    def differences(self, wanted: Mapping[str, PlatformSettings]) -> list[str]:
        """What a reload would do, in words: platforms that come, go, or start anew with another table."""
        names = [*self._tables, *(name for name in wanted if name not in self._tables)]
        said = {name: self._difference(name, wanted.get(name)) for name in names}
        return [f"platforms.{name} ({what})" for name, what in said.items() if what]

    def reload(self, wanted: Mapping[str, PlatformSettings]) -> list[str]:
        """Starts those that came. Those that go, or have another table, take no tasks from now on: see `leaving`."""
        said = self.differences(wanted)
        self._wanted = {
            name: self._tables[name] for name in self._tables.keys() & self._asked - wanted.keys()
        }
        self._wanted.update(wanted)
        self._asked -= wanted.keys()
        self._settings = msgspec.structs.replace(self._settings, platforms=dict(wanted))
        # One that has been told to leave does, and starts anew if it is wanted again.
        self._retiring = {
            name
            for name, table in self._tables.items()
            if self._wanted.get(name) != table or name in self._told
        }
        for name in [name for name in self._wanted if name not in self._tables]:
            self.start_wanted(name)
        self._on_demand = self._spare()
        return said

    def retiring(self, device: str) -> str | None:
        """The platform of a device that takes no tasks, because the platform goes; None where it takes them."""
        if not self._retiring:
            # Asked for every task.
            return None
        return next((name for name in self._retiring if device in self._names.get(name, ())), None)

    def leaving(self) -> list[str]:
        """Platforms that shall go when their tasks have ended, and have not been told to yet."""
        return sorted(self._retiring - self._told)

    def leave(self, name: str) -> float:
        """Tells one of them to go; seconds after which `remove` finds it gone."""
        self._told.add(name)
        hosted = self._hosted.get(name)
        if hosted is None:
            return 0.0
        hosted.leave()
        return LEAVE_S

    def remove(self, name: str) -> None:
        """Forgets one that was told to go; its devices go with the next `changed`."""
        hosted = self._hosted.pop(name, None)
        if hosted is not None:
            hosted.close()
        self._tables.pop(name, None)
        self._plugins.pop(name, None)
        self._refused.pop(name, None)
        self._asked.discard(name)
        self._retiring.discard(name)
        self._told.discard(name)
        self._on_demand = self._spare()

    def start_wanted(self, name: str) -> None:
        """Starts a platform with the table that the last reload gave it, if it did."""
        table = self._wanted.get(name)
        if table is None or name in self._tables:
            return
        self._tables[name] = table
        self._plugins[name] = table.plugin or name
        self._on_demand = self._spare()
        self._start(name, table)

    def _difference(self, name: str, table: PlatformSettings | None) -> str:
        before = self._tables.get(name)
        if before is None:
            return "comes" if table is not None else ""
        if table is None:
            return "" if name in self._asked else "goes"
        return "" if table == before else "starts anew"

    def close(self) -> None:
        """Ends what the platforms started; all hosts in the same second."""
        for hosted in self._hosted.values():
            hosted.leave()
        for platform in (*self._within.values(), *self._hosted.values()):
            platform.close()

    def _start(self, name: str, table: PlatformSettings) -> None:
        try:
            if self._host is None:
                raise SetupError("this daemon starts no hosts")
            config = PlatformConfig(name, table.options, self._settings)
            platform = self._hosted[name] = self._host(config, self._plugins[name], table)
            gate = Gate(name, self._sink, lambda device: self.of.get(device) is platform)
            platform.open(self._reactor, gate, self._programs)
        except (QFwError, OSError) as error:
            # One broken platform must not take the daemon with it.
            self._hosted.pop(name, None)
            self._refused[name] = str(error)
            logger.error("platform does not start: name=%s reason=%s", name, error)

    def _refuse(self, name: str, reason: str) -> None:
        logger.error("platform refused: name=%s reason=%s", name, reason)
        self._refused[name] = reason
        if name in self._hosted:
            # Not at once: it may be the one who calls.
            self._reactor.call_at(self._reactor.now(), self._hosted[name].leave)

    def _has_settled(self, name: str) -> bool:
        return name in self._refused or self._hosted[name].settled

    def _limits(self, name: str) -> PlatformSettings:
        return self._tables.get(name, PlatformSettings())

    def _spare(self) -> list[str]:
        """Plugins that start when somebody asks."""
        taken = {*self._within, *self._plugins, *self._plugins.values()}
        return [name for name in self._installed if name not in taken] if self._host is not None else []
