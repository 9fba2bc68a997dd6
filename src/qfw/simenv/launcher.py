"""Local launcher: workers are child processes on this host."""

from __future__ import annotations

import os

from qfw.config.discover import worker_environment
from qfw.processes import child


class LocalLauncher:
    """Forks workers on this host."""

    def launch(
        self, engine: str, name: str, threads: int, wide_threads: int, memory_bytes: int
    ) -> child.Child:
        """See Launcher."""

        def arguments(channel: int) -> list[str]:
            return [
                "-m",
                "qfw.simenv.worker",
                f"--engine={engine}",
                f"--channel={channel}",
                f"--threads={threads}",
                f"--wide-threads={wide_threads}",
                f"--memory-bytes={memory_bytes}",
                f"--parent={os.getpid()}",
                # A socket pair: what the worker sends arrives here itself.
                "--descriptors",
            ]

        return child.start(f"worker {name}", arguments, worker_environment(threads))
