"""Opening: a session that is opened without blocking an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qfw.qpi.session import Session


class Opening:
    """A session on its way: `await` gives it, `async with` closes it too."""

    def __init__(self, make: Callable[[], Session]) -> None:
        """Made by `Session.open`; nothing happens until it is awaited."""
        self._make = make
        self._session: Session | None = None

    def __await__(self) -> Generator[Any, None, Session]:
        return self._open().__await__()

    async def _open(self) -> Session:
        pool = concurrent.futures.ThreadPoolExecutor(1, "qfw-open")
        made = pool.submit(self._make)
        pool.shutdown(wait=False)
        try:
            return await asyncio.wrap_future(made)
        except asyncio.CancelledError:
            # Nobody will have it. On its own thread: the loop may be gone by then.
            made.add_done_callback(_close_unwanted)
            raise

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.__aexit__(kind, error, trace)


def _close_unwanted(made: concurrent.futures.Future[Session]) -> None:
    if not made.cancelled() and made.exception() is None:
        made.result().close()
