"""How a twin plays its gates: Gaussians that turn a qubit, flat pulses of couplers, and readout pulses.

Of gates that turn by a fixed angle about x or y, of cz, and of measurements that fit into the electronics, as long
as the calibration says, rounded up to whole steps. Frames of the drives are turned for rz and p where these take no
time. Ions and atoms are carried or driven for longer than the electronics play: a twin of them defines nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec
import numpy as np

from qfw.model.calibration import Calibration
from qfw.model.envelopes import Envelope, Gaussian, GaussianSquare
from qfw.model.gate_pulses import MEASURE, GatePulses, PulseDefinitions
from qfw.model.pulse import Acquire, Instruction, Line, Play, PulseLimits

#: What a twin's electronics play, besides its channels: 2/9 ns a sample, 16 samples a step; 1 turns in 20 ns, and a
#: coupler of amplitude 1 turns |11> in 50 ns.
_DT_NS, _GRANULARITY, _SHORTEST, _LONGEST, _RABI_MHZ, _COUPLING_MHZ = 2 / 9, 16, 64, 2**17, 50.0, 20.0
#: Turns of a fixed angle: half turns of the angle, and the axis, radians from x.
_TURNS = {
    "x": (1.0, 0.0),
    "y": (1.0, math.pi / 2),
    "sx": (0.5, 0.0),
    "sxdg": (0.5, math.pi),
}
_VIRTUAL = ("rz", "p")
#: Amplitude of a readout pulse, and parts of a pulse's length: sigma of a Gaussian, sigma of the sides of a flat one.
_READ_AMPLITUDE, _SIGMA, _SIDE = 0.1, 1 / 4, 1 / 16

_Played = Callable[[int], tuple[Instruction, ...] | None]


def limits_of(calibration: Calibration) -> PulseLimits:
    """What the electronics play; every coupled pair has a control channel in both directions."""
    pairs = {gate.qubits for gate in calibration.gates if len(gate.qubits) == 2}
    controls = sorted(pairs | {(second, first) for first, second in pairs})
    return PulseLimits(
        len(calibration.qubits),
        tuple((first, second) for first, second in controls),
        _DT_NS,
        _GRANULARITY,
        _SHORTEST,
        _LONGEST,
        1.0,
        _RABI_MHZ,
        _COUPLING_MHZ,
    )


def with_pulses(calibration: Calibration) -> Calibration:
    """The calibration with its gates' pulses; as it is where it defines them, or nothing turns a qubit."""
    if calibration.pulses is not None:
        return calibration
    durations: dict[str, dict[tuple[int, ...], int]] = {}
    for gate in calibration.gates:
        durations.setdefault(gate.name, {})[gate.qubits] = gate.duration_ns
    found: list[GatePulses] = []
    for name, (half_turns, phase) in _TURNS.items():
        found += _defined(name, durations.get(name, {}), lambda d, h=half_turns, p=phase: _drive(d, h, p))  # type: ignore[misc]
    if not found:
        return calibration
    found += _defined("id", durations.get("id", {}), lambda _: ())
    found += _defined("cz", durations.get("cz", {}), _coupler)
    readouts: dict[tuple[int, ...], int] = {
        (index,): qubit.readout_ns for index, qubit in enumerate(calibration.qubits)
    }
    found += _defined(MEASURE, readouts, _readout)
    virtual = tuple(name for name in _VIRTUAL if name in durations and not any(durations[name].values()))
    definitions = PulseDefinitions(limits_of(calibration), tuple(found), virtual)
    return msgspec.structs.replace(calibration, pulses=definitions)


def _defined(name: str, durations: dict[tuple[int, ...], int], played: _Played) -> Iterable[GatePulses]:
    """One definition for all places where a gate takes as long as in most, and one for each other place."""
    if not durations:
        return
    usual_ns = Counter(durations.values()).most_common(1)[0][0]
    yield from _one(name, (), usual_ns, played)
    for qubits, duration_ns in durations.items():
        if duration_ns != usual_ns:
            yield from _one(name, qubits, duration_ns, played)


def _one(name: str, qubits: tuple[int, ...], duration_ns: int, played: _Played) -> Iterable[GatePulses]:
    steps = math.ceil(duration_ns / (_DT_NS * _GRANULARITY) - 1e-9)
    duration = max(steps * _GRANULARITY, _SHORTEST)
    instructions = played(duration) if duration <= _LONGEST else None
    if instructions is not None:
        yield GatePulses(name, qubits, duration, instructions)


def _drive(duration: int, half_turns: float, phase: float) -> tuple[Instruction, ...] | None:
    envelope = _fitted(Gaussian(1.0, duration * _SIGMA), duration, half_turns, _RABI_MHZ)
    if envelope is None:
        return None
    return (Play(Line.DRIVE, (0,), 0, duration, msgspec.structs.replace(envelope, phase=phase)),)


def _coupler(duration: int) -> tuple[Instruction, ...] | None:
    envelope = _fitted(_flat(1.0, duration), duration, 1.0, _COUPLING_MHZ)
    return None if envelope is None else (Play(Line.CONTROL, (0, 1), 0, duration, envelope),)


def _readout(duration: int) -> tuple[Instruction, ...]:
    envelope = _flat(_READ_AMPLITUDE, duration)
    return (Play(Line.MEASURE, (0,), 0, duration, envelope), Acquire(0, 0, duration, 0))


def _flat(amplitude: float, duration: int) -> GaussianSquare:
    return GaussianSquare(amplitude, duration * _SIDE / 2, duration * (1 - 2 * _SIDE))


def _fitted(envelope: Envelope, duration: int, half_turns: float, rate_mhz: float) -> Envelope | None:
    """The envelope of amplitude 1 made to turn so far; None where that takes more than amplitude 1."""
    area = float(np.real(envelope.samples(duration)).sum())
    amplitude = 500.0 * half_turns / (rate_mhz * _DT_NS * area)
    return msgspec.structs.replace(envelope, amplitude=amplitude) if amplitude <= 1 else None
