"""HostedPlatform: the daemon's end of a platform that runs in a host process. It believes nothing.

A host that hangs, floods, breaks the protocol or dies is ended with all that it started; its devices are
offline, with the reason, until another host serves them. Nothing here waits, and what is done for a host in
one turn of the loop is bounded. What is here joins the parts: the life of the hosts, their devices, answers,
deadlines and other calls.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from qfw.config.discover import cores, memory_bytes
from qfw.config.settings import PlatformSettings
from qfw.hosts import claims
from qfw.hosts.answers import Answers, trimmed
from qfw.hosts.calls import Natives, Questions
from qfw.hosts.claims import MAX_CALIBRATION_BYTES, MAX_TEXT
from qfw.hosts.deadlines import Deadlines
from qfw.hosts.devices import Devices
from qfw.hosts.life import Life
from qfw.hosts.protocol import (
    MAX_FRAME_BYTES,
    MESSAGE_BYTES,
    Answered,
    Broken,
    CancelRun,
    Ended,
    Load,
    NativeEnded,
    Offline,
    Open,
    Pong,
    Reported,
    Settled,
    SlotLost,
    SlotReady,
    Start,
    Warm,
    decode_from_host,
)
from qfw.hosts.served import Held, Slot
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile, DeviceState, Estimate
from qfw.model.errors import (
    BrokenPlugin,
    ErrorReport,
    NoCapacity,
    PlatformFailed,
    QFwError,
    UnsupportedFeature,
    VersionMismatch,
    WireError,
)
from qfw.model.outputs import Output, decode_outputs
from qfw.model.program import Measure, Program
from qfw.model.reservation import Offer, ReservationRequest
from qfw.processes import cgroup
from qfw.qpm import admission
from qfw.qpm.frames import Parcel, encode
from qfw.qpm.platform import (
    API_VERSION,
    FACETS,
    DeviceLoad,
    NativeCall,
    PlatformConfig,
    ProgramSource,
    Reactor,
    Run,
    RunDone,
    RunFailed,
    Sink,
)
from qfw.qpm.shared import Memory

logger = logging.getLogger(__name__)

#: Digests that a host is believed to know; it keeps more.
KNOWN_PROGRAMS, REGISTERS = 2048, 4096


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
        self._devices = Devices(config.name)
        self._life: Life | None = None
        self._broken: ErrorReport | None = None
        self._settled = False
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._registers: OrderedDict[bytes, Program] = OrderedDict()

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
        return self._answers.late

    @property
    def host_pid(self) -> int | None:
        """Of the present host; None while there is none."""
        return self._life.pid if self._life is not None else None

    def devices(self) -> Sequence[DeviceProfile]:
        """See Platform. None before it has settled and after it broke."""
        return [] if self._broken is not None else [served.profile for served in self._devices]

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        """See Platform. The host's devices come later, by `devices_changed`."""
        self._sink, self._programs = sink, programs
        try:
            options = msgspec.Raw(encode(self._config.options))
        except (TypeError, OverflowError) as error:
            raise BrokenPlugin(
                f"the options of platform {self.name} cannot be sent to its host: {error}"
            ) from error
        bytes_of_worker = self._config.settings.workers.memory_bytes or int(0.8 * memory_bytes() / cores())
        life = self._life = Life(
            self.name,
            self._settings,
            self._settings.memory_bytes or bytes_of_worker,
            reactor,
            Open(self._plugin, self.name, options, self._config.settings),
            self._heard,
            self._lost,
            self._break,
        )
        self._deadlines = Deadlines(
            self.name, self._settings, reactor, self._cancel, self._over_its_limits, life.lose
        )
        self._answers = Answers(reactor, self._answered)
        self._natives = Natives(self._settings.grace_s, reactor, sink, life.say, life.lose)
        self._questions = Questions(self.name, self._settings, life.say)
        self._devices.open(sink, reactor.now, self._deadlines.stand)
        # Of daemons that were killed.
        cgroup.sweep()
        life.launch()

    def warm(self, device: str) -> None:
        """See Platform."""
        served = self._devices.served(device)
        if not served.warm:
            served.warm = True
            if self._up:
                self._say(Warm(device))

    def state(self, device: str) -> DeviceState:
        """See Runtime."""
        return self._devices.served(device).state

    def calibration(self, device: str) -> Calibration | None:
        """See Runtime."""
        return self._devices.served(device).calibration

    def load(self, device: str) -> DeviceLoad:
        """See ResourceManagement: as the host said with its last pong."""
        return self._devices.served(device).load

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """See Platform. By profile and calibration; the platform's own is asked in the host before each start."""
        served = self._devices.served(device)
        found = admission.estimate(served.profile, served.calibration, program, outputs, sets, shots)
        self._register(program.digest, program)
        return found

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        """See ResourceManagement.

        Raises:
            NoCapacity: the host was asked; the same call later gives its answer. So do the three below.
        """
        return self._ask(device, "evaluate", request) or Offer(0, None)

    def reserve(self, device: str, request: ReservationRequest) -> Offer:
        """See `evaluate`."""
        return self._ask(device, "reserve", request) or Offer(0, None)

    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        """See `evaluate`."""
        self._ask(device, "renew", ReservationRequest(number, 0, 0.0, 0.0, lifetime_s, epoch))

    def release(self, device: str, number: int, epoch: int) -> None:
        """See `evaluate`."""
        self._ask(device, "release", ReservationRequest(number, 0, 0.0, 0.0, 0.0, epoch))

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        """See Runtime."""
        found = self._devices.served(device).slots.get(slot)
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
        idle = not found.runs
        for run in runs:
            held = Held(run, decode_outputs(run.outputs), self._register(run.program))
            found.runs.append(held)
            self._allow_frames(held.answer_bytes)
        if idle:
            self._deadlines.begin(found)
        self._say(Start(device, slot, list(runs)))

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        """See Runtime. A run that goes on for `grace_s` as the first of its slot is ended with its host."""
        found = self._devices.served(device).slots.get(slot)
        held = found.find(task, epoch) if found is not None else None
        if found is None or held is None:
            return
        self._cancel(found, held)
        held.cancelled = True
        if found.runs[0] is held:
            self._deadlines.end_soon(found, held)

    def call(self, device: str, call: NativeCall) -> None:
        """See Native."""
        served = self._devices.served(device)
        if call.operation not in served.profile.native:
            raise UnsupportedFeature(
                f"device {device} has no native operation {call.operation!r}; it has "
                f"{', '.join(served.profile.native) or 'none'}"
            )
        if not self._up:
            raise NoCapacity(f"device {device} is {served.state}: {served.reason}. Try again later")
        self._natives.call(device, call)

    def leave(self) -> None:
        """Begins to close, and waits for nothing; nothing is reported from here on."""
        if self._life is not None:
            self._life.leave()

    def close(self) -> None:
        """See Platform. Waits for the end of the host, within the second of the contract."""
        if self._life is not None:
            self._life.close()

    # What the host says.

    def _heard(self, body: bytes) -> None:
        """Raises WireError where the host breaks the protocol; anything wrong inside is the same."""
        if len(body) > MAX_CALIBRATION_BYTES and body[1] == Reported.__struct_config__.tag:
            # Looked at before it is decoded: that alone would hold up others.
            raise WireError(
                f"an event of {len(body)} bytes came; one with a calibration has {MAX_CALIBRATION_BYTES} at most"
            )
        try:
            self._handle(decode_from_host(body), body)
        except (msgspec.DecodeError, BrokenPlugin) as error:
            raise WireError(str(error)) from error

    def _handle(self, message: Any, body: bytes) -> None:
        life, devices = self._life, self._devices
        assert life is not None and life.pid is not None
        if isinstance(body, Parcel) and not isinstance(message, Ended):
            raise WireError(f"a descriptor came with a {type(message).__name__}")
        if isinstance(message, Broken):
            life.give_up(trimmed(message.error).to_exception())
            return
        if isinstance(message, Settled):
            self._serve(life, message)
            return
        if not life.up:
            raise WireError(f"a {type(message).__name__} came before it had settled")
        if isinstance(message, (Reported, SlotReady, SlotLost, Offline)):
            life.take_event()
        match message:
            case Pong():
                self._take_pong(life, message)
            case Reported():
                devices.reported(message)
            case SlotReady():
                devices.slot_ready(message, life.pid)
            case SlotLost():
                slot = devices.slot(message.device, message.slot)
                running = message.running if any(h.run.task == message.running for h in slot.runs) else None
                devices.slot_lost(slot, life.pid, message.reason[:MAX_TEXT], running)
            case Offline():
                devices.give_up(devices.said(message.device), message.reason[:MAX_TEXT])
            case Ended():
                self._answers.ended(devices.said(message.device), message, body)
            case NativeEnded():
                self._natives.ended(message)
            case Answered():
                self._questions.answered(message)

    def _serve(self, life: Life, message: Settled) -> None:
        """The host has settled."""
        if life.up:
            raise WireError("it said twice that it has settled")
        try:
            self._devices.settle(message)
        except (BrokenPlugin, VersionMismatch) as error:
            life.give_up(error)
            return
        self._known.clear()
        self._answers.late = 0
        life.up = True
        self._settle()
        for served in self._devices:
            self._devices.come_back(served)
            if served.warm:
                self._say(Warm(served.profile.name))
        life.look_for_life()

    def _take_pong(self, life: Life, message: Pong) -> None:
        life.take_pong(message)
        if len(message.loads) != len(self._devices):
            raise WireError(f"a pong came with {len(message.loads)} loads for {len(self._devices)} devices")
        for served, load in zip(self._devices, message.loads, strict=True):
            claims.check_load(load)
            served.load = load

    # What becomes of it.

    def _lost(self, pid: int, reason: str) -> bool:
        """The host is gone: its devices are offline, what ran is lost. Whether it had runs."""
        had_runs = any(True for _ in self._devices.held())
        self._questions.clear()
        self._natives.fail_all(PlatformFailed(f"the host of platform {self.name} is gone: {reason}"))
        for served in self._devices:
            self._devices.offline(served, reason)
            for slot in list(served.slots.values()):
                running = slot.runs[0].run.task if slot.runs else None
                self._devices.slot_lost(slot, pid, reason, running)
        return had_runs

    def _break(self, error: QFwError) -> None:
        """It serves nothing, for good."""
        logger.error("platform broken: platform=%s reason=%s", self.name, error)
        self._broken = ErrorReport.of(error)
        for served in self._devices:
            self._sink.device_offline(served.profile.name, str(error))
        self._settle()

    def _settle(self) -> None:
        self._settled = True
        self._sink.devices_changed(self.name)

    def _over_its_limits(self, slot: Slot, held: Held, error: ErrorReport) -> None:
        self._answered(slot, held, RunFailed(held.run.task, held.run.epoch, error), None)

    def _answered(self, slot: Slot, held: Held, outcome: RunDone | RunFailed, memory: Memory | None) -> None:
        first = slot.runs[0] is held
        slot.runs.remove(held)
        if first and slot.runs:
            self._deadlines.begin(slot)
        if not slot.runs:
            self._bound_frames()
        if self._life is not None and isinstance(outcome, RunDone):
            self._life.answered()
        self._sink.run_ended(slot.device, slot.name, self.host_pid or 0, outcome, memory)

    # The rest.

    @property
    def _up(self) -> bool:
        return self._life is not None and self._life.up

    def _say(self, message: msgspec.Struct) -> None:
        if self._life is not None:
            self._life.say(message)

    def _cancel(self, slot: Slot, held: Held) -> None:
        self._say(CancelRun(slot.device, slot.name, held.run.task, held.run.epoch))

    def _ask(self, device: str, verb: str, request: ReservationRequest) -> Offer | None:
        self._devices.served(device)
        return self._questions.ask(device, verb, request)

    def _allow_frames(self, answer_bytes: int) -> None:
        """A frame may be as large as this answer, or as it may be already."""
        if self._life is not None:
            self._life.allow_frames(min(MESSAGE_BYTES + answer_bytes, MAX_FRAME_BYTES))

    def _bound_frames(self) -> None:
        """A frame may be as large as the largest answer that is awaited."""
        if self._life is not None:
            self._life.allow_frames(MESSAGE_BYTES, afresh=True)
        for held in self._devices.held():
            self._allow_frames(held.answer_bytes)

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
