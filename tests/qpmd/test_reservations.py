"""Reservations in the daemon: what is granted, what is refused and why, and how they end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.settings import JournalSettings, ReservationSettings, Settings
from qfw.model.device import DeviceState
from qfw.model.errors import NoCapacity, RequestError
from qfw.model.events import DeviceEventKind, ReservationEnded, ReservationGranted, TaskAccepted
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.journal import read
from qfw.qpm.wire import Grant, NativeAnswer, Release, Renew, Reserve, Subscribe
from qfw.qpmd.state import DaemonState
from tests.qpmd.conftest import SETTINGS, Bench
from tests.qpmd.test_devices import Said
from tests.qpmd.test_subscriptions import events
from tests.stack import FakePlatform


class Asking:
    """Clients of a bench that ask about reservations."""

    def __init__(self, bench: Bench, *sessions: int) -> None:
        self.bench = bench
        self.requests = itertools.count(1)
        for session in sessions:
            bench.open(session)
        bench.turn()

    def send(self, session: int, kind: Any, *fields: Any, **more: Any) -> int:
        request = next(self.requests)
        self.bench.core.request(self.bench.clients[session][0], kind(request, *fields, **more))
        return request

    def __call__(self, session: int, kind: Any, *fields: Any, **more: Any) -> Any:
        """The answer of the same turn: a Grant, None, or the code and message of an error."""
        request = self.send(session, kind, *fields, **more)
        return self.found(self.bench.turn(), session, request)

    def found(self, said: dict[int, list[Any]], session: int, request: int) -> Any:
        (answer,) = [
            message
            for message in said.get(session, ())
            if isinstance(message, NativeAnswer) and message.request == request
        ]
        if answer.error is not None:
            return answer.error.code, answer.error.message
        return msgspec.msgpack.decode(answer.body, type=Grant) if answer.body else None

    def reserve(self, session: int, share_ppm: int, lifetime_s: float = 60.0, **more: Any) -> Any:
        return self(session, Reserve, "fake", share_ppm, 0.0, 0.0, lifetime_s, **more)


@pytest.fixture
def ask(bench: Bench) -> Asking:
    return Asking(bench, 1, 2)


def recorded(bench: Bench) -> list[ReservationGranted | ReservationEnded]:
    return [e for e in read(bench.folder) if isinstance(e, (ReservationGranted, ReservationEnded))]


def test_granted_renewed_released(bench: Bench, ask: Asking) -> None:
    bench.core.request(bench.clients[2][0], Subscribe([("fake", [DeviceEventKind.RESERVATION])]))
    request = ask.send(1, Reserve, "fake", 500_000, 0.0, 0.0, 60.0)
    said = bench.turn()
    grant = ask.found(said, 1, request)
    assert (grant.number, grant.epoch, grant.offer.share_ppm, grant.offer.bound_s) == (1, 1, 500_000, None)
    assert "no bound on waiting" in grant.offer.reason
    (told,) = events(said, 2)
    assert told.kind == "reservation" and dict(told.figures) == {"number": 1.0, "share": 0.5}
    bench.reactor.pass_s(50.0)
    assert ask(1, Renew, 1, 100.0).number == 1
    bench.reactor.pass_s(50.0)
    bench.turn()
    assert list(bench.core.state.reservations) == [1]
    assert ask(1, Release, 1) is None and ask(1, Release, 1) is None
    assert not bench.core.state.reservations
    assert [type(event).__name__ for event in recorded(bench)] == [
        "ReservationGranted",
        "ReservationGranted",
        "ReservationEnded",
    ]
    assert ask(1, Renew, 1, 10.0)[0] == "RequestError"
    # The next owner is another one, for whoever fences.
    assert ask.reserve(2, 300_000).epoch == 2
    assert bench.replayed() == bench.core.state


def test_it_ends_by_itself(bench: Bench, ask: Asking) -> None:
    ask.reserve(1, 500_000, lifetime_s=60.0)
    # A renewal may be for shorter.
    ask(1, Renew, 1, 10.0)
    bench.reactor.pass_s(9.0)
    bench.turn()
    assert bench.core.state.reservations
    bench.reactor.pass_s(1.5)
    bench.turn()
    assert not bench.core.state.reservations
    assert "not renewed in time" in recorded(bench)[-1].reason
    bench.reactor.pass_s(100.0)
    assert len(recorded(bench)) == 3


def test_it_ends_with_its_session(bench: Bench, ask: Asking) -> None:
    ask.reserve(1, 500_000)
    ask.reserve(2, 300_000)
    bench.close(1)
    bench.turn()
    assert [held.session for held in bench.core.state.reservations.values()] == [2]
    assert ask.reserve(2, 500_000).offer.share_ppm == 500_000


def test_it_ends_with_its_device(bench: Bench, ask: Asking) -> None:
    ask.reserve(1, 500_000)
    bench.platform.names = ("other",)
    bench.core.reports.devices_changed("fakes")
    bench.turn()
    assert not bench.core.state.reservations
    assert "gone" in recorded(bench)[-1].reason


def test_shares_add_up_to_what_may_be_reserved(bench: Bench, ask: Asking) -> None:
    ask.reserve(1, 500_000, lifetime_s=60.0)
    code, message = ask.reserve(2, 400_000)
    assert code == "NoCapacity" and "0.3 is free, of 0.8" in message
    offer = ask.reserve(2, 400_000, dry=True).offer
    assert offer.share_ppm == 300_000 and "no more is free" in offer.reason
    assert ask.reserve(2, 300_000).offer.share_ppm == 300_000
    assert ask.reserve(2, 1)[0] == "NoCapacity"
    assert ask.reserve(2, 200_000, dry=True).offer.share_ppm == 0
    assert len(bench.core.state.reservations) == 2
    code, message = ask.reserve(2, 900_000)
    assert code == "OptionError" and "at most 0.8" in message


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        (("fake", 0, 0.0, 0.0, 60.0), "OptionError", "above 0"),
        (("fake", -5, 0.0, 0.0, 60.0), "OptionError", "above 0"),
        (("fake", 100, -1.0, 0.0, 60.0), "OptionError", "burst"),
        (("fake", 100, float("nan"), 0.0, 60.0), "OptionError", "burst"),
        (("fake", 100, 0.0, 5.0, 60.0), "UnsupportedFeature", "activation_s=0"),
        (("fake", 100, 0.0, 0.0, 0.0), "OptionError", "lifetime"),
        (("fake", 100, 0.0, 0.0, 1e9), "OptionError", "max_lifetime_s"),
        (("fake", 100, 0.0, 0.0, float("nan")), "OptionError", "lifetime"),
        (("feke", 100, 0.0, 0.0, 60.0), "UnknownDevice", "did you mean 'fake'"),
    ],
)
def test_what_cannot_be_asked(ask: Asking, fields: Any, code: str, says: str) -> None:
    for dry in (False, True):
        found, message = ask(1, Reserve, *fields, dry=dry)
        assert found == code and says in message
    assert not ask.bench.core.state.reservations


def test_a_device_that_takes_no_tasks_is_not_reserved(bench: Bench, ask: Asking) -> None:
    Said(bench)(DeviceState.OFFLINE)
    assert ask.reserve(1, 100)[0] == "NoCapacity"


def test_others_leave_it_alone(bench: Bench, ask: Asking) -> None:
    ask.reserve(1, 500_000)
    assert ask(2, Renew, 1, 10.0)[0] == "RequestError"
    assert ask(2, Release, 1)[0] == "NotAllowed"
    assert list(bench.core.state.reservations) == [1]


def test_so_many_of_one_session(bench: Bench, ask: Asking) -> None:
    for _ in range(64):
        assert isinstance(ask.reserve(1, 10), Grant)
    code, message = ask.reserve(1, 10)
    assert code == "NoCapacity" and "Give one back" in message


def test_a_new_segment_says_them_again(tmp_path: Path) -> None:
    settings = Settings(journal=JournalSettings(segment_bytes=4096, retain_bytes=4096))
    bench = Bench(tmp_path / "journal", settings=settings)
    ask = Asking(bench, 1, 2)
    ask.reserve(1, 500_000)
    for sequence in range(1, 200):
        bench.submit(2, sequence)
        bench.turn()
        bench.core.ends.cancel(next(iter(bench.core.state.tasks)), "test")
        bench.turn()
    kept = list(read(bench.folder))
    # The segment in which it was granted is gone.
    assert sum(isinstance(event, TaskAccepted) for event in kept) < 199
    assert DaemonState.replay(kept).reservations == bench.core.state.reservations != {}
    bench.dispose()


def test_the_scheduler_keeps_the_share(bench: Bench, ask: Asking) -> None:
    ask.reserve(1, 750_000)
    bench.ready("w")
    for session in (1, 2):
        bench.submit(session, *range(1, 51))
    starts = []
    for _ in range(40):
        bench.turn()
        starts.append(bench.answer("w") >> 32)
    assert 28 <= starts.count(1) <= 32


class Choosy(FakePlatform):
    """Takes reservations, half of what is asked for, and answers a question the second time that it is asked."""

    def __init__(self) -> None:
        super().__init__("fake")
        self.asked: set[tuple[str, int, float]] = set()
        self.silent = False
        self.held: dict[int, ReservationRequest] = {}
        self.released: list[tuple[int, int]] = []
        self.full = False

    def _later(self, verb: str, number: int, lifetime_s: float = 0.0) -> None:
        key = verb, number, lifetime_s
        if self.silent or key not in self.asked:
            self.asked.add(key)
            error = NoCapacity("asked")
            error.retry_after_s = 0.05
            raise error

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        self._later("evaluate", request.number)
        return Offer(request.share_ppm // 2, 1.5, "half is taken")

    def reserve(self, device: str, request: ReservationRequest) -> Offer:
        self._later("reserve", request.number)
        if self.full:
            raise NoCapacity("all is taken")
        self.held[request.number] = request
        return Offer(request.share_ppm // 2, 1.5, "half is taken")

    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        self._later("renew", number, lifetime_s)
        if number not in self.held:
            raise RequestError("there is none")

    def release(self, device: str, number: int, epoch: int) -> None:
        self._later("release", number)
        self.held.pop(number, None)
        self.released.append((number, epoch))


class Choosing:
    """A bench whose platform decides itself."""

    def __init__(self, folder: Path) -> None:
        self.platform = Choosy()
        self.bench = Bench(folder, platform=self.platform)
        self.ask = Asking(self.bench, 1, 2)

    def later(self, session: int, request: int, seconds: float = 0.06) -> Any:
        self.bench.turn()
        self.bench.reactor.pass_s(seconds)
        return self.ask.found(self.bench.turn(), session, request)


@pytest.fixture
def choosing(tmp_path: Path) -> Iterator[Choosing]:
    made = Choosing(tmp_path / "journal")
    yield made
    made.bench.dispose()


RESERVE = ("fake", 400_000, 0.0, 0.0, 60.0)


def test_its_platform_decides_first(choosing: Choosing) -> None:
    ask, bench = choosing.ask, choosing.bench
    offer = choosing.later(1, ask.send(1, Reserve, *RESERVE, dry=True)).offer
    assert (offer.share_ppm, offer.bound_s) == (200_000, None) and "half is taken" in offer.reason
    grant = choosing.later(1, ask.send(1, Reserve, *RESERVE))
    assert grant.offer.share_ppm == 200_000 and "half is taken" in grant.offer.reason
    assert bench.core.state.reservations[grant.number].share_ppm == 200_000
    assert choosing.platform.held[grant.number].epoch == grant.epoch
    assert choosing.later(1, ask.send(1, Renew, grant.number, 90.0)).number == grant.number
    assert ask(1, Release, grant.number) is None
    bench.reactor.pass_s(0.06)
    assert choosing.platform.released == [(grant.number, grant.epoch)]


def test_what_it_is_asked_for_is_not_given_twice(choosing: Choosing) -> None:
    """Two ask at once for more than there is; the first has not been answered yet."""
    ask = choosing.ask
    first = ask.send(1, Reserve, "fake", 500_000, 0.0, 0.0, 60.0)
    code, _ = ask(2, Reserve, "fake", 500_000, 0.0, 0.0, 60.0)
    assert code == "NoCapacity"
    choosing.bench.reactor.pass_s(0.06)
    assert ask.found(choosing.bench.turn(), 1, first).offer.share_ppm == 250_000


def test_its_refusal_is_the_answer(choosing: Choosing) -> None:
    choosing.platform.full = True
    code, message = choosing.later(1, choosing.ask.send(1, Reserve, *RESERVE))
    assert code == "NoCapacity" and message == "all is taken"
    assert not choosing.bench.core.state.reservations and not choosing.bench.core._reservations._asked


def test_a_platform_that_does_not_answer(choosing: Choosing) -> None:
    choosing.platform.silent = True
    request = choosing.ask.send(1, Reserve, *RESERVE)
    for _ in range(3):
        choosing.bench.reactor.pass_s(3.0)
    code, message = choosing.ask.found(choosing.bench.turn(), 1, request)
    assert code == "NoCapacity" and "did not answer within 5 s" in message
    assert not choosing.bench.core._reservations._asked
    assert choosing.bench.reactor.timers == []


def test_one_whose_asker_is_gone_is_given_back(choosing: Choosing) -> None:
    choosing.ask.send(1, Reserve, *RESERVE)
    choosing.bench.turn()
    choosing.bench.close(1)
    for _ in range(3):
        choosing.bench.reactor.pass_s(0.06)
        choosing.bench.turn()
    assert not choosing.bench.core.state.reservations and not choosing.platform.held
    assert choosing.platform.released


def test_one_that_its_platform_forgot_ends(choosing: Choosing) -> None:
    grant = choosing.later(1, choosing.ask.send(1, Reserve, *RESERVE))
    choosing.platform.held.clear()
    code, _ = choosing.later(1, choosing.ask.send(1, Renew, grant.number, 90.0))
    assert code == "RequestError" and not choosing.bench.core.state.reservations


def test_the_most_that_settings_allow(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, reservations=ReservationSettings(max_share=0.0))
    bench = Bench(tmp_path / "journal", settings=settings)
    assert Asking(bench, 1).reserve(1, 1)[0] == "OptionError"
    bench.dispose()
