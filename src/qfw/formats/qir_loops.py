"""Loops on measured bits, read as While.

A loop with one way out is followed once as it is entered and once as any later trip: `A`
up to the block that decides, `B` from there back. Where both times `A` and the condition
are the same, and nothing but a counter is carried from trip to trip, the loop is
`A; While(condition) { B; A }`. Every other loop is left to be unrolled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfw.formats.qir_arithmetic import Counter, compared
from qfw.formats.qir_flow import END, Loop
from qfw.formats.qir_layers import Layer
from qfw.formats.qir_module import MAX_OPERATIONS, TARGET
from qfw.formats.qir_text import unquoted
from qfw.formats.qir_values import Bit, Choice, bits, conjunction, same
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.program import Operation, While

if TYPE_CHECKING:
    from qfw.formats.qir_reader import Arrival, Frame, Reader

#: Trips of a loop that only measured bits end: QIR gives it no bound, and a task has its time limit besides.
MAX_TRIPS = 1_000_000
#: Attempts for one entering of a loop: a constant before the first trip may hide its form once.
_ATTEMPTS = 2


@dataclass
class _Trip:
    """One trip as it was followed."""

    first: list[Operation]
    back: list[Operation]
    condition: object
    #: Values and versions where the condition is decided.
    values: Layer[str, object]
    versions: Layer[int, int]
    #: The phis of the header for the next trip, and the versions there.
    carried: dict[str, object]
    end_versions: Mapping[int, int]


class Loops:
    """The loops that a reader meets."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._active: set[tuple[int, str]] = set()
        self._tests: dict[int, tuple[int, str, int, int]] = {}
        self._counters = 0
        self._reasons: list[str] = []

    def why(self, label: str) -> str:
        """Why the last loop was not read as While: the end of a message."""
        return f" (block {label}); a loop was unrolled because {self._reasons[-1]}" if self._reasons else ""

    def trip(self, counter: Counter, predicate: str, bound: int) -> object:
        """The condition that a counter compares so, as one bit."""
        test = (counter.offset, predicate, bound, counter.width)
        if self._tests.setdefault(counter.number, test) != test:
            raise UnsupportedFeature("the counter of a loop is compared in two ways")
        return self._reader.diagrams.bit(Bit(-1 - counter.number, 0))

    def attempt(self, frame: Frame, loop: Loop, previous: str) -> Arrival | None:
        """Reads a loop whose header is come to; None where it is to be unrolled."""
        if previous in frame.function.blocks and previous not in loop.blocks:
            frame.attempts[loop.header] = 0
        tried = frame.attempts.get(loop.header, 0)
        if len(loop.exits) != 1 or tried >= _ATTEMPTS:
            return None
        frame.attempts[loop.header] = tried + 1
        reader = self._reader
        operations, versions, values = reader.operations, reader.versions, frame.values
        closed, closed_ends, nesting = set(frame.closed), set(frame.closed_ends), reader.nesting
        reader.nesting += 1
        try:
            arrival = self._read(frame, loop, previous)
        except UnsupportedFeature as error:
            self._reasons = [str(error)]
            arrival = None
        finally:
            reader.nesting = nesting
            frame.closed.clear()
            frame.closed.update(closed)
            frame.closed_ends.clear()
            frame.closed_ends.update(closed_ends)
        if arrival is None:
            reader.operations, reader.versions, frame.values = operations, versions, values
        return arrival

    def _read(self, frame: Frame, loop: Loop, previous: str) -> Arrival | None:
        from qfw.formats.qir_reader import MAX_UNROLLED, MERGED, Arrival

        reader = self._reader
        deciding, leaving = loop.exits[0]
        phis = [i.result for i in frame.function.blocks[loop.header] if i.opcode == "phi" and i.result]
        given = frame.values if previous == MERGED else reader.incoming(frame, loop.header, previous)
        start = {name: given[name] for name in phis}
        assumed = {name: self._counter(frame, loop, name, value) for name, value in start.items()}
        before, versions = reader.operations, reader.versions.flat()
        entered = self._follow(frame, loop, dict(assumed), versions)
        tops: dict[Bit, Bit] = {}
        later_versions = dict(versions)
        for result, version in entered.end_versions.items():
            if version != versions.get(result, 0):
                later_versions[result] = reader.new_version()
                tops[Bit(result, versions.get(result, 0))] = Bit(result, later_versions[result])
        assumed = {name: reader.diagrams.renamed(value, tops) for name, value in assumed.items()}
        later = self._follow(frame, loop, dict(assumed), later_versions)
        if entered.first != later.first:
            raise UnsupportedFeature("its first trip differs from later ones")
        if not same(*(self._canonical(trip) for trip in (entered, later))):
            raise UnsupportedFeature("its condition changes from trip to trip")
        steps = self._steps(assumed, later, later_versions)
        condition, count = self._counted(later.condition, start, assumed, steps)
        if not isinstance(condition, Choice):
            size = sum(len(frame.function.blocks[label]) for label in loop.blocks)
            if count is None or count > MAX_UNROLLED or count * size > 2 * MAX_OPERATIONS:
                raise TooLarge(
                    f"the loop at block {loop.header} makes {'endless' if count is None else count} trips; at most "
                    f"{MAX_UNROLLED} of {2 * MAX_OPERATIONS} instructions in all are unrolled"
                )
            return None
        pairs = conjunction(condition)
        if pairs is None:
            raise UnsupportedFeature("it goes on for more than one value of its measured bits")
        reader.versions = later.versions
        reader.current(condition, frame.function.blocks[deciding][-1].line)
        reader.operations = [*before, *entered.first]
        if count != 0:
            value = sum(high << position for position, (_, high) in enumerate(pairs))
            body = (*later.back, *later.first)
            reader.emit(While(tuple(bit.clbit for bit, _ in pairs), value, body, count or MAX_TRIPS))
        frame.values = later.values
        return Arrival(leaving, deciding)

    def _counter(self, frame: Frame, loop: Loop, name: str, value: object) -> object:
        kind = next(i.rest.split()[0] for i in frame.function.blocks[loop.header] if i.result == name)
        if type(value) is not int or kind == "i1" or not kind[1:].isdecimal():
            return value
        self._counters += 1
        return Counter(self._counters, 0, int(kind[1:]))

    def _follow(self, frame: Frame, loop: Loop, phis: dict[str, object], versions: dict[int, int]) -> _Trip:
        from qfw.formats.qir_reader import MERGED

        reader = self._reader
        deciding, leaving = loop.exits[0]
        frame.closed.discard(loop.header)
        frame.closed_ends.discard(deciding)
        side = frame.beside(frame.values)
        side.values.own.update(phis)
        reader.operations, reader.versions = [], Layer(versions)
        if deciding == loop.header:
            reader.body(side, loop.header)
        else:
            arrival = reader.through(side, loop.header)
            frame.closed.add(loop.header)
            frame.closed_ends.add(deciding)
            arrival = reader.follow(side, arrival.label, arrival.previous, deciding)
            if arrival.label == END:
                raise UnsupportedFeature("it ends the function from within")
            reader.join(side, deciding, arrival.previous)
            reader.body(side, deciding)
        last = side.function.blocks[deciding][-1]
        if last.opcode != "br":
            raise UnsupportedFeature("it is left by a switch")
        condition = reader.condition(side, last)
        targets = [unquoted(target) for target in TARGET.findall(last.rest)]
        if targets[0] == leaving:
            condition = reader.diagrams.apply(lambda c: 1 - c, condition)
        inside = targets[targets[0] == leaving]
        first = reader.operations
        values, at_end = Layer(side.values.flat()), Layer(reader.versions.flat())
        reader.operations = []
        frame.closed_ends.add(deciding)
        frame.closed.discard(loop.header)
        arrival = reader.follow(side, inside, deciding, loop.header)
        if arrival.label == END:
            raise UnsupportedFeature("it ends the function from within")
        names = list(phis)
        if arrival.previous == MERGED:
            carried = {name: side.values[name] for name in names}
        else:
            carried = reader.incoming(side, loop.header, arrival.previous)
        back, end_versions = reader.operations, reader.versions
        return _Trip(first, back, condition, values, at_end, carried, end_versions)

    def _canonical(self, trip: _Trip) -> object:
        """The condition, its bits named as those that are current where it is decided."""
        current = {Bit(result, version): Bit(result, -1) for result, version in trip.versions.items()}
        return self._reader.diagrams.renamed(trip.condition, current)

    def _steps(self, assumed: dict[str, object], trip: _Trip, versions: dict[int, int]) -> dict[int, int]:
        """Counter -> what a trip adds to it."""
        back = {
            Bit(result, version): Bit(result, versions.get(result, 0))
            for result, version in trip.end_versions.items()
        }
        steps: dict[int, int] = {}
        for name, value in assumed.items():
            carried = trip.carried[name]
            if isinstance(value, Counter):
                if not (isinstance(carried, Counter) and carried.number == value.number):
                    raise UnsupportedFeature(f"%{name} is carried from trip to trip and is no counter")
                steps[value.number] = carried.offset
            elif not same(self._reader.diagrams.renamed(carried, back), value):
                raise UnsupportedFeature(f"%{name} changes from trip to trip")
        return steps

    def _counted(
        self, condition: object, start: dict[str, object], assumed: dict[str, object], steps: dict[int, int]
    ) -> tuple[object, int | None]:
        """The condition without its counter, and the trips that the counter allows; None without bound."""
        counters = [bit for bit in bits(condition) if bit.clbit < 0]
        if not counters:
            if not isinstance(condition, Choice):
                # A constant here is one of this trip: unrolling sees the others.
                return condition, 0
            return condition, None
        (bit, *others) = counters
        if others or not isinstance(condition, Choice) or condition.bit != bit or not same(condition.low, 0):
            raise UnsupportedFeature(
                "counter and measured bits decide its end together otherwise than by and"
            )
        number = -1 - bit.clbit
        for name, value in assumed.items():
            initial = start[name]
            if isinstance(value, Counter) and value.number == number and type(initial) is int:
                trips = _trips(initial, steps[number], self._tests[number])
                return condition.high, trips
        raise UnsupportedFeature("the counter of a loop around it decides its end")


def _trips(initial: int, step: int, test: tuple[int, str, int, int]) -> int | None:
    """How often in a row a counter passes its test; None beyond what is counted."""
    offset, predicate, bound, width = test
    passes = 0
    while compared(predicate, (initial + offset + passes * step) % (1 << width), bound, width, 0):
        passes += 1
        if passes > _COUNTED:
            return _far(initial + offset, step, predicate, bound, width)
    return passes


def _far(first: int, step: int, predicate: str, bound: int, width: int) -> int | None:
    """Trips of a counter that goes up to its bound without passing the end of its numbers."""
    if step < 1 or predicate not in ("ult", "ule", "slt", "sle", "ne"):
        return None
    half = 1 << (width - 1)
    if predicate[0] == "s":
        first, bound = (first + half) % (1 << width) - half, (bound + half) % (1 << width) - half
    distance = bound - first
    if predicate == "ne":
        return distance // step if distance > 0 and distance % step == 0 else None
    return distance // step + 1 if predicate.endswith("e") else -(-distance // step)


#: Trips that are counted one by one; farther ones are computed.
_COUNTED = 2_000
