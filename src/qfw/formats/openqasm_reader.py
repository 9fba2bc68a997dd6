"""What every statement of OpenQASM is read with: names in scopes, registers, operands and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, NoReturn, Union

from qfw.formats.expansion import Expander
from qfw.formats.expressions import Dialect, Formal, evaluate, read
from qfw.formats.formulas import Bits
from qfw.formats.operators import Value, picked, shown_value
from qfw.formats.precheck import Limits
from qfw.formats.source import Source
from qfw.formats.standard_gates import INCLUDES
from qfw.model.errors import ParameterError, ParseError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import Angle, Operation


class Register(NamedTuple):
    """Qubits or classical bits under one name: declared together, or an alias of some that were."""

    bits: Sequence[int]
    #: Declared without a size: a bare name is one bit, not a register.
    single: bool


class Variable(NamedTuple):
    """A classical variable whose value is known while the text is read."""

    kind: str
    width: int
    #: How many blocks around its declaration depend on a measurement.
    dynamic: int


#: A qubit or bit, or several of a register.
Operand = Union[int, Sequence[int]]  # noqa: UP007 - evaluated at run time


class Reader:
    """A place in the tokens, and what the text has declared so far."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._tokens = source.tokens
        self._limits = limits
        self._at = 0
        self._speak(3)
        self._qubits: dict[str, Register] = {}
        self._clbits: dict[str, Register] = {}
        #: Gates that the text itself defines, and its subroutines.
        self._defined: set[str] = set()
        #: Constants, which bodies of definitions may use; and all that has a value, bits among them.
        self._constants: dict[str, Value | Formal] = {}
        self._names: dict[str, Value | Formal] = {}
        #: Of the names those that may be assigned to.
        self._variables: dict[str, Variable] = {}
        #: In a block: what its declarations have hidden, and their names.
        self._hidden: list[tuple[dict[str, Any], str, Any]] | None = None
        self._local: set[str] = set()
        #: Variables that stand for measured bits: their table, name and bits.
        self._copies: list[tuple[dict[str, Any], str, frozenset[int]]] = []
        #: Blocks around this place that depend on a measurement.
        self._dynamic = 0
        #: Where local bits were laid out, by the token of their declaration, and their number.
        self._laid_out: dict[tuple[int, int], int] = {}
        self._num_qubits = self._num_clbits = 0
        #: The operations of the block that is being read; and how many are within its operations, and around it.
        self._operations: list[Operation] = []
        self._within = self._around = 0

    def _speak(self, version: int) -> None:
        """Reads in that version of the language from here on."""
        self._dialect = Dialect(version, self._limits.max_terms, self._limits.max_expression)
        self._expander = Expander(self._source, self._dialect, self._limits.max_operations)

    def _new_name(self, at: int) -> str:
        name = self._tokens[at]
        if not (name[:1].isalpha() or name[:1] == "_") or name in _RESERVED:
            raise self._error(ParseError, at, f"a name is needed, not {self._source.shown(at)}")
        if any(name == copied and table is self._names for table, copied, _ in self._copies):
            taken = True
        elif self._hidden is not None:
            taken = name in self._local
        else:
            taken = any(name in table for table in (self._qubits, self._clbits, self._names, self._defined))
        if taken:
            raise self._error(ParseError, at, f"{name!r} is declared already; choose another name")
        return name

    def _bind(self, table: dict[str, Any], name: str, value: object) -> None:
        """Gives a new name its meaning; within a block until its end."""
        if self._hidden is not None and name not in self._local:
            self._local.add(name)
            for other in (self._qubits, self._clbits, self._names, self._variables):
                self._hidden.append((other, name, other.pop(name, None)))
        table[name] = value

    def _bind_variable(self, name: str, kind: str, width: int, value: Value) -> None:
        self._bind(self._names, name, value)
        self._variables[name] = Variable(kind, width, self._dynamic)

    def _size(self) -> int:
        at = self._at
        size = self._constant(whole=True)
        if not isinstance(size, int) or size < 1:
            raise self._error(ParseError, at, f"the size of a register is a whole number from 1, not {size}")
        return size

    def _declare(self, is_qubit: bool, name_at: int, size: int | None, *, fresh: bool = False) -> Register:
        """A register of its own; local bits are where they were at the declaration's last time, unless `fresh`."""
        name = self._new_name(name_at)
        width = 1 if size is None else size
        offset = self._num_qubits if is_qubit else self._num_clbits
        key = (name_at, width)
        if not is_qubit and self._hidden is not None and not fresh and key in self._laid_out:
            offset = self._laid_out[key]
        else:
            if offset + width > self._limits.max_bits:
                what = "qubits" if is_qubit else "classical bits"
                raise self._error(
                    TooLarge,
                    name_at,
                    f"{offset + width} {what} are declared; at most {self._limits.max_bits} are read",
                )
            self._laid_out[key] = offset
            if is_qubit:
                self._num_qubits += width
            else:
                self._num_clbits += width
        register = Register(range(offset, offset + width), size is None)
        self._bind_register(is_qubit, name, register)
        return register

    def _bind_register(self, is_qubit: bool, name: str, register: Register) -> None:
        if is_qubit:
            self._bind(self._qubits, name, register)
        else:
            self._bind(self._clbits, name, register)
            self._names[name] = Bits(register.bits)

    def _operands(
        self, registers: dict[str, Register], what: str, *, broadcast: bool = True
    ) -> tuple[list[Operand], int]:
        """Operands up to the ';', and the size of those that are whole registers, or -1 where none is."""
        operands: list[Operand] = []
        width = -1
        tokens = self._tokens
        while True:
            at = self._at
            operand = self._operand(registers, what)
            if broadcast and not isinstance(operand, int):
                if width not in (-1, len(operand)):
                    raise self._error(
                        ParseError,
                        at,
                        f"registers of different sizes in one statement: {width} and {len(operand)}",
                    )
                width = len(operand)
            operands.append(operand)
            token = tokens[self._at]
            if token == ";":
                return operands, width
            if token != ",":
                raise self._error(
                    ParseError, self._at, f"',' or ';' is needed, not {self._source.shown(self._at)}"
                )
            self._at += 1

    def _operand(self, registers: dict[str, Register], what: str) -> Operand:
        tokens, at = self._tokens, self._at
        register = registers.get(tokens[at])
        if register is None:
            if tokens[at][:1] == "$":
                self._unknown(tokens[at])
            raise self._error(ParseError, at, f"{self._source.shown(at)} is no declared {what}")
        bits = register.bits
        if tokens[at + 1] != "[":
            self._at = at + 1
            return bits[0] if register.single else bits
        if tokens[at + 3] == "]" and tokens[at + 2].isdecimal() and tokens[at + 4] != "[":
            index = int(tokens[at + 2])
            self._at = at + 4
            if index >= len(bits):
                raise self._outside(at, index, len(bits))
            return bits[index]
        found: Operand = bits
        self._at = at + 1
        while tokens[self._at] == "[":
            if isinstance(found, int):
                raise self._error(ParseError, self._at, "one bit has no elements")
            self._at += 1
            found = self._elements(found, at)
            self._expect("]")
        return found

    def _elements(self, bits: Sequence[int], name_at: int) -> Operand:
        """What an index, a slice or a set of indices picks of a register."""
        tokens, at = self._tokens, self._at
        if tokens[at] == "{":
            self._three(at, "a set of indices")
            places = [self._wrapped(index, bits, name_at, at) for index in self._set()]
            if len(set(places)) != len(places):
                raise self._error(ParseError, at, "an index twice in one set")
            return [bits[place] for place in places]
        numbers = [self._index(name_at)]
        while tokens[self._at] == ":":
            self._three(self._at, "a slice")
            self._at += 1
            numbers.append(self._index(name_at))
        if len(numbers) == 1:
            return bits[self._wrapped(numbers[0], bits, name_at, at)]
        return picked(bits, numbers, self._source, at)

    def _set(self) -> list[int]:
        """The whole numbers of {…}; stays behind the brace."""
        self._at += 1
        numbers: list[int] = []
        while self._tokens[self._at] != "}":
            numbers.append(self._index(self._at))
            self._comma_or("}")
        self._at += 1
        return numbers

    def _index(self, at: int) -> int:
        at = self._at
        value = self._constant(whole=True)
        if not isinstance(value, int):
            raise self._error(ParseError, at, f"an index is a whole number, not {value}")
        return value

    def _wrapped(self, index: int, bits: Sequence[int], name_at: int, at: int) -> int:
        # Version 3 counts negative indices from the end.
        place = index + len(bits) if index < 0 and self._dialect.version == 3 else index
        if not 0 <= place < len(bits):
            raise self._outside(name_at, index, len(bits))
        return place

    def _outside(self, name_at: int, index: int, size: int) -> ParseError:
        return self._source.error(
            ParseError, name_at + 2, f"index {index} is outside {self._tokens[name_at]}[0..{size - 1}]"
        )

    def _three(self, at: int, what: str) -> None:
        if self._dialect.version == 2:
            raise self._error(UnsupportedFeature, at, f"{what} belongs to OpenQASM 3")

    def _angles(self) -> tuple[Angle, ...]:
        """The angles in parentheses, from '(' to behind ')'."""
        tokens = self._tokens
        angles: list[Angle] = []
        self._at += 1
        while tokens[self._at] != ")":
            at = self._at
            # Plain numbers, by far the most, need no stacks.
            negative = tokens[at] == "-"
            number = tokens[at + negative]
            if number[:1] in _DIGITS and tokens[at + negative + 1] in _AFTER_ANGLE and "_" not in number:
                plain = -float(number) if negative else float(number)
                self._at = at + negative + 1
                if math.isinf(plain):
                    raise self._error(ParameterError, at, "an angle must be finite")
                angles.append(plain)
            else:
                expression, self._at = read(self._source, at, self._names, self._dialect)
                angles.append(self._expander.value(expression, ()))
            self._comma_or(")")
        self._at += 1
        return tuple(angles)

    def _value(self, *, whole: bool = False) -> Value:
        """What the expression at this place gives, which may depend on bits."""
        expression, self._at = read(self._source, self._at, self._names, self._dialect)
        return evaluate(expression, (), self._source, self._dialect, whole=whole)

    def _constant(self, *, whole: bool = False) -> int | float:
        """The number that the expression at this place gives."""
        at = self._at
        value = self._value(whole=whole)
        if isinstance(value, (int, float)):
            return value
        raise self._error(UnsupportedFeature, at, f"{shown_value(value)} where a constant is needed")

    def _check_count(self, at: int) -> None:
        """Refuses what the statement has made too many of."""
        if len(self._operations) + self._within + self._around > self._limits.max_operations:
            raise self._expander.too_many(at)

    def _expect(self, token: str) -> None:
        if self._tokens[self._at] != token:
            raise self._error(
                ParseError, self._at, f"{token!r} is needed, not {self._source.shown(self._at)}"
            )
        self._at += 1

    def _comma_or(self, end: str) -> None:
        """Steps over a comma; stays at `end`."""
        token = self._tokens[self._at]
        if token == ",":
            self._at += 1
        elif token != end:
            raise self._error(
                ParseError, self._at, f"',' or {end!r} is needed, not {self._source.shown(self._at)}"
            )

    def _unknown(self, token: str) -> NoReturn:
        """Raises what a word that begins no statement here deserves."""
        at = self._at
        if token in _REFUSED:
            raise self._error(UnsupportedFeature, at, f"{token!r}: {_REFUSED[token]}")
        if token[:1] == "$":
            raise self._error(
                UnsupportedFeature, at, "physical qubits ($0) are not supported; declare a register"
            )
        if not (token[:1].isalpha() or token[:1] == "_"):
            raise self._error(ParseError, at, f"a statement is needed, not {self._source.shown(at)}")
        include = "stdgates.inc" if self._dialect.version == 3 else "qelib1.inc"
        hint = f'; include "{include}"; first' if token in INCLUDES[include] else "; define it before its use"
        raise self._error(ParseError, at, f"no gate is called {self._source.shown(at)} here{hint}")

    def _error(self, kind: type[ProgramError], index: int, message: str) -> ProgramError:
        return self._source.error(kind, index, message)


_DIGITS = frozenset("0123456789.")
_AFTER_ANGLE = frozenset({",", ")"})
_ROUTINE = "what is computed outside the program is not known here; pass it as an input"
_CLASSICAL = "no Program holds such a value; use int, uint, float, angle, bool or bit"
_TIMING = "timing and pulses belong to a device's native interface; remove it"
_REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(("complex", "array", "mutable", "readonly"), _CLASSICAL),
    **dict.fromkeys(("stretch", "durationof", "defcal", "defcalgrammar", "cal"), _TIMING),
    "extern": _ROUTINE,
    "nop": "no Program has it; write barrier, or id",
    "opaque": "a gate without a definition cannot be run; define it",
    "@": "annotations stand at the beginning of a line, modifiers before a gate",
    "#": "a pragma stands at the beginning of a line",
}
_RESERVED: Final = frozenset(
    {
        "include",
        "qreg",
        "creg",
        "qubit",
        "bit",
        "input",
        "output",
        "const",
        "gate",
        "measure",
        "reset",
        "barrier",
    }
    | {
        "inv",
        "ctrl",
        "negctrl",
        "pow",
        "OPENQASM",
        "let",
        "def",
        "return",
        "int",
        "uint",
        "float",
        "angle",
        "bool",
    }
    | {
        "if",
        "else",
        "for",
        "while",
        "switch",
        "case",
        "default",
        "break",
        "continue",
        "end",
        "in",
        "delay",
        "box",
    }
    | {"duration", "pragma", "true", "false", *_REFUSED}
)
