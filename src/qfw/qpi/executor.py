"""StreamExecutor: a stream for code that expects a concurrent.futures.Executor."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qfw.model.errors import OptionError, UsageError
from qfw.model.program import Program
from qfw.qpi.drafting import Request
from qfw.qpi.work import Follow

if TYPE_CHECKING:
    from qfw.qpi.stream import QStream

_DEFAULTS = frozenset({"shots", "outputs", "seed", "options"})


class StreamExecutor(concurrent.futures.Executor):
    """Runs programs, requests, and functions that make them, over one stream.

    A context manager: at its end it waits for what was submitted, as executors do.
    """

    def __init__(self, stream: QStream, **defaults: Any) -> None:
        """Made by `QStream.executor`. `defaults`: shots, outputs, seed, options of programs."""
        if unknown := sorted(set(defaults) - _DEFAULTS):
            raise OptionError(f"an executor takes {', '.join(sorted(_DEFAULTS))}, not {', '.join(unknown)}")
        self._stream = stream
        self._defaults = defaults
        self._shut = False

    def __repr__(self) -> str:
        return f"StreamExecutor({self._stream!r}{'; shut down' if self._shut else ''})"

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Runs a Program (arguments as of `QStream.run`), a Request, or `fn(*args, **kwargs)`.

        A function runs on a thread of the stream; a Program, a Request or a list of Requests that it returns is run,
        and its Result is the future's; any other value is the future's result itself.

        Raises:
            UsageError: it was shut down.
            OptionError: `fn` is none of these.
        """
        if self._shut:
            raise UsageError("the executor was shut down; make a new one")
        if isinstance(fn, Program):
            return self._stream.run(fn, *args, **{**self._defaults, **kwargs})
        if isinstance(fn, Request):
            return self._stream.run_many((fn,))[0]
        if not callable(fn):
            raise OptionError(f"an executor runs a Program, a Request or a function, not {fn!r}")
        return self._stream.place_call(Follow(self._asking(fn), args, kwargs, None))

    def _asking(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any, **kwargs: Any) -> Any:
            value = fn(*args, **kwargs)
            return Request(value, **self._defaults) if isinstance(value, Program) else value

        return ask

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more; waits for what the stream has open, or cancels it first. The stream itself stays open."""
        self._shut = True
        if cancel_futures:
            self._stream.cancel_all()
        if wait:
            self._stream.drain()
