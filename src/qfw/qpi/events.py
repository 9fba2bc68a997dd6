"""EventQueue: what devices report of themselves, pushed by their daemons to whoever bound a queue."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from qfw.model.device import DeviceState
from qfw.model.errors import OptionError, QFwError, ResultTimeout, UsageError
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpi.device import AutomaticDevice
from qfw.qpi.hub import EventHub
from qfw.qpm import registry

if TYPE_CHECKING:
    from qfw.qpi.client import Client
    from qfw.qpi.device import Device

#: Hub of each connection that has queues, or had.
_hubs: weakref.WeakKeyDictionary[Client, EventHub] = weakref.WeakKeyDictionary()
_hubs_lock = threading.Lock()


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a device."""

    #: Name of the device in the session.
    device: str
    kind: DeviceEventKind
    #: Unix time of the device's own clock, in seconds (a twin's may be simulated).
    time_s: float
    message: str
    #: The state from then on; None where it did not change.
    state: DeviceState | None = None
    #: Version of the calibration from then on; empty where it did not change.
    calibration: str = ""
    #: When it is expected to be over, Unix time in seconds; None where nobody knows.
    until_s: float | None = None
    #: Named numbers: qubit, factor, queued, running, wait_s, share …
    figures: dict[str, float] = {}

    def __repr__(self) -> str:
        figures = "".join(f", {name}: {value:g}" for name, value in self.figures.items())
        return f"Event({self.device!r}; {self.kind}: {self.message}{figures})"


class EventQueue:
    """Events of one device, or of several, of certain kinds; bounded, the oldest go first.

    Events are pushed from the moment when it is bound; without a queue they are dropped. Nobody need poll: whoever
    waits in `get` reads the connection, and what arrives while others read it is queued. A context manager; its end
    ends the subscription.
    """

    def __init__(self, kinds: str | Iterable[str] | None = None, maxsize: int = 1024) -> None:
        """Bound to nothing yet: see `bind`, or `Device.event_queue`.

        Args:
            kinds: of `qfw.model.events.DeviceEventKind`; None: all.
            maxsize: events that it holds; where one more comes, the oldest goes and `missed` counts it.

        Raises:
            OptionError: an unknown kind (names the nearest), none at all, or a queue for less than one event.
        """
        if not isinstance(maxsize, int) or isinstance(maxsize, bool) or maxsize < 1:
            raise OptionError(f"maxsize must be a whole number of events, 1 or more, not {maxsize!r}")
        #: What it takes.
        self.kinds = _checked(kinds)
        self._maxsize = maxsize
        self._events: deque[Event] = deque()
        #: Events that were lost: they came when the queue was full, or this process did not read them in time. Those
        #: that the daemon dropped are counted in every queue of the session, since it does not say of which device.
        self.missed = 0
        # A signal handler may come while it is held.
        self._lock = threading.RLock()
        self._waiting: list[Callable[[Any], object]] = []
        self._devices: tuple[Device, ...] = ()
        #: Daemons that may still push something.
        self._clients: list[Client] = []
        #: How many wait without reading; how many wait and may read.
        self._idle_waiters = 0
        self._readers = 0
        self._closed = False
        self._error: QFwError | None = None

    @property
    def devices(self) -> tuple[Device, ...]:
        """What it is bound to."""
        return self._devices

    def bind(self, device: Device, *more: Device) -> EventQueue:
        """Binds it to a device, or to several, of the same session or others: from now on their events come.

        Raises:
            UsageError: it is bound already or closed; the device is the automatic one, or its session is closed.
        """
        devices = (device, *more)
        for one in devices:
            if isinstance(one, AutomaticDevice):
                raise UsageError(f"{one.name} chooses a device for each task; bind the queue to one of those")
            one.client.check()
        with self._lock:
            if self._closed:
                raise UsageError("this event queue is closed; make a new one")
            if self._devices:
                bound = ", ".join(one.name for one in self._devices)
                raise UsageError(f"this event queue is bound to {bound}; make another one for {device.name}")
            self._devices = devices
            self._clients = list(dict.fromkeys(one.client for one in devices))
        for client in list(self._clients):
            names = {one.profile.name: one.name for one in devices if one.client is client}
            try:
                _hub(client).add(self, names)
            except QFwError:
                self.close()
                raise
        return self

    # Taking ---------------------------------------------------------------------------------------

    def get(self, timeout: float | None = None) -> Event:
        """The next event; waits for it.

        Args:
            timeout: seconds; None: until one comes or none can come any more.

        Raises:
            ResultTimeout: none came in time.
            UsageError: the queue is closed or bound to nothing, or its session is closed and it is empty.
            DaemonLost: the daemon is gone, and all that came before was given.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            event = self._take()
            if event is not None:
                return event
            self._check()
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            # Not there, and in time: another thread took what came.
            if not self._wait(remaining) and deadline is not None and time.monotonic() >= deadline:
                raise self._late(timeout)

    def poll(self) -> Event | None:
        """The next event if one is there, or lies unread in the connection; does not wait."""
        event = self._take()
        if event is None:
            self._check()
            self._wait(0.0)
            event = self._take()
        return event

    def drain(self) -> list[Event]:
        """All events that are there, oldest first; does not wait."""
        found = []
        while (event := self.poll() if not self._ended else self._take()) is not None:
            found.append(event)
        return found

    def iterate(
        self, timeout: float | None = None, on_timeout: Literal["stop", "raise"] = "stop"
    ) -> Iterator[Event]:
        """Events as they come, until the queue is closed.

        Args:
            timeout: seconds that each may take; None: as long as it takes.
            on_timeout: what follows when one takes longer: the iteration stops, or ResultTimeout is raised.

        Raises:
            DaemonLost: the daemon is gone, and all that came before was given.
        """
        if on_timeout not in ("stop", "raise"):
            raise OptionError(f"on_timeout must be 'stop' or 'raise', not {on_timeout!r}")
        while not self._closed:
            try:
                event = self.get(timeout)
            except ResultTimeout:
                if on_timeout == "raise":
                    raise
                return
            except UsageError:
                if self._closed:
                    return
                raise
            yield event

    def __iter__(self) -> Iterator[Event]:
        return self.iterate()

    async def get_async(self, timeout: float | None = None) -> Event:
        """Like `get`, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            event = self._take()
            if event is not None:
                return event
            self._check()
            arrived = asyncio.Event()

            def wake(_: object, arrived: asyncio.Event = arrived) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(arrived.set)

            self.when_done(wake)
            self._want_reader()
            try:
                remaining = None if deadline is None else deadline - loop.time()
                await asyncio.wait_for(arrived.wait(), remaining)
            except TimeoutError:
                raise self._late(timeout) from None
            finally:
                self.forget(wake)
                self._want_no_reader()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not self._closed:
            try:
                event = await self.get_async()
            except UsageError:
                if self._closed:
                    return
                raise
            yield event

    def __len__(self) -> int:
        return len(self._events)

    def __bool__(self) -> bool:
        """True: an empty queue is one too."""
        return True

    def close(self) -> None:
        """Ends the subscription; who waits in `get` hears of it. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            clients, self._clients = self._clients, []
            self._events.clear()
        for client in clients:
            _hub(client).remove(self)
            client.need_no_reader(self)
        self._wake()
        if self._readers:
            for client in clients:
                _hub(client).nudge()

    def __enter__(self) -> EventQueue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(device.name for device in self._devices) or "nothing"
        return (
            f"EventQueue({names}: {', '.join(sorted(self.kinds))}; {len(self)} events, {self.missed} missed)"
        )

    # Waiting: it satisfies `qfw.qpi.question.Awaited` -----------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether who waits need not wait any more: an event is there, or none will come."""
        return bool(self._events) or self._ended

    def when_done(self, fn: Callable[[Any], object], /) -> None:
        """See Awaited."""
        with self._lock:
            if not self.settled:
                self._waiting.append(fn)
                return
        fn(self)

    def forget(self, fn: Callable[[Any], object], /) -> None:
        """See Awaited."""
        with self._lock:
            if fn in self._waiting:
                self._waiting.remove(fn)

    @property
    def _ended(self) -> bool:
        return self._closed or self._error is not None

    def _wait(self, timeout_s: float | None) -> bool:
        clients = self._clients
        if len(clients) == 1:
            with self._lock:
                self._readers += 1
            try:
                return clients[0].wait(self, timeout_s)
            finally:
                with self._lock:
                    self._readers -= 1
        if timeout_s == 0.0:
            return any(client.wait(self, 0.0) for client in list(clients))
        # Nobody can read several connections at once; their background threads do.
        arrived = threading.Event()

        def wake(_: object) -> None:
            arrived.set()

        self.when_done(wake)
        self._want_reader()
        try:
            arrived.wait(timeout_s)
        finally:
            self.forget(wake)
            self._want_no_reader()
        return self.settled

    def _want_reader(self) -> None:
        with self._lock:
            self._idle_waiters += 1
            clients = list(self._clients)
        for client in clients:
            client.need_reader(self)

    def _want_no_reader(self) -> None:
        with self._lock:
            self._idle_waiters -= 1
            clients = [] if self._idle_waiters else list(self._clients)
        for client in clients:
            client.need_no_reader(self)

    def _wake(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for fn in waiting:
            fn(self)

    # From the hub, on the thread that reads ---------------------------------------------------------

    def put(self, device: str, event: DeviceEvent) -> None:
        """For the hub: an event came; `device` is its name in the session."""
        if event.kind not in self.kinds:
            return
        with self._lock:
            if self._ended:
                return
            if len(self._events) >= self._maxsize:
                self._events.popleft()
                self.missed += 1
            self._events.append(_told(device, event))
        self._wake()

    def lost_some(self, count: int) -> None:
        """For the hub: the daemon dropped events, since nobody read them."""
        with self._lock:
            self.missed += count

    def over(self, client: Client, error: QFwError) -> None:
        """For the hub: a daemon pushes nothing any more."""
        with self._lock:
            if client not in self._clients:
                return
            self._clients.remove(client)
            if not self._clients:
                self._error = error
        client.need_no_reader(self)
        if self._clients:
            # The others go on; that these are silent is not to be overlooked.
            for device in self._devices:
                if device.client is client:
                    fault = DeviceEvent(
                        0, DeviceEventKind.FAULT, time.time_ns(), str(error), DeviceState.OFFLINE
                    )
                    self.put(device.name, fault)
        self._wake()

    def _take(self) -> Event | None:
        with self._lock:
            return self._events.popleft() if self._events else None

    def _check(self) -> None:
        """Raises why no event can come."""
        if self._closed:
            raise UsageError("this event queue is closed; make a new one")
        if not self._devices:
            raise UsageError("this event queue is bound to no device; call bind(device) first")
        if self._error is not None and not self._events:
            raise type(self._error)(*self._error.args)

    def _late(self, timeout: float | None) -> ResultTimeout:
        names = ", ".join(device.name for device in self._devices)
        return ResultTimeout(
            f"no event ({', '.join(sorted(self.kinds))}) of {names} came within {timeout:g} s"
        )


def _hub(client: Client) -> EventHub:
    with _hubs_lock:
        found = _hubs.get(client)
        if found is None:
            found = _hubs[client] = EventHub(client)
    return found


def _checked(kinds: str | Iterable[str] | None) -> frozenset[DeviceEventKind]:
    if kinds is None:
        return frozenset(DeviceEventKind)
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    known = [str(kind) for kind in DeviceEventKind]
    for name in names:
        if name not in known:
            raise OptionError(registry.unknown("kind of event", str(name), known))
    if not names:
        raise OptionError(f"an event queue needs kinds of events: {', '.join(known)}; None takes all")
    return frozenset(map(DeviceEventKind, names))


def _told(device: str, event: DeviceEvent) -> Event:
    return Event(
        device,
        event.kind,
        event.wall_ns / 1e9,
        event.message,
        event.state,
        event.calibration,
        event.until_ns / 1e9 if event.until_ns else None,
        dict(event.figures),
    )
