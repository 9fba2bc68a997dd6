"""Circuits: programs made of what a device has: native gates on coupled qubits.

Written on logical qubits 0 … n-1, and placed on the device's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile
from qfw.model.gates import GATES
from qfw.model.native import SYMMETRIC
from qfw.model.operations import moved
from qfw.model.program import (
    Affine,
    Angle,
    Delay,
    Gate,
    Measure,
    Operation,
    Program,
    slot,
)
from qfw.testing.checks import NotApplicable

#: Gates that turn |0> by an angle, P(1) = sin²(angle / 2): one gate with that angle …
_TURNS = ("ry", "rx", "u")
#: … or a phase between two gates: (before and after, offset of the phase).
_SANDWICHES = (("sx", math.pi), ("sxdg", math.pi), ("h", 0.0))
_PHASES = ("rz", "p")


@dataclass(frozen=True)
class Placed:
    """A program as it is meant, and as the device gets it."""

    logical: Program
    placed: Program
    #: The device's qubit of each logical one.
    where: tuple[int, ...]


@dataclass
class Circuits:
    """The circuits that a device can run."""

    profile: DeviceProfile
    calibration: Calibration | None = None
    _links: dict[tuple[int, int], list[str]] = field(init=False)

    def __post_init__(self) -> None:
        """Looks up which pairs have which gates."""
        two = [g for g in self.profile.native_gates if g in GATES and GATES[g].num_qubits == 2]
        self._links = {}
        for pair in self.profile.coupling or ():
            self._links[pair] = [gate for gate in two if self._works(gate, pair)]
            if (turned := pair[::-1]) not in (self.profile.coupling or ()):
                symmetric = [g for g in two if g in SYMMETRIC and self._works(g, pair)]
                self._links.setdefault(turned, []).extend(symmetric)

    def _works(self, gate: str, qubits: tuple[int, ...]) -> bool:
        if self.calibration is None:
            return True
        return any(
            g.operational
            and g.name == gate
            and (g.qubits == qubits or (gate in SYMMETRIC and g.qubits == qubits[::-1]))
            for g in self.calibration.gates
        )

    def qubits(self, count: int) -> tuple[int, ...]:
        """So many of the device's qubits, each coupled to one before it; the lowest where all are alike."""
        if count > self.profile.max_qubits:
            raise NotApplicable(f"it has {self.profile.max_qubits} qubits; this takes {count}")
        if self.profile.coupling is None:
            working = (
                [q for q in range(self.profile.max_qubits) if self._usable(q)]
                if self.calibration
                else range(count)
            )
            return tuple(working[:count])
        for first in range(self.profile.max_qubits):
            found = [first] if self._usable(first) else []
            while found and len(found) < count:
                near = sorted(
                    b for (a, b), gates in self._links.items() if a in found and gates and b not in found
                )
                near = [b for b in near if self._usable(b)]
                if not near:
                    break
                found.append(near[0])
            if len(found) == count:
                return tuple(found)
        raise NotApplicable(f"no {count} of its qubits are coupled in one piece")

    def _usable(self, qubit: int) -> bool:
        return self.calibration is None or self.calibration.qubits[qubit].operational

    def couples(self, where: Sequence[int], a: int, b: int) -> list[str]:
        """Native two-qubit gates of logical qubits (a, b) in this order."""
        if self.profile.coupling is None:
            two = [g for g in self.profile.native_gates if g in GATES and GATES[g].num_qubits == 2]
            return [g for g in two if self._works(g, (where[a], where[b]))]
        return self._links.get((where[a], where[b]), [])

    def turn(self, qubit: int, angle: Angle) -> list[Operation]:
        """Operations after which |0> has P(1) = sin²(angle / 2)."""
        native = self.profile.native_gates
        for name in _TURNS:
            if name in native:
                return [Gate(name, (qubit,), (angle, 0.0, 0.0) if name == "u" else (angle,))]
        for outer, offset in _SANDWICHES:
            for phase in _PHASES:
                if outer in native and phase in native:
                    around = Gate(outer, (qubit,))
                    return [around, Gate(phase, (qubit,), (_shifted(angle, offset),)), around]
        raise NotApplicable(f"none of its native gates turn a qubit by an angle: {', '.join(native)}")

    def flip(self, qubit: int) -> list[Operation]:
        """Operations that exchange |0> and |1>, but for phases."""
        if "x" in self.profile.native_gates:
            return [Gate("x", (qubit,))]
        return self.turn(qubit, math.pi)

    def random(self, rng: np.random.Generator, count: int, depth: int, slots: int = 0) -> list[Operation]:
        """A random circuit of native gates on `count` logical qubits; angles vary with `slots` of them.

        A qubit is left alone for a moment in every layer: so short that no device's coherence suffers.
        """
        where = self.qubits(count)
        ops: list[Operation] = []
        for qubit in range(count):
            ops += self.turn(qubit, float(rng.uniform(0.4, 2.6)))
        single = [g for g in self.profile.native_gates if g in GATES and GATES[g].num_qubits == 1]
        for layer in range(depth):
            for qubit in range(count):
                if single:
                    ops.append(self.gate(str(rng.choice(single)), (qubit,), rng, slots, layer + qubit))
            pairs = [(p, self.couples(where, *p)) for p in permutations(range(count), 2)]
            pairs = [(p, gates) for p, gates in pairs if gates]
            if pairs:
                pair, gates = pairs[int(rng.integers(len(pairs)))]
                ops.append(self.gate(str(rng.choice(gates)), pair, rng, slots, layer))
            ops.append(Delay(layer % count, 8 * (layer + 1)))
        return ops

    def gate(
        self, name: str, qubits: tuple[int, ...], rng: np.random.Generator, slots: int = 0, at: int = 0
    ) -> Gate:
        """A gate with random angles, every second of them from a slot where there are slots."""
        angles: list[Angle] = []
        for index in range(GATES[name].num_angles):
            constant = float(rng.uniform(-3, 3))
            wanted = slots and (at + index) % 2 == 0
            angles.append(
                slot((at + index) % slots, float(rng.uniform(0.5, 1.5)), constant) if wanted else constant
            )
        return Gate(name, qubits, tuple(angles))

    def place(
        self,
        ops: Sequence[Operation],
        count: int,
        slots: int = 0,
        measured: Sequence[tuple[int, int]] | None = None,
        clbits: int | None = None,
    ) -> Placed:
        """A program of `count` logical qubits on the device.

        Args:
            ops: on logical qubits.
            count: of them.
            slots: of the program.
            measured: pairs (qubit, clbit) at the end; None: as the program says.
            clbits: classical bits; None: as many as `measured` needs.
        """
        where = self.qubits(count)
        ending = [Measure(q, c) for q, c in measured or ()]
        bits = clbits if clbits is not None else max((c + 1 for _, c in measured or ()), default=0)
        logical = Program(count, bits, slots, (*ops, *ending))
        placed = Program(max(where) + 1, bits, slots, moved(logical.operations, where))
        logical.check()
        placed.check()
        return Placed(logical, placed, where)


def _shifted(angle: Angle, offset: float) -> Angle:
    if isinstance(angle, Affine):
        return Affine(angle.terms, angle.offset + offset)
    return angle + offset
