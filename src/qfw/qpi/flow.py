"""Flow: carries out what a stream's sequence lets begin: tasks, callbacks, questions, barriers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from qfw.model.errors import QFwError, TaskCancelled, UsageError
from qfw.qpi import sequence
from qfw.qpi.client import Client
from qfw.qpi.completions import CompletionKind
from qfw.qpi.drafting import Request, outputs_of
from qfw.qpi.future import TaskFuture
from qfw.qpi.group_work import Stoppable
from qfw.qpi.host import MOST_THREADS, Host
from qfw.qpi.operation import Operation
from qfw.qpi.sequence import Stage
from qfw.qpi.waiting import Lookout, Signal
from qfw.qpi.work import Part, Task, check_needs, filled

if TYPE_CHECKING:
    from qfw.qpi.stream import QStream

#: Tasks that begin in one go, and of those that found no device how many are tried again then.
TASKS_AT_ONCE = 256
PARKED_AT_ONCE = 64

_here = threading.local()


class _Launch:
    """The owner of tasks that are submitted together."""

    def __init__(self, flow: Flow, parts: Sequence[Part]) -> None:
        self._flow = flow
        self._parts: Iterator[Part] = iter(parts)

    def began(self, futures: Sequence[TaskFuture]) -> None:
        """See client.Owner."""
        for future in futures:
            self._flow.part_began(next(self._parts), future)

    def ended(self, future: TaskFuture) -> None:
        """See client.Owner."""
        self._flow.task_ended(future)


class Flow:
    """The operations of one stream. Safe for several threads."""

    def __init__(self, stream: QStream, *, ordered: bool, stops: bool, first: int) -> None:
        """`first`: number of the first operation."""
        self.stream = stream
        self.lookout = Lookout()
        self._lock = threading.Lock()
        self._sequence = sequence.Sequence(ordered=ordered, stops=stops, first=first)
        self._ordered = ordered
        self._operations: dict[int, Operation] = {}
        self._running: dict[TaskFuture, Part] = {}
        #: Tasks that begin as soon as there is a device for them.
        self._parked: deque[Part] = deque()
        #: Ends of an ordered stream by number, until those before are reported.
        self._unreported: dict[int, Operation] = {}
        self._host = Host(1 if ordered else MOST_THREADS)
        #: Begins operations where callers may not, and looks again for room; callbacks cannot keep it busy.
        self._beginner = Host(2)
        self._pumping = self._again = False
        #: Whether the ground will say when there is room.
        self._asked_for_room = False
        #: The thread that begins operations now: callbacks of futures wait until it has.
        self._pumper: int | None = None
        self._untold: deque[Operation] = deque()
        #: Wanted from background readers while operations wait for others.
        self._progress = Signal(lambda: False)
        self._held: tuple[Client, ...] = ()
        #: Why nothing begins any more, of a stream that stops at a failure.
        self._stopped: str | None = None
        self._stops = stops

    # Submission -----------------------------------------------------------------------------------

    def add(self, operations: Sequence[Operation], *, barrier: bool = False) -> None:
        """Takes operations behind all others, and begins what may begin."""
        with self._lock:
            if self._stopped is not None:
                raise UsageError(f"the stream stopped at a failure: {self._stopped}. Open a new one")
            for operation in operations:
                needs = [found for need in operation.needs if (found := self._number(need)) is not None]
                operation.number = self._sequence.add(needs, barrier=barrier)
                self._operations[operation.number] = operation
        self._pump()

    def _number(self, need: TaskFuture) -> int | None:
        """Number of an operation that others need; None of one that has ended."""
        if isinstance(need, Operation):
            return need.number
        part = self._running.get(need)
        return part.number if part is not None else None

    @property
    def next_number(self) -> int:
        """Number of the operation that is submitted next."""
        return self._sequence.next_number

    def adopt(self, futures: Sequence[TaskFuture]) -> None:
        """Lets others wait for tasks that the stream submitted by itself, and tells of the end of."""
        for future in futures:
            with self._lock:
                if future in self._running:
                    continue
                part = Part(None, self._sequence.adopt())
                part.future = future
                self._running[future] = part
            if future.settled:
                self.task_ended(future)

    @property
    def busy(self) -> bool:
        """Whether an operation has not ended."""
        return len(self._sequence) > 0

    @property
    def within(self) -> bool:
        """Whether this thread runs a callback of this stream."""
        return getattr(_here, "flow", None) is self

    # Waiting --------------------------------------------------------------------------------------

    def wait(self, operation: Operation, timeout_s: float | None) -> bool:
        """Whether an operation ended, after waiting for it. Raises UsageError where it waits for this thread."""
        if self.within and not operation.settled and timeout_s != 0:
            with self._lock:
                own = _here.operation
                behind = self._sequence.stage(operation.number) is Stage.BEHIND
            if operation is own or (behind and operation.number > own.number):
                raise UsageError(
                    f"operation {operation.name} begins when this callback has ended; return its Request instead of "
                    "waiting for it"
                )
        return self.lookout.wait(operation, self.stream.clients, timeout_s)

    def need_reader(self, operation: Operation) -> None:
        """Somebody waits for an operation without reading."""
        operation.watched = True
        for client in self.stream.clients:
            client.need_reader(operation)

    def _keep_reading(self) -> None:
        """Lets the background threads read while operations wait for tasks that run."""
        wanted: tuple[Client, ...] = ()
        if self._running and (self._sequence.waiting or self._parked):
            wanted = self.stream.clients
        if wanted == self._held:
            return
        before, self._held = self._held, wanted
        for client in before:
            client.need_no_reader(self._progress)
        for client in wanted:
            client.need_reader(self._progress)

    # Beginning ------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Begins what may begin; on the stream's own thread where tasks go to several daemons.

        Who reads one connection would otherwise send on another, and its reader on this one.
        """
        if len(self.stream.clients) > 1 and not self.within:
            self._beginner.start(self._pump_here)
        else:
            self._pump_here()

    def _pump_here(self) -> None:
        with self._lock:
            if self._pumping:
                self._again = True
                return
            self._pumping = True
        self._pumper = threading.get_ident()
        try:
            while True:
                with self._lock:
                    self._again = False
                    parts, works = self._take()
                self._launch(parts)
                for work in works:
                    work()
                with self._lock:
                    if not (parts or works or self._again):
                        self._pumper, self._pumping = None, False
                        break
        except BaseException:
            self._pumper, self._pumping = None, False
            raise
        self._keep_reading()
        self._tell()

    def _take(self) -> tuple[list[Part], list[Callable[[], object]]]:
        """Tasks to submit, and what else to do."""
        parts: list[Part] = []
        works: list[Callable[[], object]] = []
        for _ in range(min(len(self._parked), PARKED_AT_ONCE)):
            self._place(self._parked.popleft(), parts, works)
        while len(parts) < TASKS_AT_ONCE and len(works) < TASKS_AT_ONCE:
            number = self._sequence.begin()
            if number is None:
                break
            operation = self._operations[number]
            try:
                if operation.kind == "barrier":
                    works.append(partial(self._end, operation, None, None))
                elif isinstance(operation.work, Task):
                    check_needs(operation)
                    for part in self._parts(operation, (operation.work,)):
                        self._place(part, parts, works)
                else:
                    check_needs(operation)
                    works.append(partial(self._host.start, partial(self._call, operation)))
            except Exception as error:
                works.append(partial(self._end, operation, None, error))
        if self._parked and not parts and not self._asked_for_room:
            # Room may come without an end of anything here: others leave it, or a device joins.
            self._asked_for_room = True
            works.append(partial(self.stream.ground.when_room, self._room))
        return parts, works

    def _parts(self, operation: Operation, tasks: Sequence[Task]) -> list[Part]:
        """Tasks of an operation, not placed yet. Raises what is wrong with a request."""
        now_ns = time.monotonic_ns()
        found = []
        for position, task in enumerate(tasks):
            part = Part(operation, operation.number, position)
            part.draft = task.draft or self.stream.drafting.draft(filled(task.request), None, now_ns)
            part.outputs = outputs_of(task.request)
            part.wanted = task.request.device
            found.append(part)
        operation.results = [None] * len(found)
        operation.left = len(found)
        return found

    def _place(self, part: Part, parts: list[Part], works: list[Callable[[], object]]) -> None:
        operation, draft = part.operation, part.draft
        assert operation is not None
        if operation.giving_up:
            works.append(partial(self._part_over, part, None, TaskCancelled("cancelled before it began")))
            return
        sets, shots = draft.rest[1], draft.rest[3]
        lowered = draft.pipeline is not None
        try:
            wanted = part.wanted
            device = self.stream.ground.place(draft.program, part.outputs, sets, shots, lowered, wanted)
            if device is None:
                self._parked.append(part)
                return
            part.draft = draft._replace(device=device.chosen(draft.program, part.outputs))
            self.stream.ground.began(device, sets, shots, draft.program)
        except Exception as error:
            works.append(partial(self._part_over, part, None, error))
            return
        part.device = device
        parts.append(part)

    def _launch(self, parts: list[Part]) -> None:
        for client, group in groupby(parts, key=_client):
            together = list(group)
            try:
                client.submit([part.draft for part in together], _Launch(self, together))
            except QFwError as error:
                if len(together) == 1:
                    self._not_begun(together[0], error)
                    continue
                # One of them is wrong, and none was sent: each by itself.
                for part in together:
                    if part.future is None:
                        try:
                            client.submit([part.draft], _Launch(self, (part,)))
                        except QFwError as own:
                            self._not_begun(part, own)

    def _not_begun(self, part: Part, error: QFwError) -> None:
        if part.future is None:
            self._left(part, None)
            self._part_over(part, None, error)

    def part_began(self, part: Part, future: TaskFuture) -> None:
        """For _Launch: a task is about to be sent."""
        part.future = future
        with self._lock:
            self._running[future] = part
            if part.operation is not None:
                part.operation.tasks.add(future)
        if part.device is not None:
            self.stream.ground.named(part.device, future.task.number)

    def _room(self) -> None:
        """From any thread, which must not wait: something ended on the ground, or its devices changed."""
        self._asked_for_room = False
        self._beginner.start(self._pump_here)

    def _call(self, operation: Operation) -> None:
        """On a thread of the stream: a callback or a question, and the tasks that it asks for."""
        before = getattr(_here, "flow", None), getattr(_here, "operation", None)
        _here.flow, _here.operation = self, operation
        try:
            value = operation.work()
            requests = [value] if isinstance(value, Request) else value
            if not (
                isinstance(requests, list | tuple)
                and requests
                and all(isinstance(request, Request) for request in requests)
            ):
                self._end(operation, value, None)
                return
            if self.stream.splits is not None:
                self._end(operation, self._expand(operation, value, requests), None)
                return
            with self._lock:
                operation.work = value
                self._parked.extend(self._parts(operation, [Task(request, None) for request in requests]))
            self._pump_here()
        except BaseException as error:
            self._end(operation, None, error)
        finally:
            _here.flow, _here.operation = before

    def _expand(self, operation: Operation, value: Any, requests: Sequence[Request]) -> Any:
        """On a thread of the stream: runs what a callback asks for, by a pipeline that makes several tasks of one."""
        from qfw.qpi.expanding import ManyExpandWorks

        works = ManyExpandWorks([self.stream.expanding(request) for request in requests])
        with self._lock:
            operation.work = works
            given_up = operation.giving_up
        if given_up:
            works.give_up()
        results = works()
        return results[0] if isinstance(value, Request) else results

    # Ends -----------------------------------------------------------------------------------------

    def task_ended(self, future: TaskFuture) -> bool:
        """For owners: whether a task that was settled is one of these; acts on it."""
        with self._lock:
            part = self._running.pop(future, None)
        if part is None:
            return False
        value, error = future.outcome()
        self._left(part, _took_s(value))
        if part.operation is not None:
            if error is None or not self._once_more(part, error):
                self._part_over(part, value, error)
            return True
        with self._lock:
            told = self._drop(self._sequence.end(part.number, failed=_failed(error)).dropped, error)
        self._after(told)
        return True

    def _once_more(self, part: Part, error: BaseException) -> bool:
        """Whether a task that its device refused is placed on another one."""
        operation = part.operation
        assert operation is not None and part.device is not None
        if operation.giving_up or part.wanted is not None or not self.stream.ground.again(part.device, error):
            return False
        with self._lock:
            if part.future is not None:
                operation.tasks.discard(part.future)
            part.device = part.future = None
            self._parked.append(part)
        self._pump()
        return True

    def _left(self, part: Part, took_s: float | None) -> None:
        if part.device is None:
            return
        draft, number = part.draft, part.future.task.number if part.future is not None else 0
        # Not under the lock: the ground wakes those who wait for room, perhaps this stream.
        self.stream.ground.ended(part.device, draft.rest[1], draft.rest[3], took_s, draft.program, number)

    def _part_over(self, part: Part, value: Any, error: BaseException | None) -> None:
        """A task of an operation ended: so does the operation with its last one."""
        operation = part.operation
        assert operation is not None
        with self._lock:
            operation.results[part.position] = value
            if error is not None and operation.failure is None:
                operation.failure = error
            operation.left -= 1
            if operation.left:
                return
        results = operation.results
        many = isinstance(operation.work, list | tuple) and not isinstance(operation.work, Request | Task)
        self._end(operation, results if many else results[0], operation.failure)

    def _end(self, operation: Operation, value: Any, error: BaseException | None) -> None:
        with self._lock:
            if operation.settled:
                return
            told = self._settle(operation, value, error)
        self._after(told)

    def _settle(self, operation: Operation, value: Any, error: BaseException | None) -> list[Operation]:
        """Ends an operation and what it takes with it; whose callbacks are to be called."""
        cancelled = isinstance(error, TaskCancelled)
        operation.settle(value, error, cancelled)
        del self._operations[operation.number]
        self.stream.room.freed()
        if operation.kind != "barrier":
            self._unreported[operation.number] = operation
        ended = self._sequence.end(operation.number, failed=_failed(error))
        for number in ended.reported:
            found = self._unreported.pop(number, None)
            if found is not None:
                calibrates = found.kind == "calibrate"
                kind = CompletionKind.CALIBRATIONS if calibrates else CompletionKind.RESULTS
                self.stream.deliver(number, found, kind)
        return [operation, *self._drop(ended.dropped, error)]

    def _drop(self, numbers: Sequence[int], error: BaseException | None) -> list[Operation]:
        """Cancels what is behind a failure, of a stream that stops there."""
        if self._stops and _failed(error):
            self._stopped = self._stopped or f"{type(error).__name__}: {error}"
        found: list[Operation] = []
        for number in numbers:
            operation = self._operations.get(number)
            if operation is not None:
                found += self._settle(operation, None, TaskCancelled("an operation before it failed"))
        return found

    def _after(self, told: Sequence[Operation]) -> None:
        """What follows ends, outside of the lock: others begin, and whoever waits hears of it."""
        self._untold.extend(told)
        self._pump()
        self._tell()
        self.stream.room.ends_told()
        self.lookout.rouse(self.stream.clients)

    def _tell(self) -> None:
        """Calls callbacks of futures; they may submit and wait, so nothing may be half begun here."""
        while self._untold and self._pumper != threading.get_ident():
            try:
                operation = self._untold.popleft()
            except IndexError:
                return
            if operation.watched:
                for client in self.stream.clients:
                    client.need_no_reader(operation)
            operation.tell()

    # Cancelling -----------------------------------------------------------------------------------

    def give_up(self, operation: Operation) -> bool:
        """Asks for the end of an operation; whether it can come. Does not wait for the daemon's word.

        A callback that runs goes on; tasks that it asks for do not begin.
        """
        parts: list[Part] = []
        group = operation.work if isinstance(operation.work, Stoppable) else None
        with self._lock:
            if operation.settled:
                return False
            if self._sequence.stage(operation.number) is not Stage.BEGUN:
                told = self._settle(operation, None, TaskCancelled("cancelled before it began"))
                tasks: list[TaskFuture] = []
            else:
                told = []
                operation.giving_up = True
                tasks = [future for future in operation.tasks if not future.settled]
                parts = [part for part in self._parked if part.operation is operation]
                if parts:
                    self._parked = deque(part for part in self._parked if part.operation is not operation)
                if not operation.left and group is None:
                    return False
        if group is not None:
            group.give_up()
        if told:
            self._after(told)
            return True
        self.cancel_tasks(tasks)
        for part in parts:
            self._part_over(part, None, TaskCancelled("cancelled before it began"))
        return True

    def cancel_tasks(self, tasks: Sequence[TaskFuture]) -> None:
        """Asks the daemons to end tasks."""
        for future in tasks:
            future._give_up()

    def give_up_all(self) -> int:
        """Asks for the end of all operations; their number."""
        with self._lock:
            # From the last on: nothing that waits begins meanwhile.
            operations = [operation for _, operation in sorted(self._operations.items(), reverse=True)]
            tasks = [future for future, part in self._running.items() if part.operation is None]
            parts, self._parked = list(self._parked), deque()
        for part in parts:
            self._part_over(part, None, TaskCancelled("cancelled before it began"))
        self.cancel_tasks(tasks)
        return len(tasks) + len(parts) + sum(self.give_up(operation) for operation in operations)


def _client(part: Part) -> Client:
    assert part.device is not None
    return part.device.client


def _failed(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, TaskCancelled)


def _took_s(value: Any) -> float | None:
    timeline = getattr(value, "timeline", None)
    return None if timeline is None else (timeline.run_ended_ns - timeline.run_began_ns) / 1e9
