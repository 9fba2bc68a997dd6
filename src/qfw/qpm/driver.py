"""Driver: the short way to a platform. A vendor writes blocking calls; the rest of the contract is done for it.

`qfw.qpm.driven.DrivenPlatform` makes a Platform of a Driver: slots with a thread each, time limits,
cancellation, fencing, idempotent starts, estimates from profile and calibration, events in order.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration
from qfw.model.conditions import Conditions
from qfw.model.device import DeviceProfile, DeviceState, Estimate
from qfw.model.events import DeviceEventKind
from qfw.model.outputs import Answer, Output
from qfw.model.program import Program
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.platform import DeviceLoad


@dataclass(frozen=True)
class Execution:
    """One run, as a driver gets it: checked and native."""

    device: str
    program: Program
    outputs: tuple[Output, ...]
    #: Shape (sets, slots), radians, finite.
    parameters: npt.NDArray[np.float64]
    #: 0 for exact answers.
    shots: int
    #: One for each set, 0 to 2**64 - 1; equal seeds give equal answers where the device can do that.
    seeds: Sequence[int]
    #: Version that the program was lowered for; empty: any.
    calibration: str
    time_limit_s: float
    #: Set when nobody wants the answer any more: return, or raise, soon.
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Answered:
    """What a driver answers: in the order of the outputs, and under which conditions it ran."""

    answers: tuple[Answer, ...]
    conditions: Conditions = field(default_factory=Conditions)


class Reporter(Protocol):
    """Given to a driver to say what happens to its devices. May be called from any thread."""

    def report(
        self,
        device: str,
        kind: DeviceEventKind,
        message: str,
        *,
        state: DeviceState | None = None,
        calibration: Calibration | None = None,
        wall_ns: int | None = None,
        until_ns: int = 0,
        figures: Sequence[tuple[str, float]] = (),
    ) -> None:
        """An event; it is numbered here. Without `wall_ns` it happened now.

        With `calibration` that is the device's from here on, and runs lowered for another fail with
        StaleCalibration before the driver sees them; `state` likewise, by the table of `DEVICE_TRANSITIONS`.

        Raises:
            PlatformFailed: the table does not allow this change of state.
        """
        ...


@runtime_checkable
class Driver(Protocol):
    """What a vendor writes, simplest on top of `qfw.qpm.base_driver.BaseDriver`.

    Calls come from threads: `run` from one for each slot, `native` from another, the others from a third;
    `devices` and `estimate`, which only calculate, from the platform's own. Those that are not `run`, `native`
    or `open` have a second.
    """

    def devices(self) -> Sequence[DeviceProfile]:
        """The devices that it drives; the same list for the life of the driver."""
        ...

    def open(self, reporter: Reporter) -> None:
        """Connects. Raises SetupError or PlatformFailed: the platform is then listed as broken, with the reason."""
        ...

    def state(self, device: str) -> DeviceState:
        """The state at the beginning; later ones are reported."""
        ...

    def calibration(self, device: str) -> Calibration | None:
        """The calibration at the beginning; later ones are reported. None of an ideal device."""
        ...

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate | None:
        """Cost of a task; None: as profile and calibration say. Raises TooLarge or UnsupportedFeature."""
        ...

    def run(self, execution: Execution) -> Answered:
        """Runs and answers; may block. Raises a typed error, which fails the task.

        Raises:
            StaleCalibration: `execution.calibration` is not the device's any more.
        """
        ...

    def native(self, device: str, operation: str, body: bytes, time_limit_s: float) -> bytes:
        """Answers a native operation of `DeviceProfile.native`; bodies are MessagePack. May block."""
        ...

    def load(self, device: str) -> DeviceLoad:
        """What else the device has to do."""
        ...

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        """What of a reservation would be granted now; this and the next three: see ResourceManagement."""
        ...

    def reserve(self, device: str, request: ReservationRequest) -> Offer:
        """See ResourceManagement."""
        ...

    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        """See ResourceManagement."""
        ...

    def release(self, device: str, number: int, epoch: int) -> None:
        """See ResourceManagement."""
        ...

    def close(self) -> None:
        """Ends within a second; runs that go on are cancelled before."""
        ...
