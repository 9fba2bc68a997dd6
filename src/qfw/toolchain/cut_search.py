"""Search for cuts: where a program falls into fragments of a maximum width at the least cost in executions.

Orders of the program's tracks, and of its gates, are divided into stretches by dynamic programming, which finds the
best division of an order: for a chain of qubits cut at gates, and for a chain of layers cut at wires, that is the best
one. Further orders come from walks through the graph from seeded places. The best divisions are then improved on the
graph of all places, vertex by vertex: worse moves are taken too, and the best moment is kept (after Fiduccia and
Mattheyses).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

from qfw.toolchain.cut_fragments import Cuts
from qfw.toolchain.cut_graph import Found, Graph
from qfw.toolchain.cut_steps import Steps

#: Orders from seeded walks, of tracks and of gates each; and divisions that are improved.
WALKS = 4
IMPROVED = 4
#: Rounds of improvement at most, moves of one, and moves without a better moment that end it.
ROUNDS = 8
MOVES = 600
PATIENCE = 80
#: Steps of one division by dynamic programming: orders that take more are left out.
MAX_STEPS = 400_000
#: What a qubit too many counts for.
EXCESS = 100.0
#: What the square of a stretch's width counts for: of equal cuts those are better that leave no fragment wide.
UNEVEN = 1e-7
#: A stretch may pass through being so much too wide.
SLACK = 2


class Limits(NamedTuple):
    """What cuts have to keep."""

    #: Width of the widest fragment's widest program.
    width: int
    #: Most cuts.
    cuts: int
    #: Which kinds may be made.
    gates: bool = True
    wires: bool = True


def find(steps: Steps, limits: Limits, seed: int, rounds: int = ROUNDS) -> Found | None:
    """The cheapest cuts that were found within the limits; None where none were.

    Equal programs, limits and seeds give equal cuts.
    """
    best: Found | None = None
    # Cheaper cuts may be more of them: where they are too many, each counts the same.
    for even in (False, True):
        best = _cheapest(steps, limits, seed, rounds, even)
        if best is None or len(best.cuts) <= limits.cuts:
            return best
    return None


def narrowest(steps: Steps, limits: Limits, seed: int) -> int:
    """The least width that was found to be reached within the other limits."""
    low, high = limits.width, max(steps.num_tracks, limits.width)
    while low + 1 < high:
        middle = (low + high) // 2
        if find(steps, limits._replace(width=middle), seed, rounds=0) is None:
            low = middle
        else:
            high = middle
    return high


def _cheapest(steps: Steps, limits: Limits, seed: int, rounds: int, even: bool) -> Found | None:
    graph = Graph(steps, limits.gates, limits.wires, even)
    if not graph.num_atoms:
        return Found(Cuts(), 0.0)
    rng = random.Random(seed)
    starts: dict[tuple[int, ...], float] = {}
    for coarse, order in _orders(steps, limits, even, rng):
        labels = _divided(coarse, order, limits.width)
        if labels is not None:
            state = _Division(graph, graph.taken(coarse, labels), limits.width)
            starts.setdefault(tuple(state.labels), state.cost)
    if not starts:
        return None
    ranked = sorted(starts, key=lambda labels: starts[labels])[:IMPROVED]
    divisions = [_Division(graph, labels, limits.width) for labels in ranked]
    for division in divisions:
        division.improve(rng, rounds)
    best = min(divisions, key=lambda division: division.cost)
    return graph.found(best.labels) if best.fits else None


def _orders(
    steps: Steps, limits: Limits, even: bool, rng: random.Random
) -> Iterator[tuple[Graph, list[int]]]:
    """Graphs whose atoms are tracks, or gates, or whatever may not be parted, each with orders of them."""
    if limits.gates:
        tracks = Graph(steps, True, False, even)
        yield tracks, _by(tracks, lambda step, track: (track, step))
        yield from ((tracks, _walk(tracks, rng)) for _ in range(WALKS))
    if limits.wires:
        gates = Graph(steps, False, True, even)
        yield gates, _by(gates, lambda step, track: (step, track))
        yield gates, _by(gates, lambda step, track: (track, step))
        yield from ((gates, _walk(gates, rng)) for _ in range(WALKS))


def _by(graph: Graph, key: object) -> list[int]:
    """Atoms in the order of their first vertices, by a key of step and track."""
    assert callable(key)
    ranked = sorted(range(len(graph.vertices)), key=lambda vertex: key(*graph.vertices[vertex]))
    return list(dict.fromkeys(graph.atoms[vertex] for vertex in ranked))


def _walk(graph: Graph, rng: random.Random) -> list[int]:
    """Atoms from a random one on, always the one that most holds to those before it."""
    left = set(range(graph.num_atoms))
    held: dict[int, float] = {}
    order: list[int] = []
    while left:
        atom = max(held, key=lambda a: (held[a], -a)) if held else rng.choice(sorted(left))
        held.pop(atom, None)
        left.remove(atom)
        order.append(atom)
        for edge in graph.near[atom]:
            if edge.other in left:
                held[edge.other] = held.get(edge.other, 0.0) + edge.weight
    return order


def _divided(graph: Graph, order: Sequence[int], width: int) -> list[int] | None:
    """Labels of the stretches of an order that keep most weight within them; None where one atom is too wide."""
    count, steps = len(order), 0
    position = {atom: place for place, atom in enumerate(order)}
    kept = [0.0] + [-inf] * count
    begin = [0] * (count + 1)
    for first in range(count):
        if kept[first] == -inf:
            continue
        inside, wide, legs = 0.0, 0, 0
        for place in range(first, count):
            atom = order[place]
            wide += graph.width[atom]
            for edge in graph.near[atom]:
                steps += 1
                within = first <= position[edge.other] < place
                if within:
                    inside += edge.weight
                if edge.wire:
                    wide -= within
                else:
                    legs += -1 if within else 1
            if wide > width + SLACK:
                break
            value = kept[first] + inside - UNEVEN * wide * wide
            if wide + bool(legs) <= width and value > kept[place + 1]:
                kept[place + 1], begin[place + 1] = value, first
        if steps > MAX_STEPS:
            return None
    if kept[count] == -inf:
        return None
    labels = [0] * graph.num_atoms
    end = count
    while end:
        for place in range(begin[end], end):
            labels[order[place]] = end
        end = begin[end]
    return labels


class _Division:
    """Labels of a graph's atoms, with what they cost, as they are improved."""

    def __init__(self, graph: Graph, labels: Sequence[int], width: int) -> None:
        """Of labels that may be any numbers."""
        self._graph = graph
        self._limit = width
        self.labels = list(labels)
        #: Of each label.
        self._widths: dict[int, int] = {}
        self._legs: dict[int, int] = {}
        cut = 0.0
        for atom, label in enumerate(self.labels):
            self._widths[label] = self._widths.get(label, 0) + graph.width[atom]
            self._legs.setdefault(label, 0)
        for atom, label in enumerate(self.labels):
            for edge in graph.near[atom]:
                other = self.labels[edge.other]
                # Every edge is met from both of its ends.
                if label != other:
                    cut += edge.weight / 2
                    self._legs[label] += not edge.wire
                elif edge.wire and atom < edge.other:
                    self._widths[label] -= 1
        self.cost = cut + EXCESS * sum(self._excess(label) for label in self._widths)

    @property
    def fits(self) -> bool:
        """Whether no label is too wide."""
        return not any(self._excess(label) for label in self._widths)

    def improve(self, rng: random.Random, rounds: int) -> None:
        """Moves atoms between labels as long as a round makes it cheaper."""
        for _ in range(rounds):
            before = self.cost
            self._round(rng)
            if self.cost >= before - 1e-9:
                return

    def _round(self, rng: random.Random) -> None:
        best, since = self.cost, 0
        done: list[tuple[int, int]] = []
        kept = 0
        border = {atom for atom in range(len(self.labels)) if self._outside(atom)}
        free = set(range(len(self.labels)))
        while since < PATIENCE and len(done) < MOVES:
            moves = [
                (self._change(atom, label), rng.random(), atom, label)
                for atom in sorted(border & free)
                for label in self._outside(atom)
            ]
            if not moves:
                break
            _, _, atom, label = min(moves)
            done.append((atom, self.labels[atom]))
            self._move(atom, label)
            free.discard(atom)
            for near in (atom, *(edge.other for edge in self._graph.near[atom])):
                (border.add if self._outside(near) else border.discard)(near)
            since += 1
            if self.cost < best - 1e-9:
                best, kept, since = self.cost, len(done), 0
        for atom, label in reversed(done[kept:]):
            self._move(atom, label)

    def _outside(self, atom: int) -> list[int]:
        """Labels of its neighbours that are not its own."""
        own = self.labels[atom]
        return sorted({self.labels[edge.other] for edge in self._graph.near[atom]} - {own})

    def _excess(self, label: int, wider: int = 0, legs: int = 0) -> int:
        width = self._widths[label] + wider
        return max(0, width + bool(self._legs[label] + legs and width) - self._limit)

    def _effects(self, atom: int, label: int) -> tuple[float, list[int], list[int]]:
        """Of a move: change of the cut weight; of the widths and the legs of its label and the other."""
        own = self.labels[atom]
        weight, widths, legs = 0.0, [-self._graph.width[atom], self._graph.width[atom]], [0, 0]
        for edge in self._graph.near[atom]:
            other = self.labels[edge.other]
            stays, comes = other == own, other == label
            weight += edge.weight * (stays - comes)
            if edge.wire:
                widths[0] += stays
                widths[1] -= comes
            else:
                legs[0] += 1 if stays else -1
                legs[1] += -1 if comes else 1
        return weight, widths, legs

    def _change(self, atom: int, label: int) -> float:
        weight, widths, legs = self._effects(atom, label)
        own = self.labels[atom]
        excess = sum(
            self._excess(of, wider, more) - self._excess(of)
            for of, wider, more in zip((own, label), widths, legs, strict=True)
        )
        return weight + EXCESS * excess

    def _move(self, atom: int, label: int) -> None:
        weight, widths, legs = self._effects(atom, label)
        own = self.labels[atom]
        for of, wider, more in zip((own, label), widths, legs, strict=True):
            self.cost -= EXCESS * self._excess(of)
            self._widths[of] += wider
            self._legs[of] += more
            self.cost += EXCESS * self._excess(of)
        self.cost += weight
        self.labels[atom] = label
