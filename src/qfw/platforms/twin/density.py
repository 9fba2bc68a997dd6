"""Exact distributions of noisy straight-line programs: density matrices as vectors over Pauli words.

A qubit joins when something first acts on it, and leaves as a bit, or altogether, when nothing acts on it any
more; qubits that never met are held apart. So what is held is 4 numbers for each qubit between its first and
its last gate with others, and 2 for each that waits to be read.

What can be multiplied before the parameters are known is multiplied once, in `DensityPlan`: noise, waiting
and constant gates on one qubit become part of the next gate on two.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from qfw.model.calibration import Calibration
from qfw.model.device import Timing
from qfw.model.program import Affine, Delay, Gate, Measure, Operation, Program
from qfw.model.timing import Clockwork, durations_of
from qfw.numerics.question import Basis
from qfw.platforms.twin.channels import BITS, GROUND, NOTHING, TRACE, Floats, beside, gate_channel
from qfw.platforms.twin.noise import NoiseModel


class Varying(NamedTuple):
    """A gate whose angles depend on slots, and the noise after it."""

    name: str
    #: Its columns in the program's table of angles.
    first: int
    last: int
    noise: Floats


#: A channel, constant or not.
Factor = Floats | Varying
#: Channels of one qubit in the order of time; constant ones beside each other are multiplied.
Chain = list[Factor]


class Node(NamedTuple):
    """Some qubits meet: parts of the state are put together, and one matrix acts on these qubits."""

    #: Numbers of the parts that are put together, in order; none where all qubits are new.
    sources: tuple[int, ...]
    #: Shape of these parts side by side, and the order of its axes that brings the qubits to the front.
    shape: tuple[int, ...]
    order: tuple[int, ...]
    #: Size of the qubits' axes before.
    size: int
    #: The matrix where it is constant; else it is after · gate · before, chains side by side.
    constant: Floats | None
    before: tuple[Chain, ...]
    gate: Factor | None
    after: tuple[Chain, ...]


class DensityPlan:
    """A straight-line program, measured in one basis, as matrices on parts of the state."""

    def __init__(
        self,
        program: Program,
        noise: NoiseModel,
        timing: Timing,
        read: Sequence[int],
        basis: Basis = (),
    ) -> None:
        """Of a program of gates and measurements at its end.

        Args:
            program: in the numbers of the device's qubits.
            noise: after gates, while waiting, of readout.
            timing: of the device.
            read: qubits whose bits are wanted, rising.
            basis: places in `read` where X or Y is measured. That turn is one more pulse.
        """
        meetings, chains = _walk(program, noise, timing, read)
        met = {qubit for meeting in meetings for qubit in meeting.qubits}
        places, turns = {qubit: place for place, qubit in enumerate(read)}, dict(basis)
        for qubit in list(chains):
            if qubit in places:
                _append(chains[qubit], _reading(qubit, noise, turns.get(places[qubit])))
            elif qubit in met:
                # What is done to it alone from here on has no effect on the others.
                chains[qubit] = [TRACE]
            else:
                del chains[qubit]
        self.nodes: list[Node] = []
        #: For one parameter set: numbers held at once at most, multiplications, and numbers put elsewhere.
        self.peak = 1
        self.work = 0
        self.moved = 0
        held = self._build(meetings, chains)
        used = {source for node in self.nodes for source in node.sources}
        self._last = [number for number in range(len(self.nodes)) if number not in used]
        axes = [qubit for number in self._last for qubit, _ in held[number]]
        self._order = tuple(1 + axes.index(qubit) for qubit in reversed(read))
        self.peak = max(self.peak, 2 ** len(read))
        self.work += 2 ** len(read)

    def distribution(self, angles: Floats) -> Floats:
        """Probability of every outcome: shape (sets, 2**read), read[0] the least significant bit.

        Args:
            angles: of the program's table of angles, shape (sets, angles).
        """
        parts: list[Floats | None] = []
        for node in self.nodes:
            part = _together([_taken(parts, source) for source in node.sources])
            sets = part.shape[0]
            part = part.reshape(sets, *node.shape).transpose(0, *node.order).reshape(sets, node.size, -1)
            matrix = node.constant if node.constant is not None else _product(node, angles)
            part = matrix @ part
            parts.append(part.reshape(part.shape[0], -1))
        joined = _together([_taken(parts, source) for source in self._last])
        joined = joined.reshape(joined.shape[0], *(2,) * len(self._order)).transpose(0, *self._order)
        flat = joined.reshape(joined.shape[0], -1)
        # Rounding may leave -1e-18 where 0 is meant.
        found = np.maximum(flat, 0.0)
        return np.repeat(found, len(angles), axis=0) if len(found) < len(angles) else found

    def _build(self, meetings: list[_Meeting], chains: dict[int, Chain]) -> list[list[tuple[int, int]]]:
        """Makes the nodes; gives of each part that they make its qubits and the sizes of their axes."""
        last = {qubit: number for number, meeting in enumerate(meetings) for qubit in meeting.qubits}
        alone = [_Meeting((qubit,), [chain], None) for qubit, chain in chains.items() if qubit not in last]
        where: dict[int, int] = {}
        held: list[list[tuple[int, int]]] = []
        for number, meeting in enumerate(meetings + alone):
            sources = tuple(dict.fromkeys(where[q] for q in meeting.qubits if q in where))
            axes = [axis for source in sources for axis in held[source]]
            places = {qubit: place for place, (qubit, _) in enumerate(axes)}
            front = [places[qubit] for qubit in meeting.qubits if qubit in places]
            rest = [place for place in range(len(axes)) if place not in front]
            after: list[Chain] = [
                chains[qubit] if number == last.get(qubit) else [] for qubit in meeting.qubits
            ]
            node = Node(
                sources,
                tuple(size for _, size in axes),
                tuple(1 + place for place in (*front, *rest)),
                prod(axes[place][1] for place in front),
                None,
                tuple(meeting.before),
                meeting.gate,
                tuple(after),
            )
            if not any(isinstance(factor, Varying) for factor in _factors(node)):
                node = node._replace(constant=_product(node, np.empty((1, 0))))
            self.nodes.append(node)
            if number < len(meetings):
                sizes = [_rows(chain) if chain else 4 for chain in after]
            else:
                sizes = [_rows(meeting.before[0])]
            now = [pair for pair in zip(meeting.qubits, sizes, strict=True) if pair[1] > 1]
            held.append(now + [axes[place] for place in rest])
            for qubit, _ in held[-1]:
                where[qubit] = number
            others = prod(axes[place][1] for place in rest)
            self.peak = max(self.peak, others * max(node.size, prod(sizes)))
            self.work += others * node.size * prod(sizes)
            self.moved += others * (node.size + prod(sizes))
        return held


class _Meeting(NamedTuple):
    qubits: tuple[int, ...]
    before: list[Chain]
    gate: Factor | None


def _walk(
    program: Program, noise: NoiseModel, timing: Timing, read: Sequence[int]
) -> tuple[list[_Meeting], dict[int, Chain]]:
    """Gates of several qubits with what comes before them on each, and what comes after the last on each."""
    chains: dict[int, Chain] = {qubit: [GROUND] for qubit in read}
    free: dict[int, int] = {}
    meetings: list[_Meeting] = []
    column = gates_end = 0

    def wait(qubit: int, until: int) -> None:
        chain = chains.setdefault(qubit, [GROUND])
        rests = len(chain) == 1 and chain[0] is GROUND
        if until > free.get(qubit, 0) and not rests:
            _append(chain, noise.idle(qubit, until - free[qubit]))

    def visit(op: Operation, begin: int, end: int) -> None:
        nonlocal column, gates_end
        if isinstance(op, Measure):
            if op.qubit in chains:
                wait(op.qubit, begin)
            # A bit now: what is read of it does not change any more.
            free[op.qubit] = 2**62
            return
        if isinstance(op, Delay):
            # Others that are read when all is over wait for it too; not for one behind its qubit's measurement.
            if free.get(op.qubit, 0) < 2**62:
                gates_end = max(gates_end, end)
            return
        assert isinstance(op, Gate)
        first, column = column, column + len(op.angles)
        if not op.qubits:
            return
        after = noise.of_gate(op.name, op.qubits)
        factor: Factor
        constants = [angle for angle in op.angles if not isinstance(angle, Affine)]
        if len(constants) < len(op.angles):
            factor = Varying(op.name, first, column, after.channel)
        else:
            factor = np.matmul(after.channel, gate_channel(op.name, *constants))
        for qubit in op.qubits:
            wait(qubit, begin)
        if len(op.qubits) == 1:
            _append(chains[op.qubits[0]], factor)
        else:
            meetings.append(_Meeting(op.qubits, [chains[qubit] for qubit in op.qubits], factor))
            for qubit in op.qubits:
                chains[qubit] = []
        for qubit in op.qubits:
            free[qubit] = end
        gates_end = max(gates_end, end)

    clockwork_of(program, noise.calibration, timing).pass_through(program.operations, visit)
    for qubit in read:
        # What the program does not measure is read when all gates and delays are over.
        wait(qubit, gates_end)
    return meetings, chains


def clockwork_of(program: Program, calibration: Calibration, timing: Timing) -> Clockwork:
    """The time of one pass through a program."""
    return Clockwork(durations_of(calibration), timing, program.num_qubits, program.num_clbits)


def _append(chain: Chain, factor: Factor) -> None:
    before = chain[-1] if chain else None
    if before is None or isinstance(before, Varying) or isinstance(factor, Varying):
        chain.append(factor)
    else:
        chain[-1] = factor @ before


def _reading(qubit: int, noise: NoiseModel, pauli: str | None) -> Floats:
    matrix = noise.readout(qubit) @ BITS
    if pauli is not None:
        turn = noise.turn(qubit)
        matrix = matrix @ (NOTHING if turn is None else turn.channel) @ TO_Z[pauli]
    return matrix


#: Channels after which measuring Z is measuring that Pauli before: H for X; H S† for Y.
TO_Z = {"X": gate_channel("h"), "Y": gate_channel("h") @ gate_channel("sdg")}


def _factors(node: Node) -> list[Factor]:
    gate = [] if node.gate is None else [node.gate]
    return [factor for chain in (*node.before, *node.after) for factor in chain] + gate


def _rows(chain: Chain) -> int:
    last = chain[-1]
    return 4 if isinstance(last, Varying) else last.shape[-2]


def _product(node: Node, angles: Floats) -> Floats:
    before = beside(*(_chained(chain, angles) for chain in node.before))
    if node.gate is None:
        return before
    found: Floats = _value(node.gate, angles) @ before
    if any(node.after):
        found = beside(*(_chained(chain, angles) for chain in node.after)) @ found
    return found


def _chained(chain: Chain, angles: Floats) -> Floats:
    if not chain:
        return NOTHING
    found = _value(chain[0], angles)
    for factor in chain[1:]:
        found = _value(factor, angles) @ found
    return found


def _value(factor: Factor, angles: Floats) -> Floats:
    if isinstance(factor, Varying):
        channel: Floats = factor.noise @ gate_channel(factor.name, *angles[:, factor.first : factor.last].T)
        return channel
    return factor


def _taken(parts: list[Floats | None], number: int) -> Floats:
    # Each part is used once; what is not kept is memory.
    found, parts[number] = parts[number], None
    assert found is not None
    return found


def _together(parts: list[Floats]) -> Floats:
    if not parts:
        return np.ones((1, 1))
    found = parts[0]
    for part in parts[1:]:
        both = found[:, :, np.newaxis] * part[:, np.newaxis, :]
        found = both.reshape(both.shape[0], -1)
    return found
