"""Many items through one stream: `map` gives their results in order, `feed` submits them for completion queues."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from qfw.model.errors import NoCapacity, OptionError, UsageError
from qfw.model.program import Program
from qfw.model.task import TaskOptions
from qfw.qpi.building import Building, Here, Workers
from qfw.qpi.drafting import Outputs, Request
from qfw.qpi.future import TaskFuture

if TYPE_CHECKING:
    from qfw.qpi.stream import QStream

#: Items that are submitted and not taken, where nobody says how many.
WINDOW = 4096
#: Items that are submitted together.
BATCH = 256


class Recipe(NamedTuple):
    """How requests are made of items; see `QStream.map`."""

    source: Program | Callable[[Any], Program | Request] | None
    shots: int | None
    outputs: Outputs | None
    seed: int | None
    options: TaskOptions

    def builder(self) -> Callable[[Any], Any] | None:
        """The user's function; None where items are parameters, programs or requests.

        Raises:
            OptionError: it is neither a program nor can it be called.
        """
        if self.source is None or isinstance(self.source, Program):
            return None
        if not callable(self.source):
            raise OptionError(f"map runs a Program, or what a function makes of items, not {self.source!r}")
        return self.source

    def request(self, made: Any, index: int) -> Request:
        """The request of an item; `made`: the item, or what the builder made of it. Raises OptionError."""
        if isinstance(made, Request) and not isinstance(self.source, Program):
            return made
        # As set number `index` of one task with that seed.
        first_set = 0 if self.seed is None else index
        how = (self.shots, self.outputs, self.seed, self.options, None, "", first_set)
        if isinstance(self.source, Program):
            return Request(self.source, made, *how)
        if isinstance(made, Program):
            return Request(made, None, *how)
        raise OptionError(f"item {index} gave {type(made).__name__}; a qfw.Program or qfw.Request is run")


class _Wrong(NamedTuple):
    """An item that was not submitted."""

    error: BaseException


class Mapped:
    """Results in the order of the items; an iterator, an asynchronous one too, and a context manager.

    An item whose builder or task failed raises its error in its place, and the next item follows. An error of the
    iterable comes in its place and is the last. `close` cancels what is submitted and not taken.
    """

    def __init__(
        self,
        stream: QStream,
        recipe: Recipe,
        items: Iterable[Any],
        window: int | None,
        workers: int,
        return_errors: bool,
    ) -> None:
        """Made by `QStream.map`; pulls nothing yet."""
        if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 1):
            raise OptionError(f"window must be an integer of at least 1, not {window!r}")
        self._stream = stream
        self._window = min(window or WINDOW, stream.window or WINDOW)
        self._recipe = recipe
        self._building = _building(recipe, items, workers)
        self._return_errors = return_errors
        self._index = 0
        #: In order: what was submitted, or why not.
        self._ahead: deque[TaskFuture | _Wrong] = deque()
        self._batch = max(1, min(BATCH, self._window // 4))
        self._finished = False

    def __iter__(self) -> Iterator[Any]:
        """Itself."""
        return self

    def __next__(self) -> Any:
        """The next result; raises why an item has none."""
        self._fill()
        while not self._ahead:
            if self._finished:
                raise StopIteration
            # Others have what room there is.
            self._stream.room.wait(lambda: False)
            self._fill()
        return self._give(self._ahead.popleft())

    def __aiter__(self) -> Mapped:
        """Itself."""
        return self

    async def __anext__(self) -> Any:
        """As `__next__`, without blocking the event loop; the items are pulled and built on a thread beside it."""
        loop = asyncio.get_running_loop()
        if self._wants():
            await loop.run_in_executor(None, self._fill)
        while not self._ahead:
            if self._finished:
                raise StopAsyncIteration
            await self._stream.room.wait_in_loop(1, None)
            await loop.run_in_executor(None, self._fill)
        found = self._ahead.popleft()
        if isinstance(found, TaskFuture) and not found.settled:
            done = asyncio.Event()
            found.add_done_callback(lambda _: loop.call_soon_threadsafe(done.set))
            await done.wait()
        return self._give(found)

    def _give(self, found: TaskFuture | _Wrong) -> Any:
        if isinstance(found, TaskFuture):
            if not self._return_errors:
                return found.result()
            if not found.settled:
                found._wait(None)
            value, error = found.outcome()
            return value if error is None else error
        if self._return_errors:
            return found.error
        raise found.error

    def _wants(self) -> bool:
        """Whether there is room for a batch, or nothing to wait for."""
        room = self._window - len(self._ahead)
        return not self._finished and (room >= self._batch or not self._ahead)

    def _fill(self) -> None:
        """Submits as many items as there is room for, in batches."""
        while self._wants():
            count = self._stream.room.left(min(self._batch, self._window - len(self._ahead)))
            if self._stream.closed:
                self._stop(UsageError("the stream is closed; open a new one"))
            if count == 0:
                return
            self._submit(count)

    def _submit(self, count: int) -> None:
        places: list[_Wrong | None] = []
        requests: list[Request] = []
        for _ in range(count):
            try:
                made = next(self._building)
            except StopIteration:
                self._finished = True
                break
            except Exception as error:
                # Of the iterable: nothing follows.
                places.append(_Wrong(error))
                self._finished = True
                break
            index, self._index = self._index, self._index + 1
            try:
                if isinstance(made, BaseException):
                    raise made
                requests.append(self._recipe.request(made, index))
                places.append(None)
            except Exception as error:
                places.append(_Wrong(error))
        futures = iter(submit_each(self._stream, requests))
        for place in places:
            self._ahead.append(place if place is not None else next(futures))
        if self._finished:
            self._building.close()

    def _stop(self, error: Exception) -> None:
        self._finished = True
        self._ahead.append(_Wrong(error))
        self._building.close()

    def close(self) -> None:
        """Ends it: what is submitted and not taken is cancelled, nothing more is pulled. May be called twice."""
        self._finished = True
        self._building.close()
        ahead, self._ahead = self._ahead, deque()
        self._stream.cancel([found for found in ahead if isinstance(found, TaskFuture)])

    def __enter__(self) -> Mapped:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Feed(concurrent.futures.Future[int]):
    """The number of tasks that were submitted, once all are; `cancel` ends it behind those."""

    def __init__(self, stream: QStream, recipe: Recipe, items: Iterable[Any]) -> None:
        """Made by `QStream.feed`."""
        super().__init__()
        self._stream = stream
        self._recipe = recipe
        self._building = _building(recipe, items, 0)
        self._giving_up = False
        threading.Thread(target=self._run, name="qfw-feed", daemon=True).start()

    def cancel(self) -> bool:
        """Asks for its end; True unless it is done. What is submitted goes on."""
        if self.done():
            return self.cancelled()
        self._giving_up = True
        self._stream.room.changed()
        self._stream.room.rouse()
        return True

    def _submit(self, requests: list[Request]) -> int:
        """Submits as many of them as there is room for, and takes these away; their number."""
        count = 1 if self._stream.closed else self._stream.room.left(len(requests))
        if count:
            try:
                self._stream.run_many(requests[:count], timeout_s=0)
            except NoCapacity:
                # Somebody else was sooner.
                count = 0
        if not count:
            self._stream.room.wait(lambda: self._giving_up)
        del requests[:count]
        return count

    def _run(self) -> None:
        number = 0
        try:
            while not self._giving_up:
                self._stream.room.wait(lambda: self._giving_up)
                count = 1 if self._stream.closed else self._stream.room.left(BATCH)
                requests: list[Request] = []
                failure: BaseException | None = None
                for _ in range(count):
                    try:
                        made = next(self._building)
                        if isinstance(made, BaseException):
                            raise made
                        requests.append(self._recipe.request(made, number + len(requests)))
                    except StopIteration:
                        self._giving_up = True
                        failure = StopIteration()
                        break
                    except Exception as error:
                        failure = error
                        break
                while requests and not (self._giving_up and failure is None):
                    number += self._submit(requests)
                if isinstance(failure, StopIteration):
                    self.set_result(number)
                    return
                if failure is not None:
                    raise failure
            super().cancel()
            self.set_running_or_notify_cancel()
        except BaseException as error:
            self.set_exception(error)
        finally:
            self._building.close()


def submit_each(stream: QStream, requests: list[Request]) -> list[TaskFuture | _Wrong]:
    """Their futures; where some are wrong, each is submitted by itself, with why it was not in its place."""
    if not requests:
        return []
    try:
        return list(stream.run_many(requests))
    except Exception as error:
        if len(requests) == 1:
            return [_Wrong(error)]
    found: list[TaskFuture | _Wrong] = []
    for request in requests:
        try:
            found += stream.run_many((request,))
        except Exception as error:
            found.append(_Wrong(error))
    return found


def _building(recipe: Recipe, items: Iterable[Any], workers: int) -> Building:
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise OptionError(f"workers must be an integer of at least 0, not {workers!r}")
    try:
        iterator = iter(items)
    except TypeError as error:
        raise OptionError(f"items must be iterable, not {type(items).__name__}") from error
    builder = recipe.builder()
    if workers and builder is None:
        raise OptionError("workers call a builder; there is none to call")
    if workers and builder is not None:
        return Workers(builder, iterator, workers)
    return Here(builder, iterator)
