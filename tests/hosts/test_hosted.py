"""Hosts that misbehave, for real: what becomes of their devices and tasks, and of those of others."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qfw.config.settings import PlatformSettings
from qfw.hosts.platform import MAX_LATE, HostedPlatform
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceState
from qfw.model.errors import SetupError
from qfw.model.events import DeviceEvent
from qfw.model.outputs import encode_outputs
from qfw.processes import cgroup
from qfw.qpm.platform import NativeDone, NativeFailed, PlatformConfig, Run, RunDone, RunFailed
from qfw.qpm.reactor import EpollReactor
from qfw.qpm.shared import Memory
from tests.stack import LIMIT_S, SHORT, Z0, is_alive

PLUGINS = Path(__file__).parent / "plugins"
Outcome = RunDone | RunFailed


class Recorder:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.ready: list[tuple[str, str]] = []
        self.lost: list[tuple[str, str, str, int | None]] = []
        self.offline: list[tuple[str, str]] = []
        self.events: list[tuple[str, DeviceEvent]] = []
        self.ended: list[tuple[str, Outcome]] = []

    def devices_changed(self, platform: str) -> None:
        self.changed.append(platform)

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        self.ready.append((device, slot))

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        self.lost.append((device, slot, reason, running))

    def device_offline(self, device: str, reason: str) -> None:
        self.offline.append((device, reason))

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        self.events.append((device, event))

    def run_ended(
        self, device: str, slot: str, pid: int, outcome: Outcome, memory: Memory | None = None
    ) -> None:
        self.ended.append((device, outcome))

    def native_ended(self, device: str, outcome: NativeDone | NativeFailed) -> None:
        raise AssertionError("nothing native was asked for")

    def encoded(self, digest: bytes) -> bytes:
        assert digest == SHORT.digest
        return SHORT.encoded


class Stand:
    """A loop, a sink, and platforms in hosts."""

    def __init__(self) -> None:
        self.reactor, self.sink = EpollReactor(), Recorder()
        self.platforms: list[HostedPlatform] = []

    def host(
        self, do: str = "answer", name: str = "hostile", plugin: str = "hostile", **limits: Any
    ) -> HostedPlatform:
        options = {"do": do, "device": name, **limits.pop("options", {})}
        settings = PlatformSettings(**{"answer_limit_s": 1.0, "grace_s": 0.2, **limits})
        platform = HostedPlatform(PlatformConfig(name, options), plugin, settings)
        self.platforms.append(platform)
        platform.open(self.reactor, self.sink, self.sink)
        return platform

    def until(self, condition: Any, what: str) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end_s, f"waited in vain: {what}"
            self.reactor.turn(0.05)

    def up(self, platform: HostedPlatform) -> None:
        self.until(lambda: platform.settled, "settled")
        assert platform.broken is None, platform.broken
        platform.warm(platform.name)
        self.until(lambda: (platform.name, "only") in self.sink.ready, "slot ready")

    def start(self, platform: HostedPlatform, task: int = 1, limit_s: float = 0.5) -> None:
        run = Run(task, 1, SHORT.digest, encode_outputs(Z0), 1, bytes(8), 0, 1, limit_s)
        platform.start(platform.name, "only", [run])

    def outcomes(self, name: str) -> list[Outcome]:
        return [outcome for device, outcome in self.sink.ended if device == name]

    def states(self, name: str) -> list[DeviceState | None]:
        return [event.state for device, event in self.sink.events if device == name and event.state]


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGINS), str(Path(__file__).parents[2] / "src")]))
    made = Stand()
    yield made
    for platform in made.platforms:
        platform.close()


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


def bombs() -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if b"qfw-bomb" in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize(
    ("plugin", "do", "limits", "code", "message"),
    [
        ("absent", "answer", {}, "SetupError", "cannot be imported"),
        ("nowhere", "answer", {}, "UnknownDevice", "no platform is called 'nowhere'"),
        ("later", "answer", {}, "VersionMismatch", "API version 1.1"),
        ("lacking", "answer", {}, "BrokenPlugin", "lacks call"),
        ("hostile", "claim", {}, "BrokenPlugin", "without the facet native"),
        ("hostile", "answer", {"options": {"gates": ["warp"]}}, "BrokenPlugin", "'warp'"),
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
