"""Timeline: when a task passed which process, and the stages that follow from it."""

from __future__ import annotations

import msgspec


class Timeline(msgspec.Struct, frozen=True, array_like=True):
    """When a task passed which process. Nanoseconds of one host's monotonic clock; 0 where unknown."""

    #: Process ids.
    client_pid: int = 0
    daemon_pid: int = 0
    worker_pid: int = 0
    #: The application handed the task over (before the adapter's lowering).
    began_ns: int = 0
    #: The client sent it.
    sent_ns: int = 0
    #: qpmd read it.
    accepted_ns: int = 0
    #: qpmd gave it to a worker.
    started_ns: int = 0
    #: The worker's engine began, and ended.
    run_began_ns: int = 0
    run_ended_ns: int = 0
    #: Of the time between these two: preparing the program, 0 where it was already prepared.
    compile_ns: int = 0
    #: qpmd had the answer.
    answered_ns: int = 0
    #: The client had the answer.
    received_ns: int = 0

    def stages_us(self) -> dict[str, float]:
        """Microseconds by stage: client, wire, compile, queue, run, return.

        They add up to the time from `began_ns` to `received_ns`, but for the hop from qpmd to the
        worker, which counts as wire.
        """
        wire = (self.accepted_ns - self.sent_ns) + (self.run_began_ns - self.started_ns)
        return {
            "client": (self.sent_ns - self.began_ns) / 1e3,
            "wire": wire / 1e3,
            "queue": (self.started_ns - self.accepted_ns) / 1e3,
            "compile": self.compile_ns / 1e3,
            "run": (self.run_ended_ns - self.run_began_ns - self.compile_ns) / 1e3,
            "return": max(0, (self.received_ns or self.answered_ns) - self.run_ended_ns) / 1e3,
        }
