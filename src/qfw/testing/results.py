"""Checks of what a device or an engine answers: gates, bits, samples, memory, seeds."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np

from qfw.model.gates import GATES
from qfw.model.outputs import Counts, Probabilities, Statevector
from qfw.model.program import Gate, Operation
from qfw.testing.checks import Checks, Failed, NotApplicable, expect
from qfw.testing.circuits import Placed
from qfw.testing.expected import EXACT, Floats, distribution, frequencies, sampling_bound, states, variation
from qfw.testing.subject import SHOTS, Subject

checks: Checks[Subject] = Checks()
check = checks.check
SECTION = "Results"


def agrees(subject: Subject, placed: Placed, parameters: object = None, shots: int = SHOTS) -> None:
    """Compares the outcomes of all logical qubits with the reference, exactly where the device can, else by samples."""
    count = placed.logical.num_qubits
    values = np.zeros((1, 0)) if parameters is None else np.asarray(parameters, dtype=float)
    ideal = distribution(placed.logical, values)
    bound = subject.bound(placed)
    if subject.profile.exact and "probabilities" in subject.profile.outputs:
        found = subject.ask(placed, (Probabilities(placed.where),), parameters=values).probabilities
        close(found, ideal, max(bound, EXACT))
        return
    measured = subject.circuits.place(
        placed.logical.operations, count, placed.logical.num_slots, [(q, q) for q in range(count)]
    )
    counts = subject.counts(measured, parameters=values, shots=shots)
    sampled = np.array([frequencies(row, count) for row in counts])
    close(sampled, ideal, subject.bound(measured) + sampling_bound(2**count, subject.shots(shots)))


def close(found: np.ndarray, ideal: np.ndarray, bound: float) -> None:
    """Fails the check unless each row of probabilities, shape (sets, outcomes), is within `bound` of the ideal one."""
    for index, (row, right) in enumerate(zip(found, ideal, strict=True)):
        off = variation(row, right)
        chance = variation(np.full(len(right), 1 / len(right)), right)
        told = f"within {bound:.3g} (total variation) of {_short(right)} in set {index}"
        expect(off <= bound, told, f"{off:.3g} off: {_short(row)}")
        expect(
            off < chance or chance < 0.05 or bound < EXACT * 2, "closer to it than chance", f"{off:.3g} off"
        )


def _short(row: np.ndarray) -> str:
    return np.array2string(row[:8], precision=3, suppress_small=True) + ("…" if len(row) > 8 else "")


def certain(subject: Subject, placed: Placed, right: str, shots: int = 200) -> None:
    """Fails unless `right` is what comes out: always where the device is ideal, else as often as noise allows."""
    (counts,) = subject.counts(placed, shots=shots)
    taken = subject.shots(shots)
    if not subject.noisy:
        expect(counts == {right: taken}, f"{{{right!r}: {taken}}}", counts)
        return
    most = max(counts, key=lambda text: counts[text])
    expect(most == right, f"{right!r} as the most frequent outcome", counts)
    bound = subject.bound(placed) + sampling_bound(2, taken)
    expect(1 - counts[right] / taken <= bound, f"{right!r} in all but {bound:.3g} of the shots", counts)


def _gates(subject: Subject, arity: int) -> list[str]:
    names = [n for n in subject.profile.native_gates if n in GATES and GATES[n].num_qubits == arity]
    if not names:
        raise NotApplicable(f"it has no native gates of {arity} qubits")
    return names


def _gate_alone(subject: Subject, name: str, arity: int) -> None:
    """The gate between turns of all its qubits, with several angles, against the reference."""
    rng = np.random.default_rng(sum(name.encode()))
    circuits = subject.circuits
    where = circuits.qubits(arity)
    orders: list[tuple[int, ...]] = [tuple(range(arity))]
    if arity == 2:
        orders = [p for p in permutations(range(2)) if name in circuits.couples(where, *p)]
    elif arity == 3:
        orders = list(permutations(range(3)))[:3]
    for order in orders:
        for _ in range(2 if GATES[name].num_angles else 1):
            ops: list[Operation] = [op for q in range(arity) for op in circuits.turn(q, 0.7 + 0.5 * q)]
            ops.append(circuits.gate(name, order, rng))
            ops += [op for q in range(arity) for op in circuits.turn(q, 1.9 - 0.6 * q)]
            placed = circuits.place(ops, arity)
            try:
                _same_state(subject, placed)
            except Failed as error:
                raise Failed(f"gate {name} on {order}: {error.expected}", error.found) from error


def _same_state(subject: Subject, placed: Placed) -> None:
    if "statevector" not in subject.profile.outputs:
        agrees(subject, placed)
        return
    found = subject.ask(placed, (Statevector(),)).statevector[0]
    right = states(placed.logical, np.zeros((1, 0)))[0]
    overlap = abs(np.vdot(right, found)) ** 2
    expect(abs(overlap - 1) < EXACT, f"the state {np.round(right, 4)}", f"{np.round(found, 4)}")


def _every(subject: Subject, arity: int) -> None:
    for name in _gates(subject, arity):
        _gate_alone(subject, name, arity)


@check("gates.one_qubit", "Every native gate of one qubit is the matrix that qfw.model.gates says.", SECTION)
def _one_qubit(subject: Subject) -> None:
    _every(subject, 1)


@check(
    "gates.two_qubits",
    "Every native gate of two qubits is its matrix, in each order that is coupled.",
    SECTION,
)
def _two_qubits(subject: Subject) -> None:
    _every(subject, 2)


@check("gates.three_qubits", "Every native gate of three qubits is its matrix.", SECTION)
def _three_qubits(subject: Subject) -> None:
    _every(subject, 3)


@check("gates.global_phase", "A gphase turns the state as a whole, and no probability.", SECTION)
def _global_phase(subject: Subject) -> None:
    if "gphase" not in subject.profile.native_gates:
        raise NotApplicable("gphase is not native")
    ops = [*subject.circuits.turn(0, 1.0), Gate("gphase", (), (0.8,))]
    agrees(subject, subject.circuits.place(ops, 1))


@check("gates.there_and_back", "A gate and its inverse leave the state as it was.", SECTION)
def _there_and_back(subject: Subject) -> None:
    if subject.profile.max_qubits < 1:
        raise NotApplicable("it has no qubits")
    ops = [*subject.circuits.flip(0), *subject.circuits.flip(0), *subject.circuits.flip(0)]
    certain(subject, subject.circuits.place(ops, 1, measured=[(0, 0)]), "1")


def _random(subject: Subject, count: int, depth: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    agrees(subject, subject.circuits.place(subject.circuits.random(rng, count, depth), count))


@check("random.two_qubits", "Random programs of two qubits give what the reference gives.", SECTION)
def _random_two(subject: Subject) -> None:
    for seed in range(6):
        _random(subject, 2, 3, seed)


@check("random.three_qubits", "Random programs of three qubits give what the reference gives.", SECTION)
def _random_three(subject: Subject) -> None:
    for seed in range(4):
        _random(subject, 3, 4, seed)


@check("random.five_qubits", "Random programs of five qubits give what the reference gives.", SECTION)
def _random_five(subject: Subject) -> None:
    for seed in range(2):
        _random(subject, 5, 4, seed)


@check(
    "random.deep",
    "A deep program gives what the reference gives: errors do not add up beyond its calibration.",
    SECTION,
)
def _random_deep(subject: Subject) -> None:
    _random(subject, 2, 20, 11)


def flips(subject: Subject, pattern: str, **place: object) -> Placed:
    """|pattern>, qubit 0 rightmost, every qubit measured into the classical bit of its number."""
    count = len(pattern)
    ops = [op for q in range(count) if pattern[count - 1 - q] == "1" for op in subject.circuits.flip(q)]
    return subject.circuits.place(ops, count, measured=[(q, q) for q in range(count)], **place)  # type: ignore[arg-type]


@check("bits.qubit_0_is_rightmost", "Bit 0 is the rightmost character of a bit string.", SECTION)
def _rightmost(subject: Subject) -> None:
    certain(subject, flips(subject, "01"), "01")


@check(
    "bits.each_qubit", "Each qubit alone is read at its own place, in registers of several widths.", SECTION
)
def _each_qubit(subject: Subject) -> None:
    for width in (1, 2, 3, 5):
        for qubit in range(min(width, subject.profile.max_qubits)):
            text = "".join("1" if width - 1 - at == qubit else "0" for at in range(width))
            if width <= subject.profile.max_qubits:
                certain(subject, flips(subject, text), text)


@check(
    "bits.pattern",
    "A pattern that is not its own mirror image comes back as it is, up to ten bits wide.",
    SECTION,
)
def _pattern(subject: Subject) -> None:
    for text in ("10", "110", "110010", "1011000010"):
        if len(text) <= subject.profile.max_qubits:
            certain(subject, flips(subject, text), text)


@check("bits.classical_order", "A qubit is read into the classical bit that the program names.", SECTION)
def _classical_order(subject: Subject) -> None:
    ops = subject.circuits.flip(0)
    certain(subject, subject.circuits.place(ops, 3, measured=[(0, 2), (1, 0), (2, 1)]), "100")


@check(
    "bits.some_measured",
    "Only measured qubits are in the bit string; it has a bit for each classical one.",
    SECTION,
)
def _some_measured(subject: Subject) -> None:
    ops = [*subject.circuits.flip(0), *subject.circuits.flip(2)]
    certain(subject, subject.circuits.place(ops, 3, measured=[(2, 0), (1, 1)]), "01")


@check("bits.never_written", "A classical bit that nothing is measured into is 0.", SECTION)
def _never_written(subject: Subject) -> None:
    certain(
        subject, subject.circuits.place(subject.circuits.flip(0), 1, measured=[(0, 3)], clbits=6), "001000"
    )


@check("bits.last_measurement_counts", "Of two measurements into one classical bit the last counts.", SECTION)
def _last_counts(subject: Subject) -> None:
    certain(subject, subject.circuits.place(subject.circuits.flip(1), 2, measured=[(0, 0), (1, 0)]), "1")


@check("bits.measured_twice", "A qubit measured twice at the end gives the same twice.", SECTION)
def _measured_twice(subject: Subject) -> None:
    certain(subject, subject.circuits.place(subject.circuits.flip(0), 2, measured=[(0, 0), (0, 1)]), "11")


@check("bits.beyond_64", "Bit strings may be longer than a machine word.", SECTION)
def _beyond_64(subject: Subject) -> None:
    placed = subject.circuits.place(subject.circuits.flip(0), 2, measured=[(1, 3), (0, 69)], clbits=70)
    certain(subject, placed, "1" + "0" * 69)


@check(
    "bits.probabilities",
    "The first qubit that probabilities are asked of is the least significant bit.",
    SECTION,
)
def _probabilities_order(subject: Subject) -> None:
    subject.answers(Probabilities)
    ops = [*subject.circuits.turn(0, 0.6), *subject.circuits.turn(1, 1.7), *subject.circuits.flip(2)]
    placed = subject.circuits.place(ops, 3)
    ones = [math.sin(0.3) ** 2, math.sin(0.85) ** 2, 1.0]
    shots = 0 if subject.profile.exact else subject.shots()
    for order in ((0, 1, 2), (2, 0), (1, 2), (1, 0, 2), (2,)):
        asked = tuple(placed.where[q] for q in order)
        found = subject.ask(placed, (Probabilities(asked),), shots=shots).probabilities[0]
        right: Floats = np.ones(1)
        for qubit in order:
            right = np.outer([1 - ones[qubit], ones[qubit]], right).reshape(-1)
        bound = max(EXACT, subject.bound(placed)) + (sampling_bound(8, shots) if shots else 0)
        expect(variation(found, right) <= bound, f"{_short(right)} of qubits {order}", _short(found))


@check("bits.statevector", "Qubit 0 is the least significant bit of a statevector's index.", SECTION)
def _statevector_order(subject: Subject) -> None:
    subject.answers(Statevector)
    found = subject.ask(subject.circuits.place(subject.circuits.flip(0), 3), (Statevector(),)).statevector[0]
    expect(abs(abs(found[1]) - 1) < EXACT, "all of the state at index 1", np.round(found, 4))


@check(
    "bits.unmeasured_program",
    "Of a program without measurements every qubit is read, into the bit of its number.",
    SECTION,
)
def _unmeasured(subject: Subject) -> None:
    subject.answers(Counts)
    placed = subject.circuits.place(subject.circuits.flip(0), 2)
    width = placed.placed.num_qubits
    right = "".join("1" if q == placed.where[0] else "0" for q in reversed(range(width)))
    certain(subject, placed, right)


@check(
    "statevector.amplitudes",
    "Amplitudes are those of the reference, but for one phase of the whole.",
    SECTION,
)
def _amplitudes(subject: Subject) -> None:
    subject.answers(Statevector)
    for seed in range(3):
        ops = subject.circuits.random(np.random.default_rng(seed), 4, 3)
        _same_state(subject, subject.circuits.place(ops, 4))


@check("statevector.norm", "A statevector has norm 1.", SECTION)
def _norm(subject: Subject) -> None:
    subject.answers(Statevector)
    ops = subject.circuits.random(np.random.default_rng(3), 4, 12)
    found = subject.ask(subject.circuits.place(ops, 4), (Statevector(),)).statevector[0]
    expect(abs(np.linalg.norm(found) - 1) < EXACT, "norm 1", float(np.linalg.norm(found)))
