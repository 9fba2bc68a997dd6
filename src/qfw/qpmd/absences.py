"""Devices that say that they are offline: what waits for them fails after a while, and does not wait for ever."""

from __future__ import annotations

from collections.abc import Callable

from qfw.model.device import DeviceState
from qfw.model.errors import ErrorReport, NoCapacity
from qfw.qpm.platform import Reactor
from qfw.qpmd.state import DaemonState

#: States that do not end an absence: one that comes up and goes again has not been there.
_AWAY = (DeviceState.OFFLINE, DeviceState.STARTING)


class Absences:
    """Since when devices are offline. One that its platform gave up is no matter of this: its tasks failed at once."""

    def __init__(
        self, state: DaemonState, limit_s: float, fail_waiting: Callable[[str, ErrorReport], None]
    ) -> None:
        """`limit_s`: seconds that tasks wait for such a device; then `fail_waiting` ends them."""
        self._state = state
        self._limit_s = limit_s
        self._fail_waiting = fail_waiting
        self._reactor: Reactor
        self._since_s: dict[str, float] = {}
        #: Devices that a timer will look at; one each, however often they come and go.
        self._timed: set[str] = set()

    def open(self, reactor: Reactor) -> None:
        """Begins to look at the time."""
        self._reactor = reactor

    def note(self, device: str) -> None:
        """A device said something, which is in the state already."""
        entry = self._state.devices[device]
        if entry.given_up or entry.state not in _AWAY:
            self._since_s.pop(device, None)
        elif entry.state is DeviceState.OFFLINE and device not in self._since_s:
            since_s = self._since_s[device] = self._reactor.now()
            self._look_at(device, since_s + self._limit_s)

    def _look_at(self, device: str, when_s: float) -> None:
        if device not in self._timed:
            self._timed.add(device)
            self._reactor.call_at(when_s, lambda: self._look(device))

    def _look(self, device: str) -> None:
        self._timed.discard(device)
        since_s, now_s = self._since_s.get(device), self._reactor.now()
        if since_s is None:
            return
        if now_s - since_s < self._limit_s:
            self._look_at(device, since_s + self._limit_s)
            return
        reason = self._state.devices[device].reason
        error = NoCapacity(
            f"device {device} has been offline for {now_s - since_s:.0f} s ({reason or 'its platform says so'}); tasks "
            f"wait {self._limit_s:g} s for it (scheduling.offline_limit_s). Send them again when it is back, or to "
            f"another device"
        )
        self._fail_waiting(device, ErrorReport.of(error))
        # What ran on it may wait again later.
        self._look_at(device, now_s + self._limit_s)
