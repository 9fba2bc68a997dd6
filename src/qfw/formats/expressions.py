"""Expressions of OpenQASM: constants, and affine functions of inputs.

An expression is compiled to postfix form with two explicit stacks (Dijkstra's shunting
yard), so no text, however nested, makes Python recurse; a gate's body is compiled once
and evaluated at every call. Nothing is ever given to Python's `eval`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Union

from qfw.formats.recipes import added, scaled
from qfw.formats.source import Source
from qfw.model.errors import ParameterError, ParseError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import Affine

#: Whole numbers stay whole, for sizes and powers and for OpenQASM 3's division.
Value = Union[int, float, Affine]  # noqa: UP007 - as in model.program


class Formal(NamedTuple):
    """A parameter of the gate whose body is being read."""

    place: int


class _Apply(NamedTuple):
    operator: str
    #: Token that errors point to.
    at: int


class Expression(NamedTuple):
    """Postfix form: values and formals are pushed, operators take what they need."""

    items: tuple[Value | Formal | _Apply, ...]
    #: Its first token.
    at: int


class Dialect(NamedTuple):
    """What differs between the versions of OpenQASM."""

    version: int
    #: Slots that one angle may depend on.
    max_terms: int
    #: Tokens of one expression.
    max_expression: int


def read(
    source: Source, at: int, names: Mapping[str, Value | Formal], dialect: Dialect
) -> tuple[Expression, int]:
    """The expression that begins at token `at`, and the token that ends it.

    It ends at the first token that cannot continue it: a comma, a bracket that it did not open, …

    Raises:
        ParseError: it is not an expression, or uses a name that is not known.
        UnsupportedFeature: operators of integers and bits.
        TooLarge: it is longer than the dialect's limit.
    """
    tokens = source.tokens
    output: list[Value | Formal | _Apply] = []
    pending: list[_Apply] = []
    start, wants_value, open_brackets = at, True, 0
    while True:
        token = tokens[at]
        if at - start > dialect.max_expression:
            raise source.error(
                TooLarge,
                start,
                f"an expression of more than {dialect.max_expression} tokens; compute the number before",
            )
        if wants_value:
            if token == "(":
                pending.append(_Apply("(", at))
                open_brackets += 1
            elif token in ("-", "+"):
                pending.append(_Apply("neg" if token == "-" else "pos", at))
            elif token in _FUNCTIONS and tokens[at + 1] == "(":
                pending.append(_Apply(token, at))
            else:
                output.append(_operand(source, at, names))
                wants_value = False
        elif token == ")":
            if not open_brackets:
                break
            while pending[-1].operator != "(":
                output.append(pending.pop())
            pending.pop()
            open_brackets -= 1
            if pending and pending[-1].operator in _FUNCTIONS:
                output.append(pending.pop())
        elif token in _BINARY:
            operator = "**" if token == "^" and dialect.version == 2 else token
            if operator in _BITWISE:
                raise source.error(
                    UnsupportedFeature, at, f"operator {token!r} is not supported in angles; write the number"
                )
            precedence = _BINARY[operator]
            # A power takes from the right, and a sign in front of it comes after it: -2**2 is -4.
            while pending and (
                _PRECEDENCE[pending[-1].operator] > precedence
                or (_PRECEDENCE[pending[-1].operator] == precedence and operator != "**")
            ):
                output.append(pending.pop())
            pending.append(_Apply(operator, at))
            wants_value = True
        else:
            break
        at += 1
    while pending:
        last = pending.pop()
        if last.operator == "(":
            raise source.error(ParseError, at, f"')' is missing before {source.shown(at)}")
        output.append(last)
    return Expression(tuple(output), start), at


def evaluate(expression: Expression, arguments: Sequence[Value], source: Source, dialect: Dialect) -> Value:
    """The expression's value, with `arguments` for its formals.

    Raises:
        UnsupportedFeature: an input is used in a way that is not affine.
        ParameterError: the value is not finite, or not defined.
        TooLarge: an angle that depends on too many inputs.
    """
    stack: list[Value] = []
    for item in expression.items:
        if isinstance(item, _Apply):
            try:
                if item.operator in _UNARY:
                    stack[-1] = _unary(item, stack[-1], source)
                else:
                    right = stack.pop()
                    stack[-1] = _binary(item, stack[-1], right, source, dialect)
            except ProgramError:
                raise
            except (ArithmeticError, ValueError) as error:
                raise source.error(
                    ParameterError, item.at, f"{source.shown(item.at)} has no finite value here: {error}"
                ) from None
        elif isinstance(item, Formal):
            stack.append(arguments[item.place])
        else:
            stack.append(item)
    (value,) = stack
    if isinstance(value, Affine):
        if len(value.terms) > dialect.max_terms:
            raise source.error(
                TooLarge,
                expression.at,
                f"an angle depends on {len(value.terms)} inputs; at most {dialect.max_terms} are read",
            )
        finite = math.isfinite(value.offset) and all(math.isfinite(c) for _, c in value.terms)
    else:
        finite = math.isfinite(value)
    if not finite:
        raise source.error(ParameterError, expression.at, "an angle must be finite")
    return value


def _operand(source: Source, at: int, names: Mapping[str, Value | Formal]) -> Value | Formal:
    token = source.tokens[at]
    if token in names:
        return names[token]
    if token[:1].isdecimal() or (token[:1] == "." and len(token) > 1):
        digits = token.replace("_", "")
        # Beyond 15 digits a whole number is read as a real one, which costs no more than its length.
        number = int(digits) if digits.isdecimal() and len(digits) < 16 else float(digits)
        return number
    if token in _CONSTANTS:
        return _CONSTANTS[token]
    if token[:1].isalpha() or token[:1] == "_":
        raise source.error(
            ParseError,
            at,
            f"{source.shown(at)} is no number that is known here; declare it as input or const",
        )
    raise source.error(ParseError, at, f"a number is needed, not {source.shown(at)}")


def _unary(item: _Apply, value: Value, source: Source) -> Value:
    if item.operator == "pos":
        return value
    if item.operator == "neg":
        return -value if isinstance(value, (int, float)) else scaled(value, -1.0)
    if isinstance(value, Affine):
        raise _not_affine(item, source)
    return _FUNCTIONS[item.operator](value)


def _binary(item: _Apply, left: Value, right: Value, source: Source, dialect: Dialect) -> Value:
    operator = item.operator
    if isinstance(left, Affine) or isinstance(right, Affine):
        if operator == "+":
            return added(left, right)
        if operator == "-":
            return added(left, scaled(right, -1.0))
        if operator == "*" and not isinstance(right, Affine):
            return scaled(left, right)
        if operator == "*" and not isinstance(left, Affine):
            return scaled(right, left)
        if operator == "/" and isinstance(left, Affine) and not isinstance(right, Affine):
            return Affine(tuple((i, c / right) for i, c in left.terms), left.offset / right)
        raise _not_affine(item, source)
    if operator == "+":
        return _bounded(left + right)
    if operator == "-":
        return _bounded(left - right)
    if operator == "*":
        return _bounded(left * right)
    if operator == "/":
        if dialect.version == 3 and isinstance(left, int) and isinstance(right, int) and right:
            if left % right:
                raise source.error(
                    ParseError,
                    item.at,
                    f"OpenQASM 3 divides whole numbers to a whole number; write {left}.0/{right} "
                    f"for {left / right}",
                )
            return left // right
        return left / right
    if operator == "%":
        return left % right
    power = math.pow(left, right)
    whole = isinstance(left, int) and isinstance(right, int) and power.is_integer() and abs(power) < 1e15
    return int(power) if whole else power


def _bounded(value: int | float) -> int | float:
    return value if -1e15 < value < 1e15 else float(value)


def _not_affine(item: _Apply, source: Source) -> UnsupportedFeature:
    return source.error(
        UnsupportedFeature,
        item.at,
        f"{source.shown(item.at)} of an input: angles may be affine in inputs (sums, and products with "
        "numbers). Compute the value before and pass it as an input of its own",
    )


_CONSTANTS: Final[dict[str, float]] = {
    "pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e,
}  # fmt: skip
_FUNCTIONS: Final[dict[str, Callable[[float], float]]] = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "exp": math.exp, "ln": math.log, "log": math.log,
    "sqrt": math.sqrt, "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan,
    "asin": math.asin, "acos": math.acos, "atan": math.atan,
}  # fmt: skip
_UNARY = frozenset({"neg", "pos", *_FUNCTIONS})
_BITWISE = frozenset({"&", "|", "^", "<<", ">>", "==", "!=", "<", ">", "<=", ">=", "&&", "||"})
_BINARY: Final[dict[str, int]] = {
    "+": 1,
    "-": 1,
    "*": 2,
    "/": 2,
    "%": 2,
    "**": 4,
    **dict.fromkeys(_BITWISE, 1),
}
_PRECEDENCE: Final[dict[str, int]] = {**_BINARY, "(": 0, "neg": 3, "pos": 3, **dict.fromkeys(_FUNCTIONS, 0)}
