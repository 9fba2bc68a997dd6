"""Conditions of loops: a formula as tests of which one or several hold, and the While that come to it.

A While asks one test. `while (A or B) S` does the same as `while (A) S; while (B) { S; while (A) S }`:
wherever B is asked A has just failed, and behind the loops both have. More tests are taken one by one, so the
body stands 2^tests - 1 times in the loops.
"""

from __future__ import annotations

from collections.abc import Iterator

from qfw.formats.formulas import Formula, Test, TooManyTests, choice
from qfw.model.program import Operation, While

#: Tests of one loop: its body stands 255 times in it then.
MAX_WAYS = 8
#: Tests that are looked at for one cover: some milliseconds.
_MAX_STEPS = 10_000

#: Bit -> its value, of the bits that matter.
Cube = dict[int, int]


def cover(formula: Formula) -> list[Test]:
    """Tests of which at least one holds wherever the formula does, and none elsewhere; none of them is idle.

    Raises:
        TooManyTests: they are more than MAX_WAYS, or the formula is too long to know.
    """
    search = _Search()
    opposite = _opposite(formula)
    found: list[Cube] = []
    for path in search.paths(formula, {}):
        if any(cube.items() <= path.items() for cube in found):
            continue
        wide = search.widened(opposite, path)
        found = [cube for cube in found if not wide.items() <= cube.items()]
        found.append(wide)
        if len(found) > 4 * MAX_WAYS:
            raise TooManyTests
    # What the others say together need not be said.
    for cube in list(found):
        others = _any(one for one in found if one is not cube)
        if len(found) > 1 and search.excluded(_opposite(others), cube):
            found.remove(cube)
    if len(found) > MAX_WAYS:
        raise TooManyTests
    return [_test(cube) for cube in found]


def looped(tests: list[Test], body: tuple[Operation, ...], max_trips: int) -> tuple[Operation, ...]:
    """Loops that do `body` as long as one of the tests holds; each makes at most `max_trips` trips."""
    made: tuple[Operation, ...] = ()
    for test in tests:
        made = (*made, While(test.clbits, test.value, (*body, *made), max_trips))
    return made


def looped_size(tests: list[Test], size: int) -> int:
    """Operations that `looped` comes to for a body of `size`, those within others included."""
    return ((1 << len(tests)) - 1) * (size + 1)


class _Search:
    """Looks for values of bits; gives up, by TooManyTests, after so many steps."""

    def __init__(self) -> None:
        self._steps = 0

    def paths(self, formula: Formula, known: Cube) -> Iterator[Cube]:
        """Values of bits under which the formula holds, whatever the others are; together all of them."""
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise TooManyTests
        if isinstance(formula, bool):
            if formula:
                yield known
            return
        test = formula.test
        wanted = {clbit: test.value >> position & 1 for position, clbit in enumerate(test.clbits)}
        if any(known.get(clbit, bit) != bit for clbit, bit in wanted.items()):
            yield from self.paths(formula.otherwise, known)
            return
        yield from self.paths(formula.then, {**known, **wanted})
        for clbit, bit in wanted.items():
            if clbit not in known:
                yield from self.paths(formula.otherwise, {**known, clbit: 1 - bit})

    def excluded(self, formula: Formula, cube: Cube) -> bool:
        """Whether the formula holds nowhere in the cube."""
        return next(self.paths(formula, cube), None) is None

    def widened(self, opposite: Formula, cube: Cube) -> Cube:
        """The cube without the bits that it need not name to lie outside of a formula."""
        for clbit in list(cube):
            fewer = {other: bit for other, bit in cube.items() if other != clbit}
            if self.excluded(opposite, fewer):
                cube = fewer
        return cube


def _opposite(formula: Formula) -> Formula:
    if isinstance(formula, bool):
        return not formula
    return choice(formula.test, _opposite(formula.then), _opposite(formula.otherwise))


def _any(cubes: Iterator[Cube]) -> Formula:
    formula: Formula = False
    for cube in cubes:
        formula = choice(_test(cube), True, formula)
    return formula


def _test(cube: Cube) -> Test:
    return Test(tuple(cube), sum(bit << position for position, bit in enumerate(cube.values())))
