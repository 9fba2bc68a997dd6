"""The circuits of one call as tasks: those of one structure are the sets of one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit

from qfw.adapters.qiskit.binding import values_of
from qfw.adapters.qiskit.lowering import lower
from qfw.model.errors import ProgramError, QFwError, TaskCancelled
from qfw.model.outputs import Counts, Memory, Output, Statevector
from qfw.model.program import Program
from qfw.model.result import Result
from qfw.qpi import Request
from qfw.qpi.future import TaskFuture

_COUNTS: tuple[Output, ...] = (Counts(),)
_MEMORY: tuple[Output, ...] = (Counts(), Memory())
_STATE: tuple[Output, ...] = (Statevector(),)


class Task:
    """Circuits of one structure; what became of them."""

    def __init__(self, program: Program, shots: int | None, outputs: tuple[Output, ...]) -> None:
        """Without sets yet; `shots` is None for exact answers."""
        self.program = program
        self.shots = shots
        self.outputs = outputs
        self.sets = 0
        #: Once submitted.
        self.future: TaskFuture | None = None
        #: Why it was not submitted.
        self.error: QFwError | None = None
        self._rows: list[npt.NDArray[np.float64]] = []

    def add(self, rows: npt.NDArray[np.float64]) -> int:
        """Adds sets of values, shape (sets, slots) or (slots,); returns the number of the first."""
        first = self.sets
        self._rows.append(rows)
        self.sets += len(rows) if rows.ndim == 2 else 1
        return first

    def request(self, seed: int | None, began_ns: int) -> Request:
        """What is submitted."""
        parameters = self._rows[0] if len(self._rows) == 1 else np.vstack(self._rows)
        self._rows = [parameters]
        return Request(self.program, parameters, self.shots, self.outputs, seed, began_ns=began_ns)

    def outcome(self) -> Result | QFwError:
        """The result, or why there is none. Waits."""
        if self.future is None:
            assert self.error is not None
            return self.error
        try:
            return self.future.result()
        except CancelledError:
            return TaskCancelled(f"task {self.future.name} was cancelled before it was answered")
        except QFwError as error:
            return error


class Part:
    """One circuit of a call, and where its results are."""

    __slots__ = ("error", "first", "header", "sets", "task")

    def __init__(self, circuit: QuantumCircuit) -> None:
        """Not lowered yet."""
        #: As Qiskit's results have it.
        self.header = header_of(circuit)
        self.task: Task | None = None
        #: Its sets in the task: the first, and how many.
        self.first = 0
        self.sets = 1
        #: Why it cannot run.
        self.error: QFwError | None = None


class Batch:
    """The circuits of one call."""

    def __init__(self) -> None:
        """Empty."""
        self.parts: list[Part] = []
        self.tasks: list[Task] = []
        self._by_program: dict[int, Task] = {}

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
        except QFwError as error:
            part.error = error
            return
        task = self._by_program.get(id(program))
        if task is None:
            outputs = _STATE if shots is None else _MEMORY if memory else _COUNTS
            task = self._by_program[id(program)] = Task(program, shots, outputs)
            self.tasks.append(task)
        part.task, part.first = task, task.add(rows)
        part.sets = task.sets - part.first


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


def outcomes(tasks: Sequence[Task]) -> dict[int, Result | QFwError]:
    """What became of each task, by its id(). Waits for all."""
    return {id(task): task.outcome() for task in tasks}
