"""Loops in OpenQASM: the trips of those that are known are unrolled, those that bits decide become While."""

from __future__ import annotations

from collections.abc import Sequence

from qfw.formats import covers, formulas
from qfw.formats.formulas import Choice, Formula
from qfw.formats.openqasm_blocks import Loop
from qfw.formats.openqasm_choices import Choices
from qfw.formats.openqasm_writer import TRIPS_ANNOTATION
from qfw.formats.operators import converted
from qfw.model.errors import ParseError, TooLarge, UnsupportedFeature

#: How often a while that depends on bits runs at most: OpenQASM's have no bound, and a task has its time limit.
MAX_TRIPS = 1_000_000
#: How often a while that depends on known values runs at most, or reading it might never end.
MAX_KNOWN_TRIPS = 10_000
#: How many times the limit nested loops may seem to be that depend on variables: three in a triangle are a sixth.
_SLACK = 16


class Loops(Choices):
    """Reads loops, and what leaves them."""

    def _for(self) -> str | None:
        at = self._at
        tokens = self._tokens
        self._at += 1
        kind = tokens[self._at]
        if kind not in ("int", "uint", "float", "angle", "bool"):
            raise self._error(
                UnsupportedFeature,
                self._at,
                f"a loop over {self._source.shown(self._at)}; int, uint, float, angle, bool",
            )
        width = self._type_size() or 0
        name_at = self._at
        self._at += 1
        self._expect("in")
        span_at = self._at
        values = self._span(kind, width)
        end = self._behind(self._at)
        body = self._at
        fixed = not any(token in self._variables for token in tokens[span_at:body])
        trips = len(values) * self._factor
        # Inner loops whose ranges change may have fewer trips later on: those are counted as they are read.
        if trips > self._limits.max_operations * (1 if fixed else _SLACK):
            raise self._expander.too_many(at)
        factor, self._factor = self._factor, max(trips, 1)
        mark = len(self._leaving)
        self._loops.append(Loop("for", self._dynamic))
        left = None
        for value in values:
            left = self._trip(body, name_at, kind, width, value)
            left = self._trip_ended(left, mark, at)
            if left is not None:
                break
        while len(self._leaving) > mark:
            self._rejoin()
        self._loops.pop()
        self._factor = factor
        self._at = end
        return None if left == "break" else left

    def _trip(self, body: int, name_at: int, kind: str, width: int, value: int | float) -> str | None:
        hidden, local = self._hidden, self._local
        self._hidden, self._local = [], set()
        self._bind_variable(
            self._new_name(name_at), kind, width, converted(kind, width, value, self._source, name_at)
        )
        self._at = body
        self._spend(body)
        left = self._block()
        for table, name, old in reversed(self._hidden):
            if old is None:
                table.pop(name, None)
            else:
                table[name] = old
        self._hidden, self._local = hidden, local
        return left

    def _trip_ended(self, left: str | None, mark: int, at: int) -> str | None:
        """What a trip that left so leaves of its loop; ends the ifs that a continue has left."""
        open_now = self._leaving[mark:]
        if left in ("return", "end") and open_now:
            raise self._cannot_leave(left, at)
        if left == "break" and any(one.kind == "continue" for one in open_now):
            raise self._cannot_leave(left, at)
        while len(self._leaving) > mark and self._leaving[-1].kind == "continue":
            self._rejoin()
        if any(one.kind == "continue" for one in self._leaving[mark:]):
            raise self._cannot_leave("continue", self._leaving[-1].at)
        return None if left == "continue" else left

    def _span(self, kind: str, width: int) -> Sequence[int | float]:
        """The values of a loop: [first:last], [first:step:last] or {…}."""
        at = self._at
        if self._tokens[at] == "{":
            self._at += 1
            values: list[int | float] = []
            while self._tokens[self._at] != "}":
                values.append(self._constant(whole=kind in ("int", "uint")))
                self._comma_or("}")
            self._at += 1
            return values
        if self._tokens[at] != "[":
            raise self._error(
                UnsupportedFeature, at, "a loop runs over a range [0:3] or a set {0, 1} of known numbers"
            )
        self._at += 1
        numbers = [self._index(at)]
        while self._tokens[self._at] == ":":
            self._at += 1
            numbers.append(self._index(at))
        self._expect("]")
        step = numbers[1] if len(numbers) == 3 else 1
        if len(numbers) not in (2, 3) or not step:
            raise self._error(ParseError, at, "a range is [first:last] or [first:step:last], its step not 0")
        return range(numbers[0], numbers[-1] + (1 if step > 0 else -1), step)

    def _while(self) -> str | None:
        at = self._at
        bound, self._max_trips = self._max_trips, None
        end = self._behind(at)
        factor, self._factor = self._factor, 1
        mark = len(self._leaving)
        left = None
        trips = 0
        while True:
            self._at = at + 1
            formula = self._condition()
            if formula is False:
                break
            if isinstance(formula, Choice) or bound is not None:
                self._measured_while(formula, bound, at)
                break
            trips += 1
            if trips > MAX_KNOWN_TRIPS:
                raise self._error(
                    TooLarge,
                    at,
                    f"a loop of more than {MAX_KNOWN_TRIPS} trips on known values; write a for with a range",
                )
            self._spend(at)
            self._loops.append(Loop("for", self._dynamic))
            left = self._trip_ended(self._block(), mark, at)
            if len(self._leaving) > mark:
                raise self._cannot_leave(self._leaving[-1].kind, self._leaving[-1].at)
            self._loops.pop()
            if left is not None:
                break
        self._at = end
        self._factor = factor
        return None if left == "break" else left

    def _measured_while(self, formula: Formula, bound: int | None, at: int) -> None:
        tests, counted = self._tests(formula, bound, at)
        # What the body measures is what its next trip asks.
        self._forget_copies()
        outer = self._enter()
        levels = 1 + formulas.levels(formula) if counted else len(tests)
        self._deeper(levels, at)
        mark = len(self._leaving)
        self._loops.append(Loop("while", self._dynamic))
        left = self._trip_ended(self._block(), mark, at)
        self._loops.pop()
        self._deeper(-levels, at)
        body, size = self._leave(outer)
        if left is not None:
            raise self._error(
                UnsupportedFeature,
                at,
                f"{left!r} in a while that depends on bits: a Program leaves it by its condition only",
            )
        if counted:
            outer = self._enter()
            self._decide(formula, body, (), (size, 0), at)
            body, size = self._leave(outer)
        made_size = covers.looped_size(tests, size)
        self._within += made_size - len(tests)
        self._check_count(at)
        self._operations += covers.looped(tests, body, bound or MAX_TRIPS)
        self._check_count(at)

    def _tests(self, formula: Formula, bound: int | None, at: int) -> tuple[list[formulas.Test], bool]:
        """What the loops ask that a while comes to, and whether its trips are counted by one that asks nothing."""
        if isinstance(formula, bool):
            return [formulas.Test((), 0)], False
        test = formulas.plain(formula)
        if test is not None:
            return [test], False
        if bound is not None:
            # Loops within each other would each have the bound; this one has it alone, and tests in each trip.
            if bound > MAX_KNOWN_TRIPS:
                raise self._error(
                    UnsupportedFeature,
                    at,
                    f"a while of {bound} trips at most whose condition is no equality of bits with one number (==): "
                    f"up to {MAX_KNOWN_TRIPS} trips, or any number without {TRIPS_ANNOTATION}",
                )
            return [formulas.Test((), 0)], True
        try:
            return covers.cover(formula), False
        except formulas.TooManyTests:
            raise self._error(
                UnsupportedFeature,
                at,
                f"a while whose condition holds in more than {covers.MAX_WAYS} separate ways: write "
                f"{TRIPS_ANNOTATION} N on the line before, N at most {MAX_KNOWN_TRIPS}, or loop on fewer bits",
            ) from None

    def _jump(self) -> str | None:
        """break, continue, end."""
        at = self._at
        kind = self._tokens[at]
        if kind != "end" and not self._loops:
            raise self._error(ParseError, at, f"{kind!r} stands in a loop")
        self._at += 1
        self._expect(";")
        if kind == "end" and self._dynamic:
            raise self._cannot_leave(kind, at)
        return kind

    def _box(self) -> str | None:
        if self._tokens[self._at + 1] != "{":
            raise self._error(
                UnsupportedFeature, self._at, "a box that lasts a given time; leave out its duration"
            )
        self._at += 1
        return self._block()
