"""Gate pulses: how a device's native gates and measurements are played; part of its calibration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from qfw.model.pulse import Acquire, Instruction, Line, PulseLimits, Shift

#: What a measurement is called among the gates.
MEASURE = "measure"


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


def frame_shift(qubit: int, angle: float, start: int) -> Shift:
    """What a virtual gate is: rz(angle) before a turn about x is that turn about an axis at -angle, and rz after it."""
    return Shift(Line.DRIVE, (qubit,), start, -angle)
