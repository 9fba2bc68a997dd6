"""Deadlines of runs: of the first one in each slot, for only that runs."""

from __future__ import annotations

import math
from collections.abc import Callable

from qfw.config.settings import PlatformSettings
from qfw.hosts.served import Held, Slot
from qfw.model.errors import DeadlineExceeded, ErrorReport
from qfw.qpm.platform import Reactor


class Deadlines:
    """Ends what runs, stands still or ignores its cancellation for too long; nothing here waits."""

    def __init__(
        self,
        name: str,
        settings: PlatformSettings,
        reactor: Reactor,
        cancel: Callable[[Slot, Held], None],
        failed: Callable[[Slot, Held, ErrorReport], None],
        lose: Callable[[str], None],
    ) -> None:
        """Watches nothing yet.

        Args:
            name: the platform's.
            settings: its limits.
            reactor: the daemon's loop.
            cancel: tells the host that nobody wants a run any more.
            failed: is told of a run that is over its limits.
            lose: ends the host, for a reason.
        """
        self._name, self._settings, self._reactor = name, settings, reactor
        self._cancel, self._failed, self._lose = cancel, failed, lose

    def begin(self, slot: Slot) -> None:
        """The first run of a slot begins now."""
        slot.begin(self._reactor.now())
        self._watch(slot)
        if slot.runs[0].cancelled:
            self.end_soon(slot, slot.runs[0])

    def stand(self, slot: Slot, still: bool) -> None:
        """The device of a slot is in a state in which runs stand still, or go on."""
        slot.stand(still, self._reactor.now())
        if slot.runs:
            self._watch(slot)

    def end_soon(self, slot: Slot, held: Held) -> None:
        """A run that was cancelled as the first of its slot ends in `grace_s`, or its host does."""

        def end_if_still_there() -> None:
            if slot.runs and slot.runs[0] is held and not held.checked:
                if held.failure is not None:
                    self._failed(slot, held, held.failure)
                self._lose("a cancelled task went on")

        self._reactor.call_at(self._reactor.now() + self._settings.grace_s, end_if_still_there)

    def _left_s(self, slot: Slot, now_s: float) -> float:
        """Seconds until the first run of a slot is over the limit that counts at present."""
        if slot.still:
            return self._settings.pause_limit_s - slot.stood_s(now_s)
        return slot.runs[0].run.time_limit_s + self._settings.grace_s - slot.ran_s(now_s)

    def _watch(self, slot: Slot) -> None:
        """Sees to it that the first run's deadline is looked at; one timer serves many runs."""
        now_s = self._reactor.now()
        at_s = now_s + max(0.0, self._left_s(slot, now_s))
        if at_s < slot.watched_s:
            slot.watched_s = at_s
            self._reactor.call_at(at_s, lambda: self._look(slot, at_s))

    def _look(self, slot: Slot, watched_s: float) -> None:
        if slot.watched_s != watched_s:
            return
        slot.watched_s = math.inf
        # An answer that is being looked at came in time; the next run is watched when it is the first.
        if not slot.runs or slot.runs[0].checked or slot.runs[0].failure is not None:
            return
        head = slot.runs[0]
        if self._left_s(slot, self._reactor.now()) > 0:
            self._watch(slot)
        elif slot.still:
            self._stood_too_long(slot, head)
        else:
            self._ran_too_long(slot, head)

    def _ran_too_long(self, slot: Slot, head: Held) -> None:
        error = DeadlineExceeded(
            f"the task ran longer than its limit of {head.run.time_limit_s:g} s on {slot.device} and was ended. "
            "Give it more (time_limit_s, workers.time_limit_s) or make it smaller"
        )
        self._failed(slot, head, ErrorReport.of(error))
        self._lose("a task ran past its deadline")

    def _stood_too_long(self, slot: Slot, head: Held) -> None:
        """Its host is not to blame yet: it has to give the run up, no more."""
        error = DeadlineExceeded(
            f"the task was given to {slot.device}, which then stood still for {self._settings.pause_limit_s:g} s "
            f"(it calibrates, or is under maintenance). Send it again when it is back, or raise "
            f"platforms.{self._name}.pause_limit_s"
        )
        head.failure = ErrorReport.of(error)
        head.cancelled = True
        self._cancel(slot, head)
        self.end_soon(slot, head)
