"""What following a QIR text has emitted so far, and what is known of its measured bits.

Result r is classical bit r while the text is followed. In the end the bits are numbered
anew: recorded results in the order of their records, then the others that are used.
"""

from __future__ import annotations

from collections.abc import Mapping

from qfw.formats.qir_branches import branch_on, chosen, moved, paths, used
from qfw.formats.qir_layers import Layer
from qfw.formats.qir_module import MAX_BITS, MAX_OPERATIONS, declared
from qfw.formats.qir_text import Label, Pointer, Undefined
from qfw.formats.qir_values import Bit, Choice, Diagrams, bits, conjunction
from qfw.model.errors import ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import Affine, Operation, Program


class Emission:
    """The operations of one entry point, in order, and its bits."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        """`attributes`: of the entry point."""
        self.declared_qubits = declared(attributes, ("required_num_qubits", "num_required_qubits"), "qubits")
        self.declared_results = declared(
            attributes, ("required_num_results", "num_required_results"), "results"
        )
        self.used_qubits = 0
        self.used_results = 0
        self.operations: list[Operation] = []
        self.diagrams = Diagrams()
        #: Result -> number of its last measurement.
        self.versions: Layer[int, int] = Layer()
        self.last_version = 0
        self.records: list[Bit] = []
        self.emitted = 0
        #: Instructions that were followed since the last operation.
        self.idle = 0
        #: Branches on measured bits that are open.
        self.nesting = 0

    def emit(self, operation: Operation) -> None:
        """Appends an operation."""
        self.idle = 0
        self.emitted += 1
        if self.emitted > MAX_OPERATIONS:
            raise TooLarge(
                f"the QIR comes to more than {MAX_OPERATIONS} operations, with loops unrolled and functions entered"
            )
        self.operations.append(operation)

    def emit_choice(
        self, condition: object, then: tuple[Operation, ...], otherwise: tuple[Operation, ...], line: int
    ) -> None:
        """Appends `then` where the condition is 1, and `otherwise` where it is 0."""
        if not then and not otherwise:
            return
        pairs = conjunction(condition)
        if pairs is None:
            negated = self.diagrams.apply(lambda c: 1 - c, condition)
            if (pairs := conjunction(negated)) is not None:
                then, otherwise = otherwise, then
        if pairs is not None:
            self.emit(branch_on(pairs, then, otherwise))
            return
        copies = sum(1 for _ in paths(condition))
        self.emitted += copies * (len(then) + len(otherwise))
        for op in chosen(condition, lambda leaf: then if leaf else otherwise):
            self.emit(op)

    def current(self, value: object, line: int) -> None:
        """Raises UnsupportedFeature where a bit that a value depends on was measured again since it was read."""
        for bit in bits(value):
            if bit.clbit < 0:
                raise UnsupportedFeature(f"line {line}: the count of a loop decides more than its end")
            if self.versions.get(bit.clbit, 0) != bit.version:
                raise UnsupportedFeature(
                    f"line {line}: result {bit.clbit} was measured again since it was read for this condition; "
                    "measure into another result"
                )

    def new_version(self) -> int:
        """The number of one more measurement."""
        self.last_version += 1
        return self.last_version

    def qubit(self, value: object, line: int) -> int:
        """The index of a static qubit."""
        index = self._index(value, "qubit", self.declared_qubits, line)
        self.used_qubits = max(self.used_qubits, index + 1)
        return index

    def result(self, value: object, line: int) -> int:
        """The index of a static result."""
        index = self._index(value, "result", self.declared_results, line)
        self.used_results = max(self.used_results, index + 1)
        return index

    def _index(self, value: object, what: str, declared: int | None, line: int) -> int:
        if not isinstance(value, Pointer):
            raise UnsupportedFeature(f"line {line}: the {what} is not a static one: {_described(value)}")
        limit = declared if declared is not None else MAX_BITS
        if value.number >= limit:
            raise ProgramError(
                f"line {line}: {what} {value.number} is outside 0..{limit - 1}, "
                + (
                    "which the entry point declares"
                    if declared is not None
                    else "which is the most that is read"
                )
            )
        return value.number

    def renumbered(self, num_slots: int) -> Program:
        """The program of all that was emitted, checked."""
        for bit in self.records:
            if self.versions.get(bit.clbit, 0) != bit.version:
                raise UnsupportedFeature(f"result {bit.clbit} is measured again after it was recorded")
        num_qubits = self.declared_qubits if self.declared_qubits is not None else max(self.used_qubits, 1)
        order = [bit.clbit for bit in self.records]
        if order:
            recorded = set(order)
            order += sorted(used(self.operations).difference(recorded))
        else:
            order = list(
                range(self.declared_results if self.declared_results is not None else self.used_results)
            )
        operations = tuple(self.operations)
        if order != list(range(len(order))):
            operations = moved(operations, {result: clbit for clbit, result in enumerate(order)})
        program = Program(num_qubits, len(order), num_slots, operations)
        program.check()
        return program


def _described(value: object) -> str:
    if isinstance(value, Choice):
        return "it depends on measured bits"
    if isinstance(value, Undefined):
        return value.what
    if isinstance(value, Label):
        return f"@{value.name}"
    if isinstance(value, Affine):
        return "an angle"
    return repr(value)
