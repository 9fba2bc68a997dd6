"""HostedPlatform: the daemon's end of a platform that runs in a host process. It believes nothing.

A host that hangs, floods, breaks the protocol or dies is ended with all that it started; its devices are
offline, with the reason, until another host serves them. Nothing here waits, and what is done for a host in
one turn of the loop is bounded.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import msgspec

from qfw import __version__
from qfw.config.discover import cores, memory_bytes
from qfw.config.settings import PlatformSettings
from qfw.hosts import claims
from qfw.hosts.link import Link
from qfw.hosts.protocol import (
    HOST_VERSION,
    MAX_FRAME_BYTES,
    MESSAGE_BYTES,
    Answered,
    Broken,
    CallHost,
    CancelRun,
    Close,
    Ended,
    Greeting,
    Load,
    NativeEnded,
    Offline,
    Open,
    Ping,
    Pong,
    Reported,
    Reservation,
    Settled,
    SlotLost,
    SlotReady,
    Start,
    Warm,
    decode_from_host,
    decode_greeting,
)
from qfw.hosts.rate import Rate
from qfw.hosts.served import Held, Served, Slot
from qfw.model.answer_check import checking
from qfw.model.calibration import Calibration
from qfw.model.device import DEVICE_TRANSITIONS, RUNNING, DeviceProfile, DeviceState, Estimate
from qfw.model.errors import (
    BrokenPlugin,
    DeadlineExceeded,
    ErrorReport,
    NoCapacity,
    PlatformFailed,
    QFwError,
    UnknownDevice,
    UnsupportedFeature,
    VersionMismatch,
    WireError,
    WrongAnswer,
)
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.model.outputs import Output, decode_outputs
from qfw.model.program import Measure, Program
from qfw.processes.backoff import retry_s
from qfw.qpm import admission, registry
from qfw.qpm.large import in_memory
from qfw.qpm.platform import (
    API_VERSION,
    FACETS,
    DeviceLoad,
    NativeCall,
    NativeFailed,
    Offer,
    PlatformConfig,
    ProgramSource,
    Reactor,
    ReservationRequest,
    Run,
    RunDone,
    RunFailed,
    Sink,
)
from qfw.qpm.shared import Memory
from qfw.qpm.wire import Parcel, encode, pack

logger = logging.getLogger(__name__)

#: Hosts that may end in a row, with no run given or answered, until the platform is broken.
MAX_FAILURES = 4
#: A host that lived so long did not fail in a row.
HEALTHY_S = 60.0
#: Answers that fit no run, until the host is ended.
MAX_LATE = 16
#: Digests that a host is believed to know; it keeps more.
KNOWN_PROGRAMS, REGISTERS = 2048, 4096
#: Devices that its hosts may have had, by and by.
MAX_SEEN = 4 * claims.MAX_DEVICES
#: Steps of an answer's check in one turn of the loop, and the time between the turns.
CHECK_STEPS, CHECK_S = 2, 0.001
MAX_TEXT, MAX_NOTES, MAX_FIGURES = 2000, 16, 64
#: Unix time in nanoseconds, in the year 2262: sums of two such times stay within the integers of the journal.
MAX_WALL_NS = 2**63
#: Seconds that a host may take to close its platform when the daemon ends, a little more than a driver has; and
#: until it is gone when it was ended.
LEAVE_S, COLLECT_S = 0.9, 0.1
#: Seconds after which the question for a reservation is worth repeating.
ASK_AGAIN_S = 0.05


class HostedPlatform:
    """A platform in a host process; satisfies `qfw.qpm.platform.Platform` and Native."""

    api_version: ClassVar[tuple[int, int]] = API_VERSION
    facets: ClassVar[frozenset[str]] = FACETS

    def __init__(self, config: PlatformConfig, plugin: str, settings: PlatformSettings) -> None:
        """Starts nothing.

        Args:
            config: what the plugin is told.
            plugin: name of its entry point, in the host's environment.
            settings: the host's interpreter and limits.
        """
        self._config, self._plugin, self._settings = config, plugin, settings
        workers = config.settings.workers
        self._memory_bytes = (
            settings.memory_bytes or workers.memory_bytes or int(0.8 * memory_bytes() / cores())
        )
        self._link: Link | None = None
        self._devices: dict[str, Served] = {}
        self._seen: dict[str, Served] = {}
        self._claimed: frozenset[str] = frozenset()
        self._broken: ErrorReport | None = None
        self._settled = False
        self._closed = False
        #: Ends of hosts in a row, without a run answered; and those among them without a run begun.
        self._failures = self._idle_failures = 0
        self._late = 0
        self._number = 0
        self._registers: OrderedDict[bytes, Program] = OrderedDict()
        self._asked: dict[tuple[str, str, ReservationRequest], Answered | None] = {}
        self._questions: dict[int, tuple[str, str, ReservationRequest]] = {}
        self._begin()

    def _begin(self) -> None:
        """What belongs to one host."""
        self._greeted = self._up = False
        self._ping = self._pinged = 0
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._natives: dict[int, str] = {}
        self._late = 0

    @property
    def name(self) -> str:
        """Its name in this daemon."""
        return self._config.name

    @property
    def settled(self) -> bool:
        """Whether its devices are known, or that there will be none."""
        return self._settled

    @property
    def broken(self) -> ErrorReport | None:
        """Why it serves nothing, for good."""
        return self._broken

    @property
    def late_answers(self) -> int:
        """Answers of the present host that fitted no run."""
        return self._late

    @property
    def host_pid(self) -> int | None:
        """Of the present host; None while there is none."""
        return self._link.pid if self._link is not None else None

    def devices(self) -> Sequence[DeviceProfile]:
        """See Platform. None before it has settled and after it broke."""
        return [] if self._broken is not None else [served.profile for served in self._devices.values()]

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        """See Platform. The host's devices come later, by `devices_changed`."""
        self._reactor, self._sink, self._programs = reactor, sink, programs
        self._launch()

    def warm(self, device: str) -> None:
        """See Platform."""
        served = self._served(device)
        if not served.warm:
            served.warm = True
            if self._up:
                self._say(Warm(device))

    def state(self, device: str) -> DeviceState:
        """See Runtime."""
        return self._served(device).state

    def calibration(self, device: str) -> Calibration | None:
        """See Runtime."""
        return self._served(device).calibration

    def load(self, device: str) -> DeviceLoad:
        """See ResourceManagement: as the host said with its last pong."""
        return self._served(device).load

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """See Platform. By profile and calibration; the platform's own is asked in the host before each start."""
        served = self._served(device)
        found = admission.estimate(served.profile, served.calibration, program, outputs, sets, shots)
        self._register(program.digest, program)
        return found

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        """See ResourceManagement.

        Raises:
            NoCapacity: the host was asked; the same call later gives its answer. So do the three below.
        """
        return self._answer(device, "evaluate", request) or Offer(0, None)

    def reserve(self, device: str, request: ReservationRequest) -> Offer:
        """See `evaluate`."""
        return self._answer(device, "reserve", request) or Offer(0, None)

    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        """See `evaluate`."""
        self._answer(device, "renew", ReservationRequest(number, 0, 0.0, 0.0, lifetime_s, epoch))

    def release(self, device: str, number: int, epoch: int) -> None:
        """See `evaluate`."""
        self._answer(device, "release", ReservationRequest(number, 0, 0.0, 0.0, 0.0, epoch))

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        """See Runtime."""
        found = self._served(device).slots.get(slot)
        if found is None or not self._up:
            return  # Lost in this very turn: the loss was reported, and the runs with it.
        if not runs:
            return
        for run in runs:
            if run.program not in self._known:
                self._say(Load(run.program, self._programs.encoded(run.program)))
                self._known[run.program] = None
                if len(self._known) > KNOWN_PROGRAMS:
                    self._known.popitem(last=False)
        if not found.runs:
            found.head_s = self._reactor.now()
        for run in runs:
            found.runs.append(Held(run, decode_outputs(run.outputs), self._register(run.program)))
        self._watch_deadline(found)
        self._bound_frames()
        self._say(Start(device, slot, list(runs)))

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        """See Runtime. A run that goes on for `grace_s` as the first of its slot is ended with its host."""
        found = self._served(device).slots.get(slot)
        held = found.find(task, epoch) if found is not None else None
        if found is None or held is None:
            return
        self._say(CancelRun(device, slot, task, epoch))
        held.cancelled = True
        if found.runs[0] is held:
            self._end_soon(found, held)

    def call(self, device: str, call: NativeCall) -> None:
        """See Native."""
        served = self._served(device)
        if call.operation not in served.profile.native:
            raise UnsupportedFeature(
                f"device {device} has no native operation {call.operation!r}; it has "
                f"{', '.join(served.profile.native) or 'none'}"
            )
        if not self._up:
            raise NoCapacity(f"device {device} is {served.state}: {served.reason}. Try again later")
        self._natives[call.number] = device
        self._say(CallHost(device, call))
        link = self._link

        def overdue() -> None:
            if self._link is link and call.number in self._natives:
                self._native_failed(
                    call.number,
                    DeadlineExceeded(f"{call.operation} took longer than {call.time_limit_s:g} s"),
                )
                self._lose(f"native operation {call.operation} was not answered in time")

        self._reactor.call_at(self._reactor.now() + call.time_limit_s + self._settings.grace_s, overdue)

    def leave(self) -> None:
        """Begins to close, and waits for nothing: the host closes its platform, or is ended a little later.

        Nothing is reported from here on.
        """
        if self._closed:
            return
        self._closed = True
        if self._link is not None and self._up:
            self._link.leave(pack(Close()), LEAVE_S)
        elif self._link is not None:
            # What has not come up has nothing to close.
            self._link.end()

    def close(self) -> None:
        """See Platform. Waits for the end of the host, within the second of the contract."""
        self.leave()
        link, self._link = self._link, None
        if link is not None:
            link.wait()
            link.collect(COLLECT_S)

    # The host's life.

    def _launch(self) -> None:
        if self._closed or self._broken is not None:
            return
        self._begin()
        now = self._reactor.now()
        self._began_s = now
        self._rate = Rate(self._settings.event_burst, self._settings.events_per_s, now)
        try:
            link = self._link = Link(
                self.name, self._settings, self._memory_bytes, self._reactor, self._message, self._gone
            )
        except PlatformFailed as error:
            # What the settings name cannot be run: that stays so.
            self._break(BrokenPlugin(str(error)))
            return
        link.say(pack(Greeting(HOST_VERSION, API_VERSION, __version__)))
        limit_s = self._settings.start_limit_s

        def not_up_in_time() -> None:
            if self._link is link and not self._up:
                self._lose(f"it did not come up within {limit_s:g} s")

        self._reactor.call_at(now + limit_s, not_up_in_time)

    def _lose(self, reason: str) -> None:
        """Ends the host, and deals with its end."""
        if self._link is not None and not self._closed:
            self._link.end()
            self._gone(reason)

    def _gone(self, reason: str, error: QFwError | None = None) -> None:
        """The host is ended: its devices are offline, what ran is lost, and another one starts later."""
        if self._link is None or self._closed:
            return
        link, self._link = self._link, None
        link.end()
        if printed := link.printed():
            reason = f"{reason} (it printed: {printed})"
        logger.error("host lost: platform=%s pid=%d reason=%s", self.name, link.pid, reason)
        healthy = self._up and self._reactor.now() - self._began_s > HEALTHY_S
        self._failures = 1 if healthy else self._failures + 1
        # One that is lost under a run may be so by the run's fault, which its owner is told after some attempts.
        if not any(slot.runs for served in self._devices.values() for slot in served.slots.values()):
            self._idle_failures = 1 if healthy else self._idle_failures + 1
        self._up = False
        self._questions.clear()
        self._asked.clear()
        for number in list(self._natives):
            self._native_failed(number, PlatformFailed(f"the host of platform {self.name} is gone: {reason}"))
        for served in self._devices.values():
            self._offline(served, reason)
            for slot in list(served.slots.values()):
                self._slot_lost(slot, link.pid, reason, slot.runs[0].run.task if slot.runs else None)
        if error is not None or self._idle_failures >= MAX_FAILURES:
            self._break(
                error
                or BrokenPlugin(
                    f"platform {self.name}: its host was lost {self._idle_failures} times "
                    f"in a row, at last because {reason}"
                )
            )
        else:
            self._reactor.call_at(self._reactor.now() + retry_s(self._failures), self._launch)

    def _break(self, error: QFwError) -> None:
        """It serves nothing, for good."""
        logger.error("platform broken: platform=%s reason=%s", self.name, error)
        self._broken = ErrorReport.of(error)
        for served in self._devices.values():
            self._sink.device_offline(served.profile.name, str(error))
        self._settle()

    def _settle(self) -> None:
        self._settled = True
        self._sink.devices_changed(self.name)

    def _look_for_life(self, link: Link) -> None:
        """Pings; the last one must have been answered."""
        if self._link is not link:
            return
        if self._pinged != self._ping:
            self._lose(f"it did not answer for {self._settings.answer_limit_s:g} s")
            return
        self._ping += 1
        self._say(Ping(self._ping))
        self._reactor.call_at(
            self._reactor.now() + self._settings.answer_limit_s, lambda: self._look_for_life(link)
        )

    def _say(self, message: msgspec.Struct) -> None:
        if self._link is not None:
            self._link.say(pack(message))

    # What the host says.

    def _message(self, body: bytes) -> None:
        """Raises WireError where the host breaks the protocol; anything wrong inside is the same."""
        try:
            if not self._greeted:
                self._greet(body)
            else:
                self._handle(decode_from_host(body), body)
        except (msgspec.DecodeError, BrokenPlugin) as error:
            raise WireError(str(error)) from error

    def _greet(self, body: bytes) -> None:
        greeting: Greeting = decode_greeting(body)
        if greeting.host != HOST_VERSION or greeting.api[0] != API_VERSION[0]:
            error = VersionMismatch(
                f"the host of platform {self.name} has QFw {greeting.version} (protocol {greeting.host}, API "
                f"{greeting.api}); this daemon has {__version__} ({HOST_VERSION}, {API_VERSION}). "
                "Install the same version in both environments"
            )
            self._gone(str(error), error)
            return
        try:
            options = msgspec.Raw(encode(self._config.options))
        except (TypeError, OverflowError) as unsuited:
            wrong = BrokenPlugin(
                f"the options of platform {self.name} cannot be sent to its host: {unsuited}"
            )
            self._gone(str(wrong), wrong)
            return
        self._greeted = True
        self._say(Open(self._plugin, self.name, options, self._config.settings))

    def _handle(self, message: Any, body: bytes) -> None:
        if isinstance(body, Parcel) and not isinstance(message, Ended):
            raise WireError(f"a descriptor came with a {type(message).__name__}")
        if isinstance(message, Broken):
            error = _trimmed(message.error).to_exception()
            self._gone(str(error), error)
            return
        if isinstance(message, Settled):
            self._serve(message)
            return
        if not self._up:
            raise WireError(f"a {type(message).__name__} came before it had settled")
        if isinstance(message, (Reported, SlotReady, SlotLost, Offline)) and not self._rate.take(
            self._reactor.now()
        ):
            raise WireError(
                f"more than {self._settings.event_burst} events at once and "
                f"{self._settings.events_per_s:g} per second"
            )
        match message:
            case Pong(number=number, loads=loads):
                if number != self._ping or number == self._pinged or len(loads) != len(self._devices):
                    raise WireError("a pong came that nothing had asked for")
                self._pinged = number
                for served, load in zip(self._devices.values(), loads, strict=True):
                    served.load = load
            case Reported():
                self._reported(message)
            case SlotReady():
                self._slot_ready(message)
            case SlotLost():
                slot = self._slot(message.device, message.slot)
                running = message.running if any(h.run.task == message.running for h in slot.runs) else None
                assert self._link is not None
                self._slot_lost(slot, self._link.pid, message.reason[:MAX_TEXT], running)
            case Offline():
                self._give_up(self._said(message.device), message.reason[:MAX_TEXT])
            case Ended():
                self._ended(message, body)
            case NativeEnded():
                self._native_ended(message)
            case Answered():
                key = self._questions.pop(message.number, None)
                if key is None:
                    raise WireError("an answer came to what nobody had asked")
                self._asked[key] = message

    def _serve(self, message: Settled) -> None:
        """The host has settled."""
        if self._up:
            raise WireError("it said twice that it has settled")
        profiles = [msgspec.structs.replace(p, platform=self.name) for p in message.devices]
        try:
            claims.check_api(message.api)
            claims.check_facets(message.facets)
            if not len(profiles) == len(message.states) == len(message.calibrations):
                raise BrokenPlugin("as many states and calibrations as devices are needed")
            claims.check_devices(profiles, message.calibrations, message.facets)
            if len(self._seen.keys() | {profile.name for profile in profiles}) > MAX_SEEN:
                raise BrokenPlugin(f"platform {self.name} had more than {MAX_SEEN} devices, by and by")
        except (BrokenPlugin, VersionMismatch) as error:
            self._gone(str(error), error)
            return
        self._devices = {}
        for profile, state, calibration in zip(profiles, message.states, message.calibrations, strict=True):
            # One that was away goes on with its numbers.
            served = self._seen.setdefault(profile.name, Served(profile))
            served.profile = profile
            served.next_sequence = 0
            served.given_up = False
            self._devices[profile.name] = served
            served.adopt(calibration)
            served.coming = state
        self._up = True
        assert self._link is not None
        link = self._link
        self._settle()
        for served in self._devices.values():
            self._come_back(served)
            if served.warm:
                self._say(Warm(served.profile.name))
        self._look_for_life(link)

    def _come_back(self, served: Served) -> None:
        """Says in which state and calibration a device comes up."""
        to, version = served.coming, served.calibration.version if served.calibration else ""
        kind = DeviceEventKind.CALIBRATION if version else DeviceEventKind.STATE
        self._tell(served, kind, "its host is up", to, version)

    def _tell(
        self, served: Served, kind: DeviceEventKind, message: str, state: DeviceState, version: str = ""
    ) -> None:
        """An event that was found here."""
        served.state, served.reason = state, message
        served.sequence += 1
        event = DeviceEvent(served.sequence, kind, time.time_ns(), message, state, version)
        self._sink.device_reported(served.profile.name, event, served.calibration if version else None)

    def _offline(self, served: Served, reason: str) -> None:
        if served.state is not DeviceState.OFFLINE:
            self._tell(served, DeviceEventKind.FAULT, reason, DeviceState.OFFLINE)

    def _give_up(self, served: Served, reason: str) -> None:
        """The platform can have no slot of a device: what waits for it fails, and `warm` tries again."""
        self._offline(served, reason)
        served.warm = False
        served.given_up = True
        self._sink.device_offline(served.profile.name, reason)

    def _reported(self, message: Reported) -> None:
        served, event = self._said(message.device), message.event
        # The first number of a host is taken as it is: what was before, it had said by settling.
        if served.next_sequence not in (0, event.sequence):
            raise WireError(
                f"event {event.sequence} of {message.device} came; {served.next_sequence} was next"
            )
        served.next_sequence = event.sequence + 1
        if event.state not in (None, served.state) and event.state not in DEVICE_TRANSITIONS[served.state]:
            raise WireError(f"device {message.device} cannot become {event.state}: it is {served.state}")
        version = message.calibration.version if message.calibration is not None else ""
        if version != event.calibration:
            raise WireError(f"an event of calibration {event.calibration!r} came with {version!r}")
        if not (0 <= event.wall_ns < MAX_WALL_NS and 0 <= event.until_ns < MAX_WALL_NS):
            raise WireError(
                f"an event is dated {event.wall_ns}, until {event.until_ns}: that is no Unix time"
            )
        if message.calibration is not None:
            claims.check_calibration(message.calibration, served.profile)
            served.adopt(message.calibration)
        served.sequence += 1
        served.state = event.state or served.state
        if event.state is not None:
            served.reason = event.message[:MAX_TEXT]
            for slot in served.slots.values():
                slot.head_s = max(slot.head_s, self._reactor.now() if event.state in RUNNING else 0.0)
        event = msgspec.structs.replace(
            event,
            sequence=served.sequence,
            message=event.message[:MAX_TEXT],
            figures=tuple((name[:64], value) for name, value in event.figures[:MAX_FIGURES]),
        )
        self._sink.device_reported(message.device, event, message.calibration)

    def _slot_ready(self, message: SlotReady) -> None:
        served = self._said(message.device)
        if message.slot in served.slots or not 0 < len(message.slot) <= claims.MAX_NAME:
            raise WireError(f"slot {message.slot[:64]!r} of {message.device} is ready already")
        if len(served.slots) >= served.profile.slots:
            raise WireError(f"device {message.device} has {served.profile.slots} slots, and says one more")
        served.slots[message.slot] = Slot(message.device, message.slot)
        if served.given_up and served.state is DeviceState.OFFLINE:
            served.state, served.reason = DeviceState.ONLINE, ""
        served.given_up = False
        assert self._link is not None
        self._sink.slot_ready(message.device, message.slot, self._link.pid)

    def _slot_lost(self, slot: Slot, pid: int, reason: str, running: int | None) -> None:
        self._devices[slot.device].slots.pop(slot.name, None)
        slot.runs.clear()
        self._sink.slot_lost(slot.device, slot.name, pid, reason, running)

    # Answers.

    def _ended(self, message: Ended, body: bytes) -> None:
        slot = self._said(message.device).slots.get(message.slot)
        outcomes: list[tuple[RunDone | RunFailed, Memory | None]]
        if isinstance(body, Parcel):
            outcomes = [in_memory(message.outcomes, body.memory)]
        else:
            outcomes = [(outcome, None) for outcome in message.outcomes]
        for outcome, memory in outcomes:
            held = slot.find(outcome.task, outcome.epoch) if slot is not None else None
            if slot is None or held is None or held.checked:
                self._late += 1
                if self._late > MAX_LATE:
                    raise WireError(f"{self._late} answers came that fit no run")
            elif isinstance(outcome, RunFailed):
                failed = RunFailed(outcome.task, outcome.epoch, _trimmed(outcome.error))
                self._answered(slot, held, failed, None)
            else:
                held.checked = True
                self._check(slot, held, outcome, memory)

    def _check(self, slot: Slot, held: Held, done: RunDone, memory: Memory | None) -> None:
        """Looks at an answer, a few steps in each turn of the loop."""
        run = held.run
        try:
            self._check_conditions(self._devices[slot.device], run, done)
            encoded = done.answers if memory is None else memory.view()
        except (WrongAnswer, OSError) as error:
            found = error if isinstance(error, QFwError) else PlatformFailed(f"a large answer: {error}")
            self._answered(slot, held, RunFailed(run.task, run.epoch, ErrorReport.of(found)), None)
            return
        steps = checking(encoded, held.outputs, held.register, run.sets, run.shots)
        self._step(slot, held, self._timed(slot, done), memory, steps)

    def _step(
        self, slot: Slot, held: Held, done: RunDone, memory: Memory | None, steps: Iterator[None]
    ) -> None:
        if held not in slot.runs:
            return
        try:
            for _ in range(CHECK_STEPS):
                next(steps)
        except StopIteration:
            self._failures = self._idle_failures = 0
            self._answered(slot, held, done, memory)
        except WrongAnswer as error:
            self._answered(slot, held, RunFailed(done.task, done.epoch, ErrorReport.of(error)), None)
        else:
            again: Callable[[], None] = lambda: self._step(slot, held, done, memory, steps)  # noqa: E731
            self._reactor.call_at(self._reactor.now() + CHECK_S, again)

    def _timed(self, slot: Slot, done: RunDone) -> RunDone:
        """With times that can be: between the start and now."""
        now_ns = int(self._reactor.now() * 1e9)
        began = min(max(done.run_began_ns, int(slot.head_s * 1e9)), now_ns)
        ended = min(max(done.run_ended_ns, began), now_ns)
        compiled = min(max(done.compile_ns, 0), ended - began)
        return msgspec.structs.replace(done, run_began_ns=began, run_ended_ns=ended, compile_ns=compiled)

    def _check_conditions(self, served: Served, run: Run, done: RunDone) -> None:
        conditions, name = done.conditions, served.profile.name
        if conditions is None:
            if served.versions:
                raise WrongAnswer(f"device {name} did not say under which calibration task {run.task} ran")
            return
        if conditions.calibration not in served.versions and (conditions.calibration or served.versions):
            raise WrongAnswer(f"device {name} has no calibration {conditions.calibration[:64]!r}")
        if run.calibration and conditions.calibration != run.calibration:
            raise WrongAnswer(
                f"task {run.task} was lowered for calibration {run.calibration!r} of {name} and ran under "
                f"{conditions.calibration!r}"
            )
        if (
            conditions.device_ns < 0
            or len(conditions.notes) > MAX_NOTES
            or any(len(note) > MAX_TEXT for note in conditions.notes)
        ):
            raise WrongAnswer(f"device {name} answered conditions that cannot be")

    def _answered(self, slot: Slot, held: Held, outcome: RunDone | RunFailed, memory: Memory | None) -> None:
        first = slot.runs[0] is held
        slot.runs.remove(held)
        if first and slot.runs:
            slot.head_s = self._reactor.now()
            self._watch_deadline(slot)
            if slot.runs[0].cancelled:
                self._end_soon(slot, slot.runs[0])
        self._bound_frames()
        pid = self._link.pid if self._link is not None else 0
        self._sink.run_ended(slot.device, slot.name, pid, outcome, memory)

    def _bound_frames(self) -> None:
        """A frame may be as large as the largest answer that is awaited."""
        largest = max(
            (
                held.answer_bytes
                for served in self._devices.values()
                for slot in served.slots.values()
                for held in slot.runs
            ),
            default=0,
        )
        if self._link is not None:
            self._link.reader.max_bytes = min(MESSAGE_BYTES + largest, MAX_FRAME_BYTES)

    # Deadlines.

    def _watch_deadline(self, slot: Slot) -> None:
        head = slot.runs[0]
        at_s = slot.head_s + head.run.time_limit_s + self._settings.grace_s
        if not head.watched:
            head.watched = True
            self._reactor.call_at(at_s, lambda: self._look_at_deadline(slot, head))

    def _look_at_deadline(self, slot: Slot, head: Held) -> None:
        if not slot.runs or slot.runs[0] is not head or head.checked:
            return
        head.watched = False
        limit_s = head.run.time_limit_s
        if self._devices[slot.device].state not in RUNNING:
            # It calibrates, or is under repair: the clock begins anew when it runs.
            slot.head_s = self._reactor.now()
        if self._reactor.now() < slot.head_s + limit_s + self._settings.grace_s:
            self._watch_deadline(slot)
            return
        error = DeadlineExceeded(
            f"the task ran longer than its limit of {limit_s:g} s on {slot.device} and was ended. "
            "Give it more (time_limit_s, workers.time_limit_s) or make it smaller"
        )
        self._answered(slot, head, RunFailed(head.run.task, head.run.epoch, ErrorReport.of(error)), None)
        self._lose("a task ran past its deadline")

    def _end_soon(self, slot: Slot, held: Held) -> None:
        def end_if_still_running() -> None:
            if slot.runs and slot.runs[0] is held and not held.checked:
                self._lose("a cancelled task went on")

        self._reactor.call_at(self._reactor.now() + self._settings.grace_s, end_if_still_running)

    # The rest.

    def _native_ended(self, message: NativeEnded) -> None:
        outcome = message.outcome
        if self._natives.pop(outcome.number, None) != message.device:
            raise WireError("a native operation was answered that nobody had asked for")
        if isinstance(outcome, NativeFailed):
            outcome = NativeFailed(outcome.number, _trimmed(outcome.error))
        self._sink.native_ended(message.device, outcome)

    def _native_failed(self, number: int, error: QFwError) -> None:
        device = self._natives.pop(number)
        self._sink.native_ended(device, NativeFailed(number, ErrorReport.of(error)))

    def _answer(self, device: str, verb: str, request: ReservationRequest) -> Offer | None:
        """What the host answered to this before; else it is asked."""
        self._served(device)
        key = (device, verb, request)
        answer = self._asked.get(key)
        if answer is not None:
            del self._asked[key]
            if answer.error is not None:
                raise _trimmed(answer.error).to_exception()
            return answer.offer
        if key not in self._asked:
            if len(self._asked) >= self._settings.event_burst:
                self._asked.clear()
            self._asked[key] = None
            self._number += 1
            self._questions[self._number] = key
            self._say(Reservation(self._number, device, verb, request))
        error = NoCapacity(f"platform {self.name} was asked to {verb}; ask again for its answer")
        error.retry_after_s = ASK_AGAIN_S
        raise error

    def _register(self, digest: bytes, program: Program | None = None) -> Program:
        """A program of the same width as the one of this digest: all that an answer's check needs of it."""
        found = self._registers.get(digest)
        if found is None:
            program = program or Program.decode(self._programs.encoded(digest))
            found = Program(program.num_qubits, program.num_bits, 0, (Measure(0, 0),))
            self._registers[digest] = found
            if len(self._registers) > REGISTERS:
                self._registers.popitem(last=False)
        return found

    def _served(self, device: str) -> Served:
        found = self._devices.get(device)
        if found is None:
            raise UnknownDevice(registry.unknown("device", device, sorted(self._devices)))
        return found

    def _said(self, device: str) -> Served:
        """The device that the host speaks of. Raises WireError."""
        found = self._devices.get(device)
        if found is None:
            raise WireError(f"it speaks of a device {device[:64]!r} that it does not have")
        return found

    def _slot(self, device: str, slot: str) -> Slot:
        found = self._said(device).slots.get(slot)
        if found is None:
            raise WireError(f"it speaks of a slot {slot[:64]!r} that {device} does not have")
        return found


def _trimmed(error: ErrorReport) -> ErrorReport:
    """An error as a host may have made it up, at a bearable length."""
    return ErrorReport(error.code[:64], error.message[:MAX_TEXT], error.retry_after_s)
