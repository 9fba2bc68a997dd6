"""Reservations as an application has them, with a real daemon."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.model.errors import (
    NoCapacity,
    OptionError,
    RequestError,
    UnknownDevice,
    UnsupportedFeature,
    UsageError,
)
from qfw.model.events import ReservationEnded, TaskStarted
from qfw.model.task import task_session
from qfw.qpi import Session
from tests.stack import LIMIT_S, Z0, events_of, long_program, runtime_folder, until


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with runtime_folder() as made:
        (made / "settings.toml").write_text('engines = ["reference"]\nworkers.count = 1\n')
        yield made


@pytest.fixture
def session(place: Path) -> Iterator[Session]:
    with Session(runtime_folder=place, config=place / "settings.toml") as opened:
        yield opened


def test_its_life(session: Session) -> None:
    device = session.device("reference")
    with device.event_queue("reservation") as events:
        offer = session.evaluate(device, 0.6)
        assert (offer.share_ppm, offer.bound_s) == (600_000, None)
        before_s = time.time()
        with session.reserve("reference", 0.6, lifetime_s=50) as reservation:
            assert reservation.share == 0.6 and reservation.device is device
            assert before_s + 50 <= reservation.expires_at <= time.time() + 50
            assert "no bound" in reservation.offer.reason
            reservation.renew(90)
            assert reservation.expires_at >= before_s + 90
            assert session.evaluate(device, 0.6).share_ppm == 200_000
            with pytest.raises(NoCapacity, match=r"0\.2 is free") as full:
                session.reserve(device, 0.3)
            assert full.value.retry_after_s == pytest.approx(90, abs=15)
        assert reservation.released
        reservation.release()
        with pytest.raises(UsageError, match="released"):
            reservation.renew()
        told = [events.get(LIMIT_S) for _ in range(3)]
    assert [event.message.split(":")[0].split()[-1] for event in told] == ["granted", "renewed", "ended"]
    assert told[0].figures == {"number": float(reservation.number), "share": 0.6}


def test_it_ends_by_itself(session: Session) -> None:
    device = session.device("reference")
    with device.event_queue("reservation") as events:
        reservation = session.reserve(device, 0.5, lifetime_s=0.2)
        while "not renewed in time" not in events.get(LIMIT_S).message:
            continue
        with pytest.raises(RequestError, match="it is over"):
            reservation.renew(10)
        # No error: it is what was wanted.
        reservation.release()


def test_it_ends_with_its_session(place: Path, session: Session) -> None:
    with Session(runtime_folder=place) as other, other.reserve("reference", 0.5) as reservation:
        other.close()
    until(
        lambda: any(
            isinstance(event, ReservationEnded)
            and event.number == reservation.number
            and "session ended" in event.reason
            for event in events_of(place)
        ),
        "the end of a reservation",
    )
    session.reserve("reference", 0.8).release()


def test_what_cannot_be_reserved(session: Session) -> None:
    for share in (0, -0.1, 1.1, "half", True, float("nan")):
        with pytest.raises(OptionError, match="share"):
            session.reserve("reference", share)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"at most 0\.8"):
        session.reserve("reference", 0.9)
    with pytest.raises(OptionError, match="max_lifetime_s"):
        session.reserve("reference", 0.1, lifetime_s=5000)
    with pytest.raises(OptionError, match="burst_s"):
        session.evaluate("reference", 0.1, burst_s=-1)
    with pytest.raises(UnsupportedFeature, match="activation_s=0"):
        session.reserve("reference", 0.1, activation_s=1)
    with pytest.raises(UnknownDevice):
        session.reserve("nobody", 0.1)


def test_the_share_beside_greedy_sessions(place: Path, session: Session) -> None:
    """0.6 of one worker, beside three that always have tasks, all alike."""
    others = [Session(runtime_folder=place) for _ in range(3)]
    program, tasks = long_program(), 150
    try:
        with session.reserve("reference", 0.6):
            warm = session.device("reference").stream().run(program, [0.1], outputs=Z0)
            warm.result(LIMIT_S)
            for one in (*others, session):
                for _ in range(tasks):
                    one.device("reference").stream().run(program, [0.1], outputs=Z0)
            numbers = {one.client.welcome.session for one in (*others, session)}
            mine = session.client.welcome.session

            def started() -> list[int]:
                found = [task_session(e.task) for e in events_of(place) if isinstance(e, TaskStarted)]
                # From when all had tasks waiting: the first starts are those of who came first.
                return [number for number in found if number in numbers][40:]

            until(lambda: started().count(mine) >= 80, "starts")
            found = started()
            counts = Counter(found[: found.index(mine) + 1 + 120])
    finally:
        for one in others:
            one.close()
    total = sum(counts.values())
    assert counts[mine] / total == pytest.approx(0.6, abs=0.04)
    for one in others:
        assert counts[one.client.welcome.session] / total == pytest.approx(0.4 / 3, abs=0.04)
