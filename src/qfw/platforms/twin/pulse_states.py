"""States that pulses bring qubits to: alone, or together where control channels tie them to each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration, QubitCalibration
from qfw.model.pulse import Acquire, Channel, Coupling, Line, Play, PulseLimits, Schedule, Shift, channel_of

Complex = npt.NDArray[np.complex128]
Floats = npt.NDArray[np.float64]


def tied_together(schedule: Schedule) -> dict[int, tuple[int, ...]]:
    """Of each qubit with a control pulse all those that it is tied to, itself included, rising."""
    found: dict[int, tuple[int, ...]] = {}
    for entry in schedule.instructions:
        if isinstance(entry, Play) and entry.line is Line.CONTROL:
            joined = tuple(sorted({other for qubit in entry.qubits for other in found.get(qubit, (qubit,))}))
            found.update(dict.fromkeys(joined, joined))
    return found


def distribution(
    schedule: Schedule,
    group: tuple[int, ...],
    reads: Sequence[Acquire],
    limits: PulseLimits,
    truth: Calibration,
) -> Floats:
    """Probability of every outcome of qubits that are tied together; reads[0] is the least significant bit.

    A pulse happens at its middle; its qubits decay until then, and each to its readout. Shape (2**reads,).
    """
    count = len(group)
    place = {qubit: index for index, qubit in enumerate(group)}
    # Axes: row and column of each qubit.
    state = np.zeros((2,) * (2 * count), dtype=np.complex128)
    state[(0,) * (2 * count)] = 1
    rested = dict.fromkeys(group, 0.0)
    for at, entry, phases in _pulses_on(schedule, group):
        for qubit in entry.qubits:
            _decay(state, place[qubit], count, (at - rested[qubit]) * limits.dt_ns, truth.qubits[qubit])
            rested[qubit] = at
        samples = entry.envelope.samples(entry.duration) * np.exp(1j * phases[0])
        if entry.line is Line.DRIVE:
            turn = rotation(samples, limits)
            for axis, matrix in (
                (place[entry.qubits[0]], turn),
                (count + place[entry.qubits[0]], turn.conj()),
            ):
                state = np.moveaxis(np.tensordot(matrix, state, (1, axis)), 0, axis)
        else:
            angle = 2 * math.pi * limits.coupling_mhz / 1000 * limits.dt_ns * float(samples.real.sum())
            first, second = (place[qubit] for qubit in entry.qubits)
            for rows, sign in (((first, second), 1), ((count + first, count + second), -1)):
                pair = np.moveaxis(state, rows, (0, 1))
                if limits.coupling is Coupling.XX:
                    _turn_together(pair, sign * angle, sign * phases[1], sign * phases[2])
                else:
                    pair[1, 1] *= np.exp(-1j * sign * angle)
    for read in reads:
        waited_ns = (read.start - rested[read.qubit]) * limits.dt_ns
        _decay(state, place[read.qubit], count, waited_ns, truth.qubits[read.qubit])
    diagonal = np.real(np.diagonal(state.reshape(2**count, 2**count))).reshape((2,) * count)
    unread = tuple(place[qubit] for qubit in group if qubit not in {read.qubit for read in reads})
    left = [qubit for qubit in group if place[qubit] not in unread]
    order = [left.index(read.qubit) for read in reversed(reads)]
    found: Floats = np.maximum(diagonal.sum(axis=unread).transpose(order).ravel(), 0.0)
    found /= found.sum()
    return found


def _pulses_on(schedule: Schedule, group: tuple[int, ...]) -> Iterator[tuple[float, Play, tuple[float, ...]]]:
    """Drives and control pulses of a group by the middle of each, and phases then: of its channel, of the drives."""
    phases: dict[Channel, float] = {}
    found: list[tuple[float, Play, tuple[float, ...]]] = []
    # A shift counts for what begins with it.
    for entry in sorted(schedule.instructions, key=lambda entry: (entry.start, not isinstance(entry, Shift))):
        if isinstance(entry, Acquire) or entry.line is Line.MEASURE or entry.qubits[0] not in group:
            continue
        channel = channel_of(entry)
        if isinstance(entry, Shift):
            phases[channel] = phases.get(channel, 0.0) + entry.phase
        else:
            asked = (channel, *(Channel(Line.DRIVE, (qubit,)) for qubit in entry.qubits))
            found.append(
                (entry.start + entry.duration / 2, entry, tuple(phases.get(each, 0.0) for each in asked))
            )
    return iter(sorted(found, key=lambda each: each[0]))


def _turn_together(pair: Complex, angle: float, first: float, second: float) -> None:
    """exp(-i angle/2 A⊗B) on the first two axes, in place; A and B are x turned by these phases, about z."""
    before = pair.copy()
    cosine, sine = math.cos(angle / 2), math.sin(angle / 2)
    for row in (0, 1):
        for column in (0, 1):
            # Of x at a phase: |1> of |0> with e^{i phase}, |0> of |1> with e^{-i phase}.
            turned = np.exp(1j * ((2 * row - 1) * first + (2 * column - 1) * second))
            pair[row, column] = (
                cosine * before[row, column] - 1j * sine * turned * before[1 - row, 1 - column]
            )


def _decay(state: Complex, place: int, count: int, duration_ns: float, qubit: QubitCalibration) -> None:
    """Lets one qubit of a density matrix decay, in place."""
    kept, coherence = _left(duration_ns, qubit)
    entries = np.moveaxis(state, (place, count + place), (0, 1))
    entries[0, 0] += (1 - kept) * entries[1, 1]
    entries[1, 1] *= kept
    entries[0, 1] *= coherence
    entries[1, 0] *= coherence


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
    kept, coherence = _left(duration_ns, qubit)
    excited = state[1, 1] * kept
    return np.array(
        [[1 - excited, state[0, 1] * coherence], [state[1, 0] * coherence, excited]], dtype=np.complex128
    )


def _left(duration_ns: float, qubit: QubitCalibration) -> tuple[float, float]:
    """What is left of the excitation, and of the coherence."""
    t2_us = min(qubit.t2_us, 2 * qubit.t1_us)
    return math.exp(-duration_ns / (qubit.t1_us * 1000)), math.exp(-duration_ns / (t2_us * 1000))
