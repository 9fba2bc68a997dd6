"""Pulses as a twin plays them: drives turn qubits, couplers the phase of two, all decay meanwhile, and are read.

Qubits between which no control channel plays do not see each other, so each is a 2 × 2 density matrix; those between
which one does are one together. What a twin cannot play honestly is refused: anything on a qubit behind its readout, a
drive while a control pulse plays on its qubit, and control pulses among too many.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

import numpy as np

from qfw.model.calibration import Calibration
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.pulse import Acquire, Line, Play, PulseLimits, Schedule, Shift, channel_of
from qfw.platforms.twin.pulse_states import distribution, excitation, tied_together

#: Bits of all shots together.
MAX_OUTCOME_BITS = 2**27
#: Qubits that control pulses tie together: 16 MiB a density matrix.
MAX_TOGETHER = 10
#: Pulses on them times the numbers of their density matrix: some 10 s.
MAX_WORK = 2**29


def check_playable(schedule: Schedule, shots: int) -> None:
    """Raises unless a twin can play a checked schedule.

    Raises:
        UnsupportedFeature: names the instruction, its channel, and why.
        TooLarge: too many bits are asked for, or control pulses tie too many qubits together.
    """
    readouts = {
        (instruction.qubits[0], instruction.start)
        for instruction in schedule.instructions
        if isinstance(instruction, Play) and instruction.line is Line.MEASURE
    }
    read: dict[int, int] = {}
    for index, instruction in enumerate(schedule.instructions):
        if isinstance(instruction, Acquire):
            if instruction.qubit in read:
                _refuse(index, f"acquire {instruction.qubit}", "a twin reads a qubit once in a schedule")
            if (instruction.qubit, instruction.start) not in readouts:
                _refuse(
                    index,
                    f"acquire {instruction.qubit}",
                    "nothing is read without a pulse on the qubit's measure channel that begins with it",
                )
            read[instruction.qubit] = instruction.start
    for index, instruction in enumerate(schedule.instructions):
        if isinstance(instruction, Play) and instruction.line in (Line.DRIVE, Line.CONTROL):
            end = instruction.start + instruction.duration
            for qubit in instruction.qubits:
                if end > read.get(qubit, end):
                    why = f"it lasts until {end}; qubit {qubit} is read at {read[qubit]}"
                    _refuse(index, str(channel_of(instruction)), why)
    _check_controls(schedule)
    if len(read) * shots > MAX_OUTCOME_BITS:
        raise TooLarge(
            f"{shots} shots of {len(read)} bits are more than the {MAX_OUTCOME_BITS} bits that a twin plays at once. "
            "Ask for fewer shots"
        )


def play(
    schedule: Schedule, limits: PulseLimits, truth: Calibration, shots: int, seed: int
) -> dict[str, int]:
    """Counts of a playable schedule by bit string, bit 0 the rightmost; a bit that nothing is read into is 0."""
    acquired = [entry for entry in schedule.instructions if isinstance(entry, Acquire)]
    if not acquired:
        return {"": shots}
    acquired.sort(key=lambda entry: entry.bit)
    bits = 1 + acquired[-1].bit
    ones = np.zeros((shots, bits), dtype=bool)
    random = np.random.default_rng(seed)
    together = tied_together(schedule)
    done: set[int] = set()
    for entry in acquired:
        if entry.qubit in done:
            continue
        group = together.get(entry.qubit, (entry.qubit,))
        done.update(group)
        reads = [each for each in acquired if each.qubit in group]
        if len(group) == 1:
            drives = [
                each
                for each in schedule.instructions
                if isinstance(each, (Play, Shift)) and channel_of(each) == (Line.DRIVE, group)
            ]
            excited = excitation(drives, entry.start, limits, truth.qubits[entry.qubit])
            states = np.less(random.random((1, shots)), excited)
        else:
            probabilities = distribution(schedule, group, reads, limits, truth)
            outcomes = random.choice(len(probabilities), shots, p=probabilities)
            states = np.array([outcomes >> place & 1 for place in range(len(reads))], dtype=bool)
        for each, state in zip(reads, states, strict=True):
            qubit = truth.qubits[each.qubit]
            wrong = np.where(state, qubit.read0_given1, qubit.read1_given0)
            ones[:, each.bit] = state ^ (random.random(shots) < wrong)
    packed = np.packbits(ones, axis=1, bitorder="little")
    found = Counter(row.tobytes() for row in packed)
    return {
        format(int.from_bytes(outcome, "little"), f"0{bits}b"): count
        for outcome, count in sorted(found.items(), key=lambda item: item[0][::-1])
    }


def _check_controls(schedule: Schedule) -> None:
    """Raises unless each group of qubits can be held, and no drive plays on a qubit while a control pulse does."""
    busy: dict[int, list[tuple[int, int]]] = {}
    for entry in schedule.instructions:
        if isinstance(entry, Play) and entry.line is Line.CONTROL:
            for qubit in entry.qubits:
                busy.setdefault(qubit, []).append((entry.start, entry.start + entry.duration))
    spans = {qubit: _merged(intervals) for qubit, intervals in busy.items()}
    for index, entry in enumerate(schedule.instructions):
        if isinstance(entry, Play) and entry.line is Line.DRIVE and entry.qubits[0] in spans:
            own = spans[entry.qubits[0]]
            # The last span that begins before the drive ends.
            place = bisect_left(own, (entry.start + entry.duration,)) - 1
            if place >= 0 and own[place][1] > entry.start:
                _refuse(
                    index,
                    str(channel_of(entry)),
                    f"control pulses play on the qubit from {own[place][0]} to {own[place][1]}; what both do at once "
                    "is not part of a calibration. Play them one behind the other",
                )
    for group in set(tied_together(schedule).values()):
        pulses = sum(
            isinstance(entry, Play) and entry.line is not Line.MEASURE and entry.qubits[0] in group
            for entry in schedule.instructions
        )
        if len(group) > MAX_TOGETHER or pulses * 4 ** len(group) > MAX_WORK:
            most = MAX_WORK // 4 ** min(len(group), MAX_TOGETHER)
            raise TooLarge(
                f"control pulses tie {len(group)} qubits together, with {pulses} pulses; a twin plays {MAX_TOGETHER} "
                f"qubits at most, and {most} pulses on so many. Use fewer, or run the program as a task"
            )


def _merged(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Intervals that do not touch, rising, and cover the same."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(intervals):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def _refuse(index: int, channel: str, why: str) -> None:
    raise UnsupportedFeature(f"instruction {index} on channel {channel}: {why}")
