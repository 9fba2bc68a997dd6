"""QStream: a container of operations on their way to a device or a mesh, and their futures."""

from __future__ import annotations

import html
import inspect
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy.typing as npt

from qfw.model.errors import NoCapacity, OptionError, ResultTimeout, UsageError
from qfw.model.pipeline import Pipeline
from qfw.model.program import Program
from qfw.model.task import TaskOptions
from qfw.qpi.completions import CompletionKind, CompletionQueue
from qfw.qpi.device import Device
from qfw.qpi.drafting import DEFAULT_OPTIONS, Outputs, Request, as_pipeline
from qfw.qpi.future import TaskFuture
from qfw.qpi.operation import Operation
from qfw.qpi.placing import Ground
from qfw.qpi.questions import answers_of, calibrate_all, check_subject
from qfw.qpi.room import remaining_s
from qfw.qpi.submitter import Submitter
from qfw.qpi.work import Follow

if TYPE_CHECKING:
    from qfw.qpi.executor import StreamExecutor
    from qfw.qpi.mapping import Feed, Mapped

__all__ = ["BoundPipeline", "QStream", "Request"]

#: Whether each operation begins when the one before has ended, or all at once.
Order = Literal["parallel", "ordered"]
#: What a failure does to the operations that have not begun: nothing, or it cancels them and stops the stream.
OnFailure = Literal["continue", "stop"]


class BoundPipeline(Protocol):
    """What a stream needs of a ToolPipeline."""

    @property
    def pipeline(self) -> Pipeline:
        """Its value."""
        ...

    def bind(self, stream: QStream, /) -> object:
        """A stream uses it from now on."""
        ...


class QStream(Submitter):
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
        pipeline: BoundPipeline | Pipeline | str | None = None,
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
        if isinstance(pipeline, str):
            from qfw.qpi.pipeline import ToolPipeline

            # One of its own: what is wrong with its tools is said now.
            pipeline = ToolPipeline.preset(pipeline)
        value = as_pipeline(pipeline)
        super().__init__(ground, value, window, order == "ordered", on_failure == "stop")
        self._order: Order = order
        self._pipeline = pipeline
        if isinstance(pipeline, Pipeline):
            from qfw.qpm import stages

            stages.check_runs(pipeline)
        elif pipeline is not None:
            pipeline.bind(self)

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
        return self.room.window

    @property
    def pipeline(self) -> BoundPipeline | Pipeline | None:
        """What lowers its programs."""
        return self._pipeline

    # Operations -----------------------------------------------------------------------------------

    def run(
        self,
        program: Program,
        parameters: npt.ArrayLike | TaskFuture | None = None,
        *,
        shots: int | None = None,
        outputs: Outputs | None = None,
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
            outputs: what to answer, one or some of them; by default counts with shots, the statevector without.
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
        return self.take(requests, timeout_s)

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
            came = await self.room.wait_in_loop(1, remaining_s(deadline))
            try:
                return self.run_many((request,), timeout_s=0)[0]
            except NoCapacity:
                refused = any(queue.when_full == "refuse" and queue.room < 1 for queue, _ in self.room.queues)
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

    def run_group(
        self,
        program: Program,
        parameters: npt.ArrayLike | None = None,
        *,
        split: str = "sets",
        shots: int | None = None,
        outputs: Outputs | None = None,
        seed: int | None = None,
        options: TaskOptions = DEFAULT_OPTIONS,
        parts: int | None = None,
    ) -> Operation:
        """One task on all devices of the stream's mesh, split, as one operation; its result is the merged one.

        The arguments are those of `Mesh.run_group`. Completion queues are told of the whole, and not of its parts.

        Raises:
            UsageError: the stream is bound to a device, or closed.
            OptionError, ParameterError, UnsupportedFeature: see `Mesh.run_group`; checked here.
        """
        from qfw.qpi.group_task import fresh_seed, group_task
        from qfw.qpi.group_work import GroupWork
        from qfw.qpi.mesh import Mesh

        mesh, pipeline = self.ground, self._pipeline
        if not isinstance(mesh, Mesh):
            raise UsageError("a group is split over the devices of a mesh; open the stream by Mesh.stream")
        seed = fresh_seed() if seed is None else seed
        group_task(mesh.devices, program, parameters, split, shots, outputs, seed, options, parts, pipeline)
        return self._ask(
            "group",
            GroupWork(
                lambda: mesh.run_group(
                    program,
                    parameters,
                    split=split,
                    shots=shots,
                    outputs=outputs,
                    seed=seed,
                    options=options,
                    parts=parts,
                    pipeline=pipeline,
                )
            ),
        )

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
        outputs: Outputs | None = None,
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
        outputs: Outputs | None = None,
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
                if not future.settled and not self.device.client.wait(future, remaining_s(deadline)):
                    raise ResultTimeout(f"the stream was not done within {timeout_s} s; its tasks go on")
            if not self._follows:
                return
        if not self.room.wait_until_empty(remaining_s(deadline)):
            raise ResultTimeout(f"{self.room.open} operations were not done within {timeout_s} s; they go on")

    def close(self) -> None:
        """No more is taken; what is open goes on. May be called twice."""
        self.room.close()

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
        parts = [self._order, "closed" if self.room.closed else "open"]
        if self.room.window is not None:
            parts.append(f"window {self.room.window}")
        if self._follows:
            parts.append(f"{self.room.open} operations not done")
        return f"QStream({names}; {', '.join(parts)})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


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
