"""A program as the graph in which cuts are looked for.

A vertex for every gate of several qubits and every track of it, an edge along each wire to the next such gate, and one
across each gate. Vertices that may not be parted are one *atom*. Atoms get labels; edges between labels are cut, at the
logarithm of their factor in executions. Of a label's width each stretch of a wire is one qubit: its vertices less its
edges along wires.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import NamedTuple

from qfw.model.program import Gate
from qfw.toolchain import cut_wires
from qfw.toolchain.cut_fragments import Cuts
from qfw.toolchain.cut_gates import halves
from qfw.toolchain.cut_steps import Steps

#: What a cut costs besides: of equal costs fewer cuts are better.
EACH = 1e-3


class Edge(NamedTuple):
    """Between two vertices, or two atoms."""

    one: int
    other: int
    #: Logarithm of the factor in executions.
    cost: float
    #: What it counts for in the search.
    weight: float
    #: (track, step that a wire is cut before), or a gate's step.
    place: tuple[int, int] | int

    @property
    def wire(self) -> bool:
        """Whether it is along a wire."""
        return isinstance(self.place, tuple)


class Found(NamedTuple):
    """Cuts with the logarithm of their factor in executions."""

    cuts: Cuts
    cost: float

    @property
    def overhead(self) -> float:
        """Factor in executions."""
        return exp(self.cost)


class Graph:
    """Atoms and edges between them."""

    def __init__(self, steps: Steps, gates: bool, wires: bool, even: bool = False) -> None:
        """Of a program; `gates` and `wires` may be cut; `even`: every cut counts 1."""
        self.vertices: list[tuple[int, int]] = []
        edges: list[Edge] = []
        joined: list[tuple[int, int]] = []
        before: dict[int, int] = {}
        for number, step in enumerate(steps.steps):
            if not step.joins:
                continue
            own: list[int] = []
            for track in step.tracks:
                vertex = len(self.vertices)
                self.vertices.append((number, track))
                own.append(vertex)
                if track in before:
                    weight = 1.0 if even else cut_wires.COST + EACH
                    edges.append(Edge(before[track], vertex, cut_wires.COST, weight, (track, number)))
                    if not wires:
                        joined.append((before[track], vertex))
                before[track] = vertex
            assert isinstance(step.op, Gate)
            found = halves(step.op) if gates else None
            if found is None:
                joined.extend((own[0], other) for other in own[1:])
            else:
                edges.append(Edge(own[0], own[1], found.cost, 1.0 if even else found.cost + EACH, number))
        #: Atom of each vertex.
        self.atoms = _atoms(len(self.vertices), joined)
        self.num_atoms = max(self.atoms, default=-1) + 1
        self.edges = edges
        #: Edges of each atom to others: seen from it, `one` is the atom.
        self.near: list[list[Edge]] = [[] for _ in range(self.num_atoms)]
        #: Width of each atom by itself.
        self.width = [0] * self.num_atoms
        for atom in self.atoms:
            self.width[atom] += 1
        for edge in edges:
            one, other = self.atoms[edge.one], self.atoms[edge.other]
            if one == other:
                self.width[one] -= edge.wire
            else:
                self.near[one].append(Edge(one, other, edge.cost, edge.weight, edge.place))
                self.near[other].append(Edge(other, one, edge.cost, edge.weight, edge.place))

    def found(self, labels: Sequence[int]) -> Found:
        """The cuts that labels of atoms make."""
        wires: list[tuple[int, int]] = []
        gates: list[int] = []
        cost = 0.0
        for edge in self.edges:
            if labels[self.atoms[edge.one]] == labels[self.atoms[edge.other]]:
                continue
            cost += edge.cost
            if isinstance(edge.place, tuple):
                wires.append(edge.place)
            else:
                gates.append(edge.place)
        return Found(Cuts(tuple(sorted(wires)), tuple(sorted(gates))), cost)

    def taken(self, coarse: Graph, labels: Sequence[int]) -> list[int]:
        """Labels of these atoms, of labels of a graph of the same program whose atoms are joined from these."""
        found = [0] * self.num_atoms
        for vertex, atom in enumerate(self.atoms):
            found[atom] = labels[coarse.atoms[vertex]]
        return found


def _atoms(count: int, joined: Sequence[tuple[int, int]]) -> list[int]:
    """Numbers of what the vertices are joined to, from 0 on."""
    root = list(range(count))

    def find(vertex: int) -> int:
        while root[vertex] != vertex:
            root[vertex] = root[root[vertex]]
            vertex = root[vertex]
        return vertex

    for one, other in joined:
        one, other = find(one), find(other)
        root[max(one, other)] = min(one, other)
    known: dict[int, int] = {}
    return [known.setdefault(find(vertex), len(known)) for vertex in range(count)]
