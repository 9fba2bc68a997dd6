"""A weighted graph: read from an edge list, its cuts, and the best of them by trying all."""

import math

import numpy as np

#: All 2**(nodes - 1) partitions are tried.
MOST_NODES = 20


class Graph:
    """Nodes 0 … n - 1 with names, and weighted edges (a, b, weight)."""

    def __init__(self, names, edges):
        """Made by `read`."""
        self.names = names
        self.edges = edges
        #: Of all edges.
        self.weight = sum(weight for _, _, weight in edges)

    def cuts(self, sides):
        """Weight of the edges between the sides, for rows of 0 and 1: shape (rows,)."""
        total = np.zeros(len(sides))
        for a, b, weight in self.edges:
            total += weight * (sides[:, a] != sides[:, b])
        return total

    def best(self):
        """The greatest weight of a cut, and how many of all 2**nodes partitions have it."""
        # The last node stays on one side: the other half of the partitions are the same cuts.
        nodes = len(self.names)
        sides = (np.arange(2 ** (nodes - 1))[:, None] >> np.arange(nodes)) & 1
        cuts = self.cuts(sides)
        return float(cuts.max()), 2 * int((cuts > cuts.max() - 1e-9).sum())


def read(lines):
    """The graph of an edge list: a line "a b" or "a b weight" for each edge, "#" before a remark.

    Raises:
        ValueError: a line is no edge, or the edges are no simple graph; says which line.
    """
    numbers, seen, edges = {}, {}, []
    for place, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) not in (2, 3):
            raise ValueError(
                f"line {place}: {line.strip()!r} is no edge; write two nodes, and perhaps a weight"
            )
        weight = _weight(words[2], place) if len(words) == 3 else 1.0
        if words[0] == words[1]:
            raise ValueError(f"line {place}: the edge joins node {words[0]} with itself")
        a, b = sorted(numbers.setdefault(word, len(numbers)) for word in words[:2])
        if (a, b) in seen:
            raise ValueError(f"line {place}: the edge {words[0]} {words[1]} is in line {seen[a, b]} already")
        seen[a, b] = place
        edges.append((a, b, weight))
    if not edges:
        raise ValueError("there is no edge")
    if len(numbers) > MOST_NODES:
        raise ValueError(f"{len(numbers)} nodes; {MOST_NODES} are the most that are tried one by one")
    return Graph(list(numbers), edges)


def _weight(word, place):
    try:
        weight = float(word)
    except ValueError:
        weight = math.nan
    if not 0 < weight < 1e6:
        raise ValueError(f"line {place}: the weight {word!r} is no number above 0 and below a million")
    return weight
