"""Which operations of a stream may begin: a pure state machine, without clock, socket or thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from qfw.model.errors import InternalError


class Stage(Enum):
    """Where an operation is before its end."""

    #: Behind one that must end first: another operation of an ordered stream, or a barrier.
    BEHIND = auto()
    #: Lacks the results of others.
    NEEDS = auto()
    READY = auto()
    BEGUN = auto()


class Ended(NamedTuple):
    """What follows from the end of an operation."""

    #: Whose ends may be reported now, in order: its own, and those that waited for it to be reported first.
    reported: tuple[int, ...] = ()
    #: What will not begin any more; the caller ends each as cancelled.
    dropped: tuple[int, ...] = ()


class _Step:
    __slots__ = ("alone", "lacks", "stage", "wanted_by")

    def __init__(self, alone: bool) -> None:
        self.alone = alone
        self.stage = Stage.BEHIND
        #: Numbers of those whose results it needs, and of those that need its own.
        self.lacks: set[int] = set()
        self.wanted_by: list[int] = []


class Sequence:
    """Operations by number, from their submission to their end.

    In an ordered sequence each operation begins when the one before has ended, whatever its end, and ends are
    reported in the order of the numbers. In a parallel one all begin at once, but for those that need the
    result of another one and those behind a barrier; ends are reported as they come.
    """

    def __init__(self, *, ordered: bool, stops: bool = False, first: int = 0) -> None:
        """`stops`: a failure drops everything that has not begun. Numbers are counted from `first`."""
        self._ordered = ordered
        self._stops = stops
        self._next = first
        self._adopted = 0
        self._steps: dict[int, _Step] = {}
        #: Admitted and not ended.
        self._front: set[int] = set()
        #: Not admitted, in order; the ended ones among them are skipped.
        self._line: deque[int] = deque()
        self._ready: deque[int] = deque()
        #: Of an ordered one: not reported, in order.
        self._unreported: deque[int] = deque()
        self._begun = 0

    def __len__(self) -> int:
        """Operations that have not ended."""
        return len(self._steps)

    @property
    def waiting(self) -> int:
        """Operations that have not begun."""
        return len(self._steps) - self._begun

    def stage(self, number: int) -> Stage | None:
        """Where an operation is; None of one that has ended."""
        step = self._steps.get(number)
        return step.stage if step is not None else None

    def add(self, needs: Iterable[int] = (), *, barrier: bool = False) -> int:
        """A new operation, behind all others; its number. It begins after those that it needs have ended."""
        number = self._next
        self._next += 1
        step = self._steps[number] = _Step(barrier or self._ordered)
        for need in needs:
            other = self._steps.get(need)
            if other is not None and need not in step.lacks:
                step.lacks.add(need)
                other.wanted_by.append(number)
        if self._ordered:
            self._unreported.append(number)
        self._line.append(number)
        self._advance()
        return number

    @property
    def next_number(self) -> int:
        """Number of the operation that is added next."""
        return self._next

    def adopt(self) -> int:
        """Something that has begun before it was known here, of a parallel sequence; its number, below 0."""
        self._adopted -= 1
        number = self._adopted
        step = self._steps[number] = _Step(alone=False)
        step.stage = Stage.BEGUN
        self._begun += 1
        self._front.add(number)
        return number

    def begin(self) -> int | None:
        """The next operation to begin, which has begun then; None where none may."""
        while self._ready:
            number = self._ready.popleft()
            step = self._steps.get(number)
            if step is not None and step.stage is Stage.READY:
                step.stage = Stage.BEGUN
                self._begun += 1
                return number
        return None

    def end(self, number: int, *, failed: bool = False) -> Ended:
        """An operation ended, begun or not.

        Raises:
            InternalError: it has ended before.
        """
        step = self._steps.pop(number, None)
        if step is None:
            raise InternalError(f"operation {number} ended twice")
        self._begun -= step.stage is Stage.BEGUN
        self._front.discard(number)
        for other in step.wanted_by:
            waiting = self._steps.get(other)
            if waiting is not None:
                waiting.lacks.discard(number)
                if waiting.stage is Stage.NEEDS and not waiting.lacks:
                    self._set_ready(other, waiting)
        dropped: tuple[int, ...] = ()
        if failed and self._stops:
            dropped = tuple(n for n, s in self._steps.items() if s.stage is not Stage.BEGUN)
        self._advance()
        return Ended(self._report(number), dropped)

    def _report(self, number: int) -> tuple[int, ...]:
        if not self._ordered:
            return (number,)
        found = []
        while self._unreported and self._unreported[0] not in self._steps:
            found.append(self._unreported.popleft())
        return tuple(found)

    def _advance(self) -> None:
        """Admits from the line as far as it goes."""
        while self._line:
            number = self._line[0]
            step = self._steps.get(number)
            if step is not None:
                if self._front and (step.alone or self._held()):
                    return
                self._front.add(number)
                if step.lacks:
                    step.stage = Stage.NEEDS
                else:
                    self._set_ready(number, step)
            self._line.popleft()

    def _held(self) -> bool:
        """Whether what is admitted lets nothing in beside it."""
        return len(self._front) == 1 and self._steps[next(iter(self._front))].alone

    def _set_ready(self, number: int, step: _Step) -> None:
        step.stage = Stage.READY
        self._ready.append(number)
