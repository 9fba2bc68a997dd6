"""Building: programs made of a generator's items by the user's function, here or in other processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from qfw.model.errors import OptionError, WorkerLost

#: Items ahead for each worker.
AHEAD = 4


class Building(Protocol):
    """Gives what was made of each item, in order, or the exception that was raised for it.

    What the iterable itself raises is raised in its place.
    """

    def __next__(self) -> Any:
        """The next one."""
        ...

    def close(self) -> None:
        """Pulls no more. May be called twice."""
        ...


class Here:
    """Builds on the thread that asks."""

    def __init__(self, builder: Callable[[Any], Any] | None, items: Iterator[Any]) -> None:
        """Without a builder the items are given as they are."""
        self._builder = builder
        self._items = items

    def __next__(self) -> Any:
        """See Building."""
        item = next(self._items)
        if self._builder is None:
            return item
        try:
            return self._builder(item)
        except Exception as error:
            return error

    def close(self) -> None:
        """See Building."""
        self._items = iter(())


class Workers:
    """Builds in processes of its own, a few items ahead."""

    def __init__(self, builder: Callable[[Any], Any], items: Iterator[Any], workers: int) -> None:
        """Starts no process yet.

        Raises:
            OptionError: the builder cannot be sent to other processes.
        """
        try:
            pickle.dumps(builder)
        except Exception as error:
            raise OptionError(
                f"the builder cannot be sent to other processes: {error}. Define it at the top of a module, or leave "
                "workers=0"
            ) from error
        self._builder = builder
        self._items = items
        self._workers = workers
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None
        #: In order: what is being built, or why it cannot be.
        self._ahead: deque[concurrent.futures.Future[Any] | Exception] = deque()
        #: What ended the iterable.
        self._end: Exception | None = None

    def __next__(self) -> Any:
        """See Building."""
        while self._end is None and len(self._ahead) < AHEAD * self._workers:
            try:
                item = next(self._items)
            except Exception as error:
                self._end = error
                break
            self._ahead.append(self._begin(item))
        if not self._ahead:
            assert self._end is not None
            end, self._end = self._end, StopIteration()
            self.close()
            raise end
        future = self._ahead.popleft()
        if isinstance(future, Exception):
            return future
        try:
            return future.result()
        except BrokenProcessPool as error:
            self._drop_pool()
            lost = WorkerLost(
                "a process that builds programs ended: by the builder, for want of memory, or because the main "
                f'module starts it again (guard it with if __name__ == "__main__"): {error}'
            )
            lost.__cause__ = error
            return lost
        except Exception as error:
            return error

    def _begin(self, item: Any) -> concurrent.futures.Future[Any] | Exception:
        if self._pool is None:
            # Not forked: this process has threads and a connection.
            context = multiprocessing.get_context("forkserver")
            self._pool = concurrent.futures.ProcessPoolExecutor(self._workers, mp_context=context)
        try:
            return self._pool.submit(self._builder, item)
        except (BrokenProcessPool, RuntimeError) as error:
            self._drop_pool()
            return WorkerLost(f"the processes that build programs ended: {error}")

    def _drop_pool(self) -> None:
        """The next item gets new processes."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """See Building; the processes end."""
        self._items = iter(())
        self._ahead.clear()
        self._drop_pool()
