"""Program as applications see it: the normal form, and the texts that it is read from and written to."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt

from qfw.formats import openqasm
from qfw.model import program as model
from qfw.model.errors import NotInstalled, QFwError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qfw.formats.qir import Form
    from qfw.formats.qir_writer import Profile


class Program(model.Program, frozen=True):
    """What is to be run. See `qfw.model.program` for its form, slots and bit order."""

    @classmethod
    def from_qasm(cls, text: str) -> Program:
        """The program of an OpenQASM 2 or 3 text.

        Inputs of OpenQASM 3 become slots, in the order of their declarations.

        Raises:
            ParseError: the text cannot be read; says line and column.
            UnsupportedFeature: it uses what a program cannot say; says line and column.
            TooLarge: beyond the limits of `qfw.formats.precheck`.
        """
        return cls.of(openqasm.loads(text))

    @classmethod
    def from_qir(cls, source: str | bytes) -> Program:
        """The program of a QIR module's entry point: a text, or the bytes of bitcode.

        Recorded results are classical bits 0, 1, … in the order of their records, so the first one is the
        rightmost character of a bit string. Double parameters of the entry point become slots.

        Raises:
            ParseError: it cannot be read; says the line.
            UnsupportedFeature: an instruction, function or control flow that a program cannot say; which.
            TooLarge: beyond the limits of `qfw.formats.qir_reader`.
            NotInstalled: bitcode, and pyqir is missing.
        """
        from qfw.formats import qir

        return cls.of(qir.loads(source))

    @classmethod
    def from_qiskit(cls, circuit: QuantumCircuit) -> Program:
        """The program of a Qiskit circuit; qubit i and classical bit i keep their numbers.

        Free parameters become slots, in the order of `circuit.parameters`; all else is constant.

        Raises:
            NotInstalled: Qiskit is missing.
            UnsupportedFeature: an instruction or condition that a program cannot say, or an expression
                that is not affine in the parameters; which.
            ProgramError: what is given is no circuit, or one with wrong numbers.
        """
        try:
            from qfw.formats import qiskit
        except ImportError as error:
            raise _missing(error) from error
        return cls.of(qiskit.loads(circuit))

    @classmethod
    def from_pennylane(cls, circuit: Any, *arguments: Any, **named: Any) -> Program:
        """The program of a PennyLane circuit; its numbers are constants.

        Wire i of n is qubit n-1-i, so that bit strings read alike; the k-th `qml.measure` goes to classical bit k. What
        the circuit returns is not part of the program.

        Args:
            circuit: a QNode, a function that queues operations, or a QuantumScript.
            arguments: what a QNode or function is called with; `named` likewise.

        Raises:
            NotInstalled: PennyLane is missing.
            UnsupportedFeature: what has no decomposition into gates, or postselects; which.
            ProgramError: what is given is no circuit, or fails.
            ParameterError: broadcast arguments: `slots_from_pennylane` takes them.
        """
        return cls.of(_pennylane().loads(circuit, *arguments, **named))

    @classmethod
    def slots_from_pennylane(
        cls, circuit: Any, *arguments: Any, **named: Any
    ) -> tuple[Program, npt.NDArray[np.float64]]:
        """The program of a PennyLane circuit with a slot for every number of its gates; and its parameters.

        Circuits that differ in numbers only are one structure. The parameters have shape (sets, slots), radians; sets
        are more than one where arguments are broadcast. Takes and raises what `from_pennylane` does.
        """
        program, parameters = _pennylane().with_slots(circuit, *arguments, **named)
        return cls.of(program), parameters

    @classmethod
    def of(cls, program: model.Program) -> Program:
        """This class's form of a program of the model."""
        return cls(program.num_qubits, program.num_clbits, program.num_slots, program.operations)

    def bound(self, parameters: npt.ArrayLike) -> Program:
        """The program with its slots replaced by one set of values; shape (slots,), radians.

        Raises:
            ParameterError: wrong number or value of parameters.
        """
        return Program.of(super().bound(parameters))

    def to_qasm(self, version: int = 3) -> str:
        """The program as OpenQASM `version` (2 or 3).

        Raises:
            UnsupportedFeature: that version cannot say it.
        """
        return openqasm.dumps(self, version=version)

    @overload
    def to_qir(self, profile: Profile | None = None, *, form: Literal["text"] = "text") -> str: ...

    @overload
    def to_qir(self, profile: Profile | None = None, *, form: Literal["bitcode"]) -> bytes: ...

    def to_qir(self, profile: Profile | None = None, *, form: Form = "text") -> str | bytes:
        """The program as QIR: base profile where it needs no control, else adaptive, unless one is asked for.

        Qubit i is static qubit i; classical bit i is static result i, recorded as the i-th. Barriers are of
        all qubits, and the global phase is dropped.

        Raises:
            UnsupportedFeature: slots (bind them first), a delay, or what the profile cannot say.
            NotInstalled: bitcode, and pyqir is missing.
            OptionError: no such profile or form.
        """
        from qfw.formats import qir

        return qir.dumps(self, profile, form)

    def __str__(self) -> str:
        """The program as OpenQASM 3, for people."""
        try:
            return self.to_qasm()
        except QFwError:
            # One that is wrong, or that OpenQASM cannot say, has to be looked at as well.
            return repr(self)

    def _repr_html_(self) -> str:
        """Its text for notebooks."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_qiskit(self) -> QuantumCircuit:
        """The program as a Qiskit circuit; qubit i and classical bit i keep their numbers.

        Slot i is the parameter called `s` and the seven digits of i, so that `circuit.parameters` are the slots in
        order. Measurements, resets, barriers, branches and the global phase are kept; a loop with fewer trips than
        `from_qiskit` gives one becomes branches in a row.

        Raises:
            NotInstalled: Qiskit is missing.
            UnsupportedFeature: a loop of many trips: Qiskit's have no bound.
        """
        try:
            from qfw.formats import qiskit_writer
        except ImportError as error:
            raise _missing(error) from error
        return qiskit_writer.dumps(self)

    def to_pennylane(self) -> Callable[..., list[Any]]:
        """The program as a function that queues PennyLane's operations: `circuit(parameters=(), wires=None)`.

        Qubit q is wires[n-1-q]. It returns what is measured, by classical bit, for `qml.counts` and its like; what the
        program does not measure is for the caller to measure.

        Raises:
            NotInstalled: PennyLane is missing.
            UnsupportedFeature: loops; measurements, resets and branches within branches.
        """
        try:
            from qfw.formats import pennylane_writer
        except ImportError as error:
            raise _no_pennylane(error) from error
        return pennylane_writer.dumps(self)


def _pennylane() -> Any:
    try:
        from qfw.formats import pennylane
    except ImportError as error:
        raise _no_pennylane(error) from error
    return pennylane


def _no_pennylane(error: ImportError) -> NotInstalled:
    return NotInstalled(f"PennyLane is not installed ({error}): pip install 'qfw[pennylane]'")


def _missing(error: ImportError) -> NotInstalled:
    return NotInstalled(f"Qiskit is not installed ({error}): pip install 'qfw[qiskit]'")
