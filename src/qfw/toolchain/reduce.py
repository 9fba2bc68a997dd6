"""Tool `reduce`: fewer gates, without a framework. Exact: the state stays the same, its global phase included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi, remainder
from typing import Any, ClassVar, NamedTuple

from qfw import __version__
from qfw.formats.recipes import added, scaled
from qfw.model.device import DeviceProfile
from qfw.model.operations import qubits_of
from qfw.model.program import (
    Affine,
    Angle,
    Barrier,
    Delay,
    Gate,
    IfElse,
    Measure,
    Operation,
    Program,
    Reset,
    While,
)
from qfw.qpm.tool import Target, ToolOutput
from qfw.toolchain.axes import CONTROLLED, FIXED, INVERSES, PHASES, ROTATIONS, TURNS, commute, same_place
from qfw.toolchain.options import check_names

#: Gates before one among which its partner is looked for, on its qubits.
WINDOW = 64
#: Constants up to here are added: of larger ones the sum would lose what the smaller one says.
MAX_ADDED = 1e4
#: What rounding leaves of a sum that is zero, relative to what was added.
ROUNDING = 1e-15
#: What it leaves of a global phase, in radians.
PHASE_ROUNDING = 1e-14


class ReduceTool:
    """Cancels gates with their inverses and puts rotations about one axis together, until nothing more is found.

    A partner is found across gates that commute with it for certain, and never across a measurement, a reset, a
    barrier or a block on one of its qubits. Blocks are reduced for themselves. Angles stay affine functions of the
    slots. No gate comes to be that the device lacks where the ones that it is made of were native.
    """

    keeps: ClassVar[str] = "equivalence"
    needs_client: ClassVar[bool] = False
    options: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        """Needs nothing."""

    @classmethod
    def version(cls) -> str | None:
        """QFw's own."""
        return __version__

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError: there are none."""
        check_names("reduce", options, cls.options)

    def apply(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        """The program with fewer gates, on the same qubits."""
        self.check_options(options)
        before: tuple[Operation, ...] | None = None
        operations = program.operations
        while operations != before:
            before, operations = operations, _reduced(operations, target.profile)
        if operations == program.operations:
            return ToolOutput(program)
        return ToolOutput(Program(program.num_qubits, program.num_clbits, program.num_slots, operations))


def _reduced(operations: Sequence[Operation], profile: DeviceProfile) -> tuple[Operation, ...]:
    block = _Block(profile)
    for op in operations:
        block.add(op)
    return block.operations()


class _Block:
    """Operations of a program or block as they are put together, one after another."""

    def __init__(self, profile: DeviceProfile) -> None:
        self._profile = profile
        #: None where one has gone.
        self._ops: list[Operation | None] = []
        #: Places of the operations on each qubit, in order; those that have gone with them.
        self._on: dict[int, list[int]] = {}
        #: Places of the operations that hold all qubits.
        self._all: list[int] = []
        self._phase: Angle = 0.0

    def operations(self) -> tuple[Operation, ...]:
        """What is left, the global phase at its end."""
        kept = tuple(op for op in self._ops if op is not None)
        if not isinstance(self._phase, Affine) and abs(remainder(self._phase, 2 * pi)) <= PHASE_ROUNDING:
            return kept
        return (*kept, Gate("gphase", (), (self._phase,)))

    def add(self, op: Operation) -> None:
        """One more operation."""
        match op:
            case Gate(name="gphase"):
                self._phase = added(self._phase, op.angles[0])
            case Gate():
                self._gate(op)
            case Measure() | Reset() | Delay():
                self._place(op, (op.qubit,))
            case Barrier():
                self._place(op, op.qubits)
            case IfElse():
                op = IfElse(
                    op.clbits,
                    op.value,
                    _reduced(op.then, self._profile),
                    _reduced(op.otherwise, self._profile),
                )
                self._place(op, sorted(qubits_of((op,))))
            case While():
                op = While(op.clbits, op.value, _reduced(op.body, self._profile), op.max_trips)
                self._place(op, sorted(qubits_of((op,))))

    def _place(self, op: Operation, qubits: Sequence[int]) -> None:
        place = len(self._ops)
        self._ops.append(op)
        for qubit in qubits:
            self._on.setdefault(qubit, []).append(place)
        if not qubits:
            # A barrier that names no qubit holds them all.
            self._all.append(place)

    def _gate(self, gate: Gate) -> None:
        phase = _identity(gate)
        if phase is not None:
            self._phase = added(self._phase, phase)
            return
        for place in self._before(gate.qubits):
            other = self._ops[place]
            if not isinstance(other, Gate):
                break
            found = _merged(other, gate, self._profile)
            if found is not None:
                self._ops[place] = found.gate
                self._phase = added(self._phase, found.phase)
                return
            if not commute(other, gate):
                break
        self._place(gate, gate.qubits)

    def _before(self, qubits: Sequence[int]) -> list[int]:
        """Places of the operations on these qubits that are there, the last first."""
        places: set[int] = set(self._all[-1:])
        for qubit in qubits:
            known = self._on.setdefault(qubit, [])
            while known and self._ops[known[-1]] is None:
                known.pop()
            places.update(place for place in known[-WINDOW:] if self._ops[place] is not None)
        found = sorted(places, reverse=True)
        # Beyond what was looked up of one qubit, operations on it are missing: nothing may be moved there.
        limit = max(
            (self._on[qubit][-WINDOW] for qubit in qubits if len(self._on[qubit]) > WINDOW), default=-1
        )
        return [place for place in found if place >= limit]


class _Merged(NamedTuple):
    """What two gates are together, and the global phase besides."""

    gate: Gate | None
    phase: Angle = 0.0


def _merged(first: Gate, second: Gate, profile: DeviceProfile) -> _Merged | None:
    """Two gates with nothing between them as at most one; None where they are not."""
    if INVERSES.get(first.name) == second.name and same_place(first, second):
        return _Merged(None)
    if first.name == second.name and first.name in ROTATIONS and same_place(first, second):
        angle = _sum(first.angles[0], second.angles[0])
        return None if angle is None else _turned(first.name, first.qubits, angle)
    if first.qubits != second.qubits:
        return None
    return _rotation(first, second, profile)


def _rotation(first: Gate, second: Gate, profile: DeviceProfile) -> _Merged | None:
    """Two gates of one qubit that turn about the same axis."""
    one, two = _as_rotation(first), _as_rotation(second)
    if one is None or two is None or one[0] != two[0]:
        return None
    angle = _sum(one[1], two[1])
    if angle is None:
        return None
    phase = added(one[2], two[2])
    name = next((g.name for g in (first, second) if g.name in ROTATIONS), None)
    if name is None:
        return _named(one[0], first, second, angle, phase, profile)
    if name == "p":
        # p(λ) is rz(λ) and half of the angle as a global phase.
        merged = _turned("p", first.qubits, angle)
        return _Merged(merged.gate, added(added(merged.phase, phase), scaled(angle, -0.5)))
    merged = _turned(name, first.qubits, angle)
    return _Merged(merged.gate, added(merged.phase, phase))


def _as_rotation(gate: Gate) -> tuple[str, Angle, Angle] | None:
    """Axis, angle and global phase of a gate of one qubit that is a rotation."""
    if gate.name in FIXED:
        return FIXED[gate.name]
    if gate.name == "p":
        return "rz", gate.angles[0], scaled(gate.angles[0], 0.5)
    if gate.name in ("rx", "ry", "rz"):
        return gate.name, gate.angles[0], 0.0
    return None


def _named(
    axis: str, first: Gate, second: Gate, angle: Angle, phase: Angle, profile: DeviceProfile
) -> _Merged | None:
    """Two gates without angles as one without: t t as s. None where the device might lack it."""
    assert not isinstance(angle, Affine) and not isinstance(phase, Affine)
    eighths = round(angle / (pi / 4)) % 8
    if not eighths:
        # A whole turn is a phase of -1.
        return _Merged(None, phase - angle / 2)
    for name, (about, turn, offset) in FIXED.items():
        if about == axis and round(turn / (pi / 4)) % 8 == eighths:
            native = first.name in profile.native_gates or second.name in profile.native_gates
            if native and (profile.lowered_only or name not in profile.native_gates):
                return None
            # Whole turns between both angles are a phase of -1 each.
            return _Merged(Gate(name, first.qubits), phase - offset - (angle - turn) / 2)
    return None


def _identity(gate: Gate) -> Angle | None:
    """The global phase that a gate is; None where it is more than that."""
    if gate.name == "id":
        return 0.0
    if gate.name in ("u", "cu"):
        return 0.0 if all(not isinstance(angle, Affine) and angle == 0.0 for angle in gate.angles) else None
    if gate.name not in ROTATIONS:
        return None
    found = _turned(gate.name, gate.qubits, gate.angles[0])
    return None if found.gate is not None else found.phase


def _turned(name: str, qubits: tuple[int, ...], angle: Angle) -> _Merged:
    """A rotation, or a global phase where it is whole turns."""
    if isinstance(angle, Affine):
        return _Merged(Gate(name, qubits, (angle,)))
    period = 4 * pi if name in CONTROLLED else 2 * pi
    turns = round(angle / period) if abs(angle) <= MAX_ADDED else 0
    if abs(angle - turns * period) > ROUNDING * abs(angle):
        return _Merged(Gate(name, qubits, (angle,)))
    if name in TURNS:
        return _Merged(None, pi * (turns % 2))
    assert name in PHASES or name in CONTROLLED
    return _Merged(None)


def _sum(first: Angle, second: Angle) -> Angle | None:
    """The sum of two angles, exactly zero where only rounding is left; None where it would lose digits."""
    constants = [angle.offset if isinstance(angle, Affine) else angle for angle in (first, second)]
    terms = [c for angle in (first, second) if isinstance(angle, Affine) for _, c in angle.terms]
    if max(map(abs, (*constants, *terms))) > MAX_ADDED:
        return None
    total = added(_canonical(first), _canonical(second))
    offset = total.offset if isinstance(total, Affine) else total
    if abs(offset) <= ROUNDING * max(map(abs, constants)):
        offset = 0.0
    return Affine(total.terms, offset) if isinstance(total, Affine) else offset


def _canonical(angle: Angle) -> Angle:
    """The angle with each slot once: `added` takes the terms for such."""
    if not isinstance(angle, Affine):
        return angle
    total: Angle = angle.offset
    for term in angle.terms:
        total = added(total, Affine((term,)))
    return total
