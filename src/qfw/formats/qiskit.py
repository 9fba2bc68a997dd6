"""Qiskit circuits as Programs.

Qubit i and classical bit i of a circuit are qubit i and bit i of its Program.

A circuit with free parameters says what varies: its literals are constants, its
parameters are slots. A circuit without free parameters does not, so every numeric gate
argument is a slot: circuits that differ in numbers only are one Program.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from qiskit.circuit import Parameter, QuantumCircuit

from qfw.formats import qiskit_gates
from qfw.formats.qiskit_parameters import Formula, affine, is_number, number
from qfw.formats.qiskit_walk import Walk
from qfw.formats.remembered import Remembered
from qfw.model.errors import ParameterError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import MAX_ANGLE, MAX_QUBITS, Angle, Program, all_angles, slot

#: Structures that a process remembers.
MAX_STRUCTURES = 4096
#: Operations of all of them together; one takes some 350 bytes.
MAX_REMEMBERED = 2**19

Floats = npt.NDArray[np.float64]


class Lowered:
    """A circuit as a Program, and how values of its parameters become values of the Program's slots."""

    __slots__ = ("_literals", "_structure")

    def __init__(self, structure: Structure, literals: Floats | None) -> None:
        """Made by `lower`."""
        self._structure = structure
        self._literals = literals

    @property
    def program(self) -> Program:
        """The same object for all circuits of one structure, as long as it is remembered."""
        return self._structure.program

    @property
    def literals(self) -> Floats | None:
        """Of a circuit without free parameters: its one set, shape (slots,), radians."""
        return self._literals

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Free parameters of the circuit, in its order."""
        return self._structure.parameters

    @property
    def num_parameters(self) -> int:
        """How many these are."""
        return len(self._structure.parameters)

    def bind(self, values: npt.ArrayLike) -> Floats:
        """Values of the Program's slots, shape (sets, slots), radians; may share memory.

        Args:
            values: shape (sets, num_parameters), in the order of `circuit.parameters`.

        Raises:
            ParameterError: wrong shape; not real, not finite or beyond 1e150, which names the parameter.
        """
        given = _real(values, self.num_parameters)
        if self._literals is not None:
            if len(given) == 1:
                return self._literals.reshape(1, -1)
            return np.broadcast_to(self._literals, (len(given), self._literals.size))
        _check_finite(given, self._structure.parameters)
        formulas = self._structure.formulas
        if not formulas:
            return given
        return np.column_stack([given, *(formula.values(given) for formula in formulas)])


class Structure(NamedTuple):
    """A circuit without its numbers."""

    program: Program
    #: The free ones, in the circuit's order.
    parameters: tuple[Parameter, ...] = ()
    #: Of the slots behind those of the parameters: what is not affine in these.
    formulas: tuple[Formula, ...] = ()


def lower(circuit: QuantumCircuit) -> Lowered:
    """The Program of a circuit. Of a structure seen before, little more than a walk over its gates.

    Without free parameters the slots are the gates' arguments in the order of the gates; with them, the
    circuit's parameters and then the expressions that are not affine in these.

    Raises:
        UnsupportedFeature: an instruction, condition or variable that a Program cannot say; which and where.
        ParameterError: an argument that is not a finite real number.
        TooLarge: more qubits or operations than a Program holds.
        ProgramError: no qubits; not a circuit.
    """
    if not isinstance(circuit, QuantumCircuit):
        raise ProgramError(f"a QuantumCircuit is needed, not {type(circuit).__name__}: {circuit!r:.80}")
    _check_size(circuit)
    walk = Walk.of(circuit)
    if circuit.num_parameters:
        # A loop's variable may be a parameter outside of the loop too.
        bound = walk.loop_parameters and walk.loop_parameters - _free(walk)
        parameters = tuple([p for p in circuit.parameters if p not in bound])
        if parameters:
            return Lowered(_parametrised(circuit, walk, parameters), None)
    literals = _literals(walk)
    key = (circuit.num_qubits, circuit.num_clbits, tuple(walk.key))
    found = _structures.get(key)
    if found is None:
        slots: list[Angle] = [slot(index) for index in range(len(walk.values))]
        found = Structure(_program(circuit, walk, slots))
        _structures.put(key, found, walk.count)
    return Lowered(found, literals)


def loads(circuit: QuantumCircuit) -> Program:
    """The Program of a circuit with its literals as constants; slots are its free parameters, in order.

    Raises:
        UnsupportedFeature: as `lower`; or an expression that is not affine in the parameters.
        ParameterError, TooLarge, ProgramError: as `lower`.
    """
    lowered = lower(circuit)
    if lowered.literals is not None:
        return lowered.program.bound(lowered.literals)
    if lowered.program.num_slots > lowered.num_parameters:
        raise UnsupportedFeature(
            "an expression of the circuit is not affine in its parameters; bind them, or use qfw.qiskit.Backend, "
            "which evaluates it"
        )
    return lowered.program


def _parametrised(circuit: QuantumCircuit, walk: Walk, parameters: tuple[Parameter, ...]) -> Structure:
    key = (circuit.num_qubits, circuit.num_clbits, tuple(walk.key), tuple(walk.values), parameters)
    found = _structures.get(key)
    if found is None:
        position = {parameter: index for index, parameter in enumerate(parameters)}
        formulas: dict[Any, int] = {}
        angles: list[Angle] = []
        for value in walk.values:
            if is_number(value):
                angles.append(_checked(number(value), value))
                continue
            angle = affine(value, position)
            if angle is None:
                angle = slot(len(parameters) + formulas.setdefault(value, len(formulas)))
            angles.append(angle)
        program = _program(circuit, walk, angles, len(parameters) + len(formulas))
        found = Structure(
            program,
            parameters,
            tuple(Formula(expression, position) for expression in formulas),
        )
        _structures.put(key, found, walk.count)
    return found


def _program(
    circuit: QuantumCircuit, walk: Walk, angles: list[Angle], num_slots: int | None = None
) -> Program:
    operations = qiskit_gates.operations(walk.key, angles)
    slots = len(angles) if num_slots is None else num_slots
    return Program(circuit.num_qubits, circuit.num_clbits, slots, operations)


def _free(walk: Walk) -> set[Parameter]:
    """Parameters that are in some argument."""
    return {p for value in walk.values if not is_number(value) for p in value.parameters}


def _literals(walk: Walk) -> Floats:
    try:
        values = np.array(walk.values, dtype=np.float64)
    except (TypeError, ValueError):
        # Bound expressions, which may be complex.
        values = np.array([_checked(number(value), value) for value in walk.values], dtype=np.float64)
    if not all_angles(values):
        wrong = next(value for value in values.tolist() if not -MAX_ANGLE <= value <= MAX_ANGLE)
        _checked(wrong, wrong)
    return values


def _checked(value: float | None, shown: object) -> float:
    """`value` where it may be an angle."""
    if value is None or not -MAX_ANGLE <= value <= MAX_ANGLE:
        raise ParameterError(
            f"a gate's argument is {shown}; arguments must be real, finite and at most 1e150"
        )
    return value


def _real(values: npt.ArrayLike, count: int) -> Floats:
    try:
        given = np.asarray(values)
        if np.iscomplexobj(given):
            raise TypeError("complex numbers were given")
        given = given.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"parameter values must be real numbers: {error}") from error
    if given.ndim != 2 or given.shape[1] != count:
        raise ParameterError(
            f"the circuit has {count} parameters; values of shape {given.shape} were given, (sets, {count}) "
            "are needed"
        )
    return given


def _check_finite(values: Floats, parameters: tuple[Parameter, ...]) -> None:
    if not all_angles(values):
        row, column = np.argwhere(~(np.abs(values) <= MAX_ANGLE))[0]
        raise ParameterError(
            f"parameter {parameters[column].name!r} of set {row} is {values[row, column]}; values must be finite "
            "and at most 1e150"
        )


def _check_size(circuit: QuantumCircuit) -> None:
    if not circuit.num_qubits:
        raise ProgramError(f"circuit {circuit.name!r} has no qubits; at least one is needed")
    for count, what in ((circuit.num_qubits, "qubits"), (circuit.num_clbits, "classical bits")):
        if count > MAX_QUBITS:
            raise TooLarge(f"circuit {circuit.name!r} has {count} {what}; a program has at most {MAX_QUBITS}")


_structures: Remembered[Structure] = Remembered(MAX_STRUCTURES, MAX_REMEMBERED)

__all__ = ["Lowered", "loads", "lower"]
