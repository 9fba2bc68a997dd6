"""What was made lately, remembered within bounds of number and size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_Made = TypeVar("_Made")


class Remembered(Generic[_Made]):
    """The things that were asked for last, for all threads; the last one whatever its size."""

    def __init__(self, most: int, size: int) -> None:
        """Empty.

        Args:
            most: how many things.
            size: of all of them together, in the unit of `put`.
        """
        self._most = most
        self._size = size
        self._known: OrderedDict[Hashable, tuple[_Made, int]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many things are remembered."""
        return len(self._known)

    def get(self, key: Hashable) -> _Made | None:
        """The thing of a key; None where there is none, or no longer."""
        found = self._known.get(key)
        if found is None:
            return None
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, made: _Made, size: int) -> None:
        """Remembers a thing, and forgets those that nobody asked for longest where it is too much."""
        with self._lock:
            _, before = self._known.pop(key, (None, 0))
            self._known[key] = made, size
            self._held += size - before
            while len(self._known) > 1 and (len(self._known) > self._most or self._held > self._size):
                _, (_, gone) = self._known.popitem(last=False)
                self._held -= gone
