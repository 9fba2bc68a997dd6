"""How a twin plays its gates: Gaussians that turn a qubit, flat pulses that tie two together, and readout pulses.

Of x, y, sx, sxdg, rx, ry, rz, u, cz, rxx and measurements that fit into the electronics, as long as the calibration
says, rounded up to whole steps. The amplitude of a gate with an angle is linear in it. Frames of the drives are turned
for rz and p; a shift of light takes a while besides. Where atoms are carried to meet, the flat pulse is
in the middle, and the way there and back around it. `electronics_of` says what plays what.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from qfw.model.calibration import Calibration
from qfw.model.envelopes import Envelope, Gaussian, GaussianSquare
from qfw.model.gate_pulses import MEASURE, Follow, GatePulses, Part, PulseDefinitions
from qfw.model.pulse import Acquire, Coupling, Line, Play, PulseLimits, Shift


class Electronics(NamedTuple):
    """What plays the pulses of a twin, besides its channels; see `PulseLimits`."""

    dt_ns: float
    granularity: int
    shortest: int
    longest: int
    rabi_mhz: float
    coupling_mhz: float
    coupling: Coupling


#: For microwaves: 2/9 ns a sample, 16 samples a step; 1 turns in 20 ns, and a coupler of amplitude 1 |11> in 50 ns.
MICROWAVES = Electronics(2 / 9, 16, 64, 2**17, 50.0, 20.0, Coupling.PHASE)
#: For light on atoms: 10 ns a sample, 4 samples a step; 1 turns in 2 µs, and a pair that is excited together in 0.4 µs.
ATOMS = Electronics(10.0, 4, 16, 2**22, 0.5, 2.0, Coupling.PHASE)
#: For light on ions: the same, and an entangling pulse of amplitude 1 turns xx by π in 167 µs.
IONS = ATOMS._replace(coupling_mhz=0.003, coupling=Coupling.XX)

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
#: Longest cz that is light all the time; of a longer one this much is light, and the rest the way of atoms.
_LIGHT_NS = 400
#: The amplitude of a turn is written for π.
_AMPLITUDE = Follow(0, Part.AMPLITUDE, 0, 1 / math.pi)


class _Form(NamedTuple):
    """Instructions of a gate, and what of them follows its angles."""

    instructions: tuple[Play | Shift | Acquire, ...]
    follows: tuple[Follow, ...] = ()


#: Of a length in samples; None where the electronics cannot.
_Played = Callable[[int], _Form | None]


def electronics_of(calibration: Calibration) -> Electronics:
    """Light on ions, where pairs have rxx and no cz; on atoms, where readouts are long; else microwaves."""
    names = {gate.name for gate in calibration.gates}
    if "rxx" in names and "cz" not in names:
        return IONS
    longest_ns = max((qubit.readout_ns for qubit in calibration.qubits), default=0)
    return ATOMS if longest_ns > MICROWAVES.longest * MICROWAVES.dt_ns else MICROWAVES


def limits_of(calibration: Calibration) -> PulseLimits:
    """What the electronics play; every coupled pair has a control channel in both directions."""
    pairs = {gate.qubits for gate in calibration.gates if len(gate.qubits) == 2}
    controls = sorted(pairs | {(second, first) for first, second in pairs})
    return PulseLimits(
        len(calibration.qubits),
        tuple((first, second) for first, second in controls),
        amplitude=1.0,
        **electronics_of(calibration)._asdict(),
    )


def with_pulses(calibration: Calibration) -> Calibration:
    """The calibration with its gates' pulses; as it is where it defines them, or nothing turns a qubit."""
    if calibration.pulses is not None:
        return calibration
    durations: dict[str, dict[tuple[int, ...], int]] = {}
    for gate in calibration.gates:
        durations.setdefault(gate.name, {})[gate.qubits] = gate.duration_ns
    virtual = tuple(name for name in _VIRTUAL if name in durations and not any(durations[name].values()))
    writer = _Writer(electronics_of(calibration))
    found: list[GatePulses] = []
    for name, played in writer.turns().items():
        found += writer.defined(name, durations.get(name, {}), played)
    if not found:
        return calibration
    for name, played in writer.others().items():
        if name not in virtual:
            found += writer.defined(name, durations.get(name, {}), played)
    readouts: dict[tuple[int, ...], int] = {
        (index,): qubit.readout_ns for index, qubit in enumerate(calibration.qubits)
    }
    found += writer.defined(MEASURE, readouts, _readout)
    definitions = PulseDefinitions(limits_of(calibration), tuple(found), virtual)
    return msgspec.structs.replace(calibration, pulses=definitions)


class _Writer:
    """Writes definitions for certain electronics."""

    def __init__(self, electronics: Electronics) -> None:
        self._electronics = electronics

    def turns(self) -> dict[str, _Played]:
        """Gates that turn one qubit about an axis of the equator, in part, by their names."""
        found: dict[str, _Played] = {
            name: lambda duration, turn=turn: _form(self._drive(duration, *turn))  # type: ignore[misc]
            for name, turn in _TURNS.items()
        }
        for name, axis in (("rx", 0.0), ("ry", math.pi / 2)):
            found[name] = lambda duration, axis=axis: _form(self._drive(duration, 1.0, axis), _AMPLITUDE)  # type: ignore[misc]
        found["u"] = self._u
        return found

    def others(self) -> dict[str, _Played]:
        """The other gates."""
        found: dict[str, _Played] = {"id": lambda _: _Form(())}
        found["rz"] = lambda _: _Form((_shift(0),), (Follow(0, Part.PHASE, 0, -1.0),))
        if self._electronics.coupling is Coupling.XX:
            found["rxx"] = lambda duration: _form(self._coupler(duration), _AMPLITUDE)
        else:
            found["cz"] = lambda duration: _form(self._coupler(duration))
        return found

    def defined(
        self, name: str, durations: dict[tuple[int, ...], int], played: _Played
    ) -> Iterable[GatePulses]:
        """One definition for all places where a gate takes as long as in most, and one for each other place."""
        if not durations:
            return
        usual_ns = Counter(durations.values()).most_common(1)[0][0]
        yield from self._one(name, (), usual_ns, played)
        for qubits, duration_ns in durations.items():
            if duration_ns != usual_ns:
                yield from self._one(name, qubits, duration_ns, played)

    def _one(
        self, name: str, qubits: tuple[int, ...], duration_ns: int, played: _Played
    ) -> Iterable[GatePulses]:
        duration = max(self._samples(duration_ns), self._electronics.shortest)
        form = played(duration) if duration <= self._electronics.longest else None
        if form is not None:
            yield GatePulses(name, qubits, duration, form.instructions, form.follows)

    def _samples(self, duration_ns: int) -> int:
        step = self._electronics.granularity
        return math.ceil(duration_ns / (self._electronics.dt_ns * step) - 1e-9) * step

    def _drive(self, duration: int, half_turns: float, phase: float) -> Play | None:
        wanted = Gaussian(1.0, duration * _SIGMA)
        envelope = self._fitted(wanted, duration, half_turns, self._electronics.rabi_mhz)
        if envelope is None:
            return None
        return Play(Line.DRIVE, (0,), 0, duration, msgspec.structs.replace(envelope, phase=phase))

    def _u(self, duration: int) -> _Form | None:
        """u(θ, φ, λ) is rz(λ), then ry(θ), then rz(φ): the last turns the frame of what begins behind it."""
        drive = self._drive(duration, 1.0, math.pi / 2)
        if drive is None:
            return None
        return _Form(
            (_shift(0), drive, _shift(duration)),
            (
                Follow(0, Part.PHASE, 2, -1.0),
                msgspec.structs.replace(_AMPLITUDE, instruction=1),
                Follow(2, Part.PHASE, 1, -1.0),
            ),
        )

    def _coupler(self, duration: int) -> Play | None:
        length, start = duration, 0
        if self._electronics is ATOMS:
            length = min(duration, self._samples(_LIGHT_NS))
            step = self._electronics.granularity
            start = (duration - length) // 2 // step * step
        envelope = self._fitted(_flat(1.0, length), length, 1.0, self._electronics.coupling_mhz)
        return None if envelope is None else Play(Line.CONTROL, (0, 1), start, length, envelope)

    def _fitted(
        self, envelope: Envelope, duration: int, half_turns: float, rate_mhz: float
    ) -> Envelope | None:
        """The envelope of amplitude 1 made to turn so far; None where that takes more than amplitude 1."""
        area = float(np.real(envelope.samples(duration)).sum())
        amplitude = 500.0 * half_turns / (rate_mhz * self._electronics.dt_ns * area)
        return msgspec.structs.replace(envelope, amplitude=amplitude) if amplitude <= 1 else None


def _form(play: Play | None, *follows: Follow) -> _Form | None:
    return None if play is None else _Form((play,), follows)


def _shift(start: int) -> Shift:
    return Shift(Line.DRIVE, (0,), start, 0.0)


def _readout(duration: int) -> _Form:
    envelope = _flat(_READ_AMPLITUDE, duration)
    return _Form((Play(Line.MEASURE, (0,), 0, duration, envelope), Acquire(0, 0, duration, 0)))


def _flat(amplitude: float, duration: int) -> GaussianSquare:
    return GaussianSquare(amplitude, duration * _SIDE / 2, duration * (1 - 2 * _SIDE))
