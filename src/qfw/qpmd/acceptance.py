"""Acceptance: whether a task that is submitted is taken, refused, or wanted once more with what it needs."""

from __future__ import annotations

from collections.abc import Callable

from qfw.config.current import Current
from qfw.model.errors import ErrorReport, NoCapacity, QFwError, WireError
from qfw.model.events import Event, TaskAccepted
from qfw.model.task import QuantumTask, task_name, task_session
from qfw.qpmd.control import Controls
from qfw.qpmd.devices import Devices
from qfw.qpmd.ends import Ends, long_bytes
from qfw.qpmd.handles import Handles
from qfw.qpmd.intake import Intake
from qfw.qpmd.lowering import Lowerings
from qfw.qpmd.peer import Peer
from qfw.qpmd.programs import ProgramStore
from qfw.qpmd.state import DaemonState


class Acceptance:
    """What stands between a submission and the journal."""

    def __init__(
        self,
        settings: Current,
        state: DaemonState,
        devices: Devices,
        intake: Intake,
        programs: ProgramStore,
        control: Controls,
        lowerings: Lowerings,
        handles: Handles,
        ends: Ends,
        emit: Callable[[Event], None],
        clock_ns: Callable[[], int],
    ) -> None:
        """Parts of the daemon's core."""
        self._settings = settings
        self._state = state
        self._devices = devices
        self._intake = intake
        self._programs = programs
        self._control = control
        self._lowerings = lowerings
        self._handles = handles
        self._ends = ends
        self._emit = emit
        self._clock_ns = clock_ns

    def take(self, peer: Peer, task: QuantumTask) -> None:
        """A session submits a task; where it is not taken, the peer is owed why.

        Raises:
            WireError: it is not a task of this session.
        """
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
        size, most = long_bytes(task), self._settings.scheduling.max_bytes_per_session
        if peer.tasks and peer.task_bytes + size > most:
            refusal = NoCapacity(
                f"the task has {size} bytes of parameters and outputs, the unanswered tasks of this session "
                f"{peer.task_bytes}; {most} are taken in all (scheduling.max_bytes_per_session). Wait for some results"
            )
            peer.fail(task.number, ErrorReport.of(refusal))
            return
        draining = self._control.refusal(task.device)
        if draining is not None:
            peer.fail(task.number, ErrorReport.of(draining))
            return
        program = self._programs.get(task.program)
        if program is None:
            peer.needed.setdefault(task.program, []).append(task.number)
            return
        if task.pipeline and self._lowerings.pipelines.get(task.pipeline) is None:
            peer.needed_pipelines.setdefault(task.pipeline, []).append(task.number)
            return
        try:
            if task.calibration or self._state.devices:
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
        self._programs.use(task.program)
        self._ends.accepted(task.number)
        self._emit(TaskAccepted(self._clock_ns(), task, estimate.cost_s))
        self._handles.accepted(peer, task)
        if task.pipeline:
            self._lowerings.accepted(task, lowering)
        if task.device not in self._devices.warmed:
            # Behind the acceptance: a device that cannot start fails what waits for it, perhaps at once.
            self._devices.warm(task.device)
