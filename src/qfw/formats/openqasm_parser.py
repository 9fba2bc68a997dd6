"""Tokens of OpenQASM, behind the pre-check, to a Program.

A statement is known by its first word. Expansion of definitions recurses no deeper than
the pre-check allows; nothing else recurses.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from typing import Final

from qfw.formats.expansion import AnyGate, Call, Defined, Modifier
from qfw.formats.expressions import Expression, Formal, Value, read
from qfw.formats.openqasm_reader import Operand, Reader
from qfw.formats.openqasm_writer import definition_tokens
from qfw.formats.precheck import Limits
from qfw.formats.recipes import added
from qfw.formats.source import Source
from qfw.formats.standard_gates import BUILTIN, INCLUDES, Standard
from qfw.model.errors import ParseError, TooLarge, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Barrier, Gate, Measure, Operation, Program, Reset


class Parser(Reader):
    """Reads one text; `program()` may be called once."""

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._gates: dict[str, AnyGate] = {}
        self._num_slots = 0
        self._operations: list[Operation] = []
        #: Qubits that barriers name: they cost memory as operations do.
        self._fenced = 0
        #: What gates bring along of it.
        self._phase: Angle = 0.0

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
        self._speak(version)
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
        body: list[Call] = []
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
        self._gates[name] = Defined(len(positions), len(formals), tuple(body))
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

    def _body_call(self, names: ChainMap[str, Value | Formal], positions: dict[str, int]) -> Call:
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
        return Call(gate, modifiers, tuple(angles), tuple(places))

    # Gate calls

    def _gate_call(self) -> None:
        tokens = self._tokens
        modifiers = self._modifiers() if tokens[self._at] in _MODIFIERS else ()
        gate, name_at = self._gate_named()
        angles = self._angles() if tokens[self._at] == "(" else ()
        operands: list[Operand] = []
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
        gate: AnyGate,
        modifiers: tuple[Modifier, ...],
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
            steps = self._expander.steps(gate, modifiers, angles, name_at)
            for step in steps:
                if step.name == "gphase" and len(steps) > 1:
                    self._phase = added(self._phase, step.angles[0])
                else:
                    operations.append(Gate(step.name, tuple([qubits[p] for p in step.qubits]), step.angles))
        if len(operations) > self._limits.max_operations:
            raise self._expander.too_many(name_at)

    def _modifiers(self) -> tuple[Modifier, ...]:
        modifiers: list[Modifier] = []
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
            modifiers.append(Modifier(name, argument, index))
            if len(modifiers) > 16:
                raise self._error(TooLarge, index, "more than 16 modifiers on one gate")
        return tuple(modifiers)

    def _gate_named(self) -> tuple[AnyGate, int]:
        at = self._at
        gate = self._gates.get(self._tokens[at])
        if gate is None:
            self._unknown(self._tokens[at])
        self._at += 1
        return gate, at

    def _check_call(
        self, gate: AnyGate, modifiers: tuple[Modifier, ...], name_at: int, num_angles: int, num_qubits: int
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

    def _measured(self, at: int, qubit: Operand, clbit: Operand) -> None:
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
        self._fenced += len(qubits)
        self._check_count(at)
        self._operations.append(Barrier(tuple(qubits)))

    def _check_count(self, at: int) -> None:
        if len(self._operations) + self._fenced > self._limits.max_operations:
            raise self._expander.too_many(at)


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
