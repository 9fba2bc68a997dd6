"""A group as an operation of a stream: begins in its turn, is told of once, and can be ended."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from qfw.model.errors import TaskCancelled
from qfw.qpi.group import GroupFuture, GroupResult, Progress


@runtime_checkable
class Stoppable(Protocol):
    """What an operation does that can be ended, and says how far it is."""

    def progress(self) -> Progress:
        """How far it is."""
        ...

    def give_up(self) -> None:
        """Asks for its end; does not wait."""
        ...


class GroupWork:
    """What an operation does that runs a group: begins it, and waits for the merged result."""

    def __init__(self, begin: Callable[[], GroupFuture]) -> None:
        """`begin` submits the group."""
        self._begin = begin
        self._lock = threading.Lock()
        self._future: GroupFuture | None = None
        self._given_up = False

    def __call__(self) -> GroupResult:
        """The merged result. Raises what the group failed with, TaskCancelled where it was ended."""
        with self._lock:
            if self._given_up:
                raise TaskCancelled("cancelled before it began")
            self._future = self._begin()
        try:
            return self._future.result()
        except concurrent.futures.CancelledError as error:
            raise TaskCancelled("the group was cancelled") from error

    def progress(self) -> Progress:
        """How far it is; of none before it began."""
        future = self._future
        return future.progress if future is not None else Progress(0, 0)

    def give_up(self) -> None:
        """Asks for the end of its parts. Does not wait for the daemons' word."""
        with self._lock:
            self._given_up = True
            future = self._future
        if future is not None:
            future.cancel()
