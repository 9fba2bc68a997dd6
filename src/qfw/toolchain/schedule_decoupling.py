"""Dynamical decoupling: pulses in a wait of a qubit that turn it there and back, and leave it as it was.

A slow change of a qubit's frequency, or of what its neighbours do to it, is undone by the next half of the sequence.
"""

from __future__ import annotations

from math import pi
from typing import Final

from qfw.model.errors import UnsupportedFeature
from qfw.model.program import Delay, Gate
from qfw.model.timing import Durations

#: Half turns of each sequence, in order; together they are the identity, up to a global phase.
SEQUENCES: Final[dict[str, str]] = {"none": "", "x2": "XX", "xy4": "XYXY", "xy8": "XYXYYXYX"}

#: Half turns about X and Y, up to a global phase, as names of gates and their angles: the first that a qubit has.
_HALF_TURNS: Final[dict[str, tuple[tuple[tuple[str, tuple[float, ...]], ...], ...]]] = {
    "X": (
        (("x", ()),),
        (("rx", (pi,)),),
        (("u", (pi, 0.0, pi)),),
        (("sx", ()), ("sx", ())),
    ),
    "Y": (
        (("y", ()),),
        (("ry", (pi,)),),
        (("u", (pi, pi / 2, pi / 2)),),
        (("rz", (pi,)), ("x", ())),
        (("rz", (pi,)), ("sx", ()), ("sx", ())),
    ),
}


class Decoupling:
    """One sequence on the qubits of a device."""

    def __init__(self, sequence: str, spacing: str, threshold_ns: int, durations: Durations) -> None:
        """Of gates that the calibration has.

        Args:
            sequence: one of SEQUENCES.
            spacing: `cpmg`: the waits before the first and behind the last pulse are half of those between; `even`:
                all alike.
            threshold_ns: shortest wait that is filled; 0: twice what the pulses take.
            durations: of the device.
        """
        self._turns = SEQUENCES[sequence]
        self._spacing = spacing
        self._threshold_ns = threshold_ns
        self._durations = durations
        self._known: dict[tuple[str, int], tuple[tuple[Gate, ...], int] | None] = {}
        #: Waits that were filled, gates in them that take time, and qubits that have no gates for it.
        self.filled = 0
        self.pulses = 0
        self.without: set[int] = set()

    def fill(self, qubit: int, wait_ns: int) -> list[Gate | Delay]:
        """A wait of a qubit, with the sequence where it fits in; lasts as long."""
        turns = [self._turn(axis, qubit) for axis in self._turns]
        found = [turn for turn in turns if turn is not None]
        if not found or len(found) < len(turns):
            if turns:
                self.without.add(qubit)
            return [Delay(qubit, wait_ns)]
        busy_ns = sum(lasts_ns for _, lasts_ns in found)
        if wait_ns < max(self._threshold_ns or 2 * busy_ns, busy_ns):
            return [Delay(qubit, wait_ns)]
        self.filled += 1
        filled: list[Gate | Delay] = []
        for gap_ns, (gates, _) in zip(self._gaps_ns(wait_ns - busy_ns), [*found, ((), 0)], strict=True):
            if gap_ns:
                filled.append(Delay(qubit, gap_ns))
            filled.extend(gates)
            self.pulses += sum(self._durations.of(gate) > 0 for gate in gates)
        return filled

    def _gaps_ns(self, idle_ns: int) -> list[int]:
        """The waits before, between and behind the pulses: whole nanoseconds that add up."""
        count = len(self._turns)
        if self._spacing == "even":
            parts = [round(idle_ns * place / (count + 1)) for place in range(count + 1)]
        else:
            parts = [0, *(round(idle_ns * (2 * place + 1) / (2 * count)) for place in range(count))]
        return [after - before for before, after in zip(parts, [*parts[1:], idle_ns], strict=True)]

    def _turn(self, axis: str, qubit: int) -> tuple[tuple[Gate, ...], int] | None:
        key = (axis, qubit)
        if key not in self._known:
            self._known[key] = self._find(axis, qubit)
        return self._known[key]

    def _find(self, axis: str, qubit: int) -> tuple[tuple[Gate, ...], int] | None:
        for recipe in _HALF_TURNS[axis]:
            gates = tuple(Gate(name, (qubit,), angles) for name, angles in recipe)
            try:
                return gates, sum(map(self._durations.of, gates))
            except UnsupportedFeature:
                continue
        return None
