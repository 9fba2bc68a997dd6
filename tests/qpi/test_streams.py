"""Streams as users know them: order, callbacks, barriers, windows, cancelling; and what they get wrong."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from typing import Any

import pytest

from qfw.model.errors import (
    DependencyFailed,
    NoCapacity,
    OptionError,
    ParameterError,
    ResultTimeout,
    TooLarge,
    UnsupportedFeature,
    UsageError,
)
from qfw.model.outputs import Counts
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, Program
from qfw.model.task import TaskOptions
from qfw.qpi import Device, Operation, QStream, Request, Session, TaskFuture
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, long_program


@pytest.fixture
def device(session: Session) -> Device:
    return session.device("reference")


def short(stream: QStream, angle: Any = 0.5) -> TaskFuture:
    return stream.run(SHORT, angle if isinstance(angle, TaskFuture) else [angle], outputs=Z0)


def long(stream: QStream) -> TaskFuture:
    """Runs for seconds, unless it is cancelled."""
    return stream.run(long_program(20_000), [0.5], outputs=Z0)


def test_an_ordered_stream_runs_one_behind_the_other(device: Device) -> None:
    with device.stream(order="ordered") as stream:
        futures = [short(stream, angle / 10) for angle in range(10)]
        results = [future.result(LIMIT_S) for future in futures]
    assert all(cosine_is_right(result, angle / 10) for angle, result in enumerate(results))
    lines = [result.timeline for result in results]
    assert all(late.started_ns > early.answered_ns for early, late in itertools.pairwise(lines))


def test_measure_compute_run_again(device: Device) -> None:
    with device.stream(order="ordered") as stream:
        short(stream, 0.3)
        stream.call(lambda result: [Request(SHORT, [float(result.expectation_values[0, 0])], outputs=Z0)] * 2)
        angle = stream.call(lambda results: [float(results[1].expectation_values[0, 0])])
        last = short(stream, angle)
        import math

        assert cosine_is_right(last.result(LIMIT_S), math.cos(math.cos(0.3)))
        assert isinstance(last, Operation) and last.task.sets == 1


def test_callbacks_run_on_threads_of_the_stream_with_results_for_futures(device: Device) -> None:
    with device.stream() as stream:
        first, second = short(stream, 0.1), short(stream, 0.2)
        found = stream.call(
            lambda a, b, *, c: (threading.current_thread().name, a, b, c), first, 7, c=second
        ).result(LIMIT_S)
    assert found[0] == "qfw-stream"
    assert found[1:] == (first.result(0), 7, second.result(0))


def test_parameters_from_a_future_on_a_parallel_stream(device: Device) -> None:
    with device.stream() as stream:
        gate = threading.Event()
        angle = stream.call(lambda: (gate.wait(LIMIT_S), [0.7])[1])
        needy = short(stream, angle)
        # What needs nothing does not wait.
        assert cosine_is_right(short(stream, 0.2).result(LIMIT_S), 0.2)
        assert not needy.done()
        gate.set()
        assert cosine_is_right(needy.result(LIMIT_S), 0.7)


@pytest.mark.parametrize("order", ["ordered", "parallel"])
def test_what_needs_a_failed_one_fails_and_names_it_the_rest_completes(device: Device, order: Any) -> None:
    with device.stream(order=order) as stream:
        failed = stream.call(lambda *_: 1 // 0, 0)
        needy = short(stream, failed)
        behind = stream.call(lambda x: x, needy)
        fine = short(stream, 0.4)
        with pytest.raises(ZeroDivisionError):
            failed.result(LIMIT_S)
        with pytest.raises(
            DependencyFailed, match=r"needs the result of operation 0 \(call\).*ZeroDivision"
        ) as got:
            needy.result(LIMIT_S)
        assert isinstance(got.value.__cause__, ZeroDivisionError)
        assert isinstance(behind.exception(LIMIT_S), DependencyFailed)
        assert cosine_is_right(fine.result(LIMIT_S), 0.4)
        with pytest.raises(ParameterError):
            short(stream, stream.call(str, "no number")).result(LIMIT_S)
        with pytest.raises(OptionError):
            stream.call(lambda: Request("no program")).result(LIMIT_S)  # type: ignore[arg-type]


def test_a_stream_that_stops_at_a_failure(device: Device) -> None:
    with device.stream(order="ordered", on_failure="stop") as stream:
        gate = threading.Event()
        stream.call(gate.wait, LIMIT_S)
        failed = stream.call(lambda *_: 1 // 0, 0)
        behind = short(stream)
        gate.set()
        stream.drain(LIMIT_S)
        assert isinstance(failed.exception(0), ZeroDivisionError) and behind.cancelled()
        with pytest.raises(UsageError, match="stopped at a failure: ZeroDivisionError"):
            short(stream)


def test_a_barrier_waits_for_all_before_it(device: Device) -> None:
    with device.stream() as stream:
        before = [short(stream, angle / 10) for angle in range(20)]
        assert type(before[0]) is TaskFuture
        gate = threading.Event()
        stream.call(gate.wait, LIMIT_S)
        barrier = stream.barrier()
        behind = short(stream, 0.9)
        assert not barrier.done() and not behind.done()
        gate.set()
        assert barrier.result(LIMIT_S) is None and all(future.settled for future in before)
        assert cosine_is_right(behind.result(LIMIT_S), 0.9)


def test_a_window_waits_for_room(device: Device) -> None:
    with device.stream(window=2) as stream:
        slow = [long(stream), long(stream)]
        with pytest.raises(NoCapacity, match="window of 2"):
            stream.run(SHORT, [0.5], outputs=Z0, timeout_s=0.05)
        assert slow[0].cancel()
        third = short(stream)
        slow[1].cancel()
        assert cosine_is_right(third.result(LIMIT_S), 0.5)
        # More than the window go in parts.
        many = stream.run_many([Request(SHORT, [0.5], outputs=Z0)] * 50, timeout_s=LIMIT_S)
        assert sum(not future.settled for future in many) <= 2
        stream.drain(LIMIT_S)


def test_a_callback_goes_beyond_a_full_window(device: Device) -> None:
    with device.stream(window=1) as stream:
        more: list[TaskFuture] = []
        done = threading.Event()

        def again(_: object) -> None:
            more.append(short(stream, 0.1))
            if len(more) < 5:
                more[-1].add_done_callback(again)
            else:
                done.set()

        slow = stream.run(long_program(), [0.5], outputs=Z0)
        slow.add_done_callback(again)
        assert done.wait(LIMIT_S)
        stream.drain(LIMIT_S)
        # From the stream's own thread too; but nothing waits for what begins only behind it.
        assert cosine_is_right(stream.call(lambda: short(stream, 0.2)).result(LIMIT_S).result(LIMIT_S), 0.2)
    with device.stream(order="ordered") as ordered:
        with pytest.raises(UsageError, match="begins when this callback has ended"):
            ordered.call(lambda: short(ordered).result(LIMIT_S)).result(LIMIT_S)
        with pytest.raises(UsageError, match="waits for itself in drain"):
            ordered.call(lambda *_: ordered.drain(), 0).result(LIMIT_S)


def test_callbacks_of_futures_may_submit_and_wait(device: Device) -> None:
    """Also within what begins and ends operations."""
    with device.stream(order="ordered") as stream:
        seen: list[bool] = []
        done = threading.Event()

        def wait_for_more(_: object) -> None:
            seen.append(cosine_is_right(short(stream, 0.3).result(LIMIT_S), 0.3))
            if len(seen) == 3:
                done.set()

        for future in (stream.barrier(), short(stream), stream.call(len, "three")):
            future.add_done_callback(wait_for_more)
        assert done.wait(LIMIT_S) and seen == [True] * 3


def test_cancel_one_that_waits_and_all(device: Device) -> None:
    with device.stream(order="ordered") as stream:
        slow = long(stream)
        waiting = [short(stream) for _ in range(5)]
        assert waiting[2].cancel() and waiting[2].cancelled() and not slow.settled
        assert stream.cancel_all() == 5
        stream.drain(LIMIT_S)
        assert slow.cancelled() and all(future.cancelled() for future in waiting)
    with device.stream() as stream:
        futures = [long(stream) for _ in range(3)]
        assert stream.cancel_all() == 3
        stream.drain(LIMIT_S)
        assert all(future.cancelled() for future in futures)
        running = threading.Event()
        gate = threading.Event()
        call = stream.call(lambda: (running.set(), gate.wait(LIMIT_S)))
        assert running.wait(LIMIT_S) and not call.cancel()
        gate.set()
        assert call.result(LIMIT_S)[1] is True


def test_drain_has_a_limit(device: Device) -> None:
    for stream in (device.stream(), device.stream(window=5), device.stream(order="ordered")):
        slow = long(stream)
        with pytest.raises(ResultTimeout):
            stream.drain(0.05)
        slow.cancel()
        stream.drain(LIMIT_S)


def test_queries_and_calibration(device: Device) -> None:
    with device.stream(order="ordered") as stream:
        assert stream.query("status").result(LIMIT_S).profile.name == "reference"
        assert stream.query("calibration").result(LIMIT_S) is None
        assert stream.query("load").result(LIMIT_S).running >= 0
        with pytest.raises(UnsupportedFeature, match="no native operation 'calibrate'"):
            stream.calibrate().result(LIMIT_S)
        with pytest.raises(OptionError, match="status, calibration, load"):
            stream.query("weather")


def test_await_operations_and_submit_within_a_window(device: Device) -> None:
    async def main() -> None:
        async with device.stream(window=3) as stream:
            futures = [await stream.submit(SHORT, [0.5], outputs=Z0) for _ in range(30)]
            await asyncio.gather(*futures)
            assert all(cosine_is_right(future.result(0), 0.5) for future in futures)
            slow = [long(stream) for _ in range(3)]
            with pytest.raises(NoCapacity):
                await stream.submit(SHORT, [0.5], outputs=Z0, timeout_s=0.01)
            stream.cancel(slow)
            assert cosine_is_right(await (await stream.submit(SHORT, [0.5], outputs=Z0)), 0.5)
        async with device.stream(order="ordered") as stream:
            first = short(stream, 0.2)
            second = stream.call(lambda result: float(result.expectation_values[0, 0]))
            assert abs(await second - (await first).expectation_values[0, 0]) < 1e-12

    asyncio.run(asyncio.wait_for(main(), LIMIT_S))


@pytest.mark.parametrize("window", [0, -1, True, 2.5, "many"])
def test_windows_that_cannot_be(device: Device, window: Any) -> None:
    with pytest.raises(OptionError, match="window must be"):
        device.stream(window=window)
    with pytest.raises(OptionError, match="window must be"):
        device.stream().map(SHORT, [], window=window)


def test_options_that_cannot_be(device: Device) -> None:
    for wrong in ({"order": "sideways"}, {"on_failure": "panic"}):
        with pytest.raises(OptionError):
            device.stream(**wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="needs a function"):
        device.stream().call(7)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"a task runs a qfw.Program, not builtins.str"):
        device.stream().run("h q[0]")  # type: ignore[arg-type]


def test_futures_of_other_streams(device: Device) -> None:
    one, other = device.stream(), device.stream(order="ordered")
    for own, foreign in ((one, short(other)), (other, short(one))):
        with pytest.raises(UsageError, match="another stream"):
            short(own, foreign)
        with pytest.raises(UsageError, match="another stream"):
            own.call(print, foreign)


def test_a_closed_stream_and_a_finalised_session(shared_folder: Any) -> None:
    with Session(runtime_folder=shared_folder) as session:
        device = session.device("reference")
        closed, open_ = device.stream(), device.stream(order="ordered")
        closed.close()
        closed.close()
        for act in (
            closed.barrier,
            lambda: short(closed),
            lambda: closed.call(print),
            lambda: closed.query("load"),
        ):
            with pytest.raises(UsageError, match="closed"):
                act()
        with pytest.raises(UsageError, match="closed"):
            closed.completion_queue()
        slow, waiting, call = long(open_), short(open_), open_.call(print)
        queue = open_.completion_queue()
    for future in (slow, waiting, call):
        assert isinstance(future.exception(LIMIT_S), (UsageError, DependencyFailed))
    open_.drain(LIMIT_S)
    assert list(queue) == [] and open_.closed
    for act in (open_.barrier, lambda: short(open_), lambda: open_.call(print)):
        with pytest.raises(UsageError, match="session is closed"):
            act()


def test_too_large_is_said_at_once_or_fails_alone(device: Device) -> None:
    huge = Program(60, 0, 0, (Gate("h", (0,)),))
    with device.stream(order="ordered") as stream:
        wrong, fine = stream.run(huge, shots=1), short(stream)
        assert isinstance(wrong.exception(LIMIT_S), TooLarge)
        assert cosine_is_right(fine.result(LIMIT_S), 0.5)


def test_keys_are_bounded(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qfw.qpi.keys.KEYS", 2)
    stream = device.stream()

    def keyed(key: str) -> TaskFuture:
        return stream.run(SHORT, [0.5], outputs=Z0, options=TaskOptions(idempotency_key=key))

    first, second = keyed("a"), keyed("b")
    assert keyed("a") is first
    keyed("c")
    # The one used longest ago is forgotten.
    assert keyed("a") is first and keyed("b") is not second


class Bound:
    """What a stream needs of a pipeline."""

    pipeline = Pipeline((Stage("reduce", "reduce"),))

    def __init__(self) -> None:
        self.streams: list[QStream] = []

    def bind(self, stream: QStream) -> None:
        self.streams.append(stream)


def test_a_pipeline_travels_by_digest_and_counts_are_of_the_portable_program(device: Device) -> None:
    pipeline = Bound()
    stream = device.stream(pipeline=pipeline)
    assert pipeline.streams == [stream] and stream.pipeline is pipeline
    draft = stream.drafting.draft(Request(SHORT, [0.5], 100, (Counts(),)), device, 1)
    assert draft.pipeline == pipeline.pipeline
    assert draft.program.num_clbits == 2 and draft.program.terminal_measurements == ((0, 0), (1, 1))
    again = stream.drafting.draft(Request(SHORT, [0.6], 100), device, 1)
    assert again.program is draft.program
    assert stream.drafting.draft(Request(SHORT, [0.6], None, Z0), device, 1).program is SHORT


def test_what_notebooks_show(device: Device) -> None:
    stream = device.stream(window=7)
    assert "reference" in stream._repr_html_() and "window 7" in repr(stream)
    assert "0 unread" in stream.completion_queue("results")._repr_html_()


def test_a_forked_child_cancels_nothing(session: Session) -> None:
    with session.device("reference").stream(order="ordered") as stream:
        waiting = [stream.run(SHORT, [0.1], outputs=Z0) for _ in range(3)]
        child = os.fork()
        if not child:
            try:
                waiting[-1].cancel()
            except UsageError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert all(cosine_is_right(future.result(LIMIT_S), 0.1) for future in waiting)
