"""Idempotency keys that a stream has seen: a request with one of them is not submitted again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from qfw.model.task import TaskOptions
from qfw.qpi.drafting import Request
from qfw.qpi.future import TaskFuture

#: Idempotency keys that a stream remembers; beyond, the one used longest ago is forgotten.
KEYS = 65536


class Keys:
    """The futures of one stream by their keys; safe for several threads."""

    def __init__(self) -> None:
        """None was seen."""
        self._known: OrderedDict[str, TaskFuture] = OrderedDict()
        #: Held from a look at the keys to the submission.
        self._lock = threading.Lock()

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def run(
        self, requests: Sequence[Request], submit: Callable[[Sequence[Request]], list[TaskFuture]]
    ) -> list[TaskFuture]:
        """Futures of all requests, in their order, of which `submit` is given those that are new."""
        with self._lock:
            return self._run(requests, submit)

    def _run(
        self, requests: Sequence[Request], submit: Callable[[Sequence[Request]], list[TaskFuture]]
    ) -> list[TaskFuture]:
        # Of each key the first request, of those without a key every one.
        fresh: dict[str | int, Request] = {}
        known: dict[str | int, TaskFuture] = {}
        places: list[str | int] = []
        for place, request in enumerate(requests):
            key = stream_key(request.options) or place
            places.append(key)
            seen = self._known.get(key) if isinstance(key, str) else None
            if seen is None:
                fresh.setdefault(key, request)
            else:
                self._known.move_to_end(str(key))
                known[key] = seen
        if fresh:
            futures = submit(list(fresh.values()))
            known.update(zip(fresh, futures, strict=True))
        for key in fresh:
            if isinstance(key, str):
                self._known[key] = known[key]
                if len(self._known) > KEYS:
                    self._known.popitem(last=False)
        return [known[key] for key in places]


def stream_key(options: TaskOptions) -> str:
    """The key that counts within a stream: of a detached task the daemon looks itself, for all sessions."""
    # What is no TaskOptions is refused where the task is drafted.
    return "" if getattr(options, "detached", True) else options.idempotency_key
