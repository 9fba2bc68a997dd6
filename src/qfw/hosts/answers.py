"""Answers of a host: which run they are for, and whether they can be true. A few steps in each turn of the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import msgspec

from qfw.hosts.claims import MAX_TEXT
from qfw.hosts.protocol import Ended
from qfw.hosts.served import Held, Served, Slot
from qfw.model.answer_check import checking
from qfw.model.errors import ErrorReport, PlatformFailed, QFwError, WireError, WrongAnswer
from qfw.qpm.frames import Parcel
from qfw.qpm.large import in_memory
from qfw.qpm.platform import Reactor, Run, RunDone, RunFailed
from qfw.qpm.shared import Memory

#: Answers that fit no run, until the host is ended.
MAX_LATE = 16
#: Steps of an answer's check in one turn of the loop, and the time between the turns.
CHECK_STEPS, CHECK_S = 2, 0.001
MAX_NOTES = 16


class Answers:
    """Those of one host after another."""

    def __init__(
        self,
        reactor: Reactor,
        answered: Callable[[Slot, Held, RunDone | RunFailed, Memory | None], None],
    ) -> None:
        """`answered` is told of each run's end, once, with what may be believed."""
        self._reactor, self._answered = reactor, answered
        #: Answers of the present host that fitted no run.
        self.late = 0

    def ended(self, served: Served, message: Ended, body: bytes) -> None:
        """The host says that runs ended. Raises WireError: too much of it fits no run."""
        slot = served.slots.get(message.slot)
        outcomes: list[tuple[RunDone | RunFailed, Memory | None]]
        if isinstance(body, Parcel):
            outcomes = [in_memory(message.outcomes, body.memory)]
        else:
            outcomes = [(outcome, None) for outcome in message.outcomes]
        for outcome, memory in outcomes:
            held = slot.find(outcome.task, outcome.epoch) if slot is not None else None
            if slot is None or held is None or held.checked:
                self.late += 1
                if self.late > MAX_LATE:
                    raise WireError(f"{self.late} answers came that fit no run")
            elif isinstance(outcome, RunFailed):
                error = held.failure or trimmed(outcome.error)
                self._answered(slot, held, RunFailed(outcome.task, outcome.epoch, error), None)
            else:
                held.checked = True
                self._check(served, slot, held, outcome, memory)

    def _check(self, served: Served, slot: Slot, held: Held, done: RunDone, memory: Memory | None) -> None:
        run = held.run
        try:
            _check_conditions(served, run, done)
            encoded = done.answers if memory is None else memory.view()
        except (WrongAnswer, OSError) as error:
            found = error if isinstance(error, QFwError) else PlatformFailed(f"a large answer: {error}")
            self._answered(slot, held, RunFailed(run.task, run.epoch, ErrorReport.of(found)), None)
            return
        steps = checking(encoded, held.outputs, held.register, run.sets, run.shots)
        self._step(slot, held, self._timed(slot, done), memory, steps)

    def _step(
        self, slot: Slot, held: Held, done: RunDone, memory: Memory | None, steps: Iterator[None]
    ) -> None:
        if held not in slot.runs:
            return
        try:
            for _ in range(CHECK_STEPS):
                next(steps)
        except StopIteration:
            self._answered(slot, held, done, memory)
        except WrongAnswer as error:
            self._answered(slot, held, RunFailed(done.task, done.epoch, ErrorReport.of(error)), None)
        else:
            again: Callable[[], None] = lambda: self._step(slot, held, done, memory, steps)  # noqa: E731
            self._reactor.call_at(self._reactor.now() + CHECK_S, again)

    def _timed(self, slot: Slot, done: RunDone) -> RunDone:
        """With times that can be: between the start and now."""
        now_ns = int(self._reactor.now() * 1e9)
        began = min(max(done.run_began_ns, int(slot.head_s * 1e9)), now_ns)
        ended = min(max(done.run_ended_ns, began), now_ns)
        compiled = min(max(done.compile_ns, 0), ended - began)
        return msgspec.structs.replace(done, run_began_ns=began, run_ended_ns=ended, compile_ns=compiled)


def _check_conditions(served: Served, run: Run, done: RunDone) -> None:
    conditions, name = done.conditions, served.profile.name
    if conditions is None:
        if served.versions:
            raise WrongAnswer(f"device {name} did not say under which calibration task {run.task} ran")
        return
    if conditions.calibration not in served.versions and (conditions.calibration or served.versions):
        raise WrongAnswer(f"device {name} has no calibration {conditions.calibration[:64]!r}")
    if run.calibration and conditions.calibration != run.calibration:
        raise WrongAnswer(
            f"task {run.task} was lowered for calibration {run.calibration!r} of {name} and ran under "
            f"{conditions.calibration!r}"
        )
    if (
        conditions.device_ns < 0
        or len(conditions.notes) > MAX_NOTES
        or any(len(note) > MAX_TEXT for note in conditions.notes)
    ):
        raise WrongAnswer(f"device {name} answered conditions that cannot be")


def trimmed(error: ErrorReport) -> ErrorReport:
    """An error as a host may have made it up, at a bearable length."""
    again_s = error.retry_after_s
    if again_s is not None and not 0 <= again_s < math.inf:
        again_s = None
    return ErrorReport(error.code[:64], error.message[:MAX_TEXT], again_s)
