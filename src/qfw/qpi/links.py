"""Entangling links between devices of a mesh, as the devices declare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from qfw.model.errors import QFwError, WrongAnswer
from qfw.qpi.device import Device

#: Native operations of a device with a link: with whom it has one; and to use it.
PEERS, ENTANGLE = "link.peers", "link.entangle"


class _Peer(msgspec.Struct, frozen=True):
    """An entry of what `link.peers` answers."""

    peer: str
    fidelity: float
    rate_per_s: float


class MeshLink:
    """Two devices that herald entangled pairs between each other."""

    def __init__(self, first: Device, second: Device, fidelity: float, rate_per_s: float) -> None:
        """Found by `Mesh.links`."""
        #: Both ends.
        self.devices = (first, second)
        #: Of a pair with the Bell state Φ+, as declared.
        self.fidelity = fidelity
        #: Pairs per second of uninterrupted tries, as declared.
        self.rate_per_s = rate_per_s

    def entangle(
        self, pairs: int = 1, *, bases: str = "", seed: int | None = None, timeout_s: float = 60.0
    ) -> dict[str, Any]:
        """Makes pairs, and measures them where `bases` (two letters of XYZ, the first device's first) are given.

        Answers what `link.entangle` documents: fidelity, state, attempts, times, outcomes.
        """
        first, second = self.devices
        body = {"peer": second.profile.name, "pairs": pairs, "bases": bases, "seed": seed}
        answer: dict[str, Any] = first.native(ENTANGLE)(body, timeout_s)
        return answer

    def __repr__(self) -> str:
        first, second = self.devices
        return f"MeshLink({first.name!r}, {second.name!r}, fidelity={self.fidelity:g}, rate_per_s={self.rate_per_s:g})"


def links_of(devices: Sequence[Device]) -> list[MeshLink]:
    """The links between these devices. A device that does not answer has none."""
    found: list[MeshLink] = []
    seen: set[frozenset[Device]] = set()
    for device in devices:
        if PEERS not in device.profile.native:
            continue
        for peer in _peers(device):
            for other in devices:
                # A link is of one platform, so of one daemon.
                same = other.client is device.client and other.profile.platform == device.profile.platform
                ends = frozenset((device, other))
                if same and other.profile.name == peer.peer and len(ends) == 2 and ends not in seen:
                    seen.add(ends)
                    found.append(MeshLink(device, other, peer.fidelity, peer.rate_per_s))
    return found


def _peers(device: Device) -> list[_Peer]:
    try:
        answer = device.native(PEERS)()
    except QFwError:
        return []
    try:
        return msgspec.convert(answer, list[_Peer])
    except msgspec.ValidationError as error:
        raise WrongAnswer(f"what {PEERS} of {device.name} answered names no peers: {error}") from error
