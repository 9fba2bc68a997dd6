"""What engines of straight-line programs refuse, and how foreign failures are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from qfw.model.errors import OutOfMemory, UnsupportedFeature
from qfw.model.outputs import Counts, Memory, Output
from qfw.model.program import Gate, IfElse, Measure, Operation, Program, Reset, While


def refuse_control(program: Program, engine: str) -> None:
    """Raises UnsupportedFeature unless the program is gates with measurements at its end.

    The message names the first operation that is neither.
    """
    if not program.has_control:
        return
    measured: set[int] = set()
    for position, op in enumerate(program.operations):
        what = _beyond_straight_line(op, measured)
        if what:
            raise UnsupportedFeature(
                f"operation {position} is {what}; engine {engine} runs gates with measurements at the end "
                "only. Defer measurements to the end, or choose a device with classical control"
            )
        if isinstance(op, Measure):
            measured.add(op.qubit)


def refuse_gates(program: Program, native: frozenset[str], engine: str) -> None:
    """Raises UnsupportedFeature where the program has a gate that is not in `native`."""
    for gate in program.gates():
        if gate.name not in native:
            raise UnsupportedFeature(
                f"engine {engine} has no gate {gate.name!r} (on qubits {gate.qubits}); "
                f"lower the program to its native gates first: {', '.join(sorted(native))}"
            )


def refuse_outputs(outputs: tuple[Output, ...], known: frozenset[str], engine: str) -> None:
    """Raises UnsupportedFeature for an output whose tag is not in `known`."""
    for output in outputs:
        tag = output.__struct_config__.tag
        if tag not in known:
            raise UnsupportedFeature(
                f"engine {engine} does not answer {tag}; it answers: {', '.join(sorted(known)) or 'nothing'}"
            )


def refuse_outputs_of_control(outputs: Sequence[Output], engine: str) -> None:
    """Raises UnsupportedFeature for an output that a program with control has no single state for."""
    for output in outputs:
        if not isinstance(output, (Counts, Memory)):
            tag = output.__struct_config__.tag
            raise UnsupportedFeature(
                f"engine {engine} answers counts and memory of a program with control, not {tag}: its shots "
                "end in different states. Measure into classical bits and ask for counts"
            )


@contextmanager
def memory_errors(engine: str, num_qubits: int, sets: int) -> Iterator[None]:
    """Turns a MemoryError into OutOfMemory that says what was being run."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(
            f"engine {engine} ran out of memory on {num_qubits} qubits and {sets} parameter sets: {error}. "
            "Ask for fewer qubits or fewer sets at once, for expectation values instead of states, "
            "or give the worker more memory"
        ) from error


def _beyond_straight_line(op: Operation, measured: set[int]) -> str:
    match op:
        case Gate():
            known = measured.intersection(op.qubits)
            return f"gate {op.name} on qubit {min(known)}, which was already measured" if known else ""
        case Reset():
            return f"a reset of qubit {op.qubit}"
        case IfElse():
            return "an if-else block"
        case While():
            return "a while loop"
        case _:
            return ""
