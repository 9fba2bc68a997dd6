"""Checks of soft reservations."""

from __future__ import annotations

import msgspec

from qfw.model.errors import NoCapacity, RequestError, StaleEpoch, UnsupportedFeature
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.platform import RESOURCES
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, NotApplicable, expect, refused

checks: Checks[Bench] = Checks()
check = checks.check


def _request(bench: Bench, **fields: object) -> ReservationRequest:
    asked = {
        "share_ppm": 200_000,
        "burst_s": 1.0,
        "activation_s": 0.0,
        "lifetime_s": 60.0,
        "epoch": 1,
        **fields,
    }
    return ReservationRequest(number=bench.stand.number(), **asked)  # type: ignore[arg-type]


def _offered(bench: Bench, request: ReservationRequest) -> Offer:
    return bench.stand.booked("evaluate", bench.platform.evaluate, bench.name, request)


def _reserved(bench: Bench) -> ReservationRequest:
    """A reservation that was granted."""
    request = _request(bench)
    if not _offered(bench, request).share_ppm:
        raise NotApplicable("it takes no reservations, and says so; reservations.refused looks at that")
    bench.stand.booked("reserve", bench.platform.reserve, bench.name, request)
    return request


@check(
    "reservations.evaluate",
    "An offer is not more than was asked for, and says why where it is less.",
    "Reservations",
)
def _evaluate(bench: Bench) -> None:
    bench.facet(RESOURCES)
    request = _request(bench)
    offer = _offered(bench, request)
    expect(0 <= offer.share_ppm <= request.share_ppm, f"0 to {request.share_ppm}", offer.share_ppm)
    expect(offer.bound_s is None or offer.bound_s >= 0, "a bound of 0 or more, or none", offer.bound_s)
    expect(offer.share_ppm == request.share_ppm or offer.reason, "why it is less", offer)


@check(
    "reservations.evaluate_changes_nothing",
    "To evaluate a request again gives the same offer.",
    "Reservations",
)
def _evaluate_again(bench: Bench) -> None:
    request = _request(bench)
    offers = [_offered(bench, request) for _ in range(3)]
    shares = {offer.share_ppm for offer in offers}
    expect(len(shares) == 1, "one offer", offers)


@check(
    "reservations.refused",
    "Where nothing can be granted, a reservation is refused: UnsupportedFeature or NoCapacity.",
    "Reservations",
)
def _reserve_refused(bench: Bench) -> None:
    request = _request(bench)
    if _offered(bench, request).share_ppm:
        raise NotApplicable("it takes reservations")
    with refused(UnsupportedFeature, NoCapacity, what="a reservation of which nothing was offered"):
        bench.stand.booked("reserve", bench.platform.reserve, bench.name, request)


@check(
    "reservations.granted",
    "A reservation is granted as it was offered, at most as it was asked for.",
    "Reservations",
)
def _granted(bench: Bench) -> None:
    request = _reserved(bench)
    again = bench.stand.booked("reserve", bench.platform.reserve, bench.name, request)
    expect(0 < again.share_ppm <= request.share_ppm, "the same again", again)
    bench.stand.booked("release", bench.platform.release, bench.name, request.number, 1)


@check("reservations.too_much", "More than the whole device is never granted.", "Reservations")
def _too_much(bench: Bench) -> None:
    held = []
    total = 0
    try:
        for _ in range(8):
            request = _request(bench, share_ppm=300_000)
            if not _offered(bench, request).share_ppm:
                break
            offer = bench.stand.booked("reserve", bench.platform.reserve, bench.name, request)
            held.append(request.number)
            total += offer.share_ppm
    except (NoCapacity, UnsupportedFeature):
        pass
    finally:
        for number in held:
            bench.stand.booked("release", bench.platform.release, bench.name, number, 1)
    if not held:
        raise NotApplicable("it takes no reservations, and says so; reservations.refused looks at that")
    expect(total <= 1_000_000, "1000000 ppm at most", total)


@check(
    "reservations.renewed",
    "A reservation can be renewed; one that there is not cannot: RequestError.",
    "Reservations",
)
def _renewed(bench: Bench) -> None:
    request = _reserved(bench)
    bench.stand.booked("renew", bench.platform.renew, bench.name, request.number, 1, 30.0)
    bench.stand.booked("release", bench.platform.release, bench.name, request.number, 1)
    with refused(RequestError, what="renewal of a reservation that was released"):
        bench.stand.booked("renew", bench.platform.renew, bench.name, request.number, 1, 30.0)


@check(
    "reservations.fenced",
    "An owner of an older epoch renews and releases nothing: StaleEpoch.",
    "Reservations",
)
def _fenced(bench: Bench) -> None:
    request = _reserved(bench)
    later = msgspec.structs.replace(request, epoch=2)
    bench.stand.booked("reserve", bench.platform.reserve, bench.name, later)
    with refused(StaleEpoch, what="renewal with an older epoch"):
        bench.stand.booked("renew", bench.platform.renew, bench.name, request.number, 1, 30.0)
    with refused(StaleEpoch, what="release with an older epoch"):
        bench.stand.booked("release", bench.platform.release, bench.name, request.number, 1)
    bench.stand.booked("release", bench.platform.release, bench.name, request.number, 2)


@check("reservations.released", "To release what is gone is no error.", "Reservations")
def _released(bench: Bench) -> None:
    for _ in range(2):
        bench.stand.booked("release", bench.platform.release, bench.name, bench.stand.number(), 1)


@check("reservations.unknown_renewal", "To renew what was never reserved is refused, typed.", "Reservations")
def _unknown_renewal(bench: Bench) -> None:
    with refused(RequestError, UnsupportedFeature, what="renewal of what was never reserved"):
        bench.stand.booked("renew", bench.platform.renew, bench.name, bench.stand.number(), 1, 30.0)
