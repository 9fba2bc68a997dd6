"""EventHub: the queues of one connection, and the one subscription that follows them."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

from qfw.model.errors import NoCapacity, QFwError, UsageError
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpm.wire import MAX_ITEMS_PER_MESSAGE, DeviceEvents, Query, Subscribe

if TYPE_CHECKING:
    from qfw.qpi.client import Client


class Listener(Protocol):
    """A queue, as the hub knows it."""

    #: What it takes.
    kinds: frozenset[DeviceEventKind]

    def put(self, device: str, event: DeviceEvent) -> None:
        """An event came; `device` is its name in the session."""
        ...

    def lost_some(self, count: int) -> None:
        """The daemon dropped events."""
        ...

    def over(self, client: Client, error: QFwError) -> None:
        """Nothing comes any more."""
        ...


class EventHub:
    """Gives each event to the queues of its device; asks the daemon for the union of what they take."""

    def __init__(self, client: Client) -> None:
        """Without queues."""
        # The client keeps its hub, through the listeners; a reference back would keep both for ever.
        self._client = weakref.ref(client)
        #: Subscriptions are sent in order under the first; the second is never held while anything else is called.
        self._posting = threading.RLock()
        self._lock = threading.RLock()
        #: Names in the session by the daemon's names, for each queue.
        self._queues: dict[Listener, dict[str, str]] = {}
        self._error: QFwError | None = None
        client.hear(DeviceEvents, self._heard)
        client.when_over(self._over)

    def add(self, queue: Listener, names: dict[str, str]) -> None:
        """A queue takes events from now on.

        Args:
            queue: of certain kinds.
            names: what the session calls the devices, by what the daemon does.

        Raises:
            UsageError, DaemonLost: nothing can come any more.
            NoCapacity: events of too many devices are wanted.
        """
        with self._posting:
            with self._lock:
                watched = {name for other in self._queues.values() for name in other} | set(names)
                if len(watched) > MAX_ITEMS_PER_MESSAGE:
                    raise NoCapacity(
                        f"events of {len(watched)} devices of one daemon are wanted; {MAX_ITEMS_PER_MESSAGE} may be. "
                        "Close some queues"
                    )
                self._queues[queue] = names
            self._post()

    def remove(self, queue: Listener) -> None:
        """A queue takes nothing any more. No error if it is gone."""
        with self._posting:
            with self._lock:
                if self._queues.pop(queue, None) is None or self._error is not None:
                    return
            # Where nothing can be sent, nothing comes either.
            with contextlib.suppress(QFwError):
                self._post()

    def nudge(self) -> None:
        """Lets the daemon say something: whoever reads the connection looks whether it is still to wait."""
        client = self._client()
        if client is not None:
            # A reply to what nobody asked is passed over.
            with contextlib.suppress(QFwError):
                client.post(Query(0, "counters"))

    def _post(self) -> None:
        client = self._client()
        if client is None:
            return
        union: dict[str, set[DeviceEventKind]] = {}
        with self._lock:
            for queue, names in self._queues.items():
                for name in names:
                    union.setdefault(name, set()).update(queue.kinds)
        client.post(Subscribe([(name, sorted(kinds)) for name, kinds in union.items()]))

    def _heard(self, message: DeviceEvents) -> None:
        with self._lock:
            queues = list(self._queues.items())
        for queue, names in queues:
            if message.missed:
                queue.lost_some(message.missed)
            for name, event in message.events:
                device = names.get(name)
                if device is not None:
                    queue.put(device, event)

    def _over(self, error: QFwError) -> None:
        if isinstance(error, UsageError):
            error = UsageError("the session was closed: no more events come")
        with self._lock:
            self._error = error
            queues = list(self._queues)
        client = self._client()
        if client is not None:
            for queue in queues:
                queue.over(client, error)
