"""Gate pulses: how a device's native gates and measurements are played; part of its calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from qfw.model.gates import GATES
from qfw.model.pulse import Acquire, Instruction, Line, PulseLimits, Shift, channel_of

#: What a measurement is called among the gates.
MEASURE = "measure"
#: Definitions of a device, and instructions of one.
MAX_DEFINITIONS, MAX_INSTRUCTIONS = 32_768, 256


class GatePulses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One native gate, or the measurement of a qubit, as pulses."""

    #: Name of the gate, or MEASURE.
    gate: str
    #: Qubits of the device; empty: wherever the calibration has the gate.
    qubits: tuple[int, ...]
    #: Samples that it takes.
    duration: int
    #: Qubits are places in the gate's qubits, and starts count from the gate's begin; the bit of an acquisition is
    #: that of the measurement.
    instructions: tuple[Instruction, ...] = ()

    def placed(self, qubits: Sequence[int], start: int, bit: int = 0) -> Iterable[Instruction]:
        """The instructions on these qubits of the device, from that sample on."""
        for each in self.instructions:
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
    if each.gate != MEASURE and (each.gate not in GATES or GATES[each.gate].num_angles):
        return f"is of {each.gate!r}; it must be a gate without angles, or {MEASURE!r}"
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
    return ""


def frame_shift(qubit: int, angle: float, start: int) -> Shift:
    """What a virtual gate is: rz(angle) before a turn about x is that turn about an axis at -angle, and rz after it."""
    return Shift(Line.DRIVE, (qubit,), start, -angle)
