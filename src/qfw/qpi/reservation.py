"""Reservation: a share of a device that a session holds for a while."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from qfw.model.errors import ConnectionFailed, OptionError, UsageError
from qfw.model.reservation import Offer
from qfw.qpi.device import ASK_LIMIT_S, AutomaticDevice
from qfw.qpm.wire import Grant, Release, Renew, Reserve

if TYPE_CHECKING:
    from qfw.qpi.device import Device

#: Millionths of a whole device.
_WHOLE_PPM = 1_000_000


class Reservation:
    """Made by `Session.reserve`. A context manager: its end gives the share back."""

    def __init__(self, device: Device, grant: Grant, expires_at: float) -> None:
        """Of what was granted; `expires_at` is Unix time in seconds."""
        #: The device of which it holds a share.
        self.device = device
        #: Unique within the daemon.
        self.number = grant.number
        #: Rises with every owner of the device.
        self.epoch = grant.epoch
        #: What was granted, and what not.
        self.offer = grant.offer
        self._expires_at = expires_at
        self._released = False

    @property
    def share(self) -> float:
        """Part of the device's time, 0 to 1: what was granted, which may be less than was asked for."""
        return self.offer.share_ppm / _WHOLE_PPM

    @property
    def expires_at(self) -> float:
        """Unix time in seconds at which it ends unless it is renewed; no later than the daemon's own word."""
        return self._expires_at

    @property
    def released(self) -> bool:
        """Whether it was given back here."""
        return self._released

    def renew(self, lifetime_s: float = 600.0) -> None:
        """Lets it last so long from now.

        Raises:
            RequestError: it is over.
            OptionError: longer than `reservations.max_lifetime_s`.
            UsageError: it was released.
        """
        if self._released:
            raise UsageError(f"reservation {self.number} of {self.device.name} was released; reserve again")
        asked_s, lifetime_s = time.time(), _seconds("lifetime_s", lifetime_s)
        self.device.client.question(
            lambda request: Renew(request, self.number, lifetime_s),
            ASK_LIMIT_S,
            f"whether reservation {self.number} is renewed",
        )
        self._expires_at = asked_s + lifetime_s

    def release(self) -> None:
        """Gives it back. May be called twice, and when it is over."""
        if self._released:
            return
        self._released = True
        self.device.client.question(
            lambda request: Release(request, self.number),
            ASK_LIMIT_S,
            f"whether reservation {self.number} is released",
        )

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except (ConnectionFailed, UsageError):
            # It ended with the session.
            return

    def __repr__(self) -> str:
        return f"Reservation({self.device.name!r}, share={self.share:g}, number={self.number})"


def reserve(
    device: Device, share: float, burst_s: float, activation_s: float, lifetime_s: float
) -> Reservation:
    """See `Session.reserve`."""
    asked_s = time.time()
    grant = _ask(device, share, burst_s, activation_s, lifetime_s, False)
    return Reservation(device, grant, asked_s + lifetime_s)


def evaluate(device: Device, share: float, burst_s: float, activation_s: float, lifetime_s: float) -> Offer:
    """See `Session.evaluate`."""
    return _ask(device, share, burst_s, activation_s, lifetime_s, True).offer


def _ask(
    device: Device, share: float, burst_s: float, activation_s: float, lifetime_s: float, dry: bool
) -> Grant:
    if isinstance(device, AutomaticDevice):
        raise UsageError(f"{device.name} chooses a device for each task; reserve a share of one of those")
    share = _seconds("share", share)
    if not 0 < share <= 1:
        raise OptionError(f"share must be above 0 and at most 1, not {share!r}")
    share_ppm = max(1, round(share * _WHOLE_PPM))
    burst_s, activation_s = _seconds("burst_s", burst_s), _seconds("activation_s", activation_s)
    lifetime_s = _seconds("lifetime_s", lifetime_s)
    body = device.client.question(
        lambda request: Reserve(
            request, device.profile.name, share_ppm, burst_s, activation_s, lifetime_s, dry
        ),
        ASK_LIMIT_S,
        f"what it grants of {device.name}",
    )
    return msgspec.msgpack.decode(body, type=Grant)


def _seconds(name: str, value: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise OptionError(f"{name} must be a number of 0 or more, not {value!r}")
    return float(value)
