"""The devices that tasks are spread over: they come and go, and each has its load. What streams are bound to."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence

from qfw.model.device import DeviceStatus
from qfw.model.errors import DaemonLost, NoCapacity, QFwError, ResultTimeout, UsageError
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.qpi.balance import Kind, Track, choose
from qfw.qpi.device import AutomaticDevice, Device
from qfw.qpi.filters import check_able, none_able
from qfw.qpi.session import Session
from qfw.qpi.waits import Waits

#: Answers to "who can run this task" that are remembered.
REMEMBERED = 256
#: Seconds that a device which leaves has for what it was given.
DRAIN_LIMIT_S = 600.0

_Question = tuple[bytes, tuple[type[Output], ...], int, int, bool]


class Spread:
    """Devices of one session, and which of them a task goes to: a `qfw.qpi.placing.Ground`."""

    def __init__(self, devices: Iterable[Device]) -> None:
        """Of devices of one session.

        Raises:
            UsageError: no device, one twice, devices of different sessions, or the one that chooses for each task.
        """
        self._lock = threading.Lock()
        #: A task ended, or devices changed.
        self._changed = threading.Condition(self._lock)
        self._tracks: dict[Device, Track] = {}
        #: Devices that have left, and have something unanswered.
        self._leaving: dict[Device, Track] = {}
        self._wakes: list[Callable[[], None]] = []
        self._able: dict[_Question, list[Track]] = {}
        for device in devices:
            self._check(device)
            self._tracks[device] = Track(device)
        if not self._tracks:
            raise UsageError("a mesh has at least one device; none was given")
        self._session = next(iter(self._tracks)).session
        self._waits = Waits(weakref.ref(self))

    @property
    def session(self) -> Session:
        """The session of its devices."""
        return self._session

    @property
    def devices(self) -> list[Device]:
        """Its devices now, in the order in which they joined."""
        with self._lock:
            return list(self._tracks)

    # Devices come and go --------------------------------------------------------------------------

    def add(self, device: str | Device) -> Device:
        """A device joins; from now on it is given tasks.

        Raises:
            UsageError: it is here already, of another session, or no device of its own.
            UnknownDevice: there is none of this name.
        """
        self._session._check()
        found = self._session.resolve(device)
        with self._changed:
            self._check(found)
            track = self._leaving.pop(found, None)
            self._tracks[found] = track or Track(found)
            self._devices_changed()
        self._wake()
        return found

    def remove(
        self, device: str | Device, *, drain: bool = True, timeout: float | None = DRAIN_LIMIT_S
    ) -> None:
        """A device leaves: from now on it is given nothing.

        Returns when all that it was given is answered. The last one may leave: what comes later finds no device.

        Args:
            device: of this mesh.
            drain: it finishes what it was given; else that is cancelled.
            timeout: seconds to wait for that; None: as long as it takes, 0: not at all.

        Raises:
            UsageError: it is not here.
            ResultTimeout: it has not finished in time; it goes on and stays out.
        """
        self._session._check()
        end_s = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            found = self._here(device)
            track = self._tracks.pop(found)
            if track.in_flight:
                self._leaving[found] = track
            self._devices_changed()
            tasks = sorted(track.tasks)
        self._wake()
        if not drain and tasks:
            # A daemon that is gone has cancelled them already.
            with contextlib.suppress(DaemonLost):
                found.client.cancel(tasks)
        with self._changed:
            while found in self._leaving and timeout != 0:
                left_s = None if end_s is None else end_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise ResultTimeout(
                        f"{found.name} has {track.in_flight} tasks unanswered after {timeout:g} s; it finishes them, "
                        "and is given no others"
                    )
                self._changed.wait(left_s)

    def _check(self, device: Device) -> None:
        if not isinstance(device, Device):
            raise UsageError(f"a mesh is made of devices, not of {device!r}; Session.mesh takes names")
        if isinstance(device, AutomaticDevice):
            raise UsageError(f"{device.name} chooses among devices itself; put those into the mesh")
        for other in self._tracks:
            if other.session is not device.session:
                raise UsageError(
                    f"{device.name} and {other.name} are of different sessions; open one Session with both daemons"
                )
        if device in self._tracks:
            raise UsageError(f"{device.name} is in the mesh already")

    def _here(self, device: str | Device) -> Device:
        for found in self._tracks:
            if device is found or device == found.name:
                return found
        # NAME@DAEMON, where the device has a shorter name.
        if isinstance(device, str):
            same = self._session.catalogue.get(device)
            if same in self._tracks:
                return same
        name = device.name if isinstance(device, Device) else device
        raise UsageError(f"{name!r} is not in the mesh, which has {self._names()}")

    def _names(self) -> str:
        return ", ".join(device.name for device in self._tracks) or "no device any more"

    def _devices_changed(self) -> None:
        self._able.clear()
        self._changed.notify_all()

    # What streams ask: see `qfw.qpi.placing.Ground` -------------------------------------------------

    def place(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        sets: int,
        shots: int,
        lowered: bool,
        device: str | Device | None = None,
    ) -> Device | None:
        """See `Ground.place`."""
        # After a fork the lock may be held by a thread that does not exist here.
        self._session._check()
        self._waits.wanted()
        now_s = time.monotonic()
        with self._lock:
            if not self._tracks:
                raise UsageError("every device has left the mesh; add one")
            if device is not None:
                track = self._tracks[self._here(device)]
                check_able(track.device.profile, program, outputs, sets, shots, lowered)
                track.device.client.check()
                candidates = [track]
            else:
                candidates = self._reached(self._able_to(program, outputs, sets, shots, lowered))
            chosen = choose(candidates, Kind(program.digest, sets, shots), now_s)
            return chosen.device if chosen is not None else None

    def when_room(self, wake: Callable[[], None]) -> None:
        """See `Ground.when_room`."""
        with self._lock:
            self._wakes.append(wake)

    def began(
        self, device: Device, sets: int, shots: int, program: Program | None = None, task: int = 0
    ) -> None:
        """See `Ground.began`."""
        with self._changed:
            track = self._tracks.get(device) or self._leaving.get(device)
            if track is None:
                # It left between place and here: it finishes this too.
                track = self._leaving[device] = Track(device)
            track.began(task)

    def named(self, device: Device, task: int) -> None:
        """See `Ground.named`."""
        with self._lock:
            track = self._tracks.get(device) or self._leaving.get(device)
            if track is not None:
                track.tasks.add(task)

    def ended(
        self,
        device: Device,
        sets: int,
        shots: int,
        took_s: float | None,
        program: Program | None = None,
        task: int = 0,
    ) -> None:
        """See `Ground.ended`."""
        kind = Kind(program.digest, sets, shots) if program is not None else None
        with self._changed:
            track = self._tracks.get(device) or self._leaving.get(device)
            if track is not None:
                track.ended(kind, took_s, task)
                if device in self._leaving and not track.in_flight:
                    del self._leaving[device]
                self._changed.notify_all()
        self._wake()

    def again(self, device: Device, error: BaseException) -> bool:
        """See `Ground.again`."""
        if not isinstance(error, NoCapacity):
            return False
        now_s = time.monotonic()
        with self._lock:
            track = self._tracks.get(device)
            if track is None:
                return bool(self._tracks)
            track.refused(error.retry_after_s, now_s)
            return any(not other.away(now_s) for other in self._tracks.values())

    def _wake(self) -> None:
        with self._lock:
            wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()

    def _able_to(
        self, program: Program, outputs: tuple[Output, ...], sets: int, shots: int, lowered: bool
    ) -> list[Track]:
        key = (program.digest, tuple(map(type, outputs)), sets, shots, lowered)
        found = self._able.get(key)
        if found is None:
            found, reasons = [], []
            for device, track in self._tracks.items():
                try:
                    check_able(device.profile, program, outputs, sets, shots, lowered)
                    found.append(track)
                except QFwError as error:
                    reasons.append((device.name, error))
            if not found:
                raise none_able(reasons)
            if len(self._able) >= REMEMBERED:
                self._able.clear()
            self._able[key] = found
        return found

    def _reached(self, tracks: Sequence[Track]) -> list[Track]:
        """Those whose daemon is there; where none is, the error of the first."""
        found = [track for track in tracks if not track.device.client.lost]
        if not found:
            tracks[0].device.client.check()
        return found or list(tracks)

    def _seen(self, device: Device, status: DeviceStatus) -> None:
        """For `Waits`: what a daemon says of a device now."""
        with self._changed:
            track = self._tracks.get(device)
            if track is not None:
                track.seen(status, time.monotonic())

    def _busy(self) -> bool:
        """For `Waits`: whether something is under way."""
        with self._lock:
            return any(track.in_flight for track in self._tracks.values())
