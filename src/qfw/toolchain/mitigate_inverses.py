"""Inverses of gates, in the gates that a program may be made of."""

from __future__ import annotations

from math import pi

from qfw.formats.lowering import lower
from qfw.formats.recipes import scaled
from qfw.model.program import Gate, Program
from qfw.toolchain.axes import INVERSES, ROTATIONS


class Inverses:
    """Gates that undo others, up to a global phase; slots stay where they are, with their coefficients negated."""

    def __init__(self, native: frozenset[str] | None) -> None:
        """Of `native` gates only; None: of any."""
        self._native = None if native is None else native | {"gphase"}
        self._undone: dict[Gate, tuple[Gate, ...]] = {}
        self._made: dict[Gate, tuple[Gate, ...]] = {}

    def of(self, gate: Gate) -> tuple[Gate, ...]:
        """The gates that undo one, in order.

        Raises:
            UnsupportedFeature: they cannot be made of the native ones.
        """
        found = self._undone.get(gate)
        if found is None:
            steps = [made for step in self._inverse(gate) for made in self.native(step)]
            found = self._undone[gate] = tuple(steps)
        return found

    def native(self, gate: Gate) -> tuple[Gate, ...]:
        """A gate in native ones, its global phase aside; itself where any may be used. Raises as `of`."""
        if self._native is None or gate.name in self._native:
            return (gate,)
        found = self._made.get(gate)
        if found is None:
            # Lowering does not ask how many slots there are.
            lowered = lower(Program(max(gate.qubits) + 1, 0, 0, (gate,)), self._native)
            kept = [op for op in lowered.operations if isinstance(op, Gate) and op.name != "gphase"]
            found = self._made[gate] = tuple(kept)
        return found

    def _inverse(self, gate: Gate) -> tuple[Gate, ...]:
        name, qubits = gate.name, gate.qubits
        if name == "sx" and self._native is not None and "sxdg" not in self._native:
            # As long and as noisy as sx itself, where turns about z are changes of the frame.
            return (Gate("rz", qubits, (pi,)), gate, Gate("rz", qubits, (-pi,)))
        if name in INVERSES:
            return (Gate(INVERSES[name], qubits),)
        if name in ROTATIONS or name == "gphase":
            return (Gate(name, qubits, (scaled(gate.angles[0], -1.0),)),)
        if name == "id":
            return (gate,)
        if name in ("u", "cu"):
            theta, phi, lam, *phase = (scaled(angle, -1.0) for angle in gate.angles)
            return (Gate(name, qubits, (theta, lam, phi, *phase)),)
        if name == "iswap":
            # Twice is z on both.
            return (gate, *(Gate("z", (qubit,)) for qubit in qubits))
        assert name == "csx", f"gate {name} has no inverse here"
        control, aim = qubits
        return (
            Gate("rz", (aim,), (pi,)),
            gate,
            Gate("rz", (aim,), (-pi,)),
            Gate("p", (control,), (-pi / 2,)),
        )
