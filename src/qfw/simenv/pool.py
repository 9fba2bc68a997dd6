"""PoolPlatform: every engine as a device, each behind warm workers."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec

from qfw.config.discover import cores
from qfw.model.device import DeviceProfile, DeviceState, Estimate
from qfw.model.errors import (
    DeadlineExceeded,
    ErrorReport,
    NotInstalled,
    PlatformFailed,
    SetupError,
    StaleCalibration,
    StaleEpoch,
    UnknownDevice,
    WireError,
)
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.processes.backoff import retry_s
from qfw.qpm import registry
from qfw.qpm.defaults import Ideal, NoReservations
from qfw.qpm.fence import Fence
from qfw.qpm.frames import FrameReader, Parcel, Receiver, pack
from qfw.qpm.large import in_memory
from qfw.qpm.launcher import Launched, Launcher
from qfw.qpm.outbox import Outbox
from qfw.qpm.platform import (
    API_VERSION,
    RESOURCES,
    RUNTIME,
    PlatformConfig,
    ProgramSource,
    Reactor,
    Run,
    RunDone,
    RunFailed,
    Sink,
)
from qfw.qpm.shared import Memory
from qfw.simenv.capacity import Capacity
from qfw.simenv.protocol import (
    MAX_FRAME_BYTES,
    Ended,
    FromWorker,
    Load,
    NeedProgram,
    NotReady,
    Ready,
    Work,
    decode_from_worker,
)

logger = logging.getLogger(__name__)

#: Workers that may die in a row before they are ready, until the device goes offline.
MAX_FAILED_STARTS = 3
#: Digests that the pool believes a worker to know; the worker keeps more.
KNOWN_PROGRAMS = 2048
#: A run that was cancelled is left to end by itself when it has at most this many seconds to go.
CANCEL_PATIENCE_S = 0.25
#: Workers that were killed are waited for so long.
MAX_CLOSE_S = 0.8


class _Device:
    """An engine and its workers."""

    def __init__(self, name: str, kind: Any, profile: DeviceProfile) -> None:
        self.name = name
        self.kind = kind
        self.profile = profile
        self.workers: dict[str, _Worker] = {}
        self.warm = False
        self.failed_starts = 0
        self.started = 0


class _Worker:
    """The pool's end of one worker process."""

    def __init__(self, device: _Device, name: str, launched: Launched, started_s: float) -> None:
        self.device = device
        self.name = name
        self.launched = launched
        self.started_s = started_s
        self.reader = FrameReader(MAX_FRAME_BYTES, parcels=True)
        self.outbox = Outbox(launched.channel)
        self.ready = False
        #: What it was given and has not answered; the first one runs.
        self.runs: deque[Run] = deque()
        #: Runs behind the first one that were cancelled: (task, epoch).
        self.cancelled: set[tuple[int, int]] = set()
        #: When the first of `runs` began, as far as the pool can tell.
        self.head_s = 0.0
        #: When a timer will look at the deadline.
        self.watched_s = math.inf
        self.known: OrderedDict[bytes, None] = OrderedDict()
        self.blocked = False


class PoolPlatform(Ideal, NoReservations):
    """Serves the engines that are installed; satisfies `qfw.qpm.platform.Platform`."""

    api_version: ClassVar[tuple[int, int]] = API_VERSION
    facets: ClassVar[frozenset[str]] = frozenset({RESOURCES, RUNTIME})

    def __init__(self, config: PlatformConfig) -> None:
        """Looks up engines; starts nothing.

        Raises:
            UnknownDevice: a configured engine does not exist.
            NotInstalled: a configured engine's framework is missing.
            ConfigError: workers would have too little memory for any engine.
        """
        settings = config.settings
        self._settings = settings.workers
        self._capacity = Capacity.of(self._settings)
        self._wide_threads = self._settings.wide_threads or cores()
        self._devices: dict[str, _Device] = {}
        for name in settings.engines or registry.names(registry.ENGINES):
            try:
                kind = registry.load(registry.ENGINES, name)
                version = kind.version()
            except SetupError as error:
                # One broken plugin must not take the others with it, unless it was asked for.
                if settings.engines:
                    raise
                logger.error("engine left out: %s", error)
                continue
            if version is None:
                if settings.engines:
                    raise NotInstalled(f"engine {name!r} is configured; run: pip install 'qfw[{name}]'")
                continue
            if not settings.engines and kind.preference < 0:
                continue
            profile = self._capacity.profile(config.name, name, kind, version)
            self._devices[name] = _Device(name, kind, profile)
        launcher: type[Launcher] = registry.load(registry.LAUNCHERS, self._settings.launcher)
        self._launcher = launcher()
        self._reactor: Reactor
        self._sink: Sink
        self._programs: ProgramSource
        self._receiver = Receiver()
        self._fence = Fence()
        self._closed = False

    def devices(self) -> Sequence[DeviceProfile]:
        """See Platform."""
        return [device.profile for device in self._devices.values()]

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        """See Platform."""
        self._reactor = reactor
        self._sink = sink
        self._programs = programs

    def warm(self, device: str) -> None:
        """See Platform. The first call for a device starts its workers."""
        found = self._device(device)
        if not found.warm:
            found.warm = True
            # Some may be there, or on their way, since before it went offline.
            for _ in range(self._capacity.workers - len(found.workers)):
                self._launch(found)

    def state(self, device: str) -> DeviceState:
        """See Runtime. Workers start with the first task, so a device that has none is online too."""
        found = self._device(device)
        starting = found.warm and not any(worker.ready for worker in found.workers.values())
        return DeviceState.STARTING if starting else DeviceState.ONLINE

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """See Platform."""
        found = self._device(device)
        return self._capacity.estimate(found.kind, found.profile, program, outputs, sets, shots)

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        """See Platform."""
        worker = self._device(device).workers.get(slot)
        if worker is None:
            return  # Lost in this very turn: the loss was reported, and the runs with it.
        runs = self._admitted(worker, runs)
        if not runs:
            return
        if not worker.runs:
            worker.head_s = self._reactor.now()
        for run in runs:
            if run.program not in worker.known:
                self._load(worker, run.program)
        worker.runs.extend(runs)
        self._watch_deadline(worker)
        worker.outbox.put(pack(Work(list(runs))))
        self._flush(worker)

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        """See Platform. A run that would go on for long is ended with its worker."""
        worker = self._device(device).workers.get(slot)
        if worker is None or not worker.runs:
            return
        head = worker.runs[0]
        if head.task == task and head.epoch == epoch:
            self._end_soon(worker, head)
        else:
            # Given ahead: when its turn comes.
            worker.cancelled.add((task, epoch))

    def close(self) -> None:
        """See Platform."""
        self._closed = True
        for device in self._devices.values():
            for worker in device.workers.values():
                self._reactor.unwatch(worker.launched.channel.fileno())
                worker.launched.channel.close()
                worker.launched.kill()
        # What was killed ends at once; collected here, it leaves nothing behind.
        end_s = time.monotonic() + MAX_CLOSE_S
        for device in self._devices.values():
            for worker in device.workers.values():
                while worker.launched.reap() is None and time.monotonic() < end_s:
                    time.sleep(0.002)
            device.workers.clear()

    def _admitted(self, worker: _Worker, runs: Sequence[Run]) -> list[Run]:
        """Those that were not started before; the others are refused or left out."""
        admitted = []
        for run in runs:
            try:
                if not self._fence.admit(run.task, run.epoch):
                    continue
                if run.calibration:
                    raise StaleCalibration(
                        f"task {run.task} was lowered for calibration {run.calibration!r}; {worker.device.name} "
                        "is ideal and has none. Send it without one"
                    )
                admitted.append(run)
            except (StaleEpoch, StaleCalibration) as error:
                report = partial(
                    self._sink.run_ended,
                    worker.device.name,
                    worker.name,
                    worker.launched.pid,
                    RunFailed(run.task, run.epoch, ErrorReport.of(error)),
                )
                # Not within the sink's own call.
                self._reactor.call_at(self._reactor.now(), report)
        return admitted

    def _device(self, name: str) -> _Device:
        found = self._devices.get(name)
        if found is None:
            raise UnknownDevice(registry.unknown("device", name, sorted(self._devices)))
        return found

    def _launch(self, device: _Device) -> None:
        device.started += 1
        name = f"{device.name}/{device.started}"
        now = self._reactor.now()
        try:
            launched = self._launcher.launch(
                device.name, name, self._settings.threads, self._wide_threads, self._capacity.worker_bytes
            )
        except PlatformFailed as error:
            self._failed_start(device, str(error))
            return
        worker = _Worker(device, name, launched, now)
        device.workers[name] = worker
        self._reactor.watch(launched.channel.fileno(), lambda: self._readable(worker))
        limit_s = self._settings.start_limit_s

        def not_ready_in_time() -> None:
            if not worker.ready and device.workers.get(name) is worker:
                self._lose(worker, f"not ready within {limit_s:g} s")

        self._reactor.call_at(now + limit_s, not_ready_in_time)

    def _failed_start(self, device: _Device, reason: str) -> None:
        device.failed_starts += 1
        logger.error("worker start failed: device=%s reason=%s", device.name, reason)
        if device.failed_starts >= MAX_FAILED_STARTS and not any(w.ready for w in device.workers.values()):
            device.warm = False
            device.failed_starts = 0
            self._sink.device_offline(device.name, reason)
        elif len(device.workers) < self._capacity.workers:
            # Not at once: what failed a moment ago fails again.
            self._reactor.call_at(
                self._reactor.now() + retry_s(device.failed_starts), lambda: self._refill(device)
            )

    def _refill(self, device: _Device) -> None:
        if not self._closed and device.warm and len(device.workers) < self._capacity.workers:
            self._launch(device)

    def _readable(self, worker: _Worker) -> None:
        try:
            chunk, memories = self._receiver.receive_with_memory(worker.launched.channel)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(worker, str(error))
            return
        if not chunk:
            self._lose(worker, "its channel closed")
            return
        try:
            for body in worker.reader.feed(chunk, memories):
                message = decode_from_worker(body)
                if isinstance(body, Parcel):
                    self._ended(worker, *_unpacked(message, body.memory))
                    continue
                match message:
                    case Ended():
                        for outcome in message.outcomes:
                            self._ended(worker, outcome)
                    case Ready():
                        if worker.ready:
                            raise WireError("it said twice that it is ready")
                        worker.ready = True
                        worker.device.failed_starts = 0
                        self._sink.slot_ready(worker.device.name, worker.name, worker.launched.pid)
                    case NeedProgram():
                        self._resend(worker, message)
                    case NotReady():
                        self._lose(worker, message.error.message)
                        return
        except (msgspec.DecodeError, WireError) as error:
            # A worker is believed nothing: one that breaks the protocol is ended.
            self._lose(worker, f"broken message: {error}")

    def _ended(self, worker: _Worker, outcome: RunDone | RunFailed, memory: Memory | None = None) -> None:
        if worker.runs and worker.runs[0].task == outcome.task and worker.runs[0].epoch == outcome.epoch:
            worker.runs.popleft()
            self._head_changed(worker)
        self._sink.run_ended(worker.device.name, worker.name, worker.launched.pid, outcome, memory)

    def _head_changed(self, worker: _Worker) -> None:
        """Another run begins in a worker."""
        worker.head_s = self._reactor.now()
        if not worker.runs:
            return
        self._watch_deadline(worker)
        if worker.cancelled:
            head = worker.runs[0]
            worker.cancelled.intersection_update((run.task, run.epoch) for run in worker.runs)
            if (head.task, head.epoch) in worker.cancelled:
                self._end_soon(worker, head)

    def _end_soon(self, worker: _Worker, head: Run) -> None:
        """Ends a worker's first run, with its worker, unless it ends by itself."""

        def end_if_still_running() -> None:
            if worker.runs and worker.runs[0] is head:
                self._lose(worker, "its task was cancelled")

        self._reactor.call_at(self._reactor.now() + CANCEL_PATIENCE_S, end_if_still_running)

    def _resend(self, worker: _Worker, message: NeedProgram) -> None:
        # It goes behind what the worker has; `runs` follows the worker's order.
        for run in worker.runs:
            if run.task == message.task and run.epoch == message.epoch:
                worker.runs.remove(run)
                worker.runs.append(run)
                self._head_changed(worker)
                self._load(worker, run.program)
                worker.outbox.put(pack(Work([run])))
                self._flush(worker)
                return

    def _load(self, worker: _Worker, digest: bytes) -> None:
        worker.outbox.put(pack(Load(digest, self._programs.encoded(digest))))
        worker.known[digest] = None
        if len(worker.known) > KNOWN_PROGRAMS:
            worker.known.popitem(last=False)

    def _flush(self, worker: _Worker) -> None:
        try:
            empty = worker.outbox.flush()
        except OSError:
            return  # Its end shows as readable, and is dealt with there.
        if empty != (not worker.blocked):
            worker.blocked = not empty
            channel = worker.launched.channel
            self._reactor.watch(
                channel.fileno(),
                lambda: self._readable(worker),
                (lambda: self._flush(worker)) if worker.blocked else None,
            )

    def _watch_deadline(self, worker: _Worker) -> None:
        """Sees to it that the first run's deadline is looked at; one timer serves many runs."""
        at_s = worker.head_s + worker.runs[0].time_limit_s
        if at_s < worker.watched_s:
            worker.watched_s = at_s
            self._reactor.call_at(at_s, lambda: self._look_at_deadline(worker))

    def _look_at_deadline(self, worker: _Worker) -> None:
        worker.watched_s = math.inf
        if not worker.runs or worker.device.workers.get(worker.name) is not worker:
            return
        head = worker.runs[0]
        if self._reactor.now() < worker.head_s + head.time_limit_s:
            self._watch_deadline(worker)
            return
        worker.runs.popleft()
        error = DeadlineExceeded(
            f"the task ran longer than its limit of {head.time_limit_s:g} s and was ended. "
            f"Give it more (time_limit_s, workers.time_limit_s) or make it smaller"
        )
        failed = RunFailed(head.task, head.epoch, ErrorReport.of(error))
        self._sink.run_ended(worker.device.name, worker.name, worker.launched.pid, failed)
        self._lose(worker, "a task ran past its deadline", begun=False)

    def _lose(self, worker: _Worker, reason: str, begun: bool = True) -> None:
        """Ends a worker. `begun`: the first of its runs had begun."""
        device = worker.device
        if device.workers.pop(worker.name, None) is None:
            return
        self._reactor.unwatch(worker.launched.channel.fileno())
        worker.launched.channel.close()
        worker.launched.kill()
        # Timers may keep the worker for a while, but not memory that it sent.
        worker.reader.close()
        self._reap(worker, reason)
        if self._closed:
            return
        if worker.ready:
            running = worker.runs[0].task if worker.runs and begun else None
            self._sink.slot_lost(device.name, worker.name, worker.launched.pid, reason, running)
            self._launch(device)
        else:
            self._failed_start(device, reason)

    def _reap(self, worker: _Worker, reason: str) -> None:
        ended = worker.launched.reap()
        if ended is None:
            self._reactor.call_at(self._reactor.now() + 0.05, lambda: self._reap(worker, reason))
            return
        logger.warning(
            "worker ended: worker=%s pid=%d %s (%s)", worker.name, worker.launched.pid, ended, reason
        )


def _unpacked(message: FromWorker, memory: Memory | None) -> tuple[RunDone | RunFailed, Memory | None]:
    """What came with a descriptor. Raises WireError where that is not one answered run."""
    if not isinstance(message, Ended):
        raise WireError(f"a descriptor came with a {type(message).__name__} that does not name it")
    return in_memory(message.outcomes, memory)
