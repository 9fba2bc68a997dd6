"""Expressions of OpenQASM: numbers, affine functions of inputs, durations, and conditions on bits.

An expression is compiled to postfix form with two explicit stacks (Dijkstra's shunting
yard), so no text, however nested, makes Python recurse; a gate's body is compiled once
and evaluated at every call. Nothing is ever given to Python's `eval`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import e, isfinite, pi, tau
from typing import Final, NamedTuple

from qfw.formats.formulas import Bits, Choice, TooManyTests
from qfw.formats.operators import CASTS, FUNCTIONS, Apply, Duration, Value, applied, shown_value
from qfw.formats.source import Source
from qfw.model.errors import ParameterError, ParseError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import Affine, Angle


class Formal(NamedTuple):
    """A parameter of the gate whose body is being read."""

    place: int


class Expression(NamedTuple):
    """Postfix form: values and formals are pushed, operators take what they need."""

    items: tuple[Value | Formal | Apply, ...]
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
        UnsupportedFeature: operators of integers and bits in version 2.
        TooLarge: it is longer than the dialect's limit.
    """
    tokens = source.tokens
    output: list[Value | Formal | Apply] = []
    pending: list[Apply] = []
    #: Where in `pending` brackets are open, and the commas or colons in each.
    opened: list[int] = []
    separators: list[int] = []
    start, wants_value = at, True
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
                opened.append(len(pending))
                separators.append(0)
                pending.append(Apply("(", at))
            elif token in _PREFIX and (dialect.version == 3 or token in "+-"):
                pending.append(Apply(_PREFIX[token], at))
            elif token in FUNCTIONS and tokens[at + 1] == "(":
                pending.append(Apply(token, at))
            elif token in CASTS and token not in names:
                width, end = _width(source, at, names)
                pending.append(Apply(token, at, width))
                at = end - 1
            else:
                value, at = _operand(source, at, names)
                output.append(value)
                wants_value = False
        elif token == "[":
            opened.append(len(pending))
            separators.append(0)
            pending.append(Apply("[", at))
            wants_value = True
        elif token in ")]":
            if not opened or not token:
                break
            place = opened.pop()
            count = separators.pop() + 1
            output += reversed(pending[place + 1 :])
            bracket = pending[place]
            del pending[place:]
            if bracket.operator == "[":
                output.append(Apply("[", bracket.at, 0, count + 1))
            elif pending and pending[-1].operator in _CALLED:
                function = pending.pop()
                arity = FUNCTIONS[function.operator][0] if function.operator in FUNCTIONS else 1
                if count != arity:
                    raise source.error(
                        ParseError, function.at, f"{function.operator} takes {arity} values, not {count}"
                    )
                output.append(Apply(function.operator, function.at, function.width, count))
        elif token in (",", ":") and opened and _separates(token, pending, opened[-1]):
            separators[-1] += 1
            place = opened[-1]
            output += reversed(pending[place + 1 :])
            del pending[place + 1 :]
            wants_value = True
        elif token in _BINARY:
            operator = "**" if token == "^" and dialect.version == 2 else token
            if dialect.version == 2 and operator not in _BINARY_2:
                raise source.error(
                    UnsupportedFeature, at, f"operator {token!r} belongs to OpenQASM 3; write the number"
                )
            precedence = _BINARY[operator]
            # A power takes from the right, and a sign in front of it comes after it: -2**2 is -4.
            while pending and (
                _PRECEDENCE[pending[-1].operator] > precedence
                or (_PRECEDENCE[pending[-1].operator] == precedence and operator != "**")
            ):
                output.append(pending.pop())
            pending.append(Apply(operator, at, 0, 2))
            wants_value = True
        else:
            break
        at += 1
    while pending:
        last = pending.pop()
        if last.operator in "([":
            raise source.error(
                ParseError,
                at,
                f"{')' if last.operator == '(' else ']'!r} is missing before {source.shown(at)}",
            )
        output.append(last)
    return Expression(tuple(output), start), at


def evaluate(
    expression: Expression,
    arguments: Sequence[Value],
    source: Source,
    dialect: Dialect,
    *,
    whole: bool = False,
) -> Value:
    """The expression's value, with `arguments` for its formals.

    With `whole` it stands where OpenQASM 3 wants a whole number, so that 5/2 is 2; elsewhere such a
    division is refused, because most who write it mean 2.5.

    Raises:
        UnsupportedFeature: an input or a measured bit is used in a way that a Program cannot say.
        ParameterError: the value is not finite, or not defined.
        TooLarge: an angle that depends on too many inputs, a condition of too many comparisons.
    """
    stack: list[Value] = []
    for item in expression.items:
        if isinstance(item, Apply):
            first = len(stack) - item.takes
            try:
                stack[first:] = [applied(item, stack[first:], source, dialect.version, whole)]
            except ProgramError:
                raise
            except TooManyTests:
                raise source.error(
                    TooLarge,
                    item.at,
                    "the condition comes to too many comparisons of bits; nest it as if and else",
                ) from None
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
        finite = isfinite(value.offset) and all(isfinite(c) for _, c in value.terms)
    else:
        finite = not isinstance(value, float) or isfinite(value)
    if not finite:
        raise source.error(ParameterError, expression.at, "an angle must be finite")
    return value


def as_angle(value: Value, source: Source, at: int) -> Angle:
    """The value as an angle.

    Raises:
        UnsupportedFeature: it depends on a measurement.
        ParseError: it is a duration.
    """
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, Affine):
        return value
    if isinstance(value, (Bits, Choice)):
        raise source.error(
            UnsupportedFeature,
            at,
            "a number that depends on a measurement; a Program can only choose between blocks (if, switch)",
        )
    raise source.error(ParseError, at, f"a number is needed, not {shown_value(value)}")


def _operand(source: Source, at: int, names: Mapping[str, Value | Formal]) -> tuple[Value | Formal, int]:
    """The value at a token, and its last token."""
    token = source.tokens[at]
    if token in names:
        return names[token], at
    if token[:1].isdecimal() or (token[:1] == "." and len(token) > 1):
        digits = token.replace("_", "")
        following = source.tokens[at + 1]
        if following in _UNITS:
            if following == "dt":
                raise source.error(
                    UnsupportedFeature,
                    at + 1,
                    "a duration in dt is known to the device only; write it in ns, us, ms or s",
                )
            return Duration(float(digits) * _UNITS[following]), at + 1
        if token == "0" and following[:1] in _RADIX and len(following) > 1:
            return _other_radix(source, at, following), at + 1
        # Beyond 15 digits a whole number is read as a real one, which costs no more than its length.
        number = int(digits) if digits.isdecimal() and len(digits) < 16 else float(digits)
        return number, at
    if token in _CONSTANTS:
        return _CONSTANTS[token], at
    if token[:1] in ('"', "'") and len(token) > 2:
        digits = token[1:-1].replace("_", "")
        if digits and len(digits) < 50 and not digits.strip("01"):
            return int(digits, 2), at
        raise source.error(ParseError, at, "a string of up to 49 digits 0 and 1 is a number; this one is not")
    if token[:1].isalpha() or token[:1] == "_":
        if token in ("measure", "durationof"):
            raise source.error(
                UnsupportedFeature, at, f"{token} within an expression; assign it to a bit of its own before"
            )
        raise source.error(
            ParseError,
            at,
            f"{source.shown(at)} is no number that is known here; declare it as input or const",
        )
    raise source.error(ParseError, at, f"a number is needed, not {source.shown(at)}")


def _other_radix(source: Source, at: int, rest: str) -> int:
    """The whole number 0x…, 0b… or 0o…, of which `rest` is all but the 0."""
    try:
        number = int(rest[1:].replace("_", ""), _RADIX[rest[0]]) if len(rest) < 66 else 1 << 64
    except ValueError:
        raise source.error(ParseError, at + 1, f"{source.shown(at + 1)} is no number") from None
    if number >= 1 << 49:
        raise source.error(ParameterError, at, "a whole number of more than 49 bits is not read")
    return number


def _width(source: Source, at: int, names: Mapping[str, Value | Formal]) -> tuple[int, int]:
    """The width of a type at a token, 0 where it has none, and the token behind the type."""
    tokens = source.tokens
    width, end = 0, at + 1
    if tokens[end] == "[":
        value = names.get(tokens[end + 1])
        if tokens[end + 1].isdecimal():
            value = int(tokens[end + 1])
        if not isinstance(value, int) or tokens[end + 2] != "]" or value < 1:
            raise source.error(ParseError, end + 1, "a width is a whole number or a constant: uint[8](c)")
        width, end = value, end + 3
    if tokens[end] != "(":
        raise source.error(ParseError, end, f"'(' is needed, not {source.shown(end)}")
    return width, end


def _separates(token: str, pending: Sequence[Apply], place: int) -> bool:
    """Whether a comma or colon belongs to the bracket that is open at that place."""
    if pending[place].operator == "[":
        return token == ":"
    return token == "," and place > 0 and pending[place - 1].operator in FUNCTIONS


_CONSTANTS: Final[dict[str, float]] = {
    "pi": pi, "π": pi, "tau": tau, "τ": tau, "euler": e, "ℇ": e, "true": True, "false": False,
}  # fmt: skip
#: Nanoseconds of the units of time.
_UNITS: Final = {"ns": 1.0, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "dt": 0.0}
_RADIX: Final = {"x": 16, "X": 16, "b": 2, "B": 2, "o": 8}
_PREFIX: Final = {"-": "neg", "+": "pos", "!": "!", "~": "~"}
_CALLED: Final = frozenset({*FUNCTIONS, *CASTS})
_BINARY: Final[dict[str, int]] = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, "<=": 7, ">": 7, ">=": 7,
    "<<": 8, ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10, "**": 12,
}  # fmt: skip
_BINARY_2: Final = frozenset({"+", "-", "*", "/", "**"})
_PRECEDENCE: Final[dict[str, int]] = {
    **_BINARY, **dict.fromkeys("([", 0), **dict.fromkeys(_PREFIX.values(), 11), **dict.fromkeys(_CALLED, 0),
}  # fmt: skip
