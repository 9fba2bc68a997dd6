"""Pulses as a twin plays them: resonant drives turn single qubits, which decay meanwhile, and are read.

Qubits do not see each other here, so each is a 2 × 2 density matrix. What a twin cannot play honestly is refused:
control channels (their effect is not in a calibration), and anything on a qubit behind its readout.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration, QubitCalibration
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.pulse import Acquire, Line, Play, PulseLimits, Schedule, Shift

Complex = npt.NDArray[np.complex128]

#: Bits of all shots together.
MAX_OUTCOME_BITS = 2**27


def check_playable(schedule: Schedule, shots: int) -> None:
    """Raises unless a twin can play a checked schedule.

    Raises:
        UnsupportedFeature: names the instruction, its channel, and why.
        TooLarge: too many bits are asked for.
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
        elif instruction.line is Line.CONTROL:
            _refuse(
                index,
                f"control {'-'.join(map(str, instruction.qubits))}",
                "what a drive between two qubits does is not part of a calibration. Use a two-qubit gate in a task",
            )
    for index, instruction in enumerate(schedule.instructions):
        if isinstance(instruction, Play) and instruction.line is Line.DRIVE:
            qubit = instruction.qubits[0]
            end = instruction.start + instruction.duration
            if end > read.get(qubit, end):
                _refuse(index, f"drive {qubit}", f"it lasts until {end}; the qubit is read at {read[qubit]}")
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
    on_qubit: dict[int, list[Play | Shift]] = {}
    for entry in schedule.instructions:
        if isinstance(entry, (Play, Shift)) and entry.line is Line.DRIVE:
            on_qubit.setdefault(entry.qubits[0], []).append(entry)
    bits = 1 + max(entry.bit for entry in acquired)
    ones = np.zeros((shots, bits), dtype=bool)
    random = np.random.default_rng(seed)
    for entry in sorted(acquired, key=lambda entry: entry.bit):
        qubit = truth.qubits[entry.qubit]
        excited = excitation(on_qubit.get(entry.qubit, ()), entry.start, limits, qubit)
        probability = excited * (1 - qubit.read0_given1) + (1 - excited) * qubit.read1_given0
        ones[:, entry.bit] = random.random(shots) < probability
    packed = np.packbits(ones, axis=1, bitorder="little")
    found = Counter(row.tobytes() for row in packed)
    return {
        format(int.from_bytes(outcome, "little"), f"0{bits}b"): count
        for outcome, count in sorted(found.items(), key=lambda item: item[0][::-1])
    }


def excitation(
    drives: Sequence[Play | Shift], until: int, limits: PulseLimits, qubit: QubitCalibration
) -> float:
    """Probability of |1> at a sample, of a qubit that began in |0> and was driven on resonance.

    Every sample is a turn about an axis of the equator, in order; the qubit decays half of a pulse's time before
    it and half behind it.
    """
    state: Complex = np.array([[1, 0], [0, 0]], dtype=np.complex128)
    at, phase = 0.0, 0.0
    # A shift counts for what begins with it.
    for entry in sorted(drives, key=lambda entry: (entry.start, isinstance(entry, Play))):
        if entry.start > until:
            break
        if isinstance(entry, Shift):
            phase += entry.phase
            continue
        middle = entry.start + entry.duration / 2
        state = _decayed(state, (middle - at) * limits.dt_ns, qubit)
        turn = rotation(entry.envelope.samples(entry.duration) * np.exp(1j * phase), limits)
        state = turn @ state @ turn.conj().T
        at = middle
    state = _decayed(state, (until - at) * limits.dt_ns, qubit)
    return float(min(1.0, max(0.0, state[1, 1].real)))


def rotation(samples: Complex, limits: PulseLimits) -> Complex:
    """What a resonant drive does to a qubit, shape (2, 2): the product of its samples' turns, the first rightmost."""
    halves = math.pi * limits.rabi_mhz / 1000 * limits.dt_ns * np.abs(samples)
    cosine, sine = np.cos(halves), np.sin(halves)
    axis = np.exp(1j * np.angle(samples))
    turns = np.empty((len(samples), 2, 2), dtype=np.complex128)
    turns[:, 0, 0] = turns[:, 1, 1] = cosine
    turns[:, 0, 1] = -1j * sine * axis.conj()
    turns[:, 1, 0] = -1j * sine * axis
    while len(turns) > 1:
        if len(turns) % 2:
            turns = np.concatenate([turns, np.eye(2, dtype=np.complex128)[None]])
        turns = turns[1::2] @ turns[::2]
    found: Complex = turns[0]
    return found


def _decayed(state: Complex, duration_ns: float, qubit: QubitCalibration) -> Complex:
    kept = math.exp(-duration_ns / (qubit.t1_us * 1000))
    coherence = math.exp(-duration_ns / (min(qubit.t2_us, 2 * qubit.t1_us) * 1000))
    excited = state[1, 1] * kept
    return np.array(
        [[1 - excited, state[0, 1] * coherence], [state[1, 0] * coherence, excited]], dtype=np.complex128
    )


def _refuse(index: int, channel: str, why: str) -> None:
    raise UnsupportedFeature(f"instruction {index} on channel {channel}: {why}")
