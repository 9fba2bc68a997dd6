"""Catalogue: the devices of a session's daemons, as they come, and those of them that fit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from qfw.model.device import DeviceKind, DeviceProfile, DeviceStatus
from qfw.model.errors import ConnectionFailed, QFwError, UnknownDevice
from qfw.qpi.client import Client
from qfw.qpi.daemons import Member
from qfw.qpi.device import ASK_LIMIT_S, AutomaticDevice, Device
from qfw.qpi.filters import Filters
from qfw.qpi.names import Devices
from qfw.qpm import registry
from qfw.qpm.status import PlatformState, PlatformStatus

if TYPE_CHECKING:
    from qfw.qpi.session import Session

#: Seconds within which the platforms that are installed come up, or the daemon says which did not.
PLATFORMS_LIMIT_S = 300.0


class Catalogue:
    """Devices that were listed, and are not forgotten. Safe for several threads."""

    def __init__(self, session: Session, members: Sequence[Member]) -> None:
        """What the daemons listed when they were joined; `members` in their order."""
        self._session = session
        self._members = members
        self._finding = threading.Lock()
        self._devices = Devices()
        for member in members:
            self._merge(member, member.client.welcome.devices)

    @property
    def devices(self) -> list[Device]:
        """All, the preferred ones first."""
        return sorted(self._devices, key=lambda device: (-device.profile.preference, device.name))

    def get(self, name: str) -> Device | None:
        """The device of this name, or NAME@DAEMON; None where none is listed."""
        return self._devices.get(name, self._members)

    def automatic(self) -> Device | None:
        """What chooses among the simulators of the first daemon that has some; else the first device, if any."""
        for member in self._members:
            # Engines that nobody should choose without naming them, and hardware, are not chosen.
            own = [device for device in self.devices if device.client is member.client]
            simulators = [d.profile for d in own if d.profile.kind is DeviceKind.SIMULATOR]
            chosen = [profile for profile in simulators if choosable(profile)]
            if len(chosen) > 1:
                return AutomaticDevice(self._session, member.client, chosen)
            if chosen:
                return own[0]
        return next(iter(self.devices), None)

    def late(self, name: str) -> Device:
        """A device that came, or comes now, after the session began.

        Raises:
            UnknownDevice: there is none; names the nearest, and says which platforms are broken.
            ConnectionFailed: the only daemon is gone.
        """
        missing: list[str] = []
        lost: QFwError | None = None
        for member in self._members:
            try:
                platforms = self._platforms(member)
            except ConnectionFailed as error:
                if len(self._members) == 1:
                    raise
                missing.append(f" Daemon {member.name} is gone.")
                lost = error
                continue
            found = self.get(name)
            if found is not None:
                return found
            missing += [
                f" Platform {row.name} is {row.state.value}: {row.reason or 'it did not come up in time'}."
                for row in platforms
                if row.state is not PlatformState.SERVING
            ]
        message = registry.unknown("device", name, self._devices.names())
        raise UnknownDevice(message + ("." if missing else "") + "".join(missing)) from lost

    def find(
        self, wanted: Filters, given: Sequence[Device] | None = None
    ) -> tuple[list[Device], list[tuple[str, str]]]:
        """Devices that fit, of those given or of all choosable ones, and of the others name and reason."""
        self.refresh()
        found, refused = self._fitting(wanted, given)
        if not found and given is None and self._start_platforms():
            found, refused = self._fitting(wanted, given)
        return found, refused

    def _fitting(
        self, wanted: Filters, given: Sequence[Device] | None
    ) -> tuple[list[Device], list[tuple[str, str]]]:
        devices = [d for d in self.devices if choosable(d.profile)] if given is None else list(given)
        found: list[Device] = []
        refused: list[tuple[str, str]] = []
        for device, status in zip(devices, self.statuses(devices).values(), strict=True):
            reason: str | None
            if isinstance(status, QFwError):
                reason = str(status)
            else:
                calibration = None
                if wanted.needs_calibration and status.calibration:
                    calibration = device.calibration()
                reason = wanted.why_not(status, calibration, time.time())
            if reason is None:
                found.append(device)
            else:
                refused.append((device.name, reason))
        return found, refused

    def statuses(self, devices: Iterable[Device]) -> dict[str, DeviceStatus | QFwError]:
        """What devices do now, by name: one question to each daemon. An error stands for an answer."""
        answers: dict[Client, list[DeviceStatus] | QFwError] = {}
        found: dict[str, DeviceStatus | QFwError] = {}
        for device in devices:
            client = device.client
            if client not in answers:
                try:
                    answers[client] = _statuses(client)
                except QFwError as error:
                    answers[client] = error
            answer = answers[client]
            if isinstance(answer, QFwError):
                found[device.name] = answer
                continue
            gone = UnknownDevice(f"device {device.name} is gone: its platform does not serve it any more")
            here = (status for status in answer if status.profile.name == device.profile.name)
            found[device.name] = next(here, gone)
        return found

    def refresh(self) -> None:
        """Devices that came since."""
        for member in self._members:
            try:
                self._merge(member, _statuses(member.client))
            except ConnectionFailed:
                continue  # Of a daemon that is gone nothing comes; its devices say so when they are asked.

    def _start_platforms(self) -> bool:
        """Lets the daemons start what is installed and waits for somebody to ask; whether there is a device more."""
        before = len(self._devices.names())
        for member in self._members:
            try:
                self._platforms(member)
            except ConnectionFailed:
                continue
        return len(self._devices.names()) > before

    def _platforms(self, member: Member) -> list[PlatformStatus]:
        asked = member.client.ask("platforms", PLATFORMS_LIMIT_S)
        self._merge(member, _statuses(member.client))
        return msgspec.msgpack.decode(asked, type=list[PlatformStatus])

    def _merge(self, member: Member, listed: Iterable[DeviceStatus]) -> None:
        with self._finding:
            for status in listed:
                profile = status.profile
                if self._devices.known(member, profile) is None:
                    name = self._devices.free_name(member, profile.name)
                    self._devices.add(member, Device(self._session, member.client, profile, name))


def choosable(profile: DeviceProfile) -> bool:
    """Whether a device may be chosen by one who did not name it.

    Not so a simulator for tests, such as noop, and devices that are made of others.
    """
    if profile.parts:
        return False
    return profile.kind is not DeviceKind.SIMULATOR or profile.preference >= 0


def _statuses(client: Client) -> list[DeviceStatus]:
    return msgspec.msgpack.decode(client.ask("devices", ASK_LIMIT_S), type=list[DeviceStatus])
