"""ToolPool: limited workers that run the tools of pipelines; started when something has to be lowered."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec

from qfw.config.discover import cores, memory_bytes, worker_environment
from qfw.config.settings import Settings
from qfw.model.errors import ErrorReport, PlatformFailed, SetupError, ToolFailed, WireError
from qfw.model.pipeline import MAX_STAGES, Pipeline
from qfw.processes import child, external
from qfw.processes.backoff import retry_s
from qfw.qpm import registry
from qfw.qpm.frames import FrameReader, Receiver, pack
from qfw.qpm.outbox import Outbox
from qfw.qpm.platform import Reactor
from qfw.qpm.wire import ToolWork
from qfw.simenv.capacity import share
from qfw.simenv.toolprotocol import (
    MAX_FRAME_BYTES,
    Began,
    Lower,
    Lowered,
    LowerFailed,
    Ready,
    Work,
    decode_from_tools,
)

logger = logging.getLogger(__name__)

#: A worker that had nothing to do for so long is ended; its frameworks take memory.
IDLE_S = 300.0
#: Workers that may die under one program, and in a row before they are ready, until it is given up.
MAX_DEATHS, MAX_FAILED_STARTS = 2, 3
#: Workers that were killed are waited for so long.
MAX_CLOSE_S = 0.8
#: What came of a program: MessagePack, or why there is nothing.
Outcome = bytes | ErrorReport


class _Job:
    """A program on its way through a pipeline."""

    __slots__ = ("began_s", "deaths", "ended", "message", "session", "stage", "stages", "time_limit_s")

    def __init__(
        self, message: Lower | Work, session: int, time_limit_s: float, ended: Callable[[int, Outcome], None]
    ) -> None:
        self.message = message
        self.session = session
        self.time_limit_s = time_limit_s
        #: Is told what came of it.
        self.ended = ended
        #: When a worker got it.
        self.began_s = 0.0
        #: How often a worker died under it.
        self.deaths = 0
        #: Stages that began.
        self.stages = 0
        #: What ran last, in words; empty before the first stage.
        self.stage = ""

    @property
    def pipeline(self) -> bytes:
        message = self.message
        return message.pipeline if isinstance(message, Lower) else message.work.pipeline


class _Worker:
    """The pool's end of one process."""

    def __init__(self, name: str, launched: child.Child) -> None:
        self.name = name
        self.launched = launched
        self.reader = FrameReader(MAX_FRAME_BYTES)
        self.outbox = Outbox(launched.channel)
        self.ready = False
        self.job: _Job | None = None
        #: Since when it has nothing to do.
        self.idle_s = math.inf
        self.gone = False


class ToolPool:
    """Lowers programs in processes of their own; sessions take turns."""

    def __init__(self, settings: Settings) -> None:
        """Looks up tools; starts nothing.

        Raises:
            ConfigError: external tools are declared as none can be.
        """
        external.declare(settings.tools.external)
        self._external = msgspec.json.encode(settings.tools.external).decode()
        self._most = settings.tools.workers
        self._start_limit_s = settings.workers.start_limit_s
        self._memory_bytes = (
            settings.tools.memory_bytes or share(settings.workers, cores(), memory_bytes())[1]
        )
        self._cache_folder = settings.tools.cache_folder
        self._cache_bytes = settings.tools.cache_bytes
        #: Names of the tools that run here.
        self.tools = frozenset(_installed())
        self._reactor: Reactor
        self._ended: Callable[[int, Outcome], None]
        #: Is told of each session whose tools took so many seconds.
        self.spent: Callable[[int, float], None] = lambda session, seconds: None
        self._receiver = Receiver()
        self._workers: dict[str, _Worker] = {}
        #: What waits, by session; the first session is the next.
        self._queues: OrderedDict[int, deque[_Job]] = OrderedDict()
        self._started = 0
        self._failed_starts = 0
        self._closed = False

    def open(self, reactor: Reactor, ended: Callable[[int, Outcome], None]) -> None:
        """Begins to serve; `ended` is told of each program a LoweredProgram (MessagePack), or why there is none."""
        self._reactor, self._ended = reactor, ended

    def lower(
        self, number: int, session: int, program: bytes, pipeline: bytes, target: bytes, time_limit_s: float
    ) -> None:
        """Lowers a program, for a session; see `toolprotocol.Lower`. Never within this call.

        It has `time_limit_s` from the moment that a worker gets it.
        """
        self._put(_Job(Lower(number, program, pipeline, target), session, time_limit_s, self._ended))

    def work(
        self,
        number: int,
        session: int,
        work: ToolWork,
        target: bytes,
        time_limit_s: float,
        ended: Callable[[int, Outcome], None],
    ) -> None:
        """Does a piece of tool work, for a session, as `lower`; `ended` is told what it is answered.

        `number`: below 0, so that it is no lowering's.
        """
        self._put(_Job(Work(number, work, target), session, time_limit_s, ended))

    def _put(self, job: _Job) -> None:
        self._queues.setdefault(job.session, deque()).append(job)
        self._reactor.call_at(self._reactor.now(), self._serve)

    def end(self, number: int) -> None:
        """Nobody wants it any more, begun or not: a worker that is at it is ended. Nobody is told."""
        if self.forget(number):
            return
        for worker in self._workers.values():
            if worker.job is not None and worker.job.message.number == number:
                self._charge(worker.job)
                worker.job = None
                self._lose(worker, "nobody wants its work any more")
                return

    def forget(self, number: int) -> bool:
        """Nobody wants it any more: whether it had not begun, and is left out."""
        for session, queue in self._queues.items():
            for job in queue:
                if job.message.number == number:
                    queue.remove(job)
                    if not queue:
                        del self._queues[session]
                    return True
        return False

    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.launched.pid for worker in self._workers.values()]

    def close(self) -> None:
        """Ends all workers."""
        self._closed = True
        self._queues.clear()
        workers = list(self._workers.values())
        for worker in workers:
            worker.gone = True
            self._reactor.unwatch(worker.launched.channel.fileno())
            worker.launched.close()
            worker.launched.kill()
        # What was killed ends at once; collected here, it leaves nothing behind.
        end_s = time.monotonic() + MAX_CLOSE_S
        for worker in workers:
            while worker.launched.reap() is None and time.monotonic() < end_s:
                time.sleep(0.002)
        self._workers.clear()

    # Giving out -----------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Gives what waits to workers that are free, and starts those that are missing."""
        if self._closed:
            return
        free = [worker for worker in self._workers.values() if worker.ready and worker.job is None]
        for worker in free:
            job = self._next()
            if job is None:
                return
            self._give(worker, job)
        waiting = sum(map(len, self._queues.values()))
        starting = sum(not worker.ready for worker in self._workers.values())
        for _ in range(min(waiting - starting, self._most - len(self._workers))):
            self._launch()

    def _next(self) -> _Job | None:
        if not self._queues:
            return None
        session, queue = self._queues.popitem(last=False)
        job = queue.popleft()
        if queue:
            # Behind the others: who lowers thousands of programs does not hold up who lowers one.
            self._queues[session] = queue
        return job

    def _give(self, worker: _Worker, job: _Job) -> None:
        worker.job = job
        job.stage, job.stages, job.began_s = "", 0, self._reactor.now()
        worker.outbox.put(pack(job.message))
        self._flush(worker)
        limit_s = job.time_limit_s

        def over_time() -> None:
            if worker.job is job and not worker.gone:
                self._lose(
                    worker,
                    f"it took longer than {limit_s:g} s. Use a smaller program, or raise tools.time_limit_s in the "
                    "daemon's settings",
                    again=False,
                )

        self._reactor.call_at(self._reactor.now() + limit_s, over_time)

    def _launch(self) -> None:
        self._started += 1
        name = f"tools/{self._started}"

        def arguments(channel: int) -> list[str]:
            return [
                "-m",
                "qfw.simenv.toolworker",
                f"--channel={channel}",
                f"--memory-bytes={self._memory_bytes}",
                f"--parent={os.getpid()}",
                f"--external={self._external}",
                f"--cache-folder={self._cache_folder}",
                f"--cache-bytes={self._cache_bytes}",
            ]

        try:
            launched = child.start(f"tool worker {name}", arguments, worker_environment(1))
        except PlatformFailed as error:
            self._failed_start(str(error))
            return
        worker = self._workers[name] = _Worker(name, launched)
        self._reactor.watch(launched.channel.fileno(), lambda: self._readable(worker))
        limit_s = self._start_limit_s

        def not_ready_in_time() -> None:
            if not worker.ready and not worker.gone:
                self._lose(worker, f"not ready within {limit_s:g} s")

        self._reactor.call_at(self._reactor.now() + limit_s, not_ready_in_time)

    # What workers say -----------------------------------------------------------------------------

    def _readable(self, worker: _Worker) -> None:
        try:
            chunk = self._receiver.receive(worker.launched.channel)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(worker, f"its process ended: {error}")
            return
        if not chunk:
            self._lose(worker, "its process ended")
            return
        try:
            for body in worker.reader.feed(chunk):
                self._said(worker, decode_from_tools(body))
        except (msgspec.DecodeError, WireError) as error:
            # A worker is believed nothing: one that breaks the protocol is ended. It may be an earlier tool's doing.
            self._lose(worker, f"it broke the protocol of tool workers: {error}")
            return
        if worker.ready and worker.job is None:
            self._serve()

    def _said(self, worker: _Worker, message: Ready | Began | Lowered | LowerFailed) -> None:
        if isinstance(message, Ready):
            if worker.ready:
                raise WireError("it said twice that it is ready")
            worker.ready = True
            self._failed_starts = 0
            self._rests(worker)
            return
        job = worker.job
        if job is None or job.message.number != message.number:
            raise WireError(f"it answered {message.number}, which it was not asked")
        if isinstance(message, Began):
            job.stages += 1
            if job.stages > MAX_STAGES:
                raise WireError(f"it began more than {MAX_STAGES} stages")
            job.stage = f"stage {message.stage[:100]}: tool {message.tool[:100]}"
            return
        worker.job = None
        self._charge(job)
        self._rests(worker)
        job.ended(job.message.number, message.body if isinstance(message, Lowered) else message.error)

    def _charge(self, job: _Job) -> None:
        """A worker is done with it, however."""
        self.spent(job.session, max(0.0, self._reactor.now() - job.began_s))

    def _rests(self, worker: _Worker) -> None:
        worker.idle_s = since_s = self._reactor.now()

        def end_if_idle() -> None:
            if worker.job is None and worker.idle_s == since_s and not worker.gone:
                self._lose(worker, "idle")

        self._reactor.call_at(since_s + IDLE_S, end_if_idle)

    def _flush(self, worker: _Worker) -> None:
        try:
            empty = worker.outbox.flush()
        except OSError:
            return  # Its end shows as readable, and is dealt with there.
        self._reactor.watch(
            worker.launched.channel.fileno(),
            lambda: self._readable(worker),
            None if empty else lambda: self._flush(worker),
        )

    # Ends -----------------------------------------------------------------------------------------

    def _lose(self, worker: _Worker, reason: str, again: bool = True) -> None:
        """Ends a worker. `again`: what it was doing may be tried once more, on another."""
        if worker.gone:
            return
        worker.gone = True
        del self._workers[worker.name]
        self._reactor.unwatch(worker.launched.channel.fileno())
        worker.launched.close()
        worker.launched.kill()
        worker.reader.close()
        self._reap(worker, reason)
        job, worker.job = worker.job, None
        if job is not None:
            self._charge(job)
        if not worker.ready:
            self._failed_start(reason)
            return
        if job is not None:
            self._failed(job, reason, again)
        self._serve()

    def _failed(self, job: _Job, reason: str, again: bool) -> None:
        job.deaths += 1
        if again and job.deaths < MAX_DEATHS:
            self._queues.setdefault(job.session, deque()).appendleft(job)
            self._queues.move_to_end(job.session, last=False)
            return
        times = f" ({job.deaths} times)" if again else ""
        error = ToolFailed(f"{job.stage or _any_stage(job.pipeline)}: {reason}{times}")
        job.ended(job.message.number, ErrorReport.of(error))

    def _failed_start(self, reason: str) -> None:
        self._failed_starts += 1
        logger.error("tool worker start failed: reason=%s", reason)
        if self._failed_starts < MAX_FAILED_STARTS:
            self._reactor.call_at(self._reactor.now() + retry_s(self._failed_starts), self._serve)
            return
        self._failed_starts = 0
        error = ErrorReport.of(ToolFailed(f"tool workers do not start: {reason}. qpmd.log says more"))
        while (job := self._next()) is not None:
            job.ended(job.message.number, error)

    def _reap(self, worker: _Worker, reason: str) -> None:
        ended = worker.launched.reap()
        if ended is None:
            if not self._closed:
                self._reactor.call_at(self._reactor.now() + 0.05, lambda: self._reap(worker, reason))
            return
        logger.info(
            "tool worker ended: worker=%s pid=%d %s (%s)", worker.name, worker.launched.pid, ended, reason
        )


def _any_stage(pipeline: bytes) -> str:
    """All stages in words, where nobody knows which it was."""
    stages = [
        f"stage {stage.name[:100]}: tool {stage.tool[:100]}" for stage in Pipeline.decode(pipeline).stages
    ]
    return ", or ".join(stages)


def _installed() -> list[str]:
    """Tools that are here with their frameworks and need no client; a broken plugin is left out."""
    found = []
    for name in registry.names(registry.TOOLS):
        try:
            kind = registry.load(registry.TOOLS, name)
            if kind.version() is not None and not kind.needs_client:
                found.append(registry.marked(registry.TOOLS, name))
        except SetupError as error:
            logger.error("tool left out: %s", error)
        except Exception as error:
            logger.error("tool left out: name=%s %s: %s", name, type(error).__name__, error)
    return found
