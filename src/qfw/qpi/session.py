"""Session: initialise … finalise. Finds the user's daemon, or starts a private one."""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path
from types import TracebackType

import msgspec

from qfw.config.discover import config_path, runtime_dir
from qfw.model.device import DeviceStatus
from qfw.model.errors import UnknownDevice, UsageError
from qfw.qpi import reservation
from qfw.qpi.client import Client
from qfw.qpi.device import ASK_LIMIT_S, AUTOMATIC, AutomaticDevice, Device
from qfw.qpi.future import TaskFuture
from qfw.qpi.handle import parse_handle
from qfw.qpi.reservation import Reservation
from qfw.qpm import registry
from qfw.qpm.join import join
from qfw.qpm.platform import Offer
from qfw.qpm.status import PlatformState, PlatformStatus

#: Seconds within which the platforms that are installed come up, or the daemon says which did not.
PLATFORMS_LIMIT_S = 300.0


class Session:
    """An application's connection to its devices.

    A context manager. It belongs to the process that opened it, and may be used by several threads.
    """

    def __init__(
        self,
        *,
        runtime_folder: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        name: str | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Joins the daemon of the runtime folder; where none runs, starts a private one.

        The last session of a private daemon ends it.

        Args:
            runtime_folder: by default $QFW_RUNTIME_DIR, else a folder of this user (and job step).
            config: settings (TOML) of a private daemon that has to be started; by default $QFW_CONFIG.
            name: what listings show; by default the program's name.
            timeout_s: for joining or starting.

        Raises:
            SetupError: the folder or the settings cannot be used, says why and what to do.
            ForeignOwner: the folder or the socket belongs to another user.
            ConnectionFailed: no daemon came up, or it is of another version.
        """
        folder = Path(runtime_folder) if runtime_folder is not None else runtime_dir()
        settings = Path(config) if config is not None else config_path()
        link = join(folder, name or Path(sys.argv[0] or "python").name, settings, timeout_s)
        #: The runtime folder of its daemon.
        self.folder = folder
        #: For streams.
        self.client = Client(link)
        self._devices = {
            status.profile.name: Device(self, self.client, status.profile)
            for status in self.client.welcome.devices
        }
        # Engines that nobody should choose without naming them, and hardware, are not chosen.
        chosen = [
            d.profile for d in self.devices if d.profile.preference >= 0 and d.profile.kind == "simulator"
        ]
        #: Where there is nothing to choose from, the first is taken.
        self._any = (
            AutomaticDevice(self, self.client, chosen) if len(chosen) > 1 else next(iter(self.devices), None)
        )
        # Runs at the end of the program too, where nobody closed the session.
        self._finalise = weakref.finalize(self, self.client.close)

    @property
    def devices(self) -> list[Device]:
        """The devices, the preferred ones first."""
        return sorted(self._devices.values(), key=lambda device: (-device.profile.preference, device.name))

    def device(self, name: str | None = None) -> Device:
        """The device of this name; without a name (or "auto") the one that chooses the best for each task.

        A name that the daemon does not know lets it start the installed platforms that wait for somebody to
        ask; that may take seconds.

        Raises:
            UnknownDevice: there is none; names the nearest, and says which platforms are broken.
        """
        if name is None or (name == AUTOMATIC and name not in self._devices):
            if self._any is None:
                raise UnknownDevice("the daemon serves no device; see: qfw doctor")
            return self._any
        return self._devices.get(name) or self._late(name)

    def _late(self, name: str) -> Device:
        """A device that came, or comes now, after this session began."""
        asked = self.client.ask("platforms", PLATFORMS_LIMIT_S)
        platforms = msgspec.msgpack.decode(asked, type=list[PlatformStatus])
        listed = msgspec.msgpack.decode(self.client.ask("devices", ASK_LIMIT_S), type=list[DeviceStatus])
        for status in listed:
            if status.profile.name not in self._devices:
                self._devices[status.profile.name] = Device(self, self.client, status.profile)
        found = self._devices.get(name)
        if found is not None:
            return found
        missing = [
            f" Platform {row.name} is {row.state.value}: {row.reason or 'it did not come up in time'}."
            for row in platforms
            if row.state is not PlatformState.SERVING
        ]
        message = registry.unknown("device", name, sorted(self._devices))
        raise UnknownDevice(message + ("." if missing else "") + "".join(missing))

    def attach(self, handle: str) -> TaskFuture:
        """The future of a detached task that any process of this user submitted.

        Returns at once; what the future gives, or why there is nothing, is found out by waiting for it.

        Args:
            handle: `TaskFuture.handle`, or its name (SESSION.SEQUENCE).

        Raises:
            OptionError: it is no handle.
            UsageError: it is of another daemon than this session's.
            DaemonLost: the daemon is gone; its results are found by a later one in the same folder.
        """
        wanted = parse_handle(handle)
        if not wanted.is_of(self.client.folder, self.client.welcome.name):
            raise UsageError(
                f"task {handle} is of the daemon of {wanted.daemon}, this session of that of {self.client.folder}; "
                f"open Session(runtime_folder={wanted.daemon!r})"
            )
        return self.client.attach(wanted.task)

    def reserve(
        self,
        device: Device | str,
        share: float = 0.5,
        *,
        burst_s: float = 0.0,
        activation_s: float = 0.0,
        lifetime_s: float = 600.0,
    ) -> Reservation:
        """Reserves a share of a device: this session gets it, by estimated time, while it has tasks waiting.

        What it does not use goes to the others. It ends after `lifetime_s` unless it is renewed, when it is released,
        and with the session. It is soft: nothing that runs is interrupted, and no bound on waiting is promised.

        Args:
            device: of this session, or its name.
            share: of the device's time, above 0, at most the daemon's `reservations.max_share`.
            burst_s: device-seconds that the platform should allow in flight, where it takes reservations.
            activation_s: 0; daemons promise no time within which the first task starts, yet.
            lifetime_s: seconds from now, at most `reservations.max_lifetime_s`.

        Raises:
            NoCapacity: so much is not free; says what is, and when to try again.
            OptionError: a value out of range.
            UnsupportedFeature: `activation_s` is not 0.
            UsageError: the device is the automatic one, or the session is closed.
        """
        found = self.device(device) if isinstance(device, str) else device
        return reservation.reserve(found, share, burst_s, activation_s, lifetime_s)

    def evaluate(
        self,
        device: Device | str,
        share: float = 0.5,
        *,
        burst_s: float = 0.0,
        activation_s: float = 0.0,
        lifetime_s: float = 600.0,
    ) -> Offer:
        """What `reserve` would be granted now, with the reason where it is less; changes nothing.

        Raises:
            OptionError, UnsupportedFeature, UsageError: see `reserve`.
        """
        found = self.device(device) if isinstance(device, str) else device
        return reservation.evaluate(found, share, burst_s, activation_s, lifetime_s)

    def close(self) -> None:
        """Finalises: tasks that are unanswered and not detached are cancelled. May be called twice."""
        self._finalise()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
