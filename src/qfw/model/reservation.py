"""Soft reservations: what somebody asks for, and what a platform would grant of it."""

from __future__ import annotations

import msgspec


class ReservationRequest(msgspec.Struct, frozen=True, array_like=True):
    """A soft reservation that somebody asks for (CREDITS: share, burst, activation, time to live)."""

    #: Unique within the daemon.
    number: int
    #: Part of the device's time, in millionths.
    share_ppm: int
    #: Device-seconds that may be in flight at once.
    burst_s: float
    #: From the request to the first start, at most, in seconds; 0: no bound is asked for.
    activation_s: float
    #: Seconds that it lasts unless it is renewed.
    lifetime_s: float
    #: Rises with every owner; a renewal or release with an older one is refused with StaleEpoch.
    epoch: int


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """What a platform would grant of a request, now."""

    share_ppm: int
    #: Seconds within which it would begin; None: it cannot promise any bound ("unbounded").
    bound_s: float | None
    #: Why it is less than was asked for; empty where it is not.
    reason: str = ""
