"""Who wants to hear of which devices: events go to those who asked for their kind, and to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qfw.model.device import DeviceStatus
from qfw.model.errors import WireError
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpm.platform import Reactor
from qfw.qpm.wire import MAX_ITEMS_PER_MESSAGE, Subscribe
from qfw.qpmd.peer import Peer

#: Between two events of a device's load that the daemon makes, and between two looks, in seconds.
LOAD_S, LOOK_S = 1.0, 0.1
#: A queue is told again where it is longer or shorter by this part, or begins or ends.
NOTABLE = 0.1


class _Load(NamedTuple):
    queued: int
    running: int
    wait_s: float | None

    def differs(self, other: _Load) -> bool:
        """Whether somebody who was told of the other one should hear of it."""
        return (
            _differ(self.queued, other.queued)
            or _differ(self.running, other.running)
            or (self.wait_s is None) != (other.wait_s is None)
        )

    def figures(self) -> tuple[tuple[str, float], ...]:
        wait = () if self.wait_s is None else (("wait_s", self.wait_s),)
        return (("queued", float(self.queued)), ("running", float(self.running)), *wait)


class Subscriptions:
    """Events on their way to clients. Nothing is kept for later: who asks hears of what happens from then on."""

    def __init__(
        self,
        status: Callable[[str], DeviceStatus | None],
        touch: Callable[[Peer], None],
        wall_ns: Callable[[], int],
    ) -> None:
        """`status` says how a device is now; `touch` is told of peers that are owed something."""
        self._status = status
        self._touch = touch
        self._wall_ns = wall_ns
        self._reactor: Reactor
        #: Kinds by peer and device. A device may come later.
        self._wanted: dict[str, dict[Peer, frozenset[DeviceEventKind]]] = {}
        #: Devices whose load is watched: what was told, and when to look again.
        self._loads: dict[str, tuple[_Load | None, float]] = {}
        self._timer = False

    def open(self, reactor: Reactor) -> None:
        """Begins to look at the time."""
        self._reactor = reactor

    def subscribe(self, peer: Peer, message: Subscribe) -> None:
        """Takes a client's wishes in the place of those before.

        Raises:
            WireError: too many at once.
        """
        if len(message.wanted) > MAX_ITEMS_PER_MESSAGE:
            raise WireError(
                f"events of {len(message.wanted)} devices are wanted; at most {MAX_ITEMS_PER_MESSAGE} may be"
            )
        self.forget(peer)
        for device, kinds in message.wanted:
            if kinds:
                self._wanted.setdefault(device, {})[peer] = frozenset(kinds)
                if DeviceEventKind.LOAD in kinds and device not in self._loads:
                    self._loads[device] = self._load(device), 0.0

    def forget(self, peer: Peer) -> None:
        """It is gone, or will say anew what it wants; with it go those that are closed."""
        for device, peers in list(self._wanted.items()):
            for gone in [other for other in peers if other is peer or other.closed]:
                del peers[gone]
            if not peers:
                del self._wanted[device]
            if not any(DeviceEventKind.LOAD in kinds for kinds in peers.values()):
                self._loads.pop(device, None)

    def tell(self, device: str, event: DeviceEvent) -> None:
        """Something happened to a device."""
        for peer, kinds in self._wanted.get(device, {}).items():
            if event.kind in kinds and not peer.closed:
                peer.tell(device, event)
                self._touch(peer)

    def look_at_loads(self) -> None:
        """Tells how loads changed that somebody watches; at the end of a turn."""
        if not self._loads:
            return
        now_s = self._reactor.now()
        soonest = None
        for device, (told, look_s) in self._loads.items():
            if now_s < look_s:
                soonest = look_s if soonest is None else min(soonest, look_s)
                continue
            found = self._load(device)
            if found is None or (told is not None and not found.differs(told)):
                self._loads[device] = told, now_s + LOOK_S
                continue
            self._loads[device] = found, now_s + LOAD_S
            message = f"{found.queued} tasks wait, {found.running} run"
            event = DeviceEvent(0, DeviceEventKind.LOAD, self._wall_ns(), message, figures=found.figures())
            self.tell(device, event)
        if soonest is not None and not self._timer:
            self._timer = True
            self._reactor.call_at(soonest, self._due)

    def _due(self) -> None:
        # The turn that this timer wakes ends with a look.
        self._timer = False

    def _load(self, device: str) -> _Load | None:
        status = self._status(device)
        return None if status is None else _Load(status.queued, status.running, status.wait_s)


def _differ(one: int, other: int) -> bool:
    return one != other and (not one or not other or abs(one - other) > NOTABLE * other)
