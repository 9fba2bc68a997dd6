"""What tests of hosts share: a loop on a clock that can be held, a sink that remembers, platforms in hosts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qfw.config.settings import PlatformSettings
from qfw.hosts.platform import HostedPlatform
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceState
from qfw.model.events import DeviceEvent
from qfw.model.outputs import Output, encode_outputs
from qfw.model.program import Program
from qfw.qpm.platform import NativeDone, NativeFailed, PlatformConfig, Run, RunDone, RunFailed
from qfw.qpm.reactor import EpollReactor
from qfw.qpm.shared import Memory
from tests.stack import LIMIT_S, SHORT, Z0

PLUGINS = Path(__file__).parent / "plugins"
Outcome = RunDone | RunFailed


class Recorder:
    """A sink that remembers."""

    def __init__(self, now: Clock) -> None:
        self.now = now
        #: When each device was said to be offline, by the daemon's clock.
        self.offline_s: dict[str, float] = {}
        self.natives: list[NativeDone | NativeFailed] = []
        self.memories: list[Memory] = []
        self.calibrations: list[Calibration] = []
        self.programs = {SHORT.digest: SHORT}
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
        if event.state is DeviceState.OFFLINE:
            self.offline_s.setdefault(device, self.now())
        if calibration is not None:
            self.calibrations.append(calibration)

    def run_ended(
        self, device: str, slot: str, pid: int, outcome: Outcome, memory: Memory | None = None
    ) -> None:
        self.ended.append((device, outcome))
        if memory is not None:
            self.memories.append(memory)

    def native_ended(self, device: str, outcome: NativeDone | NativeFailed) -> None:
        self.natives.append(outcome)

    def encoded(self, digest: bytes) -> bytes:
        return self.programs[digest].encoded


class Clock:
    """Monotonic seconds; real ones, until it is held: then each turn of the loop takes `tick_s`.

    A held clock takes the machine out of what is tested: how long a deadline is does not depend on how busy the
    cores are.
    """

    def __init__(self) -> None:
        self.tick_s: float | None = None
        self._held_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() if self.tick_s is None else self._held_s

    def hold(self, tick_s: float) -> None:
        self._held_s, self.tick_s = self(), tick_s

    def tick(self) -> None:
        self._held_s += self.tick_s or 0.0


class Stand:
    """A loop, a sink, and platforms in hosts."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reactor = EpollReactor(self.clock)
        self.sink = Recorder(self.clock)
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
            self.reactor.turn(0.05 if self.clock.tick_s is None else 0.002)
            self.clock.tick()

    def up(self, platform: HostedPlatform) -> None:
        self.until(lambda: platform.settled, "settled")
        assert platform.broken is None, platform.broken
        platform.warm(platform.name)
        self.until(lambda: (platform.name, "only") in self.sink.ready, "slot ready")

    def start(
        self,
        platform: HostedPlatform,
        task: int = 1,
        limit_s: float = 0.5,
        *,
        epoch: int = 1,
        program: Program = SHORT,
        outputs: tuple[Output, ...] = Z0,
        shots: int = 0,
        calibration: str = "",
    ) -> None:
        self.sink.programs[program.digest] = program
        parameters = bytes(8 * program.num_slots)
        run = Run(
            task,
            epoch,
            program.digest,
            encode_outputs(outputs),
            1,
            parameters,
            shots,
            1,
            limit_s,
            calibration,
        )
        platform.start(platform.name, "only", [run])

    def outcomes(self, name: str) -> list[Outcome]:
        return [outcome for device, outcome in self.sink.ended if device == name]

    def states(self, name: str) -> list[DeviceState | None]:
        return [event.state for device, event in self.sink.events if device == name and event.state]


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
