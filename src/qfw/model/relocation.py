"""Relocation: what is asked of a program, in terms of the program that tools made of it."""

from __future__ import annotations

from typing import NamedTuple

from qfw.model.errors import ProgramError, UnsupportedFeature
from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.outputs import Counts, Expectation, Memory, Output, Probabilities
from qfw.model.program import Program


class Relocation(NamedTuple):
    """Where a program's qubits are in the program that was made of it."""

    program: Program
    lowered: Program
    #: Place of each qubit at the end; None: where it was.
    layout: tuple[int, ...] | None

    def check(self) -> None:
        """Raises ProgramError unless one may stand for the other: slots, classical bits, places."""
        program, lowered = self.program, self.lowered
        if lowered.num_slots != program.num_slots:
            raise ProgramError(
                f"the lowered program has {lowered.num_slots} slots; {program.num_slots} were to be kept"
            )
        if program.has_measurements and lowered.num_bits != program.num_bits:
            raise ProgramError(
                f"the lowered program measures {lowered.num_bits} bits; {program.num_bits} were to be kept"
            )
        places = range(program.num_qubits) if self.layout is None else self.layout
        inside = all(0 <= place < lowered.num_qubits for place in places)
        if len(places) != program.num_qubits or len(set(places)) != len(places) or not inside:
            raise ProgramError(
                f"the layout gives {len(places)} places for {program.num_qubits} qubits in a register of "
                f"{lowered.num_qubits}, or two the same"
            )

    def outputs(self, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        """What is asked of `program`, as it is asked of `lowered`.

        Observables and probabilities follow their qubits. Counts and memory follow the classical bits.

        Raises:
            ProgramError: an output names a qubit that the program does not have.
            UnsupportedFeature: a statevector, or counts of a program that measures nothing, where qubits moved or
                the register grew.
        """
        return tuple(map(self._output, outputs))

    @property
    def moves(self) -> bool:
        """Whether a qubit is elsewhere, or the register is another one."""
        num_qubits = self.program.num_qubits
        return num_qubits != self.lowered.num_qubits or self.layout not in (None, tuple(range(num_qubits)))

    def _output(self, output: Output) -> Output:
        match output:
            case Expectation():
                return Expectation(tuple(map(self._observable, output.observables)))
            case Probabilities():
                if not output.qubits and not self.moves:
                    return output
                qubits = output.qubits or tuple(range(self.program.num_qubits))
                if not all(0 <= qubit < self.program.num_qubits for qubit in qubits):
                    raise ProgramError(
                        f"probabilities of {output.qubits}: the program has {self.program.num_qubits} qubits"
                    )
                return Probabilities(tuple(map(self._place, qubits)))
            case Counts() | Memory() if self.program.has_measurements or not self.moves:
                return output
            case Counts() | Memory():
                raise UnsupportedFeature(
                    "the program measures nothing, and the pipeline gives its qubits other places: measure the qubits "
                    "whose counts are wanted, into classical bits"
                )
        if self.moves:
            raise UnsupportedFeature(
                f"the pipeline gives the program's {self.program.num_qubits} qubits places in a register of "
                f"{self.lowered.num_qubits}, so its statevector is not the program's. Ask for probabilities or "
                "expectation values, or run it without the pipeline"
            )
        return output

    def _observable(self, observable: PauliSum) -> PauliSum:
        observable.check(self.program.num_qubits)
        return PauliSum(
            tuple(
                PauliTerm(term.coefficient, tuple(map(self._place, term.qubits)), term.paulis)
                for term in observable.terms
            )
        )

    def _place(self, qubit: int) -> int:
        return qubit if self.layout is None else self.layout[qubit]
