"""In how many bases a device measures to answer a task: what is read of the bits, and observables by groups."""

from __future__ import annotations

from collections.abc import Sequence

from qfw.model.outputs import Counts, Expectation, Memory, Output, Probabilities

#: Comparisons of a word with a group, at most; some 50 ms. Words that are left count as a basis each.
MOST_COMPARISONS = 2**18


def measured_bases(outputs: Sequence[Output], most_comparisons: int = MOST_COMPARISONS) -> int:
    """Bases in which shots are taken, at least 1.

    Words join greedily, in their order, the first group with which they commute qubit by qubit; bits that are read
    (counts, memory, probabilities) are a group of their own, which words of Z share. The outputs need not be checked.
    """
    reads = any(isinstance(output, (Counts, Memory, Probabilities)) for output in outputs)
    words = [
        dict(zip(term.qubits, term.paulis, strict=False))
        for output in outputs
        if isinstance(output, Expectation)
        for observable in output.observables
        for term in observable.terms
        if term.qubits
    ]
    groups: list[dict[int, str]] = []
    compared = 0
    for place, word in enumerate(words):
        if reads and set(word.values()) == {"Z"}:
            continue
        if compared > most_comparisons:
            return reads + len(groups) + len(words) - place
        for group in groups:
            compared += 1
            if all(group.get(qubit, pauli) == pauli for qubit, pauli in word.items()):
                group.update(word)
                break
        else:
            groups.append(word)
    return max(1, reads + len(groups))
