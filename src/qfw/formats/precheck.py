"""The pre-check: one linear pass over foreign text, before any parser sees it.

It bounds what reading the text could cost: its size, nesting, tokens, declared bits,
includes, and the number of operations after gate definitions, loops and broadcasts are
multiplied out. It builds nothing, follows no include and does not judge whether the text
is a program: that is the parser's part, which gets the same tokens.
"""

from __future__ import annotations

import re
from itertools import pairwise

import msgspec

from qfw.formats.source import Source
from qfw.model.errors import ParseError, ProgramError, TooLarge, UnsupportedFeature

#: The only files that a program may include; both are built in and never opened.
STANDARD_INCLUDES = ("stdgates.inc", "qelib1.inc")


class Limits(msgspec.Struct, frozen=True):
    """What a text may ask for at most."""

    #: Characters of the text.
    max_characters: int = 4_000_000
    #: Parentheses, brackets and braces open at one place.
    max_nesting: int = 64
    #: Characters of one name, number or string.
    max_token: int = 1024
    #: Qubits, and separately classical bits, of all registers together.
    max_bits: int = 100_000
    #: Operations after definitions, loops and broadcasts are multiplied out.
    max_operations: int = 200_000
    #: Gate definitions that call each other, one inside the other.
    max_definition_depth: int = 64
    #: Slots that one angle may depend on.
    max_terms: int = 256
    #: Tokens of one expression.
    max_expression: int = 1000


DEFAULT_LIMITS = Limits()


def precheck(text: str, limits: Limits = DEFAULT_LIMITS) -> Source:
    """The text cut into tokens, if reading it is within the limits.

    Raises:
        TooLarge: a limit is exceeded; the message names the place, the limit and what was found.
        ParseError: brackets do not match, or a comment or string does not end.
        UnsupportedFeature: an include of anything but the standard gates.
    """
    if len(text) > limits.max_characters:
        raise TooLarge(
            f"the text has {len(text)} characters; at most {limits.max_characters} are read. {_RAISE}"
        )
    # Every statement ends with ';' or a block: an early no, at the speed of a search.
    if text.count(";") > limits.max_operations:
        statements = _COMMENT.sub("", text).count(";")
        if statements > limits.max_operations:
            raise TooLarge(
                f"the text has {statements} statements; at most {limits.max_operations} are read. {_RAISE}"
            )
    # So many commas or signs belong to no program within the limits: a set, a list, modifiers.
    for character, most in ((",", 5), ("@", 2), ("{", 1)):
        if text.count(character) > most * limits.max_operations:
            found = _COMMENT.sub("", text).count(character)
            most *= limits.max_operations
            if found > most:
                raise TooLarge(f"the text has {found} times {character!r}; at most {most} are read. {_RAISE}")
    if len(text) > 4 * _FIRST:
        # What is too much at the beginning is too much in all: an early no again.
        try:
            _Scan(Source(text[:_FIRST]), limits).run()
        except TooLarge:
            raise
        except ProgramError:
            # Cut within a block, a comment …
            pass
    source = Source(text)
    _Scan(source, limits).run()
    return source


class _Block:
    """An open brace: what its header was, and what its statements have cost so far."""

    def __init__(self, opened_at: int, factor: int, definition: str | None) -> None:
        self.opened_at = opened_at
        #: How often its statements are run, loops around it multiplied.
        self.factor = factor
        #: Name of the gate or subroutine that it defines.
        self.definition = definition
        self.cost = 0
        self.depth = 0


class _Scan:
    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.tokens = source.tokens
        self.limits = limits
        #: Operations of one call, and depth of the definitions inside it, of every defined gate.
        self.calls: dict[str, tuple[int, int]] = {}
        self.widths: dict[str, int] = {}
        #: Of the calls those of subroutines, which take registers whole.
        self.routines: set[str] = set()
        self.bits = {"qubits": 0, "classical bits": 0}
        self.blocks = [_Block(-1, 1, None)]

    def run(self) -> None:
        """Raises on the first thing that is too much."""
        tokens, limits = self.tokens, self.limits
        if max(map(len, tokens)) > limits.max_token:
            self._refuse_long_token()
        start = 0
        brackets: list[int] = []
        for index, token in enumerate(tokens):
            if token not in _WATCHED:
                continue
            if token in "([{":
                if token == "{" and not self._is_set(index):
                    if brackets and tokens[brackets[-1]] != "{":
                        raise self._error(
                            ParseError, brackets[-1], f"this {tokens[brackets[-1]]!r} is not closed"
                        )
                    self._open(start, index)
                    start = index + 1
                brackets.append(index)
                if len(brackets) > limits.max_nesting:
                    raise self._error(
                        TooLarge,
                        index,
                        f"brackets are nested deeper than {limits.max_nesting}; write flatter text",
                    )
            elif token == ";":
                if brackets and tokens[brackets[-1]] != "{":
                    raise self._error(
                        ParseError, brackets[-1], f"this {tokens[brackets[-1]]!r} is not closed"
                    )
                if index > start:
                    self._statement(start, index)
                start = index + 1
            elif token in ")]}":
                if not brackets or _CLOSES[token] != tokens[brackets[-1]]:
                    raise self._error(ParseError, index, f"this {token!r} closes nothing")
                opened_at = brackets.pop()
                if token == "}" and self.blocks[-1].opened_at == opened_at:
                    self._close(index)
                    start = index + 1
        if brackets:
            raise self._error(ParseError, brackets[-1], f"this {tokens[brackets[-1]]!r} is not closed")

    def _is_set(self, index: int) -> bool:
        """Whether a brace opens a set or an array's values, not a block."""
        return index > 0 and self.tokens[index - 1] in ("in", "=", ",", "(", "[", "{")

    def _behind_lines(self, start: int) -> int:
        """The token at or behind `start` that is no annotation or pragma."""
        while self.tokens[start][:1] == "\n":
            start += 1
        return start

    def _open(self, start: int, index: int) -> None:
        start = self._behind_lines(start)
        head = self.tokens[start]
        if head in _DEFINING:
            name = self.tokens[start + 1] if start + 1 < index else ""
            if head == "def":
                self.routines.add(name)
            self.blocks.append(_Block(index, 1, name))
        else:
            outer = self.blocks[-1]
            factor = min(outer.factor * self._trips(start, index), _SATURATED)
            self.blocks.append(_Block(index, factor, None))

    def _close(self, index: int) -> None:
        block = self.blocks.pop()
        outer = self.blocks[-1]
        if block.definition is None:
            outer.cost = min(outer.cost + block.cost, _SATURATED)
            outer.depth = max(outer.depth, block.depth)
            return
        if block.depth >= self.limits.max_definition_depth:
            raise self._error(
                TooLarge,
                block.opened_at,
                f"definition of {block.definition!r}: definitions call each other more than "
                f"{self.limits.max_definition_depth} deep; write them flatter",
            )
        # A call costs at least one, so that a tree of calls of an empty gate is bounded too.
        self.calls[block.definition] = (block.cost + 1, block.depth + 1)

    def _statement(self, start: int, end: int) -> None:
        tokens = self.tokens
        start = self._behind_lines(start)
        head = tokens[start]
        if head in _HEADS:
            if head == "include":
                self._include(start, end)
                return
            if head in _DECLARING and self._declare(start, end):
                return
        block = self.blocks[-1]
        cost, widest = 1, 1
        if self.calls or self.widths or head in _HEADS:
            words = tokens[start:end]
            if self.calls:
                for word in words:
                    if word in self.calls:
                        call_cost, depth = self.calls[word]
                        cost = max(cost, call_cost)
                        block.depth = max(block.depth, depth)
            if self.widths and not any(b.definition for b in self.blocks):
                # A condition on a register, a subroutine that takes one, are not repeated for each bit.
                acts = words[words.index(")") + 1 :] if head == "if" and ")" in words else words
                if not self.routines.isdisjoint(acts):
                    acts = []
                for word, following in pairwise((*acts, ";")):
                    if word in self.widths and following != "[":
                        widest = max(widest, self.widths[word])
            if head in _HEADS:
                cost *= self._trips(start, end)
        # Long expressions are work too: they are evaluated at every call.
        cost += (end - start) >> 6
        block.cost = min(block.cost + cost * widest * block.factor, _SATURATED)
        if block.cost > self.limits.max_operations:
            more = "at least " if block.cost == _SATURATED else ""
            where = f"definition of {block.definition!r}" if block.definition else "the program"
            raise self._error(
                TooLarge,
                start,
                f"{where} comes to {more}{block.cost} operations with this statement, definitions and loops "
                f"multiplied out; at most {self.limits.max_operations} are read. {_RAISE}",
            )

    def _include(self, start: int, end: int) -> None:
        name = self.tokens[start + 1]
        if end != start + 2 or name[0] not in "\"'" or name[-1] != name[0] or len(name) < 2:
            raise self._error(ParseError, start, 'write include "stdgates.inc";')
        if name[1:-1] not in STANDARD_INCLUDES:
            raise self._error(
                UnsupportedFeature,
                start + 1,
                f"include of {self.source.shown(start + 1)}: no file is opened; only "
                f"{' and '.join(STANDARD_INCLUDES)} are known. Copy the definitions into the program",
            )

    def _declare(self, start: int, end: int) -> bool:
        """Counts a register's bits; whether the statement is nothing more than its declaration."""
        tokens = self.tokens
        head = tokens[start]
        if head in ("qreg", "creg"):
            name, size_at = start + 1, start + 3
        elif tokens[start + 1] == "[":
            name, size_at = start + 4, start + 2
        else:
            name, size_at = start + 1, -1
        # A size that is no plain number is a constant's; the parser, which knows it, has the same limit.
        size = 1 if size_at < 0 else 0
        if 0 < size_at < end and tokens[size_at].isdecimal():
            size = int(tokens[size_at])
        kind = "qubits" if head in ("qreg", "qubit") else "classical bits"
        self.bits[kind] += size
        if self.bits[kind] > self.limits.max_bits:
            raise self._error(
                TooLarge,
                start,
                f"{self.bits[kind]} {kind} are declared; at most {self.limits.max_bits} are read. {_RAISE}",
            )
        if name < end and size != 1:
            self.widths[tokens[name]] = size
        return "=" not in tokens[start:end]

    def _trips(self, start: int, end: int) -> int:
        """How often what follows the loop headers of a statement is run, as far as numbers say it."""
        tokens = self.tokens
        trips = 1
        for at in range(start, end):
            if tokens[at] == "in" and at + 1 < end:
                trips = min(trips * _length(tokens, at + 1, end), _SATURATED)
        return trips

    def _refuse_long_token(self) -> None:
        for index, token in enumerate(self.tokens):
            if token.startswith("/*"):
                raise self._error(ParseError, index, "this comment does not end: '*/' is missing")
            if len(token) > self.limits.max_token:
                raise self._error(
                    TooLarge,
                    index,
                    f"{self.source.shown(index)} has {len(token)} characters; a name, number or string has "
                    f"at most {self.limits.max_token}",
                )

    def _error(self, kind: type[ProgramError], index: int, message: str) -> ProgramError:
        return self.source.error(kind, index, message)


def _length(tokens: list[str], at: int, end: int) -> int:
    """Number of values of the range [first:last], [first:step:last] or the set {…} at a token."""
    if tokens[at] == "{":
        values = 1
        for index in range(at, end):
            if tokens[index] == "}":
                break
            values += tokens[index] == ","
        return values
    numbers: list[int] = []
    sign = 1
    for index in range(at + 1, min(end, at + 10)):
        token = tokens[index]
        if token == "]":
            break
        if token == "-":
            sign = -sign
        elif token.replace("_", "").isdecimal():
            numbers.append(sign * int(token))
            sign = 1
        elif token != ":":
            return 1
    if len(numbers) not in (2, 3):
        return 1
    step = numbers[1] if len(numbers) == 3 else 1
    return max(0, (numbers[-1] - numbers[0]) // step + 1) if step else 1


#: A comment; one without an end reaches to the end of the text, which keeps the search linear.
_COMMENT = re.compile(r"//[^\n]*+|/\*(?:.*?\*/|.*+)", re.DOTALL)
#: Characters that are looked at before a long text is cut into tokens.
_FIRST = 32_768
_RAISE = "Split the program, or raise the limit where you load it"
#: Enough to exceed every limit, small enough to multiply quickly.
_SATURATED = 10**18
_CLOSES = {")": "(", "]": "[", "}": "{"}
_WATCHED = frozenset("()[]{};")
_DEFINING = frozenset({"gate", "def", "defcal", "extern"})
_DECLARING = frozenset({"qreg", "creg", "qubit", "bit"})
_HEADS = _DECLARING | {"include", "for", "while", "if", "else", "switch", "box"}
