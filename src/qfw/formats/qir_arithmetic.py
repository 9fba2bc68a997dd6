"""Classical instructions of QIR: integers, doubles, comparisons, conversions.

Each is computed on known leaves, for every case of the measured bits that its operands
depend on. Doubles may be affine in the parameters of the entry point.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from qfw.formats.qir_text import Instruction, Label, Pointer, Undefined, arguments, int_width, typed
from qfw.formats.qir_values import Choice, Diagrams
from qfw.formats.recipes import added, scaled
from qfw.model.errors import ParseError, UnsupportedFeature
from qfw.model.program import Affine, Angle


class Counter(NamedTuple):
    """What counts the trips of a loop, plus a number; its value is not looked at."""

    number: int
    offset: int
    width: int


#: Gives the condition (counter, predicate, bound) of a counted loop.
Trip = Callable[[Counter, str, int], object]


def compute(
    instruction: Instruction, value: Callable[[str, str], object], diagrams: Diagrams, trip: Trip
) -> object:
    """The result of an instruction; `value` gives operands by type and text.

    Raises:
        UnsupportedFeature: an instruction that is not read, or a leaf that it cannot be computed of.
    """
    opcode, line = instruction.opcode, instruction.line
    rest = _FLAGS.sub("", instruction.rest).strip()
    if opcode in _CONVERSIONS:
        found = _CONVERSION.fullmatch(rest)
        if found is None:
            raise ParseError(f"{opcode} {rest[:60]!r} is not understood", line, 1)
        return diagrams.apply(
            lambda leaf: _converted(opcode, found[1], leaf, found[3], line), value(found[1], found[2])
        )
    if opcode == "select":
        condition, high, low = (_split(part, line) for part in _three(rest, line))
        return diagrams.apply(
            lambda c, a, b: a if integer(c, line) else b, value(*condition), value(*high), value(*low)
        )
    if opcode in ("icmp", "fcmp"):
        predicate, _, rest = rest.partition(" ")
        kind, left, right = _operands(rest, value, line)
        if opcode == "fcmp":
            return diagrams.apply(lambda a, b: _ordered(predicate, a, b, line), left, right)
        if isinstance(left, Counter) and type(right) is int:
            return trip(left, predicate, right)
        if isinstance(right, Counter) and type(left) is int:
            return trip(right, _TURNED.get(predicate, predicate), left)
        if isinstance(left, Pointer) and isinstance(right, Pointer):
            left, right = left.number, right.number
        width = int_width(kind) or 64
        return diagrams.apply(lambda a, b: compared(predicate, a, b, width, line), left, right)
    if opcode in ("fneg", "freeze"):
        kind, text = _split(rest, line)
        if opcode == "freeze":
            return value(kind, text)
        return diagrams.apply(lambda leaf: scaled(angle(leaf, line), -1.0), value(kind, text))
    if opcode in _INTEGERS:
        kind, left, right = _operands(rest, value, line)
        width = int_width(kind)
        if not width:
            raise UnsupportedFeature(f"line {line}: {opcode} of {kind} is not read")
        return diagrams.apply(lambda a, b: _integers(opcode, a, b, width, line), left, right)
    if opcode in _DOUBLES:
        kind, left, right = _operands(rest, value, line)
        return diagrams.apply(
            lambda a, b: _doubles(opcode, angle(a, line), angle(b, line), line), left, right
        )
    raise UnsupportedFeature(f"line {line}: the instruction {opcode} is not read{_HINTS.get(opcode, '')}")


def integer(leaf: object, line: int) -> int:
    """A leaf that has to be a known integer."""
    if type(leaf) is int:
        return leaf
    raise UnsupportedFeature(f"line {line}: this is no integer that is known here: {_described(leaf)}")


def angle(leaf: object, line: int) -> Angle:
    """A leaf that has to be a double."""
    if isinstance(leaf, float | Affine):
        return leaf
    raise UnsupportedFeature(f"line {line}: this is no double that is known here: {_described(leaf)}")


def compared(predicate: str, left: object, right: object, width: int, line: int) -> int:
    """Whether two integers of `width` bits compare so: 1 or 0."""
    a, b = integer(left, line), integer(right, line)
    if predicate not in _COMPARISONS:
        raise ParseError(f"no comparison is called {predicate[:20]}", line, 1)
    signed, compare = _COMPARISONS[predicate]
    if signed:
        a, b = _signed(a, width), _signed(b, width)
    return int(compare(a, b))


def _integers(opcode: str, left: object, right: object, width: int, line: int) -> object:
    if isinstance(right, Counter) and opcode == "add":
        left, right = right, left
    if isinstance(left, Counter) and type(right) is int and opcode in ("add", "sub"):
        return left._replace(offset=left.offset + _signed(right, width) * (1 if opcode == "add" else -1))
    a, b = integer(left, line), integer(right, line)
    signed = (_signed(a, width), _signed(b, width))
    if opcode in ("udiv", "urem", "sdiv", "srem"):
        if b == 0:
            raise UnsupportedFeature(f"line {line}: {opcode} by zero")
        if opcode[0] == "u":
            return a // b if opcode == "udiv" else a % b
        quotient = abs(signed[0]) // abs(signed[1]) * (1 if (signed[0] < 0) == (signed[1] < 0) else -1)
        return (quotient if opcode == "sdiv" else signed[0] - quotient * signed[1]) % (1 << width)
    if opcode in ("shl", "lshr", "ashr"):
        if b >= width:
            raise UnsupportedFeature(f"line {line}: {opcode} by {b} bits of {width}")
        shifted = a << b if opcode == "shl" else a >> b if opcode == "lshr" else signed[0] >> b
        return shifted % (1 << width)
    return int(_INTEGERS[opcode](a, b)) % (1 << width)


def _doubles(opcode: str, left: Angle, right: Angle, line: int) -> Angle:
    if opcode == "fadd":
        return added(left, right)
    if opcode == "fsub":
        return added(left, scaled(right, -1.0))
    if opcode == "fmul":
        if isinstance(left, Affine):
            left, right = right, left
        if not isinstance(left, Affine):
            return scaled(right, left)
    if not isinstance(right, Affine):
        if opcode == "fdiv" and right != 0:
            if isinstance(left, Affine):
                return Affine(tuple((i, c / right) for i, c in left.terms), left.offset / right)
            return left / right
        if opcode == "frem" and right != 0 and not isinstance(left, Affine) and math.isfinite(left):
            return math.fmod(left, right)
    raise UnsupportedFeature(f"line {line}: {opcode} here is not affine in the parameters of the entry point")


def _ordered(predicate: str, left: object, right: object, line: int) -> int:
    a, b = angle(left, line), angle(right, line)
    if isinstance(a, Affine) or isinstance(b, Affine):
        raise UnsupportedFeature(f"line {line}: a branch on a parameter of the entry point is not read")
    unordered = math.isnan(a) or math.isnan(b)
    if predicate in ("true", "false"):
        return int(predicate == "true")
    if predicate in ("ord", "uno"):
        return int(unordered == (predicate == "uno"))
    compare = _FLOAT_COMPARISONS.get(predicate[1:])
    if compare is None or predicate[0] not in "ou":
        raise ParseError(f"no comparison is called {predicate[:20]}", line, 1)
    return int(predicate[0] == "u") if unordered else int(compare(a, b))


def _converted(opcode: str, source: str, leaf: object, target: str, line: int) -> object:
    if opcode in ("bitcast", "addrspacecast", "fpext"):
        if opcode != "fpext" and not isinstance(leaf, Pointer | Label | Undefined):
            raise UnsupportedFeature(f"line {line}: {opcode} of {source} is not read")
        return leaf
    if opcode == "inttoptr":
        return Pointer(integer(leaf, line))
    if opcode == "ptrtoint":
        if not isinstance(leaf, Pointer):
            raise UnsupportedFeature(f"line {line}: ptrtoint of {_described(leaf)}")
        return leaf.number
    number, width = integer(leaf, line), int_width(source)
    if opcode in ("uitofp", "sitofp"):
        return float(number if opcode == "uitofp" else _signed(number, width))
    if not int_width(target):
        raise UnsupportedFeature(f"line {line}: {opcode} to {target} is not read")
    return (_signed(number, width) if opcode == "sext" else number) % (1 << int_width(target))


def _operands(text: str, value: Callable[[str, str], object], line: int) -> tuple[str, object, object]:
    parts = arguments(text, line)
    if len(parts) != 2:
        raise ParseError(f"{text[:60]!r} are not two operands", line, 1)
    kind, left = _split(parts[0], line)
    return kind, value(kind, left), value(kind, parts[1])


def _three(text: str, line: int) -> list[str]:
    parts = arguments(text, line)
    if len(parts) != 3:
        raise ParseError(f"{text[:60]!r} are not three operands", line, 1)
    return parts


def _split(text: str, line: int) -> tuple[str, str]:
    kind, _, rest = text.partition(" ")
    rest = rest.lstrip("* ")
    if not rest:
        raise ParseError(f"{text[:60]!r} is no value with its type", line, 1)
    typed(text, line)
    return kind, rest


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if width and value >> (width - 1) & 1 else value


def _described(leaf: object) -> str:
    if isinstance(leaf, Counter):
        return "the count of a loop"
    if isinstance(leaf, Undefined):
        return leaf.what
    if isinstance(leaf, Choice):
        return "a choice of measured bits"
    return "nothing" if leaf is None else type(leaf).__name__.lower()


_FLAGS = re.compile(
    r"^(?:(?:nuw|nsw|exact|disjoint|nneg|samesign|fast|nnan|ninf|nsz|arcp|contract|reassoc|afn)\s+)+"
)
_CONVERSION = re.compile(r"([^\s*]+(?:\s*\*)*)\s+(\S.*?)\s+to\s+(\S.*)")
_CONVERSIONS = frozenset(
    {
        "zext", "sext", "trunc", "bitcast", "addrspacecast", "inttoptr", "ptrtoint", "sitofp", "uitofp", "fpext",
    }
)  # fmt: skip
_INTEGERS: Final[dict[str, Callable[[int, int], int]]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
} | dict.fromkeys(("shl", "lshr", "ashr", "udiv", "sdiv", "urem", "srem"), operator.add)
_DOUBLES = frozenset({"fadd", "fsub", "fmul", "fdiv", "frem"})
#: Predicate -> (whether signed, comparison).
_COMPARISONS: Final[dict[str, tuple[bool, Callable[[int, int], bool]]]] = {
    "eq": (False, operator.eq),
    "ne": (False, operator.ne),
    "ult": (False, operator.lt),
    "ule": (False, operator.le),
    "ugt": (False, operator.gt),
    "uge": (False, operator.ge),
    "slt": (True, operator.lt),
    "sle": (True, operator.le),
    "sgt": (True, operator.gt),
    "sge": (True, operator.ge),
}
_FLOAT_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_TURNED = {
    f"{sign}{one}": f"{sign}{other}"
    for sign in "us"
    for one, other in (("lt", "gt"), ("le", "ge"), ("gt", "lt"), ("ge", "le"))
}
_HINTS = dict.fromkeys(
    ("alloca", "load", "store", "getelementptr"), ": let the compiler turn memory into values (mem2reg)"
)
