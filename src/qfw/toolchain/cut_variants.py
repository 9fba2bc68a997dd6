"""Variants of a cut program: what is asked of which fragment's program, each program once; and the recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

import numpy as np

from qfw.model.errors import TooLarge
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation, Output, Probabilities
from qfw.model.program import Affine, Program
from qfw.qpm.tool import Variant
from qfw.toolchain import cut_gates, cut_wires
from qfw.toolchain.cut_fragments import (
    Cuts,
    Fragment,
    Setting,
    angle_of,
    cosine_program,
    fragments,
    programs,
    settings,
)
from qfw.toolchain.cut_gates import Place, met
from qfw.toolchain.cut_observables import IDENTITY, Sum, asked, common, products
from qfw.toolchain.cut_recipe import (
    ONE,
    ZERO,
    Axes,
    Bond,
    Ints,
    Joint,
    Recipe,
    Spread,
    Sums,
    Table,
    Term,
    Values,
)
from qfw.toolchain.cut_steps import Steps

#: Programs of one cut program.
MAX_VARIANTS = 20_000
#: Entries of a fragment's tensor.
MAX_ENTRIES = 2**22
_ONE = PauliSum.of("")
_Z = PauliSum.of("Z0")
_X = PauliSum.of("X0")


class _Asked:
    """A program and what is asked of it."""

    def __init__(self) -> None:
        self.observables: dict[PauliSum, int] = {}
        #: Qubits, and the number of the distribution.
        self.distributions: dict[tuple[int, ...], int] = {}
        #: Largest absolute coefficient that an answer of it has.
        self.weight = 0.0


class Variants:
    """Collects what is asked, and gives the variants and the recipe."""

    def __init__(self, steps: Steps, cuts: Cuts, sampled: bool) -> None:
        """Of a program that is cut.

        Raises:
            TooLarge: more programs than are sensible.
        """
        self.fragments = fragments(steps, cuts)
        self._steps = steps
        self._sampled = sampled
        self._programs: dict[Program, _Asked] = {}
        self._columns: list[tuple[_Asked, int]] = []
        self._factors: list[tuple[tuple[int, ...], str]] = []
        self._joints: list[tuple[_Asked, tuple[int, ...]]] = []
        self._tensors: list[Values | Joint] = []
        self._known: dict[object, int] = {}
        self._answers: list[Sums | Spread] = []
        #: Programs of cosines and sines.
        self._angles: list[Program] = []
        self._check_size()
        self._bonds = [Bond(True) for _ in cuts.wires] + [self._gate(number) for number in cuts.gates]

    def ask(self, output: Expectation | Probabilities) -> None:
        """One more answer that is to be put together."""
        if isinstance(output, Expectation):
            sums = tuple(self._terms(observable) for observable in output.observables)
            self._answers.append(Sums(sums))
        else:
            qubits = output.qubits or tuple(range(len(self._steps.ends)))
            self._answers.append(self._spread(qubits))

    def variants(
        self, shares: Callable[[Sequence[float]], Sequence[int]], angle_shots: int
    ) -> tuple[Variant, ...]:
        """The programs with their outputs.

        Args:
            shares: of the programs' weights, the executions of each.
            angle_shots: executions of the programs that work out cosines and sines.
        """
        shots = shares(
            [asked.weight for program, asked in self._programs.items() if program not in self._angles]
        )
        given = iter(shots)
        return tuple(
            Variant(program, _outputs(asked), angle_shots if program in self._angles else next(given))
            for program, asked in self._programs.items()
        )

    def recipe(self) -> Recipe:
        """How their answers are put together."""
        number = {id(asked): index for index, asked in enumerate(self._programs.values())}
        return Recipe(
            tuple(self._bonds),
            tuple(
                Axes(
                    *(
                        tuple((end.bond, end.side) for end in ends)
                        for ends in (f.prepared, f.legs, f.measured)
                    )
                )
                for f in self.fragments
            ),
            tuple(self._tensors),
            tuple(self._answers),
            tuple((number[id(asked)], place) for asked, place in self._columns),
            tuple(self._factors),
            tuple(
                (number[id(asked)], bool(asked.observables) + list(asked.distributions).index(qubits))
                for asked, qubits in self._joints
            ),
        )

    def _check_size(self) -> None:
        total = 0
        for fragment in self.fragments:
            signs = (
                [2 ** max(s.signs - 1, 0) for s in settings(fragment, self._sampled)]
                if len(fragment.prepared) + len(fragment.legs) <= 8
                else [MAX_VARIANTS]
            )
            total += sum(signs)
            if total > MAX_VARIANTS or 4 ** len(fragment.bonds) * 8 > MAX_ENTRIES:
                raise TooLarge(
                    f"a fragment of {fragment.num_qubits} qubits has {len(fragment.bonds)} cut ends; more than "
                    f"{MAX_VARIANTS} programs would be run. Allow wider fragments (max_qubits), or fewer cuts"
                )

    def _gate(self, step: int) -> Bond:
        angle = angle_of(self._steps, step)
        if not isinstance(angle, Affine):
            return Bond(False, angle)
        program = cosine_program(angle, self._steps.num_slots)
        self._angles.append(program)
        return Bond(False, 0.0, self._column(program, _Z, 1.0), self._column(program, _X, 1.0))

    def _constant_or(self, program: Program, observable: PauliSum, weight: float) -> int:
        """The column of an observable; those of what is 1 and 0 whatever the program."""
        if not observable.terms:
            return ZERO
        if observable == _ONE:
            return ONE
        return self._column(program, observable, weight)

    def _column(self, program: Program, observable: PauliSum, weight: float) -> int:
        there = self._programs.setdefault(program, _Asked())
        there.weight = max(there.weight, weight)
        key = (id(there), observable)
        if key not in self._known:
            place = there.observables.setdefault(observable, len(there.observables))
            self._columns.append((there, place))
            self._factors.append(common(observable))
            self._known[key] = len(self._columns)
        return self._known[key]

    def _joint(self, program: Program, qubits: tuple[int, ...], weight: float) -> int:
        there = self._programs.setdefault(program, _Asked())
        there.weight = max(there.weight, weight)
        if qubits not in there.distributions:
            there.distributions[qubits] = len(self._joints)
            self._joints.append((there, qubits))
        return there.distributions[qubits]

    def _terms(self, observable: PauliSum) -> tuple[Term, ...]:
        return tuple(
            Term(coefficient, self._product(sums))
            for coefficient, sums in products(observable, self._steps.ends, self.fragments)
        )

    def _product(self, sums: Sequence[Sum]) -> tuple[int, ...]:
        """Tensors of one sum for each fragment; fragments that are 1 left out."""
        return tuple(
            self._values(number, total)
            for number, total in enumerate(sums)
            if total != IDENTITY or self.fragments[number].bonds
        )

    def _values(self, number: int, total: Sum) -> int:
        key, fragment = (number, total), self.fragments[number]
        if key not in self._known:
            self._tensors.append(
                Values(number, Table.of(self._filled(fragment, lambda s: self._row(fragment, s, total))))
            )
            self._known[key] = len(self._tensors) - 1
        return self._known[key]

    def _filled(self, fragment: Fragment, row: Callable[[Setting], Ints]) -> Ints:
        """Rows of all settings, (measured ends …, programs), repeated to as many programs as any has."""
        rows = [row(setting) for setting in settings(fragment, self._sampled)]
        most = max(found.shape[-1] for found in rows)
        # Numbers of programs are powers of two: a mean stays what it was.
        whole = np.stack([np.repeat(found, most // found.shape[-1], axis=-1) for found in rows])
        shape = [cut_wires.states(self._sampled)] * len(fragment.prepared) + [
            4 if last else len(Place) for last in fragment.last
        ]
        return whole.reshape(*shape, *rows[0].shape[:-1], most)

    def _row(self, fragment: Fragment, setting: Setting, total: Sum) -> Ints:
        made = programs(fragment, setting, self._steps.num_slots, self._sampled)
        weight = self._weight(fragment, setting) / len(made)
        sign = ((fragment.num_qubits, "Z"),) if setting.signs else ()
        found: list[list[int]] = []
        for letters in product(range(4), repeat=len(fragment.measured)):
            more = tuple(
                (end.qubit, cut_wires.PAULIS[letter])
                for end, letter in zip(fragment.measured, letters, strict=True)
                if letter
            )
            observable = asked(total, (*more, *sign))
            for end, last, component in zip(fragment.legs, fragment.last, setting.places, strict=True):
                observable = met(observable, end.qubit, component) if last else observable
            found.append([self._constant_or(program, observable, weight) for program in made])
        return np.array(found, dtype=np.int32).reshape((4,) * len(fragment.measured) + (len(made),))

    def _spread(self, qubits: tuple[int, ...]) -> Spread:
        tensors: list[int] = []
        places: list[int] = []
        for number, fragment in enumerate(self.fragments):
            own = [
                (place, fragment.places[track])
                for place, qubit in enumerate(qubits)
                if (track := self._steps.ends[qubit]) in fragment.places
            ]
            if own:
                places.extend(place for place, _ in own)
                tensors.append(self._distribution(number, tuple(local for _, local in own)))
            elif fragment.bonds:
                tensors.append(self._values(number, IDENTITY))
        return Spread(tuple(tensors), tuple(places))

    def _distribution(self, number: int, qubits: tuple[int, ...]) -> int:
        # Which qubits are measured is one question, for whatever stands at the legs: none is last here.
        fragment = self.fragments[number]
        fragment = fragment._replace(last=(False,) * len(fragment.legs))
        ends = tuple(end.qubit for end in fragment.measured)

        def row(setting: Setting) -> Ints:
            found: list[list[int]] = []
            sign = (fragment.num_qubits,) if setting.signs else ()
            for letters in product(range(3), repeat=len(ends)):
                bases = ["XYZ"[letter] for letter in letters]
                made = programs(fragment, setting, self._steps.num_slots, self._sampled, bases)
                weight = self._weight(fragment, setting) / len(made)
                found.append([self._joint(program, (*qubits, *ends, *sign), weight) for program in made])
            return np.array(found, dtype=np.int32).reshape((3,) * len(ends) + (-1,))

        self._tensors.append(Joint(number, Table.of(self._filled(fragment, row)), len(qubits)))
        return len(self._tensors) - 1

    def _weight(self, fragment: Fragment, setting: Setting) -> float:
        """Product of the absolute coefficients of what stands at a fragment's cut gates."""
        return prod(
            _weights(self._bonds[end.bond], last)[place]
            for end, last, place in zip(fragment.legs, fragment.last, setting.places, strict=True)
        )


def _weights(bond: Bond, last: bool) -> tuple[float, ...]:
    """Of each place, or of each component of a leg that is last, the absolute coefficient."""
    size = np.abs(cut_gates.coefficients(bond.angle))
    nothing, z, mixed = float(size[0, 0]), float(size[1, 1]), float(size[2, 3])
    if bond.cosine:
        # Where the angle depends on slots, the most that each can be.
        nothing, z, mixed = 1.0, 1.0, 0.5
    # A sign meets both quarter turns at the other end.
    return (nothing, z, 2 * mixed, mixed) if last else (nothing, z, mixed, mixed, 2 * mixed)


def _outputs(asked_of: _Asked) -> tuple[Output, ...]:
    sums = (Expectation(tuple(asked_of.observables)),) if asked_of.observables else ()
    return (*sums, *(Probabilities(qubits) for qubits in asked_of.distributions))
