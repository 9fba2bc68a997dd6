"""What every statement of OpenQASM is read with: names, registers, operands and numbers."""

from __future__ import annotations

import math
from typing import Final, NamedTuple, NoReturn, Union

from qfw.formats.expansion import Expander
from qfw.formats.expressions import Dialect, Formal, Value, evaluate, read
from qfw.formats.precheck import Limits
from qfw.formats.source import Source
from qfw.formats.standard_gates import INCLUDES
from qfw.model.errors import ParameterError, ParseError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import Affine, Angle


class Register(NamedTuple):
    """Qubits or classical bits that a statement declares together."""

    offset: int
    size: int
    #: Declared without a size: a bare name is one bit, not a register.
    single: bool


#: A qubit or bit, or all those of a register.
Operand = Union[int, range]  # noqa: UP007 - evaluated at run time


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
        #: Gates that the text itself defines.
        self._defined: set[str] = set()
        #: Constants, which bodies of definitions may use; and these with the inputs.
        self._constants: dict[str, Value | Formal] = {}
        self._names: dict[str, Value | Formal] = {}
        self._num_qubits = self._num_clbits = 0

    def _speak(self, version: int) -> None:
        """Reads in that version of the language from here on."""
        self._dialect = Dialect(version, self._limits.max_terms, self._limits.max_expression)
        self._expander = Expander(self._source, self._dialect, self._limits.max_operations)

    def _new_name(self, at: int) -> str:
        name = self._tokens[at]
        if not (name[:1].isalpha() or name[:1] == "_") or name in _RESERVED:
            raise self._error(ParseError, at, f"a name is needed, not {self._source.shown(at)}")
        if name in self._qubits or name in self._clbits or name in self._names or name in self._defined:
            raise self._error(ParseError, at, f"{name!r} is declared already; choose another name")
        return name

    def _size(self) -> int:
        at = self._at
        size = self._constant()
        if not isinstance(size, int) or size < 1:
            raise self._error(ParseError, at, f"the size of a register is a whole number from 1, not {size}")
        return size

    def _declare(self, is_qubit: bool, name_at: int, size: int | None) -> None:
        name = self._new_name(name_at)
        width = 1 if size is None else size
        offset = self._num_qubits if is_qubit else self._num_clbits
        if offset + width > self._limits.max_bits:
            what = "qubits" if is_qubit else "classical bits"
            raise self._error(
                TooLarge,
                name_at,
                f"{offset + width} {what} are declared; at most {self._limits.max_bits} are read",
            )
        register = Register(offset, width, size is None)
        if is_qubit:
            self._qubits[name] = register
            self._num_qubits += width
        else:
            self._clbits[name] = register
            self._num_clbits += width

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
        if tokens[at + 1] != "[":
            self._at = at + 1
            if register.single:
                return register.offset
            return range(register.offset, register.offset + register.size)
        if tokens[at + 3] == "]" and tokens[at + 2].isdecimal():
            index = int(tokens[at + 2])
            self._at = at + 4
        else:
            self._at = at + 2
            if tokens[self._at] == "{":
                raise self._error(
                    UnsupportedFeature, self._at, "sets of indices are not supported; name each bit"
                )
            value = self._constant()
            if tokens[self._at] in (":", ","):
                raise self._error(UnsupportedFeature, self._at, "slices are not supported; name each bit")
            self._expect("]")
            if not isinstance(value, int):
                raise self._error(ParseError, at + 2, f"an index is a whole number, not {value}")
            # Version 3 counts negative indices from the end.
            index = value + register.size if value < 0 and self._dialect.version == 3 else value
        if not 0 <= index < register.size:
            raise self._error(
                ParseError, at + 2, f"index {index} is outside {tokens[at]}[0..{register.size - 1}]"
            )
        return register.offset + index

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

    def _constant(self) -> int | float:
        """The constant that the expression at this place gives."""
        at = self._at
        expression, self._at = read(self._source, at, self._names, self._dialect)
        value = evaluate(expression, (), self._source, self._dialect)
        if isinstance(value, Affine):
            raise self._error(UnsupportedFeature, at, "an input stands where a constant is needed")
        return value

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
_CONTROL = "control flow comes with the toolchain; unroll it, or write straight-line gates"
_CLASSICAL = "classical variables come with the toolchain; use const, or input for what varies"
_ROUTINE = "subroutines come with the toolchain; write the gates themselves, or a gate definition"
_TIMING = "timing and pulses belong to a device's native interface; remove it"
_REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(("if", "else", "for", "while", "switch", "break", "continue", "end"), _CONTROL),
    **dict.fromkeys(
        ("int", "uint", "float", "angle", "bool", "complex", "array", "let", "mutable", "readonly"),
        _CLASSICAL,
    ),
    **dict.fromkeys(("def", "return", "extern"), _ROUTINE),
    **dict.fromkeys(
        ("delay", "box", "duration", "stretch", "durationof", "defcal", "defcalgrammar", "cal", "nop"),
        _TIMING,
    ),
    "output": "every classical bit is an output; remove the declaration",
    "opaque": "a gate without a definition cannot be run; define it",
    "pragma": "pragmas are not read; remove the line",
    "#": "pragmas are not read; remove the line",
    "@": "annotations are not read; remove the line",
}
_RESERVED: Final = frozenset(
    {"include", "qreg", "creg", "qubit", "bit", "input", "const", "gate", "measure", "reset", "barrier"}
    | {"inv", "ctrl", "negctrl", "pow", "OPENQASM", *_REFUSED}
)
