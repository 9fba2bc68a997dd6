"""Which qubit of a program goes to which device: few gates between devices, by the rule of Kernighan and Lin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

#: Starts that are tried.
STARTS = 8

Weights = Mapping[tuple[int, int], int]


def partition(weights: Weights, sizes: Sequence[int], num_qubits: int, seed: int) -> tuple[int, ...]:
    """The part of every qubit.

    Args:
        weights: gates between two qubits, by the pair in rising order.
        sizes: qubits that each part holds; together at least `num_qubits`.
        num_qubits: of the program.
        seed: of the starts.

    From each start, moves of one qubit and exchanges of two are made as long as one saves gates between parts; the best
    end counts, the first of equals.
    """
    neighbours: list[dict[int, int]] = [{} for _ in range(num_qubits)]
    for (one, other), weight in weights.items():
        neighbours[one][other] = neighbours[one].get(other, 0) + weight
        neighbours[other][one] = neighbours[other].get(one, 0) + weight
    random = Random(seed)
    best: tuple[int, tuple[int, ...]] | None = None
    for start in range(STARTS):
        order = list(range(num_qubits))
        if start % 2:
            order = _along(neighbours, random)
        elif start:
            random.shuffle(order)
        parts = _filled(order, sizes, start)
        _improve(parts, neighbours, sizes)
        found = (_between(parts, weights), tuple(parts))
        if best is None or found[0] < best[0]:
            best = found
    assert best is not None
    return best[1]


def _between(parts: Sequence[int], weights: Weights) -> int:
    return sum(weight for (one, other), weight in weights.items() if parts[one] != parts[other])


def _along(neighbours: Sequence[Mapping[int, int]], random: Random) -> list[int]:
    """Qubits such that one follows those that it has most gates with."""
    left = set(range(len(neighbours)))
    order: list[int] = []
    pull = [0] * len(neighbours)
    while left:
        most = max(pull[qubit] for qubit in left)
        qubit = random.choice(sorted(q for q in left if pull[q] == most))
        left.remove(qubit)
        order.append(qubit)
        for other, weight in neighbours[qubit].items():
            pull[other] += weight
    return order


def _filled(order: Sequence[int], sizes: Sequence[int], start: int) -> list[int]:
    """Parts filled one after the other; in every other start in proportion to their sizes."""
    total, count = sum(sizes), len(order)
    shares = list(sizes)
    if start % 4 >= 2:
        shares = [min(size, -(-count * size // total)) for size in sizes]
        for part, size in enumerate(sizes):
            shares[part] += min(size - shares[part], max(0, count - sum(shares)))
    parts = [0] * count
    place = 0
    for part, share in enumerate(shares):
        for qubit in order[place : place + share]:
            parts[qubit] = part
        place += share
    return parts


def _improve(parts: list[int], neighbours: Sequence[Mapping[int, int]], sizes: Sequence[int]) -> None:
    count = len(parts)
    room = [size - parts.count(part) for part, size in enumerate(sizes)]
    better = True
    while better:
        better = False
        for qubit in range(count):
            for part in range(len(sizes)):
                if part != parts[qubit] and room[part] and _gain(qubit, part, parts, neighbours) > 0:
                    room[parts[qubit]] += 1
                    room[part] -= 1
                    parts[qubit] = part
                    better = True
        for one in range(count):
            for other in range(one):
                if parts[one] == parts[other]:
                    continue
                gain = _gain(one, parts[other], parts, neighbours) + _gain(
                    other, parts[one], parts, neighbours
                )
                # What is between the two stays between parts, and was counted as saved on both sides.
                if gain - 2 * neighbours[one].get(other, 0) > 0:
                    parts[one], parts[other] = parts[other], parts[one]
                    better = True


def _gain(qubit: int, part: int, parts: Sequence[int], neighbours: Sequence[Mapping[int, int]]) -> int:
    """Gates between parts that are saved when a qubit goes to a part."""
    here = parts[qubit]
    return sum(
        weight * ((parts[other] == part) - (parts[other] == here))
        for other, weight in neighbours[qubit].items()
    )
