"""Conditions on classical bits: formulas over comparisons, and the nested IfElse that they come to.

A formula is made of tests, each of which compares some bits with one number. All of them are asked
before anything is done, so nesting IfElse says any formula exactly; what is done is copied where
several of its paths lead to the same branch, and `paths` counts the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Union

from qfw.model.program import IfElse, Operation


class Bits(NamedTuple):
    """Classical bits that a measurement may have written, the least significant one first."""

    clbits: Sequence[int]


class Test(NamedTuple):
    """Whether the bits, the first one least significant, equal `value`."""

    clbits: tuple[int, ...]
    value: int


class Choice(NamedTuple):
    """`then` where the test holds, else `otherwise`: a decision that tests ask in turn."""

    test: Test
    then: Formula
    otherwise: Formula
    #: Tests that the whole asks, copies counted; and how many of them stand within each other.
    size: int
    levels: int


#: True and False are formulas that no bit has a say in.
Formula = Union[bool, Choice]  # noqa: UP007 - evaluated at run time

#: Tests of one formula: enough for any that a person writes, few enough to build at once.
MAX_TESTS = 256


class TooManyTests(Exception):
    """A formula of more than MAX_TESTS tests."""


def choice(test: Test, then: Formula, otherwise: Formula) -> Formula:
    """The formula that asks a test first; a test whose answer does not matter is left out."""
    if then is otherwise or then == otherwise:
        return then
    size = 1 + _size(then) + _size(otherwise)
    return Choice(test, then, otherwise, size, 1 + max(levels(then), levels(otherwise)))


def equals(clbits: Sequence[int], value: int) -> Formula:
    """That the bits equal a number; False for a number that they cannot hold."""
    wanted: dict[int, int] = {}
    for position, clbit in enumerate(clbits):
        bit = value >> position & 1
        if wanted.setdefault(clbit, bit) != bit:
            return False
    if not 0 <= value < 1 << len(clbits):
        return False
    return choice(_test(wanted), True, False) if wanted else True


def less(clbits: Sequence[int], value: int) -> Formula:
    """That the bits, as a number without a sign, are less than `value`."""
    if value <= 0:
        return False
    if value >= 1 << len(clbits):
        return True
    formula: Formula = False
    # Less: equal above some bit that is set in `value`, and not set there.
    for position in range(len(clbits)):
        if value >> position & 1:
            cube = {clbits[p]: value >> p & 1 for p in range(position + 1, len(clbits))}
            formula = either(choice(_test({clbits[position]: 0, **cube}), True, False), formula)
    return formula


def negated(formula: Formula) -> Formula:
    """That the formula does not hold."""
    if isinstance(formula, bool):
        return not formula
    if formula.then is True and formula.otherwise is False and len(formula.test.clbits) == 1:
        # One bit has one other value.
        return choice(Test(formula.test.clbits, 1 - formula.test.value), True, False)
    return choice(formula.test, negated(formula.then), negated(formula.otherwise))


def both(left: Formula, right: Formula) -> Formula:
    """That both hold; two plain tests become one test of all their bits."""
    if isinstance(left, bool):
        return right if left else False
    if isinstance(right, bool):
        return left if right else False
    first, second = plain(left), plain(right)
    if first is not None and second is not None:
        clbits = first.clbits + second.clbits
        return equals(clbits, first.value | second.value << len(first.clbits))
    return _replaced(left, right, False)


def either(left: Formula, right: Formula) -> Formula:
    """That one of them holds, or both."""
    if isinstance(left, bool):
        return True if left else right
    if isinstance(right, bool):
        return True if right else left
    return _replaced(left, True, right)


def plain(formula: Formula) -> Test | None:
    """The test that a formula is no more than, if so."""
    if isinstance(formula, Choice) and formula.then is True and formula.otherwise is False:
        return formula.test
    return None


def levels(formula: Formula) -> int:
    """How many tests stand within each other at most."""
    return 0 if isinstance(formula, bool) else formula.levels


def paths(formula: Formula) -> tuple[int, int]:
    """How many copies the branch taken where it holds has, and the other one."""
    if isinstance(formula, bool):
        return (1, 0) if formula else (0, 1)
    then, otherwise = paths(formula.then), paths(formula.otherwise)
    return then[0] + otherwise[0], then[1] + otherwise[1]


def decided(
    formula: Formula, then: tuple[Operation, ...], otherwise: tuple[Operation, ...]
) -> tuple[Operation, ...]:
    """The operations that do `then` where the formula holds, else `otherwise`."""
    if isinstance(formula, bool):
        return then if formula else otherwise
    inner = decided(formula.then, then, otherwise)
    return (
        IfElse(formula.test.clbits, formula.test.value, inner, decided(formula.otherwise, then, otherwise)),
    )


def _test(wanted: dict[int, int]) -> Test:
    return Test(tuple(wanted), sum(bit << position for position, bit in enumerate(wanted.values())))


def _size(formula: Formula) -> int:
    return 0 if isinstance(formula, bool) else formula.size


def _replaced(formula: Formula, holds: Formula, fails: Formula) -> Formula:
    """The formula with others in the place of True and False.

    Raises:
        TooManyTests: it comes to more than MAX_TESTS tests.
    """
    if isinstance(formula, bool):
        return holds if formula else fails
    made = choice(
        formula.test, _replaced(formula.then, holds, fails), _replaced(formula.otherwise, holds, fails)
    )
    if _size(made) > MAX_TESTS:
        raise TooManyTests
    return made
