"""Programs drawn from a seed: fuller ones than those that hypothesis begins with, the same ones each time."""

from __future__ import annotations

import numpy as np

from qfw.model.program import (
    Affine,
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
from qfw.testing import tool_programs

NUM_SLOTS = tool_programs.SLOTS


def straight(seed: int, max_qubits: int = 4, gates: int = 10, measured: bool = False) -> Program:
    """Gates and a barrier; with `measured` every qubit is measured at the end."""
    rng = np.random.default_rng(seed)
    return tool_programs.straight(rng, int(rng.integers(1, max_qubits + 1)), gates, measured)


def controlled(
    seed: int, max_qubits: int = 3, size: int = 9, flat: bool = False, wait: bool = False
) -> Program:
    """Gates among measurements, resets, branches and loops, on conditions of one to three bits; measured at the end.

    Args:
        seed: of all that is drawn.
        max_qubits: at most so many; bits are one to three, however many qubits there are.
        size: operations outside blocks.
        flat: no loops, and gates only in branches, which ask neighbouring bits.
        wait: delays too.
    """
    rng = np.random.default_rng(seed)
    drawing = _Drawing(rng, int(rng.integers(1, max_qubits + 1)), int(rng.integers(1, 4)), flat, wait)
    # Something is known before the first condition asks for it.
    begin = (tool_programs.gate(rng, drawing.width), Measure(0, int(rng.integers(drawing.clbits))))
    end = tuple(Measure(qubit, int(rng.integers(drawing.clbits))) for qubit in range(int(rng.integers(2))))
    program = Program(drawing.width, drawing.clbits, NUM_SLOTS, (*begin, *drawing.block(size, 2), *end))
    program.check()
    return program


def mutated(program: Program, seed: int) -> Program:
    """The program with one operation changed or left out, which need not change what it does."""
    rng = np.random.default_rng(seed)
    operations = _mutated(program.operations, rng, program)
    found = Program(program.num_qubits, program.num_clbits, program.num_slots, operations)
    found.check()
    return found


def _mutated(
    operations: tuple[Operation, ...], rng: np.random.Generator, program: Program
) -> tuple[Operation, ...]:
    if not operations:
        return operations
    place = int(rng.integers(len(operations)))
    op, changed = operations[place], rng.random() < 0.6
    new: tuple[Operation, ...] = ()
    match op:
        case IfElse(clbits, value, then, otherwise):
            inner = IfElse(clbits, value, _mutated(then, rng, program), otherwise)
            new = (inner if changed else IfElse(clbits, value, otherwise, then),)
        case While(clbits, value, body, max_trips):
            inner = While(clbits, value, _mutated(body, rng, program), max_trips)
            new = (inner if changed else While(clbits, value ^ 1, body, max_trips),)
        case Measure(qubit, clbit) if changed:
            new = (Measure(qubit, (clbit + 1) % program.num_clbits),)
        case Gate(name, qubits, (Affine(terms, offset), *rest)) if changed:
            new = (Gate(name, qubits, (Affine(terms, offset + 0.3), *rest)),)
        case Gate(name, qubits, (angle, *rest)) if changed:
            new = (Gate(name, qubits, (angle + 0.3, *rest)),)
        case Gate(name, qubits, angles) if changed:
            new = (Gate(name, qubits[::-1], angles),)
    return (*operations[:place], *new, *operations[place + 1 :])


class _Drawing:
    """What operations are drawn from."""

    def __init__(self, rng: np.random.Generator, width: int, clbits: int, flat: bool, wait: bool) -> None:
        self._rng = rng
        self.width = width
        self.clbits = clbits
        self._flat = flat
        self._wait = wait
        self._low, self._high = sorted(int(bit) for bit in rng.integers(clbits, size=2))

    def block(self, size: int, depth: int) -> tuple[Operation, ...]:
        """So many operations; blocks within them go `depth` deep."""
        return tuple(self._operation(depth) for _ in range(size))

    def _operation(self, depth: int) -> Operation:
        rng, qubit = self._rng, int(self._rng.integers(self.width))
        plain = self._flat and depth < 2
        match int(rng.integers(11)):
            case 5 | 6 if not plain:
                return Measure(qubit, int(rng.integers(self.clbits)))
            case 7 if not plain:
                return Reset(qubit)
            case 8 if depth and not plain:
                then, otherwise = self.block(2, depth - 1), self.block(int(rng.integers(3)), depth - 1)
                return IfElse(*self._condition(), then, otherwise)
            case 9 if depth and not self._flat:
                return While(*self._condition(), self.block(3, depth - 1), int(rng.integers(1, 4)))
            case 10 if self._wait:
                return Delay(qubit, int(rng.integers(1, 500)))
            case 10:
                return Barrier((qubit,))
        return tool_programs.gate(rng, self.width)

    def _condition(self) -> tuple[tuple[int, ...], int]:
        rng = self._rng
        if self._flat:
            bits = tuple(range(self._low, self._high + 1))
        else:
            bits = tuple(int(bit) for bit in rng.integers(self.clbits, size=int(rng.integers(1, 4))))
        # Now and then a value that the bits cannot have.
        return bits, int(rng.integers(2 ** len(bits) + (rng.random() < 0.1)))
