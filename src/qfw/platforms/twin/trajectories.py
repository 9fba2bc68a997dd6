"""Noisy programs shot by shot: measurement and feedback within a program, and registers too wide for densities.

Times are those of `qfw.model.timing.Clockwork`, kept for each shot by itself, since shots branch by their own bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache

import numpy as np
from numpy.random import Generator

from qfw.model.device import Timing
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.model.timing import Clockwork, durations_of
from qfw.numerics.gates import Complex, matrix
from qfw.platforms.twin.layout import delayed_by, measured_by, touched_by
from qfw.platforms.twin.noise import NoiseModel
from qfw.platforms.twin.registers import Bools, Floats, Ints, ShotRegister

#: Amplitudes of all shots that are run together, unless one shot alone has more.
CHUNK_AMPLITUDES = 2**18


class Shots:
    """Some shots in the middle of a program: states, classical bits, and when each qubit is free."""

    def __init__(self, states: ShotRegister, bits: Bools, free: Ints, rested: Ints, known: Ints) -> None:
        """Arrays have an axis of shots at the end, behind qubits or classical bits."""
        self.states = states
        self.bits = bits
        #: When the next operation may begin, and until when the qubit's decay is in the state. Qubits that are only
        #: delayed have rows of `free` behind the others. A qubit that was read for good does not decay: `rested` is
        #: _NEVER.
        self.free = free
        self.rested = rested
        #: When each classical bit is known to the controller, 0: never measured.
        self.known = known

    def part(self, chosen: Ints) -> Shots:
        """A copy of the chosen shots."""
        return Shots(
            self.states.part(chosen),
            self.bits[:, chosen],
            self.free[:, chosen],
            self.rested[:, chosen],
            self.known[:, chosen],
        )

    def put(self, chosen: Ints, other: Shots) -> None:
        """Replaces the chosen shots."""
        self.states.put(chosen, other.states)
        self.bits[:, chosen] = other.bits
        self.free[:, chosen] = other.free
        self.rested[:, chosen] = other.rested
        self.known[:, chosen] = other.known


class Trajectories:
    """Runs one program on its active qubits, chunk by chunk of shots."""

    def __init__(
        self, program: Program, noise: NoiseModel, timing: Timing, active: Iterable[int], measures: bool
    ) -> None:
        """Of `program`, in the numbers of the device's qubits.

        Args:
            program: with control or without.
            noise: after gates, while waiting, of readout and reset.
            timing: of the device.
            active: qubits to hold.
            measures: whether measurements collapse the state and give bits. If not, they only end the
                waiting of their qubit.
        """
        self.program = program
        self.active = tuple(active)
        self._noise = noise
        self._timing = timing
        self._place = {qubit: place for place, qubit in enumerate(self.active)}
        # Qubits that are only delayed have no state, but others may wait for them at a barrier.
        delayed = sorted(delayed_by(program.operations) - set(self.active))
        self._row = {qubit: row for row, qubit in enumerate((*self.active, *delayed))}
        self._measures = measures
        # Gates are told apart by themselves, not by their value: a gate may occur twice.
        self._columns = _columns(program.operations)

    @property
    def chunk(self) -> int:
        """Shots that are run together."""
        return max(1, CHUNK_AMPLITUDES >> len(self.active))

    def run(self, angles: Floats, shots: int, random: Generator) -> Shots:
        """The shots at the end of the program.

        Args:
            angles: of the program's table of angles, shape (angles,).
            shots: at most `chunk`.
            random: for all that happens to them.
        """
        width = len(self.active)
        found = Shots(
            ShotRegister(width, shots, random),
            np.zeros((self.program.num_bits, shots), dtype=np.bool_),
            np.zeros((len(self._row), shots), dtype=np.int64),
            np.zeros((width, shots), dtype=np.int64),
            np.zeros((self.program.num_bits, shots), dtype=np.int64),
        )
        self._block(found, self.program.operations, angles, self._columns)
        return found

    @cached_property
    def _gates_end_ns(self) -> int:
        """When the last gate, or delay that is not behind its qubit's measurement, is over."""
        measured: set[int] = set()
        found = 0

        def visit(op: Operation, begin: int, end: int) -> None:
            nonlocal found
            if isinstance(op, Measure):
                measured.add(op.qubit)
            elif not (isinstance(op, Delay) and op.qubit in measured):
                found = max(found, end)

        program = self.program
        durations = durations_of(self._noise.calibration)
        clockwork = Clockwork(durations, self._timing, program.num_qubits, program.num_clbits)
        clockwork.pass_through(program.operations, visit)
        return found

    def read(self, shots: Shots, turns: Iterable[tuple[int, str]]) -> Ints:
        """Measures all active qubits at once, after turning some so that X or Y is measured.

        Returns:
            Shape (shots,): bit i is that of active[i], readout's errors included.
        """
        for qubit, pauli in turns:
            states = shots.states
            states.unitary((self._place[qubit],), TO_Z[pauli])
            after = self._noise.turn(qubit)
            if after is not None:
                states.relax(self._place[qubit], *after.decays[0])
                states.depolarise((self._place[qubit],), after.depolarising)
        found = shots.states.sample()
        for qubit, place in self._place.items():
            bits = (found >> place & 1).astype(np.bool_)
            wrong = self._misread(qubit, bits, shots.states.random)
            found ^= wrong.astype(np.int64) << place
        return found

    def settle(self, shots: Shots) -> None:
        """Lets what is not measured wait until all gates and delays of a program without control are over."""
        end = np.full(shots.states.shots, self._gates_end_ns)
        for qubit in self._place:
            self._rest(shots, qubit, end)

    def finish(self, shots: Shots) -> int:
        """Measures everything where the program measures nothing; gives the time of all shots together, in ns."""
        ends = shots.free.max(axis=0, initial=0)
        if not self.program.has_measurements:
            readout_ns = [
                qubit.readout_ns for qubit in self._noise.calibration.qubits[: self.program.num_qubits]
            ]
            self._meet(shots, self._row)
            for qubit in self.active:
                self._measure(shots, qubit, qubit)
            ends = ends + max(readout_ns, default=0)
        return int(ends.sum())

    def _block(
        self, shots: Shots, operations: Iterable[Operation], angles: Floats, columns: _Columns
    ) -> None:
        for op, column in zip(operations, columns, strict=True):
            match op:
                case Gate():
                    assert isinstance(column, int)
                    self._gate(shots, op, tuple(angles[column : column + len(op.angles)].tolist()))
                case Measure():
                    self._measure(shots, op.qubit, op.clbit)
                case Reset():
                    self._reset(shots, op.qubit)
                case Delay():
                    shots.free[self._row[op.qubit]] += op.duration_ns
                case Barrier():
                    self._meet(shots, [q for q in op.qubits or self._row if q in self._row])
                case IfElse():
                    assert isinstance(column, tuple)
                    self._wait_for(shots, op)
                    taken = _matches(shots, op)
                    for chosen, block, inner in (
                        (np.flatnonzero(taken), op.then, column[0]),
                        (np.flatnonzero(~taken), op.otherwise, column[1]),
                    ):
                        if chosen.size and block:
                            self._some(shots, chosen, block, angles, inner)
                case While():
                    assert isinstance(column, tuple)
                    self._wait_for(shots, op)
                    running = np.flatnonzero(_matches(shots, op))
                    trips = 0
                    while running.size and trips < op.max_trips:
                        part = self._some(shots, running, op.body, angles, column[0], op)
                        running = running[_matches(part, op)]
                        trips += 1

    def _some(
        self,
        shots: Shots,
        chosen: Ints,
        block: tuple[Operation, ...],
        angles: Floats,
        columns: _Columns,
        loop: While | None = None,
    ) -> Shots:
        part = shots.part(chosen)
        self._block(part, block, angles, columns)
        if loop is not None:
            self._wait_for(part, loop)
        shots.put(chosen, part)
        return part

    def _gate(self, shots: Shots, gate: Gate, angles: tuple[float, ...]) -> None:
        if not gate.qubits:
            return
        after = self._noise.of_gate(gate.name, gate.qubits)
        begin = self._begin(shots, gate.qubits)
        places = tuple(self._place[qubit] for qubit in gate.qubits)
        shots.states.unitary(places, matrix(gate.name, *angles))
        for place, (gamma, flips) in zip(places, after.decays, strict=True):
            if gamma or flips:
                shots.states.relax(place, gamma, flips)
        if after.depolarising:
            shots.states.depolarise(places, after.depolarising)
        self._end(shots, gate.qubits, begin + after.duration_ns)

    def _measure(self, shots: Shots, qubit: int, clbit: int) -> None:
        begin = self._begin(shots, (qubit,))
        end = begin + self._noise.calibration.qubits[qubit].readout_ns
        if not self._measures:
            # At the end of a program: the bit is read off the final state, and does not change any more.
            shots.free[self._place[qubit]] = end
            shots.rested[self._place[qubit]] = _NEVER
            return
        bits = shots.states.measure(self._place[qubit])
        shots.bits[clbit] = bits ^ self._misread(qubit, bits, shots.states.random)
        # Relaxation before the bit is known is part of the readout's error; afterwards it is not.
        shots.free[self._place[qubit]] = end
        shots.known[clbit] = end

    def _reset(self, shots: Shots, qubit: int) -> None:
        begin = self._begin(shots, (qubit,))
        place = self._place[qubit]
        states = shots.states
        wrong = states.random.random(states.shots) < self._noise.reset_error(qubit)
        states.flip(place, states.measure(place) ^ wrong)
        self._end(shots, (qubit,), begin + self._noise.calibration.qubits[qubit].reset_ns)

    def _misread(self, qubit: int, bits: Bools, random: Generator) -> Bools:
        confusion = self._noise.readout(qubit)
        wrong: Bools = random.random(bits.size) < np.where(bits, confusion[0, 1], confusion[1, 0])
        return wrong

    def _begin(self, shots: Shots, qubits: tuple[int, ...]) -> Ints:
        begin: Ints = shots.free[[self._place[qubit] for qubit in qubits]].max(axis=0)
        for qubit in qubits:
            self._rest(shots, qubit, begin)
        return begin

    def _end(self, shots: Shots, qubits: tuple[int, ...], end: Ints) -> None:
        for qubit in qubits:
            shots.free[self._place[qubit]] = shots.rested[self._place[qubit]] = end

    def _rest(self, shots: Shots, qubit: int, until: Ints) -> None:
        place = self._place[qubit]
        if not self._measures and int(shots.rested[place].max(initial=0)) >= _NEVER:
            return
        waited = until - shots.rested[place]
        longest = int(waited.max(initial=0))
        if longest > 0:
            t1_us, t2_us = self._noise.coherence(qubit)
            gamma = -np.expm1(-waited / (1000 * t1_us))
            dephasing = 1 / min(t2_us, 2 * t1_us) - 0.5 / t1_us
            shots.states.relax(place, gamma, -np.expm1(-waited * dephasing / 1000) / 2)
        shots.rested[place] = until

    def _meet(self, shots: Shots, qubits: Iterable[int]) -> None:
        rows = [self._row[qubit] for qubit in qubits]
        shots.free[rows] = shots.free[rows].max(axis=0, initial=0)

    def _wait_for(self, shots: Shots, op: IfElse | While) -> None:
        known = shots.known[list(op.clbits)].max(axis=0, initial=0)
        at = np.where(known > 0, known + self._timing.feedback_ns, 0)
        for qubit in _acted(op):
            if qubit in self._row:
                row = self._row[qubit]
                shots.free[row] = np.maximum(shots.free[row], at)


#: Until when a qubit has rested that was measured at the end: later than all else.
_NEVER = 2**62
#: Unitaries after which measuring Z is measuring that Pauli before.
TO_Z: dict[str, Complex] = {"X": matrix("h"), "Y": matrix("h") @ matrix("sdg")}

#: Of each operation of a block: a gate's first column in the table of angles, a branch's blocks' columns.
_Columns = tuple["int | tuple[_Columns, ...]", ...]


def _columns(operations: tuple[Operation, ...]) -> _Columns:
    count = 0

    def of(block: tuple[Operation, ...]) -> _Columns:
        nonlocal count
        found: list[int | tuple[_Columns, ...]] = []
        for op in block:
            match op:
                case Gate():
                    found.append(count)
                    count += len(op.angles)
                case IfElse():
                    found.append((of(op.then), of(op.otherwise)))
                case While():
                    found.append((of(op.body),))
                case _:
                    found.append(count)
        return tuple(found)

    return of(operations)


def _matches(shots: Shots, op: IfElse | While) -> Bools:
    found = np.ones(shots.bits.shape[1], dtype=np.bool_)
    for place, clbit in enumerate(op.clbits):
        found &= shots.bits[clbit] == bool(op.value >> place & 1)
    if op.value >> len(op.clbits):
        found[:] = False
    return found


@lru_cache(1024)
def _acted(op: IfElse | While) -> frozenset[int]:
    """Qubits that a block has to do with: they wait for its condition."""
    return frozenset(touched_by((op,)) | measured_by((op,)) | delayed_by((op,)))
