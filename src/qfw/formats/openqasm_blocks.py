"""Blocks of OpenQASM: what they leave, what in them depends on measurements, and what that costs.

A block is read from its tokens each time that it is run. A statement answers with what ends
the block that it stands in: break, continue, return, end, or nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from qfw.formats import formulas
from qfw.formats.formulas import Formula
from qfw.formats.openqasm_statements import Statements
from qfw.formats.precheck import Limits
from qfw.formats.source import Source
from qfw.model.errors import ParseError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import MAX_NESTING, Angle, Gate, Operation

#: Statements within each other, calls of subroutines among them.
MAX_DEPTH = 64


class Open(NamedTuple):
    """The operations of a block that was left for another within it."""

    operations: list[Operation]
    within: int
    phase: Angle


class Leaving(NamedTuple):
    """An if whose one branch leaves a loop: what follows it in the loop is its other branch."""

    #: break or continue.
    kind: str
    formula: Formula
    #: The branch that leaves, and whether it is the one taken where the formula holds.
    branch: tuple[Operation, ...]
    size: int
    when: bool
    outer: Open
    at: int


class Loop:
    """A loop that is being read."""

    def __init__(self, kind: str, dynamic: int) -> None:
        #: for, where its trips are known; else while.
        self.kind = kind
        #: Blocks around a statement of its body that depend on a measurement.
        self.dynamic = dynamic


class Blocks(Statements):
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
        self._leaving: list[Leaving] = []
        self._loops: list[Loop] = []
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

    def _enter(self) -> Open:
        outer = Open(self._operations, self._within, self._phase)
        self._around += len(self._operations) + self._within
        self._operations, self._within, self._phase = [], 0, 0.0
        return outer

    def _leave(self, outer: Open) -> tuple[tuple[Operation, ...], int]:
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
