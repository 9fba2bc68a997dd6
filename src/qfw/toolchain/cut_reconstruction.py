"""Reconstruction: answers of a cut program's variants, contracted over the cuts to its own answers.

Each fragment is a tensor with an axis for each of its ends, each cut a matrix between two of them; what was asked
is the network's value, for all parameter sets at once. Networks are contracted pair by pair in a greedy order, so that
a chain of fragments costs what products of matrices do.

Standard errors are those of the first order: Var = Σ_ij g_i g_j cov_ij with g the derivative of the answer by each
estimate. Variants are independent. Of one variant's observables only those are, that name different Pauli matrices for
one qubit: they are measured in different executions. All others are taken for fully correlated, as the covariances are
not known, so what is stated is an upper bound (of the first order).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qfw.model.outputs import Answer, Array, ExpectationAnswer, ProbabilitiesAnswer
from qfw.toolchain import cut_gates, cut_wires
from qfw.toolchain.cut_gates import LEG, Place
from qfw.toolchain.cut_recipe import ONE, Axes, Bond, Joint, Recipe, Spread, Sums, Values

Floats = npt.NDArray[np.float64]

#: Label of the sets' axis in a contraction.
SETS = 0
#: Bases X, Y and Z, by number, in which I, X, Y and Z of a measured end are found.
_BASES = (2, 0, 1, 2)


class _Node:
    """A tensor of a network and the labels of its axes; an axis of sets comes first or is not there."""

    def __init__(self, values: Floats, labels: Sequence[int]) -> None:
        self.values = values
        self.labels = list(labels)


class Reconstruction:
    """The answers of the variants, and what a recipe makes of them."""

    def __init__(self, recipe: Recipe, answers: Sequence[tuple[Answer, ...]]) -> None:
        """Of answers in the variants' order."""
        self._recipe = recipe
        self._answers = answers
        self.num_sets = _num_sets(answers)
        self._values, self._errors = self._read()
        self._bonds = [self._matrix(number, bond) for number, bond in enumerate(recipe.bonds)]
        self._tensors: dict[int, _Node] = {}
        self._paths: dict[Any, Any] = {}
        self._pairs: list[tuple[list[int], Floats]] | None = None

    def answers(self) -> tuple[Answer, ...]:
        """One for each output that was asked of the program."""
        return tuple(
            self.expectation(answer) if isinstance(answer, Sums) else self.probabilities(answer)
            for answer in self._recipe.answers
        )

    def expectation(self, sums: Sums) -> ExpectationAnswer:
        """Values and standard errors of observables."""
        values = np.zeros((self.num_sets, len(sums.observables)))
        errors = np.zeros_like(values)
        sampled = bool(self._errors.any())
        for number, terms in enumerate(sums.observables):
            slopes = np.zeros_like(self._values)
            for term in terms:
                nodes = self._network(term.tensors)
                values[:, number] += term.coefficient * self._contracted(nodes, [SETS])
                if sampled:
                    self._differentiate(term.coefficient, term.tensors, nodes, slopes)
            if sampled:
                errors[:, number] = self._error(slopes)
        return ExpectationAnswer(Array.of(values), Array.of(errors))

    def probabilities(self, spread: Spread) -> ProbabilitiesAnswer:
        """The distribution that is nearest to the quasi-distribution of the estimates."""
        nodes = self._network(spread.tensors)
        joint = [nodes[i] for i, t in enumerate(spread.tensors) if isinstance(self._recipe.tensors[t], Joint)]
        out = [node.labels[-1] for node in joint]
        found = self._contracted(nodes, [SETS, *out])
        # Axes: of each joint tensor the last bit first; so all bits, least significant first, are the reverse.
        bits = [node.values.shape[-1].bit_length() - 1 for node in joint]
        found = found.reshape(self.num_sets, *(2 for count in bits for _ in range(count)))
        axes: list[int] = []
        for count in bits:
            first = len(axes)
            axes.extend(range(first + count - 1, first - 1, -1))
        of_place = dict(zip(spread.places, axes, strict=True))
        order = [1 + of_place[place] for place in reversed(range(len(axes)))]
        return ProbabilitiesAnswer(
            Array.of(_projected(found.transpose(0, *order).reshape(self.num_sets, -1)))
        )

    def _read(self) -> tuple[Floats, Floats]:
        """Values and standard errors of all columns; shape (sets, columns)."""
        columns = self._recipe.columns
        values = np.zeros((self.num_sets, len(columns) + 2))
        values[:, ONE] = 1.0
        errors = np.zeros_like(values)
        for variant, answer in enumerate(self._answers):
            if not answer or not isinstance(answer[0], ExpectationAnswer):
                continue
            here = [(1 + number, place) for number, (of, place) in enumerate(columns) if of == variant]
            where, places = [number for number, _ in here], [place for _, place in here]
            values[:, where] = np.asarray(answer[0].values.numpy())[:, places]
            errors[:, where] = np.asarray(answer[0].standard_errors.numpy())[:, places]
        return values, errors

    def _matrix(self, number: int, bond: Bond) -> _Node:
        labels = [_label(number, 0), _label(number, 1)]
        if bond.wire:
            return _Node(cut_wires.COEFFICIENTS, labels)
        if not bond.cosine:
            return _Node(cut_gates.coefficients(bond.angle), labels)
        turns = np.ones((self.num_sets, 3))
        turns[:, 1], turns[:, 2] = self._values[:, bond.cosine], self._values[:, bond.sine]
        return _Node(np.tensordot(turns, cut_gates.COEFFICIENTS, 1), [SETS, *labels])

    def _network(self, tensors: Sequence[int]) -> list[_Node]:
        """The tensors and the matrices between them; a bond that none of them has is not there."""
        nodes = [self._tensor(number) for number in tensors]
        labels = {label for node in nodes for label in node.labels}
        return nodes + [bond for bond in self._bonds if bond.labels[-1] in labels]

    def _tensor(self, number: int) -> _Node:
        if number not in self._tensors:
            tensor = self._recipe.tensors[number]
            axes = self._recipe.fragments[tensor.fragment]
            labels = [SETS, *(_label(*end) for end in (*axes.prepared, *axes.legs, *axes.measured))]
            if isinstance(tensor, Values):
                raw = self._values[:, tensor.table.numpy()].mean(axis=-1)
            else:
                raw = self._distributions(tensor, axes)
                # Labels below are of bonds; each joint tensor keeps one of its own.
                labels.append(1 + 2 * len(self._bonds) + len(self._tensors))
            self._tensors[number] = _Node(_components(raw, axes), labels)
        return self._tensors[number]

    def _distributions(self, tensor: Joint, axes: Axes) -> Floats:
        """Quasi-distributions for every setting and every choice of the measured ends' Pauli matrices."""
        table, ends = tensor.table.numpy(), len(axes.measured)
        head = table.shape[: len(axes.prepared) + len(axes.legs)]
        found = np.empty((self.num_sets, *head, *(4,) * ends, 2**tensor.bits))
        for setting in np.ndindex(*head):
            signed = Place.SIGN in setting[len(axes.prepared) :]
            for letters in np.ndindex(*(4,) * ends):
                numbers = table[(*setting, *(_BASES[letter] for letter in letters))]
                each = [self._signed(int(number), letters, signed) for number in numbers]
                found[(slice(None), *setting, *letters)] = np.mean(each, axis=0)
        return found

    def _signed(self, number: int, letters: tuple[int, ...], signed: bool) -> Floats:
        """A variant's distribution, summed over the measured ends and the ancilla with the signs of their outcomes."""
        variant, place = self._recipe.distributions[number]
        answer = self._answers[variant][place]
        assert isinstance(answer, ProbabilitiesAnswer)
        values: Floats = np.asarray(answer.values.numpy(), dtype=np.float64)
        # From the most significant bit on: the ancilla, the last end …
        for weighted in ([True] if signed else []) + [letter > 0 for letter in reversed(letters)]:
            low, high = np.split(values, 2, axis=1)
            values = low - high if weighted else low + high
        return values

    def _contracted(self, nodes: Sequence[_Node], out: Sequence[int]) -> Floats:
        """The network's value, axes `out`; of no nodes 1."""
        if not any(SETS in node.labels for node in nodes):
            nodes = [*nodes, _Node(np.ones(self.num_sets), [SETS])]
        # Labels of einsum are few: those that occur, numbered anew.
        known: dict[int, int] = {}
        operands: list[Any] = []
        for node in nodes:
            operands += [node.values, [known.setdefault(label, len(known)) for label in node.labels]]
        last = [known[label] for label in out]
        key = (tuple(map(tuple, operands[1::2])), tuple(node.values.shape for node in nodes), tuple(last))
        if key not in self._paths:
            self._paths[key] = np.einsum_path(*operands, last, optimize="greedy")[0]
        found: Floats = np.einsum(*operands, last, optimize=self._paths[key])
        return found

    def _differentiate(
        self, coefficient: float, tensors: Sequence[int], nodes: Sequence[_Node], slopes: Floats
    ) -> None:
        """Adds to `slopes`, shape (sets, columns), the derivatives of a term by the columns."""
        for place, node in enumerate(nodes):
            if SETS not in node.labels:
                continue
            rest = [other for other in nodes if other is not node]
            around = coefficient * self._environment(rest, node)
            if place >= len(tensors):
                bond = self._recipe.bonds[next(n for n, matrix in enumerate(self._bonds) if matrix is node)]
                slopes[:, bond.cosine] += np.tensordot(around, cut_gates.COEFFICIENTS[1], 2)
                slopes[:, bond.sine] += np.tensordot(around, cut_gates.COEFFICIENTS[2], 2)
                continue
            tensor = self._recipe.tensors[tensors[place]]
            table = tensor.table.numpy()
            axes = self._recipe.fragments[tensor.fragment]
            back = _settings(around, axes, table.shape) / table.shape[-1]
            flat = table.reshape(-1, table.shape[-1])
            for column in range(flat.shape[1]):
                np.add.at(slopes.T, flat[:, column], back.reshape(self.num_sets, -1).T)

    def _environment(self, rest: Sequence[_Node], node: _Node) -> Floats:
        """The derivative of a network by one of its tensors, whose shape it has."""
        there = {label for other in rest for label in other.labels}
        # A bond with both ends in one fragment meets nothing else; its axes are all there.
        assert all(label in there for label in node.labels if label != SETS)
        return self._contracted(rest, node.labels)

    def _error(self, slopes: Floats) -> Floats:
        """Upper bound of the standard error; shape (sets,)."""
        spread = np.abs(slopes) * self._errors
        variance = np.zeros(self.num_sets)
        for columns, shared in self._shared():
            part = spread[:, columns]
            variance += np.einsum("si,ij,sj->s", part, shared, part, optimize=True)
        return np.sqrt(variance)

    def _shared(self) -> list[tuple[list[int], Floats]]:
        """Of each variant its columns, and 1 for each pair of them that may share executions; shape (columns,) * 2."""
        if self._pairs is None:
            of: dict[int, list[int]] = {}
            for number, (variant, _) in enumerate(self._recipe.columns):
                of.setdefault(variant, []).append(1 + number)
            self._pairs = [(columns, self._pairs_of(columns)) for columns in of.values()]
        return self._pairs

    def _pairs_of(self, columns: Sequence[int]) -> Floats:
        factors = [self._recipe.factors[column - 1] for column in columns]
        index = {qubit: k for k, qubit in enumerate(sorted({q for qubits, _ in factors for q in qubits}))}
        letters = np.zeros((3, len(columns), max(len(index), 1)))
        for row, (qubits, paulis) in enumerate(factors):
            for qubit, pauli in zip(qubits, paulis, strict=True):
                letters["XYZ".index(pauli), row, index[qubit]] = 1.0
        alike = np.einsum("pik,pjk->ij", letters, letters)
        both = letters.sum(axis=0) @ letters.sum(axis=0).T
        found: Floats = (both <= alike + 0.5).astype(np.float64)
        return found


def _label(bond: int, side: int) -> int:
    return 1 + 2 * bond + side


def _num_sets(answers: Sequence[tuple[Answer, ...]]) -> int:
    for answer in answers:
        for part in answer:
            if isinstance(part, ExpectationAnswer | ProbabilitiesAnswer):
                return part.values.shape[0]
    return 1


def _maps(axes: Axes, shape: Sequence[int]) -> list[Floats]:
    """Of the prepared ends and the legs what makes components of settings; `shape` is that of their axes."""
    states, legs = shape[: len(axes.prepared)], shape[len(axes.prepared) :][: len(axes.legs)]
    # The axis of a leg that is last has components already.
    whole = np.eye(4)
    return [cut_wires.components(count) for count in states] + [
        LEG if count == len(Place) else whole for count in legs
    ]


def _components(raw: Floats, axes: Axes) -> Floats:
    """Components in place of settings; the axis of sets comes first."""
    for axis, matrix in enumerate(_maps(axes, raw.shape[1:]), 1):
        raw = np.moveaxis(np.tensordot(matrix, raw, (1, axis)), 0, axis)
    return raw


def _settings(slopes: Floats, axes: Axes, shape: Sequence[int]) -> Floats:
    """Derivatives by the answers of settings, of those by components: the transpose of `_components`."""
    for axis, matrix in enumerate(_maps(axes, shape), 1):
        slopes = np.moveaxis(np.tensordot(matrix.T, slopes, (1, axis)), 0, axis)
    return slopes


def _projected(values: Floats) -> Floats:
    """The nearest distribution of each row, by Euclid's distance: a constant is taken off and what is negative is cut.

    Duchi et al., ICML 2008.
    """
    falling = -np.sort(-values, axis=1)
    excess = np.cumsum(falling, axis=1) - 1.0
    counts = np.arange(1, values.shape[1] + 1)
    kept = (falling * counts > excess).sum(axis=1)
    taken = excess[np.arange(len(values)), kept - 1] / kept
    found: Floats = np.maximum(values - taken[:, np.newaxis], 0.0)
    return found
