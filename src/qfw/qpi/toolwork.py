"""Tool work as a session asks for it: what a daemon's tools do for it besides lowering its tasks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from qfw.model.errors import DaemonLost, UsageError
from qfw.model.pipeline import Stage
from qfw.qpm.wire import EndTools, RunTools, ToolWork

if TYPE_CHECKING:
    from qfw.qpi.client import Client


def runs(client: Client, stages: Iterable[Stage]) -> bool:
    """Whether a daemon runs all of these stages itself."""
    return {stage.tool for stage in stages} <= set(client.welcome.tools)


class ToolWorkQuestion:
    """A piece of work that a daemon was asked for. It ends in any case: tools have a time limit there."""

    def __init__(self, client: Client, device: str, work: ToolWork) -> None:
        """Asks the daemon; `device`: as that calls it."""
        self._client = client
        self._number, self._question = client.pose(lambda number: RunTools(number, device, work))

    def result(self) -> bytes:
        """What `RunTools` is answered.

        Raises:
            TaskCancelled: it was ended.
            QFwError: why there is nothing, or DaemonLost.
        """
        try:
            self._client.wait(self._question, None)
        finally:
            self._client.drop(self._number)
        return self._question.answer()

    def end(self) -> None:
        """Nobody wants it any more; does not wait."""
        if not self._question.settled:
            # Where the daemon or the session is gone, it has ended.
            with contextlib.suppress(DaemonLost, UsageError):
                self._client.post(EndTools(self._number))
