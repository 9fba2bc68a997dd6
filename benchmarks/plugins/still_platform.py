"""StillPlatform: answers at once, with nothing, so that only its host takes time."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import ClassVar

from qfw.model.device import DeviceKind, DeviceProfile, DeviceState, Estimate
from qfw.model.gates import GATES
from qfw.model.outputs import Output, encode_answers
from qfw.model.program import Program
from qfw.qpm.defaults import Ideal, NoReservations
from qfw.qpm.platform import (
    API_VERSION,
    RESOURCES,
    RUNTIME,
    PlatformConfig,
    ProgramSource,
    Reactor,
    Run,
    RunDone,
    Sink,
)

_NOTHING = encode_answers(())


class StillPlatform(Ideal, NoReservations):
    """One device, `still`, which runs nothing: what the engine `noop` is among engines."""

    api_version: ClassVar[tuple[int, int]] = API_VERSION
    facets: ClassVar[frozenset[str]] = frozenset({RESOURCES, RUNTIME})

    def __init__(self, config: PlatformConfig) -> None:
        """It has no options."""

    def devices(self) -> Sequence[DeviceProfile]:
        return [DeviceProfile("still", DeviceKind.SIMULATOR, "", 4, tuple(GATES), ("counts",), 1)]

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        self._sink = sink

    def warm(self, device: str) -> None:
        self._sink.slot_ready(device, "only", os.getpid())

    def state(self, device: str) -> DeviceState:
        return DeviceState.ONLINE

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        return Estimate(0.0, 0)

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        for run in runs:
            now_ns = time.monotonic_ns()
            done = RunDone(run.task, run.epoch, now_ns, now_ns, 0, True, None, _NOTHING)
            self._sink.run_ended(device, slot, os.getpid(), done)

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        """What it was given is answered already."""

    def close(self) -> None:
        """It has nothing."""
