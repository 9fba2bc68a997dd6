"""The daemon's decisions: requests and platform reports in; events, starts and answers out.

A turn: everything that arrived is taken in, the scheduler decides, the journal is written
once, and only then platforms and clients hear of it. Knows no socket.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from qfw.config.current import Current
from qfw.config.settings import Settings
from qfw.model.device import DeviceStatus
from qfw.model.errors import ErrorReport, WireError
from qfw.model.events import (
    DaemonDraining,
    DeviceCame,
    DeviceReported,
    Event,
    ProgramStored,
    SessionClosed,
    SessionOpened,
    TasksReceived,
    TaskStarted,
    WorkerReady,
)
from qfw.qpm.frames import pack
from qfw.qpm.journal import JournalWriter
from qfw.qpm.platform import Reactor, Run
from qfw.qpm.wire import (
    MAX_ITEMS_PER_MESSAGE,
    Attach,
    Bye,
    CallNative,
    Cancel,
    Control,
    EndTools,
    Lowered,
    OfferLowered,
    Query,
    Received,
    Release,
    Renew,
    Reply,
    Request,
    Reserve,
    RunTools,
    StorePipeline,
    StoreProgram,
    Submit,
    Subscribe,
)
from qfw.qpmd.absences import Absences
from qfw.qpmd.acceptance import Acceptance
from qfw.qpmd.control import Controls
from qfw.qpmd.devices import Devices
from qfw.qpmd.ends import Ends
from qfw.qpmd.handles import Handles
from qfw.qpmd.intake import Intake
from qfw.qpmd.listing import SETTLED, Listing
from qfw.qpmd.lowering import Lowerings, ToolRunner
from qfw.qpmd.native import NativeCalls
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.programs import ProgramStore
from qfw.qpmd.reports import Reports
from qfw.qpmd.reservations import Reservations
from qfw.qpmd.results import ResultStore
from qfw.qpmd.settling import Settling
from qfw.qpmd.state import DaemonState
from qfw.qpmd.subscriptions import Subscriptions
from qfw.qpmd.toolwork import ToolWorks
from qfw.scheduling.scheduler import Scheduler

logger = logging.getLogger(__name__)

#: What is answered by a reply.
_ASKING = (Query, CallNative, Reserve, Renew, Release, Control, RunTools)


class Core:
    """State, scheduler, journal and platforms of one daemon."""

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
        revise: Callable[[], None] = lambda: None,
    ) -> None:
        """`clock_ns` is the host's monotonic clock, `wall_ns` Unix time.

        `tools`: lower programs; without, clients do. `results`: where those of detached tasks are kept; None: such
        tasks are refused. `revise` is called before a device changes.
        """
        self.settings = self._settings = Current(settings)
        self._journal = journal
        self._scheduler = scheduler
        self._platforms = platforms
        self._intake = Intake(platforms, self._settings)
        self._clock_ns = clock_ns
        self._revise = revise
        self.programs = ProgramStore(settings.program_bytes)
        self.state = DaemonState()
        self.peers: dict[int, Peer] = {}
        self._segment = journal.segment
        #: Whether tasks of sessions that end stay as they are: the daemon ends too.
        self._keeps = False
        #: Whether the scheduler has more to decide than fitted the last turn.
        self._undecided = False
        #: Peers that were given something in this turn.
        self._touched: dict[Peer, None] = {}
        #: What the parts of the daemon do with the messages that are theirs.
        self._handlers: dict[type, Callable[[Peer, Any], None]] = {}
        self._devices = Devices(self.state, platforms, self._emit_reported, clock_ns, wall_ns)
        self._native = NativeCalls(platforms, self._devices, self._settings, self.touch)
        #: What the daemon's owner has it do.
        self.control = Controls(
            self._settings,
            self.state,
            platforms,
            self._emit_draining,
            lambda platform: self.reports.devices_changed(platform),
            self._native.busy,
            clock_ns,
            wall_ns,
        )
        self._handles = Handles(self._settings, results, scheduler, self.peers, self.touch, wall_ns)
        #: How tasks end.
        self.ends = Ends(
            self.state,
            platforms,
            self.programs,
            journal,
            self.peers,
            self._handles,
            lambda task: self._lowerings.ended(task),
            self.emit,
            self.touch,
            clock_ns,
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
            self.ends.failed,
            self.touch,
            clock_ns,
            tools,
        )
        self._handlers[Control] = self.control.take
        self._handlers[StorePipeline] = self._lowerings.store
        self._handlers[Lowered] = self._lowerings.heard
        self._tool_works = ToolWorks(
            self._settings,
            platforms,
            self.peers,
            lambda device: self.control.refusal(device),
            self._lowerings.target,
            self.touch,
            tools,
        )
        self._handlers[RunTools] = self._tool_works.begin
        self._handlers[EndTools] = self._tool_works.end
        self._handlers[OfferLowered] = self._lowerings.offered
        self._settings.follow(self._follow)
        self._listing = Listing(
            self.state,
            scheduler,
            platforms,
            self._devices,
            self.control,
            clock_ns,
            lambda: self._lowerings.made,
            lambda: self._tool_works.spent_s,
        )
        self._listing.more = lambda: {
            **self._handles.counts(),
            "tool_work": self._tool_works.done,
            "tool_work_open": self._tool_works.open,
        }
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
        self._settling = Settling(platforms, self._listing, self.touch)
        self._absences = Absences(self.state, self._settings, self.ends.fail_waiting)
        self._acceptance = Acceptance(
            self._settings,
            self.state,
            self._devices,
            self._intake,
            self.programs,
            self.control,
            self._lowerings,
            self._handles,
            self.ends,
            self.emit,
            clock_ns,
        )
        #: Where platforms report.
        self.reports = Reports(
            self._settings,
            self.state,
            platforms,
            self._devices,
            self._intake,
            self._native,
            self._lowerings,
            self._handles,
            self._reservations,
            self._listing,
            self._settling,
            self.ends,
            self.emit,
            clock_ns,
            revise,
        )
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
        self._tool_works.left(peer)
        self._reservations.forget(peer)
        ending = self._handles.leave(peer)
        if self._keeps:
            self.emit(SessionClosed(self._clock_ns(), peer.session, reason))
            return
        self._lowerings.left(peer.session)
        self._scheduler.hold(peer.session, True)
        self.ends.leave(peer, ending, reason)

    @property
    def behind(self) -> bool:
        """Whether the next turn has work without anything arriving."""
        return self._undecided or self.ends.behind or self._lowerings.behind or self._handles.behind

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
                    self._acceptance.take(peer, task)
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
                    self.ends.cancel(self._handles.cancellable(peer, number), "its owner cancelled it")
            case Query() | CallNative():
                if isinstance(message, CallNative):
                    self._native.begin(peer, message)
                elif message.subject == SETTLED:
                    self._settling.ask(peer, message.request)
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

    # What platforms report (Sink) ---------------------------------------------------------------

    # The turn -----------------------------------------------------------------------------------

    def devices(self) -> list[DeviceStatus]:
        """Every device and what it does now."""
        return self._listing.devices()

    def emit(self, event: Event) -> None:
        """Something happened: journal, state and scheduler take note."""
        self._journal.append(event)
        self.state.apply(event)
        self._scheduler.observe(event)

    def _emit_draining(self, event: DaemonDraining) -> None:
        self.emit(event)
        # Whoever drained it and then asks must not be answered with what was before.
        self._listing.forget()

    def _emit_reported(self, event: DeviceReported | DeviceCame) -> None:
        changes = isinstance(event, DeviceCame) or event.event.calibration or event.event.state is not None
        if changes:
            # First: whoever sees the change, in an answer, an event or the journal, finds another revision.
            self._revise()
        self.emit(event)
        if isinstance(event, DeviceCame) or event.event.calibration:
            self._intake.forget()
            if isinstance(event, DeviceReported):
                self._lowerings.recalibrated(event.device)
        if changes:
            # Whoever was told of it must not be answered with what was before.
            self._listing.forget()
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
        self.ends.turn()
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
                    self.ends.failed(entry, ErrorReport.of(stale))
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

    def open_platforms(self, reactor: Reactor) -> None:
        """Begins to serve the devices."""
        for part in (
            self._native,
            self._handles,
            self.control,
            self._lowerings,
            self._subscriptions,
            self._reservations,
            self._absences,
            self._settling,
        ):
            part.open(reactor)
        self._platforms.open(reactor, self.reports, self.programs)
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
        self.ends.interrupt(why)

    def close_platforms(self) -> None:
        """Ends what the platforms started."""
        self._lowerings.close()
        self._platforms.close()
        self.ends.close()
        self._handles.close()


def _check_length(items: Sequence[object]) -> None:
    if len(items) > MAX_ITEMS_PER_MESSAGE:
        raise WireError(
            f"a message names {len(items)} tasks; at most {MAX_ITEMS_PER_MESSAGE} are taken at once"
        )
