"""The QPM: protocols of a platform, which serves devices to qpmd. docs/specs/platform.md is its contract.

Three facets: ResourceManagement, Runtime, Native. A platform declares those that it has. Nothing here
blocks and nothing is `async def`: a call starts something, and what comes of it arrives at the sink, so
a platform in this process, in a host process or behind a socket look the same. A platform is driven by
one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import msgspec

from qfw.config.settings import Settings
from qfw.model.calibration import Calibration
from qfw.model.conditions import Conditions
from qfw.model.device import DeviceProfile, DeviceState, Estimate
from qfw.model.errors import ErrorReport
from qfw.model.events import DeviceEvent
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.shared import Memory

#: Version of these protocols. A platform of another major version, or of a later minor one, is not loaded.
API_VERSION = (1, 0)

RESOURCES, RUNTIME, NATIVE = "resources", "runtime", "native"
FACETS = frozenset({RESOURCES, RUNTIME, NATIVE})


class PlatformConfig(msgspec.Struct, frozen=True):
    """What a platform's constructor is told."""

    #: Name of the platform in this daemon, from its table in the settings; the plugin's where it has none.
    name: str
    #: The table's `options`: whatever the platform documents.
    options: dict[str, Any] = {}
    #: The daemon's own settings.
    settings: Settings = Settings()


class NativeCall(msgspec.Struct, frozen=True, array_like=True):
    """A native operation that somebody asked for."""

    #: Unique within the daemon.
    number: int
    operation: str
    #: MessagePack, in the form that the operation documents.
    body: bytes
    #: Seconds that it may take.
    time_limit_s: float


class NativeDone(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A native operation was answered."""

    number: int
    #: MessagePack, in the form that the operation documents.
    body: bytes


class NativeFailed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A native operation failed."""

    number: int
    error: ErrorReport


class DeviceLoad(msgspec.Struct, frozen=True, array_like=True):
    """What a device has to do that this daemon did not give it."""

    #: Tasks of other users that wait in front of the device; None where it does not say.
    queued: int | None = 0
    #: Seconds of their work, by the platform's estimate; None where it does not say.
    queued_s: float | None = 0.0


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
    #: Version of the calibration that the program was lowered for; empty: any. Under another the run
    #: fails with StaleCalibration.
    calibration: str = ""
    #: Index of its first set in the sets that the seed counts.
    first_set: int = 0


class RunDone(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A run was answered."""

    task: int
    epoch: int
    run_began_ns: int
    run_ended_ns: int
    compile_ns: int
    cached: bool
    #: None of an ideal simulator.
    conditions: Conditions | None
    answers: bytes


class RunFailed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A run failed by its own fault: it will not be repeated."""

    task: int
    epoch: int
    error: ErrorReport


class Sink(Protocol):
    """Where a platform reports. Called on the daemon's thread."""

    def devices_changed(self, platform: str) -> None:
        """`devices()` of a platform gives other devices than before: its host came up, or is gone for good."""
        ...

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        """A slot of a device takes runs from now on."""
        ...

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        """A slot is gone, and with it the runs that it had.

        They run again elsewhere, except one that had begun on a device that does not rerun: it fails with
        TaskInterrupted. `running` is the task that had begun, if any; only for it does this count as an attempt.
        """
        ...

    def device_offline(self, device: str, reason: str) -> None:
        """A device takes no tasks any more, for `reason`."""
        ...

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        """A device says what happened to it; with `calibration` where the event names a new version."""
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

    def native_ended(self, device: str, outcome: NativeDone | NativeFailed) -> None:
        """A native operation was answered or failed."""
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
class ResourceManagement(Protocol):
    """Facet *resources*: what there is, what it has to do, and soft reservations of it."""

    def devices(self) -> Sequence[DeviceProfile]:
        """The devices that it serves."""
        ...

    def load(self, device: str) -> DeviceLoad:
        """What else the device has to do."""
        ...

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """Cost of a task. Raises TooLarge or UnsupportedFeature where the device cannot run it."""
        ...

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        """What of a request would be granted now; changes nothing."""
        ...

    def reserve(self, device: str, request: ReservationRequest) -> Offer:
        """Grants it: what of it, with an event of kind reservation. The same number and epoch again changes nothing.

        Raises:
            NoCapacity: nothing can be granted; says when to try again.
            StaleEpoch: a later owner has it.
        """
        ...

    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        """Lets a reservation last so long from now. Raises RequestError (no such one), StaleEpoch."""
        ...

    def release(self, device: str, number: int, epoch: int) -> None:
        """Gives a reservation back. No error if it is gone. Raises StaleEpoch."""
        ...


@runtime_checkable
class Runtime(Protocol):
    """Facet *runtime*: runs tasks."""

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        """Begins to serve. `programs` gives the program of any digest that a `Run` names."""
        ...

    def warm(self, device: str) -> None:
        """A task for this device was accepted: its slots should become ready, by `slot_ready`."""
        ...

    def state(self, device: str) -> DeviceState:
        """Where the device is in its life now."""
        ...

    def calibration(self, device: str) -> Calibration | None:
        """The newest calibration; None of an ideal device."""
        ...

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        """Runs these in order on a slot, behind what it already has.

        A run that it has already, by task and epoch, is not run twice. One with an older epoch than it has
        seen of the task is refused: StaleEpoch, by `run_ended`.
        """
        ...

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        """Ends a run if it can be ended; answers still come, if they come, by `run_ended`."""
        ...

    def close(self) -> None:
        """Ends all that it started. Does not wait longer than a second."""
        ...


@runtime_checkable
class Native(Protocol):
    """Facet *native*: what only this hardware has, by the names in `DeviceProfile.native`."""

    def call(self, device: str, call: NativeCall) -> None:
        """Starts an operation; it is answered by `native_ended`, within its time limit."""
        ...


@runtime_checkable
class Platform(ResourceManagement, Runtime, Protocol):
    """Serves devices: a plugin of the entry point group `qfw.platforms`, made with one PlatformConfig."""

    #: The version of these protocols that it was written for.
    api_version: ClassVar[tuple[int, int]]
    #: Names of the facets that it has; `resources` and `runtime` at least.
    facets: ClassVar[frozenset[str]]
