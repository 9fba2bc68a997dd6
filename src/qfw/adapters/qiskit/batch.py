"""The circuits of one call as tasks: those that differ in numbers only are sets of one program."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from qfw.adapters.qiskit.binding import values_of
from qfw.adapters.qiskit.lowering import lower
from qfw.adapters.qiskit.tasks import Sets, Task, Tasks
from qfw.model.errors import ParameterError, ProgramError, QFwError
from qfw.model.outputs import Counts, Memory, Output, Statevector, answer_bytes

_COUNTS: tuple[Output, ...] = (Counts(),)
_MEMORY: tuple[Output, ...] = (Counts(), Memory())
_STATE: tuple[Output, ...] = (Statevector(),)


class Part:
    """One circuit of a call, and where its results are."""

    __slots__ = ("error", "header", "where")

    def __init__(self, circuit: QuantumCircuit) -> None:
        """Not lowered yet."""
        #: As Qiskit's results have it.
        self.header = header_of(circuit)
        #: Its sets, in order; none where it cannot run.
        self.where: list[Sets] = []
        #: Why it cannot run.
        self.error: QFwError | None = None


class Batch:
    """The circuits of one call."""

    def __init__(self) -> None:
        """Empty."""
        self.parts: list[Part] = []
        self._tasks = Tasks()

    @property
    def tasks(self) -> list[Task]:
        """What is to be submitted for all of them."""
        return self._tasks.tasks

    @property
    def answer_bytes(self) -> int:
        """Upper bound of the size of all their answers."""
        return sum(
            answer_bytes(output, task.program, task.sets, task.shots or 0)
            for task in self.tasks
            for output in task.outputs
        )

    def add(self, circuit: QuantumCircuit, values: Any, shots: int | None, memory: bool) -> None:
        """Adds a circuit; what is wrong with it is its part's error.

        Args:
            circuit: what to run.
            values: of its parameters, as `binding.values_of` takes them.
            shots: None for its state.
            memory: whether the bits of each shot are wanted.
        """
        part = Part(circuit)
        self.parts.append(part)
        try:
            lowered = lower(circuit)
            program = lowered.program
            if shots is not None and not program.has_measurements:
                raise ProgramError(
                    f"circuit {circuit.name!r} measures nothing, so there is nothing to count: add measure_all(), or "
                    "ask for its state with shots=None"
                )
            rows = lowered.literals
            if rows is None or values is not None:
                rows = lowered.bind(values_of(circuit, lowered.parameters, values))
            if not len(rows) and rows.ndim == 2:
                raise ParameterError(
                    f"the values for circuit {circuit.name!r} hold no set: give at least one for each parameter"
                )
        except QFwError as error:
            part.error = error
            return
        outputs = _STATE if shots is None else _MEMORY if memory else _COUNTS
        part.where = self._tasks.add(program, shots or 0, outputs, np.atleast_2d(rows))


def header_of(circuit: QuantumCircuit) -> dict[str, Any]:
    """What Qiskit's results say of a circuit.

    Its registers are there where they are its classical bits in order; else bit strings are not cut into
    registers, and have a character for every bit.
    """
    clbits, registers = circuit.clbits, circuit.cregs
    if len(registers) == 1:
        in_order = list(registers[0]) == clbits
    else:
        in_order = [bit for register in registers for bit in register] == clbits
    return {
        "name": circuit.name,
        "n_qubits": circuit.num_qubits,
        "memory_slots": len(clbits),
        "creg_sizes": [[register.name, register.size] for register in registers] if in_order else [],
        "qreg_sizes": [[register.name, register.size] for register in circuit.qregs],
        "metadata": circuit.metadata,
    }
