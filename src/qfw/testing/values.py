"""Checks of what a device or an engine answers: seeds, observables, parameters, control."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qfw.model.device import DeviceKind
from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.outputs import Counts, Expectation, Memory
from qfw.model.program import Operation, slot
from qfw.testing.checks import Checks, NotApplicable, expect
from qfw.testing.circuits import Placed
from qfw.testing.expected import EXACT, mean_bound, values
from qfw.testing.subject import Subject

checks: Checks[Subject] = Checks()
check = checks.check
SECTION = "Results"


def _turned(subject: Subject, count: int = 3, slots: int = 0) -> Placed:
    ops = [
        op
        for q in range(count)
        for op in subject.circuits.turn(q, slot(q % slots) if slots else 0.8 + 0.3 * q)
    ]
    return subject.circuits.place(ops, count, slots, [(q, q) for q in range(count)])


def _seeded(subject: Subject) -> None:
    subject.answers(Counts)
    if subject.profile.kind is DeviceKind.HARDWARE:
        raise NotApplicable("hardware has no seed")


def _counts(subject: Subject, seed: int, sets: int = 1) -> list[dict[str, int]]:
    rows = [[0.8, 1.1, 1.4]] * sets
    return subject.counts(_turned(subject, 3, 3), seed=seed, parameters=rows, shots=400)


@check("seeds.equal", "The same task with the same seed gives the same samples.", SECTION)
def _equal(subject: Subject) -> None:
    _seeded(subject)
    first, second = _counts(subject, 7), _counts(subject, 7)
    expect(first == second, first, second)


@check("seeds.other", "Another seed gives other samples.", SECTION)
def _other(subject: Subject) -> None:
    _seeded(subject)
    found = [_counts(subject, seed) for seed in (1, 2, 3)]
    expect(not (found[0] == found[1] == found[2]), "different samples of seeds 1, 2, 3", found[0])


@check("seeds.sets_differ", "Equal sets of one task have seeds of their own.", SECTION)
def _sets_differ(subject: Subject) -> None:
    _seeded(subject)
    found = _counts(subject, 5, sets=3)
    expect(not (found[0] == found[1] == found[2]), "different samples of three equal sets", found[0])


@check("seeds.split", "Samples of a set do not depend on how many sets the task has.", SECTION)
def _split(subject: Subject) -> None:
    _seeded(subject)
    alone, among = _counts(subject, 9), _counts(subject, 9, sets=4)
    expect(alone[0] == among[0], f"set 0 as alone: {alone[0]}", among[0])


@check("seeds.no_memory", "What ran before does not change the samples.", SECTION)
def _no_memory(subject: Subject) -> None:
    _seeded(subject)
    first = _counts(subject, 3)
    subject.counts(_turned(subject, 2), seed=99, shots=50)
    second = _counts(subject, 3)
    expect(first == second, first, second)


@check("seeds.memory", "The same seed gives the same memory, shot by shot.", SECTION)
def _seed_memory(subject: Subject) -> None:
    _seeded(subject)
    subject.answers(Memory)
    placed = _turned(subject, 2)
    rows = [subject.ask(placed, (Memory(),), shots=subject.shots(100), seed=12).memory for _ in range(2)]
    expect(rows[0] == rows[1], rows[0][0][:8], rows[1][0][:8])


@check("seeds.largest", "The largest seed, 2**63 - 1, and the smallest, 0, are seeds like others.", SECTION)
def _largest(subject: Subject) -> None:
    _seeded(subject)
    found = [_counts(subject, seed) for seed in (0, 2**63 - 1)]
    expect(found[0] != found[1], "different samples", found[0])


def _observed(subject: Subject, placed: Placed, observables: Sequence[PauliSum], rows: object = None) -> None:
    """Compares expectation values with the reference."""
    subject.answers(Expectation)
    asked = np.zeros((1, 0)) if rows is None else np.asarray(rows, dtype=float)
    right = values(placed.logical, tuple(observables), asked)
    shots = 0 if subject.profile.exact else subject.shots()
    moved = tuple(_moved(observable, placed.where) for observable in observables)
    result = subject.ask(placed, (Expectation(moved),), parameters=asked, shots=shots)
    _near(subject, placed, observables, result.expectation_values, right, shots)


def _near(
    subject: Subject,
    placed: Placed,
    observables: Sequence[PauliSum],
    found: np.ndarray,
    right: np.ndarray,
    shots: int,
) -> None:
    for at, observable in enumerate(observables):
        span = 2 * sum(abs(term.coefficient) for term in observable.terms if term.qubits)
        bound = EXACT * max(1.0, span) + span * subject.bound(placed)
        # Each term may have shots of its own.
        bound += mean_bound(span, shots) if shots else 0.0
        off = np.abs(found[:, at] - right[:, at]).max()
        told = f"{right[:, at]} within {bound:.3g} of {_words(observable)}"
        expect(off <= bound, told, found[:, at])


def _words(observable: PauliSum) -> str:
    return " + ".join(
        f"{t.coefficient:g} {' '.join(p + str(q) for p, q in zip(t.paulis, t.qubits, strict=True)) or 'I'}"
        for t in observable.terms
    )


def _moved(observable: PauliSum, where: Sequence[int]) -> PauliSum:
    return PauliSum(
        tuple(PauliTerm(t.coefficient, tuple(where[q] for q in t.qubits), t.paulis) for t in observable.terms)
    )


def _entangled(subject: Subject, count: int = 3) -> Placed:
    return subject.circuits.place(subject.circuits.random(np.random.default_rng(17), count, 3), count)


def _of(*words: str) -> list[PauliSum]:
    return [PauliSum.of(word) for word in words]


@check("observables.single", "X, Y and Z of each qubit are those of the reference.", SECTION)
def _single(subject: Subject) -> None:
    _observed(subject, _entangled(subject), _of(*(f"{p}{q}" for p in "XYZ" for q in range(3))))


@check("observables.products", "So are products of Paulis, on two and three qubits.", SECTION)
def _products(subject: Subject) -> None:
    pairs = [f"{a}0 {b}1" for a in "XYZ" for b in "XYZ"]
    _observed(subject, _entangled(subject), _of(*pairs, "X0 Y1 Z2", "Z0 X1 Y2", "Y0 Z2"))


@check("observables.coefficients", "Coefficients count, small, large and negative ones.", SECTION)
def _coefficients(subject: Subject) -> None:
    sums = [PauliSum.of({"Z0": c}) for c in (-1.0, 0.5, 7.25, 1e-3)]
    _observed(subject, _entangled(subject), sums)


@check("observables.sums", "Terms that do not commute add up.", SECTION)
def _sums(subject: Subject) -> None:
    _observed(subject, _entangled(subject), [PauliSum.of({"X0": 0.5, "Z0 Z1": -1.5, "Y2": 2.0, "": 0.25})])


@check(
    "observables.identity", "The identity has the value of its coefficient, exactly, with shots too.", SECTION
)
def _identity(subject: Subject) -> None:
    subject.answers(Expectation)
    placed = _turned(subject)
    asked = (Expectation((PauliSum.of({"": 2.5}),)),)
    for shots in ([0] if subject.profile.exact else []) + [subject.shots(50)]:
        found = float(subject.ask(placed, asked, shots=shots).expectation_values[0, 0])
        expect(abs(found - 2.5) < EXACT, "2.5", found)


@check("observables.order", "Values come in the order of the observables.", SECTION)
def _order(subject: Subject) -> None:
    names = ["Z2", "Z0", "Z1", "Z0", "Z0 Z2"]
    _observed(subject, _turned(subject), _of(*names))
    _observed(subject, _turned(subject), _of(*names[::-1]))


@check("observables.many", "A task may ask for hundreds of observables.", SECTION)
def _many(subject: Subject) -> None:
    sums = [PauliSum.of({f"Z{i % 3}": 1 + i / 10, f"Z{(i + 1) % 3}": -0.5}) for i in range(200)]
    _observed(subject, _turned(subject), sums)


@check("observables.exact_error", "Without shots the standard error is 0.", SECTION)
def _exact_error(subject: Subject) -> None:
    subject.answers(Expectation)
    subject.exact()
    placed = _turned(subject)
    found = subject.ask(placed, (Expectation((_moved(PauliSum.of("Z0"), placed.where),)),)).standard_errors
    expect((found == 0).all(), "0", found)


@check(
    "observables.standard_error",
    "With shots it is that of the mean: √((1 - v²) / shots) for one Pauli.",
    SECTION,
)
def _standard_error(subject: Subject) -> None:
    subject.answers(Expectation)
    placed, shots = _turned(subject, 1), subject.shots()
    result = subject.ask(placed, (Expectation((_moved(PauliSum.of("Z0"), placed.where),)),), shots=shots)
    value, error = float(result.expectation_values[0, 0]), float(result.standard_errors[0, 0])
    right = math.sqrt(max(0.0, 1 - value**2) / shots)
    expect(0.9 * right - 1e-9 <= error <= 1.1 * right + 1e-9, f"{right:.4g}", f"{error:.4g}")


@check(
    "observables.sampled",
    "Sampled values follow the state, and differ from it: they are no exact ones.",
    SECTION,
)
def _sampled(subject: Subject) -> None:
    subject.answers(Expectation)
    placed, shots = _turned(subject), subject.shots(1111)
    sums = _of("Z0", "Z1", "Z0 Z1", "X0", "Y1")
    moved = tuple(_moved(s, placed.where) for s in sums)
    found = subject.ask(placed, (Expectation(moved),), shots=shots).expectation_values
    right = values(placed.logical, tuple(sums), np.zeros((1, 0)))
    _near(subject, placed, sums, found, right, shots)
    expect(np.abs(found - right).max() > 1e-9, "values of samples", "the exact ones")


@check(
    "observables.certain",
    "An eigenstate has its value in every shot, and no error, on an ideal device.",
    SECTION,
)
def _certain(subject: Subject) -> None:
    subject.answers(Expectation)
    subject.ideal("the value of an eigenstate")
    placed = subject.circuits.place(subject.circuits.flip(0), 1)
    result = subject.ask(placed, (Expectation((PauliSum.of("Z0"),)),), shots=subject.shots(100))
    found = (float(result.expectation_values[0, 0]), float(result.standard_errors[0, 0]))
    expect(abs(found[0] + 1) < EXACT and found[1] < EXACT, "-1 with error 0", found)


def _swept(
    subject: Subject, rows: list[list[float]], ops: list[Operation] | None = None, slots: int = 1
) -> None:
    """<Z0> of a turn by slot 0, for every row."""
    subject.answers(Expectation)
    placed = subject.circuits.place(ops or subject.circuits.turn(0, slot(0)), 1, slots)
    _observed(subject, placed, _of("Z0"), rows)


@check("parameters.sets", "A task may have many parameter sets; answers come in their order.", SECTION)
def _sets(subject: Subject) -> None:
    _swept(subject, [[0.1 * i] for i in range(min(64, subject.profile.max_sets))])


@check("parameters.thousand", "A thousand parameter sets are one task.", SECTION)
def _thousand(subject: Subject) -> None:
    count = min(1000, subject.profile.max_sets)
    subject.answers(Expectation)
    if not subject.profile.exact:
        raise NotApplicable("a thousand sets with shots are a long run")
    _swept(subject, [[math.sin(i)] for i in range(count)])


@check("parameters.affine", "An angle is coefficient · slot + offset.", SECTION)
def _affine(subject: Subject) -> None:
    _swept(subject, [[0.3], [1.1]], subject.circuits.turn(0, slot(0, -2.0, 0.4)))


@check(
    "parameters.order", "Slots are told apart by their index, in whatever order the gates use them.", SECTION
)
def _slot_order(subject: Subject) -> None:
    ops = [
        *subject.circuits.turn(0, slot(2)),
        *subject.circuits.turn(1, slot(0)),
        *subject.circuits.turn(2, slot(1)),
    ]
    placed = subject.circuits.place(ops, 3, 3)
    _observed(subject, placed, _of("Z0", "Z1", "Z2"), [[0.2, 1.0, 2.2], [2.0, 0.5, 1.2]])


@check("parameters.shared", "One slot may turn several gates.", SECTION)
def _shared(subject: Subject) -> None:
    ops = [*subject.circuits.turn(0, slot(0)), *subject.circuits.turn(1, slot(0, 0.5))]
    _observed(subject, subject.circuits.place(ops, 2, 1), _of("Z0", "Z1"), [[0.7], [2.1]])


@check("parameters.unused", "A slot that no gate uses changes nothing.", SECTION)
def _unused(subject: Subject) -> None:
    _swept(subject, [[0.7, 5.0], [0.7, -9.0]], subject.circuits.turn(0, slot(0)), 2)


@check(
    "parameters.again", "The same program with other parameters gives other answers: none is kept.", SECTION
)
def _again(subject: Subject) -> None:
    for angle in (0.2, 1.4, 2.9, 0.2):
        _swept(subject, [[angle]])


@check("parameters.large", "Angles may be large and negative.", SECTION)
def _large(subject: Subject) -> None:
    _swept(subject, [[-1.0], [100.0], [-321.5], [4 * math.pi]])
