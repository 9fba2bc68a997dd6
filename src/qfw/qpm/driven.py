"""DrivenPlatform: makes a Platform of a Driver. docs/specs/platform.md says what a platform promises.

What a driver does happens on threads (`lanes`), what the platform does on its reactor's; between them there
is a mailbox. A call that goes on beyond its limit is answered without it; its thread is left behind and
another one takes its place, a few times.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from qfw.config.settings import PlatformSettings
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile, DeviceState, Estimate
from qfw.model.errors import (
    BrokenPlugin,
    DeadlineExceeded,
    ErrorReport,
    PlatformFailed,
    QFwError,
    UnknownDevice,
    UnsupportedFeature,
)
from qfw.model.events import DeviceEvent
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm import admission, registry
from qfw.qpm.bulletin import Bulletin
from qfw.qpm.driver import Driver
from qfw.qpm.execution import Programs, report_of
from qfw.qpm.fence import Fence
from qfw.qpm.lanes import Lane, Mailbox
from qfw.qpm.natives import Natives
from qfw.qpm.platform import (
    API_VERSION,
    FACETS,
    DeviceLoad,
    NativeCall,
    NativeFailed,
    PlatformConfig,
    ProgramSource,
    Reactor,
    Run,
    RunFailed,
    Sink,
)
from qfw.qpm.slots import DeviceSlots

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

#: Seconds that a driver has to answer about a reservation, and to close.
ANSWER_S, CLOSE_S = 1.0, 0.8


class MakesDriver(Protocol):
    """A driver's class, or another callable that makes one.

    Not a Callable: that would be taken for a method of the platform.
    """

    def __call__(self, config: PlatformConfig, /) -> Driver:
        """The driver. Raises ConfigError where the options are wrong."""
        ...


class DrivenPlatform:
    """Serves what a driver drives; satisfies `qfw.qpm.platform.Platform`, with all facets.

    A plugin is a subclass that names its driver:

        class AcmePlatform(DrivenPlatform):
            driver_class = AcmeDriver
    """

    api_version: ClassVar[tuple[int, int]] = API_VERSION
    facets: ClassVar[frozenset[str]] = FACETS
    #: Makes the driver, of the PlatformConfig.
    driver_class: ClassVar[MakesDriver]

    def __init__(self, config: PlatformConfig) -> None:
        """Makes the driver and asks it for its devices; connects to nothing.

        Raises:
            BrokenPlugin: no driver is named, or its devices cannot be served.
            QFwError: as the driver raises it.
        """
        if not hasattr(type(self), "driver_class"):
            raise BrokenPlugin(f"{type(self).__name__} names no driver: set driver_class = YourDriver")
        self._name = config.name
        settings = config.settings.platforms.get(config.name, PlatformSettings())
        self._start_limit_s, self._grace_s = settings.start_limit_s, settings.grace_s
        try:
            self._driver = type(self).driver_class(config)
            self._profiles = _checked(self._driver.devices(), config.name)
        except QFwError:
            raise
        except Exception as error:
            raise BrokenPlugin(
                f"the driver of platform {config.name} cannot be made: {type(error).__name__}: {error}"
            ) from error
        self._bulletin = Bulletin(list(self._profiles), self._reported)
        self._fence = Fence()
        self._programs = Programs()
        self._mailbox = Mailbox()
        self._lane = Lane(f"{config.name}: calls", self._mailbox)
        #: The call on that lane that was last given up.
        self._overdue: Future[Any] | None = None
        self._loads: dict[str, DeviceLoad] = {}
        self._asking_load: set[str] = set()
        self._natives = Natives(self._driver, self._grace_s, self._mailbox)
        self._slots: dict[str, DeviceSlots] = {}
        self._reactor: Reactor
        self._sink: Sink
        self._source: ProgramSource
        self._closed = False

    def devices(self) -> Sequence[DeviceProfile]:
        """See Platform."""
        return list(self._profiles.values())

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        """See Platform. Waits until the driver is connected, at most `start_limit_s` of the settings.

        Raises:
            SetupError, PlatformFailed: the driver cannot connect.
            DeadlineExceeded: it does not come to an end.
        """
        self._reactor, self._sink, self._source = reactor, sink, programs
        reactor.watch(self._mailbox.fd, self._mailbox.deliver)
        self._natives.open(reactor, sink)
        self._slots = {
            name: DeviceSlots(
                profile, self._driver, self._programs, self._bulletin, self._grace_s, self._mailbox
            )
            for name, profile in self._profiles.items()
        }
        for slots in self._slots.values():
            slots.open(reactor, sink)
        self._ask("connect", self._connect, self._start_limit_s)

    def warm(self, device: str) -> None:
        """See Platform. Slots are ready at once; it is said in the reactor's next turn."""
        self._known(device)
        self._mailbox.post(self._slots[device].warm)

    def state(self, device: str) -> DeviceState:
        """See Runtime: as the driver reported it last."""
        return self._bulletin.state(device)

    def calibration(self, device: str) -> Calibration | None:
        """See Runtime: as the driver reported it last."""
        return self._bulletin.calibration(device)

    def load(self, device: str) -> DeviceLoad:
        """See ResourceManagement: what the driver said last; it is asked again, for the next call."""
        self._known(device)
        if device not in self._asking_load and not self._closed:
            self._asking_load.add(device)
            self._lane.do(partial(self._driver_load, device), partial(self._keep_load, device))
        return self._loads.get(device, DeviceLoad(None, None))

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """See Platform. The driver's, if it has one; it is asked on this thread, so it must only calculate."""
        profile = self._known(device)
        admission.check_task(profile, program, outputs, sets, shots)
        try:
            own = self._driver.estimate(device, program, outputs, sets, shots)
        except QFwError:
            raise
        except Exception as error:
            raise report_of(error, device).to_exception() from error
        return own or admission.cost(profile, self.calibration(device), program, outputs, sets, shots)

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        """See ResourceManagement. This and the next three wait for the driver, at most a second."""
        self._known(device)
        return self._ask("evaluate", lambda: self._driver.evaluate(device, request))

    def reserve(self, device: str, request: ReservationRequest) -> Offer:
        """See ResourceManagement."""
        self._known(device)
        return self._ask("reserve", lambda: self._driver.reserve(device, request))

    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        """See ResourceManagement."""
        self._known(device)
        self._ask("renew", lambda: self._driver.renew(device, number, epoch, lifetime_s))

    def release(self, device: str, number: int, epoch: int) -> None:
        """See ResourceManagement."""
        self._known(device)
        self._ask("release", lambda: self._driver.release(device, number, epoch))

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        """See Runtime."""
        self._known(device)
        slots = self._slots[device]
        admitted = []
        for run in runs:
            try:
                if slots.has(slot) and self._fence.admit(run.task, run.epoch):
                    source = self._programs.get(run.program) or self._source.encoded(run.program)
                    admitted.append((run, source))
            except QFwError as error:
                failed = RunFailed(run.task, run.epoch, ErrorReport.of(error))
                self._mailbox.post(partial(self._sink.run_ended, device, slot, os.getpid(), failed))
        slots.start(slot, admitted)

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        """See Runtime. A driver that goes on is left behind after `grace_s` of the settings."""
        self._known(device)
        self._slots[device].cancel(slot, task, epoch)

    def call(self, device: str, call: NativeCall) -> None:
        """See Native."""
        profile = self._known(device)
        if call.operation in profile.native:
            self._natives.call(device, call)
            return
        error = UnsupportedFeature(
            f"device {device} has no native operation {call.operation!r}; it has "
            f"{', '.join(profile.native) or 'none'}"
        )
        failed = NativeFailed(call.number, ErrorReport.of(error))
        self._mailbox.post(partial(self._sink.native_ended, device, failed))

    def close(self) -> None:
        """See Runtime."""
        if self._closed:
            return
        self._closed = True
        for slots in self._slots.values():
            slots.close()
        self._natives.close()
        closing = self._lane.ask(self._driver.close)
        self._lane.stop()
        try:
            closing.result(CLOSE_S)
        except TimeoutError:
            logger.warning("driver left behind: platform=%s it does not close", self._name)
        except Exception as error:
            logger.warning("driver closed badly: platform=%s error=%r", self._name, error)
        if self._slots:
            self._reactor.unwatch(self._mailbox.fd)
        self._mailbox.close()

    def _connect(self) -> None:
        self._driver.open(self._bulletin)
        for name in self._profiles:
            self._bulletin.begin(name, self._driver.state(name), self._driver.calibration(name))
            self._loads[name] = self._driver_load(name)

    def _ask(self, what: str, work: Callable[[], _T], limit_s: float = ANSWER_S) -> _T:
        """What the driver answers on its lane, within the limit. Raises QFwError only."""
        if self._overdue is not None and not self._overdue.done():
            raise PlatformFailed(f"the driver of platform {self._name} still does not answer an earlier call")
        answer = self._lane.ask(work)
        try:
            error = answer.exception(limit_s)
        except TimeoutError:
            self._overdue = answer
            raise DeadlineExceeded(
                f"the driver of platform {self._name} did not {what} within {limit_s:g} s"
            ) from None
        if error is None:
            return answer.result()
        if isinstance(error, QFwError):
            raise error
        raise report_of(error, self._name).to_exception() from error

    def _driver_load(self, device: str) -> DeviceLoad:
        try:
            return self._driver.load(device)
        except Exception as error:
            logger.warning("load unknown: device=%s error=%r", device, error)
            return DeviceLoad(None, None)

    def _keep_load(self, device: str, load: DeviceLoad) -> None:
        self._asking_load.discard(device)
        self._loads[device] = load

    def _reported(self, device: str, event: DeviceEvent, calibration: Calibration | None) -> None:
        """On the thread that reports."""
        self._mailbox.post(partial(self._tell, device, event, calibration))

    def _tell(self, device: str, event: DeviceEvent, calibration: Calibration | None) -> None:
        self._sink.device_reported(device, event, calibration)
        self._slots[device].changed()

    def _known(self, device: str) -> DeviceProfile:
        found = self._profiles.get(device)
        if found is None:
            raise UnknownDevice(registry.unknown("device", device, sorted(self._profiles)))
        return found


def _checked(profiles: Sequence[DeviceProfile], platform: str) -> dict[str, DeviceProfile]:
    found: dict[str, DeviceProfile] = {}
    for profile in profiles:
        if not profile.name or profile.name in found:
            raise BrokenPlugin(f"platform {platform}: its driver has two devices called {profile.name!r}")
        if profile.slots < 1:
            raise BrokenPlugin(
                f"platform {platform}: device {profile.name} has {profile.slots} slots; it needs one at least"
            )
        found[profile.name] = msgspec.structs.replace(profile, platform=platform)
    if not found:
        raise BrokenPlugin(f"platform {platform}: its driver has no devices")
    return found
