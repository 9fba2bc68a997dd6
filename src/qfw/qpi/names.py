"""Devices of several daemons under names that are unique in a session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qfw.model.device import DeviceProfile
from qfw.qpi.daemons import Member, unique
from qfw.qpi.device import Device


class Devices:
    """The devices of a session. What a device was once called it stays called."""

    def __init__(self) -> None:
        """Without any."""
        self._devices: dict[str, Device] = {}
        #: By daemon and the name there.
        self._found: dict[tuple[str, str], Device] = {}

    def __iter__(self) -> Iterator[Device]:
        """In the order in which they were found."""
        return iter(list(self._devices.values()))

    def names(self) -> list[str]:
        """Every name that is unique, sorted."""
        return sorted(self._devices)

    def add(self, member: Member, device: Device) -> None:
        """A device that its daemon serves, made with the name that `free_name` gave."""
        self._devices[device.name] = device
        self._found[member.name, device.profile.name] = device

    def free_name(self, member: Member, name: str) -> str:
        """What a device of this name is called: so, or NAME@DAEMON where another one is called so already."""
        if name not in self._devices:
            return name
        return unique(f"{name}@{member.name}", self._devices)

    def known(self, member: Member, profile: DeviceProfile) -> Device | None:
        """The device of a daemon that has this profile's name."""
        return self._found.get((member.name, profile.name))

    def get(self, name: str, members: Iterable[Member]) -> Device | None:
        """The device of a name: unique, or NAME@DAEMON."""
        found = self._devices.get(name)
        if found is not None:
            return found
        for member in members:
            plain = name.removesuffix(f"@{member.name}")
            if plain != name and (member.name, plain) in self._found:
                return self._found[member.name, plain]
        return None
