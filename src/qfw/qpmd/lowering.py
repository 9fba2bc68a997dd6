"""Lowerings: what pipelines made of programs, for whom it is being made, and what waits for it.

A program is lowered once for each pipeline, device and calibration, whatever number of tasks and sessions wait
for it. Tools run elsewhere: in workers of the daemon, or in a client; here is only decided who does what.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from qfw.config.current import Current
from qfw.model.calibration import Calibration
from qfw.model.decoding import decoder
from qfw.model.device import DeviceProfile, Estimate
from qfw.model.errors import ErrorReport, NotLowered, ProgramError, QFwError, ToolFailed
from qfw.model.events import Event, PipelineStored, ProgramStored, TaskLowered, TaskLowering, TaskRequeued
from qfw.model.pipeline import LoweredProgram
from qfw.model.program import Program
from qfw.model.relocation import Relocation
from qfw.model.task import LOWERING, QuantumTask, TaskState, task_session
from qfw.qpm.platform import Reactor
from qfw.qpm.tool import Target
from qfw.qpm.wire import MAX_ITEMS_PER_MESSAGE, Lowered, NeedLowering, OfferLowered, StorePipeline, ToolWork
from qfw.qpmd.asking import Answer, Asking
from qfw.qpmd.devices import Devices
from qfw.qpmd.intake import Fitted, Intake
from qfw.qpmd.lowered import HERE, NOBODY, Key, LoweredStore, Lowering, fitted
from qfw.qpmd.peer import Peer
from qfw.qpmd.pipelines import PipelineStore
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.programs import ProgramStore
from qfw.qpmd.state import DaemonState, TaskEntry

logger = logging.getLogger(__name__)

#: How long a task waits for the word of a device that refused its calibration, until it is tried again.
WORD_S = 1.0
#: What came of a program whose last task ended, and which was forgotten, while tools ran on it.
_FORGOTTEN = ErrorReport.of(ToolFailed("the program was forgotten while it was lowered; send it again"))
_decode_lowered = decoder(LoweredProgram)


class _Told(NamedTuple):
    """What tools are told of a device."""

    profile: DeviceProfile
    calibration: Calibration | None
    #: The Target that both are, MessagePack, and its digest.
    encoded: bytes
    digest: bytes


class ToolRunner(Protocol):
    """Runs tools away from the daemon's loop; see `qfw.simenv.toolpool.ToolPool`."""

    @property
    def tools(self) -> frozenset[str]:
        """Names of the tools that it runs."""
        ...

    def open(self, reactor: Reactor, ended: Callable[[int, bytes | ErrorReport], None]) -> None:
        """Begins to serve; `ended` is told of each program a LoweredProgram (MessagePack), or why there is none."""
        ...

    def lower(
        self, number: int, session: int, program: bytes, pipeline: bytes, target: bytes, time_limit_s: float
    ) -> None:
        """Lowers a program, for a session, within so many seconds from its begin. Never within this call."""
        ...

    def work(
        self,
        number: int,
        session: int,
        work: ToolWork,
        target: bytes,
        time_limit_s: float,
        ended: Callable[[int, bytes | ErrorReport], None],
    ) -> None:
        """Does a piece of tool work, for a session; `number` below 0. As `lower`, but its own `ended` is told."""
        ...

    def forget(self, number: int) -> bool:
        """Nobody wants it any more: whether it had not begun, and is left out."""
        ...

    def end(self, number: int) -> None:
        """Nobody wants it any more, begun or not; nobody is told."""
        ...

    #: Is told of each session whose tools took so many seconds.
    spent: Callable[[int, float], None]

    def close(self) -> None:
        """Ends all that it started."""
        ...


class Lowerings:
    """The lowered programs of a daemon; bounded."""

    def __init__(
        self,
        settings: Current,
        state: DaemonState,
        platforms: Platforms,
        devices: Devices,
        intake: Intake,
        programs: ProgramStore,
        peers: Mapping[int, Peer],
        emit: Callable[[Event], None],
        end_failed: Callable[[TaskEntry, ErrorReport], None],
        touch: Callable[[Peer], None],
        clock_ns: Callable[[], int],
        tools: ToolRunner | None,
    ) -> None:
        """Parts of the daemon's core; `end_failed` ends a task with an error. Without `tools` clients lower all."""
        self._state = state
        self._platforms = platforms
        self._devices = devices
        self._intake = intake
        self._programs = programs
        self._peers = peers
        self._emit = emit
        self._end_failed = end_failed
        self._clock_ns = clock_ns
        self._tools = tools
        self._settings = settings
        self._reactor: Reactor
        self.pipelines = PipelineStore()
        self._asking = Asking(peers, settings, self._answered, touch)
        self._store = LoweredStore(programs, settings.tools.kept, clock_ns)
        self._runs: dict[int, Lowering] = {}
        self._last = 0
        #: By task: what it has, or waits for.
        self._held: dict[int, Lowering] = {}
        self._awaited: dict[int, Lowering] = {}
        #: Settled ones whose tasks go on, a part of them in each turn; tasks that fail likewise.
        self._going: deque[Lowering] = deque()
        self._failing: deque[tuple[deque[int], ErrorReport]] = deque()
        #: How often a task's device refused the calibration that it was lowered for.
        self._stale: dict[int, int] = {}
        #: Tasks that wait for the word of such a device, by device.
        self._wordless: dict[str, dict[int, None]] = {}
        #: By device: what tools are told of it.
        self._targets: dict[str, _Told] = {}
        #: Programs that tools were run on.
        self.made = 0

    def open(self, reactor: Reactor) -> None:
        """Begins to serve."""
        self._reactor = reactor
        self._asking.open(reactor)
        if self._tools is not None:
            self._tools.open(reactor, self._ended)

    def close(self) -> None:
        """Ends what tools run."""
        if self._tools is not None:
            self._tools.close()

    # What clients say -----------------------------------------------------------------------------

    def store(self, peer: Peer, message: StorePipeline) -> None:
        """A pipeline, before the tasks that name it."""
        pipeline = self.pipelines.add(message.encoded)
        if pipeline is not None:
            self._emit(PipelineStored(self._clock_ns(), pipeline.digest, pipeline.encoded))

    def heard(self, peer: Peer, message: Lowered) -> None:
        """A client lowered what it was asked to."""
        self._asking.heard(peer, message)

    def offered(self, peer: Peer, message: OfferLowered) -> None:
        """A client brings what was lowered ahead of time: for its user's tasks, if it is for the device of now."""
        device = message.device
        known = self._programs.get(message.program) is not None and self.pipelines.get(message.pipeline)
        if not known or device not in self._platforms.profiles:
            return
        key = Key(message.program, message.pipeline, device, self._devices.version(device), peer.uid)
        if self._target(key.device).digest != message.target or self._store.find(key) is not None:
            return
        lowering = self._store.new(key)
        report = self._take(lowering, message.body)
        if report is not None:
            logger.info("lowered ahead of time for %s: %s", device, report.message)
            self._store.remove(lowering)

    def left(self, session: int) -> None:
        """A client is gone: others are asked what it was."""
        for number in self._asking.left(session):
            lowering = self._runs.pop(number, None)
            if lowering is not None:
                lowering.number = 0
                self._begin(lowering)

    # The life of a task ---------------------------------------------------------------------------

    def estimate(self, task: QuantumTask, program: Program) -> tuple[Estimate, Lowering | None]:
        """Cost of a task with a pipeline that is fit to run; and what is known of its lowered program.

        Raises:
            QFwError: it is not fit; its pipeline failed on the program a moment ago.
        """
        lowering = self._store.find(self._key(task))
        if lowering is None or not lowering.settled:
            return self._intake.estimate(task, program), lowering
        if lowering.error is not None:
            raise lowering.error.to_exception()
        return self._intake.estimate(task, program, fitted(lowering, task)), lowering

    def accepted(self, task: QuantumTask, lowering: Lowering | None) -> None:
        """A task with a pipeline was accepted: it goes on if its program is lowered already, else it waits."""
        self.pipelines.use(task.pipeline)
        if lowering is not None and lowering.relocation is not None:
            self._hold(task.number, lowering)
        else:
            self._wait(self._state.tasks[task.number])

    def fitted(self, entry: TaskEntry) -> tuple[Fitted, str] | None:
        """What a task that was picked runs, and the calibration that it is for.

        None where it is not lowered for its device as that is now: then it waits for that, or has failed.
        """
        quantum = entry.quantum
        held = self._held.get(quantum.number)
        if held is None or held.key.version != self._devices.version(quantum.device):
            self._drop(quantum.number)
            lowering = self._store.find(self._key(quantum))
            if lowering is None or lowering.relocation is None:
                self._wait(entry)
                return None
            try:
                self._intake.fit(quantum, fitted(lowering, quantum))
            except QFwError as error:
                self._end_failed(entry, ErrorReport.of(error))
                return None
            self._hold(quantum.number, lowering)
            held = lowering
        return fitted(held, quantum), held.key.version

    def version(self, number: int) -> str:
        """The calibration that a running task was lowered for; empty where its device has none."""
        held = self._held.get(number)
        return held.key.version if held is not None else ""

    def stale(self, entry: TaskEntry, error: ErrorReport) -> bool:
        """A device refused a run since it was calibrated: whether the task is lowered again, and not failed."""
        number, device = entry.quantum.number, entry.quantum.device
        held = self._held.get(number)
        if held is None or error.code != "StaleCalibration":
            return False
        self._stale[number] = times = self._stale.get(number, 0) + 1
        if times >= self._settings.workers.max_attempts:
            return False
        self._emit(TaskRequeued(self._clock_ns(), number, entry.epoch, error.message, False))
        self._devices.look(device)
        if self._devices.version(device) == held.key.version:
            # The device knows of its calibration already, and its word is still on the way.
            self._drop(number)
            self._emit(TaskLowering(self._clock_ns(), number, TaskState.COMPILING, ""))
            self._wordless.setdefault(device, {})[number] = None
            self._reactor.call_at(self._reactor.now() + WORD_S, lambda: self._resume(device))
        return True

    def ended(self, task: QuantumTask) -> None:
        """A task with a pipeline ended, however."""
        number = task.number
        self._drop(number)
        if self._stale.pop(number, 0):
            self._wordless.get(task.device, {}).pop(number, None)
        lowering = self._awaited.pop(number, None)
        if lowering is not None:
            lowering.waiting.pop(number, None)
            if not lowering.waiting:
                self._abandon(lowering)
        self.pipelines.release(task.pipeline)

    # What devices say -----------------------------------------------------------------------------

    def recalibrated(self, device: str) -> None:
        """A device has a new calibration: what its tasks use is lowered for it, before they are picked."""
        version = self._devices.version(device)
        for lowering in self._store.of_device(device):
            if lowering.key.version == version:
                continue
            if lowering.users or lowering.waiting:
                self._ahead(lowering, lowering.key._replace(version=version))
            elif not lowering.number:
                self._store.remove(lowering)
        self._resume(device)

    def forget(self, device: str) -> None:
        """A device is gone: one that comes by its name may be another."""
        self._targets.pop(device, None)
        for lowering in self._store.of_device(device):
            if not lowering.users and not lowering.waiting:
                self._abandon(lowering)
                self._store.remove(lowering)

    # The turn -------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether the next turn has work without anything arriving."""
        return bool(self._going or self._failing)

    def turn(self) -> None:
        """Lets tasks go on whose programs are lowered; a hundred thousand must not hold up the others."""
        budget = MAX_ITEMS_PER_MESSAGE
        while self._going and budget:
            lowering = self._going[0]
            while lowering.waiting and budget:
                self._goes_on(lowering, next(iter(lowering.waiting)))
                budget -= 1
            if not lowering.waiting:
                self._going.popleft()
                self._rest(lowering)
        while self._failing and budget:
            numbers, report = self._failing[0]
            while numbers and budget:
                entry = self._state.tasks.get(numbers.popleft())
                if entry is not None and entry.state in LOWERING:
                    self._end_failed(entry, report)
                    budget -= 1
            if not numbers:
                self._failing.popleft()

    def _goes_on(self, lowering: Lowering, number: int) -> None:
        del lowering.waiting[number]
        self._awaited.pop(number, None)
        entry = self._state.tasks[number]
        try:
            if lowering.error is not None:
                raise lowering.error.to_exception()
            estimate = self._intake.fit(entry.quantum, fitted(lowering, entry.quantum))
        except QFwError as error:
            self._end_failed(entry, ErrorReport.of(error))
            return
        self._hold(number, lowering)
        self._emit(
            TaskLowered(self._clock_ns(), number, lowering.digest, lowering.key.version, estimate.cost_s)
        )

    # Lowerings ------------------------------------------------------------------------------------

    def _key(self, task: QuantumTask) -> Key:
        session = self._state.sessions.get(task_session(task.number))
        owner = session.uid if session is not None else NOBODY
        key = Key(task.program, task.pipeline, task.device, self._devices.version(task.device), owner)
        if not self._runs_here(task.pipeline):
            return key
        # What the user's clients brought is believed for that user.
        brought = self._store.find(key)
        return key if brought is not None and brought.relocation is not None else key._replace(owner=HERE)

    def _runs_here(self, digest: bytes) -> bool:
        pipeline = self.pipelines.get(digest)
        assert pipeline is not None
        return self._tools is not None and pipeline.tools <= self._tools.tools

    def _wait(self, entry: TaskEntry) -> None:
        """A task waits until its program is lowered for its device as that is now."""
        number, key = entry.quantum.number, self._key(entry.quantum)
        lowering = self._store.find(key)
        if lowering is None:
            lowering = self._store.new(key)
        lowering.waiting[number] = None
        self._awaited[number] = lowering
        if entry.state is TaskState.QUEUED:
            state = TaskState.COMPILING if key.owner == HERE else TaskState.NEEDS_LOWERING
            self._emit(TaskLowering(self._clock_ns(), number, state, key.version))
        if lowering.settled:
            self._go(lowering)
        elif not lowering.number:
            self._begin(lowering)

    def _ahead(self, before: Lowering, key: Key) -> None:
        """Begins a lowering that nobody waits for yet."""
        there = self._programs.get(key.program) is not None and self.pipelines.get(key.pipeline) is not None
        if there and self._runs_here(key.pipeline):
            # Though a client may have brought the one before.
            key = key._replace(owner=HERE)
        if key.owner == HERE and there and self._store.find(key) is None:
            self._run(self._store.new(key), task_session(next(iter(before.waiting), 0)))

    def _begin(self, lowering: Lowering) -> None:
        """Has it lowered by a worker, or by the first client that waits for it; else its tasks fail."""
        key, waiting = lowering.key, lowering.waiting
        if key.device not in self._platforms.profiles:
            return  # It is gone, and its tasks are about to fail.
        if key.owner == HERE:
            self._run(lowering, task_session(next(iter(waiting))))
            return
        session = next((s for s in map(task_session, waiting) if s in self._peers), 0)
        if session:
            self._number(lowering)
            self._asking.ask(session, NeedLowering(lowering.number, *self._request(key)))
            return
        # Tasks of a session that ended are cancelled with it; those that outlive theirs have nobody now.
        lost = [number for number in waiting if self._state.tasks[number].quantum.options.detached]
        error = NotLowered(
            "the pipeline has tools that only a client runs, and the client of the task is gone. Keep its session "
            "open, or install the tools where the daemon runs"
        )
        self._fail(lowering, lost, ErrorReport.of(error))

    def _run(self, lowering: Lowering, session: int) -> None:
        assert self._tools is not None
        self._number(lowering)
        self.made += 1
        limit_s = self._settings.tools.time_limit_s
        self._tools.lower(lowering.number, session, *self._request(lowering.key), limit_s)

    def _number(self, lowering: Lowering) -> None:
        self._last += 1
        lowering.number = self._last
        self._runs[self._last] = lowering

    def _request(self, key: Key) -> tuple[bytes, bytes, bytes]:
        pipeline = self.pipelines.get(key.pipeline)
        assert pipeline is not None
        return self._programs.encoded(key.program), pipeline.encoded, self.target(key.device)

    def target(self, device: str) -> bytes:
        """What tools are told of a device that is there, as it is now: a Target, MessagePack."""
        return self._target(device).encoded

    def _target(self, device: str) -> _Told:
        profile = self._platforms.profiles[device]
        calibration = self._devices.calibrations.get(device) if self._devices.version(device) else None
        known = self._targets.get(device)
        if known is None or known.profile is not profile or known.calibration is not calibration:
            target = Target(profile, calibration)
            known = _Told(profile, calibration, msgspec.msgpack.encode(target), target.digest)
            self._targets[device] = known
        return known

    def _answered(self, answer: Answer) -> None:
        """A client answered. What it says of its failures concerns its own tasks; others have theirs asked."""
        lowering = self._runs.pop(answer.number, None)
        if lowering is None:
            return
        lowering.number = 0
        report = answer.outcome if isinstance(answer.outcome, ErrorReport) else None
        if report is None:
            report = self._take(lowering, answer.outcome)
        if report is not None:
            own = [number for number in lowering.waiting if task_session(number) == answer.session]
            self._fail(lowering, own, report)
            if lowering.waiting:
                self._begin(lowering)
            else:
                self._rest(lowering)

    def _ended(self, number: int, outcome: bytes | ErrorReport) -> None:
        """Tools of the daemon made something of a program, or failed."""
        lowering = self._runs.pop(number, None)
        if lowering is None:
            return
        lowering.number = 0
        report = outcome if isinstance(outcome, ErrorReport) else self._take(lowering, outcome)
        if report is _FORGOTTEN:
            self._store.remove(lowering)
        elif report is not None:
            lowering.error, lowering.failed_ns = report, self._clock_ns()
            self._go(lowering)

    def _take(self, lowering: Lowering, body: Any) -> ErrorReport | None:
        """Believes a lowered program as far as it can be checked; else says why not."""
        program = self._programs.get(lowering.key.program)
        if program is None:
            return _FORGOTTEN
        try:
            made = _decode_lowered(body)
            digest, new = self._programs.put(made.encoded)
            if new:
                self._emit(ProgramStored(self._clock_ns(), digest, made.encoded))
            lowered = self._programs.get(digest)
            assert lowered is not None
            relocation = Relocation(program, lowered, made.layout)
            relocation.check()
        except (msgspec.DecodeError, ProgramError) as error:
            return ErrorReport.of(ToolFailed(f"what the pipeline gave is no lowered program: {error}"))
        lowering.relocation, lowering.digest = relocation, digest
        self._go(lowering)
        return None

    def _fail(self, lowering: Lowering, numbers: list[int], report: ErrorReport) -> None:
        for number in numbers:
            del lowering.waiting[number]
            self._awaited.pop(number, None)
        if numbers:
            self._failing.append((deque(numbers), report))

    # Who has what ---------------------------------------------------------------------------------

    def _hold(self, number: int, lowering: Lowering) -> None:
        self._held[number] = lowering
        self._store.use(lowering)

    def _drop(self, number: int) -> None:
        lowering = self._held.pop(number, None)
        if lowering is not None:
            self._store.unuse(lowering)

    def _go(self, lowering: Lowering) -> None:
        """Those who wait for it go on; until they have it, it is in use."""
        self._going.append(lowering)
        if lowering.relocation is not None:
            self._store.use(lowering)

    def _rest(self, lowering: Lowering) -> None:
        """All who waited for it went on."""
        if lowering.relocation is not None:
            self._store.unuse(lowering)
        else:
            self._store.keep(lowering)

    def _abandon(self, lowering: Lowering) -> None:
        """Nobody waits for it any more: it is left out if it has not begun, else what comes of it is kept."""
        if not lowering.number:
            return
        runner = self._tools if lowering.key.owner == HERE else self._asking
        if runner is not None and runner.forget(lowering.number):
            self._runs.pop(lowering.number, None)
            lowering.number = 0
            self._store.remove(lowering)

    def _resume(self, device: str) -> None:
        """Tasks that waited for the word of a device are lowered for the calibration that it has now."""
        for number in self._wordless.pop(device, {}):
            self._wait(self._state.tasks[number])
