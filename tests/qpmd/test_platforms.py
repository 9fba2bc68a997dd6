"""Platforms in hosts, with fakes: who starts when, who serves what, and what is said of the broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.settings import PlatformSettings, Settings
from qfw.model.device import DeviceKind, DeviceProfile, DeviceState
from qfw.model.errors import WireError
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpm.platform import NativeDone, RunDone
from qfw.qpm.status import PlatformStatus
from qfw.qpm.wire import Failed, Query, Reply
from qfw.qpmd.settling import MAX_ASKING
from tests.qpmd.conftest import Bench, number
from tests.stack import OUTPUTS

SETTINGS = Settings(
    platforms={
        "named": PlatformSettings(plugin="vendor", options={"a": 1}, start_limit_s=7.0),
        "unmakeable": PlatformSettings(),
    }
)
PLUGINS = ("fakes", "idle", "vendor")


def profile(name: str, platform: str, **more: Any) -> DeviceProfile:
    return DeviceProfile(name, DeviceKind.HARDWARE, "fake", 8, ("ry",), OUTPUTS, 1, platform=platform, **more)


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path / "journal", settings=SETTINGS, plugins=PLUGINS)
    made.open(1)
    yield made
    made.dispose()


def asked(bench: Bench, request: int, subject: str = "platforms", session: int = 1) -> None:
    bench.core.request(bench.clients[session][0], Query(request, subject))


def rows(messages: list[Any]) -> dict[str, PlatformStatus]:
    (reply,) = [message for message in messages if isinstance(message, Reply)]
    return {row.name: row for row in msgspec.msgpack.decode(reply.body, type=list[PlatformStatus])}


def codes(messages: list[Any]) -> list[str]:
    return [error.code for m in messages if isinstance(m, Failed) for _, error in m.errors]


def test_named_platforms_start_with_the_daemon_and_others_when_asked_for(bench: Bench) -> None:
    assert list(bench.hosted) == ["named"]
    named = bench.hosted["named"]
    assert (named.plugin, named.config.options, named.settings.start_limit_s) == ("vendor", {"a": 1}, 7.0)
    asked(bench, 1, "platforms now")
    found = rows(bench.turn()[1])
    assert {name: row.state for name, row in found.items()} == {
        "fakes": "serving",
        "idle": "on-demand",
        "named": "starting",
        "unmakeable": "broken",
    }
    assert "no host can be started" in found["unmakeable"].reason and found["named"].plugin == "vendor"
    assert list(bench.hosted) == ["named"]
    asked(bench, 2)
    assert list(bench.hosted) == ["named", "idle"]


def test_the_answer_waits_until_all_have_settled(bench: Bench) -> None:
    asked(bench, 1)
    assert bench.turn().get(1, []) == []
    bench.hosted["named"].come(profile("qpu", "named"))
    assert bench.turn().get(1, []) == []
    bench.hosted["idle"].go("it has no entry point")
    found = rows(bench.turn()[1])
    assert (found["named"].state, found["named"].devices) == ("serving", ("qpu",))
    assert (found["idle"].state, found["idle"].reason) == ("broken", "it has no entry point")
    # Settled: at once from now on.
    asked(bench, 2)
    assert rows(bench.turn()[1]) == found


def test_the_answer_comes_in_any_case(bench: Bench) -> None:
    asked(bench, 1)
    bench.hosted["idle"].come()
    bench.reactor.pass_s(8.9)
    assert bench.turn().get(1, []) == []
    # 30 s of what starts by itself and 2 s of patience.
    bench.reactor.pass_s(24)
    assert rows(bench.turn()[1])["named"].state == "starting"


def test_who_asks_without_end_is_let_go(bench: Bench) -> None:
    for request in range(MAX_ASKING):
        asked(bench, request)
    with pytest.raises(WireError, match="questions for platforms"):
        asked(bench, 99)


def test_a_client_that_left_is_not_answered(bench: Bench) -> None:
    bench.open(2)
    asked(bench, 1, session=2)
    bench.close(2)
    bench.hosted["named"].come()
    bench.hosted["idle"].come()
    bench.turn()
    assert bench.core._settling._asking == []


def test_devices_come_and_go_with_their_platform(bench: Bench) -> None:
    named = bench.hosted["named"]
    bench.submit(1, 1, device="qpu")
    assert codes(bench.turn()[1]) == ["UnknownDevice"]
    named.states["qpu"] = DeviceState.STARTING
    named.come(profile("qpu", "named"))
    bench.submit(1, 2, device="qpu")
    bench.turn()
    assert named.warmed == ["qpu"]
    assert {status.profile.name: status.state for status in bench.core.devices()} == {
        "fake": "online",
        "qpu": "starting",
    }
    named.states["qpu"] = DeviceState.ONLINE
    named.come(profile("qpu", "named"))
    bench.core.reports.slot_ready("qpu", "0", 5)
    bench.submit(1, 3, device="qpu")
    bench.turn()
    assert [run.task for run in named.given["qpu", "0"]] == [number(1, 2)]
    named.go("the licence ran out")
    assert codes(bench.turn()[1]) == ["NoCapacity", "NoCapacity"]
    assert [status.profile.name for status in bench.core.devices()] == ["fake"]
    assert bench.core.state.tasks == {} and bench.replayed() == bench.core.state
    bench.submit(1, 4, device="qpu")
    assert codes(bench.turn()[1]) == ["UnknownDevice"]


def test_a_device_that_comes_again_is_as_its_platform_says(bench: Bench) -> None:
    named = bench.hosted["named"]
    named.come(profile("qpu", "named"))
    named.come()
    named.come(profile("qpu", "named"))
    assert {s.profile.name: s.state for s in bench.core.devices()}["qpu"] == "online"
    bench.turn()
    assert bench.replayed() == bench.core.state


def test_another_platforms_device_of_the_same_name_is_counted_anew(bench: Bench) -> None:
    named = bench.hosted["named"]
    named.come(profile("qpu", "named"))
    for sequence, state in enumerate((DeviceState.CALIBRATING, DeviceState.ONLINE), 1):
        named.sink.device_reported("qpu", DeviceEvent(sequence, DeviceEventKind.STATE, 1, "said", state))
    named.go("the licence ran out")
    asked(bench, 1)
    idle = bench.hosted["idle"]
    idle.come(profile("qpu", "idle"))
    states = [bench.core.state.devices["qpu"].state]
    for sequence, state in enumerate((DeviceState.CALIBRATING, DeviceState.ONLINE), 1):
        idle.sink.device_reported("qpu", DeviceEvent(sequence, DeviceEventKind.STATE, 1, "said", state))
        states.append(bench.core.state.devices["qpu"].state)
    assert states == [DeviceState.ONLINE, DeviceState.CALIBRATING, DeviceState.ONLINE]
    bench.turn()
    assert bench.replayed() == bench.core.state


def test_a_name_that_is_taken_breaks_the_later_platform(bench: Bench) -> None:
    bench.hosted["named"].come(profile("other", "named"), profile("fake", "named"))
    asked(bench, 1, "platforms now")
    row = rows(bench.turn()[1])["named"]
    assert row.state == "broken" and "its device fake has the name" in row.reason and not row.devices
    assert [status.profile.platform for status in bench.core.devices()] == [""]
    assert not bench.hosted["named"].left
    bench.reactor.pass_s(0)
    # The loop waits for nobody: it is told to go, and closed with the daemon.
    assert bench.hosted["named"].left and not bench.hosted["named"].closed
    # It is not listened to any more.
    bench.hosted["named"].come(profile("late", "named"))
    assert [status.profile.name for status in bench.core.devices()] == ["fake"]


def test_a_platform_is_heard_of_its_own_devices_only(bench: Bench) -> None:
    """One that lies of another's device changes nothing there."""
    named = bench.hosted["named"]
    named.come(profile("qpu", "named"))
    bench.ready("fake/1")
    bench.submit(1, 1)
    bench.turn()
    (run,) = bench.platform.given["fake", "fake/1"]
    event = DeviceEvent(1, DeviceEventKind.FAULT, 1, "a lie", DeviceState.OFFLINE)
    for device in ("fake", "nobody"):
        named.sink.device_reported(device, event)
        named.sink.device_offline(device, "a lie")
        named.sink.slot_ready(device, "lie/1", 1)
        named.sink.slot_lost(device, "fake/1", 1, "a lie", run.task)
        named.sink.run_ended(device, "fake/1", 1, RunDone(run.task, run.epoch, 1, 2, 0, True, None, b"lie"))
        named.sink.native_ended(device, NativeDone(1, b"lie"))
    named.sink.devices_changed("fakes")
    assert bench.turn().get(1, []) == []
    assert {s.profile.name: s.state for s in bench.core.devices()} == {"fake": "online", "qpu": "online"}
    assert bench.core.state.workers == {"fake": {"fake/1": 100}}
    named.sink.device_reported("qpu", event)
    assert {s.profile.name: s.state for s in bench.core.devices()}["qpu"] == "offline"
    bench.answer("fake/1")
    (done,) = bench.turn()[1]
    assert done.answers[0].answers == b"a"


def test_what_runs_within_the_daemon_has_no_table(tmp_path: Path) -> None:
    settings = Settings(platforms={"fakes": PlatformSettings(), "mine": PlatformSettings(plugin="fakes")})
    bench = Bench(tmp_path / "journal", settings=settings)
    bench.open(1)
    asked(bench, 1)
    found = rows(bench.turn()[1])
    assert found["mine"].state == "broken" and "within the daemon" in found["mine"].reason
    assert bench.hosted == {} and [s.profile.name for s in bench.core.devices()] == ["fake"]
    bench.dispose()


def test_all_are_closed_with_the_daemon(bench: Bench) -> None:
    bench.core.close_platforms()
    assert bench.hosted["named"].left and bench.hosted["named"].closed
