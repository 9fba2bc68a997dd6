"""PennyLane circuits to Programs: QNodes, functions of operations, and tapes.

PennyLane's first wire is the leftmost character of a bit string, here as there: wire i of n becomes qubit n-1-i. The
k-th `qml.measure` goes to classical bit k. What a circuit returns says what is to be answered, and is no part of the
Program.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.exceptions import DecompositionUndefinedError, DeviceError
from pennylane.measurements import MidMeasureMP
from pennylane.operation import Operator
from pennylane.ops import Conditional
from pennylane.queuing import QueuingManager
from pennylane.tape import QuantumScript

from qfw.formats.pennylane_gates import RULES, is_native, kind_of, standard_order
from qfw.formats.pennylane_unitaries import decomposition
from qfw.model.errors import ParameterError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import IfElse, Measure, Operation, Program, Reset, check_parameters, slot

#: Operations within operations, by their decompositions; and operations in all.
MAX_DEPTH, MAX_OPERATIONS = 100, 2_000_000
#: Measurements that one condition may depend on.
MAX_CONDITION_BITS = 10
#: Since 0.45 a measurement in the middle is an operation of a class of its own.
_MEASUREMENTS: tuple[type, ...] = tuple(
    kind for kind in (MidMeasureMP, getattr(qml.ops, "MidMeasure", None)) if kind is not None
)


def loads(circuit: Any, *arguments: Any, **named: Any) -> Program:
    """The Program of a circuit; its numbers are constants. See `with_slots`.

    Raises:
        ParameterError: a number has several values (broadcasting); `with_slots` gives these.
    """
    program, parameters = with_slots(circuit, *arguments, **named)
    if len(parameters) != 1:
        raise ParameterError(
            f"the circuit's arguments are broadcast to {len(parameters)} sets, which no constant can be; take "
            "Program.slots_from_pennylane, and run the program with its parameters"
        )
    return program.bound(parameters[0])


def with_slots(circuit: Any, *arguments: Any, **named: Any) -> tuple[Program, npt.NDArray[np.float64]]:
    """The Program of a circuit with a slot for every number of its gates, and these numbers.

    Args:
        circuit: a QNode, a function that queues operations, or a QuantumScript.
        arguments: what a QNode or function is called with; `named` likewise.

    Returns:
        The program; its parameters, shape (sets, slots), radians.

    Raises:
        ProgramError: it is no circuit, or its function fails.
        UnsupportedFeature: an operation without a decomposition into gates; postselection; a condition on more than
            MAX_CONDITION_BITS measurements. Which.
    """
    tape = _tape(circuit, arguments, named)
    wires = _order(circuit, tape)
    reading = _Reading({wire: len(wires) - 1 - index for index, wire in enumerate(wires)})
    operations = tuple(reading.block(tape.operations, 0))
    program = Program(max(len(wires), 1), reading.clbits, len(reading.numbers), operations)
    program.check()
    return program, check_parameters(_sets(reading.numbers), program.num_slots)


def _tape(circuit: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> QuantumScript:
    if isinstance(circuit, QuantumScript):
        if arguments or named:
            raise ProgramError("a tape takes no arguments; its numbers are in it")
        return circuit
    try:
        with QueuingManager.stop_recording():
            if isinstance(circuit, qml.QNode):
                return qml.workflow.construct_tape(circuit, level="user")(*arguments, **named)
            if callable(circuit):
                return qml.tape.make_qscript(circuit)(*arguments, **named)
    except Exception as error:
        raise ProgramError(
            f"the circuit could not be built with {len(arguments) + len(named)} arguments: "
            f"{type(error).__name__}: {error}"
        ) from error
    raise ProgramError(f"from_pennylane takes a QNode, a function or a QuantumScript, not {circuit!r}")


def _order(circuit: Any, tape: QuantumScript) -> tuple[Hashable, ...]:
    """The wires, the most significant first: those of a QNode's device, where it names them; else those in use."""
    named = circuit.device.wires if isinstance(circuit, qml.QNode) else None
    if not named:
        return standard_order(tape)
    missing = [wire for wire in tape.wires if wire not in named]
    if missing:
        raise ProgramError(
            f"the circuit uses wire {missing[0]!r}, which its device does not have: {named.tolist()}"
        )
    return tuple(named.labels)


class _Reading:
    """Operations of a tape on their way to a Program."""

    def __init__(self, qubits: Mapping[Hashable, int]) -> None:
        self._qubits = qubits
        #: Of each slot, as PennyLane has it.
        self.numbers: list[Any] = []
        #: Measurements so far, and the classical bit of each.
        self.clbits = 0
        self._clbit: dict[Hashable, int] = {}
        self._count = 0

    def block(self, operations: Iterable[Operator], depth: int) -> Iterator[Operation]:
        """These operations, in order."""
        for operation in operations:
            self._count += 1
            if self._count > MAX_OPERATIONS:
                raise TooLarge(f"the circuit has more than {MAX_OPERATIONS} operations in gates. Cut it")
            if isinstance(operation, _MEASUREMENTS):
                yield from self._measured(operation)
            elif isinstance(operation, Conditional):
                yield from self._conditional(operation, depth)
            elif is_native(operation):
                yield from self._native(operation)
            else:
                yield from self.block(_decomposed(operation, depth), depth + 1)

    def _native(self, operation: Operator) -> Iterable[Operation]:
        first = len(self.numbers)
        self.numbers += operation.data
        slots = tuple(slot(first + index) for index in range(len(operation.data)))
        return RULES[kind_of(operation)].emit(tuple(self._qubits[wire] for wire in operation.wires), slots)

    def _measured(self, operation: Any) -> Iterator[Operation]:
        if operation.postselect is not None:
            raise UnsupportedFeature(
                f"qml.measure(postselect={operation.postselect}): runs are not selected by what they measure; ask for "
                "counts and select among them"
            )
        qubit, clbit = self._qubits[operation.wires[0]], self.clbits
        self.clbits += 1
        self._clbit[_identity(operation)] = clbit
        yield Measure(qubit, clbit)
        if operation.reset:
            yield Reset(qubit)

    def _conditional(self, operation: Conditional, depth: int) -> Iterator[Operation]:
        value = operation.meas_val
        clbits = tuple(self._clbit[_identity(measurement)] for measurement in value.measurements)
        if len(clbits) > MAX_CONDITION_BITS:
            raise UnsupportedFeature(
                f"{operation.base.name} under a condition on {len(clbits)} measurements; at most {MAX_CONDITION_BITS} "
                "are read"
            )
        then = tuple(self.block((operation.base,), depth + 1))
        for bits, chosen in _cases(value):
            if chosen:
                number = sum(bit << place for place, bit in enumerate(bits))
                yield IfElse(clbits, number, then)


def _identity(measurement: Any) -> Hashable:
    """What tells one measurement from another on the same wire."""
    found: Hashable = getattr(measurement, "meas_uid", None) or measurement.id
    return found


def _cases(value: Any) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Of a measurement value: the outcomes of its measurements, and whether it is true with these."""
    items = value.items() if hasattr(value, "items") else value._items()
    for bits, found in items:
        yield tuple(int(bit) for bit in bits), bool(found)


def _decomposed(operation: Operator, depth: int) -> Sequence[Operator]:
    name = operation.name
    if depth >= MAX_DEPTH:
        raise UnsupportedFeature(f"{name} is more than {MAX_DEPTH} decompositions away from gates")
    try:
        with QueuingManager.stop_recording():
            return decomposition(operation)
    except (DecompositionUndefinedError, DeviceError) as error:
        raise UnsupportedFeature(
            f"{name} on wires {operation.wires.tolist()} has no decomposition into gates {error}".rstrip()
        ) from error


def _sets(numbers: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Shape (sets, slots): numbers that are not broadcast are the same in each set."""
    values = [np.asarray(qml.math.unwrap([number])[0], dtype=np.float64) for number in numbers]
    sizes = {value.size for value in values if value.ndim}
    if len(sizes) > 1:
        raise ParameterError(f"arguments are broadcast to different numbers of sets: {sorted(sizes)}")
    sets = sizes.pop() if sizes else 1
    if not values:
        return np.empty((1, 0))
    return np.stack([np.broadcast_to(value.reshape(-1), (sets,)) for value in values], axis=1)
