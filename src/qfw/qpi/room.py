"""Room: what a stream takes at once, by its window and by the completion queues that are bound to it."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from qfw.model.errors import NoCapacity, UsageError
from qfw.qpi.completions import CompletionQueue
from qfw.qpi.waiting import Lookout, Signal

if TYPE_CHECKING:
    from qfw.qpi.submitter import Submitter

_T = TypeVar("_T")


class Room:
    """Counts the open operations of one stream, and lets those who submit wait. Safe for several threads."""

    def __init__(self, stream: Submitter, window: int | None) -> None:
        """`window`: operations that may be open; None: no bound."""
        # No cycle: whoever drops a stream drops its futures, and results may be large.
        self._stream: Submitter = weakref.proxy(stream)
        self.window = window
        #: Whether the stream was closed: nobody waits any more.
        self.closed = False
        #: Operations that were admitted and have not ended, where ends are followed.
        self.open = 0
        #: Each with the number of the first operation that it is told of.
        self.queues: tuple[tuple[CompletionQueue, int], ...] = ()
        self._lock = threading.Lock()
        self._lookout = Lookout()
        #: Wanted by those who wait for room or for the end of all.
        self._wanted: list[Signal] = []

    def admit(
        self,
        items: Sequence[_T],
        timeout_s: float | None,
        act: Callable[[Sequence[_T]], None],
        *,
        completes: bool = True,
    ) -> None:
        """Lets `act` submit items in parts as the window has room; queues take all or none."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        queues = self.queues if completes else ()
        # Asked only where something could wait: most submissions find room.
        beyond = not self._has_room(len(items), queues) and self._stream.within
        if queues:
            self._admit_to_queues(queues, len(items), deadline, beyond)
        most = len(items) if self.window is None or beyond else min(len(items), self.window)
        done = 0
        try:
            while done < len(items):
                part = items[done : done + most]
                self._take(len(part), deadline, beyond)
                try:
                    act(part)
                except BaseException:
                    self.freed(len(part))
                    raise
                done += len(part)
        finally:
            if done < len(items):
                for queue, _ in queues:
                    queue.release(len(items) - done)
                self.changed()

    def _take(self, count: int, deadline: float | None, beyond: bool) -> None:
        while True:
            with self._lock:
                if beyond or self.window is None or self.open + count <= self.window:
                    self.open += count
                    return
            if not self._await(Signal(lambda: self.closed or self._fits(count)), remaining_s(deadline)):
                raise NoCapacity(
                    f"the window of {self.window} has no room for {count} more operations, and none came in time: "
                    "wait longer, or take a wider one"
                )
            if self.closed:
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
            self._await(Signal(lambda: self.closed or all(q.room >= count for q in waits)), remaining)
        admitted: list[CompletionQueue] = []
        try:
            for queue, _ in queues:
                queue.admit(count, beyond=beyond)
                admitted.append(queue)
        except NoCapacity:
            for queue in admitted:
                queue.release(count)
            raise

    def _has_room(self, count: int, queues: Sequence[tuple[CompletionQueue, int]]) -> bool:
        if not self._fits(count):
            return False
        return all(queue.when_full != "wait" or queue.room >= count for queue, _ in queues)

    def _fits(self, count: int) -> bool:
        return self.window is None or self.open + count <= self.window

    def left(self, most: int) -> int:
        """Operations, at most `most`, that a submission would not wait for or be refused."""
        if self.window is not None:
            most = min(most, self.window - self.open)
        for queue, _ in self.queues:
            most = min(most, queue.room)
        return max(0, most)

    def wait(self, given_up: Callable[[], bool]) -> None:
        """Waits until there is room, or the stream is closed, or somebody has given up."""
        if self.left(1) < 1:
            self._await(Signal(lambda: self._stream.closed or given_up() or self.left(1) > 0), None)

    async def wait_in_loop(self, count: int, timeout_s: float | None) -> bool:
        """Whether there is room, after waiting for it without blocking the event loop.

        A queue that refuses is left to `run`.
        """
        waiting = [queue for queue, _ in self.queues if queue.when_full == "wait"]
        limit_s = min(
            [queue.wait_s for queue in waiting if queue.room < count]
            + ([] if timeout_s is None else [timeout_s]),
            default=None,
        )
        signal = Signal(
            lambda: (
                self._stream.closed or (self._fits(count) and all(queue.room >= count for queue in waiting))
            )
        )
        if signal.settled:
            return True
        self._wanted.append(signal)
        for client in self._stream.clients:
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
            for client in self._stream.clients:
                client.need_no_reader(signal)
        return True

    def wait_until_empty(self, timeout_s: float | None) -> bool:
        """Whether nothing is open, after waiting for it."""
        return self._await(Signal(lambda: self.open <= 0), timeout_s)

    def _await(self, signal: Signal, timeout_s: float | None) -> bool:
        if signal.settled:
            return True
        self._wanted.append(signal)
        try:
            return self._lookout.wait(signal, self._stream.clients, timeout_s)
        finally:
            self._wanted.remove(signal)

    def bind(self, queue: CompletionQueue, first: int) -> None:
        """A queue takes completions of the operations from number `first` on."""
        with self._lock:
            self.queues = (*self.queues, (queue, first))

    def unbind(self, queue: CompletionQueue) -> None:
        """A queue takes no more."""
        with self._lock:
            self.queues = tuple(bound for bound in self.queues if bound[0] is not queue)

    def taken(self) -> None:
        """An operation is open that was submitted before ends were followed."""
        with self._lock:
            self.open += 1

    def freed(self, count: int = 1) -> None:
        """Operations ended, or were not submitted after all."""
        with self._lock:
            self.open -= count

    def changed(self) -> None:
        """Wakes whoever waits for room."""
        if self._wanted:
            for signal in tuple(self._wanted):
                signal.tell()

    def ends_told(self) -> None:
        """Wakes whoever waits for ends or for room, and who reads the queues."""
        if self._wanted:
            self.changed()
            self.rouse()
        for queue, _ in self.queues:
            queue.rouse()

    def rouse(self) -> None:
        """Lets whoever waits for room look again."""
        self._lookout.rouse(self._stream.clients)

    def close(self) -> None:
        """The stream takes no more."""
        self.closed = True
        self.changed()
        for queue, _ in self.queues:
            queue.stream_closed()
        self.rouse()


def remaining_s(deadline: float | None) -> float | None:
    """Seconds until a time.monotonic(); None of no deadline."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
