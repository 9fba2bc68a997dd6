"""Submitter: how a stream's operations are taken, sent at once or handed to its flow, and how their ends come back."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from qfw.model.errors import DaemonLost, UsageError
from qfw.model.pipeline import Pipeline
from qfw.model.program import Program
from qfw.qpi.client import Client, Draft
from qfw.qpi.completions import Completion, CompletionKind, CompletionQueue
from qfw.qpi.device import Device
from qfw.qpi.drafting import Drafting, NeedsResult, Request
from qfw.qpi.flow import Flow
from qfw.qpi.future import TaskFuture
from qfw.qpi.keys import Keys, stream_key
from qfw.qpi.operation import Operation
from qfw.qpi.placing import Ground
from qfw.qpi.room import Room
from qfw.qpi.work import Follow, Task
from qfw.qpm.expansion import splitting

if TYPE_CHECKING:
    from qfw.qpi.stream import QStream

#: What an operation does, and the futures whose results it needs.
Work = tuple[Any, tuple[TaskFuture, ...]]


class Submitter:
    """What a QStream is without its users' interface; for the stream's parts."""

    def __init__(
        self, ground: Ground, pipeline: Pipeline | None, window: int | None, ordered: bool, stops: bool
    ) -> None:
        """Of a stream; `stops`: a failure cancels what has not begun, and nothing more is taken."""
        #: What it is bound to.
        self.ground = ground
        self._device = ground if isinstance(ground, Device) else None
        self._only = (ground.client,) if isinstance(ground, Device) else None
        #: Makes drafts of requests.
        self.drafting = Drafting(pipeline)
        #: Who waits for a place.
        self.room = Room(self, window)
        self._keys = Keys()
        #: Tasks submitted, the last of them, and, where ends are followed, the open ones by number.
        self._count = 0
        self._last: TaskFuture | None = None
        self._recent: weakref.ref[TaskFuture] | None = None
        self._used: tuple[Client, ...] = ()
        self._tasks: dict[TaskFuture, int] = {}
        self._follows = window is not None
        self._flow: Flow | None = None
        #: The stream's pipeline, where it makes several programs of one.
        self.splits = pipeline if pipeline is not None and splitting(pipeline) else None
        if ordered or self._device is None or stops or self.splits is not None:
            self._follows = True
            self._flow = Flow(self.stream, ordered=ordered, stops=stops, first=0)

    @property
    def stream(self) -> QStream:
        """Itself, as its users know it."""
        return cast("QStream", self)

    @property
    def device(self) -> Device:
        """Where the tasks run; the automatic one chooses for each. Raises UsageError of a stream on a mesh."""
        if self._device is None:
            raise UsageError("this stream is bound to a mesh; its devices are in stream.devices")
        return self._device

    @property
    def closed(self) -> bool:
        """Whether it takes no more: closed itself, or its session."""
        return self.room.closed or self.over

    @property
    def clients(self) -> tuple[Client, ...]:
        """The connections that its operations go through."""
        if self._only is not None:
            return self._only
        for device in self.ground.devices:
            if device.client not in self._used:
                # One whose device left the mesh may still bring answers.
                self._used = (*self._used, device.client)
        return self._used

    @property
    def over(self) -> bool:
        """Whether all its connections are gone."""
        clients = self.clients
        return bool(clients) and all(client.over for client in clients)

    @property
    def within(self) -> bool:
        """Whether this thread runs a callback that what it waits for might wait for."""
        return any(client.reads_here for client in self.clients) or (
            self._flow is not None and self._flow.within
        )

    # Submission -----------------------------------------------------------------------------------

    def take(self, requests: Sequence[Request], timeout_s: float | None) -> list[TaskFuture]:
        """As `QStream.run_many`."""
        if self.room.closed:
            raise UsageError("the stream is closed; open a new one")
        now_ns = time.monotonic_ns()
        if any(stream_key(request.options) for request in requests):
            return self._keys.run(requests, lambda fresh: self._submit(fresh, now_ns, timeout_s))
        return self._submit(requests, now_ns, timeout_s)

    def _submit(self, requests: Sequence[Request], now_ns: int, timeout_s: float | None) -> list[TaskFuture]:
        if self._flow is None:
            device, drafting = self.device, self.drafting
            try:
                drafts = [drafting.draft(request, device, now_ns) for request in requests]
                for request in requests:
                    if request.device is not None:
                        device.place(request.program, (), 1, 0, False, request.device)
            except NeedsResult:
                for request in requests:
                    if isinstance(request.parameters, TaskFuture):
                        self._check_own(request.parameters)
                self._manage()
            else:
                if not self._follows:
                    return device.client.submit(drafts, self)
                device.client.check()
                found: list[TaskFuture] = []

                def send(part: Sequence[Draft]) -> None:
                    found.extend(device.client.submit(part, self))

                self.room.admit(drafts, timeout_s, send)
                return found
        return list(
            self._add("run", [self._task(request, now_ns) for request in requests], timeout_s=timeout_s)
        )

    def _task(self, request: Request, now_ns: int) -> Work:
        """What an operation is to do for a request, which is checked as far as it can be, and what it needs."""
        given = request.parameters
        # The parts of one that is split are placed by themselves, and may be smaller.
        device = self._device if self.splits is None else None
        if not isinstance(given, TaskFuture):
            draft = self.drafting.draft(request, device, now_ns)
            return (Task(request, draft) if self.splits is None else self.expanding(request, draft)), ()
        self._check_own(given)
        slots = request.program.num_slots if isinstance(request.program, Program) else 0
        self.drafting.draft(request._replace(parameters=(0.0,) * slots), device, now_ns)
        return (Task(request, None) if self.splits is None else self.expanding(request, None)), (given,)

    def expanding(self, request: Request, draft: Draft | None = None) -> Any:
        """What an operation does for a request, where the stream's pipeline makes several programs of one."""
        from qfw.qpi.expanding import ExpandWork, check_request

        assert self.splits is not None
        check_request(request.options)
        return ExpandWork(self, self.splits, request, draft)

    def _check_own(self, future: TaskFuture) -> None:
        own = future.stream is self if isinstance(future, Operation) else future.owner is self
        if not own:
            raise UsageError(
                f"{future.name} is of another stream; take its result() first, or submit both to one stream"
            )

    def place_call(self, follow: Follow) -> Operation:
        """As `QStream.call`."""
        for need in follow.needs:
            self._check_own(need)
        (operation,) = self._add("call", [(follow, follow.needs)])
        return operation

    def _ask(self, kind: str, work: Callable[[], Any]) -> Operation:
        (operation,) = self._add(kind, [(work, ())])
        return operation

    def _add(
        self, kind: str, works: Sequence[Work], *, barrier: bool = False, timeout_s: float | None = None
    ) -> list[Operation]:
        """Operations behind all others."""
        if self.room.closed:
            raise UsageError("the stream is closed; open a new one")
        flow = self._manage()
        self._check_clients()
        operations = [Operation(flow, kind, work, needs) for work, needs in works]

        def add(part: Sequence[Operation]) -> None:
            if not barrier:
                # Of the one before a callback can still be given the result.
                self._last = part[-1]
            flow.add(part, barrier=barrier)

        self.room.admit(operations, timeout_s, add, completes=not barrier)
        return operations

    def _check_clients(self) -> None:
        """Raises where nothing can be sent any more; of several daemons one that lives is enough."""
        lost: DaemonLost | None = None
        living = False
        for client in self.clients:
            try:
                client.check()
                living = True
            except DaemonLost as error:
                lost = lost or error
        if lost is not None and not living:
            raise lost

    def _before(self) -> TaskFuture | None:
        """The operation before the next one."""
        if self._last is not None or self._recent is None:
            return self._last
        found = self._recent()
        if found is None:
            raise UsageError(
                "the result of the operation before is not kept; give call() the future that you mean as argument"
            )
        return found

    def _manage(self) -> Flow:
        """From now on the stream's operations may wait for others."""
        if self._flow is None:
            # Nothing is submitted meanwhile.
            with self.device.client.submitting:
                if self._flow is None:
                    flow = Flow(self.stream, ordered=False, stops=False, first=self._count)
                    self._follow()
                    self._flow = flow
                    flow.adopt(list(self._tasks))
        return self._flow

    def _follow(self) -> None:
        """From now on the ends of its tasks are followed; those that are open are counted, and go to no queue."""
        with self.device.client.submitting:
            if self._follows:
                return
            self._follows = True
            for future in self.device.client.tasks_of(self):
                self._tasks[future] = -1
                self.room.taken()
                if future.settled:
                    self.ended(future)

    # Ends -----------------------------------------------------------------------------------------

    def attach(self, queue: CompletionQueue) -> None:
        """A queue takes completions of what is submitted from now on."""
        if self.closed:
            raise UsageError("the stream is closed; open a new one")
        if self._flow is None:
            self._follow()
        self.room.bind(queue, self._count if self._flow is None else self._flow.next_number)

    def began(self, futures: Sequence[TaskFuture]) -> None:
        """See client.Owner; of tasks that it submits by itself."""
        if self._follows:
            for number, future in enumerate(futures, self._count):
                self._tasks[future] = number
        self._count += len(futures)
        # Not kept alive: a result may be large.
        self._recent = weakref.ref(futures[-1])
        if self._flow is not None:
            self._flow.adopt(futures)

    def ended(self, future: TaskFuture) -> None:
        """See client.Owner; of tasks that it submitted by itself."""
        if not self._follows:
            return
        number = self._tasks.pop(future, None)
        if number is not None:
            self.room.freed()
            self.deliver(number, future, CompletionKind.RESULTS)
        if self._flow is not None:
            self._flow.task_ended(future)
        if number is not None:
            self.room.ends_told()

    def deliver(self, number: int, future: TaskFuture, kind: CompletionKind) -> None:
        """An operation's end is reported to the queues."""
        queues = self.room.queues
        if not queues:
            return
        result, error = future.outcome()
        if error is not None:
            kind = CompletionKind.FAILURES
        completion = Completion(kind, self.stream, number, future, result, error)
        for queue, first in queues:
            if number >= first:
                queue.put(completion)
