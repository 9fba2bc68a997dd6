"""A platform that does what its options say: hang, flood, lie, answer twice, fork, die. A stranger's plugin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from qfw.model.device import DeviceKind, DeviceProfile, DeviceState, Estimate, Timing
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.model.outputs import Array, ExpectationAnswer, Output, encode_answers
from qfw.model.program import Program
from qfw.qpm.defaults import Ideal, NoReservations
from qfw.qpm.platform import (
    API_VERSION,
    NATIVE,
    RESOURCES,
    RUNTIME,
    NativeCall,
    NativeDone,
    PlatformConfig,
    ProgramSource,
    Reactor,
    Run,
    RunDone,
    Sink,
)


class HostilePlatform(Ideal, NoReservations):
    """Answers ⟨…⟩ = 0.5 unless `options.do` says otherwise."""

    api_version: ClassVar[tuple[int, int]] = API_VERSION
    facets: ClassVar[frozenset[str]] = frozenset({RESOURCES, RUNTIME})

    def __init__(self, config: PlatformConfig) -> None:
        self.do: str = config.options.get("do", "answer")
        self.name: str = config.options.get("device", "hostile")
        self.gates: tuple[str, ...] = tuple(config.options.get("gates", ["ry", "h"]))
        self.reruns: bool = config.options.get("reruns", True)
        self.at_close = Path(config.options.get("at_close", os.devnull))
        self.states = list(map(DeviceState, config.options.get("states", ["online"])))
        self.children: int = config.options.get("children", 2)
        if self.do == "die at start":
            os._exit(3)
        if self.do == "hang at start":
            time.sleep(1000)
        if self.do == "eat":
            self.eaten = np.ones(2**29)

    def devices(self) -> Sequence[DeviceProfile]:
        native = ("pulse",) if self.do in ("claim", "verbose") else ()
        return [
            DeviceProfile(
                self.name,
                DeviceKind.HARDWARE,
                "h",
                4,
                self.gates,
                ("expectation",),
                1,
                reruns=self.reruns,
                native=native,
                timing=Timing(set_ns=-1) if self.do == "hasty" else None,
            )
        ]

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        self.reactor, self.sink = reactor, sink

    def warm(self, device: str) -> None:
        self.sink.slot_ready(device, "only", os.getpid())

    def state(self, device: str) -> DeviceState:
        return self.states[0]

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        return Estimate(0.0, 0)

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        for run in runs:
            getattr(self, "do_" + self.do)(run)

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        pass

    def close(self) -> None:
        self.at_close.write_text("closed")
        if self.do == "chatter":
            os.write(1, b"y" * 10**6)
            self.at_close.write_text("all said")
        while self.do == "stay":
            time.sleep(1000)

    def say(self, run: Run, values: Any, times: int = 1) -> None:
        array = Array.of(np.asarray(values))
        answers = encode_answers((ExpectationAnswer(array, array),))
        now_ns = time.monotonic_ns()
        done = RunDone(run.task, run.epoch, now_ns, now_ns, 0, False, None, answers)
        for _ in range(times):
            self.sink.run_ended(self.name, "only", os.getpid(), done)

    def do_answer(self, run: Run) -> None:
        self.say(run, np.full((run.sets, 1), 0.5))

    def do_shape(self, run: Run) -> None:
        self.say(run, np.full((run.sets, 2), 0.5))

    def do_nan(self, run: Run) -> None:
        self.say(run, np.full((run.sets, 1), np.nan))

    def do_twice(self, run: Run) -> None:
        self.say(run, np.full((run.sets, 1), 0.5), times=2)

    def do_often(self, run: Run) -> None:
        self.say(run, np.full((run.sets, 1), 0.5), times=100)

    def do_stale(self, run: Run) -> None:
        self.say(msgspec.structs.replace(run, epoch=run.epoch - 1), np.full((run.sets, 1), 0.5))

    def do_silent(self, run: Run) -> None:
        pass

    def do_hang(self, run: Run) -> None:
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass

    def do_die(self, run: Run) -> None:
        os._exit(4)

    def do_die_once(self, run: Run) -> None:
        if not self.at_close.exists():
            self.at_close.touch()
            os._exit(4)
        self.do_answer(run)

    def do_kill(self, run: Run) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_raise(self, run: Run) -> None:
        raise ZeroDivisionError("the cryostat is empty")

    def do_events(self, run: Run) -> None:
        for sequence in range(1, 10**5):
            event = DeviceEvent(sequence, DeviceEventKind.NOISE, 1, "noise")
            self.sink.device_reported(self.name, event)

    def do_gap(self, run: Run) -> None:
        for sequence in (1, 3):
            self.sink.device_reported(self.name, DeviceEvent(sequence, DeviceEventKind.NOISE, 1, "noise"))

    def do_state(self, run: Run) -> None:
        event = DeviceEvent(1, DeviceEventKind.STATE, 1, "again", state=DeviceState.STARTING)
        self.sink.device_reported(self.name, event)

    def do_undated(self, run: Run) -> None:
        event = DeviceEvent(1, DeviceEventKind.NOISE, -(2**63), "noise", until_ns=2**64 - 1)
        self.sink.device_reported(self.name, event)

    def do_offline(self, run: Run) -> None:
        self.sink.slot_lost(self.name, "only", os.getpid(), "its threads are stuck", run.task)
        self.sink.device_offline(self.name, "its threads are stuck")

    def raw(self, data: bytes) -> None:
        for entry in Path("/proc/self/fd").iterdir():
            try:
                fd = int(entry.name)
                if str(entry.readlink()).startswith("socket:"):
                    os.set_blocking(fd, True)
                    os.write(fd, data)
            except OSError:
                continue

    def do_garbage(self, run: Run) -> None:
        self.raw(b"\x00\x00\x00\x03abc")

    def do_giant(self, run: Run) -> None:
        self.raw(b"\x7f\xff\xff\xff")

    def do_endless(self, run: Run) -> None:
        while True:
            os.write(1, b"y" * 65536)

    def do_litter(self, run: Run) -> None:
        for _ in range(self.children):
            subprocess.Popen([sys.executable, "-S", "-c", "while True: pass", "qfw-litter"])

    def do_fork(self, run: Run) -> None:
        refused = False
        while not refused:
            try:
                subprocess.Popen(
                    [sys.executable, "-S", "-c", "import time; time.sleep(1000)", "qfw-bomb"],
                    start_new_session=True,
                )
            except OSError:
                refused = True


class VerbosePlatform(HostilePlatform):
    """Answers more than fits a message."""

    facets: ClassVar[frozenset[str]] = frozenset({RESOURCES, RUNTIME, NATIVE})

    def call(self, device: str, call: NativeCall) -> None:
        self.sink.native_ended(device, NativeDone(call.number, bytes(9 * 2**20)))


class LaterPlatform(HostilePlatform):
    """For a release of QFw that is not out yet."""

    api_version: ClassVar[tuple[int, int]] = (API_VERSION[0], API_VERSION[1] + 1)


class LackingPlatform(HostilePlatform):
    """Claims a facet whose methods it lacks."""

    facets: ClassVar[frozenset[str]] = frozenset({RESOURCES, RUNTIME, NATIVE})
