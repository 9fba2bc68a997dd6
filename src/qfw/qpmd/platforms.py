"""The platforms of a daemon: those within it, those in host processes, and which serves which device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from qfw.config.settings import PlatformSettings, Settings
from qfw.model.device import DeviceProfile
from qfw.model.errors import ErrorReport, QFwError, SetupError
from qfw.qpm.platform import Platform, PlatformConfig, ProgramSource, Reactor, Sink
from qfw.qpm.status import PlatformState, PlatformStatus
from qfw.qpmd.gate import Gate

logger = logging.getLogger(__name__)

#: Beyond its own limit a host is waited for so long, in seconds, until the others are said without it.
SETTLE_MARGIN_S = 2.0


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
        self._within = dict(within)
        self._host = host
        self._hosted: dict[str, Hosted] = {}
        #: Plugin of each platform that is not within, by the platform's name.
        self._plugins = {name: table.plugin or name for name, table in settings.platforms.items()}
        self._on_demand = [
            name
            for name in plugins
            if name not in self._within
            and name not in self._plugins
            and name not in self._plugins.values()
            and host is not None
        ]
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
        if platform is None or name in self._refused:
            return [], []
        hosted = self._hosted.get(name)
        found: dict[str, DeviceProfile] = {}
        if hosted is None or hosted.broken is None:
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
        return self._settings.platforms.get(name, PlatformSettings())
