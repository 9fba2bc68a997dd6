"""Observables: real sums of Pauli words."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from qfw.model.errors import ProgramError


class PauliTerm(msgspec.Struct, frozen=True, array_like=True):
    """coefficient · P₀(qubits[0]) P₁(qubits[1]) …; no qubits mean the identity."""

    coefficient: float
    qubits: tuple[int, ...]
    #: One of X, Y, Z for each qubit.
    paulis: str


class PauliSum(msgspec.Struct, frozen=True, array_like=True):
    """A Hermitian observable: a sum of Pauli terms with real coefficients."""

    terms: tuple[PauliTerm, ...]

    @staticmethod
    def of(terms: Mapping[str, float] | str) -> PauliSum:
        """From words that name their qubits: "X0 Z1", or {"X0 Z1": 0.5, "": 1.0}.

        Raises:
            ProgramError: a word cannot be read.
        """
        items = {terms: 1.0} if isinstance(terms, str) else terms
        return PauliSum(tuple(_term(word, float(coefficient)) for word, coefficient in items.items()))

    def check(self, num_qubits: int) -> None:
        """Raises ProgramError unless every term fits a register of `num_qubits`."""
        for term in self.terms:
            if len(term.paulis) != len(term.qubits) or set(term.paulis) - set("XYZ"):
                raise ProgramError(f"a Pauli term needs one of X, Y, Z for each qubit: {term}")
            if len(set(term.qubits)) != len(term.qubits):
                raise ProgramError(f"a Pauli term names a qubit twice: {term}")
            for qubit in term.qubits:
                if not 0 <= qubit < num_qubits:
                    raise ProgramError(f"the observable acts on qubit {qubit}; the program has {num_qubits}")
            if not abs(term.coefficient) < float("inf"):
                raise ProgramError(f"the coefficient {term.coefficient} is not finite")


_FACTOR = re.compile(r"([XYZ])(\d{1,9})\Z")


def _term(word: str, coefficient: float) -> PauliTerm:
    qubits, paulis = [], []
    for factor in word.split():
        if factor == "I":
            continue
        match = _FACTOR.match(factor)
        if match is None:
            raise ProgramError(f"{factor!r} in {word!r} is no Pauli factor; write for example 'X0 Z1'")
        paulis.append(match[1])
        qubits.append(int(match[2]))
    return PauliTerm(coefficient, tuple(qubits), "".join(paulis))
