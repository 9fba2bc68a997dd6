"""Tokens of OpenQASM, behind the pre-check, to a Program.

A statement is known by its first word. Expansion of definitions recurses no deeper than
the pre-check allows; nothing else recurses.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, NoReturn, Union

from qfw.formats.expressions import Dialect, Expression, Formal, Value, evaluate, read
from qfw.formats.modifiers import controlled, inverse, power
from qfw.formats.openqasm_writer import definition_tokens
from qfw.formats.precheck import Limits
from qfw.formats.recipes import added, applied
from qfw.formats.source import Source
from qfw.formats.standard_gates import BUILTIN, INCLUDES, Standard
from qfw.model.errors import ParameterError, ParseError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Barrier, Gate, Measure, Operation, Program, Reset


class _Modifier(NamedTuple):
    #: inv, ctrl, negctrl, pow.
    name: str
    #: Number of controls, or the exponent.
    argument: float
    #: Its token.
    at: int


class _Call(NamedTuple):
    """A gate call in the body of a definition."""

    gate: _AnyGate
    modifiers: tuple[_Modifier, ...]
    angles: tuple[Expression, ...]
    positions: tuple[int, ...]


class _Defined(NamedTuple):
    """A gate that the text defines."""

    num_qubits: int
    num_angles: int
    body: tuple[_Call, ...]


class _Register(NamedTuple):
    offset: int
    size: int
    #: Declared without a size: a bare name is one bit, not a register.
    single: bool


_AnyGate = Union[Standard, _Defined]  # noqa: UP007 - evaluated at run time
#: A qubit or bit, or all those of a register.
_Operand = Union[int, range]  # noqa: UP007


class Parser:
    """Reads one text; `program()` may be called once."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._tokens = source.tokens
        self._limits = limits
        self._at = 0
        self._dialect = Dialect(3, limits.max_terms)
        self._gates: dict[str, _AnyGate] = {}
        self._defined: set[str] = set()
        self._qubits: dict[str, _Register] = {}
        self._clbits: dict[str, _Register] = {}
        #: Constants, which bodies of definitions may use; and these with the inputs.
        self._constants: dict[str, Value | Formal] = {}
        self._names: dict[str, Value | Formal] = {}
        self._num_qubits = self._num_clbits = self._num_slots = 0
        self._operations: list[Operation] = []
        self._phase: Angle = 0.0
        self._expansions: dict[tuple[int, tuple[_Modifier, ...], tuple[Angle, ...]], list[Gate]] = {}

    def program(self) -> Program:
        """The program of the whole text."""
        self._version()
        tokens = self._tokens
        statements = _STATEMENTS
        gates = self._gates
        while token := tokens[self._at]:
            if token in self._clbits and tokens[self._at + 1] in ("=", "["):
                self._assignment()
            elif token in gates:
                self._gate_call()
            elif token in statements:
                statements[token](self)
            elif token == ";":
                self._at += 1
            else:
                self._unknown(token)
        if not self._num_qubits:
            raise self._error(
                ParseError, self._at, "the program declares no qubit; write qubit[2] q; or qreg q[2];"
            )
        if self._phase:
            self._operations.append(Gate("gphase", (), (self._phase,)))
        return Program(self._num_qubits, self._num_clbits, self._num_slots, tuple(self._operations))

    # The head

    def _version(self) -> None:
        tokens, version = self._tokens, 3
        if tokens[0] == "OPENQASM":
            number = tokens[1]
            if number not in ("2", "2.0", "3", "3.0", "3.1"):
                raise self._error(
                    UnsupportedFeature,
                    1,
                    f"OpenQASM version {self._source.shown(1)}: 2.0, 3.0 and 3.1 are read",
                )
            version = int(number[0])
            self._at = 2
            self._expect(";")
        elif tokens[0] == "include" and tokens[1][1:-1] == "qelib1.inc":
            version = 2
        self._dialect = Dialect(version, self._limits.max_terms)
        self._gates.update(BUILTIN[version])

    def _include(self) -> None:
        name = self._tokens[self._at + 1][1:-1]
        if name not in INCLUDES:
            raise self._error(ParseError, self._at, 'write include "stdgates.inc";')
        if name == "stdgates.inc" and self._dialect.version == 2:
            raise self._error(
                UnsupportedFeature,
                self._at + 1,
                "stdgates.inc belongs to OpenQASM 3; version 2 has qelib1.inc",
            )
        for gate_name, gate in INCLUDES[name].items():
            if gate_name not in self._defined:
                self._gates[gate_name] = gate
        self._at += 2
        self._expect(";")

    # Declarations

    def _old_register(self) -> None:
        at = self._at
        kind = self._tokens[at]
        name_at = at + 1
        self._at += 2
        self._expect("[")
        size = self._size()
        self._expect("]")
        self._expect(";")
        self._declare(kind == "qreg", name_at, size)

    def _new_register(self) -> None:
        is_qubit = self._tokens[self._at] == "qubit"
        self._at += 1
        size = None
        if self._tokens[self._at] == "[":
            self._at += 1
            size = self._size()
            self._expect("]")
        name_at = self._at
        self._at += 1
        self._declare(is_qubit, name_at, size)
        if not is_qubit and self._tokens[self._at] == "=":
            self._at = name_at
            self._assignment()
        else:
            self._expect(";")

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
        register = _Register(offset, width, size is None)
        if is_qubit:
            self._qubits[name] = register
            self._num_qubits += width
        else:
            self._clbits[name] = register
            self._num_clbits += width

    def _input(self) -> None:
        kind_at = self._at + 1
        kind = self._tokens[kind_at]
        if kind not in ("float", "angle"):
            raise self._error(
                UnsupportedFeature,
                kind_at,
                f"input of type {self._source.shown(kind_at)}: inputs are float or angle, and become slots",
            )
        self._at += 2
        self._skip_width()
        name = self._new_name(self._at)
        self._at += 1
        self._expect(";")
        self._names[name] = Affine(((self._num_slots, 1.0),))
        self._num_slots += 1

    def _const(self) -> None:
        kind_at = self._at + 1
        kind = self._tokens[kind_at]
        if kind not in ("float", "angle", "int", "uint"):
            raise self._error(
                UnsupportedFeature,
                kind_at,
                f"const of type {self._source.shown(kind_at)}: float, angle, int and uint are read",
            )
        self._at += 2
        self._skip_width()
        name = self._new_name(self._at)
        self._at += 1
        self._expect("=")
        value_at = self._at
        value = self._constant()
        if kind in ("float", "angle"):
            value = float(value)
        elif not isinstance(value, int):
            raise self._error(ParseError, value_at, f"a const {kind} needs a whole number, not {value}")
        self._expect(";")
        self._names[name] = self._constants[name] = value

    def _skip_width(self) -> None:
        if self._tokens[self._at] == "[":
            self._at += 1
            self._size()
            self._expect("]")

    def _new_name(self, at: int) -> str:
        name = self._tokens[at]
        if not (name[:1].isalpha() or name[:1] == "_") or name in _STATEMENTS or name in _REFUSED:
            raise self._error(ParseError, at, f"a name is needed, not {self._source.shown(at)}")
        if name in self._qubits or name in self._clbits or name in self._names or name in self._defined:
            raise self._error(ParseError, at, f"{name!r} is declared already; choose another name")
        return name

    # Gate definitions

    def _definition(self) -> None:
        tokens, start = self._tokens, self._at
        name = self._new_name(start + 1)
        known = definition_tokens(name, self._dialect.version)
        if known is not None and tokens[start : start + len(known)] == known:
            # Our own writer's head: the gate itself, not its decomposition.
            num_qubits, num_angles = GATES[name]
            angles = tuple(Affine(((index, 1.0),)) for index in range(num_angles))
            steps = (Gate(name, tuple(range(num_qubits)), angles),)
            same_as = name if num_qubits else None
            self._gates[name] = Standard(max(num_qubits, 1), num_angles, steps, same_as)
            self._defined.add(name)
            self._at += len(known)
            return
        self._at += 2
        formals: dict[str, Value | Formal] = {}
        if tokens[self._at] == "(":
            self._at += 1
            if tokens[self._at] != ")":
                for parameter in self._formal_names(")"):
                    formals[parameter] = Formal(len(formals))
            self._expect(")")
        positions = {qubit: place for place, qubit in enumerate(self._formal_names("{"))}
        self._expect("{")
        names = ChainMap(formals, self._constants)
        body: list[_Call] = []
        while tokens[self._at] != "}":
            if tokens[self._at] == "barrier":
                # No effect on the state, and a gate has no inside that could be rearranged.
                while tokens[self._at] not in (";", "}", ""):
                    self._at += 1
            elif tokens[self._at] in self._gates or tokens[self._at] in _MODIFIERS:
                body.append(self._body_call(names, positions))
            elif tokens[self._at] != ";":
                self._unknown(tokens[self._at])
            self._expect(";")
        self._at += 1
        self._gates[name] = _Defined(len(positions), len(formals), tuple(body))
        self._defined.add(name)

    def _formal_names(self, end: str) -> list[str]:
        names: list[str] = []
        seen: set[str] = set()
        while True:
            name = self._tokens[self._at]
            if not (name[:1].isalpha() or name[:1] == "_") or name in seen:
                raise self._error(
                    ParseError, self._at, f"a new name is needed, not {self._source.shown(self._at)}"
                )
            names.append(name)
            seen.add(name)
            self._at += 1
            if self._tokens[self._at] == end:
                return names
            self._expect(",")

    def _body_call(self, names: ChainMap[str, Value | Formal], positions: dict[str, int]) -> _Call:
        modifiers = self._modifiers()
        gate, name_at = self._gate_named()
        angles: list[Expression] = []
        if self._tokens[self._at] == "(":
            self._at += 1
            while self._tokens[self._at] != ")":
                expression, self._at = read(self._source, self._at, names, self._dialect)
                angles.append(expression)
                self._comma_or(")")
            self._at += 1
        places: list[int] = []
        while (token := self._tokens[self._at]) != ";":
            if token not in positions:
                raise self._error(
                    ParseError, self._at, f"{self._source.shown(self._at)} is no qubit of this definition"
                )
            places.append(positions[token])
            self._at += 1
            self._comma_or(";")
        self._check_call(gate, modifiers, name_at, len(angles), len(places))
        if len(set(places)) != len(places):
            raise self._error(ParseError, name_at, f"{self._tokens[name_at]} names a qubit twice")
        return _Call(gate, modifiers, tuple(angles), tuple(places))

    # Gate calls

    def _gate_call(self) -> None:
        tokens = self._tokens
        modifiers = self._modifiers() if tokens[self._at] in _MODIFIERS else ()
        gate, name_at = self._gate_named()
        angles = self._angles() if tokens[self._at] == "(" else ()
        operands: list[_Operand] = []
        width = -1
        if tokens[self._at] != ";":
            operands, width = self._operands(self._qubits, "qubit")
        self._at += 1
        self._check_call(gate, modifiers, name_at, len(angles), len(operands))
        for turn in range(width if width >= 0 else 1):
            qubits = [operand if isinstance(operand, int) else operand[turn] for operand in operands]
            self._emit(gate, modifiers, angles, qubits, name_at)

    def _emit(
        self,
        gate: _AnyGate,
        modifiers: tuple[_Modifier, ...],
        angles: tuple[Angle, ...],
        qubits: list[int],
        name_at: int,
    ) -> None:
        if len(qubits) > 1 and len(set(qubits)) != len(qubits):
            raise self._error(ParseError, name_at, f"{self._tokens[name_at]} names a qubit twice")
        operations = self._operations
        if not modifiers and isinstance(gate, Standard) and gate.same_as is not None:
            operations.append(Gate(gate.same_as, tuple(qubits), angles))
        else:
            key = (id(gate), modifiers, angles)
            steps = self._expansions.get(key)
            if steps is None:
                steps = self._modified(self._expanded(gate, angles, name_at), modifiers)
                self._expansions[key] = steps
            for step in steps:
                if step.name == "gphase" and len(steps) > 1:
                    self._phase = added(self._phase, step.angles[0])
                else:
                    operations.append(Gate(step.name, tuple([qubits[p] for p in step.qubits]), step.angles))
        if len(operations) > self._limits.max_operations:
            raise self._too_many(name_at)

    def _expanded(self, gate: _AnyGate, angles: Sequence[Angle], name_at: int) -> list[Gate]:
        """The gate's steps on formal qubits; as deep as definitions call each other."""
        if isinstance(gate, Standard):
            return applied(gate.steps, range(gate.num_qubits), angles)
        steps: list[Gate] = []
        for call in gate.body:
            values = tuple([self._value(expression, angles) for expression in call.angles])
            inner = self._modified(self._expanded(call.gate, values, name_at), call.modifiers)
            places = call.positions
            steps += [Gate(g.name, tuple([places[p] for p in g.qubits]), g.angles) for g in inner]
            if len(steps) > self._limits.max_operations:
                raise self._too_many(name_at)
        return steps

    def _modified(self, steps: list[Gate], modifiers: tuple[_Modifier, ...]) -> list[Gate]:
        """The steps under modifiers; controls come first, the outermost one as qubit 0."""
        if not modifiers:
            return steps
        controls = sum(int(m.argument) for m in modifiers if m.name in ("ctrl", "negctrl"))
        made: list[Gate] | None = [
            Gate(g.name, tuple(q + controls for q in g.qubits), g.angles) for g in steps
        ]
        for modifier in reversed(modifiers):
            if made is None:
                break
            before = made
            if modifier.name == "inv":
                made = inverse(before)
            elif modifier.name == "pow":
                made = power(before, modifier.argument)
            else:
                for _ in range(int(modifier.argument)):
                    controls -= 1
                    if made is not None:
                        made = controlled(made, controls)
                        if made is not None and modifier.name == "negctrl":
                            flip = Gate("x", (controls,))
                            made = [flip, *made, flip]
            if made is None:
                names = ", ".join(sorted({g.name for g in before})[:5])
                raise self._error(
                    UnsupportedFeature,
                    modifier.at,
                    f"{modifier.name} @ of {names} is none of the gates that QFw has; write its decomposition",
                )
        assert made is not None
        return made

    def _modifiers(self) -> tuple[_Modifier, ...]:
        modifiers: list[_Modifier] = []
        while (name := self._tokens[self._at]) in _MODIFIERS:
            index = self._at
            argument: float = 1
            self._at += 1
            if self._tokens[self._at] == "(" and name != "inv":
                self._at += 1
                argument = self._constant()
                self._expect(")")
            elif name == "pow":
                raise self._error(ParseError, index, "pow needs an exponent: pow(2) @")
            self._expect("@")
            if name in ("ctrl", "negctrl") and (argument != int(argument) or not 1 <= argument <= 8):
                raise self._error(
                    UnsupportedFeature,
                    index,
                    f"{name}({argument}): a whole number of controls from 1 to 8 is read",
                )
            modifiers.append(_Modifier(name, argument, index))
            if len(modifiers) > 16:
                raise self._error(TooLarge, index, "more than 16 modifiers on one gate")
        return tuple(modifiers)

    def _gate_named(self) -> tuple[_AnyGate, int]:
        at = self._at
        gate = self._gates.get(self._tokens[at])
        if gate is None:
            self._unknown(self._tokens[at])
        self._at += 1
        return gate, at

    def _check_call(
        self, gate: _AnyGate, modifiers: tuple[_Modifier, ...], name_at: int, num_angles: int, num_qubits: int
    ) -> None:
        needed = gate.num_qubits
        for modifier in modifiers:
            if modifier.name in ("ctrl", "negctrl"):
                needed += int(modifier.argument)
        if num_angles != gate.num_angles or num_qubits != needed:
            raise self._error(
                ParseError,
                name_at,
                f"{self._source.shown(name_at)} takes {gate.num_angles} angles and {needed} qubits, "
                f"not {num_angles} and {num_qubits}",
            )

    # Other statements

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
        clbit = self._operand(self._clbits, "classical bit")
        self._expect("=")
        if self._tokens[self._at] != "measure":
            raise self._error(
                UnsupportedFeature,
                self._at,
                "only measure may be assigned to bits; classical computation comes with the toolchain",
            )
        self._at += 1
        qubit = self._operand(self._qubits, "qubit")
        self._expect(";")
        self._measured(at, qubit, clbit)

    def _measured(self, at: int, qubit: _Operand, clbit: _Operand) -> None:
        qubits = range(qubit, qubit + 1) if isinstance(qubit, int) else qubit
        clbits = range(clbit, clbit + 1) if isinstance(clbit, int) else clbit
        if len(qubits) != len(clbits):
            raise self._error(
                ParseError, at, f"{len(qubits)} qubits are measured into {len(clbits)} classical bits"
            )
        self._operations += map(Measure, qubits, clbits)
        self._check_count(at)

    def _reset(self) -> None:
        at = self._at
        self._at += 1
        operands, _width = self._operands(self._qubits, "qubit")
        self._at += 1
        for operand in operands:
            self._operations += map(Reset, [operand] if isinstance(operand, int) else operand)
        self._check_count(at)

    def _barrier(self) -> None:
        self._at += 1
        if self._tokens[self._at] == ";":
            if self._num_qubits:
                self._operations.append(Barrier(tuple(range(self._num_qubits))))
            self._at += 1
            return
        qubits: list[int] = []
        for operand in self._operands(self._qubits, "qubit", broadcast=False)[0]:
            qubits += [operand] if isinstance(operand, int) else operand
        self._at += 1
        self._operations.append(Barrier(tuple(qubits)))

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

    # Operands and numbers

    def _operands(
        self, registers: dict[str, _Register], what: str, *, broadcast: bool = True
    ) -> tuple[list[_Operand], int]:
        """Operands up to the ';', and the size of those that are whole registers, or -1 where none is."""
        operands: list[_Operand] = []
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

    def _operand(self, registers: dict[str, _Register], what: str) -> _Operand:
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
                angles.append(self._value(expression, ()))
            self._comma_or(")")
        self._at += 1
        return tuple(angles)

    def _value(self, expression: Expression, arguments: Sequence[Value]) -> Angle:
        value = evaluate(expression, arguments, self._source, self._dialect)
        return value if isinstance(value, Affine) else float(value)

    def _constant(self) -> int | float:
        """The constant that the expression at this place gives."""
        at = self._at
        expression, self._at = read(self._source, at, self._names, self._dialect)
        value = evaluate(expression, (), self._source, self._dialect)
        if isinstance(value, Affine):
            raise self._error(UnsupportedFeature, at, "an input stands where a constant is needed")
        return value

    # Small things

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

    def _check_count(self, at: int) -> None:
        if len(self._operations) > self._limits.max_operations:
            raise self._too_many(at)

    def _too_many(self, at: int) -> ProgramError:
        return self._error(
            TooLarge,
            at,
            f"the program comes to more than {self._limits.max_operations} operations with this statement",
        )

    def _error(self, kind: type[ProgramError], index: int, message: str) -> ProgramError:
        return self._source.error(kind, index, message)


_DIGITS = frozenset("0123456789.")
_AFTER_ANGLE = frozenset({",", ")"})
_MODIFIERS = frozenset({"inv", "ctrl", "negctrl", "pow"})
_STATEMENTS: Final[dict[str, Callable[[Parser], None]]] = {
    "include": Parser._include,
    "qreg": Parser._old_register,
    "creg": Parser._old_register,
    "qubit": Parser._new_register,
    "bit": Parser._new_register,
    "input": Parser._input,
    "const": Parser._const,
    "gate": Parser._definition,
    "measure": Parser._measure,
    "reset": Parser._reset,
    "barrier": Parser._barrier,
    **dict.fromkeys(_MODIFIERS, Parser._gate_call),
}
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
