"""Calls of QIR's own functions: gates, measurements, records."""

from __future__ import annotations

from collections.abc import Sequence

from qfw.formats import qir_arithmetic as arithmetic
from qfw.formats import qir_gates as names
from qfw.formats.qir_branches import chosen
from qfw.formats.qir_emission import Emission
from qfw.formats.qir_module import MAX_BITS
from qfw.formats.qir_text import Instruction
from qfw.formats.qir_values import Bit, Choice, same
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Barrier, Gate, Measure, Reset


class Calls(Emission):
    """What they emit."""

    def runtime(self, name: str, given: Sequence[object], instruction: Instruction) -> object:
        """What a function of the runtime gives, its operations emitted."""
        line = instruction.line
        if name in names.WITHOUT_EFFECT:
            return None
        if name == names.BARRIER:
            num_qubits = self.declared_qubits if self.declared_qubits is not None else None
            if given:
                self.emit(Barrier(tuple(self.qubit(value, line) for value in given)))
            elif num_qubits is None:
                raise UnsupportedFeature(f"line {line}: a barrier of all qubits needs required_num_qubits")
            else:
                self.emit(Barrier(tuple(range(num_qubits))))
            return None
        if name in names.MEASURE or name == names.MEASURE_AND_RESET:
            _arity(name, given, 2, line, instruction.result)
            qubit, result = self.qubit(given[0], line), self.result(given[1], line)
            self.emit(Measure(qubit, result))
            self.versions[result] = self.new_version()
            if name == names.MEASURE_AND_RESET:
                self.emit(Reset(qubit))
            return None
        if name == names.RESET:
            _arity(name, given, 1, line)
            self.emit(Reset(self.qubit(given[0], line)))
            return None
        if name in names.READ:
            _arity(name, given, 1, line)
            result = self.result(given[0], line)
            return self.diagrams.bit(Bit(result, self.versions.get(result, 0)))
        if name in (names.RECORD_RESULT, names.RECORD_BOOL):
            self._record(name, given, line)
            return None
        raise UnsupportedFeature(
            f"line {line}: the function {name} is not read; base and adaptive profile are, with the gates "
            f"{', '.join(sorted(gate.removeprefix(names.QIS) for gate in names.GATE_OF))}"
        )

    def _record(self, name: str, given: Sequence[object], line: int) -> None:
        if self.nesting:
            raise UnsupportedFeature(f"line {line}: {name} in a branch on measured bits: record behind it")
        if not given:
            _arity(name, given, 2, line)
        if name == names.RECORD_RESULT:
            result = self.result(given[0], line)
            bit = Bit(result, self.versions.get(result, 0))
        else:
            value = given[0]
            if not (isinstance(value, Choice) and same(value, self.diagrams.bit(value.bit))):
                raise UnsupportedFeature(f"line {line}: {name} of what is not one measured bit")
            self.current(value, line)
            bit = value.bit
        if any(bit.clbit == earlier.clbit for earlier in self.records):
            raise UnsupportedFeature(f"line {line}: result {bit.clbit} is recorded twice")
        self.records.append(bit)
        if len(self.records) > MAX_BITS:
            raise TooLarge(f"more than {MAX_BITS} records")

    def gate(self, gate: str, name: str, given: Sequence[object], line: int) -> None:
        """Emits a gate, of operands that may depend on measured bits."""
        spec = GATES[gate]
        if len(given) != spec.num_angles + spec.num_qubits:
            _arity(name, given, spec.num_angles + spec.num_qubits, line)

        def made(*leaves: object) -> Gate:
            angles = tuple([arithmetic.angle(leaf, line) for leaf in leaves[: spec.num_angles]])
            return Gate(gate, tuple([self.qubit(leaf, line) for leaf in leaves[spec.num_angles :]]), angles)

        if any(isinstance(value, Choice) for value in given):
            made_of = self.diagrams.apply(made, *given)
            self.current(made_of, line)
            for op in chosen(made_of, lambda leaf: (leaf,)):
                self.emit(op)
        else:
            self.emit(made(*given))


def _arity(name: str, given: Sequence[object], needed: int, line: int, result: str | None = None) -> None:
    if len(given) != needed or result is not None:
        raise UnsupportedFeature(
            f"line {line}: {name} is read with {needed} arguments{' and no result' if result else ''}, "
            f"not with {len(given)}: qubits and results are static here"
        )
