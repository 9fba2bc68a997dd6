"""What a program with control gives, exactly: every course that its measurements may take, with its probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qfw.model.errors import TooLarge
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.numerics.states import Complex, act, ground

#: Courses that are followed at the same time, and amplitudes of them together.
MAX_BRANCHES, MAX_AMPLITUDES = 4096, 2**23
#: Operations that are done in all of them, loops unrolled.
MAX_STEPS = 2_000_000
#: Courses that are less likely are left out.
UNLIKELY = 1e-13


@dataclass
class Branch:
    """One course: what the classical bits are, and the state, whose squared norm is its probability."""

    bits: int
    #: Shape (2, … 2, 1); qubit q is axis num_qubits - 1 - q.
    state: Complex


@dataclass
class _Course:
    """All courses of a program, and what following them took."""

    num_qubits: int
    rng: np.random.Generator | None
    steps: int = field(default=0)

    def run(self, operations: Sequence[Operation], branches: list[Branch]) -> list[Branch]:
        for op in operations:
            self.steps += len(branches)
            if self.steps > MAX_STEPS:
                raise TooLarge(
                    f"more than {MAX_STEPS} operations in all courses of the program; nobody follows them exactly"
                )
            match op:
                case Gate():
                    for branch in branches:
                        act(branch.state, op, self.num_qubits)
                case Measure():
                    branches = self._measured(branches, op.qubit, op.clbit)
                case Reset():
                    branches = self._measured(branches, op.qubit, None)
                case IfElse():
                    yes, no = _sorted(branches, op)
                    branches = self.run(op.then, yes) + self.run(op.otherwise, no)
                case While():
                    branches = self._looped(op, branches)
                case Barrier() | Delay():
                    pass
        return branches

    def _looped(self, op: While, branches: list[Branch]) -> list[Branch]:
        done: list[Branch] = []
        for _ in range(op.max_trips):
            self.steps += 1
            branches, out = _sorted(branches, op)
            done += out
            if not branches:
                return done
            branches = self.run(op.body, branches)
        return done + branches

    def _measured(self, branches: list[Branch], qubit: int, clbit: int | None) -> list[Branch]:
        """Measured into a bit; or, where there is none, set back to |0>."""
        axis = self.num_qubits - 1 - qubit
        found: list[Branch] = []
        for branch in branches:
            weights = [float(np.sum(np.abs(np.take(branch.state, bit, axis)) ** 2)) for bit in (0, 1)]
            outcomes = [bit for bit in (0, 1) if weights[bit] > UNLIKELY]
            if self.rng is not None:
                # One course of them, drawn.
                outcomes = [int(self.rng.random() * sum(weights) < weights[1])]
            for bit in outcomes:
                state = np.zeros_like(branch.state)
                behind = bit if clbit is not None else 0
                np.moveaxis(state, axis, 0)[behind] = np.moveaxis(branch.state, axis, 0)[bit]
                if self.rng is not None:
                    state *= (sum(weights) / weights[bit]) ** 0.5
                bits = branch.bits
                if clbit is not None:
                    bits = bits & ~(1 << clbit) | bit << clbit
                found.append(Branch(bits, state))
        if len(found) > max(1, min(MAX_BRANCHES, MAX_AMPLITUDES >> self.num_qubits)):
            raise TooLarge(f"the program's measurements may go in more than {len(found) - 1} courses")
        return found


def courses(program: Program) -> list[Branch]:
    """Every course of a program without slots, at its end.

    Raises:
        TooLarge: more courses than are followed.
    """
    course = _Course(program.num_qubits, None)
    return course.run(program.operations, [Branch(0, _ground(program.num_qubits))])


def distribution(program: Program) -> dict[int, float]:
    """Probability of each outcome of a program without slots; bit c of an outcome is classical bit c.

    A program that measures nothing answers all of its qubits.

    Raises:
        TooLarge: more courses than are followed.
    """
    operations, ending = _ending(program)
    course = _Course(program.num_qubits, None)
    found: dict[int, float] = {}
    for branch in course.run(operations, [Branch(0, _ground(program.num_qubits))]):
        chances = np.abs(branch.state.reshape(-1)) ** 2
        seen = np.flatnonzero(chances > UNLIKELY)
        outcomes = np.zeros(len(seen), dtype=object)
        kept = branch.bits
        for qubit, clbit in ending.items():
            kept &= ~(1 << clbit)
            outcomes = outcomes + (seen >> qubit & 1).astype(object) * (1 << clbit)
        for outcome, chance in zip(outcomes.tolist(), chances[seen].tolist(), strict=True):
            found[kept + outcome] = found.get(kept + outcome, 0.0) + chance
    return found


def sampled(program: Program, shots: int, rng: np.random.Generator) -> list[int]:
    """Outcomes of so many executions of a program without slots, each followed on its own."""
    operations, ending = _ending(program)
    found = []
    for _ in range(shots):
        course = _Course(program.num_qubits, rng)
        (branch,) = course.run(operations, [Branch(0, _ground(program.num_qubits))])
        chances = np.abs(branch.state.reshape(-1)) ** 2
        drawn = int(rng.choice(len(chances), p=chances / chances.sum()))
        bits = branch.bits
        for qubit, clbit in ending.items():
            bits = bits & ~(1 << clbit) | (drawn >> qubit & 1) << clbit
        found.append(bits)
    return found


def _ending(program: Program) -> tuple[Sequence[Operation], dict[int, int]]:
    """The operations, and what is measured behind all of them: qubit to classical bit, each once.

    That is read off the state, and needs no courses of its own.
    """
    if not program.has_measurements:
        return program.operations, {qubit: qubit for qubit in range(program.num_qubits)}
    operations, ending = list(program.operations), dict[int, int]()
    while operations:
        last = operations[-1]
        if isinstance(last, Measure):
            if last.qubit in ending or last.clbit in ending.values():
                break
            ending[last.qubit] = last.clbit
        elif not isinstance(last, Barrier | Delay):
            break
        operations.pop()
    return operations, ending


def _ground(num_qubits: int) -> Complex:
    return ground(num_qubits).reshape((2,) * num_qubits + (1,))


def _sorted(branches: list[Branch], op: IfElse | While) -> tuple[list[Branch], list[Branch]]:
    """Courses in which the condition holds, and the others."""
    yes: list[Branch] = []
    no: list[Branch] = []
    for branch in branches:
        found = sum((branch.bits >> clbit & 1) << place for place, clbit in enumerate(op.clbits))
        (yes if found == op.value else no).append(branch)
    return yes, no
