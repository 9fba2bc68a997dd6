"""Protocol of a launcher: how worker processes come to life."""

from __future__ import annotations

import socket
from typing import Protocol, runtime_checkable


@runtime_checkable
class Launched(Protocol):
    """A started worker."""

    @property
    def pid(self) -> int:
        """Its process id on the host where it runs."""
        ...

    @property
    def channel(self) -> socket.socket:
        """Connected stream socket to it, non-blocking.

        Where it is a Unix socket whose other end is the worker's own, the worker may be told `--descriptors`:
        large answers then come as sealed memory, otherwise in frames.
        """
        ...

    def kill(self) -> None:
        """Ends it at once. No error if it is gone."""
        ...

    def reap(self) -> str | None:
        """How it ended, in words; None while it runs. Never blocks."""
        ...


@runtime_checkable
class Launcher(Protocol):
    """Starts workers. A plugin of the entry point group `qfw.launchers`."""

    def launch(self, engine: str, name: str, threads: int, wide_threads: int, memory_bytes: int) -> Launched:
        """Starts a worker of an engine. Raises PlatformFailed where it cannot.

        Threads: see `qfw.qpm.engine.Engine`. `memory_bytes`: see `qfw.processes.limits`.
        """
        ...
