"""Control flow in OpenQASM: what is known while reading is unrolled, what is measured becomes IfElse and While.

A block is read from its tokens each time that it is run. A statement answers with what ends
the block that it stands in: break, continue, return, end, or nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from qfw.formats import formulas
from qfw.formats.formulas import Bits, Choice, Formula
from qfw.formats.openqasm_statements import Statements
from qfw.formats.operators import converted, shown_value, truth
from qfw.formats.precheck import Limits
from qfw.formats.source import Source
from qfw.model.errors import ParseError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import MAX_NESTING, Angle, Gate, Operation, While

#: How often a while that depends on bits runs at most: OpenQASM's have no bound, and a task has its time limit.
MAX_TRIPS = 1_000_000
#: How often a while that depends on known values runs at most, or reading it might never end.
MAX_KNOWN_TRIPS = 10_000
#: How many times the limit nested loops may seem to be that depend on variables: three in a triangle are a sixth.
_SLACK = 16
#: Statements within each other, calls of subroutines among them.
MAX_DEPTH = 64


class _Open(NamedTuple):
    """The operations of a block that was left for another within it."""

    operations: list[Operation]
    within: int
    phase: Angle


class _Leaving(NamedTuple):
    """An if whose one branch leaves a loop: what follows it in the loop is its other branch."""

    #: break or continue.
    kind: str
    formula: Formula
    #: The branch that leaves, and whether it is the one taken where the formula holds.
    branch: tuple[Operation, ...]
    size: int
    when: bool
    outer: _Open
    at: int


class _Loop:
    """A loop that is being read."""

    def __init__(self, kind: str, dynamic: int) -> None:
        #: for, where its trips are known; else while.
        self.kind = kind
        #: Blocks around a statement of its body that depend on a measurement.
        self.dynamic = dynamic


class Control(Statements):
    """Reads blocks."""

    #: Statements within each other at this place, and tests of nested IfElse and While.
    _depth = 0
    _levels = 0
    #: Statements read in loops and subroutines; trips of the loops around this place.
    _spent = 0
    _factor = 1
    _max_trips: int | None = None

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._leaving: list[_Leaving] = []
        self._loops: list[_Loop] = []
        self._closing: dict[int, int] = {}

    # Statements and blocks

    @abstractmethod
    def _step(self, token: str) -> str | None:
        """Reads the statement that begins with this token; returns what it leaves, if anything."""

    def _spend(self, at: int) -> None:
        """Counts a statement that is read again and again."""
        self._spent += 1
        if self._spent > self._limits.max_operations:
            raise self._expander.too_many(at)

    def _block(self) -> str | None:
        """Reads a block, or the one statement in its place, in a scope of its own."""
        at = self._at
        tokens = self._tokens
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(TooLarge, at, f"statements stand within each other more than {MAX_DEPTH} deep")
        hidden, local = self._hidden, self._local
        self._hidden, self._local = [], set()
        left = None
        if tokens[at] == "{":
            self._at += 1
            while (token := tokens[self._at]) != "}":
                self._spend(self._at)
                left = self._step(token)
                if left is not None:
                    break
            else:
                self._at += 1
        else:
            self._spend(at)
            left = self._step(tokens[at])
        for table, name, value in reversed(self._hidden):
            if value is None:
                table.pop(name, None)
            else:
                table[name] = value
        self._hidden, self._local = hidden, local
        self._depth -= 1
        return left

    def _behind(self, at: int, depth: int = 0) -> int:
        """The token behind the statement or block that begins at a token."""
        tokens = self._tokens
        token = tokens[at]
        if depth > MAX_DEPTH:
            raise self._error(TooLarge, at, f"statements stand within each other more than {MAX_DEPTH} deep")
        if token == "{":
            return self._close(at) + 1
        if token in ("if", "while", "switch") and tokens[at + 1] == "(":
            end = self._behind(self._close(at + 1) + 1, depth + 1)
            if token == "if" and tokens[end] == "else":
                return self._behind(end + 1, depth + 1)
            return end
        if token == "for":
            end = at
            while tokens[end] not in ("in", ";", ""):
                end += 1
            end += 1
            end = self._close(end) + 1 if tokens[end] in ("{", "[") else end + 1
            return self._behind(end, depth + 1)
        if token[:1] == "\n":
            return self._behind(at + 1, depth + 1)
        end = at
        while tokens[end] not in (";", "{", ""):
            end += 1
        if tokens[end] == "":
            raise self._error(ParseError, end, "';' is needed, not the end of the text")
        if tokens[end] == "{" and (token in ("box", "gate", "def") or end == at):
            return self._close(end) + 1
        while tokens[end] not in (";", ""):
            end = self._close(end) + 1 if tokens[end] == "{" else end + 1
        return end + 1

    def _close(self, at: int) -> int:
        """The bracket that closes the one at a token; the pre-check knows that there is one."""
        if not self._closing:
            opened: list[int] = []
            for index, token in enumerate(self._tokens):
                if token in ("(", "[", "{"):
                    opened.append(index)
                elif token in (")", "]", "}"):
                    self._closing[opened.pop()] = index
        return self._closing[at]

    def _enter(self) -> _Open:
        outer = _Open(self._operations, self._within, self._phase)
        self._around += len(self._operations) + self._within
        self._operations, self._within, self._phase = [], 0, 0.0
        return outer

    def _leave(self, outer: _Open) -> tuple[tuple[Operation, ...], int]:
        """The operations since `enter`, and their number, those within them included."""
        if self._phase:
            self._operations.append(Gate("gphase", (), (self._phase,)))
        made = tuple(self._operations)
        size = len(made) + self._within
        self._operations, self._within, self._phase = outer
        self._around -= len(self._operations) + self._within
        return made, size

    def _branch(self, levels: int, at: int) -> tuple[tuple[Operation, ...], int, str | None]:
        """Reads a block that runs or does not: its operations, their number, and what it leaves."""
        outer = self._enter()
        mark = len(self._leaving)
        self._deeper(levels, at)
        left = self._block()
        self._deeper(-levels, at)
        if len(self._leaving) > mark:
            raise self._cannot_leave(self._leaving[-1].kind, self._leaving[-1].at)
        made, size = self._leave(outer)
        return made, size, left

    def _deeper(self, levels: int, at: int) -> None:
        self._levels += levels
        self._dynamic += 1 if levels > 0 else -1
        if self._levels > MAX_NESTING:
            raise self._error(
                TooLarge, at, f"conditions on bits stand within each other more than {MAX_NESTING} deep"
            )

    def _decide(
        self,
        formula: Formula,
        then: tuple[Operation, ...],
        otherwise: tuple[Operation, ...],
        sizes: Sequence[int],
        at: int,
    ) -> None:
        """Adds the IfElse that a formula and its branches come to."""
        copies = formulas.paths(formula)
        self._within += copies[0] * sizes[0] + copies[1] * sizes[1] + sum(copies)
        self._check_count(at)
        self._operations += formulas.decided(formula, then, otherwise)

    def _cannot_leave(self, kind: str, at: int) -> ProgramError:
        return self._error(
            UnsupportedFeature,
            at,
            f"{kind!r}, taken or not by what was measured, at this place: what follows it would have to be copied. "
            "Write what follows as the else of its if",
        )

    # if, switch

    def _condition(self) -> Formula:
        """The condition in parentheses, from '(' to behind ')'."""
        self._expect("(")
        at = self._at
        if self._dialect.version == 2:
            return self._old_condition()
        value = self._value()
        self._expect(")")
        return truth(value, self._source, at)

    def _old_condition(self) -> Formula:
        at = self._at
        name = self._tokens[at]
        register = self._clbits.get(name)
        if register is None:
            raise self._error(ParseError, at, f"{self._source.shown(at)} is no declared creg")
        self._at += 1
        self._expect("==")
        number_at = self._at
        value = self._constant()
        if not isinstance(value, int):
            raise self._error(ParseError, number_at, f"a creg is compared with a whole number, not {value}")
        self._expect(")")
        return formulas.equals(register.bits, value)

    def _if(self) -> str | None:
        at = self._at
        self._at += 1
        formula = self._condition()
        if isinstance(formula, bool):
            return self._known_if(formula)
        levels = formulas.levels(formula)
        then, then_size, left = self._branch(levels, at)
        if left is not None:
            self._at = self._behind(self._close(at + 1) + 1)
        otherwise: tuple[Operation, ...] = ()
        else_size, else_left = 0, None
        if self._tokens[self._at] == "else" and self._dialect.version == 3:
            body = self._at + 1
            self._at = body
            otherwise, else_size, else_left = self._branch(levels, at)
            if else_left is not None:
                self._at = self._behind(body)
        if left == else_left:
            self._decide(formula, then, otherwise, (then_size, else_size), at)
            return left
        if left is not None and else_left is not None:
            raise self._cannot_leave(left, at)
        kind = left or else_left
        assert kind is not None
        loop = self._loops[-1] if self._loops else None
        if kind not in ("break", "continue") or loop is None or loop.dynamic != self._dynamic:
            raise self._cannot_leave(kind, at)
        if kind == "break" and loop.kind == "while":
            raise self._cannot_leave(kind, at)
        leaving = (then, then_size) if left else (otherwise, else_size)
        staying, staying_size = (otherwise, else_size) if left else (then, then_size)
        outer = self._enter()
        self._operations += staying
        self._within += staying_size - len(staying)
        self._deeper(levels, at)
        loop.dynamic += 1
        self._leaving.append(_Leaving(kind, formula, *leaving, left is not None, outer, at))
        return None

    def _rejoin(self) -> None:
        """Ends the last if whose one branch has left."""
        _, formula, branch, size, when, outer, at = self._leaving.pop()
        self._deeper(-formulas.levels(formula), at)
        self._loops[-1].dynamic -= 1
        rest, rest_size = self._leave(outer)
        if when:
            self._decide(formula, branch, rest, (size, rest_size), at)
        else:
            self._decide(formula, rest, branch, (rest_size, size), at)

    def _known_if(self, holds: bool) -> str | None:
        factor, self._factor = self._factor, 1
        start = self._at
        end = self._behind(start)
        left = self._block() if holds else None
        self._at = end
        if self._tokens[end] == "else" and self._dialect.version == 3:
            end = self._behind(end + 1)
            if not holds:
                self._at += 1
                left = self._block()
            self._at = end
        self._factor = factor
        return left

    def _switch(self) -> str | None:
        at = self._at
        self._at += 1
        self._expect("(")
        value = self._value(whole=True)
        self._expect(")")
        if not isinstance(value, (int, Bits)):
            raise self._error(
                UnsupportedFeature, at + 2, f"a switch on {shown_value(value)}; bits and whole numbers"
            )
        self._expect("{")
        chain: list[tuple[Formula, tuple[Operation, ...], int]] = []
        levels, left, found = 0, None, False
        while self._tokens[self._at] != "}":
            case_at = self._at
            self._spend(case_at)
            formula: Formula = True
            if self._tokens[case_at] == "case":
                formula = False
                self._at += 1
                while self._tokens[self._at] != "{":
                    label = self._index(self._at)
                    one = value == label if isinstance(value, int) else formulas.equals(value.clbits, label)
                    try:
                        formula = formulas.either(formula, one)
                    except formulas.TooManyTests:
                        raise self._error(
                            TooLarge, case_at, "a case of too many values of measured bits"
                        ) from None
                    self._comma_or("{")
            else:
                self._expect("default")
            if self._tokens[self._at] != "{":
                raise self._error(ParseError, self._at, f"'{{' is needed, not {self._source.shown(self._at)}")
            start = self._at
            if found or formula is False:
                pass
            elif isinstance(value, int):
                found = True
                factor, self._factor = self._factor, 1
                left = self._block()
                self._factor = factor
            else:
                levels += max(1, formulas.levels(formula))
                body, size, leaves = self._branch(levels, case_at)
                if leaves is not None:
                    raise self._cannot_leave(leaves, case_at)
                chain.append((formula, body, size))
                found = formula is True
            self._at = self._close(start) + 1
        self._at += 1
        rest: tuple[Operation, ...] = ()
        rest_size = 0
        for formula, body, size in reversed(chain):
            copies = formulas.paths(formula)
            rest_size = copies[0] * size + copies[1] * rest_size + sum(copies)
            if rest_size > self._limits.max_operations:
                raise self._expander.too_many(at)
            rest = formulas.decided(formula, body, rest)
        self._operations += rest
        self._within += rest_size
        self._check_count(at)
        return left

    # Loops

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
        self._loops.append(_Loop("for", self._dynamic))
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
                self._measured_while(formula, bound or MAX_TRIPS, at)
                break
            trips += 1
            if trips > MAX_KNOWN_TRIPS:
                raise self._error(
                    TooLarge,
                    at,
                    f"a loop of more than {MAX_KNOWN_TRIPS} trips on known values; write a for with a range",
                )
            self._spend(at)
            self._loops.append(_Loop("for", self._dynamic))
            left = self._trip_ended(self._block(), mark, at)
            if len(self._leaving) > mark:
                raise self._cannot_leave(self._leaving[-1].kind, self._leaving[-1].at)
            self._loops.pop()
            if left is not None:
                break
        self._at = end
        self._factor = factor
        return None if left == "break" else left

    def _measured_while(self, formula: Formula, bound: int, at: int) -> None:
        test = formulas.Test((), 0) if formula is True else formulas.plain(formula)
        if test is None:
            raise self._error(
                UnsupportedFeature,
                at,
                "a while goes on as long as bits equal one number (==); loop on one bit",
            )
        # What the body measures is what its next trip asks.
        self._forget_copies()
        outer = self._enter()
        self._deeper(1, at)
        mark = len(self._leaving)
        self._loops.append(_Loop("while", self._dynamic))
        left = self._trip_ended(self._block(), mark, at)
        self._loops.pop()
        self._deeper(-1, at)
        body, size = self._leave(outer)
        if left is not None:
            raise self._error(
                UnsupportedFeature,
                at,
                f"{left!r} in a while that depends on bits: a Program leaves it by its condition only",
            )
        self._within += size
        self._operations.append(While(test.clbits, test.value, body, bound))
        self._check_count(at)

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
