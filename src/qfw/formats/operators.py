"""What the operators, functions and casts of OpenQASM's expressions make of values.

Numbers are computed. Affine functions of inputs stay affine, or are refused. Of measured
bits there are conditions: comparisons with numbers, and what combines these.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Union

from qfw.formats import formulas
from qfw.formats.formulas import Bits, Choice, Formula
from qfw.formats.recipes import added, scaled
from qfw.formats.source import Source
from qfw.model.errors import ParameterError, ParseError, UnsupportedFeature
from qfw.model.program import Affine


class Duration(NamedTuple):
    """A length of time."""

    ns: float


#: Whole numbers stay whole, for sizes and powers and for OpenQASM 3's division; bool is one of them.
Value = Union[int, float, Affine, Bits, Choice, Duration]  # noqa: UP007 - as in model.program


class Apply(NamedTuple):
    """An operator, function or cast, or an open bracket, in an expression."""

    operator: str
    #: Token that errors point to.
    at: int
    #: Bits of the type that a cast makes, 0 where it says none.
    width: int = 0
    #: Values that it takes.
    takes: int = 1


def applied(item: Apply, values: Sequence[Value], source: Source, version: int, whole: bool) -> Value:
    """What the operator makes of its values.

    Raises:
        UnsupportedFeature: a use of inputs or measured bits that a Program cannot say.
        ParseError: values of a kind that the operator does not take.
        ArithmeticError, ValueError: there is no such number.
    """
    name = item.operator
    if name in CASTS:
        return _cast(item, values[0], source)
    if name == "[":
        return _indexed(item, values, source)
    if name in ("&&", "||"):
        truths = [truth(value, source, item.at) for value in values]
        return (formulas.both if name == "&&" else formulas.either)(*truths)
    if name == "!":
        return formulas.negated(truth(values[0], source, item.at))
    for value in values:
        if isinstance(value, (Bits, Choice)):
            return _measured(item, values, source)
        if isinstance(value, Duration):
            return _timed(item, values, source)
    if len(values) == 1 and name in ("neg", "pos"):
        return _signed(values[0], name)
    for value in values:
        if isinstance(value, Affine):
            return _affine(item, values, source)
    return _number(item, values, source, version, whole)  # type: ignore[arg-type]


def truth(value: Value, source: Source, at: int) -> Formula:
    """The value as a condition; numbers and bits are true where they are not 0."""
    if isinstance(value, (bool, Choice)):
        return value
    if isinstance(value, Bits):
        return formulas.negated(formulas.equals(value.clbits, 0))
    if isinstance(value, (int, float)):
        return value != 0
    raise source.error(
        UnsupportedFeature, at, f"a condition on {shown_value(value)}; bits and known numbers may decide"
    )


def converted(kind: str, width: int, value: Value, source: Source, at: int) -> Value:
    """The value as a variable of a type holds it.

    Raises:
        ParameterError: it does not fit.
        UnsupportedFeature: it depends on a measurement, or is an input where a whole number belongs.
        ParseError: a number for a duration, a duration for a number.
    """
    if isinstance(value, (Bits, Choice)):
        raise source.error(
            UnsupportedFeature,
            at,
            f"a variable of type {kind} that depends on a measurement; only bits hold what was measured",
        )
    if kind == "duration" or isinstance(value, Duration):
        if kind == "duration" and isinstance(value, Duration):
            return value
        raise source.error(ParseError, at, f"{shown_value(value)} where a {kind} is needed")
    if kind in ("float", "angle"):
        return value if isinstance(value, Affine) else float(value)
    if isinstance(value, Affine):
        raise source.error(UnsupportedFeature, at, f"an input stands where a known {kind} is needed")
    if kind == "bool":
        return value != 0
    if isinstance(value, float) and not value.is_integer():
        raise source.error(ParseError, at, f"a const {kind} needs a whole number, not {value}")
    number = int(value)
    bits = width or (1 if kind == "bit" else 64)
    low, high = (
        (-(1 << min(bits, 64) - 1), 1 << min(bits, 64) - 1) if kind == "int" else (0, 1 << min(bits, 64))
    )
    if not low <= number < high:
        raise source.error(
            ParameterError, at, f"{number} does not fit into {kind}[{bits}]: {low} to {high - 1}"
        )
    return number


def shown_value(value: Value) -> str:
    """A value as messages name its kind."""
    if isinstance(value, Bits):
        return "measured bits"
    if isinstance(value, Choice):
        return "a condition on measured bits"
    if isinstance(value, Affine):
        return "an input"
    if isinstance(value, Duration):
        return "a duration"
    return str(value)


def _signed(value: Value, sign: str) -> Value:
    if sign == "pos":
        return value
    assert isinstance(value, (int, float, Affine))
    return scaled(value, -1.0) if isinstance(value, Affine) else -value


def _affine(item: Apply, values: Sequence[Value], source: Source) -> Value:
    if len(values) == 2:
        left, right = values
        assert isinstance(left, (int, float, Affine)) and isinstance(right, (int, float, Affine))
        match item.operator:
            case "+":
                return added(left, right)
            case "-":
                return added(left, scaled(right, -1.0))
            case "*" if not isinstance(right, Affine):
                return scaled(left, right)
            case "*" if not isinstance(left, Affine):
                return scaled(right, left)
            case "/" if isinstance(left, Affine) and not isinstance(right, Affine):
                return Affine(tuple((i, c / right) for i, c in left.terms), left.offset / right)
    raise source.error(
        UnsupportedFeature,
        item.at,
        f"{source.shown(item.at)} of an input: angles may be affine in inputs (sums, and products with "
        "numbers). Compute the value before and pass it as an input of its own",
    )


def _number(item: Apply, values: Sequence[int | float], source: Source, version: int, whole: bool) -> Value:
    name = item.operator
    if name in FUNCTIONS:
        return _bounded(FUNCTIONS[name][1](*values))
    if name in _COMPARISONS:
        return _COMPARISONS[name](*values)
    if name in _WHOLE:
        for value in values:
            if not isinstance(value, int):
                raise source.error(ParseError, item.at, f"operator {name!r} takes whole numbers, not {value}")
        if name in ("<<", ">>") and not 0 <= values[1] <= 64:
            raise ValueError(f"a shift by {values[1]}")
        return _bounded(_WHOLE[name](*values))
    left, right = values
    if name == "+":
        return _bounded(left + right)
    if name == "-":
        return _bounded(left - right)
    if name == "*":
        return _bounded(left * right)
    if name == "/":
        if version == 3 and isinstance(left, int) and isinstance(right, int) and right:
            if left % right and not whole:
                raise source.error(
                    ParseError,
                    item.at,
                    f"OpenQASM 3 divides whole numbers to a whole number; write {left}.0/{right} "
                    f"for {left / right}",
                )
            return _quotient(left, right)
        return left / right
    if name == "%":
        return _remainder(left, right)
    return _power(left, right)


def _measured(item: Apply, values: Sequence[Value], source: Source) -> Value:
    """An operator of which at least one value depends on a measurement."""
    name = item.operator
    if len(values) == 2 and name in _COMPARISONS:
        left, right = values
        if isinstance(left, (int, float)):
            # The bits come first: 3 < c is c > 3.
            left, right, name = right, left, _MIRRORED[name]
        if isinstance(left, Bits) and isinstance(right, (int, float)) and not isinstance(right, bool):
            if isinstance(right, float) and not right.is_integer():
                raise source.error(ParseError, item.at, f"bits are compared with whole numbers, not {right}")
            return _compared(left, name, int(right))
        if name in ("==", "!="):
            same = _same(left, right, source, item.at)
            return same if name == "==" else formulas.negated(same)
    if name in ("&", "|", "^", "~") and all(_is_one_bit(value) for value in values):
        truths = [truth(value, source, item.at) for value in values]
        if name == "~":
            return formulas.negated(truths[0])
        if name == "^":
            return _differ(*truths)
        return (formulas.both if name == "&" else formulas.either)(*truths)
    raise source.error(
        UnsupportedFeature,
        item.at,
        f"{source.shown(item.at)} of measured bits: they may be compared with numbers (==, !=, <, <=, >, >=), and "
        "such comparisons combined with &&, || and !",
    )


def _compared(bits: Bits, name: str, value: int) -> Formula:
    clbits = bits.clbits
    match name:
        case "==":
            return formulas.equals(clbits, value)
        case "!=":
            return formulas.negated(formulas.equals(clbits, value))
        case "<":
            return formulas.less(clbits, value)
        case ">=":
            return formulas.negated(formulas.less(clbits, value))
        case "<=":
            return formulas.less(clbits, value + 1)
    return formulas.negated(formulas.less(clbits, value + 1))


def _same(left: Value, right: Value, source: Source, at: int) -> Formula:
    if isinstance(left, Bits) and isinstance(right, Bits) and (len(left.clbits) > 1 or len(right.clbits) > 1):
        if len(left.clbits) != len(right.clbits):
            raise source.error(
                ParseError,
                at,
                f"registers of different sizes are compared: {len(left.clbits)} and {len(right.clbits)}",
            )
        whole: Formula = True
        for one, other in zip(left.clbits, right.clbits, strict=True):
            equal = formulas.negated(_differ(formulas.equals((one,), 1), formulas.equals((other,), 1)))
            whole = formulas.both(whole, equal)
        return whole
    return formulas.negated(_differ(truth(left, source, at), truth(right, source, at)))


def _differ(left: Formula, right: Formula) -> Formula:
    return formulas.either(
        formulas.both(left, formulas.negated(right)), formulas.both(formulas.negated(left), right)
    )


def _is_one_bit(value: Value) -> bool:
    return isinstance(value, (bool, Choice)) or (isinstance(value, Bits) and len(value.clbits) == 1)


def _indexed(item: Apply, values: Sequence[Value], source: Source) -> Value:
    bits, *numbers = values
    if not isinstance(bits, Bits):
        raise source.error(
            UnsupportedFeature, item.at, f"an index into {shown_value(bits)}; registers of bits have elements"
        )
    for number in numbers:
        if not isinstance(number, int):
            raise source.error(
                ParseError, item.at + 1, f"an index is a whole number, not {shown_value(number)}"
            )
    return Bits(picked(bits.clbits, numbers, source, item.at + 1))  # type: ignore[arg-type]


def picked(places: Sequence[int], numbers: Sequence[int], source: Source, at: int) -> Sequence[int]:
    """The element [index], or those of the slice [first:last] or [first:step:last], which has its last one.

    Raises:
        ParseError: an index outside the register, a step of 0, or more than three numbers.
    """
    size = len(places)
    if len(numbers) > 3 or (len(numbers) == 3 and not numbers[1]):
        raise source.error(ParseError, at, "a slice is [first:last] or [first:step:last], its step not 0")
    ends = (numbers[0], numbers[-1])
    for index in ends:
        if not -size <= index < size:
            raise source.error(ParseError, at, f"index {index} is outside 0..{size - 1}")
    first, last = (index + size if index < 0 else index for index in ends)
    if len(numbers) == 1:
        return places[first : first + 1]
    step = numbers[1] if len(numbers) == 3 else 1
    if step > 0:
        return places[first : last + 1 : step]
    return places[first : last - 1 if last else None : step]


def _cast(item: Apply, value: Value, source: Source) -> Value:
    kind, width = item.operator, item.width
    if isinstance(value, (Bits, Choice)):
        if kind == "bool":
            return truth(value, source, item.at)
        size = len(value.clbits) if isinstance(value, Bits) else 1
        if kind in ("uint", "bit", "int") and (
            not width or width > size or (width == size and kind != "int")
        ):
            return value
        raise source.error(
            UnsupportedFeature,
            item.at,
            f"{kind} of measured bits: uint[{size}](…) may be compared with numbers",
        )
    if kind in ("int", "uint") and isinstance(value, float):
        value = int(value)
    return converted(kind, width, value, source, item.at)


def _timed(item: Apply, values: Sequence[Value], source: Source) -> Value:
    match item.operator, *values:
        case "neg", Duration(ns):
            return Duration(-ns)
        case "pos", Duration(ns):
            return Duration(ns)
        case "+", Duration(left), Duration(right):
            return Duration(left + right)
        case "-", Duration(left), Duration(right):
            return Duration(left - right)
        case "*", Duration(ns), int() | float() as factor:
            return Duration(ns * factor)
        case "*", int() | float() as factor, Duration(ns):
            return Duration(ns * factor)
        case "/", Duration(ns), int() | float() as factor:
            return Duration(ns / factor)
        case "/", Duration(left), Duration(right):
            return left / right
        case name, Duration(left), Duration(right) if name in _COMPARISONS:
            return _COMPARISONS[name](left, right)
    raise source.error(ParseError, item.at, f"{source.shown(item.at)} does not take a duration so")


def _bounded(value: int | float) -> int | float:
    return value if -1e15 < value < 1e15 else float(value)


def _quotient(left: int, right: int) -> int:
    """Towards 0, as OpenQASM 3 has it."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: int | float, right: int | float) -> int | float:
    if isinstance(left, int) and isinstance(right, int) and right:
        return left - right * _quotient(left, right)
    return math.fmod(left, right)


def _power(left: int | float, right: int | float) -> int | float:
    power = math.pow(left, right)
    whole = isinstance(left, int) and isinstance(right, int) and power.is_integer() and abs(power) < 1e15
    return int(power) if whole else power


def _popcount(value: int | float) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"popcount of {value}")
    return value.bit_count()


#: Types that may be called as functions.
CASTS: Final = frozenset({"int", "uint", "float", "angle", "bool", "bit"})
_OF_ONE: Final[dict[str, Callable[..., int | float]]] = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "exp": math.exp, "ln": math.log, "log": math.log,
    "sqrt": math.sqrt, "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan, "asin": math.asin,
    "acos": math.acos, "atan": math.atan, "floor": math.floor, "ceiling": math.ceil, "abs": abs, "popcount": _popcount,
}  # fmt: skip
#: Functions, and how many values they take.
FUNCTIONS: Final[dict[str, tuple[int, Callable[..., int | float]]]] = {
    **{name: (1, function) for name, function in _OF_ONE.items()},
    "mod": (2, _remainder),
    "pow": (2, _power),
}  # fmt: skip
_COMPARISONS: Final[dict[str, Callable[..., bool]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WHOLE: Final[dict[str, Callable[..., int]]] = {
    "&": operator.and_, "|": operator.or_, "^": operator.xor, "<<": operator.lshift, ">>": operator.rshift,
    "~": operator.invert,
}  # fmt: skip
