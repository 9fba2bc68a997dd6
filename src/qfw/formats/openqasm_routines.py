"""Subroutines of OpenQASM, read again at every call with what the caller gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qfw.formats.formulas import Bits
from qfw.formats.openqasm_loops import Loops
from qfw.formats.openqasm_reader import Register
from qfw.formats.openqasm_statements import KINDS
from qfw.formats.operators import Value, converted
from qfw.formats.precheck import Limits
from qfw.formats.source import Source
from qfw.model.errors import ParseError, UnsupportedFeature


class _Parameter(NamedTuple):
    name_at: int
    kind: str
    #: Of a register, or bits of a type; 0 where none is said.
    width: int


class _Routine(NamedTuple):
    parameters: tuple[_Parameter, ...]
    #: Its body's brace.
    body: int
    #: Type that it returns, empty where none.
    kind: str
    width: int
    #: The name that its last statement returns, if it is one.
    returned: str


class Routines(Loops):
    """Reads definitions and calls of subroutines."""

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._routines: dict[str, _Routine] = {}
        #: The calls around this place, the innermost one last.
        self._calls: list[str] = []
        self._target: Sequence[int] | None = None
        self._returned: Value | None = None
        #: Blocks around the innermost call that depend on a measurement.
        self._dynamic_at_call = 0

    def _subroutine(self) -> None:
        at = self._at
        tokens = self._tokens
        self._only_at_top(at)
        name = self._new_name(at + 1)
        if name in self._gates:
            raise self._error(ParseError, at + 1, f"{name!r} is a gate; choose another name")
        self._at += 2
        self._expect("(")
        parameters: list[_Parameter] = []
        while tokens[self._at] != ")":
            kind_at = self._at
            kind = tokens[kind_at]
            if kind not in KINDS and kind not in ("qubit", "qreg", "creg"):
                raise self._error(
                    UnsupportedFeature, kind_at, f"a parameter of type {self._source.shown(kind_at)}"
                )
            width = self._type_size() or 0
            name_at = self._at
            if any(tokens[p.name_at] == tokens[name_at] for p in parameters):
                raise self._error(
                    ParseError, name_at, f"two parameters are called {self._source.shown(name_at)}"
                )
            self._at += 1
            parameters.append(_Parameter(name_at, kind, width))
            self._comma_or(")")
        self._at += 1
        kind, width = "", 0
        if tokens[self._at] == "->":
            self._at += 1
            kind = tokens[self._at]
            if kind not in KINDS:
                raise self._error(
                    UnsupportedFeature, self._at, f"a subroutine that returns {self._source.shown(self._at)}"
                )
            width = self._type_size() or 0
        body = self._at
        self._expect("{")
        end = self._close(body)
        returned = tokens[end - 2] if tokens[end - 3] == "return" and tokens[end - 1] == ";" else ""
        self._routines[name] = _Routine(tuple(parameters), body, kind, width, returned)
        self._defined.add(name)
        self._at = end + 1

    def _is_call(self, at: int) -> bool:
        return self._tokens[at] in self._routines

    def _call_statement(self) -> None:
        self._called(None)
        self._expect(";")

    def _called(self, target: Sequence[int] | None) -> Value | None:
        tokens = self._tokens
        at = self._at
        name = tokens[at]
        routine = self._routines[name]
        # A subroutine knows what stands before it, so that its cost is known too.
        if name in self._calls or any(routine.body > self._routines[call].body for call in self._calls):
            raise self._error(
                UnsupportedFeature,
                at,
                f"{name!r} is called before its definition ends: recursion is not supported",
            )
        self._at += 1
        self._expect("(")
        given: list[tuple[_Parameter, Register | Value]] = []
        taken: list[int] = []
        while tokens[self._at] != ")":
            if len(given) == len(routine.parameters):
                raise self._error(ParseError, self._at, f"{name} takes {len(given)} values")
            parameter = routine.parameters[len(given)]
            given.append((parameter, self._argument(parameter, taken)))
            self._comma_or(")")
        self._at += 1
        if len(given) != len(routine.parameters):
            raise self._error(
                ParseError, at, f"{name} takes {len(routine.parameters)} values, not {len(given)}"
            )
        if len(set(taken)) != len(taken):
            raise self._error(ParseError, at, f"{name} is given a qubit twice")
        if target is not None and routine.kind == "bit" and len(target) != (routine.width or 1):
            raise self._error(
                ParseError, at, f"{name} returns {routine.width or 1} bits; {len(target)} are assigned to"
            )
        if target is not None and routine.kind != "bit":
            raise self._error(
                UnsupportedFeature, at, f"{name} returns no bits; only measured ones are assigned to bits"
            )
        end = self._at
        value = self._run_body(name, routine, given, target, at)
        self._at = end
        return value

    def _argument(self, parameter: _Parameter, taken: list[int]) -> Register | Value:
        at = self._at
        kind, width = parameter.kind, parameter.width
        if kind in ("qubit", "qreg", "bit", "creg"):
            is_qubit = kind[0] == "q"
            what = "qubit" if is_qubit else "classical bit"
            operand = self._operand(self._qubits if is_qubit else self._clbits, what)
            bits = [operand] if isinstance(operand, int) else operand
            if len(bits) != (width or 1):
                raise self._error(ParseError, at, f"{width or 1} of {what} are needed, not {len(bits)}")
            if is_qubit:
                taken += bits
            return Register(bits, not width)
        return converted(kind, width, self._value(whole=kind in ("int", "uint")), self._source, at)

    def _run_body(
        self,
        name: str,
        routine: _Routine,
        given: list[tuple[_Parameter, Register | Value]],
        target: Sequence[int] | None,
        at: int,
    ) -> Value | None:
        tables = (self._qubits, self._clbits, self._names, self._variables, self._hidden, self._local)
        around = (self._read_only, self._destination, self._target, self._returned, self._loops)
        dynamic_at_call = self._dynamic_at_call
        self._qubits, self._clbits, self._variables = {}, {}, {}
        self._names = dict(self._constants)
        self._hidden, self._local, self._loops = [], set(), []
        own: set[int] = set()
        read_only: set[str] = set()
        for parameter, value in given:
            word = self._new_name(parameter.name_at)
            if isinstance(value, Register):
                is_qubit = parameter.kind[0] == "q"
                self._bind_register(is_qubit, word, value)
                if not is_qubit:
                    own.update(value.bits)
                    read_only.add(word)
            else:
                self._bind_variable(word, parameter.kind, parameter.width, value)
        self._read_only = frozenset(read_only)
        self._target, self._returned = target, None
        self._destination = None
        if target is not None and not own.intersection(target):
            self._destination = (routine.returned, target)
        self._calls.append(name)
        self._dynamic_at_call = self._dynamic
        self._at = routine.body
        mark = len(self._leaving)
        left = self._block()
        if left == "end" or len(self._leaving) > mark:
            raise self._error(UnsupportedFeature, at, f"'end' within the subroutine {name!r}")
        if left is None and routine.kind:
            raise self._error(ParseError, at, f"{name} returns nothing, and is said to return {routine.kind}")
        self._calls.pop()
        returned = self._returned
        self._qubits, self._clbits, self._names, self._variables, self._hidden, self._local = tables
        self._read_only, self._destination, self._target, self._returned, self._loops = around
        self._dynamic_at_call = dynamic_at_call
        if returned is not None and routine.kind not in ("", "bit"):
            return converted(routine.kind, routine.width, returned, self._source, at)
        return None

    def _return(self) -> str:
        at = self._at
        if not self._calls:
            raise self._error(ParseError, at, "'return' stands in a subroutine")
        if self._dynamic > self._dynamic_at_call:
            raise self._cannot_leave("return", at)
        self._at += 1
        routine = self._routines[self._calls[-1]]
        if self._tokens[self._at] == ";":
            self._at += 1
            return "return"
        if not routine.kind:
            raise self._error(ParseError, at, "a value is returned, and the subroutine's head says none")
        value_at = self._at
        if self._tokens[value_at] == "measure" and routine.kind == "bit":
            if self._target is None:
                raise self._error(
                    UnsupportedFeature,
                    value_at,
                    "measure without a target; assign what the call returns to bits",
                )
            self._at += 1
            qubit = self._operand(self._qubits, "qubit")
            self._measured(value_at, qubit, self._target)
        elif self._is_call(value_at):
            self._returned = self._called(self._target)
        else:
            value = self._value(whole=routine.kind in ("int", "uint"))
            if isinstance(value, Bits):
                if routine.kind != "bit":
                    raise self._error(
                        UnsupportedFeature,
                        value_at,
                        f"a {routine.kind} that depends on a measurement; return bits",
                    )
                if self._target is not None and tuple(value.clbits) != tuple(self._target):
                    raise self._error(
                        UnsupportedFeature,
                        value_at,
                        "bits are not copied; end the subroutine with the return of a bit register of its own, whole",
                    )
            else:
                self._returned = value
        self._expect(";")
        return "return"
