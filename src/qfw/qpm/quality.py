"""What a program costs on a device, by its calibration: depth, duration, and how likely nothing errs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from qfw.model.calibration import Calibration
from qfw.model.device import Timing
from qfw.model.errors import UnsupportedFeature
from qfw.model.native import SYMMETRIC
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.model.timing import circuit_ns, durations_of
from qfw.qpm.tool import Target

#: Calibrations whose figures a process keeps looked up.
MAX_KEPT = 16


def depth(program: Program) -> int:
    """Gates, measurements and resets on the longest path; a block counts as its bodies, once and in order."""
    levels = [0] * program.num_qubits
    for op in _flat(program.operations):
        match op:
            case Gate() | Barrier():
                qubits: Iterable[int] = op.qubits or range(program.num_qubits)
                if isinstance(op, Gate) and not op.qubits:
                    continue
            case Measure() | Reset():
                qubits = (op.qubit,)
            case Delay():
                continue
        level = max(levels[qubit] for qubit in qubits) + (not isinstance(op, Barrier))
        for qubit in qubits:
            levels[qubit] = level
    return max(levels, default=0)


def fidelity(program: Program, calibration: Calibration | None) -> float | None:
    """Probability that no gate and no measurement errs: the product over all of 1 - error.

    A block counts as its bodies, once. None without a calibration, or where it lacks a gate of the program.
    """
    if calibration is None or program.num_qubits > len(calibration.qubits):
        return None
    errors = {(gate.name, gate.qubits): gate.error for gate in calibration.gates if gate.operational}
    logarithm = 0.0
    for op in _flat(program.operations):
        error: float | None = 0.0
        match op:
            case Gate(qubits=()) | Barrier() | Delay():
                continue
            case Gate():
                error = errors.get((op.name, op.qubits))
                if error is None and op.name in SYMMETRIC:
                    error = errors.get((op.name, op.qubits[::-1]))
            case Measure():
                qubit = calibration.qubits[op.qubit]
                error = (qubit.read1_given0 + qubit.read0_given1) / 2
            case Reset():
                error = calibration.qubits[op.qubit].reset_error
        if error is None:
            return None
        if error >= 1:
            return 0.0
        logarithm += math.log1p(-error)
    return math.exp(logarithm)


def duration_s(program: Program, target: Target) -> float | None:
    """Seconds from the first operation of a shot to the end of the last; None where the calibration does not say."""
    calibration = target.calibration
    if calibration is None or program.num_qubits > len(calibration.qubits):
        return None
    try:
        return circuit_ns(program, calibration, target.profile.timing or Timing()) / 1e9
    except UnsupportedFeature:
        return None


class Figures(NamedTuple):
    """A program in figures: see `depth`, `fidelity` and `duration_s`."""

    gates: int
    two_qubit_gates: int
    depth: int
    fidelity: float | None
    duration_s: float | None


def figures(program: Program, target: Target) -> Figures:
    """All figures of a program. Of one without blocks in one pass, since every stage of a pipeline asks for them."""
    calibration = target.calibration
    if calibration is None or program.num_qubits > len(calibration.qubits) or _has_blocks(program):
        gates = [gate for gate in program.gates() if gate.qubits]
        return Figures(
            len(gates),
            sum(len(gate.qubits) == 2 for gate in gates),
            depth(program),
            fidelity(program, calibration),
            duration_s(program, target),
        )
    return _in_one_pass(program, calibration)


class _Place(NamedTuple):
    """What a calibration says of an operation in its place."""

    #: Logarithm of 1 - error; None: it says nothing. Minus infinity of one that always errs.
    logarithm: float | None
    #: None: it says nothing, or that it is out of order.
    duration_ns: int | None


class _Places:
    """All that a calibration says; looked up once for each."""

    def __init__(self, calibration: Calibration) -> None:
        errors = {(gate.name, gate.qubits): gate.error for gate in calibration.gates if gate.operational}
        durations = durations_of(calibration)
        self.gates: dict[tuple[str, tuple[int, ...]], _Place] = {}
        for gate in calibration.gates:
            for qubits in (gate.qubits, gate.qubits[::-1]) if gate.name in SYMMETRIC else (gate.qubits,):
                error = errors.get((gate.name, qubits))
                if error is None and gate.name in SYMMETRIC:
                    error = errors.get((gate.name, qubits[::-1]))
                try:
                    lasts_ns = durations.of(Gate(gate.name, qubits))
                except UnsupportedFeature:
                    lasts_ns = None
                self.gates[gate.name, qubits] = _Place(_logarithm(error), lasts_ns)
        self.measured = [
            _Place(_logarithm((qubit.read1_given0 + qubit.read0_given1) / 2), qubit.readout_ns)
            for qubit in calibration.qubits
        ]
        self.reset = [_Place(_logarithm(qubit.reset_error), qubit.reset_ns) for qubit in calibration.qubits]


_UNKNOWN = _Place(None, None)


def _logarithm(error: float | None) -> float | None:
    if error is None:
        return None
    return -math.inf if error >= 1 else math.log1p(-error)


def _in_one_pass(program: Program, calibration: Calibration) -> Figures:
    """The figures of a program without blocks: of each qubit the level and the time at which it is free."""
    places = _places(calibration)
    known = places.gates
    levels, free = [0] * program.num_qubits, [0] * program.num_qubits
    gates = two_qubit_gates = 0
    total: float | None = 0.0
    timed, measures = True, False
    for op in program.operations:
        qubits: Sequence[int]
        if isinstance(op, Gate):
            qubits = op.qubits
            if not qubits:
                continue
            gates += 1
            place = known.get((op.name, qubits), _UNKNOWN)
        elif isinstance(op, Measure):
            qubits, place, measures = (op.qubit,), places.measured[op.qubit], True
        elif isinstance(op, Reset):
            qubits, place = (op.qubit,), places.reset[op.qubit]
        elif isinstance(op, Barrier):
            _meet(levels, op.qubits)
            _meet(free, op.qubits)
            continue
        else:
            if isinstance(op, Delay):
                free[op.qubit] += op.duration_ns
            continue
        logarithm, lasts_ns = place
        if total is not None and total != -math.inf:
            total = None if logarithm is None else total + logarithm
        if lasts_ns is None:
            timed, lasts_ns = False, 0
        if len(qubits) == 1:
            levels[qubits[0]] += 1
            free[qubits[0]] += lasts_ns
            continue
        two_qubit_gates += len(qubits) == 2
        level = max([levels[qubit] for qubit in qubits]) + 1
        at_ns = max([free[qubit] for qubit in qubits]) + lasts_ns
        for qubit in qubits:
            levels[qubit], free[qubit] = level, at_ns
    end_ns = max(free)
    if not measures:
        # All qubits are measured at the end.
        end_ns += max(qubit.readout_ns for qubit in calibration.qubits[: program.num_qubits])
    fidelity = None if total is None else math.exp(total)
    return Figures(gates, two_qubit_gates, max(levels), fidelity, end_ns / 1e9 if timed else None)


def _meet(values: list[int], qubits: Sequence[int]) -> None:
    """Lets qubits wait for each other; without any all."""
    together = qubits or range(len(values))
    most = max([values[qubit] for qubit in together])
    for qubit in together:
        values[qubit] = most


def _places(calibration: Calibration) -> _Places:
    kept = _KNOWN.get(id(calibration))
    if kept is None:
        if len(_KNOWN) >= MAX_KEPT:
            _KNOWN.clear()
        # The calibration is kept with them, so that its id is nobody else's.
        kept = _KNOWN[id(calibration)] = (calibration, _Places(calibration))
    return kept[1]


_KNOWN: dict[int, tuple[Calibration, _Places]] = {}


_BLOCKS = frozenset({IfElse, While})


def _has_blocks(program: Program) -> bool:
    return not _BLOCKS.isdisjoint(map(type, program.operations))


def _flat(operations: Iterable[Operation]) -> Iterator[Gate | Measure | Reset | Barrier | Delay]:
    for op in operations:
        match op:
            case IfElse():
                yield from _flat(op.then)
                yield from _flat(op.otherwise)
            case While():
                yield from _flat(op.body)
            case _:
                yield op
