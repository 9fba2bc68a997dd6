"""Events of devices on their way to those who asked for them: which, when, and how many."""

from __future__ import annotations

from typing import Any

import pytest

from qfw.model.device import DeviceState
from qfw.model.errors import WireError
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpm.wire import MAX_ITEMS_PER_MESSAGE, Cancel, DeviceEvents, Subscribe
from qfw.qpmd.peer import MAX_EVENTS, MAX_UNREAD_EVENTS
from tests.qpmd.conftest import Bench, number
from tests.qpmd.test_devices import Said, reported

NOISE, FAULT, STATE, LOAD = (
    DeviceEventKind.NOISE,
    DeviceEventKind.FAULT,
    DeviceEventKind.STATE,
    DeviceEventKind.LOAD,
)


def subscribe(bench: Bench, session: int, *wanted: tuple[str, list[DeviceEventKind]]) -> None:
    bench.core.request(bench.clients[session][0], Subscribe(list(wanted)))


def events(said: dict[int, list[Any]], session: int) -> list[DeviceEvent]:
    return [
        event
        for message in said.get(session, ())
        if isinstance(message, DeviceEvents)
        for _, event in message.events
    ]


def test_each_hears_of_what_it_asked_for(bench: Bench) -> None:
    for session in (1, 2, 3):
        bench.open(session)
    subscribe(bench, 1, ("fake", [NOISE]))
    subscribe(bench, 2, ("fake", [NOISE, FAULT]), ("later", [NOISE]))
    say = Said(bench)
    say(kind=NOISE)
    say(DeviceState.OFFLINE, kind=FAULT)
    say(DeviceState.ONLINE)
    said = bench.turn()
    assert [event.kind for event in events(said, 1)] == [NOISE]
    assert [event.kind for event in events(said, 2)] == [NOISE, FAULT]
    assert events(said, 3) == []
    # What was pushed is what was journalled.
    assert events(said, 2) == reported(bench)[:2]


def test_a_subscription_takes_the_place_of_the_one_before(bench: Bench) -> None:
    bench.open(1)
    subscribe(bench, 1, ("fake", [NOISE]))
    subscribe(bench, 1, ("fake", [FAULT]))
    say = Said(bench)
    say(kind=NOISE)
    assert events(bench.turn(), 1) == []
    subscribe(bench, 1)
    say(kind=FAULT)
    assert events(bench.turn(), 1) == []
    assert not bench.core._subscriptions._wanted


def test_a_client_that_leaves_is_forgotten(bench: Bench) -> None:
    bench.open(1)
    subscribe(bench, 1, ("fake", [NOISE, LOAD]))
    bench.close(1)
    assert not bench.core._subscriptions._wanted and not bench.core._subscriptions._loads


def test_what_the_daemon_finds_is_told_too(bench: Bench) -> None:
    bench.open(1)
    subscribe(bench, 1, ("fake", [FAULT, STATE]))
    bench.core.reports.device_offline("fake", "its threads are stuck")
    (fault,) = events(bench.turn(), 1)
    assert (fault.kind, fault.state, fault.sequence) == (FAULT, DeviceState.OFFLINE, 0)
    bench.ready("w")
    (back,) = events(bench.turn(), 1)
    assert (back.kind, back.state) == (STATE, DeviceState.ONLINE)
    # Its platform is gone.
    bench.platform.names = ("other",)
    bench.core.reports.devices_changed("fakes")
    (gone,) = events(bench.turn(), 1)
    assert (gone.kind, gone.state) == (FAULT, DeviceState.OFFLINE)


def test_too_many_wishes_break_the_protocol(bench: Bench) -> None:
    bench.open(1)
    wanted = [(f"d{index}", [NOISE]) for index in range(MAX_ITEMS_PER_MESSAGE + 1)]
    subscribe(bench, 1, *wanted[:-1])
    with pytest.raises(WireError, match="1025 devices"):
        subscribe(bench, 1, *wanted)


def test_who_does_not_read_misses_the_oldest_and_holds_up_nothing(bench: Bench) -> None:
    peer = bench.open(1)
    subscribe(bench, 1, ("fake", [NOISE]))
    bench.ready("w")
    bench.turn()
    bench.submit(1, 1)
    say = Said(bench)
    count = MAX_UNREAD_EVENTS + 500
    for _ in range(count):
        say(kind=NOISE, message="n" * 100)
    bench.core.end_turn()
    bench.answer("w")
    # The socket takes a part; in front of a result is at most one message of events, and what the socket has.
    while peer in bench.core.end_turn():
        if not peer.flush():
            break
    assert peer.outbox.size < 400 * MAX_EVENTS
    for _ in range(300):
        say(kind=NOISE, message="later")
    told: list[DeviceEvents] = []
    answered_behind = None
    while sum(len(message.events) + message.missed for message in told) < count + 300:
        peer.flush()
        for message in bench.turn().get(1, ()):
            if isinstance(message, DeviceEvents):
                told.append(message)
            elif hasattr(message, "answers"):
                answered_behind = sum(len(message.events) for message in told)
        bench.core.touch(peer)
    found = [event.sequence for message in told for _, event in message.events]
    missed = sum(message.missed for message in told)
    assert len(found) + missed == count + 300 and missed
    assert found == sorted(set(found)) and found[-1] == count + 300
    assert answered_behind is not None and answered_behind < len(found) / 2


class TestLoad:
    def test_notable_changes_at_most_once_a_second(self, bench: Bench) -> None:
        bench.open(1)
        subscribe(bench, 1, ("fake", [LOAD]))
        assert events(bench.turn(), 1) == []
        bench.reactor.pass_s(0.2)
        bench.submit(1, *range(1, 21))
        (first,) = events(bench.turn(), 1)
        assert dict(first.figures)["queued"] == 20.0 and dict(first.figures)["running"] == 0.0
        assert first.sequence == 0
        bench.submit(1, *range(21, 41))
        assert events(bench.turn(), 1) == []
        bench.reactor.pass_s(1.0)
        (second,) = events(bench.turn(), 1)
        assert dict(second.figures)["queued"] == 40.0
        # A tenth of it more or less is nothing to tell.
        bench.submit(1, 41, 42)
        bench.turn()
        bench.reactor.pass_s(5.0)
        assert events(bench.turn(), 1) == []
        # It is no event of the device, and is not journalled.
        assert not [event for event in reported(bench) if event.kind is LOAD]

    def test_who_asks_for_something_else_costs_no_look(self, bench: Bench) -> None:
        bench.open(1)
        subscribe(bench, 1, ("fake", [NOISE]))
        bench.submit(1, 1, 2, 3)
        assert events(bench.turn(), 1) == [] and bench.reactor.timers == []

    def test_a_timer_looks_where_no_turn_would(self, bench: Bench) -> None:
        bench.open(1)
        subscribe(bench, 1, ("fake", [LOAD]))
        bench.turn()
        bench.submit(1, 1)
        bench.turn()
        assert len(bench.reactor.timers) == 1
        bench.core.request(bench.clients[1][0], Cancel([number(1, 1)]))
        bench.reactor.pass_s(0.2)
        assert events(bench.turn(), 1) == []
        assert bench.reactor.timers == []
