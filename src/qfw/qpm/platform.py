"""Protocol of a platform: what serves devices to qpmd.

Nothing here blocks and nothing is `async def`: a call starts something, and what comes of it
arrives at the sink, so a platform in this process, in a host process or behind a
socket look the same. A platform is driven by its daemon's thread alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from qfw.model.device import DeviceProfile, Estimate
from qfw.model.errors import ErrorReport
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.qpm.shared import Memory


class Run(msgspec.Struct, frozen=True, array_like=True):
    """One execution of a task, as a platform and its workers get it."""

    task: int
    #: Counts the executions of a task; an answer with another epoch is refused.
    epoch: int
    program: bytes
    outputs: bytes
    sets: int
    parameters: bytes
    shots: int
    seed: int
    #: Seconds that it may take before it is ended.
    time_limit_s: float


class RunDone(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A run was answered."""

    task: int
    epoch: int
    run_began_ns: int
    run_ended_ns: int
    compile_ns: int
    cached: bool
    answers: bytes


class RunFailed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A run failed by its own fault: it will not be repeated."""

    task: int
    epoch: int
    error: ErrorReport


class Sink(Protocol):
    """Where a platform reports. Called on the daemon's thread."""

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        """A slot of a device takes runs from now on."""
        ...

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        """A slot is gone, and with it the runs that it had: they run again elsewhere.

        `running` is the task that had begun, if any; only for it does this count as an attempt.
        """
        ...

    def device_offline(self, device: str, reason: str) -> None:
        """A device takes no tasks any more, for `reason`."""
        ...

    def run_ended(
        self,
        device: str,
        slot: str,
        pid: int,
        outcome: RunDone | RunFailed,
        memory: Memory | None = None,
    ) -> None:
        """A run was answered or failed.

        `memory`, checked, holds the answers where `outcome.answers` is empty; it is the sink's from now on.
        """
        ...


class Reactor(Protocol):
    """The daemon's loop, as a platform sees it."""

    def watch(
        self, fd: int, readable: Callable[[], None], writable: Callable[[], None] | None = None
    ) -> None:
        """Calls `readable` whenever `fd` can be read; `writable`, if given, whenever it can be written."""
        ...

    def unwatch(self, fd: int) -> None:
        """Ends a watch. No error if there is none."""
        ...

    def call_at(self, monotonic_s: float, callback: Callable[[], None]) -> None:
        """Calls back once, not before the given time."""
        ...

    def now(self) -> float:
        """Monotonic seconds."""
        ...


class ProgramSource(Protocol):
    """Where a platform finds programs."""

    def encoded(self, digest: bytes) -> bytes:
        """Canonical bytes of a program that a live task uses."""
        ...


@runtime_checkable
class Platform(Protocol):
    """Serves devices. A plugin of the entry point group `qfw.platforms`."""

    def devices(self) -> Sequence[DeviceProfile]:
        """The devices that it serves."""
        ...

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        """Begins to serve. `programs` gives the program of any digest that a `Run` names."""
        ...

    def warm(self, device: str) -> None:
        """A task for this device was accepted: its slots should become ready, by `slot_ready`."""
        ...

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """Cost of a task. Raises TooLarge or UnsupportedFeature where the device cannot run it."""
        ...

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        """Runs these in order on a slot, behind what it already has."""
        ...

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        """Ends a run if it can be ended; answers still come, if they come, by `run_ended`."""
        ...

    def close(self) -> None:
        """Ends all that it started. Does not wait longer than a second."""
        ...
