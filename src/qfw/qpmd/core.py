"""The daemon's decisions: requests and platform reports in; events, starts and answers out.

A turn: everything that arrived is taken in, the scheduler decides, the journal is written
once, and only then platforms and clients hear of it. Knows no socket.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from qfw.config.current import Current
from qfw.config.settings import Settings
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceStatus
from qfw.model.errors import ErrorReport, NoCapacity, QFwError, TaskInterrupted, WireError, WrongAnswer
from qfw.model.errors import (
    TaskCancelled as TaskCancelledError,
)
from qfw.model.errors import (
    WorkerLost as WorkerLostError,
)
from qfw.model.events import (
    DeviceCame,
    DeviceEvent,
    DeviceReported,
    Event,
    ProgramStored,
    SessionClosed,
    SessionOpened,
    TaskAccepted,
    TaskCancelled,
    TaskDone,
    TaskFailed,
    TaskRequeued,
    TasksReceived,
    TaskStarted,
    WorkerLost,
    WorkerReady,
)
from qfw.model.task import QuantumTask, TaskState, task_name, task_session
from qfw.qpm.journal import JournalWriter
from qfw.qpm.platform import NativeDone, NativeFailed, Reactor, Run, RunDone, RunFailed
from qfw.qpm.shared import Memory
from qfw.qpm.wire import (
    MAX_ITEMS_PER_MESSAGE,
    Attach,
    Bye,
    CallNative,
    Cancel,
    Control,
    Lowered,
    Query,
    Received,
    Release,
    Renew,
    Reply,
    Request,
    Reserve,
    StorePipeline,
    StoreProgram,
    Submit,
    Subscribe,
    TaskAnswer,
    pack,
)
from qfw.qpmd.absences import Absences
from qfw.qpmd.control import Controls
from qfw.qpmd.devices import Devices
from qfw.qpmd.handles import Handles
from qfw.qpmd.intake import Intake
from qfw.qpmd.listing import SETTLED, Listing
from qfw.qpmd.lowering import Lowerings, ToolRunner
from qfw.qpmd.native import NativeCalls
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.programs import ProgramStore
from qfw.qpmd.reservations import Reservations
from qfw.qpmd.results import ResultStore
from qfw.qpmd.state import DaemonState, TaskEntry
from qfw.qpmd.subscriptions import Subscriptions
from qfw.scheduling.scheduler import Scheduler

logger = logging.getLogger(__name__)

#: Questions of a client that may wait until all platforms have settled.
MAX_ASKING = 16
#: What is answered by a reply.
_ASKING = (Query, CallNative, Reserve, Renew, Release, Control)


class Core:
    """State, scheduler, journal and platforms of one daemon; satisfies `qfw.qpm.platform.Sink`."""

    def __init__(
        self,
        settings: Settings,
        journal: JournalWriter,
        scheduler: Scheduler,
        platforms: Platforms,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        tools: ToolRunner | None = None,
        results: ResultStore | None = None,
    ) -> None:
        """`clock_ns` is the host's monotonic clock, `wall_ns` Unix time.

        `tools`: lower programs; without, clients do. `results`: where those of detached tasks are kept; None: such
        tasks are refused.
        """
        self.settings = self._settings = Current(settings)
        self._journal = journal
        self._scheduler = scheduler
        self._platforms = platforms
        self._intake = Intake(platforms, self._settings)
        self._clock_ns = clock_ns
        self.programs = ProgramStore(settings.program_bytes)
        self.state = DaemonState()
        self.peers: dict[int, Peer] = {}
        self._segment = journal.segment
        #: Journal segment of each live task.
        self._segments: dict[int, int] = {}
        self._cancelling: set[int] = set()
        #: Devices whose workers were asked for.
        self._warmed: set[str] = set()
        #: Sessions that ended, with those of their tasks that are not cancelled yet.
        self._leaving: deque[tuple[Peer, deque[int], str]] = deque()
        #: Tasks that waited for a device when it went offline, and why they fail.
        self._failing: deque[tuple[deque[int], ErrorReport]] = deque()
        #: Whether tasks of sessions that end stay as they are: the daemon ends too.
        self._keeps = False
        #: Whether the scheduler has more to decide than fitted the last turn.
        self._undecided = False
        #: Peers that were given something in this turn.
        self._touched: dict[Peer, None] = {}
        #: Questions that wait until all platforms have settled.
        self._asking: list[tuple[Peer, int]] = []
        #: What the parts of the daemon do with the messages that are theirs.
        self._handlers: dict[type, Callable[[Peer, Any], None]] = {}
        self._devices = Devices(self.state, platforms, self._emit_reported, clock_ns, wall_ns)
        self._native = NativeCalls(platforms, self._devices, self._settings, self.touch)
        #: What the daemon's owner has it do.
        self.control = Controls(
            self._settings,
            self.state,
            platforms,
            self.emit,
            self.devices_changed,
            self._native.busy,
            clock_ns,
            wall_ns,
        )
        self._lowerings = Lowerings(
            self._settings,
            self.state,
            platforms,
            self._devices,
            self._intake,
            self.programs,
            self.peers,
            self.emit,
            self._end_failed,
            self.touch,
            clock_ns,
            tools,
        )
        self._handlers[Control] = self.control.take
        self._handlers[StorePipeline] = self._lowerings.store
        self._handlers[Lowered] = self._lowerings.heard
        self._settings.follow(self._follow)
        self._listing = Listing(
            self.state,
            scheduler,
            platforms,
            self._devices,
            self.control,
            clock_ns,
            lambda: self._lowerings.made,
        )
        self._handles = Handles(self._settings, results, scheduler, self.peers, self.touch, wall_ns)
        self._listing.more = self._handles.counts
        self._handlers[Attach] = self._handles.attach
        self._subscriptions = Subscriptions(self._listing.device, self.touch, wall_ns)
        self._reservations = Reservations(
            self._settings,
            self.state,
            platforms,
            lambda device: self.control.refusal(device) or self._devices.refusal(device),
            self.emit,
            self._subscriptions.tell,
            self.touch,
            clock_ns,
            wall_ns,
        )
        self._absences = Absences(self.state, self._settings, self._fail_waiting)
        self._handlers[Subscribe] = self._subscriptions.subscribe
        self._handlers[Reserve] = self._reservations.reserve
        self._handlers[Renew] = self._reservations.renew
        self._handlers[Release] = self._reservations.release

    # What clients ask -------------------------------------------------------------------------

    def open_session(self, peer: Peer, session: int) -> None:
        """A client with a session came."""
        peer.session = session
        self.peers[session] = peer
        self.emit(SessionOpened(self._clock_ns(), session, peer.uid, peer.pid, peer.name))

    def close_session(self, peer: Peer, reason: str) -> None:
        """A client left: what it had in flight and not detached is cancelled, a part of it in each turn."""
        self._subscriptions.forget(peer)
        if self.peers.pop(peer.session, None) is None:
            return
        self._native.forget(peer)
        self._reservations.forget(peer)
        ending = self._handles.leave(peer)
        if self._keeps:
            self.emit(SessionClosed(self._clock_ns(), peer.session, reason))
            return
        self._lowerings.left(peer.session)
        self._scheduler.hold(peer.session, True)
        self._leaving.append((peer, deque(ending), reason))

    @property
    def behind(self) -> bool:
        """Whether the next turn has work without anything arriving."""
        begun = self._leaving or self._failing or self._undecided
        return bool(begun) or self._lowerings.behind or self._handles.behind

    def _let_leave(self) -> None:
        """Goes on with the sessions that ended; a hundred thousand tasks must not hold up the others."""
        budget = MAX_ITEMS_PER_MESSAGE
        while self._leaving and budget:
            peer, tasks, reason = self._leaving[0]
            while tasks and budget:
                self._cancel(tasks.popleft(), f"its session ended: {reason}")
                budget -= 1
            if not tasks:
                self._leaving.popleft()
                self.emit(SessionClosed(self._clock_ns(), peer.session, reason))
                self._handles.left(peer.session)

    def request(self, peer: Peer, message: Request) -> bool:
        """Acts on a message; False where the client says goodbye.

        Raises:
            QFwError: the message itself is wrong; the connection cannot go on.
        """
        self._touched[peer] = None
        if isinstance(message, Submit | Attach):
            peer.check_reads(self._settings.unread_bytes)
        elif isinstance(message, _ASKING):
            peer.check_reads(None)
        match message:
            case Submit():
                _check_length(message.tasks)
                for task in message.tasks:
                    self._submit(peer, task)
            case StoreProgram():
                digest = self.programs.add(message.encoded)
                if digest is not None:
                    self.emit(ProgramStored(self._clock_ns(), digest, message.encoded))
            case Received():
                _check_length(message.received)
                self.emit(TasksReceived(self._clock_ns(), tuple(message.received)))
            case Cancel():
                _check_length(message.tasks)
                for number in message.tasks:
                    self._cancel(self._handles.cancellable(peer, number), "its owner cancelled it")
            case Query() | CallNative():
                if isinstance(message, CallNative):
                    self._native.begin(peer, message)
                elif message.subject == SETTLED:
                    self._ask_platforms(peer, message.request)
                else:
                    peer.reply(pack(Reply(message.request, self._listing.answer(message.subject))))
            case Bye():
                return False
            case _:
                handler = self._handlers.get(type(message))
                if handler is None:
                    raise WireError(f"this daemon does not take a {type(message).__name__}")
                handler(peer, message)
        return True

    def _submit(self, peer: Peer, task: QuantumTask) -> None:
        if task_session(task.number) != peer.session or not peer.session:
            raise WireError(f"task {task_name(task.number)} was submitted in session {peer.session}")
        if task.number in peer.tasks:
            return  # Sent again while it is live: it is the same task.
        if self._handles.answered(peer, task):
            return
        if len(peer.tasks) >= self._settings.scheduling.max_tasks_per_session:
            limit = self._settings.scheduling.max_tasks_per_session
            refusal = NoCapacity(
                f"{limit} tasks of this session are unanswered already; wait for some results"
            )
            peer.fail(task.number, ErrorReport.of(refusal))
            return
        size, most = _size(task), self._settings.scheduling.max_bytes_per_session
        if peer.tasks and peer.task_bytes + size > most:
            refusal = NoCapacity(
                f"the task has {size} bytes of parameters and outputs, the unanswered tasks of this session "
                f"{peer.task_bytes}; {most} are taken in all (scheduling.max_bytes_per_session). Wait for some results"
            )
            peer.fail(task.number, ErrorReport.of(refusal))
            return
        draining = self.control.refusal(task.device)
        if draining is not None:
            peer.fail(task.number, ErrorReport.of(draining))
            return
        program = self.programs.get(task.program)
        if program is None:
            peer.needed.setdefault(task.program, []).append(task.number)
            return
        if task.pipeline and self._lowerings.pipelines.get(task.pipeline) is None:
            peer.needed_pipelines.setdefault(task.pipeline, []).append(task.number)
            return
        try:
            if task.calibration or self.state.devices:
                self._devices.check(task)
            if task.pipeline:
                estimate, lowering = self._lowerings.estimate(task, program)
            else:
                estimate, lowering = self._intake.estimate(task, program), None
        except QFwError as error:
            peer.fail(task.number, ErrorReport.of(error))
            return
        peer.tasks.add(task.number)
        peer.task_bytes += size
        peer.acks[task.number] = None
        self.programs.use(task.program)
        self._segments[task.number] = self._journal.task_opened()
        self.emit(TaskAccepted(self._clock_ns(), task, estimate.cost_s))
        self._handles.accepted(peer, task)
        if task.pipeline:
            self._lowerings.accepted(task, lowering)
        if task.device not in self._warmed:
            self._warmed.add(task.device)
            self._devices.try_again(task.device)
            # Behind the acceptance: a device that cannot start fails what waits for it, perhaps at once.
            self._platforms.of[task.device].warm(task.device)

    def _cancel(self, number: int, reason: str) -> None:
        entry = self.state.tasks.get(number)
        if entry is None:
            return
        if entry.state is not TaskState.RUNNING:
            self._end_cancelled(entry, reason)
        elif number not in self._cancelling:
            self._cancelling.add(number)
            device = entry.quantum.device
            # A device that is gone lost its slots with their runs.
            self._platforms.of[device].cancel(device, entry.worker, number, entry.epoch)

    def _end_cancelled(self, entry: TaskEntry, reason: str) -> None:
        number = entry.quantum.number
        self._cancelling.discard(number)
        self.emit(TaskCancelled(self._clock_ns(), number, reason))
        error = TaskCancelledError(f"task {task_name(number)} was cancelled: {reason}")
        self._fail(entry, ErrorReport.of(error))

    # What platforms report (Sink) ---------------------------------------------------------------

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        """See Sink."""
        self._devices.bring_back(device)
        self.emit(WorkerReady(self._clock_ns(), device, slot, pid))

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        """See Sink."""
        # The youngest first: each goes to the head of its queue.
        for number in sorted(self.state.running.get((device, slot), ()), reverse=True):
            entry = self.state.tasks[number]
            if number in self._cancelling:
                self._end_cancelled(entry, "cancelled while it ran")
                continue
            profile = self._platforms.profiles.get(device)
            if number == running and profile is not None and not profile.reruns:
                interrupted = TaskInterrupted(
                    f"device {device} failed while it ran task {task_name(number)}: {reason}. It is not repeated by "
                    f"itself; send it again if it should run again"
                )
                self._end_failed(entry, ErrorReport.of(interrupted))
                continue
            attempts = entry.attempts + (number == running)
            if attempts >= self._settings.workers.max_attempts:
                error = WorkerLostError(
                    f"{attempts} workers died under task {task_name(number)}, the last: {reason}. "
                    f"Look at the program, or raise workers.max_attempts"
                )
                self._end_failed(entry, ErrorReport.of(error))
            else:
                self.emit(TaskRequeued(self._clock_ns(), number, entry.epoch, reason, number == running))
        self.emit(WorkerLost(self._clock_ns(), device, slot, pid, reason))

    def device_offline(self, device: str, reason: str) -> None:
        """See Sink. Waiting tasks fail; a later task tries the device again."""
        if device not in self._platforms.of:
            return
        logger.error("device offline: device=%s reason=%s", device, reason)
        self._warmed.discard(device)
        self._devices.give_up(device, reason)
        self._native.lost(device, reason)
        error = NoCapacity(
            f"device {device} went offline: {reason}. The next task for it tries it again; qpmd.log in the runtime "
            f"folder says more"
        )
        self._fail_waiting(device, ErrorReport.of(error))

    def devices_changed(self, platform: str) -> None:
        """See Sink. What a device that is gone would have run fails."""
        came, gone = self._platforms.changed(platform)
        logger.info("devices changed: platform=%s came=%s gone=%s", platform, came, gone)
        self._intake.forget()
        self._listing.forget()
        for device in gone:
            self._warmed.discard(device)
            self._lowerings.forget(device)
            for slot, pid in list(self.state.workers.get(device, {}).items()):
                self.slot_lost(device, slot, pid, "its platform is gone", None)
            self._devices.give_up(device, "its platform is gone")
            self._devices.forget(device)
            self._native.lost(device, "its platform is gone")
            self._reservations.lost(device, "its platform is gone")
            error = NoCapacity(f"device {device} is gone: its platform {platform} does not serve it any more")
            self._fail_waiting(device, ErrorReport.of(error))
        for device in self._platforms.devices(platform):
            self._devices.look(device)
        if self._platforms.settled:
            self._answer_asking()

    def _fail_waiting(self, device: str, report: ErrorReport) -> None:
        waiting = deque(
            number
            for number, entry in self.state.tasks.items()
            if entry.quantum.device == device and entry.state is not TaskState.RUNNING
        )
        if waiting:
            self._failing.append((waiting, report))

    def _let_fail(self) -> None:
        """Goes on with the tasks of devices that went offline; a part of them in each turn."""
        budget = MAX_ITEMS_PER_MESSAGE
        while self._failing and budget:
            waiting, report = self._failing[0]
            while waiting and budget:
                entry = self.state.tasks.get(waiting.popleft())
                if entry is not None and entry.state is not TaskState.RUNNING:
                    self._end_failed(entry, report)
                    budget -= 1
            if not waiting:
                self._failing.popleft()

    def _ask_platforms(self, peer: Peer, request: int) -> None:
        """Starts what was not started yet; the answer comes when all have settled, or are late."""
        limit_s = self._platforms.start_all()
        if self._platforms.settled:
            peer.reply(pack(Reply(request, self._listing.answer(SETTLED))))
            return
        if sum(asking is peer for asking, _ in self._asking) >= MAX_ASKING:
            raise WireError(f"{MAX_ASKING} questions for platforms are unanswered and more is asked")
        self._asking.append((peer, request))
        self._reactor.call_at(self._reactor.now() + limit_s, self._answer_asking)

    def _answer_asking(self) -> None:
        asking, self._asking = self._asking, []
        for peer, request in asking:
            if not peer.closed:
                self._listing.forget()
                peer.reply(pack(Reply(request, self._listing.answer(SETTLED))))
                self.touch(peer)

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        """See Sink."""
        self._devices.reported(device, event, calibration)

    def native_ended(self, device: str, outcome: NativeDone | NativeFailed) -> None:
        """See Sink."""
        self._listing.late_answers += not self._native.ended(device, outcome)

    def run_ended(
        self,
        device: str,
        slot: str,
        pid: int,
        outcome: RunDone | RunFailed,
        memory: Memory | None = None,
    ) -> None:
        """See Sink."""
        entry = self.state.tasks.get(outcome.task)
        if (
            entry is None
            or entry.epoch != outcome.epoch
            or entry.state is not TaskState.RUNNING
            or entry.worker != slot
        ):
            self._listing.late_answers += 1
            return
        if outcome.task in self._cancelling:
            self._end_cancelled(entry, "cancelled while it ran")
            return
        now_ns = self._clock_ns()
        pipeline = entry.quantum.pipeline
        if isinstance(outcome, RunFailed):
            if not pipeline or not self._lowerings.stale(entry, outcome.error):
                self._end_failed(entry, outcome.error)
            return
        lowered_for = self._lowerings.version(outcome.task) if pipeline else entry.quantum.calibration
        if lowered_for and (outcome.conditions is None or outcome.conditions.calibration != lowered_for):
            ran = outcome.conditions.calibration if outcome.conditions else ""
            wrong = WrongAnswer(
                f"task {task_name(outcome.task)} was lowered for calibration {lowered_for[:200]}; {device} ran it "
                f"under {ran[:200] or 'none'}"
            )
            self._end_failed(entry, ErrorReport.of(wrong))
            return
        size = len(outcome.answers) if memory is None else memory.size
        kept = None
        if size <= self._settings.journal.answer_bytes:
            kept = outcome.answers if memory is None else memory.read()
        self.emit(
            TaskDone(
                now_ns,
                outcome.task,
                outcome.epoch,
                pid,
                outcome.run_began_ns,
                outcome.run_ended_ns,
                outcome.compile_ns,
                outcome.cached,
                size,
                kept,
                outcome.conditions,
            )
        )
        peer = self._release(entry)
        answer = TaskAnswer(
            outcome.task,
            pid,
            entry.accepted_ns,
            entry.started_ns,
            outcome.run_began_ns,
            outcome.run_ended_ns,
            outcome.compile_ns,
            now_ns,
            outcome.conditions,
            outcome.answers,
        )
        self._handles.done(entry, answer, memory)
        if peer is not None:
            peer.answer(answer, memory)

    # The turn -----------------------------------------------------------------------------------

    def devices(self) -> list[DeviceStatus]:
        """Every device and what it does now."""
        return self._listing.devices()

    def emit(self, event: Event) -> None:
        """Something happened: journal, state and scheduler take note."""
        self._journal.append(event)
        self.state.apply(event)
        self._scheduler.observe(event)

    def _emit_reported(self, event: DeviceReported | DeviceCame) -> None:
        self.emit(event)
        if isinstance(event, DeviceCame) or event.event.calibration:
            self._intake.forget()
            if isinstance(event, DeviceReported):
                self._lowerings.recalibrated(event.device)
        if isinstance(event, DeviceReported):
            self._absences.note(event.device)
            self._subscriptions.tell(event.device, event.event)

    def hold(self, session: int, held: bool) -> None:
        """A session's waiting tasks wait on while held: it leaves its results unread."""
        self._scheduler.hold(session, held or self._handles.holds(session))

    def touch(self, peer: Peer) -> None:
        """This peer may be owed something at the end of the turn."""
        self._touched[peer] = None

    def end_turn(self) -> dict[Peer, None]:
        """Decides, journals, starts; gives the peers that are owed something.

        Raises:
            OSError: the journal cannot be written. Nothing of this turn was acted on.
        """
        if self._leaving:
            self._let_leave()
        if self._failing:
            self._let_fail()
        self._lowerings.turn()
        self._handles.turn()
        starts: dict[tuple[str, str], list[Run]] = {}
        for device, slot, run in self._decide():
            starts.setdefault((device, slot), []).append(run)
        self._journal.flush()
        if self._journal.segment != self._segment:
            self._restate()
        self._subscriptions.look_at_loads()
        for (device, slot), runs in starts.items():
            platform = self._platforms.of.get(device)
            # Gone in this very turn: its slots were lost, and the runs with them.
            if platform is not None:
                platform.start(device, slot, runs)
        touched, self._touched = self._touched, {}
        return touched

    def _restate(self) -> None:
        """Says in a new segment who is here, since the segments before it may go."""
        self._segment = self._journal.segment
        now_ns = self._clock_ns()
        for session in self.state.sessions.values():
            self._journal.append(
                SessionOpened(now_ns, session.number, session.uid, session.pid, session.name)
            )
        for device, workers in self.state.workers.items():
            for worker, pid in workers.items():
                self._journal.append(WorkerReady(now_ns, device, worker, pid))
        for event in self._devices.restated():
            self._journal.append(event)
        for draining in self.control.restated():
            self._journal.append(draining)
        for granted in self._reservations.restated():
            self._journal.append(granted)
        self._journal.flush()

    def _decide(self) -> list[tuple[str, str, Run]]:
        decided: list[tuple[str, str, Run]] = []
        now_ns = self._clock_ns()
        tasks, workers = self.state.tasks, self.state.workers
        again, budget = True, MAX_ITEMS_PER_MESSAGE
        self._undecided = False
        if self.control.stopping:
            return decided
        while again:
            again = False
            if budget <= 0:
                # A new calibration may make a hundred thousand tasks stale: the others must not wait for all.
                self._undecided = True
                break
            for start in self._scheduler.decide(now_ns):
                entry = tasks[start.task]
                quantum = entry.quantum
                stale = self._devices.stale(quantum) if quantum.calibration else None
                if stale is not None:
                    # Its slot is another's at once.
                    self._end_failed(entry, ErrorReport.of(stale))
                    again = True
                    budget -= 1
                    continue
                program, outputs, calibration = quantum.program, quantum.outputs, quantum.calibration
                if quantum.pipeline:
                    found = self._lowerings.fitted(entry)
                    if found is None:
                        again = True
                        budget -= 1
                        continue
                    (_, program, outputs), calibration = found
                pid = workers[start.device][start.slot]
                epoch = entry.epoch + 1
                self.emit(TaskStarted(now_ns, start.task, epoch, start.slot, pid))
                run = Run(
                    start.task,
                    epoch,
                    program,
                    outputs,
                    quantum.sets,
                    quantum.parameters,
                    quantum.shots,
                    quantum.seed,
                    self._intake.time_limit_s(quantum),
                    calibration,
                    quantum.first_set,
                )
                decided.append((start.device, start.slot, run))
        return decided

    def _end_failed(self, entry: TaskEntry, report: ErrorReport) -> None:
        self.emit(TaskFailed(self._clock_ns(), entry.quantum.number, report))
        self._fail(entry, report)

    def _fail(self, entry: TaskEntry, report: ErrorReport) -> None:
        self._handles.failed(entry, report)
        peer = self._release(entry)
        if peer is not None:
            peer.fail(entry.quantum.number, report)

    def _release(self, entry: TaskEntry) -> Peer | None:
        number = entry.quantum.number
        if entry.quantum.pipeline:
            self._lowerings.ended(entry.quantum)
        self.programs.release(entry.quantum.program)
        self._journal.task_ended(self._segments.pop(number))
        peer = self.peers.get(task_session(number))
        if peer is not None:
            peer.tasks.discard(number)
            peer.task_bytes -= _size(entry.quantum)
            self._touched[peer] = None
        return peer

    def open_platforms(self, reactor: Reactor) -> None:
        """Begins to serve the devices."""
        self._reactor = reactor
        for part in (
            self._native,
            self._handles,
            self.control,
            self._lowerings,
            self._subscriptions,
            self._reservations,
            self._absences,
        ):
            part.open(reactor)
        self._platforms.open(reactor, self, self.programs)
        for device in list(self._platforms.of):
            self._devices.look(device)

    def _follow(self, settings: Settings) -> None:
        """The settings in force changed: those who were told values once are told again."""
        scheduling = settings.scheduling
        self._scheduler.limit(scheduling.prefetch_s, scheduling.prefetch_tasks)
        self._journal.limit(settings.journal.segment_bytes, settings.journal.retain_bytes)
        self.programs.limit(settings.program_bytes)
        self._handles.limit(settings.results)
        self._intake.forget()

    def interrupt(self, why: str) -> None:
        """Fails what runs; what waits stays as it is, whoever leaves from now on."""
        self._keeps = True
        for number in sorted(number for tasks in self.state.running.values() for number in tasks):
            entry = self.state.tasks[number]
            if number in self._cancelling:
                self._end_cancelled(entry, "cancelled while it ran")
                continue
            error = TaskInterrupted(f"task {task_name(number)} was ended while it ran: {why}. Send it again")
            self._end_failed(entry, ErrorReport.of(error))

    def close_platforms(self) -> None:
        """Ends what the platforms started."""
        self._lowerings.close()
        self._platforms.close()
        # Their runs ended with the workers.
        for number in sorted(self._cancelling):
            self._end_cancelled(self.state.tasks[number], "cancelled while it ran")
        self._handles.close()


def _size(task: QuantumTask) -> int:
    """Bytes of what can be long in a task."""
    return len(task.parameters) + len(task.outputs)


def _check_length(items: Sequence[object]) -> None:
    if len(items) > MAX_ITEMS_PER_MESSAGE:
        raise WireError(
            f"a message names {len(items)} tasks; at most {MAX_ITEMS_PER_MESSAGE} are taken at once"
        )
