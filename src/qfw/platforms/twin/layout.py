"""Which qubits of a device a task is about: those that are simulated, those that are read, and those that only answer.

A qubit that nothing acts on and that is only measured stays in |0> and is not simulated: its bit is the error of
its readout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.operations import flat, qubits_of
from qfw.model.outputs import Counts, Expectation, Memory, Output, Probabilities
from qfw.model.program import Delay, Gate, Measure, Operation, Program, Reset


@dataclass(frozen=True)
class Layout:
    """The qubits of one (program, outputs)."""

    program: Program
    #: Qubits that something acts on, rising.
    touched: tuple[int, ...]
    #: Qubits whose bit is wanted of a state, rising. Bit i of an outcome is that of read[i].
    read: tuple[int, ...]
    #: Pairs (qubit, clbit) of the qubits that only answer.
    spectators: tuple[tuple[int, int], ...]
    #: Pairs (qubit, clbit) of the other measurements at the end that count.
    measured: tuple[tuple[int, int], ...]
    #: What was asked, of the qubits' places in `read`.
    outputs: tuple[Output, ...]

    @property
    def active(self) -> tuple[int, ...]:
        """Qubits that a simulation must hold, rising."""
        return tuple(sorted({*self.touched, *self.read}))

    @cached_property
    def reading(self) -> Program:
        """A program on `read` alone, with the measurements that it ends in: what answers are placed by."""
        place = {qubit: index for index, qubit in enumerate(self.read)}
        measures = tuple(Measure(place[qubit], clbit) for qubit, clbit in self.measured)
        return Program(len(self.read), self.program.num_bits if measures else 0, 0, measures)


def lay_out(program: Program, outputs: tuple[Output, ...]) -> Layout:
    """The layout of a program of gates and measurements at its end."""
    touched = touched_by(program.operations)
    observed: set[int] = set()
    for output in outputs:
        if isinstance(output, Expectation):
            observed.update(qubit for o in output.observables for term in o.terms for qubit in term.qubits)
        elif isinstance(output, Probabilities):
            observed.update(output.qubits or range(program.num_qubits))
    pairs: list[tuple[int, int]] = []
    if any(isinstance(output, (Counts, Memory)) for output in outputs):
        # Of several measurements into one classical bit the last counts.
        last = {clbit: qubit for qubit, clbit in program.terminal_measurements}
        pairs = [(qubit, clbit) for clbit, qubit in last.items()]
    live = touched | observed
    if pairs and not any(qubit in live for qubit, _ in pairs) and not observed:
        # Answers are placed by one qubit at least.
        live = live | {pairs[0][0]}
    measured = tuple(pair for pair in pairs if pair[0] in live)
    read = tuple(sorted(observed | {qubit for qubit, _ in measured}))
    place = {qubit: index for index, qubit in enumerate(read)}
    return Layout(
        program,
        tuple(sorted(touched)),
        read,
        tuple(pair for pair in pairs if pair[0] not in live),
        measured,
        tuple(_placed(output, place, program) for output in outputs),
    )


def touched_by(operations: Iterable[Operation]) -> set[int]:
    """Qubits that gates and resets act on, in nested blocks too."""
    return qubits_of(op for op in flat(operations) if isinstance(op, Gate | Reset))


def measured_by(operations: Iterable[Operation]) -> set[int]:
    """Qubits that are measured, in nested blocks too."""
    return {op.qubit for op in flat(operations) if isinstance(op, Measure)}


def delayed_by(operations: Iterable[Operation]) -> set[int]:
    """Qubits that are delayed, in nested blocks too."""
    return {op.qubit for op in flat(operations) if isinstance(op, Delay)}


def _placed(output: Output, place: dict[int, int], program: Program) -> Output:
    match output:
        case Expectation(observables=observables):
            return Expectation(
                tuple(
                    PauliSum(
                        tuple(
                            PauliTerm(term.coefficient, tuple(place[q] for q in term.qubits), term.paulis)
                            for term in observable.terms
                        )
                    )
                    for observable in observables
                )
            )
        case Probabilities(qubits=qubits):
            return Probabilities(tuple(place[q] for q in qubits or range(program.num_qubits)))
        case _:
            return output
