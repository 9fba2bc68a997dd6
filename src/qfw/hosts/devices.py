"""Devices of a host, as the daemon knows them: what is said of them is checked, and told with numbers of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec

from qfw.hosts import claims
from qfw.hosts.claims import MAX_TEXT
from qfw.hosts.protocol import Reported, Settled, SlotReady
from qfw.hosts.served import Held, Served, Slot
from qfw.model.device import DEVICE_TRANSITIONS, RUNNING, DeviceProfile, DeviceState
from qfw.model.errors import BrokenPlugin, UnknownDevice, WireError
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpm import registry
from qfw.qpm.platform import Sink

#: Devices that a platform's hosts may have had, by and by.
MAX_SEEN = 4 * claims.MAX_DEVICES
MAX_FIGURES = 64
#: Unix time in nanoseconds, in the year 2262: sums of two such times stay within the integers of the journal.
MAX_WALL_NS = 2**63


class Devices:
    """Those of one host after another: each goes on with its numbers when it comes back."""

    def __init__(self, platform: str) -> None:
        """Without devices."""
        self._platform = platform
        self._devices: dict[str, Served] = {}
        self._seen: dict[str, Served] = {}

    def open(self, sink: Sink, now: Callable[[], float], stand: Callable[[Slot, bool], None]) -> None:
        """Tells a sink from here on; `stand` is told of each slot whose device stops or goes on."""
        self._sink, self._now, self._stand = sink, now, stand

    def __iter__(self) -> Iterator[Served]:
        """The present ones, in the order in which the host has them."""
        return iter(self._devices.values())

    def __len__(self) -> int:
        return len(self._devices)

    def slots(self) -> Iterator[Slot]:
        """All slots of the present ones."""
        return (slot for served in self for slot in served.slots.values())

    def held(self) -> Iterator[Held]:
        """All runs that were given and not answered."""
        return (held for slot in self.slots() for held in slot.runs)

    def settle(self, message: Settled) -> None:
        """Takes what a host has, unseen by others until `come_back`.

        Raises:
            BrokenPlugin, VersionMismatch: it cannot be.
        """
        profiles: list[DeviceProfile] = [
            msgspec.structs.replace(profile, platform=self._platform) for profile in message.devices
        ]
        claims.check_api(message.api)
        claims.check_facets(message.facets)
        if not len(profiles) == len(message.states) == len(message.calibrations):
            raise BrokenPlugin("as many states and calibrations as devices are needed")
        claims.check_devices(profiles, message.calibrations, message.facets)
        if len(self._seen.keys() | {profile.name for profile in profiles}) > MAX_SEEN:
            raise BrokenPlugin(f"platform {self._platform} had more than {MAX_SEEN} devices, by and by")
        self._devices = {}
        for profile, state, calibration in zip(profiles, message.states, message.calibrations, strict=True):
            served = self._seen.setdefault(profile.name, Served(profile))
            served.profile = profile
            served.next_sequence = 0
            served.given_up = False
            self._devices[profile.name] = served
            served.adopt(calibration)
            served.coming = state

    def come_back(self, served: Served) -> None:
        """Says in which state and calibration a device comes up."""
        to, version = served.coming, served.calibration.version if served.calibration else ""
        kind = DeviceEventKind.CALIBRATION if version else DeviceEventKind.STATE
        self._tell(served, kind, "its host is up", to, version)

    def served(self, device: str) -> Served:
        """The device that somebody here asks for. Raises UnknownDevice."""
        found = self._devices.get(device)
        if found is None:
            raise UnknownDevice(registry.unknown("device", device, sorted(self._devices)))
        return found

    def said(self, device: str) -> Served:
        """The device that the host speaks of. Raises WireError."""
        found = self._devices.get(device)
        if found is None:
            raise WireError(f"it speaks of a device {device[:64]!r} that it does not have")
        return found

    def slot(self, device: str, slot: str) -> Slot:
        """The slot that the host speaks of. Raises WireError."""
        found = self.said(device).slots.get(slot)
        if found is None:
            raise WireError(f"it speaks of a slot {slot[:64]!r} that {device} does not have")
        return found

    def _tell(
        self, served: Served, kind: DeviceEventKind, message: str, state: DeviceState, version: str = ""
    ) -> None:
        """An event that was found here."""
        self._enter(served, state, message)
        served.sequence += 1
        event = DeviceEvent(served.sequence, kind, time.time_ns(), message, state, version)
        self._sink.device_reported(served.profile.name, event, served.calibration if version else None)

    def offline(self, served: Served, reason: str) -> None:
        """A device cannot be used, which was found here."""
        if served.state is not DeviceState.OFFLINE:
            self._tell(served, DeviceEventKind.FAULT, reason, DeviceState.OFFLINE)

    def give_up(self, served: Served, reason: str) -> None:
        """The platform can have no slot of a device: what waits for it fails, and `warm` tries again."""
        self.offline(served, reason)
        served.warm = False
        served.given_up = True
        self._sink.device_offline(served.profile.name, reason)

    def reported(self, message: Reported) -> None:
        """The host reports an event. Raises WireError, BrokenPlugin: it cannot be."""
        served, event = self.said(message.device), message.event
        # The first number of a host is taken as it is: what was before, it had said by settling.
        if served.next_sequence not in (0, event.sequence):
            raise WireError(
                f"event {event.sequence} of {message.device} came; {served.next_sequence} was next"
            )
        served.next_sequence = event.sequence + 1
        if event.state not in (None, served.state) and event.state not in DEVICE_TRANSITIONS[served.state]:
            raise WireError(f"device {message.device} cannot become {event.state}: it is {served.state}")
        version = message.calibration.version if message.calibration is not None else ""
        if version != event.calibration:
            raise WireError(f"an event of calibration {event.calibration!r} came with {version!r}")
        if not (0 <= event.wall_ns < MAX_WALL_NS and 0 <= event.until_ns < MAX_WALL_NS):
            raise WireError(
                f"an event is dated {event.wall_ns}, until {event.until_ns}: that is no Unix time"
            )
        if message.calibration is not None:
            claims.check_calibration(message.calibration, served.profile)
            served.adopt(message.calibration)
        served.sequence += 1
        if event.state is not None:
            self._enter(served, event.state, event.message[:MAX_TEXT])
        event = msgspec.structs.replace(
            event,
            sequence=served.sequence,
            message=event.message[:MAX_TEXT],
            figures=tuple((name[:64], value) for name, value in event.figures[:MAX_FIGURES]),
        )
        self._sink.device_reported(message.device, event, message.calibration)

    def _enter(self, served: Served, state: DeviceState, reason: str) -> None:
        served.state, served.reason = state, reason
        for slot in served.slots.values():
            self._stand(slot, state not in RUNNING)

    def slot_ready(self, message: SlotReady, pid: int) -> None:
        """The host says that a slot takes runs. Raises WireError: it cannot be."""
        served = self.said(message.device)
        if message.slot in served.slots or not 0 < len(message.slot) <= claims.MAX_NAME:
            raise WireError(f"slot {message.slot[:64]!r} of {message.device} is ready already")
        if len(served.slots) >= served.profile.slots:
            raise WireError(f"device {message.device} has {served.profile.slots} slots, and says one more")
        if served.given_up and served.state is DeviceState.OFFLINE:
            self._enter(served, DeviceState.ONLINE, "")
        served.given_up = False
        served.slots[message.slot] = Slot(
            message.device, message.slot, served.state not in RUNNING, self._now()
        )
        self._sink.slot_ready(message.device, message.slot, pid)

    def slot_lost(self, slot: Slot, pid: int, reason: str, running: int | None) -> None:
        """A slot is gone, and its runs with it."""
        self._devices[slot.device].slots.pop(slot.name, None)
        slot.runs.clear()
        self._sink.slot_lost(slot.device, slot.name, pid, reason, running)
