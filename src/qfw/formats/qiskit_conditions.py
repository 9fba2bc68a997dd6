"""Conditions of Qiskit's control flow: classical bits that equal a value, or that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr, types

from qfw.model.errors import UnsupportedFeature

_BINARY = expr.Binary.Op
_UNARY = expr.Unary.Op


class Condition(NamedTuple):
    """Whether the bits, the first one least significant, equal `value`; with `negated`, do not."""

    clbits: tuple[int, ...]
    value: int
    negated: bool = False

    def inverted(self) -> Condition:
        """True where this one is false; of one bit never `negated`."""
        if len(self.clbits) == 1:
            return Condition(self.clbits, 1 - self.value)
        return self._replace(negated=not self.negated)


def condition(given: Any, clbits: Mapping[Clbit, int]) -> Condition:
    """The condition of an if_else or while_loop.

    Args:
        given: Qiskit's pair (bit or register, value), or expression.
        clbits: the circuit's number of each bit.

    Raises:
        UnsupportedFeature: it is not made of bits and registers that are compared with constants.
    """
    if isinstance(given, tuple):
        target, value = given
        return _equal(target_bits(target, clbits), int(value), given)
    return _boolean(given, clbits)


def equals(target: Any, value: int, clbits: Mapping[Clbit, int]) -> Condition:
    """That the target of a switch, a bit, register or expression of one, equals `value`."""
    return _equal(target_bits(target, clbits), int(value), (target, value))


def target_bits(target: Any, clbits: Mapping[Clbit, int]) -> tuple[int, ...]:
    """The bits of a bit, a register, or an expression that is one of these.

    Raises:
        UnsupportedFeature: it is something else.
    """
    match target:
        case Clbit():
            return (clbits[target],)
        case ClassicalRegister():
            return tuple([clbits[bit] for bit in target])
        case expr.Var(var=Clbit() | ClassicalRegister()):
            return target_bits(target.var, clbits)
        case expr.Cast(operand=operand, type=types.Uint()) if isinstance(operand.type, types.Uint):
            if target.type.width >= operand.type.width:
                return target_bits(operand, clbits)
        case expr.Index(target=operand, index=expr.Value(value=position)):
            bits = target_bits(operand, clbits)
            if position < len(bits):
                return (bits[position],)
    raise _unsupported(target)


def _boolean(node: expr.Expr, clbits: Mapping[Clbit, int]) -> Condition:
    if not isinstance(node.type, types.Bool):
        raise _unsupported(node)
    match node:
        case expr.Var() | expr.Index():
            return Condition(target_bits(node, clbits), 1)
        case expr.Cast(operand=operand) if isinstance(operand.type, types.Bool):
            return _boolean(operand, clbits)
        case expr.Cast(operand=operand) if isinstance(operand.type, types.Uint):
            return _equal(target_bits(operand, clbits), 0, node).inverted()
        case expr.Unary(op=_UNARY.LOGIC_NOT | _UNARY.BIT_NOT, operand=operand):
            return _boolean(operand, clbits).inverted()
        case expr.Binary(op=_BINARY.EQUAL | _BINARY.NOT_EQUAL, left=left, right=right):
            if isinstance(left, expr.Value):
                left, right = right, left
            if isinstance(right, expr.Value):
                found = _compared(left, right.value, clbits, node)
                return found if node.op is _BINARY.EQUAL else found.inverted()
        case expr.Binary(op=_BINARY.LOGIC_AND | _BINARY.BIT_AND, left=left, right=right):
            return _both(_boolean(left, clbits), _boolean(right, clbits), node)
        case expr.Binary(op=_BINARY.LOGIC_OR | _BINARY.BIT_OR, left=left, right=right):
            neither = _boolean(left, clbits).inverted(), _boolean(right, clbits).inverted()
            return _both(*neither, node).inverted()
    raise _unsupported(node)


def _compared(left: expr.Expr, value: Any, clbits: Mapping[Clbit, int], shown: object) -> Condition:
    if isinstance(left.type, types.Bool):
        found = _boolean(left, clbits)
        return found if value else found.inverted()
    return _equal(target_bits(left, clbits), int(value), shown)


def _both(left: Condition, right: Condition, shown: object) -> Condition:
    if left.negated or right.negated:
        raise _unsupported(shown)
    wanted: dict[int, int] = {}
    for part in (left, right):
        for position, clbit in enumerate(part.clbits):
            bit = part.value >> position & 1
            if wanted.setdefault(clbit, bit) != bit:
                raise _constant(shown)
    return Condition(tuple(wanted), _number(wanted.values()))


def _number(bits: Any) -> int:
    return sum(bit << position for position, bit in enumerate(bits))


def _equal(bits: Sequence[int], value: int, shown: object) -> Condition:
    if not bits or not 0 <= value < 1 << len(bits):
        raise _constant(shown)
    return Condition(tuple(bits), value)


def _unsupported(shown: object) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"the condition {shown} is not supported; bits and registers may be compared with constants (==, !=, not), "
        "and such comparisons combined with and, or. Nest if_test for others"
    )


def _constant(shown: object) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"the condition {shown} is the same whatever the bits are; leave it out, or correct its value"
    )
