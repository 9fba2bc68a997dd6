"""Values that depend on measured bits, as decision diagrams.

A value is a leaf (a number, a pointer, …) or a `Choice`: one value where a bit is 0,
another where it is 1. Bits stand in one order in every diagram, and equal parts are one
object, so that a conjunction of many bits stays small and equality is a comparison of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from qfw.model.errors import TooLarge

#: Choices of all values of one program.
MAX_CHOICES = 20_000
#: Bits that one value depends on.
MAX_BITS = 100


class Bit(NamedTuple):
    """What a classical bit held after its measurement of number `version`."""

    #: Below 0: the going on of a counted loop.
    clbit: int
    version: int


@dataclass(frozen=True, eq=False)
class Choice:
    """`low` where the bit is 0, `high` where it is 1."""

    bit: Bit
    low: object
    high: object
    depth: int


def same(left: object, right: object) -> bool:
    """Whether two values are one."""
    return left is right or _key(left) == _key(right)


class Diagrams:
    """The choices of one program."""

    def __init__(self) -> None:
        self._nodes: dict[object, Choice] = {}

    def bit(self, bit: Bit) -> Choice:
        """The value of a bit: 0 or 1."""
        made = self.choice(bit, 0, 1)
        assert isinstance(made, Choice)
        return made

    def choice(self, bit: Bit, low: object, high: object) -> object:
        """One of two values, by a bit that comes before all of theirs.

        Raises:
            TooLarge: the value depends on too many bits, or on some in too many ways.
        """
        key = (bit, _key(low), _key(high))
        if key[1] == key[2]:
            return low
        node = self._nodes.get(key)
        if node is None:
            depth = 1 + max(
                low.depth if isinstance(low, Choice) else 0, high.depth if isinstance(high, Choice) else 0
            )
            if depth > MAX_BITS or len(self._nodes) >= MAX_CHOICES:
                raise TooLarge(
                    f"the QIR computes with measured bits beyond {MAX_BITS} in one value or {MAX_CHOICES} "
                    "choices in all; compute after the run instead"
                )
            node = self._nodes[key] = Choice(bit, low, high, depth)
        return node

    def apply(self, compute: Callable[..., object], *values: object) -> object:
        """`compute` on the leaves of values."""
        return self._apply(compute, values, {})

    def _apply(
        self, compute: Callable[..., object], values: tuple[object, ...], known: dict[object, object]
    ) -> object:
        choices = [value for value in values if isinstance(value, Choice)]
        if not choices:
            return compute(*values)
        key = tuple([_key(value) for value in values])
        if key not in known:
            bit = min([choice.bit for choice in choices])
            sides = [
                self._apply(
                    compute,
                    tuple(
                        [
                            _side(value, high) if isinstance(value, Choice) and value.bit == bit else value
                            for value in values
                        ]
                    ),
                    known,
                )
                for high in (False, True)
            ]
            known[key] = self.choice(bit, *sides)
        return known[key]

    def select(self, condition: object, high: object, low: object) -> object:
        """`high` where the condition is 1, `low` where it is 0."""
        return self.apply(lambda c, a, b: a if c else b, condition, high, low)

    def renamed(self, value: object, names: dict[Bit, Bit]) -> object:
        """The value with other versions of bits."""
        if not isinstance(value, Choice) or not names:
            return value
        known: dict[int, object] = {}

        def rename(node: object) -> object:
            if not isinstance(node, Choice):
                return node
            if id(node) not in known:
                bit = self.bit(names.get(node.bit, node.bit))
                known[id(node)] = self.select(bit, rename(node.high), rename(node.low))
            return known[id(node)]

        return rename(value)


def bits(value: object) -> list[Bit]:
    """The bits that a value depends on."""
    found: set[Bit] = set()
    seen: set[int] = set()
    open_nodes = [value]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, Choice) and id(node) not in seen:
            seen.add(id(node))
            found.add(node.bit)
            open_nodes += (node.low, node.high)
    return sorted(found)


def conjunction(condition: object) -> list[tuple[Bit, int]] | None:
    """Pairs (bit, value) that hold together exactly where the condition is 1; None where there are none."""
    pairs: list[tuple[Bit, int]] = []
    while isinstance(condition, Choice):
        if same(condition.low, 0):
            pairs.append((condition.bit, 1))
            condition = condition.high
        elif same(condition.high, 0):
            pairs.append((condition.bit, 0))
            condition = condition.low
        else:
            return None
    return pairs if same(condition, 1) else None


def leaves(value: object) -> Iterator[object]:
    """The leaves of a value, each once."""
    seen: set[int] = set()
    open_nodes = [value]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, Choice):
            if id(node) not in seen:
                seen.add(id(node))
                open_nodes += (node.low, node.high)
        else:
            yield node


def _side(choice: Choice, high: bool) -> object:
    return choice.high if high else choice.low


def _key(value: object) -> object:
    return ("choice", id(value)) if isinstance(value, Choice) else (type(value), repr(value))
