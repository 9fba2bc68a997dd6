"""Program: what is to be run, in QFw's normal form.

A Program is a flat list of typed operations with nested blocks where there is
classical control. Numbers in it are constants or affine functions of *slots*; slots
are filled by `parameters`, shape (sets, slots), float64, radians. Two programs that
differ only in the values of their slots are one structure and have one digest.

Bit order: qubit 0 is the rightmost character of a bit string and the least
significant bit of a statevector's index.
"""

from __future__ import annotations

import hashlib
import numbers
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Union

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.decoding import decoder
from qfw.model.errors import ParameterError, ProgramError
from qfw.model.gates import GATES

#: Nothing that QFw runs is larger; keeps sums of sizes far from overflow.
MAX_QUBITS = 1_000_000
MAX_NESTING = 32
#: Most loops end long before their bound: for estimates.
EXPECTED_TRIPS = 8
#: Nanoseconds of one delay: eleven days.
MAX_DELAY_NS = 10**15
#: Radians, and coefficients of slots: products of what is within it, and sums of these, stay finite.
MAX_ANGLE = 1e150


# Operations hold numbers, names and operations made before them, so no cycle comes of them: the garbage collector need
# not go through the many that a program has.


class Affine(msgspec.Struct, frozen=True, array_like=True, tag="a", gc=False):
    """An angle that depends on slots: offset + Σ coefficient · slot."""

    #: Pairs (slot, coefficient).
    terms: tuple[tuple[int, float], ...]
    #: Radians.
    offset: float = 0.0


#: A constant in radians, or an affine function of slots.
Angle = Union[float, Affine]  # noqa: UP007 - msgspec resolves it at run time on every supported Python


def slot(index: int, coefficient: float = 1.0, offset: float = 0.0) -> Affine:
    """The angle coefficient · slot[index] + offset."""
    return Affine(((index, coefficient),), offset)


class Gate(msgspec.Struct, frozen=True, array_like=True, tag="g", gc=False):
    """A unitary gate of `qfw.model.gates`; a control comes before its target."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()


class Measure(msgspec.Struct, frozen=True, array_like=True, tag="m", gc=False):
    """Measurement of a qubit in the computational basis into a classical bit."""

    qubit: int
    clbit: int


class Reset(msgspec.Struct, frozen=True, array_like=True, tag="r", gc=False):
    """Return of a qubit to |0>."""

    qubit: int


class Barrier(msgspec.Struct, frozen=True, array_like=True, tag="b", gc=False):
    """Nothing may be moved across; no effect on the state."""

    qubits: tuple[int, ...]


class Delay(msgspec.Struct, frozen=True, array_like=True, tag="d", gc=False):
    """A qubit is left alone for a time; where time does nothing to it, no effect."""

    qubit: int
    duration_ns: int


class IfElse(msgspec.Struct, frozen=True, array_like=True, tag="i", gc=False):
    """`then` where the classical bits, first one least significant, equal `value`; else `otherwise`."""

    clbits: tuple[int, ...]
    value: int
    then: tuple[Operation, ...]
    otherwise: tuple[Operation, ...] = ()


class While(msgspec.Struct, frozen=True, array_like=True, tag="w", gc=False):
    """`body` as long as the classical bits equal `value`, at most `max_trips` times.

    After `max_trips` trips the program goes on behind the loop, whatever the bits are.
    """

    clbits: tuple[int, ...]
    value: int
    body: tuple[Operation, ...]
    max_trips: int


Operation = Union[Gate, Measure, Reset, Barrier, Delay, IfElse, While]  # noqa: UP007 - as above


class AngleTable(msgspec.Struct, frozen=True):
    """All angles of a program as one affine map: angles = parameters @ matrix.T + offsets."""

    #: Shape (angles, slots); angles in the order of the operations.
    matrix: npt.NDArray[np.float64]
    #: Shape (angles,), radians.
    offsets: npt.NDArray[np.float64]

    def bind(self, parameters: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Angles of every set: shape (sets, angles), radians."""
        return parameters @ self.matrix.T + self.offsets


class Program(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """What is to be run. Build with the constructor, which checks nothing; `check()` does."""

    num_qubits: int
    num_clbits: int
    num_slots: int
    operations: tuple[Operation, ...]

    @cached_property
    def encoded(self) -> bytes:
        """The canonical bytes (MessagePack) that the digest is taken of and the wire carries."""
        return self.canonical().encoded

    @cached_property
    def digest(self) -> bytes:
        """BLAKE2b-256 of the structure: equal for programs that differ in slot values only."""
        return hashlib.blake2b(self.encoded, digest_size=32).digest()

    @cached_property
    def angle_table(self) -> AngleTable:
        """The affine map from slots to the angles of all gates, in order."""
        angles = [angle for gate in self.gates() for angle in gate.angles]
        matrix = np.zeros((len(angles), self.num_slots))
        offsets = np.zeros(len(angles))
        for row, angle in enumerate(angles):
            if isinstance(angle, Affine):
                offsets[row] = angle.offset
                for column, coefficient in angle.terms:
                    matrix[row, column] += coefficient
            else:
                offsets[row] = angle
        return AngleTable(matrix, offsets)

    @cached_property
    def has_control(self) -> bool:
        """Whether the program needs more than gates and measurements at its end.

        A qubit may be measured twice there: the second time gives the same.
        """
        measured: set[int] = set()
        for op in self.operations:
            match op:
                case Gate():
                    if measured and not measured.isdisjoint(op.qubits):
                        return True
                case Measure():
                    measured.add(op.qubit)
                case Reset() | IfElse() | While():
                    return True
        return False

    @cached_property
    def terminal_measurements(self) -> tuple[tuple[int, int], ...]:
        """Pairs (qubit, clbit); of several for one clbit the last counts.

        Without any Measure: every qubit into the clbit of its number.
        """
        pairs = tuple((op.qubit, op.clbit) for op in self.operations if isinstance(op, Measure))
        return pairs or tuple((q, q) for q in range(self.num_qubits))

    @cached_property
    def num_angles(self) -> int:
        """Angles of all gates, constants included."""
        return sum(len(gate.angles) for gate in self.gates())

    @cached_property
    def num_bits(self) -> int:
        """Length of the bit strings that counts and memory have."""
        return self.num_clbits if self.has_measurements else self.num_qubits

    @cached_property
    def has_measurements(self) -> bool:
        """Whether anything is measured, in nested blocks too."""
        return _measures(self.operations)

    @cached_property
    def expected_steps(self) -> int:
        """Operations that a run may well go through: of branches the longer one, of loops a few trips."""
        return _steps(self.operations)

    def canonical(self) -> Program:
        """The program as it is read of its canonical bytes: what `decode` gives, unchecked.

        Raises:
            ProgramError: it holds what is no number.
        """
        try:
            # An int where an angle belongs comes back as the float that it is.
            found = _read(_ENCODER.encode(self))
            found.__dict__["encoded"] = _ENCODER.encode(found)
        except (TypeError, OverflowError) as error:
            raise ProgramError(f"qubits are int and angles float in a program: {error}") from error
        return found

    def gates(self) -> Iterator[Gate]:
        """All gates in order, those of nested blocks included."""
        yield from _gates(self.operations)

    def check(self) -> None:
        """Raises ProgramError unless the program is well formed.

        Checked: gate names and arities, indices, distinct qubits, slots, finite constants, nesting.
        """
        if not 0 < self.num_qubits <= MAX_QUBITS:
            raise ProgramError(f"a program has 1 to {MAX_QUBITS} qubits; this one declares {self.num_qubits}")
        if not (0 <= self.num_clbits <= MAX_QUBITS and 0 <= self.num_slots <= 10_000_000):
            raise ProgramError(
                f"{self.num_clbits} classical bits and {self.num_slots} slots are out of range"
            )
        _check(self.operations, self, 0)

    def bound(self, parameters: npt.ArrayLike) -> Program:
        """The program with its slots replaced by one set of values; shape (slots,), radians."""
        values = check_parameters(np.atleast_2d(np.asarray(parameters, dtype=np.float64)), self.num_slots)
        angles = iter(self.angle_table.bind(values[:1])[0].tolist())
        return Program(self.num_qubits, self.num_clbits, 0, tuple(_bind(self.operations, angles)))

    @staticmethod
    def decode(encoded: bytes) -> Program:
        """The checked program of its canonical bytes.

        Raises:
            ProgramError: the bytes are no program, or not a well-formed one.
        """
        program = _read(encoded)
        program.check()
        program.__dict__["encoded"] = _ENCODER.encode(program)
        return program


def check_parameters(parameters: npt.ArrayLike, num_slots: int) -> npt.NDArray[np.float64]:
    """`parameters` as float64 of shape (sets, slots), checked.

    One set may be given flat, shape (slots,).

    Raises:
        ParameterError: wrong shape, not numbers, NaN or infinite.
    """
    try:
        if np.iscomplexobj(parameters):
            raise TypeError("complex numbers were given")
        values = np.ascontiguousarray(parameters, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"parameters must be real numbers of shape (sets, {num_slots}): {error}"
        ) from error
    if values.ndim == 1 and (values.size == num_slots):
        values = values.reshape(1, num_slots)
    if values.ndim != 2 or values.shape[1] != num_slots:
        raise ParameterError(
            f"the program has {num_slots} parameter slots; parameters of shape {values.shape} were given, "
            f"({num_slots},) or (sets, {num_slots}) are needed"
        )
    if values.shape[0] == 0:
        raise ParameterError("parameters hold no set: give at least one row")
    if not all_angles(values):
        row, column = np.argwhere(~(np.abs(values) <= MAX_ANGLE))[0]
        raise ParameterError(
            f"parameters[{row}, {column}] is {values[row, column]}; angles must be finite, and at most 1e150"
        )
    return values


def all_angles(values: npt.NDArray[np.float64]) -> bool:
    """Whether every element of a float64 array may be an angle: not NaN, and within MAX_ANGLE."""
    if values.size < 64:
        # A ufunc and its reduction cost more than a few floats do.
        return all(-MAX_ANGLE <= value <= MAX_ANGLE for value in values.ravel().tolist())
    return bool((np.abs(values) <= MAX_ANGLE).all())


def _gates(operations: Iterable[Operation]) -> Iterator[Gate]:
    for op in operations:
        match op:
            case Gate():
                yield op
            case IfElse():
                yield from _gates(op.then)
                yield from _gates(op.otherwise)
            case While():
                yield from _gates(op.body)


def _measures(operations: Iterable[Operation]) -> bool:
    for op in operations:
        match op:
            case Measure():
                return True
            case IfElse():
                if _measures(op.then) or _measures(op.otherwise):
                    return True
            case While():
                if _measures(op.body):
                    return True
    return False


def _steps(operations: tuple[Operation, ...]) -> int:
    total = len(operations)
    for op in operations:
        if isinstance(op, IfElse):
            total += max(_steps(op.then), _steps(op.otherwise))
        elif isinstance(op, While):
            total += min(op.max_trips, EXPECTED_TRIPS) * _steps(op.body)
    return total


def _bind(operations: Iterable[Operation], angles: Iterator[float]) -> Iterator[Operation]:
    for op in operations:
        match op:
            case Gate():
                yield Gate(op.name, op.qubits, tuple(next(angles) for _ in op.angles)) if op.angles else op
            case IfElse():
                then = tuple(_bind(op.then, angles))
                yield IfElse(op.clbits, op.value, then, tuple(_bind(op.otherwise, angles)))
            case While():
                yield While(op.clbits, op.value, tuple(_bind(op.body, angles)), op.max_trips)
            case _:
                yield op


def _check(operations: tuple[Operation, ...], program: Program, depth: int) -> None:
    if depth > MAX_NESTING:
        raise ProgramError(f"blocks are nested deeper than {MAX_NESTING}")
    for position, op in enumerate(operations):
        match op:
            case Gate():
                if not _is_plain(op, program):
                    _check_gate(op, program, position)
            case Measure():
                _check_index(op.qubit, program.num_qubits, "qubit", position)
                _check_index(op.clbit, program.num_clbits, "classical bit", position)
            case Reset():
                _check_index(op.qubit, program.num_qubits, "qubit", position)
            case Barrier():
                for qubit in op.qubits:
                    _check_index(qubit, program.num_qubits, "qubit", position)
            case Delay():
                _check_index(op.qubit, program.num_qubits, "qubit", position)
                if not 0 <= op.duration_ns <= MAX_DELAY_NS:
                    raise ProgramError(
                        f"operation {position}: a delay lasts 0 to {MAX_DELAY_NS} ns, not {op.duration_ns}"
                    )
            case IfElse() | While():
                for clbit in op.clbits:
                    _check_index(clbit, program.num_clbits, "classical bit", position)
                if not -(2**63) <= op.value < 2**64:
                    raise ProgramError(
                        f"operation {position}: the value of a condition is written in 64 bits; {op.value} is not. "
                        "Ask more bits by conditions within conditions"
                    )
                if isinstance(op, IfElse):
                    _check(op.then, program, depth + 1)
                    _check(op.otherwise, program, depth + 1)
                else:
                    if not 1 <= op.max_trips < 2**63:
                        raise ProgramError(
                            f"operation {position}: a loop needs max_trips >= 1, below 2**63, not {op.max_trips}"
                        )
                    _check(op.body, program, depth + 1)


def _is_plain(gate: Gate, program: Program) -> bool:
    """Whether a gate is right at first sight, as most are. Of others `_check_gate` says whether, and what is wrong."""
    qubits, angles = gate.qubits, gate.angles
    if _ARITIES.get(gate.name) != (len(qubits), len(angles)):
        return False
    for angle in angles:
        if not isinstance(angle, Affine):
            if not -MAX_ANGLE <= angle <= MAX_ANGLE:
                return False
            continue
        for index, coefficient in angle.terms:
            if not (0 <= index < program.num_slots and -MAX_ANGLE <= coefficient <= MAX_ANGLE):
                return False
        if not -MAX_ANGLE <= angle.offset <= MAX_ANGLE:
            return False
    if len(qubits) == 1:
        return 0 <= qubits[0] < program.num_qubits
    if len(qubits) != 2 or qubits[0] == qubits[1]:
        return False
    return 0 <= qubits[0] < program.num_qubits and 0 <= qubits[1] < program.num_qubits


def _check_gate(gate: Gate, program: Program, position: int) -> None:
    spec = GATES.get(gate.name)
    if spec is None:
        raise ProgramError(
            f"operation {position}: no gate is called {gate.name!r}; known: {', '.join(GATES)}"
        )
    if len(gate.qubits) != spec.num_qubits or len(gate.angles) != spec.num_angles:
        raise ProgramError(
            f"operation {position}: {gate.name} takes {spec.num_qubits} qubits and {spec.num_angles} angles, "
            f"not {len(gate.qubits)} and {len(gate.angles)}"
        )
    if len(set(gate.qubits)) != len(gate.qubits):
        raise ProgramError(f"operation {position}: {gate.name} names a qubit twice: {gate.qubits}")
    for qubit in gate.qubits:
        _check_index(qubit, program.num_qubits, "qubit", position)
    for angle in gate.angles:
        if isinstance(angle, Affine):
            for index, coefficient in angle.terms:
                _check_index(index, program.num_slots, "slot", position)
                _check_finite(coefficient, position)
            _check_finite(angle.offset, position)
        else:
            _check_finite(angle, position)


def _check_index(index: int, size: int, what: str, position: int) -> None:
    if not 0 <= index < size:
        raise ProgramError(f"operation {position}: {what} {index} is outside 0..{size - 1}")


def _check_finite(value: float, position: int) -> None:
    if not -MAX_ANGLE <= value <= MAX_ANGLE:
        raise ParameterError(f"operation {position}: the angle {value} must be finite, and at most 1e150")


def _read(encoded: bytes) -> Program:
    try:
        program: Program = _decode(encoded)
    except msgspec.DecodeError as error:
        raise ProgramError(f"not a program: {error}") from error
    return program


def _plain(value: object) -> object:
    """Numbers of NumPy and the like, as the numbers of Python that they are."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise ProgramError(f"a program is made of numbers and gate names; {value!r} is neither")


#: Qubits and angles of each gate.
_ARITIES = {name: (spec.num_qubits, spec.num_angles) for name, spec in GATES.items()}
_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
_decode = decoder(Program)
