"""How long tasks wait on the devices of a mesh, asked in the background while it is used."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING

from qfw.model.errors import QFwError, UsageError

if TYPE_CHECKING:
    from qfw.qpi.spread import Spread

#: Seconds between two rounds of questions.
EVERY_S = 1.0
#: Rounds in which nobody placed anything, and nothing was under way, after which the thread ends.
IDLE_ROUNDS = 3


class Waits:
    """Asks the daemons of a mesh once per second, in a thread that is there only while tasks are placed."""

    def __init__(self, mesh: weakref.ref[Spread]) -> None:
        """For one mesh, which may go away."""
        self._mesh = mesh
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        #: When something was placed last, monotonic seconds.
        self._wanted_s = 0.0

    def wanted(self) -> None:
        """Somebody places tasks: starts the thread where there is none. Does not wait."""
        self._wanted_s = time.monotonic()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="qfw-waits", daemon=True)
                    self._thread.start()

    def _work(self) -> None:
        pause = threading.Event()
        while self._ask():
            pause.wait(EVERY_S)

    def _ask(self) -> bool:
        """One round; False where there shall be no other."""
        mesh = self._mesh()
        if mesh is None:
            return False
        try:
            for device, status in zip(
                devices := mesh.devices, mesh.session.statuses(devices).values(), strict=True
            ):
                if not isinstance(status, QFwError):
                    mesh._seen(device, status)
        except UsageError:
            # The session is closed.
            return self._end()
        idle_s = time.monotonic() - self._wanted_s
        if idle_s > IDLE_ROUNDS * EVERY_S and not mesh._busy():
            return self._end()
        return True

    def _end(self) -> bool:
        with self._lock:
            self._thread = None
        return False
