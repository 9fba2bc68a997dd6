"""Completion queues: what they bring, in which order, and what happens when nobody takes it."""

from __future__ import annotations

import asyncio
import functools
import operator
import threading
from typing import Any

import pytest

from qfw.model.errors import NoCapacity, OptionError, ResultTimeout, TaskCancelled, UsageError
from qfw.qpi import Completion, CompletionQueue, Device, QStream, Request, Session, TaskFuture
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, long_program


@pytest.fixture
def device(session: Session) -> Device:
    return session.device("reference")


def many(stream: QStream, count: int = 50) -> list[TaskFuture]:
    return stream.run_many([Request(SHORT, [k / 100], outputs=Z0) for k in range(count)])


def long(stream: QStream) -> TaskFuture:
    return stream.run(long_program(20_000), [0.5], outputs=Z0)


def test_every_completion_once_until_the_stream_is_closed(device: Device) -> None:
    with device.stream() as stream:
        queue = stream.completion_queue()
        futures = many(stream)
        with pytest.raises(UsageError, match="bound to that stream already"):
            queue.bind(stream)
    found = list(queue)
    assert sorted(c.index for c in found) == list(range(50))
    assert all(c.future is futures[c.index] and cosine_is_right(c.result, c.index / 100) for c in found)
    assert all(c.kind == "results" and c.stream is stream and c.error is None for c in found)
    with pytest.raises(UsageError, match="everything was taken"):
        queue.get(1)


def test_order_of_submission_on_an_ordered_stream_also_of_cancelled_ones(device: Device) -> None:
    with device.stream(order="ordered") as stream:
        queue = stream.completion_queue()
        gate = threading.Event()
        stream.call(gate.wait, LIMIT_S)
        futures = many(stream, 10)
        futures[7].cancel()
        assert futures[7].settled and len(queue) == 0
        gate.set()
    found = list(queue)
    assert [c.index for c in found] == list(range(11))
    assert found[8].kind == "failures" and isinstance(found[8].error, TaskCancelled)


def test_several_with_kinds_of_their_own_and_one_of_several_streams(device: Device) -> None:
    first, second = device.stream(), device.stream(order="ordered")
    failures, results = first.completion_queue("failures"), first.completion_queue("results")
    failures.bind(second)
    fine = many(first, 5)
    wrong = [stream.call(lambda: 1 // 0) for stream in (first, second)]
    first.close()
    second.close()
    assert {c.future for c in failures} == set(wrong)
    assert {c.future for c in results} == set(fine)


def test_what_came_before_it_was_bound_does_not_come(device: Device) -> None:
    with device.stream() as stream:
        slow = long(stream)
        queue = stream.completion_queue()
        after = many(stream, 3)
        slow.cancel()
    assert {c.future for c in queue} == set(after)


def test_no_room_is_refused_and_comes_back(device: Device) -> None:
    with device.stream() as stream:
        queue = stream.completion_queue(maxsize=3)
        many(stream, 3)
        with pytest.raises(NoCapacity, match="queue of 3 has room for 0 more"):
            many(stream, 1)
        stream.drain(LIMIT_S)
        # Unread ones count as well.
        with pytest.raises(NoCapacity):
            many(stream, 1)
        queue.get(LIMIT_S)
        many(stream, 1)
        with pytest.raises(NoCapacity):
            stream.run(SHORT, [0.5], outputs=Z0)
    assert len(list(queue)) == 3


def test_what_was_not_submitted_takes_no_room(device: Device) -> None:
    with device.stream(window=5) as stream:
        queue = stream.completion_queue(maxsize=5)
        for _ in range(10):
            with pytest.raises(OptionError):
                stream.run(SHORT, [0.5], shots=0)
        assert len(many(stream, 5)) == 5
    assert len(list(queue)) == 5


def test_the_oldest_are_dropped_and_counted(device: Device) -> None:
    with device.stream(order="ordered") as stream:
        queue = stream.completion_queue(maxsize=4, when_full="drop_oldest")
        many(stream, 10)
        stream.drain(LIMIT_S)
        assert len(queue) == 4 and queue.dropped == 6
        assert [c.index for c in queue.drain()] == [6, 7, 8, 9]


def test_a_submission_waits_for_room_with_a_limit(device: Device) -> None:
    with device.stream() as stream:
        queue = stream.completion_queue(maxsize=2, when_full="wait", wait_s=0.05)
        many(stream, 2)
        with pytest.raises(NoCapacity):
            many(stream, 1)
        queue.wait_s = LIMIT_S
        taken: list[Completion] = []
        reader = threading.Thread(target=lambda: taken.extend(queue))
        reader.start()
        for _ in range(30):
            many(stream, 1)
        stream.close()
        reader.join(LIMIT_S)
        assert len(taken) == 32


def test_get_has_a_limit_and_needs_a_stream(device: Device) -> None:
    with pytest.raises(UsageError, match="bind a stream first"):
        CompletionQueue().get(1)
    with device.stream() as stream:
        queue = stream.completion_queue()
        with pytest.raises(ResultTimeout, match="no completion came within"):
            queue.get(0.01)
        slow = long(stream)
        with pytest.raises(ResultTimeout, match="1 operations are open"):
            queue.get(0.01)
        slow.cancel()


def test_closing_wakes_who_waits_for_more(device: Device) -> None:
    """Also one who reads the connection, on which nothing comes."""
    for order in ("parallel", "ordered"):
        stream = device.stream(order=order)  # type: ignore[arg-type]
        queue = stream.completion_queue()
        found: list[list[Completion]] = []
        reader = threading.Thread(target=lambda q=queue, f=found: f.append(list(q)))  # type: ignore[misc]
        reader.start()
        many(stream, 3)
        stream.drain(LIMIT_S)
        stream.close()
        reader.join(LIMIT_S)
        assert not reader.is_alive() and len(found[0]) == 3


def test_what_no_message_brings_wakes_who_reads(device: Device) -> None:
    stream = device.stream()
    queue = stream.completion_queue()
    gate = threading.Event()
    stream.call(gate.wait, LIMIT_S)
    threading.Timer(0.05, gate.set).start()
    assert queue.get(LIMIT_S).result is True


def test_readers_side_by_side_share_without_doubles(device: Device) -> None:
    with device.stream(window=20) as stream:
        queue = stream.completion_queue()
        taken: list[list[int]] = [[] for _ in range(4)]
        readers = [
            threading.Thread(target=lambda mine=mine: mine.extend(c.index for c in queue))  # type: ignore[misc]
            for mine in taken
        ]
        for reader in readers:
            reader.start()
        many(stream, 500)
    for reader in readers:
        reader.join(LIMIT_S)
        assert not reader.is_alive()
    assert sorted(functools.reduce(operator.iadd, taken, [])) == list(range(500))


def test_async_for_does_not_block_the_loop(device: Device) -> None:
    async def main() -> None:
        stream = device.stream(window=10)
        queue = stream.completion_queue()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        beside = asyncio.create_task(tick())

        async def submit() -> None:
            for k in range(100):
                await stream.submit(SHORT, [k / 100], outputs=Z0)
            await stream.submit(long_program(200), [0.5], outputs=Z0)
            stream.close()

        submitting = asyncio.create_task(submit())
        found = [completion.index async for completion in queue]
        assert sorted(found) == list(range(101))
        await submitting
        assert ticks > 1
        beside.cancel()

    asyncio.run(asyncio.wait_for(main(), LIMIT_S))


def test_the_session_ends_while_somebody_waits(shared_folder: Any) -> None:
    with Session(runtime_folder=shared_folder) as session:
        stream = session.device("reference").stream()
        queue = stream.completion_queue()
        future = long(stream)
        found: list[Completion] = []
        reader = threading.Thread(target=lambda: found.extend(queue))
        reader.start()
    reader.join(LIMIT_S)
    assert not reader.is_alive()
    assert [c.future for c in found] == [future] and isinstance(found[0].error, UsageError)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kinds": ["noise"]},
        {"kinds": []},
        {"kinds": "result"},
        {"maxsize": 0},
        {"maxsize": True},
        {"when_full": "panic"},
        {"wait_s": -1},
        {"wait_s": float("nan")},
    ],
)
def test_what_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        CompletionQueue(**wrong)
