"""Declarations, assignments, and the statements of OpenQASM that act on qubits but are no gates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from qfw.formats.formulas import Bits, TooManyTests
from qfw.formats.openqasm_gates import Gates
from qfw.formats.openqasm_reader import Operand, Register
from qfw.formats.operators import Apply, Duration, Value, applied, converted, shown_value
from qfw.model.errors import ParameterError, ParseError, UnsupportedFeature
from qfw.model.program import MAX_DELAY_NS, Affine, Barrier, Delay, Measure, Reset

KINDS = frozenset({"int", "uint", "float", "angle", "bool", "duration", "bit"})


class Statements(Gates, ABC):
    """Reads one statement after another; blocks and calls are its successors' part."""

    #: Slots so far.
    _num_slots = 0
    #: A routine's own name for the bits that it returns, and where its caller wants them.
    _destination: tuple[str, Sequence[int]] | None = None

    def _old_register(self) -> None:
        at = self._at
        is_qubit = self._tokens[at] == "qreg"
        self._only_at_top(at)
        self._at += 2
        self._expect("[")
        size = self._size()
        self._expect("]")
        self._expect(";")
        self._declare(is_qubit, at + 1, size)

    def _new_register(self) -> None:
        at = self._at
        is_qubit = self._tokens[at] == "qubit"
        if is_qubit:
            self._only_at_top(at)
        size = self._type_size()
        name_at = self._at
        self._at += 1
        is_set = not is_qubit and self._tokens[self._at] == "="
        if self._destination is not None and not is_qubit:
            name, bits = self._destination
            if self._tokens[name_at] == name and len(bits) == (size or 1):
                self._bind_register(False, self._new_name(name_at), Register(bits, size is None))
                self._destination = None
                if is_set:
                    self._at = name_at
                    self._assignment()
                else:
                    self._expect(";")
                return
        measured = is_set and (self._tokens[self._at + 1] == "measure" or self._is_call(self._at + 1))
        self._declare(is_qubit, name_at, size, fresh=is_set and not measured)
        if measured:
            self._at = name_at
            self._assignment()
        elif is_set:
            # Bits begin as 0, each once; more a Program cannot say of them.
            self._at += 1
            value = self._value(whole=True)
            if value != 0 or isinstance(value, (Bits, float)) or self._dynamic:
                raise self._error(
                    UnsupportedFeature, name_at, "a bit begins as 0, and then measure may be assigned to it"
                )
            self._expect(";")
        else:
            self._expect(";")

    def _type_size(self) -> int | None:
        self._at += 1
        size = None
        if self._tokens[self._at] == "[":
            self._at += 1
            size = self._size()
            self._expect("]")
        return size

    def _output(self) -> None:
        if self._tokens[self._at + 1] != "bit":
            raise self._error(
                UnsupportedFeature, self._at, "'output': bits are a program's output; remove it"
            )
        self._at += 1
        self._new_register()

    def _input(self) -> None:
        kind_at = self._at + 1
        kind = self._tokens[kind_at]
        self._only_at_top(self._at)
        if kind not in ("float", "angle"):
            raise self._error(
                UnsupportedFeature,
                kind_at,
                f"input of type {self._source.shown(kind_at)}: inputs are float or angle, and become slots",
            )
        self._at += 1
        self._type_size()
        name = self._new_name(self._at)
        self._at += 1
        self._expect(";")
        self._names[name] = Affine(((self._num_slots, 1.0),))
        self._num_slots += 1

    def _const(self) -> None:
        kind_at = self._at + 1
        if self._tokens[kind_at] not in KINDS:
            raise self._error(
                UnsupportedFeature,
                kind_at,
                f"const of type {self._source.shown(kind_at)}: {', '.join(sorted(KINDS))} are read",
            )
        self._at += 1
        at_top = self._hidden is None
        name, value = self._valued(constant=True)
        self._bind(self._names, name, value)
        if at_top:
            self._constants[name] = value

    def _variable(self) -> None:
        """A declaration int, float …, whose value is known while the text is read."""
        kind = self._tokens[self._at]
        start = self._at
        name, value = self._valued(constant=False)
        width = self._tokens[start + 2]
        self._bind_variable(name, kind, int(width) if width.isdecimal() else 0, value)

    def _valued(self, *, constant: bool) -> tuple[str, Value]:
        kind = self._tokens[self._at]
        width = self._type_size() or 0
        name = self._new_name(self._at)
        self._at += 1
        if self._tokens[self._at] == ";" and not constant:
            self._at += 1
            return name, Duration(0.0) if kind == "duration" else converted(
                kind, width, 0, self._source, self._at
            )
        self._expect("=")
        at = self._at
        if self._is_call(at):
            value = self._called(None)
            if value is None:
                raise self._error(ParseError, at, "the subroutine returns no value")
        else:
            value = self._value(whole=kind in ("int", "uint", "bit"))
        self._expect(";")
        return name, converted(kind, width, value, self._source, at)

    def _alias(self) -> None:
        """An alias: let NAME = registers, slices or elements, joined by ++."""
        name_at = self._at + 1
        name = self._new_name(name_at)
        self._at += 2
        self._expect("=")
        is_qubit = self._tokens[self._at] in self._qubits
        what = "qubit" if is_qubit else "classical bit"
        registers = self._qubits if is_qubit else self._clbits
        parts: list[Sequence[int]] = []
        while True:
            operand = self._operand(registers, what)
            parts.append([operand] if isinstance(operand, int) else operand)
            if self._tokens[self._at] != "++":
                break
            self._at += 1
        self._expect(";")
        bits = parts[0]
        if len(parts) > 1:
            # An alias costs memory as operations do.
            self._within += sum(map(len, parts))
            self._check_count(name_at)
            bits = [bit for part in parts for bit in part]
            if len(set(bits)) != len(bits):
                raise self._error(ParseError, name_at, f"{name!r} names a {what} twice")
        if not bits:
            raise self._error(ParseError, name_at, f"{name!r} names no {what}")
        self._bind_register(is_qubit, name, Register(bits, False))

    @abstractmethod
    def _is_call(self, at: int) -> bool:
        """Whether a call of a subroutine begins at a token."""

    @abstractmethod
    def _called(self, target: Sequence[int] | None) -> Value | None:
        """Reads a call; its measured bits are written to `target`, a known value is returned."""

    def _measure(self) -> None:
        at = self._at
        self._at += 1
        qubit = self._operand(self._qubits, "qubit")
        if self._tokens[self._at] == ";":
            raise self._error(
                UnsupportedFeature, at, "measure without a target; give it one: c[0] = measure q[0];"
            )
        self._expect("->")
        clbit = self._operand(self._clbits, "classical bit")
        self._expect(";")
        self._measured(at, qubit, clbit)

    def _assignment(self) -> None:
        at = self._at
        if self._tokens[at] in self._read_only:
            raise self._error(
                UnsupportedFeature,
                at,
                "a parameter is the caller's bit; measure into a bit of the subroutine's own",
            )
        clbit = self._operand(self._clbits, "classical bit")
        self._expect("=")
        if self._is_call(self._at):
            bits = [clbit] if isinstance(clbit, int) else clbit
            value = self._called(bits)
            self._expect(";")
            if value is not None:
                raise self._error(
                    UnsupportedFeature,
                    at,
                    "only measure may be assigned to bits, and subroutines that measure",
                )
            return
        if self._tokens[self._at] != "measure":
            raise self._error(
                UnsupportedFeature,
                self._at,
                "only measure may be assigned to bits; a Program computes nothing with them but conditions",
            )
        self._at += 1
        qubit = self._operand(self._qubits, "qubit")
        self._expect(";")
        self._measured(at, qubit, clbit)

    #: Names of bits that belong to a subroutine's caller.
    _read_only: frozenset[str] = frozenset()

    def _assigned(self, name: str) -> None:
        """Reads an assignment to a variable."""
        at = self._at
        variable = self._variables.get(name)
        if variable is None:
            kind = "an input" if isinstance(self._names[name], Affine) else "a constant"
            raise self._error(ParseError, at, f"{name!r} is {kind}, and keeps its value")
        sign = self._tokens[at + 1]
        if sign == "[":
            raise self._error(
                UnsupportedFeature, at, f"an element of the {variable.kind} {name!r}; assign to a bit"
            )
        if variable.dynamic != self._dynamic:
            raise self._error(
                UnsupportedFeature,
                at,
                f"{name!r} would depend on a measurement: it is assigned to in a block that runs or does not. "
                "Only bits hold what was measured",
            )
        self._at += 2
        value_at = self._at
        if self._is_call(value_at):
            value = self._called(None)
            if value is None:
                raise self._error(ParseError, value_at, "the subroutine returns no value")
        else:
            value = self._value(whole=variable.kind in ("int", "uint"))
        if sign != "=":
            old = self._names[name]
            item = Apply(sign[:-1], at + 1, 0, 2)
            try:
                value = applied(item, [old, value], self._source, 3, variable.kind in ("int", "uint"))  # type: ignore[list-item]
            except (ArithmeticError, ValueError, TooManyTests) as error:
                raise self._error(ParameterError, at + 1, f"no finite value here: {error}") from None
        self._expect(";")
        if (
            isinstance(value, Bits)
            and variable.kind in ("int", "uint")
            and (variable.width or 64) > len(value.clbits)
        ):
            # As long as nothing is measured into them, the bits are the copy.
            self._copies.append((self._names, name, frozenset(value.clbits)))
            self._names[name] = value
            return
        self._names[name] = converted(variable.kind, variable.width, value, self._source, value_at)

    def _forget_copies(self, written: Sequence[int] | None = None) -> None:
        """Variables that stand for bits which are written, or for any, have no value that is known any more."""
        for copy in list(self._copies):
            table, name, bits = copy
            if written is None or not bits.isdisjoint(written):
                table.pop(name, None)
                self._copies.remove(copy)

    def _measured(self, at: int, qubit: Operand, clbit: Operand) -> None:
        qubits = [qubit] if isinstance(qubit, int) else qubit
        clbits = [clbit] if isinstance(clbit, int) else clbit
        if len(qubits) != len(clbits):
            raise self._error(
                ParseError, at, f"{len(qubits)} qubits are measured into {len(clbits)} classical bits"
            )
        if self._copies:
            self._forget_copies(clbits)
        self._operations += map(Measure, qubits, clbits)
        self._check_count(at)

    def _reset(self) -> None:
        at = self._at
        self._at += 1
        operands, _ = self._operands(self._qubits, "qubit")
        self._at += 1
        for operand in operands:
            self._operations += map(Reset, [operand] if isinstance(operand, int) else operand)
        self._check_count(at)

    def _barrier(self) -> None:
        at = self._at
        self._at += 1
        qubits: list[int] = []
        if self._tokens[self._at] == ";":
            qubits += range(self._num_qubits)
        else:
            for operand in self._operands(self._qubits, "qubit", broadcast=False)[0]:
                qubits += [operand] if isinstance(operand, int) else operand
        self._at += 1
        self._within += len(qubits)
        self._check_count(at)
        self._operations.append(Barrier(tuple(qubits)))

    def _delay(self) -> None:
        at = self._at
        self._at += 1
        self._expect("[")
        value_at = self._at
        value = self._value()
        if not isinstance(value, Duration):
            raise self._error(
                ParseError, value_at, f"a delay lasts some time, such as 100ns, not {shown_value(value)}"
            )
        if not 0 <= value.ns <= MAX_DELAY_NS:
            raise self._error(
                ParameterError, value_at, f"a delay lasts 0 to {MAX_DELAY_NS} ns, not {value.ns}"
            )
        self._expect("]")
        qubits: list[int] = []
        if self._tokens[self._at] == ";":
            qubits += range(self._num_qubits)
        else:
            for operand in self._operands(self._qubits, "qubit", broadcast=False)[0]:
                qubits += [operand] if isinstance(operand, int) else operand
        self._at += 1
        if len(qubits) > 1:
            # They wait together.
            self._within += len(qubits)
            self._operations.append(Barrier(tuple(qubits)))
        self._operations += [Delay(qubit, round(value.ns)) for qubit in qubits]
        self._check_count(at)
