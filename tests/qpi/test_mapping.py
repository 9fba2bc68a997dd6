"""Many items through a stream: map, feed, an executor."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import itertools
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from qfw.model.errors import OptionError, ParameterError, UsageError, WorkerLost
from qfw.model.outputs import Counts
from qfw.model.program import Gate, Program
from qfw.qpi import Device, Request, Session
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right


@pytest.fixture
def device(session: Session) -> Device:
    return session.device("reference")


def turned(angle: float) -> Program:
    """A builder; <Z0> = cos(angle)."""
    if angle < 0:
        raise LookupError("no such angle")
    return Program(1, 0, 0, (Gate("ry", (0,), (angle,)),))


def dying(angle: float) -> Program:
    if angle == 3.0:
        os._exit(1)
    return turned(angle)


class Pulled(Iterator[list[float]]):
    """Counts how far it was pulled."""

    def __init__(self, most: float = float("inf")) -> None:
        self.count = 0
        self.most = most

    def __next__(self) -> list[float]:
        if self.count >= self.most:
            raise ArithmeticError("the generator broke")
        self.count += 1
        return [(self.count - 1) / 100]


@pytest.mark.parametrize("how", [{}, {"window": 7}, {"order": "ordered"}])
def test_results_in_order_pulled_as_they_are_taken(device: Device, how: dict[str, Any]) -> None:
    with device.stream(**how) as stream:
        items = Pulled()
        results = stream.map(SHORT, items, outputs=Z0, window=20)
        assert items.count == 0
        taken = list(itertools.islice(results, 100))
        assert all(cosine_is_right(result, k / 100) for k, result in enumerate(taken))
        assert items.count <= 120
        results.close()
        assert list(results) == []
        stream.drain(LIMIT_S)


def test_many_programs_and_requests(device: Device) -> None:
    with device.stream() as stream:
        items = [turned(0.1), Request(SHORT, [0.2]), turned(0.3)]
        found = list(
            stream.map(
                None,
                [item._replace(outputs=Z0) if isinstance(item, Request) else item for item in items],
                outputs=Z0,
            )
        )
        assert all(
            cosine_is_right(result, angle) for result, angle in zip(found, (0.1, 0.2, 0.3), strict=True)
        )


def test_a_seed_is_of_the_whole(device: Device) -> None:
    angles = np.linspace(0, 1, 20)[:, None]
    with device.stream() as stream:
        whole = stream.run(SHORT, angles, shots=100, seed=5).result(LIMIT_S).counts
        parts = [
            result.counts[0] for result in stream.map(SHORT, angles, shots=100, seed=5, outputs=(Counts(),))
        ]
    assert parts == whole


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_come_in_their_places_and_the_rest_completes(device: Device, workers: int) -> None:
    with device.stream() as stream:
        results = stream.map(turned, iter([0.1, -1.0, 0.3]), outputs=Z0, workers=workers)
        assert cosine_is_right(next(results), 0.1)
        with pytest.raises(LookupError):
            next(results)
        assert cosine_is_right(next(results), 0.3)
        with pytest.raises(StopIteration):
            next(results)
        found = list(stream.map(turned, [-1.0, 0.2], outputs=Z0, workers=workers, return_errors=True))
        assert isinstance(found[0], LookupError) and cosine_is_right(found[1], 0.2)


def test_a_wrong_item_among_others(device: Device) -> None:
    with device.stream() as stream:
        found = list(stream.map(SHORT, [[0.1], [0.1, 0.2], [0.3]], outputs=Z0, return_errors=True))
        assert cosine_is_right(found[0], 0.1) and cosine_is_right(found[2], 0.3)
        assert isinstance(found[1], ParameterError)
        found = list(stream.map(lambda item: item, [7], return_errors=True))
        assert isinstance(found[0], OptionError)


def test_a_generator_that_raises(device: Device) -> None:
    with device.stream() as stream:
        results = stream.map(SHORT, Pulled(most=5), outputs=Z0)
        assert [cosine_is_right(next(results), k / 100) for k in range(5)] == [True] * 5
        with pytest.raises(ArithmeticError, match="the generator broke"):
            next(results)
        assert list(results) == []


def test_a_process_that_dies_takes_few_with_it(device: Device) -> None:
    with device.stream() as stream:
        angles = [float(k) for k in range(40)]
        found = list(stream.map(dying, angles, outputs=Z0, workers=1, return_errors=True))
        assert isinstance(found[3], WorkerLost) and len(found) == 40
        right = [
            k
            for k, result in enumerate(found)
            if not isinstance(result, Exception) and cosine_is_right(result, k)
        ]
        assert len(right) >= 30 and all(isinstance(found[k], WorkerLost) for k in range(40) if k not in right)


def test_what_cannot_be_mapped(device: Device) -> None:
    stream = device.stream()
    with pytest.raises(OptionError, match="cannot be sent to other processes"):
        stream.map(lambda item: turned(item), [0.1], workers=2)
    for program, items, more in (
        (SHORT, 7, {}),
        (7, [], {}),
        (SHORT, [], {"workers": 1}),
        (turned, [], {"workers": -1}),
    ):
        with pytest.raises(OptionError):
            stream.map(program, items, **more)  # type: ignore[arg-type]
    results = stream.map(SHORT, Pulled(), outputs=Z0)
    next(results)
    stream.close()
    with pytest.raises(UsageError, match="closed"):
        list(results)


def test_async_for_over_a_map(device: Device) -> None:
    async def main() -> None:
        async with device.stream(window=8) as stream:
            rows = ([k / 100] for k in range(50))
            found = [result async for result in stream.map(SHORT, rows, outputs=Z0)]
            assert (
                all(cosine_is_right(result, k / 100) for k, result in enumerate(found)) and len(found) == 50
            )

    asyncio.run(asyncio.wait_for(main(), LIMIT_S))


@pytest.mark.parametrize("when_full", ["refuse", "wait"])
def test_feed_submits_as_completions_are_taken(device: Device, when_full: Any) -> None:
    stream = device.stream(window=10)
    queue = stream.completion_queue(maxsize=20, when_full=when_full)
    items = ([k / 1000] for k in range(500))
    number = stream.feed(items, SHORT, outputs=Z0)
    number.add_done_callback(lambda _: stream.close())
    taken = [completion.index for completion in queue]
    assert sorted(taken) == list(range(500)) and number.result(LIMIT_S) == 500


def test_feed_ends_with_its_cause(device: Device) -> None:
    stream = device.stream(window=5)
    broken = stream.feed(Pulled(most=7), SHORT, outputs=Z0)
    assert isinstance(broken.exception(LIMIT_S), ArithmeticError)
    endless = stream.feed(Pulled(), SHORT, outputs=Z0)
    assert endless.cancel()
    with pytest.raises(cf.CancelledError):
        endless.result(LIMIT_S)
    endless = stream.feed(Pulled(), SHORT, outputs=Z0)
    stream.close()
    assert isinstance(endless.exception(LIMIT_S), UsageError)
    stream.drain(LIMIT_S)


def test_an_executor(device: Device) -> None:
    with device.stream() as stream, stream.executor(outputs=Z0) as executor:
        assert cosine_is_right(executor.submit(SHORT, [0.1]).result(LIMIT_S), 0.1)
        assert cosine_is_right(executor.submit(turned, 0.2).result(LIMIT_S), 0.2)
        assert cosine_is_right(executor.submit(Request(SHORT, [0.3], outputs=Z0)).result(LIMIT_S), 0.3)
        assert executor.submit(threading.current_thread).result(LIMIT_S).name == "qfw-stream"
        found = list(executor.map(turned, [0.1, 0.2, 0.3]))
        assert all(cosine_is_right(result, (k + 1) / 10) for k, result in enumerate(found))
        pending = {executor.submit(turned, k / 10) for k in range(10)}
        assert cf.wait(pending, LIMIT_S).done == pending
        with pytest.raises(OptionError):
            executor.submit(7)
    with pytest.raises(UsageError, match="shut down"):
        executor.submit(turned, 0.1)
    with pytest.raises(OptionError, match="shot"):
        device.stream().executor(shot=1)
