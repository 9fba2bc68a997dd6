"""The scheduler's interface: events in, decisions out.

The same code runs in the daemon, in tests and in simulations, so a Scheduler gets
every event and the time from its caller and acts on nothing itself.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from qfw.model.events import Event


class Start(NamedTuple):
    """Decision: give this task to this slot now."""

    task: int
    device: str
    slot: str


#: All decisions there are; reservations and windows will add theirs.
Decision = Start


class Scheduler(Protocol):
    """A policy."""

    def observe(self, event: Event) -> None:
        """Takes note of something that happened. Every event comes once, in the journal's order."""
        ...

    def limit(self, prefetch_s: float, prefetch_tasks: int) -> None:
        """What a slot of a lone session holds ahead, from now on: seconds of work, and tasks."""
        ...

    def decide(self, now_ns: int) -> list[Decision]:
        """What shall be done now. The caller does all of it; each Start comes back as TaskStarted."""
        ...

    def hold(self, session: int, held: bool) -> None:
        """Starts none of a session's waiting tasks while held (it does not read its results)."""
        ...

    def waiting(self, device: str) -> int:
        """Tasks that wait for a device."""
        ...

    def work_s(self, device: str) -> float:
        """Estimated seconds of the tasks that wait for a device or run on it, one after the other."""
        ...
