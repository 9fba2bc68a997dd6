"""What comes with a descriptor from a worker or a host: one answered run, whose answers lie in sealed memory."""

from __future__ import annotations

from collections.abc import Sequence

from qfw.model.errors import ErrorReport, NoCapacity, WireError
from qfw.qpm.platform import RunDone, RunFailed
from qfw.qpm.shared import Memory


def in_memory(
    outcomes: Sequence[RunDone | RunFailed], memory: Memory | None
) -> tuple[RunDone | RunFailed, Memory | None]:
    """The outcome that came with `memory`, and that, checked; a failure where the descriptor was lost.

    Raises:
        WireError: more than one outcome, one with answers in the frame, or memory that is not sealed.
    """
    match outcomes:
        case [RunDone(answers=b"") as outcome]:
            if memory is not None:
                memory.check()
                return outcome, memory
            error = NoCapacity(
                "the daemon had no file descriptor left for a large answer. Try again later, with fewer sessions "
                "or results that nobody reads, or raise its limit (ulimit -n)"
            )
            return RunFailed(outcome.task, outcome.epoch, ErrorReport.of(error)), None
        case _:
            raise WireError(f"a descriptor came with {len(outcomes)} outcomes that do not name it")
