"""Where the qubits of the built-in models are, and which of them are neighbours."""

from __future__ import annotations

from math import cos, pi, sin
from typing import NamedTuple

Pair = tuple[int, int]
Position = tuple[float, float]


class Lattice(NamedTuple):
    """Qubits in a plane."""

    #: Of each qubit (x, y); y grows upwards.
    positions: tuple[Position, ...]
    #: Neighbours, each pair once, the lower number first.
    pairs: tuple[Pair, ...]


def heavy_hex(rows: list[range], bridges: list[list[int]]) -> Lattice:
    """Heavy hexagons: rows of qubits, and bridges of one qubit each between rows, numbered in reading order.

    Args:
        rows: the columns of each row.
        bridges: the columns of the bridges above the first row, below it, below the second …; one more list
            than there are rows. A bridge at the rim hangs on one row only.
    """
    number: dict[Position, int] = {}
    for at, bridge in enumerate(bridges):
        for column in bridge:
            number[float(column), 1.0 - 2 * at] = len(number)
        if at < len(rows):
            for column in rows[at]:
                number[float(column), -2.0 * at] = len(number)
    pairs: list[Pair] = []
    for (x, y), qubit in number.items():
        in_row = y % 2 == 0
        neighbours = [(x + 1, y), (x, y - 1)] if in_row else [(x, y - 1)]
        pairs += [(qubit, number[place]) for place in neighbours if place in number]
    return Lattice(tuple(number), tuple(sorted(pairs)))


def heavy_hex_20() -> Lattice:
    """One hexagon of 12 qubits with the beginnings of its neighbours: the smallest patch with every kind of place."""
    return heavy_hex([range(8), range(-1, 7)], [[3], [1, 5], [3]])


def heavy_hex_127() -> Lattice:
    """Seven rows of 15 qubits, the first and last of 14, with four bridges between each two: 18 hexagons."""
    rows = [range(14), *([range(15)] * 5), range(1, 15)]
    return heavy_hex(rows, [[], *([[0, 4, 8, 12], [2, 6, 10, 14]] * 3), []])


def ring(count: int) -> tuple[Position, ...]:
    """Positions on a circle, the first at the top, then clockwise: of a chain in which all see each other.

    Three decimals, so that they are the same with every mathematics library.
    """
    radius = count / 4
    turns = (2 * pi * index / count for index in range(count))
    return tuple((round(radius * sin(turn), 3), round(radius * cos(turn), 3)) for turn in turns)
