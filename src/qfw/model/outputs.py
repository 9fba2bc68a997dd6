"""What a task asks of a run, and the form in which each answer travels.

Sampled answers (counts, memory, expectation values and probabilities with shots) come
from `shots` executions; exact ones (shots = 0) from the state itself. Observables
that commute qubit by qubit share their shots; each further group has `shots` of its own.
"""

from __future__ import annotations

from typing import Union

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.decoding import decoder
from qfw.model.device import MAX_SHOTS
from qfw.model.errors import OptionError, ProgramError, TooLarge
from qfw.model.observable import PauliSum
from qfw.model.program import Program


class Counts(msgspec.Struct, frozen=True, array_like=True, tag="counts"):
    """How often each bit string was measured. Needs shots."""


class Memory(msgspec.Struct, frozen=True, array_like=True, tag="memory"):
    """The bit string of every shot, in order. Needs shots."""


class Expectation(msgspec.Struct, frozen=True, array_like=True, tag="expectation"):
    """Expectation values of observables, with standard errors (0 where exact)."""

    observables: tuple[PauliSum, ...]


class Probabilities(msgspec.Struct, frozen=True, array_like=True, tag="probabilities"):
    """Probability of each basis state of `qubits`; the first qubit is the least significant bit.

    Relative frequencies with shots, exact without. No qubits given means all.
    """

    qubits: tuple[int, ...] = ()


class Statevector(msgspec.Struct, frozen=True, array_like=True, tag="statevector"):
    """The final state, complex128, qubit 0 the least significant bit of the index. Needs shots = 0."""


Output = Union[Counts, Memory, Expectation, Probabilities, Statevector]  # noqa: UP007 - for msgspec


class Array(msgspec.Struct, frozen=True, array_like=True):
    """A NumPy array as it travels: C order, little-endian."""

    dtype: str
    shape: tuple[int, ...]
    #: Of no meaning. Some of it lets `data` begin at a multiple of ALIGNMENT; see `answer_parts`.
    padding: bytes
    data: memoryview

    @staticmethod
    def of(values: npt.NDArray[np.generic]) -> Array:
        """The travelling form of `values`; shares their memory where they are in order already."""
        little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        return Array(little.dtype.str, little.shape, b"", little.data)

    def numpy(self) -> npt.NDArray[np.generic]:
        """The array, read-only, sharing the bytes where these are aligned.

        Raises:
            OptionError: dtype and shape do not fit the bytes.
        """
        if self.dtype not in _DTYPES:
            raise OptionError(f"an array of dtype {self.dtype!r} is not part of the wire")
        try:
            values = np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)
        except ValueError as error:
            raise OptionError(f"array of shape {self.shape}, {self.dtype}: {error}") from error
        flags = values.flags
        if not flags.aligned:
            values = values.copy()
            flags = values.flags
        if flags.writeable:
            flags.writeable = False
        return values


_DTYPES = {"<f8", "<c16", "<u8", "<i8"}


class CountsAnswer(msgspec.Struct, frozen=True, array_like=True, tag="counts"):
    """Outcomes of all sets, one behind the other."""

    num_bits: int
    #: Shape (outcomes, words) uint64: bit i of an outcome is bit i % 64 of word i // 64.
    outcomes: Array
    #: Shape (outcomes,) int64.
    counts: Array
    #: Shape (sets + 1,) int64: outcomes[offsets[k]:offsets[k + 1]] belong to set k.
    offsets: Array


class MemoryAnswer(msgspec.Struct, frozen=True, array_like=True, tag="memory"):
    """Outcomes in the order of the shots."""

    num_bits: int
    #: Shape (sets, shots, words) uint64, as in CountsAnswer.
    outcomes: Array


class ExpectationAnswer(msgspec.Struct, frozen=True, array_like=True, tag="expectation"):
    """Values of the observables asked for."""

    #: Shape (sets, observables) float64.
    values: Array
    #: Shape (sets, observables) float64: standard errors of the mean; 0 where exact.
    standard_errors: Array


class ProbabilitiesAnswer(msgspec.Struct, frozen=True, array_like=True, tag="probabilities"):
    """Shape (sets, 2**qubits) float64."""

    values: Array


class StatevectorAnswer(msgspec.Struct, frozen=True, array_like=True, tag="statevector"):
    """Shape (sets, 2**num_qubits) complex128."""

    values: Array


Answer = Union[  # noqa: UP007 - for msgspec
    CountsAnswer, MemoryAnswer, ExpectationAnswer, ProbabilitiesAnswer, StatevectorAnswer
]

_decode_outputs = decoder(tuple[Output, ...])
_decode_answers = decoder(tuple[Answer, ...])
_ENCODER = msgspec.msgpack.Encoder()


def encode_outputs(outputs: tuple[Output, ...]) -> bytes:
    """Canonical bytes of what is asked. Raises OptionError where it is not made of int, float and str."""
    try:
        return _ENCODER.encode(outputs)
    except (TypeError, OverflowError) as error:
        raise OptionError(f"outputs are made of int, float and str: {error}") from error


def decode_outputs(encoded: bytes) -> tuple[Output, ...]:
    """What is asked, of its bytes. Raises ProgramError where they are none."""
    try:
        outputs: tuple[Output, ...] = _decode_outputs(encoded)
        return outputs
    except msgspec.DecodeError as error:
        raise ProgramError(f"not a list of outputs: {error}") from error


def encode_answers(answers: tuple[Answer, ...]) -> bytes:
    """Bytes of the answers, in the order of the outputs."""
    return _ENCODER.encode(answers)


#: Of the first byte of an array in `answer_parts`: a cache line, and more than any element needs.
ALIGNMENT = 64


def array_bytes(answers: tuple[Answer, ...]) -> int:
    """Bytes of the arrays in the answers."""
    return sum(
        field.data.nbytes
        for answer in answers
        for name in answer.__struct_fields__
        if isinstance(field := getattr(answer, name), Array)
    )


def answer_parts(answers: tuple[Answer, ...]) -> list[bytes | memoryview]:
    """What `decode_answers` reads, in parts to be joined; the arrays are parts, not copied.

    Each array begins at a multiple of ALIGNMENT from the first part's first byte.
    """
    parts: list[bytes | memoryview] = []
    before, head = 0, _array_header(len(answers))
    for answer in answers:
        fields = msgspec.structs.astuple(answer)
        head += _array_header(1 + len(fields)) + _ENCODER.encode(answer.__struct_config__.tag)
        for field in fields:
            if not isinstance(field, Array):
                head += _ENCODER.encode(field)
                continue
            size = field.data.nbytes
            head += _array_header(4) + _ENCODER.encode(field.dtype) + _ENCODER.encode(field.shape)
            # bin 8 around the padding, bin 32 around the data.
            fill = -(before + len(head) + 7) % ALIGNMENT
            head += bytes((0xC4, fill)) + bytes(fill) + b"\xc6" + size.to_bytes(4, "big")
            parts += [head, field.data]
            before += len(head) + size
            head = b""
    return [*parts, head] if head else parts


def _array_header(length: int) -> bytes:
    return bytes((0x90 | length,)) if length < 16 else b"\xdd" + length.to_bytes(4, "big")


def decode_answers(encoded: bytes | memoryview) -> tuple[Answer, ...]:
    """The answers of their bytes. Raises ProgramError where they are none."""
    try:
        answers: tuple[Answer, ...] = _decode_answers(encoded)
        return answers
    except msgspec.DecodeError as error:
        raise ProgramError(f"not a list of answers: {error}") from error


def check_shots(shots: object) -> int:
    """`shots` as an int: 0 (exact) to MAX_SHOTS.

    Raises:
        OptionError: not an integer, or out of range.
    """
    if isinstance(shots, bool) or not isinstance(shots, (int, np.integer)):
        raise OptionError(f"shots must be an integer, not {shots!r}; shots=None gives exact results")
    if not 0 <= shots <= MAX_SHOTS:
        raise OptionError(f"shots must be 1 to {MAX_SHOTS}, not {shots}; shots=None gives exact results")
    return int(shots)


def check_outputs(outputs: tuple[Output, ...], program: Program, sets: int, shots: int) -> None:
    """Raises a ProgramError or OptionError unless the program can answer `outputs` with `shots`."""
    for output in outputs:
        match output:
            case Counts() | Memory():
                if shots == 0:
                    raise OptionError(
                        f"{type(output).__name__.lower()} needs shots >= 1; none were asked for"
                    )
            case Statevector():
                if shots:
                    raise OptionError("a statevector is exact: ask for it without shots")
            case Expectation():
                for observable in output.observables:
                    observable.check(program.num_qubits)
            case Probabilities():
                if len(set(output.qubits)) != len(output.qubits):
                    raise ProgramError(f"probabilities of {output.qubits}: a qubit is named twice")
                if any(not 0 <= qubit < program.num_qubits for qubit in output.qubits):
                    raise ProgramError(
                        f"probabilities of {output.qubits}: the program has {program.num_qubits} qubits"
                    )
    size = sum(answer_bytes(output, program, sets, shots) for output in outputs)
    if size > MAX_ANSWER_BYTES:
        raise TooLarge(
            f"the answer would take up to {size / 2**30:.1f} GiB; at most {MAX_ANSWER_BYTES / 2**30:.1f} GiB travel. "
            f"Ask for fewer sets per task, fewer qubits, or expectation values"
        )


#: Largest answer of a task; it must fit a frame of the wire.
MAX_ANSWER_BYTES = 2**30


def answer_bytes(output: Output, program: Program, sets: int, shots: int) -> int:
    """Upper bound of an answer's size in bytes."""
    words = (max(program.num_bits, 1) + 63) // 64
    match output:
        case Counts():
            states = min(shots, 2 ** min(program.num_bits, 40))
            return int(sets * states * (8 * words + 8) + 8 * (sets + 1))
        case Memory():
            return sets * shots * 8 * words
        case Expectation():
            return sets * 16 * len(output.observables)
        case Probabilities():
            return int(sets * 8 * 2 ** min(len(output.qubits) or program.num_qubits, 60))
        case Statevector():
            return int(sets * 16 * 2 ** min(program.num_qubits, 60))
