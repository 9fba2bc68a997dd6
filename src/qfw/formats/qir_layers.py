"""What is known on one way of a branch: all that was known before it, and what this way changed.

A way costs what it changes, not what is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Layer(Mapping[K, V], Generic[K, V]):
    """A mapping over another one, which does not change meanwhile."""

    __slots__ = ("_under", "own")

    def __init__(self, under: Mapping[K, V] | None = None) -> None:
        self._under: Mapping[K, V] = under if under is not None else {}
        #: What was set here.
        self.own: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        layer: Mapping[K, V] = self
        while isinstance(layer, Layer):
            if key in layer.own:
                found: V = layer.own[key]
                return found
            layer = layer._under
        return layer[key]

    def __setitem__(self, key: K, value: V) -> None:
        self.own[key] = value

    def __contains__(self, key: object) -> bool:
        layer: Mapping[K, V] = self
        while isinstance(layer, Layer):
            if key in layer.own:
                return True
            layer = layer._under
        return key in layer

    def __iter__(self) -> Iterator[K]:
        return iter(self.flat())

    def __len__(self) -> int:
        return len(self.flat())

    def flat(self) -> dict[K, V]:
        """All of it, in a dict of its own."""
        layers: list[Mapping[K, V]] = [self]
        while isinstance(layer := layers[-1], Layer):
            layers.append(layer._under)
        found: dict[K, V] = {}
        for layer in reversed(layers):
            found.update(layer.own if isinstance(layer, Layer) else layer)
        return found
