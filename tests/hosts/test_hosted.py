"""Hosts that misbehave, for real: what becomes of their devices and tasks, and of those of others."""

from __future__ import annotations

import itertools
import os
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from qfw.hosts.answers import MAX_LATE
from qfw.model.device import DEVICE_TRANSITIONS, DeviceState
from qfw.model.errors import BrokenPlugin, SetupError
from qfw.processes import cgroup
from qfw.qpm.platform import NativeCall, NativeFailed, RunDone, RunFailed
from tests.hosts.stand import Stand, bombs
from tests.stack import LIMIT_S, is_alive


def test_a_platform_in_a_host_serves(stand: Stand) -> None:
    platform = stand.host()
    stand.up(platform)
    assert [profile.platform for profile in platform.devices()] == ["hostile"]
    assert platform.state("hostile") is DeviceState.ONLINE
    stand.start(platform)
    stand.until(lambda: stand.outcomes("hostile"), "answer")
    (done,) = stand.outcomes("hostile")
    assert isinstance(done, RunDone) and not stand.sink.lost


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("hang", "did not answer|past its deadline"),
        ("die", "it ended"),
        ("kill", "it ended"),
        ("events", "events at once"),
        ("gap", "event 3 of hostile came; 2 was next"),
        ("state", "cannot become starting"),
        ("undated", "no Unix time"),
        ("garbage", "broken message"),
        ("giant", "were announced|was announced"),
        ("endless", "did not answer|past its deadline"),
        ("silent", "past its deadline"),
        ("often", f"{MAX_LATE + 1} answers came"),
    ],
)
def test_a_host_that_misbehaves_is_ended_and_another_one_serves(stand: Stand, do: str, reason: str) -> None:
    platform, other = stand.host(do), stand.host(name="other")
    stand.up(platform)
    stand.up(other)
    pid = platform.host_pid
    assert pid is not None
    # Where it is to be found before the deadline, a slow machine has time to.
    stand.start(platform, limit_s=0.5 if "deadline" in reason else LIMIT_S)
    stand.until(lambda: stand.sink.lost, "slot lost")
    (_, _, said, _), *_ = stand.sink.lost
    assert re.search(reason, said)
    assert platform.state("hostile") is DeviceState.OFFLINE
    # Others go on meanwhile.
    stand.start(other, task=2)
    stand.until(lambda: stand.outcomes("other"), "the other device's answer")
    stand.until(lambda: not is_alive(pid), "the host is gone")
    stand.until(lambda: platform.state("hostile") is DeviceState.ONLINE, "back")
    stand.until(lambda: stand.sink.ready.count(("hostile", "only")) == 2, "its slot is back")
    assert stand.states("hostile") == [DeviceState.ONLINE, DeviceState.OFFLINE, DeviceState.ONLINE]
    numbers = [event.sequence for device, event in stand.sink.events if device == "hostile"]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ("do", "code", "message"),
    [
        ("shape", "WrongAnswer", "shape"),
        ("nan", "WrongAnswer", "not finite"),
        ("raise", "PlatformFailed", "the cryostat is empty"),
    ],
)
def test_wrong_answers_fail_their_task(stand: Stand, do: str, code: str, message: str) -> None:
    platform = stand.host(do)
    stand.up(platform)
    stand.start(platform)
    stand.until(lambda: stand.outcomes("hostile"), "outcome")
    (failed,) = stand.outcomes("hostile")
    assert isinstance(failed, RunFailed)
    assert failed.error.code == code and message in failed.error.message
    assert platform.state("hostile") is DeviceState.ONLINE


@pytest.mark.parametrize(
    ("do", "written"), [("answer", "closed"), ("chatter", "all said"), ("stay", "closed")]
)
def test_a_platform_closes_by_itself_before_its_host_ends(
    stand: Stand, tmp_path: Path, do: str, written: str
) -> None:
    said = tmp_path / "said"
    platform = stand.host(do, options={"at_close": str(said)})
    stand.up(platform)
    pid = platform.host_pid
    assert pid is not None
    platform.close()
    assert said.read_text() == written
    # It is killed where it stays; the kernel takes its time to bury it.
    stand.until(lambda: not is_alive(pid), "the host is gone")
    events = len(stand.sink.events)
    stand.reactor.turn(0.0)
    assert not stand.sink.lost and len(stand.sink.events) == events


def test_a_host_is_told_to_leave_without_waiting(stand: Stand, tmp_path: Path) -> None:
    said = tmp_path / "said"
    platform = stand.host(options={"at_close": str(said)})
    stand.up(platform)
    pid = platform.host_pid
    assert pid is not None
    platform.leave()
    # The loop itself sees it go.
    stand.until(lambda: not is_alive(pid), "the host is gone")
    assert said.read_text() == "closed"
    assert not stand.sink.lost and stand.states("hostile") == [DeviceState.ONLINE]


@pytest.mark.parametrize("first", list(DeviceState))
def test_a_device_comes_up_in_any_state_also_after_its_host_was_lost(
    stand: Stand, first: DeviceState
) -> None:
    platform = stand.host("die", options={"states": [first.value]})
    stand.up(platform)
    assert platform.state("hostile") is first
    stand.start(platform)
    stand.until(lambda: stand.sink.lost, "slot lost")
    assert platform.state("hostile") is DeviceState.OFFLINE
    stand.until(lambda: stand.sink.ready.count(("hostile", "only")) == 2, "its slot is back")
    assert platform.state("hostile") is first
    told = stand.states("hostile")
    for before, after in pairwise([DeviceState.STARTING, *told]):
        assert after is before or after in DEVICE_TRANSITIONS[before]
    numbers = [event.sequence for _, event in stand.sink.events]
    assert numbers == list(range(1, len(numbers) + 1))


def test_one_timer_serves_the_deadlines_of_many_runs(stand: Stand) -> None:
    platform = stand.host()
    stand.up(platform)
    for task in range(1, 51):
        stand.start(platform, task, limit_s=3600.0)
        stand.until(lambda task=task: len(stand.outcomes("hostile")) == task, "answered")
    # One more looks for life; the one that waits for the start is over, or still there.
    assert len(stand.reactor._timers) <= 3
    stand.start(platform, 51, limit_s=0.1)
    stand.until(lambda: len(stand.outcomes("hostile")) == 51, "answered")
    assert all(isinstance(outcome, RunDone) for outcome in stand.outcomes("hostile"))


def test_a_second_answer_is_dropped_and_counted(stand: Stand) -> None:
    platform = stand.host("twice")
    stand.up(platform)
    stand.start(platform)
    stand.until(lambda: platform.late_answers == 1, "late answer")
    stand.until(lambda: stand.outcomes("hostile"), "the first one")
    assert len(stand.outcomes("hostile")) == 1


def test_a_fork_bomb_is_bounded_and_ended_with_all_its_children(stand: Stand) -> None:
    try:
        cgroup.make(f"qfw-test-{os.getpid()}", 10).remove()
    except SetupError:
        pytest.skip("no pids cgroup can be had")
    platform = stand.host("fork", max_processes=40)
    stand.up(platform)
    stand.start(platform, limit_s=2.0)
    most = 0
    before = bombs()
    while not stand.sink.lost:
        stand.reactor.turn(0.05)
        most = max(most, len(bombs() - before))
    assert 0 < most <= 40
    stand.until(lambda: not bombs() - before, "its children are gone")


@pytest.mark.parametrize(
    ("plugin", "do", "limits", "code", "message"),
    [
        ("absent", "answer", {}, "SetupError", "cannot be imported"),
        ("nowhere", "answer", {}, "UnknownDevice", "no platform is called 'nowhere'"),
        ("later", "answer", {}, "VersionMismatch", "API version 1.1"),
        ("lacking", "answer", {}, "BrokenPlugin", "lacks call"),
        ("hostile", "claim", {}, "BrokenPlugin", "without the facet native"),
        ("hostile", "answer", {"options": {"gates": ["warp"]}}, "BrokenPlugin", "'warp'"),
        ("hostile", "hasty", {}, "BrokenPlugin", "its set_ns is -1"),
        ("hostile", "eat", {"memory_bytes": 2**30}, "BrokenPlugin", "allocate"),
        ("hostile", "die at start", {}, "BrokenPlugin", "lost 4 times in a row"),
        ("hostile", "answer", {"python": "/nowhere/python"}, "BrokenPlugin", "cannot start"),
        ("hostile", "answer", {"python": "/bin/true"}, "BrokenPlugin", "lost 4 times in a row"),
    ],
)
def test_a_platform_that_cannot_serve_is_broken_with_the_reason(
    stand: Stand, plugin: str, do: str, limits: dict[str, Any], code: str, message: str
) -> None:
    platform = stand.host(do, plugin=plugin, **limits)
    stand.until(lambda: platform.settled, "settled")
    assert platform.broken is not None
    assert platform.broken.code == code and message in platform.broken.message
    assert platform.devices() == []


def test_options_that_cannot_be_sent_are_refused(stand: Stand) -> None:
    # The daemon lists a platform that does not open as broken.
    with pytest.raises(BrokenPlugin, match="options of platform hostile"):
        stand.host(options={"seed": 10**30})


def test_a_device_that_its_platform_gives_up_is_tried_again(stand: Stand) -> None:
    platform = stand.host("offline")
    stand.up(platform)
    stand.start(platform)
    stand.until(lambda: stand.sink.offline, "given up")
    assert stand.sink.offline == [("hostile", "its threads are stuck")]
    assert platform.state("hostile") is DeviceState.OFFLINE
    platform.warm("hostile")
    stand.until(lambda: stand.sink.ready.count(("hostile", "only")) == 2, "its slot is back")
    assert platform.state("hostile") is DeviceState.ONLINE


def test_a_native_answer_that_is_too_large_fails_alone(stand: Stand) -> None:
    platform = stand.host("verbose", plugin="verbose")
    stand.up(platform)
    platform.call("hostile", NativeCall(1, "pulse", b"", 5.0))
    stand.until(lambda: stand.sink.natives, "answer")
    (failed,) = stand.sink.natives
    assert isinstance(failed, NativeFailed) and failed.error.code == "TooLarge"
    assert platform.state("hostile") is DeviceState.ONLINE and not stand.sink.lost


def test_a_turn_hears_little_of_a_host_that_floods(stand: Stand) -> None:
    """Every look at the clock takes 60 µs: a few of the events, and then others come first."""
    platform = stand.host("events")
    stand.up(platform)
    stand.start(platform)
    began_s, looks = time.monotonic(), itertools.count()
    stand.reactor.now = lambda: began_s + 60e-6 * next(looks)
    most, before = 0, len(stand.sink.events)

    def lost() -> bool:
        nonlocal most, before
        found = len(stand.sink.events)
        most, before = max(most, found - before), found
        return bool(stand.sink.lost)

    stand.until(lost, "a host that floods is ended")
    assert len(stand.sink.events) >= 1000
    assert 1 <= most <= 4
