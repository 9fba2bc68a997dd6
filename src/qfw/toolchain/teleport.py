"""Programs over several devices with entangled pairs: gates between them are teleported.

A gate that is diagonal on one of its qubits, the control, is teleported by a copy of that qubit in the computational
basis: a pair, cx from the control onto this half, its measurement, x on the other half where that gave 1. The other
half then stands for the control in any number of such gates; h, its measurement and z on the control where that gave 1
end it. Eisert, Jacobs, Papadopoulos and Plenio, Phys. Rev. A 62, 052317.

Each device lends one qubit to pairs. What a device does is lowered for it alone, and the parts are put together again
in an order in which nothing waits for what comes later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from qfw.formats.lowering import lower
from qfw.model.errors import ToolFailed, UnsupportedFeature
from qfw.model.operations import moved
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program
from qfw.toolchain.axes import AXES, axis
from qfw.toolchain.partition import partition
from qfw.toolchain.teleport_merging import bits_of, merged

#: Gates of a program that is to be distributed: those of two qubits are diagonal on one of them.
_KEPT = frozenset(name for name, axes in AXES.items() if len(axes) < 2 or (len(axes) == 2 and "Z" in axes))
#: Lowers a program for a part, by its number: as wide as that part.
Lower = Callable[[Program, int], Program]


class Distributed(NamedTuple):
    """A program over the parts of a device, and what it takes."""

    program: Program
    #: Entangled pairs of an execution, and gates that they carry.
    pairs: int
    gates: int


class _Pair(NamedTuple):
    """A pair is made between the ports of two parts; a marker in the programs of both."""

    number: int
    first: int
    second: int


class _Local(NamedTuple):
    """An operation of one part, on its own qubits."""

    part: int
    op: Operation


def normal(program: Program) -> Program:
    """The program in gates that can be teleported; of measurements into one bit the last one, which alone is seen.

    Raises:
        UnsupportedFeature: it has control; says what.
    """
    if program.has_control:
        found = next(op for op in program.operations if not isinstance(op, (Gate, Barrier, Delay)))
        raise UnsupportedFeature(
            f"distribute takes programs that measure at their end only; this one has a {type(found).__name__} before it"
        )
    lowered = lower(program, _KEPT)
    # Where two parts measure into one bit nothing says which one does it last.
    last = {op.clbit: at for at, op in enumerate(lowered.operations) if isinstance(op, Measure)}
    seen = [
        op for at, op in enumerate(lowered.operations) if not isinstance(op, Measure) or last[op.clbit] == at
    ]
    return Program(lowered.num_qubits, lowered.num_clbits, lowered.num_slots, tuple(seen))


def places(program: Program, sizes: Sequence[int], seed: int) -> tuple[int, ...]:
    """The part of every qubit of a `normal` program."""
    weights: dict[tuple[int, int], int] = {}
    for gate in program.gates():
        if len(gate.qubits) == 2:
            one, other = sorted(gate.qubits)
            weights[one, other] = weights.get((one, other), 0) + 1
    return partition(weights, sizes, program.num_qubits, seed)


def distributed(
    program: Program, parts: Sequence[int], widths: Sequence[int], lower_part: Lower
) -> Distributed:
    """A `normal` program over parts.

    Args:
        program: its measurements at the end.
        parts: of each qubit its part.
        widths: qubits of each part, that of the pairs included.
        lower_part: lowers what a part does.
    """
    script = _Script(program, parts, len(widths))
    script.write()
    found: Program | None = None
    # Routing may put what waits for the other part in front of what that waits for, where both would do: then what
    # parts wait for stays in its order.
    for in_order in (False, True):
        lowered = [
            lower_part(script.of_part(part, in_order), part) if script.sizes[part] else None
            for part in range(len(widths))
        ]
        found = _merged(script, lowered, widths)
        if found is not None:
            break
    if found is None:
        raise ToolFailed(
            "distribute: what the parts of the program do waits for each other; a tool that lowered one moved an "
            "operation across a barrier"
        )
    found.check()
    return Distributed(found, script.pairs, script.carried)


class _Script:
    """What every part does, in one order."""

    def __init__(self, program: Program, parts: Sequence[int], num_parts: int) -> None:
        self._program = program
        #: Classical bits of the program; two for each pair and a marker follow.
        self.num_bits, self.num_slots = program.num_clbits, program.num_slots
        self._parts = parts
        #: Of each qubit its number within its part; behind these the port.
        self._inside: list[int] = []
        self.sizes = [0] * num_parts
        for part in parts:
            self._inside.append(self.sizes[part])
            self.sizes[part] += 1
        self.steps: list[_Local | _Pair] = []
        self.pairs = self.carried = 0
        #: Of each pair whether its first half is on the lower part.
        self.ends: list[bool] = []
        #: By control: the part in which a copy of it is; and by part: the control that its port is busy with.
        self._copies: dict[int, int] = {}
        self._busy: dict[int, int] = {}
        self._ends: dict[int, int] = {}

    def write(self) -> None:
        """All steps."""
        for op in self._program.operations:
            match op:
                case Gate(qubits=()):
                    # A global phase: of no part, and nobody sees it.
                    continue
                case Gate():
                    self._gate(op)
                case Measure():
                    self._end_copy(op.qubit)
                    self._local(op.qubit, Measure(self._inside[op.qubit], op.clbit))
                case Delay():
                    self._local(op.qubit, Delay(self._inside[op.qubit], op.duration_ns))
                case Barrier():
                    self._barrier(op)
                case _:
                    raise AssertionError(op)
        for control in list(self._copies):
            self._end_copy(control)

    def of_part(self, part: int, in_order: bool) -> Program:
        """What a part does, with a measurement into a bit of its own where a pair is made.

        `in_order`: with barriers around all that waits for another part, or that another part waits for.
        """
        port = self.sizes[part]
        found: list[Operation] = []
        marker = self._program.num_clbits + 2 * self.pairs
        for step in self.steps:
            match step:
                case _Local() if step.part == part:
                    found.append(step.op)
                case _Pair() if part in (step.first, step.second):
                    found.append(Measure(port, marker + step.number))
                case _:
                    pass
        width = port + any(isinstance(s, _Pair) and part in (s.first, s.second) for s in self.steps)
        if in_order:
            fence = Barrier(tuple(range(width)))
            fenced = [
                (op, fence) if any(bit >= self.num_bits for bit in bits_of(op)) else (op,) for op in found
            ]
            found = [op for ops in fenced for op in ops]
        return Program(width, marker + self.pairs, self._program.num_slots, tuple(found))

    def _local(self, qubit: int, op: Operation) -> None:
        self.steps.append(_Local(self._parts[qubit], op))

    def _barrier(self, op: Barrier) -> None:
        qubits = op.qubits or range(self._program.num_qubits)
        for part in range(len(self.sizes)):
            inside = tuple(self._inside[qubit] for qubit in qubits if self._parts[qubit] == part)
            if inside:
                self.steps.append(_Local(part, Barrier(inside)))

    def _gate(self, gate: Gate) -> None:
        here = {self._parts[qubit] for qubit in gate.qubits}
        if len(here) == 1:
            for qubit in gate.qubits:
                if axis(gate, qubit) != "Z":
                    # A copy says what the qubit was.
                    self._end_copy(qubit)
            self._local(
                gate.qubits[0], Gate(gate.name, tuple(self._inside[q] for q in gate.qubits), gate.angles)
            )
            return
        controls = [qubit for qubit in gate.qubits if axis(gate, qubit) == "Z"]
        # A copy that is there serves; else that of the qubit that comes first.
        control = next((q for q in controls if self._copies.get(q) in here - {self._parts[q]}), controls[0])
        (other,) = [qubit for qubit in gate.qubits if qubit != control]
        if axis(gate, other) != "Z":
            self._end_copy(other)
        part = self._parts[other]
        if self._copies.get(control) != part:
            self._copy(control, part)
        port = self.sizes[part]
        inside = tuple(port if qubit == control else self._inside[qubit] for qubit in gate.qubits)
        self.steps.append(_Local(part, Gate(gate.name, inside, gate.angles)))
        self.carried += 1

    def _copy(self, control: int, part: int) -> None:
        home = self._parts[control]
        self._end_copy(control)
        for busy in (home, part):
            if busy in self._busy:
                self._end_copy(self._busy[busy])
        number, self.pairs = self.pairs, self.pairs + 1
        bit = self._program.num_clbits + 2 * number
        self.steps.append(_Pair(number, home, part))
        self.ends.append(home < part)
        self.steps.append(_Local(home, Gate("cx", (self._inside[control], self.sizes[home]))))
        self.steps.append(_Local(home, Measure(self.sizes[home], bit)))
        self.steps.append(_Local(part, IfElse((bit,), 1, (Gate("x", (self.sizes[part],)),))))
        self._copies[control] = part
        # The half at home is measured, and free again.
        self._busy[part] = control
        self._ends[control] = bit + 1

    def _end_copy(self, control: int) -> None:
        part = self._copies.pop(control, None)
        if part is None:
            return
        del self._busy[part]
        bit, port = self._ends.pop(control), self.sizes[part]
        self.steps.append(_Local(part, Gate("h", (port,))))
        self.steps.append(_Local(part, Measure(port, bit)))
        home = self._parts[control]
        self.steps.append(_Local(home, IfElse((bit,), 1, (Gate("z", (self._inside[control],)),))))


def _merged(script: _Script, lowered: Sequence[Program | None], widths: Sequence[int]) -> Program | None:
    """The parts' programs as one, on the qubits of all of them; None where they wait for each other."""
    told = range(script.num_bits, script.num_bits + 2 * script.pairs)
    parts: list[Sequence[Operation]] = []
    width = 0
    for program, own in zip(lowered, widths, strict=True):
        parts.append(moved(program.operations, range(width, width + own)) if program else ())
        width += own
    found = merged(parts, told, script.ends)
    return None if found is None else Program(width, told.stop, script.num_slots, found)
