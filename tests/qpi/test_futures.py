"""Futures as concurrent.futures and asyncio know them, whoever reads the connection."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import threading
from collections.abc import Callable
from typing import Any

import pytest

from qfw.model.errors import ResultTimeout
from qfw.model.result import Result
from qfw.qpi import QStream, Request, Session, TaskFuture
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, long_program, until


def short(stream: QStream, angle: float = 0.5) -> TaskFuture:
    return stream.run(SHORT, [angle], outputs=Z0)


def long(stream: QStream, angle: float = 0.5, gates: int = 48) -> TaskFuture:
    return stream.run(long_program(gates), [angle], outputs=Z0)


def very_long(stream: QStream) -> TaskFuture:
    """Runs for seconds: what is measured ends before it, or it is cancelled."""
    return long(stream, gates=20_000)


def all_right(futures: list[TaskFuture], angles: list[float]) -> bool:
    return all(
        cosine_is_right(future.result(LIMIT_S), angle) for future, angle in zip(futures, angles, strict=True)
    )


ANGLES = [number / 100 for number in range(200)]


def many(stream: QStream) -> list[TaskFuture]:
    return stream.run_many([Request(SHORT, [angle], outputs=Z0) for angle in ANGLES])


def run_threads(*works: Callable[[], Any]) -> list[Any]:
    """What each gives, all at the same time; the first error is raised."""
    with cf.ThreadPoolExecutor(len(works)) as pool:
        return [future.result(LIMIT_S) for future in [pool.submit(work) for work in works]]


def test_wait_and_as_completed(stream: QStream) -> None:
    futures = many(stream)
    done, not_done = cf.wait(futures, LIMIT_S)
    assert done == set(futures) and not not_done
    assert all_right(futures, ANGLES)
    futures = many(stream)
    seen = list(cf.as_completed(futures, LIMIT_S))
    assert len(seen) == len(futures) == len(set(seen))


def test_wait_for_the_first_one(stream: QStream) -> None:
    slow = very_long(stream)
    fast = short(stream)
    done, not_done = cf.wait([slow, fast], LIMIT_S, return_when=cf.FIRST_COMPLETED)
    assert done == {fast} and not_done == {slow}
    assert slow.cancel()
    done, _ = cf.wait([slow], LIMIT_S)
    assert done == {slow}


def test_ours_among_those_of_another_executor(stream: QStream) -> None:
    with cf.ThreadPoolExecutor(1) as pool:
        mixed = [pool.submit(lambda: 1), short(stream), pool.submit(lambda: 2)]
        assert len(list(cf.as_completed(mixed, LIMIT_S))) == 3


def test_callbacks_come_once_and_late_ones_at_once(stream: QStream) -> None:
    called: list[TaskFuture] = []
    done = threading.Event()
    future = long(stream)
    future.add_done_callback(called.append)
    future.add_done_callback(lambda _: done.set())
    assert done.wait(LIMIT_S)
    future.add_done_callback(called.append)
    assert called == [future, future] and future.result(0).sets == 1


def test_a_callback_that_fails_takes_nobody_with_it(stream: QStream) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    futures = many(stream)
    for future in futures:
        future.add_done_callback(fail)
    assert all_right(futures, ANGLES)


def test_a_callback_submits_and_waits(stream: QStream) -> None:
    """In the thread that reads: it goes on reading for itself."""
    depths: list[int] = []
    done = threading.Event()

    def again(depth: int) -> Callable[[object], None]:
        def act(_: object) -> None:
            inner = short(stream, depth / 10)
            assert cosine_is_right(inner.result(LIMIT_S), depth / 10)
            depths.append(depth)
            if depth < 5:
                short(stream).add_done_callback(again(depth + 1))
            else:
                done.set()

        return act

    # Others of the same batch arrive while the callback waits.
    futures = many(stream)
    futures[0].add_done_callback(again(1))
    assert done.wait(LIMIT_S)
    assert depths == [1, 2, 3, 4, 5]
    assert all_right(futures, ANGLES)


def test_a_callback_waits_for_all_others_of_its_batch(stream: QStream) -> None:
    futures = many(stream)
    told: list[bool] = []
    done = threading.Event()

    def wait_for_all(_: object) -> None:
        told.append(all_right(futures, ANGLES))
        done.set()

    futures[3].add_done_callback(wait_for_all)
    assert done.wait(LIMIT_S) and told == [True]


def test_await_and_gather(stream: QStream) -> None:
    async def main() -> list[Result]:
        one = await short(stream, 0.25)
        assert cosine_is_right(one, 0.25)
        results = await asyncio.gather(*many(stream))
        assert await asyncio.wrap_future(short(stream, 0.5))
        return results

    results = asyncio.run(main())
    assert all(cosine_is_right(result, angle) for result, angle in zip(results, ANGLES, strict=True))


def test_await_that_is_given_up_cancels_and_does_not_block_the_loop(stream: QStream) -> None:
    async def main() -> TaskFuture:
        future = very_long(stream)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while not future.settled:
                ticks += 1
                await asyncio.sleep(0.001)

        beside = asyncio.create_task(tick())
        waiting = asyncio.ensure_future(_awaited(future))
        await asyncio.sleep(0.05)
        before = ticks
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # The loop went round before the daemon had ended the run.
        assert ticks - before <= 5 and not future.settled
        await asyncio.wait_for(beside, LIMIT_S)
        return future

    assert asyncio.run(main()).cancelled()


async def _awaited(future: TaskFuture) -> Result:
    return await future


def test_await_of_a_cancelled_task(stream: QStream) -> None:
    async def main() -> None:
        future = very_long(stream)
        asyncio.get_running_loop().run_in_executor(None, future.cancel)
        with pytest.raises(asyncio.CancelledError):
            await future

    asyncio.run(main())


def test_many_threads_wait_for_one_and_for_each_other(stream: QStream) -> None:
    future = long(stream)
    results = run_threads(*[lambda: future.result(LIMIT_S)] * 16)
    assert all(result is results[0] for result in results)
    futures = many(stream)
    # Backwards: who reads first waits for what comes last.
    works = [
        lambda step=step: all_right(futures[step::16][::-1], ANGLES[step::16][::-1]) for step in range(16)
    ]
    assert all(run_threads(*works))


def test_handover_from_waiting_threads_to_the_background_and_back(stream: QStream) -> None:
    """Whoever reads steps back when his own is done; somebody must go on."""
    for _ in range(10):
        first, second, third = short(stream), long(stream), long(stream)
        told = threading.Event()
        third.add_done_callback(lambda _, told=told: told.set())
        assert all(run_threads(lambda f=first: f.result(LIMIT_S), lambda s=second: s.result(LIMIT_S)))
        assert told.wait(LIMIT_S)


def test_polling_threads_do_not_take_the_turn_away(stream: QStream) -> None:
    """`done()` looks and goes: who was to read next is not forgotten."""
    for _ in range(5):
        futures = [long(stream) for _ in range(8)]
        stop = threading.Event()

        def poll(futures: list[TaskFuture] = futures, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                for future in futures:
                    future.done()

        pollers = [threading.Thread(target=poll) for _ in range(2)]
        for poller in pollers:
            poller.start()
        try:
            results = run_threads(*[lambda f=future: f.result(LIMIT_S) for future in futures])
            assert len(results) == 8
        finally:
            stop.set()
            for poller in pollers:
                poller.join()


def test_threads_submit_and_wait_at_the_same_time(stream: QStream) -> None:
    def work(start: int) -> bool:
        for step in range(40):
            angle = (start * 40 + step) / 100
            if not cosine_is_right(short(stream, angle).result(LIMIT_S), angle):
                return False
        return True

    assert all(run_threads(*[lambda start=start: work(start) for start in range(8)]))


def test_a_wait_that_is_too_short_and_the_result_all_the_same(stream: QStream) -> None:
    future = long(stream)
    with pytest.raises(ResultTimeout, match="it goes on"):
        future.result(0)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0.001)
    assert cosine_is_right(future.result(LIMIT_S), 0.5)
    assert future.exception(0) is None and future.done()


def test_timeouts_beside_a_reader(stream: QStream) -> None:
    future = very_long(stream)
    behind = threading.Event()

    def wait_for_it() -> bool:
        behind.set()
        try:
            future.result(LIMIT_S)
        except cf.CancelledError:
            return True
        return False

    def time_out() -> bool:
        behind.wait(LIMIT_S)
        for timeout in (0, 0.01, -1, 0.05):
            with pytest.raises(ResultTimeout):
                future.result(timeout)
        return future.cancel()

    assert run_threads(wait_for_it, time_out) == [True, True]


def test_cancelling(stream: QStream) -> None:
    running = [very_long(stream), very_long(stream)]
    waiting = short(stream)
    assert waiting.cancel() and waiting.cancelled() and waiting.done()
    with pytest.raises(cf.CancelledError):
        waiting.result()
    assert all(future.cancel() for future in running)
    finished = short(stream)
    finished.result(LIMIT_S)
    assert not finished.cancel() and finished.result(0)


def test_cancelled_futures_tell_who_waits(stream: QStream) -> None:
    future = very_long(stream)
    told = threading.Event()
    future.add_done_callback(lambda _: told.set())
    done = run_threads(lambda: cf.wait([future], LIMIT_S).done, future.cancel)[0]
    assert done == {future} and told.wait(LIMIT_S)


def test_cancelling_what_a_worker_was_given_ahead(stream: QStream, session: Session) -> None:
    """Behind a long one that was thought short: it is ended when its turn comes, not run to its end."""
    futures = [very_long(stream) for _ in range(6)]
    assert all(future.cancel() for future in reversed(futures))
    assert cosine_is_right(short(stream).result(LIMIT_S), 0.5)
    assert until(lambda: session.client.open_tasks == 0)


def test_ten_thousand_with_callbacks(stream: QStream) -> None:
    futures = stream.run_many([Request(SHORT, [0.5], outputs=Z0)] * 5000)
    assert sum(1 for _ in cf.as_completed(futures, LIMIT_S)) == 5000


def test_the_background_reader_steps_back(stream: QStream, session: Session) -> None:
    future = short(stream)
    future.add_done_callback(lambda _: None)
    future.result(LIMIT_S)
    until(lambda: not session.client._readers.watched)
    for _ in range(20):
        assert short(stream).result(LIMIT_S)
