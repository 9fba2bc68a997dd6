"""Native operations: numbered by the daemon, bounded, answered once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.settings import Settings, WorkerSettings
from qfw.model.device import DeviceState
from qfw.model.errors import ErrorReport, NoCapacity
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpm.platform import NativeDone, NativeFailed
from qfw.qpm.wire import CallNative, NativeAnswer
from qfw.qpmd.native import MAX_CALLS
from tests.qpmd.conftest import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(
        tmp_path / "journal", "fake", "plain", settings=Settings(workers=WorkerSettings(time_limit_s=50))
    )
    profiles = made.platforms.profiles
    profiles["fake"] = msgspec.structs.replace(profiles["fake"], native=("pulse", "link"))
    made.open(1)
    yield made
    made.dispose()


def call(bench: Bench, request: int, session: int = 1, **changes: Any) -> None:
    fields: dict[str, Any] = {"device": "fake", "operation": "pulse", "body": b"x", "time_limit_s": 10.0}
    bench.core.request(bench.clients[session][0], CallNative(request, **{**fields, **changes}))


def answers(bench: Bench, session: int = 1) -> dict[int, NativeAnswer]:
    return {m.request: m for m in bench.turn().get(session, []) if isinstance(m, NativeAnswer)}


def test_an_operation_is_called_and_answered(bench: Bench) -> None:
    bench.open(2)
    call(bench, 7)
    call(bench, 7, session=2, operation="link", time_limit_s=1e9)
    (_, first), (_, second) = bench.platform.calls
    assert (first.operation, first.body, first.time_limit_s) == ("pulse", b"x", 10.0)
    # The daemon's limit holds for all, and its numbers are its own.
    assert second.time_limit_s == 50.0 and first.number != second.number
    bench.core.reports.native_ended("fake", NativeDone(second.number, b"two"))
    bench.core.reports.native_ended("fake", NativeFailed(first.number, ErrorReport("TooLarge", "too long")))
    said = bench.turn()
    assert said[1] == [NativeAnswer(7, ErrorReport("TooLarge", "too long"), b"")]
    assert said[2] == [NativeAnswer(7, None, b"two")]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"device": "nobody"}, "UnknownDevice", "nobody"),
        ({"device": "plain"}, "UnsupportedFeature", "plain has no native operations"),
        ({"operation": "plus"}, "UnsupportedFeature", "it has pulse, link"),
        ({"time_limit_s": 0.0}, "OptionError", "above 0"),
        ({"time_limit_s": -1.0}, "OptionError", "above 0"),
        ({"time_limit_s": float("nan")}, "OptionError", "nan"),
        ({"time_limit_s": float("inf")}, "OptionError", "inf"),
    ],
)
def test_what_cannot_be_called(bench: Bench, changes: dict[str, Any], code: str, words: str) -> None:
    call(bench, 1, **changes)
    error = answers(bench)[1].error
    assert error is not None and error.code == code and words in error.message
    assert bench.platform.calls == []


def test_an_operation_that_takes_too_long_fails_and_its_late_answer_is_dropped(bench: Bench) -> None:
    call(bench, 1)
    bench.reactor.pass_s(9.9)
    assert answers(bench) == {}
    bench.reactor.pass_s(0.2)
    error = answers(bench)[1].error
    assert error is not None and error.code == "DeadlineExceeded" and "10 s" in error.message
    number = bench.platform.calls[0][1].number
    bench.core.reports.native_ended("fake", NativeDone(number, b"late"))
    bench.core.reports.native_ended("fake", NativeDone(number + 1, b"never asked"))
    assert answers(bench) == {}
    assert bench.core._listing.counters().counts["late_answers"] == 2


def test_an_answer_counts_once_and_from_its_own_device(bench: Bench) -> None:
    call(bench, 1)
    number = bench.platform.calls[0][1].number
    bench.core.reports.native_ended("plain", NativeDone(number, b"from another"))
    bench.core.reports.native_ended("fake", NativeDone(number, b"right"))
    bench.core.reports.native_ended("fake", NativeDone(number, b"again"))
    assert [message.body for message in bench.turn()[1]] == [b"right"]
    bench.reactor.pass_s(60)
    assert answers(bench) == {}


def test_a_session_has_so_many_at_once(bench: Bench) -> None:
    bench.open(2)
    for request in range(MAX_CALLS + 1):
        call(bench, request)
    (refused,) = answers(bench).values()
    assert refused.request == MAX_CALLS and refused.error is not None and refused.error.code == "NoCapacity"
    call(bench, 1, session=2)
    assert answers(bench, 2) == {}
    # Whoever leaves makes room, and nobody is told.
    bench.close(1)
    bench.core.reports.native_ended("fake", NativeDone(1, b"nobody"))
    assert bench.turn().get(2, []) == []


def test_a_device_that_goes_answers_for_what_was_under_way(bench: Bench) -> None:
    call(bench, 1)
    bench.core.reports.device_offline("fake", "its host died")
    error = answers(bench)[1].error
    assert error is not None and error.code == "NoCapacity" and "its host died" in error.message


def test_a_device_that_accepts_nothing_takes_no_calls(bench: Bench) -> None:
    event = DeviceEvent(1, DeviceEventKind.STATE, 1, "repair", DeviceState.OFFLINE)
    bench.core.reports.device_reported("fake", event)
    call(bench, 1)
    error = answers(bench)[1].error
    assert error is not None and error.code == "NoCapacity" and "repair" in error.message


def test_an_observer_calls_nothing(bench: Bench) -> None:
    bench.clients[1][0].session = 0
    call(bench, 1)
    error = answers(bench)[1].error
    bench.clients[1][0].session = 1
    assert error is not None and error.code == "NotAllowed"


def test_a_platform_that_refuses_a_call_at_once_is_passed_on(bench: Bench) -> None:
    def refuses(device: str, call: Any) -> None:
        raise NoCapacity("its host is on its way up")

    bench.platform.call = refuses  # type: ignore[method-assign]  # the fake's own
    call(bench, 1)
    error = answers(bench)[1].error
    assert error is not None and error.code == "NoCapacity" and "on its way up" in error.message
