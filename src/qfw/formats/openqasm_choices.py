"""if and switch in OpenQASM: the branch that is known to be taken, or an IfElse where bits decide."""

from __future__ import annotations

from qfw.formats import formulas
from qfw.formats.formulas import Bits, Formula
from qfw.formats.openqasm_blocks import Blocks, Leaving
from qfw.formats.operators import shown_value, truth
from qfw.model.errors import ParseError, TooLarge, UnsupportedFeature
from qfw.model.program import Operation


class Choices(Blocks):
    """Reads if and switch."""

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
        self._leaving.append(Leaving(kind, formula, *leaving, left is not None, outer, at))
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
