"""Checks of what is sampled: probabilities, shots and memory."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from qfw.model.outputs import Counts, Memory, Probabilities
from qfw.testing.checks import Checks, NotApplicable, expect
from qfw.testing.circuits import Placed
from qfw.testing.expected import EXACT, distribution, frequencies, sampling_bound, variation
from qfw.testing.results import close, flips
from qfw.testing.subject import Subject

checks: Checks[Subject] = Checks()
check = checks.check
SECTION = "Results"


@check("probabilities.sum", "Probabilities of a set add up to 1.", SECTION)
def _sum(subject: Subject) -> None:
    subject.answers(Probabilities)
    placed = subject.circuits.place(subject.circuits.random(np.random.default_rng(4), 3, 3), 3)
    shots = 0 if subject.profile.exact else subject.shots()
    found = subject.ask(placed, (Probabilities(),), shots=shots).probabilities
    expect(abs(found.sum() - 1) < EXACT, "a sum of 1", float(found.sum()))


@check("probabilities.sampled", "With shots, probabilities are relative frequencies.", SECTION)
def _sampled_probabilities(subject: Subject) -> None:
    subject.answers(Probabilities)
    placed = subject.circuits.place(subject.circuits.turn(0, 1.2), 1)
    shots = subject.shots(1000)
    found = subject.ask(placed, (Probabilities((placed.where[0],)),), shots=shots).probabilities[0] * shots
    expect(np.abs(found - np.round(found)).max() < 1e-6, f"multiples of 1/{shots}", found / shots)
    off = abs(found[1] / shots - math.sin(0.6) ** 2)
    expect(off <= subject.bound(placed) + sampling_bound(2, shots), math.sin(0.6) ** 2, found[1] / shots)


def _superposed(subject: Subject, count: int = 2) -> Placed:
    """All `count` qubits turned by different angles, and measured."""
    ops = [op for q in range(count) for op in subject.circuits.turn(q, 0.9 + 0.4 * q)]
    return subject.circuits.place(ops, count, measured=[(q, q) for q in range(count)])


@check("shots.distribution", "Samples follow the distribution of the state.", SECTION)
def _samples(subject: Subject) -> None:
    placed = _superposed(subject, 3)
    (counts,) = subject.counts(placed)
    bound = subject.bound(placed) + sampling_bound(8, subject.shots())
    close(frequencies(counts, 3)[None], distribution(placed.logical, np.zeros((1, 0))), bound)


@check("shots.entangled", "Samples of several qubits belong together, shot by shot.", SECTION)
def _entangled(subject: Subject) -> None:
    rng = np.random.default_rng(21)
    ops = subject.circuits.random(rng, 2, 4)
    placed = subject.circuits.place(ops, 2, measured=[(0, 0), (1, 1)])
    (counts,) = subject.counts(placed)
    bound = subject.bound(placed) + sampling_bound(4, subject.shots())
    close(frequencies(counts, 2)[None], distribution(placed.logical, np.zeros((1, 0))), bound)


@check("shots.sum", "Counts of every set add up to the shots that were asked for.", SECTION)
def _shots_sum(subject: Subject) -> None:
    for shots in (1, 2, 17, 1000):
        for row in subject.counts(_superposed(subject), shots=shots):
            expect(sum(row.values()) == subject.shots(shots), f"{shots} shots", sum(row.values()))


@check("shots.one", "A task may have one shot.", SECTION)
def _one_shot(subject: Subject) -> None:
    (counts,) = subject.counts(_superposed(subject), shots=1)
    expect(list(counts.values()) == [1], "one outcome, once", counts)


@check("shots.many", "A task may have many shots, up to the device's bound or 100 000.", SECTION)
def _many_shots(subject: Subject) -> None:
    (counts,) = subject.counts(_superposed(subject), shots=100_000)
    expect(sum(counts.values()) == subject.shots(100_000), f"{subject.shots(100_000)} shots", counts)


@check("shots.converge", "More shots come closer to the state: nothing but chance stands between.", SECTION)
def _converge(subject: Subject) -> None:
    placed = _superposed(subject, 1)
    shots = subject.shots(50_000)
    (counts,) = subject.counts(placed, shots=shots)
    off = variation(frequencies(counts, 1), distribution(placed.logical, np.zeros((1, 0)))[0])
    bound = subject.bound(placed) + sampling_bound(2, shots)
    expect(off <= bound, f"within {bound:.3g}", f"{off:.3g} off")


@check("memory.length", "Memory has the bit string of every shot of every set.", SECTION)
def _memory_length(subject: Subject) -> None:
    subject.answers(Memory)
    memory = subject.ask(_superposed(subject), (Memory(),), shots=subject.shots(333)).memory
    expect(
        [len(row) for row in memory] == [subject.shots(333)], "333 bit strings", [len(row) for row in memory]
    )


@check("memory.agrees_with_counts", "Counts and memory of one task are of the same shots.", SECTION)
def _memory_counts(subject: Subject) -> None:
    subject.answers(Memory, Counts)
    result = subject.ask(_superposed(subject, 3), (Counts(), Memory()), shots=subject.shots(500))
    tally: dict[str, int] = {}
    for text in result.memory[0]:
        tally[text] = tally.get(text, 0) + 1
    expect(tally == result.counts[0], result.counts[0], tally)


@check("memory.outputs_order", "Answers come in the order of the outputs, whatever it is.", SECTION)
def _outputs_order(subject: Subject) -> None:
    subject.answers(Memory, Counts)
    result = subject.ask(_superposed(subject), (Memory(), Counts()), shots=subject.shots(50))
    expect(len(result.memory[0]) == subject.shots(50), "50 shots in memory", len(result.memory[0]))


@check("memory.order", "Memory is in the order of the shots, not sorted or grouped.", SECTION)
def _memory_order(subject: Subject) -> None:
    subject.answers(Memory)
    placed = subject.circuits.place(subject.circuits.turn(0, math.pi / 2), 1, measured=[(0, 0)])
    shots = subject.shots(2000)
    if shots < 200:
        raise NotApplicable(f"too few shots ({shots}) to tell an order")
    (row,) = subject.ask(placed, (Memory(),), shots=shots).memory
    changes = sum(a != b for a, b in pairwise(row)) / (shots - 1)
    expect(0.3 < changes < 0.7, "a change in about every second shot", f"in {changes:.1%} of them")


@check("memory.bit_order", "Bit strings in memory have bit 0 rightmost too.", SECTION)
def _memory_bits(subject: Subject) -> None:
    subject.answers(Memory)
    (row,) = subject.ask(flips(subject, "011"), (Memory(),), shots=subject.shots(64)).memory
    most = max(set(row), key=row.count)
    expect(most == "011", "011", most)
    if not subject.noisy:
        expect(set(row) == {"011"}, "nothing but 011", set(row))


@check("memory.sets", "Memory of several sets is that of each, in their order.", SECTION)
def _memory_sets(subject: Subject) -> None:
    subject.answers(Memory)
    from qfw.model.program import slot

    placed = subject.circuits.place(subject.circuits.turn(0, slot(0)), 1, slots=1, measured=[(0, 0)])
    rows = subject.ask(
        placed, (Memory(),), parameters=[[0.0], [math.pi], [0.0]], shots=subject.shots(40)
    ).memory
    most = [max(set(row), key=row.count) for row in rows]
    expect(most == ["0", "1", "0"], ["0", "1", "0"], most)
