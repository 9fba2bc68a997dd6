"""Observables over fragments: sums of products, with as few products as merging finds."""

from __future__ import annotations

from collections.abc import Sequence

from qfw.model.observable import PauliSum, PauliTerm
from qfw.toolchain.cut_fragments import Fragment

#: A Pauli word on a fragment: pairs (qubit, letter), rising.
Word = tuple[tuple[int, str], ...]
#: A sum of words on a fragment: pairs (word, coefficient), in order. The identity is one empty word.
Sum = tuple[tuple[Word, float], ...]

IDENTITY: Sum = (((), 1.0),)


def products(
    observable: PauliSum, ends: Sequence[int], fragments: Sequence[Fragment]
) -> list[tuple[float, tuple[Sum, ...]]]:
    """The observable as Σ coefficient · ⊗ sum, one sum for each fragment.

    Products that differ in one fragment only are one, whose sum on that fragment is theirs. So the terms that lie
    within one fragment are a single product, whose standard error is the one that the engine states.

    Args:
        observable: of the program.
        ends: track of each qubit.
        fragments: of the program.
    """
    where = {
        track: (number, qubit)
        for number, fragment in enumerate(fragments)
        for track, qubit in fragment.places.items()
    }
    found: dict[tuple[Sum, ...], float] = {}
    for term in observable.terms:
        words: list[list[tuple[int, str]]] = [[] for _ in fragments]
        for qubit, pauli in zip(term.qubits, term.paulis, strict=True):
            number, local = where[ends[qubit]]
            words[number].append((local, pauli))
        key = tuple(((tuple(sorted(word)), 1.0),) for word in words)
        found[key] = found.get(key, 0.0) + term.coefficient
    for number in range(len(fragments)):
        found = _merged(found, number)
    return [(coefficient, sums) for sums, coefficient in found.items() if coefficient]


def _merged(terms: dict[tuple[Sum, ...], float], number: int) -> dict[tuple[Sum, ...], float]:
    """The same with one product for all that differ on one fragment only."""
    groups: dict[tuple[Sum, ...], dict[Word, float]] = {}
    for sums, coefficient in terms.items():
        rest = (*sums[:number], *sums[number + 1 :])
        words = groups.setdefault(rest, {})
        for word, factor in sums[number]:
            words[word] = words.get(word, 0.0) + factor * coefficient
    found: dict[tuple[Sum, ...], float] = {}
    for rest, words in groups.items():
        kept = sorted((word, factor) for word, factor in words.items() if factor)
        if not kept:
            continue
        # Of one word the coefficient stays outside: equal words are asked for once.
        outside = kept[0][1] if len(kept) == 1 else 1.0
        own = tuple((word, factor / outside) for word, factor in kept)
        found[(*rest[:number], own, *rest[number:])] = outside
    return found


def asked(total: Sum, more: Word) -> PauliSum:
    """A sum times further factors, on qubits that it does not name, as an observable of the fragment's program."""
    terms = []
    for word, coefficient in total:
        factors = sorted((*word, *more))
        terms.append(
            PauliTerm(coefficient, tuple(q for q, _ in factors), "".join(pauli for _, pauli in factors))
        )
    return PauliSum(tuple(terms))


def common(observable: PauliSum) -> tuple[tuple[int, ...], str]:
    """The factors that all terms of an observable have: qubits and letters.

    Observables with different letters on one qubit are measured in different executions.
    """
    shared = set.intersection(*(set(zip(term.qubits, term.paulis, strict=True)) for term in observable.terms))
    factors = sorted(shared)
    return tuple(q for q, _ in factors), "".join(pauli for _, pauli in factors)
