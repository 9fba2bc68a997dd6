"""Gate pulses: how a device's native gates and measurements are played; part of its calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from qfw.model.envelopes import Samples
from qfw.model.gates import GATES
from qfw.model.pulse import Acquire, Instruction, Line, Play, PulseLimits, Shift, channel_of

#: What a measurement is called among the gates.
MEASURE = "measure"
#: Definitions of a device, and instructions of one.
MAX_DEFINITIONS, MAX_INSTRUCTIONS = 32_768, 256


#: Gates that turning an angle by 2π changes by more than a phase of the whole state: no amplitude follows theirs.
LONG_PERIOD = ("crx", "cry", "crz", "cu")


class Part(StrEnum):
    """What of an instruction follows an angle."""

    #: Of a pulse: times factor · the angle, which counts modulo 2π, from -π to π.
    AMPLITUDE = "amplitude"
    #: Of a pulse or shift: plus factor · the angle.
    PHASE = "phase"


class Follow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instruction that depends on an angle of its gate, linearly."""

    #: Place of the instruction in the definition, and of the angle in the gate.
    instruction: int
    part: Part
    angle: int
    #: For each radian.
    factor: float


class GatePulses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One native gate, or the measurement of a qubit, as pulses; those of a gate with angles follow each of them."""

    #: Name of the gate, or MEASURE.
    gate: str
    #: Qubits of the device; empty: wherever the calibration has the gate.
    qubits: tuple[int, ...]
    #: Samples that it takes.
    duration: int
    #: Qubits are places in the gate's qubits, and starts count from the gate's begin; the bit of an acquisition is
    #: that of the measurement.
    instructions: tuple[Instruction, ...] = ()
    #: How they depend on the gate's angles.
    follows: tuple[Follow, ...] = ()

    def placed(
        self, qubits: Sequence[int], start: int, bit: int = 0, angles: Sequence[float] = ()
    ) -> Iterable[Instruction]:
        """The instructions on these qubits of the device, from that sample on; angles in radians."""
        instructions = list(self.instructions)
        for follow in self.follows:
            instructions[follow.instruction] = _followed(instructions[follow.instruction], follow, angles)
        for each in instructions:
            if isinstance(each, Acquire):
                yield Acquire(qubits[each.qubit], start + each.start, each.duration, bit)
            else:
                on = tuple(qubits[place] for place in each.qubits)
                yield msgspec.structs.replace(each, qubits=on, start=start + each.start)


class PulseDefinitions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a device says of its pulses."""

    limits: PulseLimits
    gates: tuple[GatePulses, ...]
    #: Gates of one angle that are no pulse: the frame of the qubit's drive is turned by minus the angle.
    virtual: tuple[str, ...] = ()

    def of(self, gate: str, qubits: tuple[int, ...]) -> GatePulses | None:
        """A gate on these qubits; what is said of them counts more than what is said of all."""
        found = None
        for each in self.gates:
            if each.gate == gate and each.qubits == qubits:
                return each
            if each.gate == gate and not each.qubits:
                found = each
        return found


def broken_definition(pulses: PulseDefinitions) -> str:
    """The rule that definitions break, with the field in front; empty where they break none.

    Envelopes are checked where they are played, against the limits: see `qfw.model.pulse.check_schedule`.
    """
    limits = pulses.limits
    for name in ("dt_ns", "rabi_mhz", "amplitude"):
        if not 0 < getattr(limits, name) < math.inf:
            return f"limits.{name} must be finite and above 0"
    if limits.granularity < 1 or limits.longest < 1:
        return "limits.granularity and limits.longest must be 1 at least"
    if len(pulses.gates) > MAX_DEFINITIONS:
        return f"gates has {len(pulses.gates)} entries; at most {MAX_DEFINITIONS} are taken"
    for index, each in enumerate(pulses.gates):
        rule = _broken(each, limits)
        if rule:
            return f"gates[{index}] {rule}"
    for name in pulses.virtual:
        if name not in GATES or (GATES[name].num_qubits, GATES[name].num_angles) != (1, 1):
            return f"virtual has {name!r}; it must be gates of one qubit and one angle"
    return ""


def _broken(each: GatePulses, limits: PulseLimits) -> str:
    if each.gate != MEASURE and (each.gate not in GATES or not GATES[each.gate].num_qubits):
        return f"is of {each.gate!r}; it must be a gate on qubits, or {MEASURE!r}"
    arity = 1 if each.gate == MEASURE else GATES[each.gate].num_qubits
    if each.qubits and (
        len(each.qubits) != arity or not all(0 <= q < limits.num_qubits for q in each.qubits)
    ):
        return f"qubits must be none, or {arity} of 0 to {limits.num_qubits - 1}"
    if not 0 <= each.duration <= limits.longest or each.duration % limits.granularity:
        return f"duration must be a multiple of {limits.granularity} from 0 to {limits.longest}"
    if len(each.instructions) > MAX_INSTRUCTIONS:
        return f"has {len(each.instructions)} instructions; at most {MAX_INSTRUCTIONS} are taken"
    for instruction in each.instructions:
        if isinstance(instruction, Acquire) and each.gate != MEASURE:
            return f"acquires; only {MEASURE!r} does"
        if not all(0 <= place < arity for place in channel_of(instruction).qubits):
            return f"instructions have qubits 0 to {arity - 1}: places in those of the gate"
    return _broken_follows(each)


def _broken_follows(each: GatePulses) -> str:
    num_angles = 0 if each.gate == MEASURE else GATES[each.gate].num_angles
    missing = set(range(num_angles)).difference(follow.angle for follow in each.follows)
    if missing:
        return f"follows must say what depends on angle {min(missing)} of {each.gate}"
    for place, follow in enumerate(each.follows):
        where = f"follows[{place}]"
        if not 0 <= follow.instruction < len(each.instructions) or not 0 <= follow.angle < num_angles:
            return (
                f"{where} must name one of {len(each.instructions)} instructions and of {num_angles} angles"
            )
        if not math.isfinite(follow.factor):
            return f"{where}.factor must be finite"
        instruction = each.instructions[follow.instruction]
        shaped = isinstance(instruction, Play) and not isinstance(instruction.envelope, Samples)
        if follow.part is Part.AMPLITUDE and (not shaped or each.gate in LONG_PERIOD):
            return (
                f"{where}: an amplitude is that of a pulse with a named envelope, and follows no angle of "
                f"{', '.join(LONG_PERIOD)}"
            )
        if not shaped and not isinstance(instruction, Shift):
            return f"{where}: a phase is that of a shift, or of a pulse with a named envelope"
    return ""


def _followed(each: Instruction, follow: Follow, angles: Sequence[float]) -> Instruction:
    angle = angles[follow.angle]
    if isinstance(each, Play) and not isinstance(each.envelope, Samples):
        if follow.part is Part.AMPLITUDE:
            times = follow.factor * math.remainder(angle, math.tau)
            change = {"amplitude": each.envelope.amplitude * times}
        else:
            change = {"phase": each.envelope.phase + follow.factor * angle}
        return msgspec.structs.replace(each, envelope=msgspec.structs.replace(each.envelope, **change))
    assert isinstance(each, Shift)
    return msgspec.structs.replace(each, phase=each.phase + follow.factor * angle)


def frame_shift(qubit: int, angle: float, start: int) -> Shift:
    """What a virtual gate is: rz(angle) before a turn about x is that turn about an axis at -angle, and rz after it."""
    return Shift(Line.DRIVE, (qubit,), start, -angle)
