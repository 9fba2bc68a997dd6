"""A walk over a Qiskit circuit: its structure as a hashable key, its numbers as a list.

Custom gates are entered by their definition, so the key has Qiskit's standard gates only
and says all that the Program needs. This runs for every circuit of every call: it does
per gate no more than it must.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from qiskit import transpile
from qiskit.circuit import (
    CASE_DEFAULT,
    Barrier,
    BoxOp,
    BreakLoopOp,
    Clbit,
    ContinueLoopOp,
    ControlFlowOp,
    Delay,
    ForLoopOp,
    Gate,
    IfElseOp,
    Instruction,
    Measure,
    Operation,
    Parameter,
    ParameterExpression,
    QuantumCircuit,
    Qubit,
    Reset,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.library import UnitaryGate
from qiskit.exceptions import QiskitError

from qfw.formats.qiskit_conditions import Condition, condition, equals
from qfw.formats.qiskit_gates import ARITIES
from qfw.formats.qiskit_parameters import is_number
from qfw.model.errors import QFwError, TooLarge, UnsupportedFeature

#: Operations of a circuit with its definitions entered and its loops unrolled.
MAX_OPERATIONS = 2_000_000
#: Definitions within definitions, blocks within blocks.
MAX_DEPTH = 100
#: How often a while_loop is run at most: Qiskit's have no bound, and a task has its time limit besides.
MAX_TRIPS = 1_000_000
#: What the label of a while_loop begins with that has another bound, which follows.
TRIPS_LABEL = "qfw.max_trips="

#: Nanoseconds of a delay's units.
_NS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0, "ps": 1e-3}

#: For what has no definition and must be synthesised.
_BASIS = ("u", "cx", "rz", "h", "p", "cz", "ccx")


class Walk:
    """What a walk over a circuit found."""

    __slots__ = ("blocks", "count", "key", "loop_parameters", "values")

    def __init__(self) -> None:
        """Empty; see `of`."""
        #: Of a standard gate its name and then its qubits, each as an element of its own. Of all else a
        #: tuple: ("measure", qubit, clbit), ("reset", qubit), ("barrier", qubits), ("delay", qubit, ns),
        #: ("if", clbits, value, key of the one block, key of the other), ("while", clbits, value, key,
        #: most trips).
        self.key: list[Hashable] = []
        #: Arguments of the gates in order; floats, and where they have free parameters expressions.
        self.values: list[Any] = []
        #: Of the for_loops that were unrolled: Qiskit 2.0 counts them among a circuit's free ones.
        self.loop_parameters: set[Parameter] = set()
        #: Operations so far; a block without any counts as one.
        self.count = 0
        #: Blocks that the walk is within.
        self.blocks = 0

    @classmethod
    def of(cls, circuit: QuantumCircuit) -> Walk:
        """The walk over a circuit.

        Raises:
            UnsupportedFeature: an instruction or condition that a Program cannot say.
            TooLarge: more than MAX_OPERATIONS.
        """
        walk = cls()
        qubits = {qubit: index for index, qubit in enumerate(circuit.qubits)}
        clbits = {clbit: index for index, clbit in enumerate(circuit.clbits)}
        walk.key = walk._block(circuit, qubits, clbits)
        return walk

    def _block(
        self, circuit: QuantumCircuit, qubits: Mapping[Qubit, int], clbits: Mapping[Clbit, int]
    ) -> list[Hashable]:
        """The key of a circuit or block, its global phase at its end."""
        key: list[Hashable] = []
        phase = self._enter(circuit, qubits, clbits, key, 0)
        if not is_number(phase) or phase != 0:
            key.append("global_phase")
            self.values.append(phase)
        return key

    def _enter(
        self,
        circuit: QuantumCircuit,
        qubits: Mapping[Qubit, int],
        clbits: Mapping[Clbit, int],
        key: list[Hashable],
        depth: int,
    ) -> Any:
        """Adds a circuit's operations to `key`; returns its phase, which is not in the key."""
        index, values = qubits.__getitem__, self.values
        phase = circuit.global_phase
        data = circuit.data
        self.count += len(data) or 1
        _check_count(self.count)
        for instruction in data:
            name = instruction.name
            if name in ARITIES and instruction.is_standard_gate():
                key.append(name)
                key.extend(map(index, instruction.qubits))
                values.extend(instruction.params)
                continue
            operation = instruction.operation
            if isinstance(operation, Measure):
                key.append(("measure", index(instruction.qubits[0]), clbits[instruction.clbits[0]]))
            elif isinstance(operation, Barrier):
                key.append(("barrier", tuple(map(index, instruction.qubits))))
            elif isinstance(operation, Reset):
                key.append(("reset", index(instruction.qubits[0])))
            elif isinstance(operation, Delay):
                duration_ns = _delay_ns(operation)
                if duration_ns is not None:
                    key.append(("delay", index(instruction.qubits[0]), duration_ns))
            else:
                positions = tuple(map(index, instruction.qubits))
                bits = tuple([clbits[bit] for bit in instruction.clbits])
                if isinstance(operation, ControlFlowOp):
                    key.extend(self._control(operation, positions, bits, clbits))
                else:
                    block = _definition(operation, depth)
                    phase = phase + self._enter(
                        block, _placed(block.qubits, positions), _placed(block.clbits, bits), key, depth + 1
                    )
        return phase

    def _control(
        self,
        operation: ControlFlowOp,
        qubits: tuple[int, ...],
        bits: tuple[int, ...],
        clbits: Mapping[Clbit, int],
    ) -> Iterator[Hashable]:
        """Elements of the key for an operation of control flow on these qubits and bits."""

        def block(circuit: QuantumCircuit | None) -> tuple[Hashable, ...]:
            if circuit is None:
                return ()
            if self.blocks == MAX_DEPTH:
                raise TooLarge(
                    f"the circuit's blocks are nested deeper than {MAX_DEPTH}; nest fewer if_test and loops"
                )
            self.blocks += 1
            key = self._block(circuit, _placed(circuit.qubits, qubits), _placed(circuit.clbits, bits))
            self.blocks -= 1
            return tuple(key)

        match operation:
            case IfElseOp():
                found = condition(operation.condition, clbits)
                # In the order of the Program: what is to be done where the bits do equal the value first.
                blocks = [*operation.blocks, None][:2]
                then, otherwise = map(block, blocks[::-1] if found.negated else blocks)
                yield ("if", found.clbits, found.value, then, otherwise)
            case WhileLoopOp():
                found = condition(operation.condition, clbits)
                if found.negated:
                    raise UnsupportedFeature(
                        f"a while_loop as long as {operation.condition}: several bits may be compared with == "
                        "only. Loop on one bit"
                    )
                yield ("while", found.clbits, found.value, block(operation.blocks[0]), _trips(operation))
            case ForLoopOp():
                trips, parameter, body = operation.params
                if parameter is not None:
                    self.loop_parameters.add(parameter)
                if not isinstance(trips, Sequence):
                    raise UnsupportedFeature(
                        f"a for_loop over {trips}; loops over integers known before are unrolled"
                    )
                _check_count(self.count + len(trips) * max(1, len(body.data)))
                for body in _unrolled(operation):
                    yield from block(body)
            case SwitchCaseOp():
                yield from _switch(operation, clbits, block)
            case BoxOp():
                yield from block(operation.blocks[0])
            case _:
                raise _unsupported(operation)


def _check_count(count: int) -> None:
    if count > MAX_OPERATIONS:
        raise TooLarge(
            f"the circuit has more than {MAX_OPERATIONS} operations, its definitions entered and its loops "
            "unrolled. Cut it into smaller ones"
        )


def _placed(bits: Iterable[Any], positions: tuple[int, ...]) -> dict[Any, int]:
    return dict(zip(bits, positions, strict=True))


def _unrolled(loop: ForLoopOp) -> Iterator[QuantumCircuit]:
    """The body of a for_loop for each trip."""
    trips, parameter, body = loop.params
    for value in trips:
        # A parameter that the body does not use cannot be assigned.
        if parameter is not None and parameter in body.parameters:
            yield body.assign_parameters({parameter: value})
        else:
            yield body


def _trips(loop: WhileLoopOp) -> int:
    """How often a while_loop is run at most."""
    _, found, bound = (loop.label or "").partition(TRIPS_LABEL)
    return int(bound) if found and bound.isdecimal() and 0 < int(bound) < 2**63 else MAX_TRIPS


def _delay_ns(delay: Delay) -> int | None:
    """Nanoseconds of a delay, rounded; None of one in dt, which only the backend knows that it was made for."""
    scale = _NS.get(delay.unit)
    if scale is None or isinstance(delay.duration, ParameterExpression):
        return None
    nanoseconds: int = round(delay.duration * scale)
    return nanoseconds


def _switch(switch: SwitchCaseOp, clbits: Mapping[Clbit, int], block: Any) -> tuple[Hashable, ...]:
    """A switch as an if within the else of another."""
    cases: list[tuple[Condition | None, tuple[Hashable, ...]]] = []
    for labels, body in switch.cases_specifier():
        for label in labels:
            if label is CASE_DEFAULT:
                cases.append((None, block(body)))
            else:
                cases.append((equals(switch.target, label, clbits), block(body)))
    chain: tuple[Hashable, ...] = ()
    for found, body in reversed(cases):
        chain = body if found is None else (("if", found.clbits, found.value, body, chain),)
    return chain


def _definition(operation: Operation, depth: int) -> QuantumCircuit:
    """The circuit that an operation stands for, on its qubits and bits in order.

    Raises:
        UnsupportedFeature: there is none.
    """
    if isinstance(operation, Store):
        raise UnsupportedFeature("classical variables (Store) are not supported; use classical registers")
    if isinstance(operation, (BreakLoopOp, ContinueLoopOp)) or depth >= MAX_DEPTH:
        raise _unsupported(operation)
    try:
        definition = getattr(operation, "definition", None)
        if definition is not None:
            return definition
        if isinstance(operation, Gate):
            return UnitaryGate(operation.to_matrix()).definition
        if isinstance(operation, Instruction):
            raise _unsupported(operation)
        return _synthesised(operation)
    except QFwError:
        raise
    except (QiskitError, NotImplementedError) as error:
        raise _unsupported(operation) from error
    except Exception as error:
        # Whoever wrote the gate wrote what makes its definition: it may raise anything.
        raise UnsupportedFeature(
            f"the definition of instruction {operation.name!r} cannot be made: {type(error).__name__}: {error}. Where "
            "it needs numbers bind the circuit's parameters first"
        ) from error


def _synthesised(operation: Operation) -> QuantumCircuit:
    """What Qiskit makes of an operation that is no Instruction: a Clifford, an annotated gate."""
    alone = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    alone.append(operation, range(operation.num_qubits), range(operation.num_clbits))
    return transpile(alone, basis_gates=list(_BASIS), optimization_level=0)


def _unsupported(operation: Operation) -> UnsupportedFeature:
    name = operation.name
    remedy = (
        "Leave it out: exact states come from run(circuit, shots=None)"
        if name.startswith("save_")
        else "Give it a definition, or leave it out"
    )
    return UnsupportedFeature(f"instruction {name!r} is not supported, and has no definition. {remedy}")
