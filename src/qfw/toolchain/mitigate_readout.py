"""Inversion of readout errors, qubit by qubit: of Pauli words by what is asked, of distributions by their matrices.

A qubit whose readout gives 1 of |0> with probability p and 0 of |1> with q measures a + b·Z in place of Z, where
a = q - p and b = 1 - p - q. So Z is (measured - a) / b, and a word of k qubits is a sum over the 2^k words
on some of them, all of which are read off the same shots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb, prod

import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration
from qfw.model.errors import ProgramError, TooLarge
from qfw.model.observable import PauliSum, PauliTerm

Floats = npt.NDArray[np.float64]
#: Probabilities to read 1 of |0>, and 0 of |1>.
Errors = tuple[float, float]

#: Words that one program is asked for, at most.
MAX_WORDS = 2**14
#: Words of so many qubits are inverted exactly.
EXACT_QUBITS = 8
#: Of wider ones words are left out whose coefficients add up to this at most, relative to the word's own.
LEFT_OUT = 1e-5
#: A readout that tells |0> from |1> no better says nothing that could be inverted.
MIN_CONTRAST = 0.1


class Readout:
    """Readout errors of a device's qubits, as its calibration has them."""

    def __init__(self, calibration: Calibration) -> None:
        """Of its qubits."""
        self._calibration = calibration

    def errors(self, qubit: int) -> Errors:
        """Of one qubit.

        Raises:
            ProgramError: there is no such qubit, or its readout cannot be inverted.
        """
        if qubit >= len(self._calibration.qubits):
            raise ProgramError(
                f"qubit {qubit} is measured; {self._calibration.device} has {len(self._calibration.qubits)}"
            )
        found = self._calibration.qubits[qubit]
        if 1 - found.read1_given0 - found.read0_given1 < MIN_CONTRAST:
            raise ProgramError(
                f"the readout of qubit {qubit} of {self._calibration.device} cannot be inverted: it reads 1 of |0> "
                f"with {found.read1_given0:.3g} and 0 of |1> with {found.read0_given1:.3g}. Have others measured, or "
                "leave readout out of the methods"
            )
        return found.read1_given0, found.read0_given1

    def amplification(self, qubits: Sequence[int]) -> float:
        """By how much the inversion of a word on qubits, or of their distribution, widens standard errors at most."""
        return prod((1 + abs(a)) / b for a, b in map(self._line, qubits))

    def inverted(self, observable: PauliSum) -> PauliSum:
        """The observable whose measured value is the value of `observable`.

        The words of `observable` come first, so that as many bases are measured as before.

        Raises:
            ProgramError: a readout cannot be inverted.
            TooLarge: it would have more than MAX_WORDS words.
        """
        total: dict[tuple[tuple[int, str], ...], float] = {_key(term): 0.0 for term in observable.terms}
        for term in observable.terms:
            for kept, coefficient in self._words(tuple(zip(term.qubits, term.paulis, strict=True))):
                key = tuple(sorted(kept))
                total[key] = total.get(key, 0.0) + term.coefficient * coefficient
                if len(total) > MAX_WORDS:
                    raise _too_many(len(term.qubits))
        return PauliSum(
            tuple(
                PauliTerm(coefficient, tuple(qubit for qubit, _ in key), "".join(pauli for _, pauli in key))
                for key, coefficient in total.items()
            )
        )

    def _line(self, qubit: int) -> tuple[float, float]:
        """What is measured of a qubit is a + b·Z."""
        read1, read0 = self.errors(qubit)
        return read0 - read1, 1 - read1 - read0

    def _words(
        self, factors: tuple[tuple[int, str], ...]
    ) -> Iterator[tuple[tuple[tuple[int, str], ...], float]]:
        """Words on some of the qubits, and how much of each makes up the word on all."""
        lines = [self._line(qubit) for qubit, _ in factors]
        whole = 1 / prod(b for _, b in lines)
        # A qubit whose two errors are equal is never left out.
        uneven = [place for place, (a, _) in enumerate(lines) if a]
        for gone in range(_order([abs(lines[place][0]) for place in uneven]) + 1):
            for places in combinations(uneven, gone):
                kept = tuple(factor for place, factor in enumerate(factors) if place not in places)
                yield kept, whole * prod(-lines[place][0] for place in places)


def undone(distribution: Floats, errors: Sequence[Errors]) -> Floats:
    """Measured probabilities without their readout errors: they add up to 1, and some may be negative.

    Args:
        distribution: shape (sets, 2**qubits), the first qubit the least significant bit.
        errors: of each qubit.
    """
    sets, states = distribution.shape
    for place, (read1, read0) in enumerate(errors):
        contrast = 1 - read1 - read0
        inverse = np.array([[1 - read0, -read0], [-read1, 1 - read1]]) / contrast
        axes = distribution.reshape(sets, states >> (place + 1), 2, 1 << place)
        distribution = np.einsum("ij,sajb->saib", inverse, axes).reshape(sets, states)
    return distribution


def nearest(quasi: Floats) -> Floats:
    """The distributions nearest to rows that add up to 1, by the sum of squares: shape (sets, states).

    As much is taken away from every probability as leaves 1 of those that stay positive (projection onto the simplex).
    """
    falling = -np.sort(-quasi, axis=1)
    excess = (np.cumsum(falling, axis=1) - 1) / np.arange(1, quasi.shape[1] + 1)
    positive = (falling > excess).sum(axis=1)
    taken = np.take_along_axis(excess, positive[:, np.newaxis] - 1, axis=1)
    found: Floats = np.maximum(quasi - taken, 0.0)
    return found


def _key(term: PauliTerm) -> tuple[tuple[int, str], ...]:
    return tuple(sorted(zip(term.qubits, term.paulis, strict=True)))


def _order(offsets: list[float]) -> int:
    """How many qubits with such offsets a word is asked for without, at most."""
    if len(offsets) <= EXACT_QUBITS:
        return len(offsets)
    # Coefficient k: the sum over all choices of k offsets of their products.
    sums = [1.0]
    for offset in offsets:
        sums = [low + offset * high for low, high in zip([*sums, 0.0], [0.0, *sums], strict=True)]
    rest, order = 0.0, len(offsets)
    while order and rest + sums[order] <= LEFT_OUT:
        rest += sums[order]
        order -= 1
    words = 0
    for gone in range(order + 1):
        words += comb(len(offsets), gone)
        if words > MAX_WORDS:
            raise _too_many(len(offsets))
    return order


def _too_many(width: int) -> TooLarge:
    return TooLarge(
        f"to invert the readout of an observable with a word on {width} qubits takes more than {MAX_WORDS} words. "
        "Ask for fewer or narrower words at once, or leave readout out of the methods"
    )
