"""Programs as Qiskit circuits.

Qubit i and classical bit i of a Program are qubit i and bit i of the circuit. Slot i is the parameter `s0000000` + i,
the same object in every circuit, so that the order of `circuit.parameters` is that of the slots.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from typing import Any, NamedTuple

from qiskit.circuit import (
    CircuitInstruction,
    Clbit,
    IfElseOp,
    Parameter,
    QuantumCircuit,
    Qubit,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr
from qiskit.circuit.library import get_standard_gate_name_mapping

from qfw.formats.qiskit_walk import MAX_TRIPS, TRIPS_LABEL
from qfw.model.errors import UnsupportedFeature
from qfw.model.gates import GATES
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

#: Operations that a loop with a bound may become.
MAX_UNROLLED = 100_000

_NAMESPACE = uuid.UUID("7d1c1f0a-6a2e-5d38-9d0f-0d7f0c3c5a11")


@lru_cache(maxsize=4096)
def slot_parameter(index: int) -> Parameter:
    """The parameter of a slot: equal in all circuits and processes."""
    name = f"s{index:07d}"
    return Parameter(name, uuid=uuid.uuid5(_NAMESPACE, name))


def slot_of(parameter: Parameter) -> int:
    """The slot of such a parameter."""
    return int(parameter.name[1:])


def dumps(program: Program) -> QuantumCircuit:
    """The circuit of a program; `qfw.formats.qiskit.loads` gives back one of the same meaning, with the same slots.

    Qiskit's while_loop has no bound. A loop of MAX_TRIPS trips, which is what reading one gives, is written as
    while_loop; every other one as so many if_else in a row, which is the same: once its condition is false nothing
    changes the bits any more. A slot that no gate uses stands in the global phase, times 0. A global phase within a
    block that has no qubits is left out: nothing can see it.

    Raises:
        UnsupportedFeature: a loop that is more than MAX_UNROLLED operations when it is written so.
        ProgramError: it is not well formed.
    """
    circuit = _circuit(program, labelled=False)
    used = {slot_of(parameter) for parameter in circuit.parameters}
    spare = [0 * slot_parameter(index) for index in range(program.num_slots) if index not in used]
    if spare:
        circuit.global_phase = sum(spare, circuit.global_phase)
    return circuit


def dumps_labelled(program: Program) -> QuantumCircuit:
    """The circuit of a program with all its loops as while_loop, whose labels keep their bounds for `Walk`.

    For what rewrites circuits; to run one would ignore the bounds. A slot that no gate uses has no parameter.

    Raises:
        UnsupportedFeature: a loop without a condition that can fail, of too many operations to be written without.
        ProgramError: it is not well formed.
    """
    return _circuit(program, labelled=True)


def _circuit(program: Program, *, labelled: bool) -> QuantumCircuit:
    program.check()
    circuit = QuantumCircuit(program.num_qubits, program.num_clbits)
    _Writer(circuit.qubits, circuit.clbits, labelled).write(program.operations, circuit)
    return circuit


class _Writer:
    """Writes operations into a circuit or a block of it."""

    def __init__(self, qubits: Sequence[Qubit], clbits: Sequence[Clbit], labelled: bool) -> None:
        self._qubits = qubits
        self._clbits = clbits
        self._labelled = labelled

    def write(self, operations: Iterable[Operation], circuit: QuantumCircuit) -> None:
        qubits, clbits = self._qubits, self._clbits
        phase: Any = 0.0
        gates: list[CircuitInstruction] = []
        for op in operations:
            if isinstance(op, Gate) and (kind := _STANDARD.get(op.name)) is not None:
                places = [qubits[q] for q in op.qubits]
                gates.append(CircuitInstruction.from_standard(kind, places, [*map(_argument, op.angles)]))
                continue
            if gates:
                circuit._data.extend(gates)
                gates.clear()
            match op:
                case Gate(name="gphase"):
                    phase = phase + _argument(op.angles[0])
                case Gate():
                    # Qiskit's methods are named as the normal form's gates.
                    getattr(circuit, op.name)(*map(_argument, op.angles), *[qubits[q] for q in op.qubits])
                case Measure():
                    circuit.measure(qubits[op.qubit], clbits[op.clbit])
                case Reset():
                    circuit.reset(qubits[op.qubit])
                case Barrier():
                    circuit.barrier(*[qubits[q] for q in op.qubits])
                case Delay():
                    circuit.delay(op.duration_ns, qubits[op.qubit], "ns")
                case IfElse():
                    self._branch(op, circuit)
                case While():
                    self._loop(op, circuit)
        if gates:
            circuit._data.extend(gates)
        # Assigned once: with expressions each assignment looks through all of a circuit's parameters.
        if not isinstance(phase, float) or phase:
            circuit.global_phase = circuit.global_phase + phase

    def _branch(self, op: IfElse, circuit: QuantumCircuit) -> None:
        bits = _wanted(op.clbits, op.value)
        if bits is None or not bits:
            self.write(op.otherwise if bits is None else op.then, circuit)
            return
        used = _used((*op.then, *op.otherwise))
        if used.qubits:
            blocks = [
                self._block(ops, used, bits) for ops in (op.then, op.otherwise) if ops or ops is op.then
            ]
            self._append(IfElseOp(self._condition(bits), *blocks), used, bits, circuit)

    def _loop(self, op: While, circuit: QuantumCircuit) -> None:
        bits, used = _wanted(op.clbits, op.value), _used(op.body)
        if bits is None or not used.qubits:
            return
        if bits and (self._labelled or op.max_trips == MAX_TRIPS):
            label = f"{TRIPS_LABEL}{op.max_trips}" if self._labelled else None
            loop = WhileLoopOp(self._condition(bits), self._block(op.body, used, bits), label=label)
            self._append(loop, used, bits, circuit)
            return
        if op.max_trips * used.operations > MAX_UNROLLED:
            raise UnsupportedFeature(
                f"a loop of at most {op.max_trips} trips over {used.operations} operations: Qiskit's while_loop has no "
                f"bound, and as if_else in a row it would be more than {MAX_UNROLLED} operations. Give it {MAX_TRIPS} "
                "trips, which are written as a while_loop, or fewer"
            )
        for _ in range(op.max_trips):
            self._branch(IfElse(op.clbits, op.value, op.body), circuit)

    def _block(self, ops: Sequence[Operation], used: _Used, bits: dict[int, int]) -> QuantumCircuit:
        block = QuantumCircuit(
            [self._qubits[q] for q in sorted(used.qubits)],
            [self._clbits[c] for c in sorted({*used.clbits, *bits})],
        )
        self.write(ops, block)
        return block

    def _append(
        self, operation: IfElseOp | WhileLoopOp, used: _Used, bits: dict[int, int], circuit: QuantumCircuit
    ) -> None:
        qubits = [self._qubits[q] for q in sorted(used.qubits)]
        circuit.append(operation, qubits, [self._clbits[c] for c in sorted({*used.clbits, *bits})])

    def _condition(self, bits: dict[int, int]) -> Any:
        if len(bits) == 1:
            ((clbit, value),) = bits.items()
            return self._clbits[clbit], value
        each = [
            expr.lift(self._clbits[c]) if value else expr.logic_not(self._clbits[c])
            for c, value in bits.items()
        ]
        return reduce(expr.logic_and, each)


class _Used(NamedTuple):
    """What a block touches."""

    qubits: set[int]
    clbits: set[int]
    #: How many operations it is, blocks in it included.
    operations: int


def _used(operations: Iterable[Operation]) -> _Used:
    qubits: set[int] = set()
    clbits: set[int] = set()
    count = 0
    for op in operations:
        count += 1
        match op:
            case Gate():
                qubits.update(op.qubits)
            case Barrier():
                # It does nothing; a block of nothing else is left out.
                qubits.update(op.qubits)
            case Delay():
                qubits.add(op.qubit)
            case Measure():
                qubits.add(op.qubit)
                clbits.add(op.clbit)
            case Reset():
                qubits.add(op.qubit)
            case IfElse() | While():
                inner = _used((*op.then, *op.otherwise) if isinstance(op, IfElse) else op.body)
                qubits |= inner.qubits
                clbits |= inner.clbits | set(op.clbits)
                count += inner.operations * (1 if isinstance(op, IfElse) else op.max_trips)
    return _Used(qubits, clbits, count)


def _wanted(clbits: Sequence[int], value: int) -> dict[int, int] | None:
    """The value that each bit must have; None where that is never so."""
    if not 0 <= value < 1 << len(clbits):
        return None
    wanted: dict[int, int] = {}
    for place, clbit in enumerate(clbits):
        bit = value >> place & 1
        if wanted.setdefault(clbit, bit) != bit:
            return None
    return wanted


def _standard() -> dict[str, Any]:
    """What Qiskit names its gates by inside, by our names; nothing where this Qiskit has none of it.

    Gates given so, many at once, take a sixth of the time of a circuit's methods. As that is no part of what Qiskit
    promises, it is tried here.
    """
    found = {
        name: gate._standard_gate
        for name, gate in get_standard_gate_name_mapping().items()
        if name in GATES and getattr(gate, "_standard_gate", None) is not None
    }
    tried, wanted = QuantumCircuit(2), QuantumCircuit(2)
    wanted.rx(0.5, 0)
    wanted.cx(0, 1)
    try:
        tried._data.extend(
            [
                CircuitInstruction.from_standard(found["rx"], tried.qubits[:1], [0.5]),
                CircuitInstruction.from_standard(found["cx"], tried.qubits, []),
            ]
        )
    except Exception:
        # Whatever another Qiskit says of calls that it does not know.
        return {}
    return found if tried == wanted else {}


_STANDARD = _standard()


def _argument(angle: Angle) -> Any:
    if not isinstance(angle, Affine):
        return float(angle)
    total: Any = None
    for index, coefficient in angle.terms:
        parameter = slot_parameter(index)
        term = parameter if coefficient == 1.0 else parameter * float(coefficient)
        total = term if total is None else total + term
    if total is None:
        return float(angle.offset)
    return total + float(angle.offset) if angle.offset else total
