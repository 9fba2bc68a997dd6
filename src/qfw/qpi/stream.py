"""QStream: a container of operations on their way to a device or a mesh, and their futures."""

from __future__ import annotations

import asyncio
import html
import inspect
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy.typing as npt

from qfw.model.errors import NoCapacity, OptionError, ResultTimeout, UsageError
from qfw.model.outputs import Output
from qfw.model.pipeline import Pipeline
from qfw.model.program import Program
from qfw.model.task import TaskOptions
from qfw.qpi.client import Client, Draft
from qfw.qpi.completions import Completion, CompletionKind, CompletionQueue
from qfw.qpi.device import Device
from qfw.qpi.drafting import DEFAULT_OPTIONS, Drafting, NeedsResult, Request
from qfw.qpi.flow import Flow, Follow, Task
from qfw.qpi.future import TaskFuture
from qfw.qpi.operation import Operation
from qfw.qpi.placing import Ground
from qfw.qpi.questions import answers_of, calibrate_all, check_subject
from qfw.qpi.waiting import Lookout, Signal

if TYPE_CHECKING:
    from qfw.qpi.executor import StreamExecutor
    from qfw.qpi.mapping import Feed, Mapped

__all__ = ["BoundPipeline", "QStream", "Request"]

#: Whether each operation begins when the one before has ended, or all at once.
Order = Literal["parallel", "ordered"]
#: What a failure does to the operations that have not begun: nothing, or it cancels them and stops the stream.
OnFailure = Literal["continue", "stop"]
#: What an operation does, and the futures whose results it needs.
Work = tuple[Any, tuple[TaskFuture, ...]]
_T = TypeVar("_T")
#: Idempotency keys that a stream remembers; beyond, the one used longest ago is forgotten.
KEYS = 65536


class BoundPipeline(Protocol):
    """What a stream needs of a ToolPipeline."""

    @property
    def pipeline(self) -> Pipeline:
        """Its value."""
        ...

    def bind(self, stream: QStream, /) -> object:
        """A stream uses it from now on."""
        ...


class QStream:
    """Operations on a device or a mesh. A context manager: at its end it takes no more; what is open goes on.

    A parallel stream on one device sends tasks at once and gives TaskFutures. Where an operation has to wait (an
    ordered stream, a mesh, a callback, a barrier, parameters that are a future), it gives Operations, which
    behave alike.
    """

    def __init__(
        self,
        ground: Ground,
        *,
        order: Order = "parallel",
        window: int | None = None,
        pipeline: BoundPipeline | Pipeline | None = None,
        on_failure: OnFailure = "continue",
    ) -> None:
        """Made by `Device.stream` and `Mesh.stream`, which say what is what."""
        if order not in ("parallel", "ordered"):
            raise OptionError(f'order must be "parallel" or "ordered", not {order!r}')
        if on_failure not in ("continue", "stop"):
            raise OptionError(f'on_failure must be "continue" or "stop", not {on_failure!r}')
        if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 1):
            raise OptionError(
                f"window must be an integer of at least 1, or None for no bound, not {window!r}"
            )
        #: What it is bound to.
        self.ground = ground
        self._device = ground if isinstance(ground, Device) else None
        self._only = (ground.client,) if isinstance(ground, Device) else None
        self._order: Order = order
        self._window = window
        self._stops = on_failure == "stop"
        self._pipeline = pipeline
        value = pipeline if pipeline is None or isinstance(pipeline, Pipeline) else pipeline.pipeline
        #: For the stream's parts: makes drafts of requests.
        self.drafting = Drafting(value)
        self._closed = False
        #: Futures by idempotency key; the lock is held from a look at them to the submission.
        self._keys: OrderedDict[str, TaskFuture] = OrderedDict()
        self._keyed = threading.Lock()
        self._lock = threading.Lock()
        #: Tasks submitted, the last of them, and, where ends are followed, the open ones by number.
        self._count = 0
        self._last: TaskFuture | None = None
        self._recent: weakref.ref[TaskFuture] | None = None
        self._used: tuple[Client, ...] = ()
        self._tasks: dict[TaskFuture, int] = {}
        #: Operations that were admitted and have not ended, where ends are followed.
        self._open = 0
        self._follows = window is not None
        self._queues: tuple[tuple[CompletionQueue, int], ...] = ()
        self._flow: Flow | None = None
        self._lookout = Lookout()
        #: Wanted by those who wait for room or for the end of all.
        self._wanted: list[Signal] = []
        if order == "ordered" or self._device is None or self._stops:
            self._follows = True
            self._flow = Flow(self, ordered=order == "ordered", stops=self._stops, first=0)
        if pipeline is not None and not isinstance(pipeline, Pipeline):
            pipeline.bind(self)

    @property
    def device(self) -> Device:
        """Where the tasks run; the automatic one chooses for each. Raises UsageError of a stream on a mesh."""
        if self._device is None:
            raise UsageError("this stream is bound to a mesh; its devices are in stream.devices")
        return self._device

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices that it is bound to, now."""
        return tuple(self.ground.devices)

    @property
    def order(self) -> Order:
        """Whether operations begin all at once ("parallel"), or each when the one before has ended ("ordered")."""
        return self._order

    @property
    def window(self) -> int | None:
        """Operations that may be open, or None for no bound."""
        return self._window

    @property
    def pipeline(self) -> BoundPipeline | Pipeline | None:
        """What lowers its programs."""
        return self._pipeline

    @property
    def closed(self) -> bool:
        """Whether it takes no more: closed itself, or its session."""
        return self._closed or self.over

    # Operations -----------------------------------------------------------------------------------

    def run(
        self,
        program: Program,
        parameters: npt.ArrayLike | TaskFuture | None = None,
        *,
        shots: int | None = None,
        outputs: tuple[Output, ...] | None = None,
        seed: int | None = None,
        options: TaskOptions = DEFAULT_OPTIONS,
        began_ns: int | None = None,
        calibration: str = "",
        device: str | Device | None = None,
        timeout_s: float | None = None,
    ) -> TaskFuture:
        """Submits one task and returns at once, or when there is room in the window.

        Args:
            program: what to run.
            parameters: shape (slots,) or (sets, slots), radians; many sets are one task and one message. Or the
                future of an earlier operation of this stream: its result are the parameters.
            shots: executions per set, 1 or more; None for exact results.
            outputs: what to answer; by default counts with shots, the statevector without.
            seed: 0 to 2**63 - 1; None draws one, or takes that of the idempotency key. Equal seeds give equal results.
            options: job type, priority, time limit, idempotency key.
            began_ns: time.monotonic_ns() at which the application handed this work over, where that
                was earlier than now; for the timeline.
            calibration: version of the calibration that the program was lowered for (`Device.calibration`): under
                another one the task fails with StaleCalibration. Empty: it runs under any.
            device: one of the mesh's, or its name, that is to run it; None: the mesh chooses.
            timeout_s: seconds to wait for room; None as long as it takes. Within a callback nothing waits: what is
                submitted there may go beyond the window.

        Raises:
            ParameterError, OptionError: checked here, before anything is sent.
            NoCapacity: no room came in time, or a completion queue refuses.
            UsageError: the stream or session is closed, or this process was forked, or the parameters are of
                another stream.
            DaemonLost: the daemon is gone.
        """
        return self.run_many(
            (Request(program, parameters, shots, outputs, seed, options, began_ns, calibration, 0, device),),
            timeout_s=timeout_s,
        )[0]

    def run_many(self, requests: Sequence[Request], *, timeout_s: float | None = None) -> list[TaskFuture]:
        """Submits tasks in as few messages as possible; their futures in the same order.

        A request whose idempotency key this stream has seen is not submitted again: its future is
        the earlier one (of the last KEYS keys). More than the window are submitted in parts.

        Raises like `run`; then nothing of the list was submitted, but for NoCapacity by time: what was submitted
        before goes on.
        """
        if self._closed:
            raise UsageError("the stream is closed; open a new one")
        now_ns = time.monotonic_ns()
        if any(_stream_key(request.options) for request in requests):
            with self._keyed:
                return self._run_keyed(requests, now_ns, timeout_s)
        return self._submit(requests, now_ns, timeout_s)

    async def submit(
        self,
        program: Program | Request,
        parameters: npt.ArrayLike | TaskFuture | None = None,
        *,
        timeout_s: float | None = None,
        **how: Any,
    ) -> TaskFuture:
        """As `run`, for asyncio: waits for room without blocking the event loop. Also takes a Request."""
        request = program if isinstance(program, Request) else Request(program, parameters, **how)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            came = await self.room_for(1, _remaining(deadline))
            try:
                return self.run_many((request,), timeout_s=0)[0]
            except NoCapacity:
                refused = any(queue.when_full == "refuse" and queue.room < 1 for queue, _ in self._queues)
                if refused or not came:
                    raise
                # Another coroutine or thread was sooner.

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Operation:
        """A callback on the host, between operations.

        It runs on a thread of the stream. Arguments that are futures of earlier operations of this stream are
        replaced by their results; without arguments it is given the result of the operation before, where there is
        one and the function takes an argument. Its value is the operation's result; a Request, or a list of them,
        is run, and its Result, or the list of theirs, is the operation's result.

        Raises:
            UsageError: the stream is closed, or a future is of another stream.
            OptionError: `function` cannot be called.
        """
        if not callable(function):
            raise OptionError(f"call needs a function, not {function!r}")
        before = self._before() if not arguments and not named and _takes_one(function) else None
        return self.place_call(Follow(function, arguments, named, before))

    def place_call(self, follow: Follow) -> Operation:
        """For the stream's parts: as `call`."""
        for need in follow.needs:
            self._check_own(need)
        (operation,) = self._add("call", [(follow, follow.needs)])
        return operation

    def query(self, subject: str) -> Operation:
        """What the devices say of themselves at this place of the stream.

        Args:
            subject: "status" (DeviceStatus), "calibration" (Calibration or None), "load" (tasks that run and wait,
                seconds of waiting).

        The result: of a stream on one device the value, on a mesh a dict by the devices' names.

        Raises:
            OptionError: there is no such subject.
        """
        check_subject(subject)
        return self._ask("query", lambda: answers_of(self.ground, subject))

    def calibrate(self, timeout_s: float = 600.0, **options: Any) -> Operation:
        """Lets the devices calibrate themselves, through their native operation `calibrate`.

        The result is the new Calibration, on a mesh a dict by the devices' names. It fails with UnsupportedFeature
        where a device cannot.

        Args:
            timeout_s: for each device.
            options: what the native operation takes.
        """
        return self._ask("calibrate", lambda: calibrate_all(self.ground, options, timeout_s))

    def barrier(self) -> Operation:
        """What comes behind it begins when all before it is done; so does its future end."""
        (operation,) = self._add("barrier", [(None, ())], barrier=True)
        return operation

    def map(
        self,
        program_or_builder: Program | Callable[[Any], Program | Request] | None,
        items: Iterable[Any],
        *,
        shots: int | None = None,
        outputs: tuple[Output, ...] | None = None,
        seed: int | None = None,
        options: TaskOptions = DEFAULT_OPTIONS,
        window: int | None = None,
        workers: int = 0,
        return_errors: bool = False,
    ) -> Mapped:
        """Results of many tasks in the order of `items`, which are pulled as results are taken.

        Args:
            program_or_builder: a Program, whose parameters the items are; a function that makes a Program or Request
                of an item; None where the items are Programs or Requests.
            items: any iterable, also one that never ends.
            shots: see `run`; so are `outputs` and `options`. A Request says its own.
            seed: of the whole: set k of all has the seed that set k of one task with this seed has.
            window: items that are submitted and not taken; by default 4096, never more than the stream's.
            workers: processes that call the builder, 0 to call it here.
            return_errors: gives errors of items in their places, where they are raised otherwise. Either way the
                next item follows.

        Raises:
            OptionError: a value out of its range, or a builder that other processes cannot be given.
        """
        from qfw.qpi.mapping import Mapped, Recipe

        recipe = Recipe(program_or_builder, shots, outputs, seed, options)
        return Mapped(self, recipe, items, window, workers, return_errors)

    def feed(
        self,
        items: Iterable[Any],
        program_or_builder: Program | Callable[[Any], Program | Request] | None = None,
        *,
        shots: int | None = None,
        outputs: tuple[Output, ...] | None = None,
        seed: int | None = None,
        options: TaskOptions = DEFAULT_OPTIONS,
    ) -> Feed:
        """Submits items in the background, as fast as window and completion queues have room; see `map`.

        For whoever reads completion queues. The future's result is the number of tasks; `cancel` ends it behind what
        is submitted; it fails with the error of the iterable, of the builder or of a submission.
        """
        from qfw.qpi.mapping import Feed, Recipe

        return Feed(self, Recipe(program_or_builder, shots, outputs, seed, options), items)

    def executor(self, **defaults: Any) -> StreamExecutor:
        """A concurrent.futures.Executor over this stream; `defaults` as `shots`, `outputs` for programs."""
        from qfw.qpi.executor import StreamExecutor

        return StreamExecutor(self, **defaults)

    def completion_queue(self, *kinds: str, **options: Any) -> CompletionQueue:
        """A new CompletionQueue of these kinds (all where none is given), bound to this stream."""
        return CompletionQueue(kinds or tuple(CompletionKind), **options).bind(self)

    # Ends -----------------------------------------------------------------------------------------

    def cancel(self, futures: Sequence[TaskFuture]) -> None:
        """Asks for the end of these operations, in one message; does not wait for the daemon's word."""
        numbers = []
        for future in futures:
            if isinstance(future, Operation):
                future._give_up()
            elif not future.settled:
                numbers.append(future.task.number)
        if numbers:
            self.device.client.cancel(numbers)

    def cancel_all(self) -> int:
        """Asks for the end of all open operations; how many were asked. Does not wait for the daemons' word."""
        if self._flow is not None:
            return self._flow.give_up_all()
        futures = self.device.client.tasks_of(self)
        self.cancel(futures)
        return len(futures)

    def drain(self, timeout_s: float | None = None) -> None:
        """Waits until nothing is open.

        Args:
            timeout_s: seconds; None waits as long as it takes.

        Raises:
            ResultTimeout: something is open still.
            UsageError: in a callback of this stream, which would wait for itself.
        """
        if self._flow is not None and self._flow.within:
            raise UsageError(
                "a callback of the stream waits for itself in drain(); put a barrier behind it instead"
            )
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if not self._follows:
            for future in self.device.client.tasks_of(self):
                if not future.settled and not self.device.client.wait(future, _remaining(deadline)):
                    raise ResultTimeout(f"the stream was not done within {timeout_s} s; its tasks go on")
            if not self._follows:
                return
        if not self._await(Signal(lambda: self._open <= 0), _remaining(deadline)):
            raise ResultTimeout(f"{self._open} operations were not done within {timeout_s} s; they go on")

    def close(self) -> None:
        """No more is taken; what is open goes on. May be called twice."""
        self._closed = True
        self.room_changed()
        for queue, _ in self._queues:
            queue.stream_closed()
        self._lookout.rouse(self.clients)

    def __enter__(self) -> QStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> QStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(device.name for device in self.devices)
        parts = [self._order, "closed" if self._closed else "open"]
        if self._window is not None:
            parts.append(f"window {self._window}")
        if self._follows:
            parts.append(f"{self._open} operations not done")
        return f"QStream({names}; {', '.join(parts)})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"

    # Submission -----------------------------------------------------------------------------------

    def _run_keyed(
        self, requests: Sequence[Request], now_ns: int, timeout_s: float | None
    ) -> list[TaskFuture]:
        # Of each key the first request, of those without a key every one.
        fresh: dict[str | int, Request] = {}
        known: dict[str | int, TaskFuture] = {}
        places: list[str | int] = []
        for place, request in enumerate(requests):
            key = _stream_key(request.options) or place
            places.append(key)
            seen = self._keys.get(key) if isinstance(key, str) else None
            if seen is None:
                fresh.setdefault(key, request)
            else:
                self._keys.move_to_end(str(key))
                known[key] = seen
        if fresh:
            futures = self._submit(list(fresh.values()), now_ns, timeout_s)
            known.update(zip(fresh, futures, strict=True))
        for key in fresh:
            if isinstance(key, str):
                self._keys[key] = known[key]
                if len(self._keys) > KEYS:
                    self._keys.popitem(last=False)
        return [known[key] for key in places]

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

                self._admit(drafts, timeout_s, send)
                return found
        return list(
            self._add("run", [self._task(request, now_ns) for request in requests], timeout_s=timeout_s)
        )

    def _task(self, request: Request, now_ns: int) -> Work:
        """What an operation is to do for a request, which is checked as far as it can be, and what it needs."""
        given = request.parameters
        if not isinstance(given, TaskFuture):
            return Task(request, self.drafting.draft(request, self._device, now_ns)), ()
        self._check_own(given)
        slots = request.program.num_slots if isinstance(request.program, Program) else 0
        self.drafting.draft(request._replace(parameters=(0.0,) * slots), self._device, now_ns)
        return Task(request, None), (given,)

    def _check_own(self, future: TaskFuture) -> None:
        own = future.stream is self if isinstance(future, Operation) else future.owner is self
        if not own:
            raise UsageError(
                f"{future.name} is of another stream; take its result() first, or submit both to one stream"
            )

    def _ask(self, kind: str, work: Callable[[], Any]) -> Operation:
        (operation,) = self._add(kind, [(work, ())])
        return operation

    def _add(
        self, kind: str, works: Sequence[Work], *, barrier: bool = False, timeout_s: float | None = None
    ) -> list[Operation]:
        """Operations behind all others."""
        if self._closed:
            raise UsageError("the stream is closed; open a new one")
        flow = self._manage()
        for client in self.clients:
            client.check()
        operations = [Operation(flow, kind, work, needs) for work, needs in works]

        def add(part: Sequence[Operation]) -> None:
            if not barrier:
                # Of the one before a callback can still be given the result.
                self._last = part[-1]
            flow.add(part, barrier=barrier)

        self._admit(operations, timeout_s, add, completes=not barrier)
        return operations

    def _manage(self) -> Flow:
        """From now on the stream's operations may wait for others."""
        if self._flow is None:
            # Nothing is submitted meanwhile.
            with self.device.client.submitting:
                if self._flow is None:
                    flow = Flow(self, ordered=False, stops=False, first=self._count)
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
                with self._lock:
                    self._open += 1
                if future.settled:
                    self.ended(future)

    # Room -----------------------------------------------------------------------------------------

    def _admit(
        self,
        items: Sequence[_T],
        timeout_s: float | None,
        act: Callable[[Sequence[_T]], None],
        *,
        completes: bool = True,
    ) -> None:
        """Lets `act` submit items in parts as the window has room; queues take all or none."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        queues = self._queues if completes else ()
        # Asked only where something could wait: most submissions find room.
        beyond = not self._has_room(len(items), queues) and self._within
        if queues:
            self._admit_to_queues(queues, len(items), deadline, beyond)
        most = len(items) if self._window is None or beyond else min(len(items), self._window)
        done = 0
        try:
            while done < len(items):
                part = items[done : done + most]
                self._take_room(len(part), deadline, beyond)
                try:
                    act(part)
                except BaseException:
                    self.left(len(part))
                    raise
                done += len(part)
        finally:
            if done < len(items):
                for queue, _ in queues:
                    queue.release(len(items) - done)
                self.room_changed()

    def _take_room(self, count: int, deadline: float | None, beyond: bool) -> None:
        while True:
            with self._lock:
                if beyond or self._window is None or self._open + count <= self._window:
                    self._open += count
                    return
            # Not there, and in time: another thread took the room that came.
            found = self._await(Signal(lambda: self._closed or self._fits(count)), _remaining(deadline))
            if not found and deadline is not None and time.monotonic() >= deadline:
                raise NoCapacity(
                    f"the window of {self._window} has no room for {count} more operations, and none came in time: "
                    "wait longer, or take a wider one"
                )
            if self._closed:
                raise UsageError("the stream was closed while a submission waited for room")

    def _admit_to_queues(
        self, queues: Sequence[tuple[CompletionQueue, int]], count: int, deadline: float | None, beyond: bool
    ) -> None:
        waits = [
            queue for queue, _ in queues if queue.when_full == "wait" and queue.room < count <= queue.maxsize
        ]
        if waits and not beyond:
            remaining = min(queue.wait_s for queue in waits)
            if deadline is not None:
                remaining = min(remaining, max(0.0, deadline - time.monotonic()))
            self._await(Signal(lambda: self._closed or all(q.room >= count for q in waits)), remaining)
        admitted: list[CompletionQueue] = []
        try:
            for queue, _ in queues:
                queue.admit(count, beyond=beyond)
                admitted.append(queue)
        except NoCapacity:
            for queue in admitted:
                queue.release(count)
            raise

    @property
    def _within(self) -> bool:
        """Whether this thread runs a callback that what it waits for might wait for."""
        return any(client.reads_here for client in self.clients) or (
            self._flow is not None and self._flow.within
        )

    def _has_room(self, count: int, queues: Sequence[tuple[CompletionQueue, int]]) -> bool:
        if not self._fits(count):
            return False
        return all(queue.when_full != "wait" or queue.room >= count for queue, _ in queues)

    def _fits(self, count: int) -> bool:
        return self._window is None or self._open + count <= self._window

    def room(self, most: int) -> int:
        """For the stream's parts: operations, at most `most`, that a submission would not wait for or be refused."""
        if self._window is not None:
            most = min(most, self._window - self._open)
        for queue, _ in self._queues:
            most = min(most, queue.room)
        return max(0, most)

    def wait_for_room(self, given_up: Callable[[], bool]) -> None:
        """For the stream's parts: waits until there is room, or it is closed, or somebody has given up."""
        if self.room(1) < 1:
            self._await(Signal(lambda: self.closed or given_up() or self.room(1) > 0), None)

    def rouse(self) -> None:
        """For the stream's parts: lets whoever waits for room look again."""
        self._lookout.rouse(self.clients)

    async def room_for(self, count: int, timeout_s: float | None) -> bool:
        """For the stream's parts: whether there is room, after waiting for it without blocking the event loop.

        A queue that refuses is left to `run`.
        """
        waiting = [queue for queue, _ in self._queues if queue.when_full == "wait"]
        limit_s = min(
            [queue.wait_s for queue in waiting if queue.room < count]
            + ([] if timeout_s is None else [timeout_s]),
            default=None,
        )
        signal = Signal(
            lambda: self.closed or (self._fits(count) and all(queue.room >= count for queue in waiting))
        )
        if signal.settled:
            return True
        self._wanted.append(signal)
        for client in self.clients:
            client.need_reader(signal)
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake(_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

        signal.when_done(wake)
        try:
            await asyncio.wait_for(woken.wait(), limit_s)
        except TimeoutError:
            return False
        finally:
            signal.forget(wake)
            self._wanted.remove(signal)
            for client in self.clients:
                client.need_no_reader(signal)
        return True

    def _await(self, signal: Signal, timeout_s: float | None) -> bool:
        if signal.settled:
            return True
        self._wanted.append(signal)
        try:
            return self._lookout.wait(signal, self.clients, timeout_s)
        finally:
            self._wanted.remove(signal)

    # For its parts --------------------------------------------------------------------------------

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

    def attach(self, queue: CompletionQueue) -> None:
        """A queue takes completions of what is submitted from now on."""
        if self.closed:
            raise UsageError("the stream is closed; open a new one")
        if self._flow is None:
            self._follow()
        with self._lock:
            first = self._count if self._flow is None else self._flow.next_number
            self._queues = (*self._queues, (queue, first))

    def detach(self, queue: CompletionQueue) -> None:
        """It takes no more."""
        with self._lock:
            self._queues = tuple(bound for bound in self._queues if bound[0] is not queue)

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
            self.left()
            self.deliver(number, future, CompletionKind.RESULTS)
        if self._flow is not None:
            self._flow.task_ended(future)
        if number is not None:
            self.ends_told()

    def left(self, count: int = 1) -> None:
        """Operations ended, or were not submitted after all."""
        with self._lock:
            self._open -= count

    def deliver(self, number: int, future: TaskFuture, kind: CompletionKind) -> None:
        """An operation's end is reported to the queues."""
        queues = self._queues
        if not queues:
            return
        result, error = future.outcome()
        if error is not None:
            kind = CompletionKind.FAILURES
        completion = Completion(kind, self, number, future, result, error)
        for queue, first in queues:
            if number >= first:
                queue.put(completion)

    def ends_told(self) -> None:
        """Wakes whoever waits for ends or for room."""
        if self._wanted:
            self.room_changed()
            self._lookout.rouse(self.clients)
        for queue, _ in self._queues:
            queue.rouse()

    def room_changed(self) -> None:
        """Wakes whoever waits for room."""
        if self._wanted:
            for signal in tuple(self._wanted):
                signal.tell()

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


def _stream_key(options: TaskOptions) -> str:
    """The key that counts within a stream: of a detached task the daemon looks itself, for all sessions."""
    return "" if options.detached else options.idempotency_key


def _takes_one(function: Callable[..., Any]) -> bool:
    """Whether it can be called with one argument, as far as it says."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:
        # One of C that does not say.
        return True
    return True


def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
