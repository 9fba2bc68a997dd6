"""Tokens of OpenQASM, behind the pre-check, to a Program.

A statement is known by its first word. Reading recurses with blocks, calls and definitions,
no deeper than the limits allow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qfw.formats.openqasm_gates import MODIFIERS
from qfw.formats.openqasm_routines import Routines
from qfw.formats.openqasm_statements import KINDS
from qfw.formats.openqasm_writer import TRIPS_ANNOTATION
from qfw.formats.standard_gates import BUILTIN, INCLUDES
from qfw.model.errors import ParseError, UnsupportedFeature
from qfw.model.program import Gate, Program


class Parser(Routines):
    """Reads one text; `program()` may be called once."""

    def program(self) -> Program:
        """The program of the whole text."""
        self._version()
        tokens = self._tokens
        while token := tokens[self._at]:
            if self._step(token) is not None:
                break
        if not self._num_qubits:
            raise self._error(
                ParseError, self._at, "the program declares no qubit; write qubit[2] q; or qreg q[2];"
            )
        if self._phase:
            self._operations.append(Gate("gphase", (), (self._phase,)))
        return Program(self._num_qubits, self._num_clbits, self._num_slots, tuple(self._operations))

    def _step(self, token: str) -> str | None:
        following = self._tokens[self._at + 1] if token else ""
        if following in _ASSIGNING:
            if token in self._clbits:
                self._assignment()
                return None
            if token in self._names:
                self._assigned(token)
                return None
        if token in self._gates:
            self._gate_call()
        elif token in self._statements:
            return self._statements[token](self)
        elif token in self._routines:
            self._call_statement()
        elif token == ";":
            self._at += 1
        elif token[:1] == "\n" or token[:6] == "pragma" or (token[:1] in "#@" and len(token) > 1):
            self._line(token.strip())
        else:
            self._unknown(token)
        return None

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
        self._only_at_top(self._at)
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

    def _speak(self, version: int) -> None:
        super()._speak(version)
        self._statements = _STATEMENTS[version]

    def _line(self, line: str) -> None:
        """An annotation, of which only our own has a meaning, or a pragma."""
        if line[:1] != "@":
            shown = "#pragma" if line[:1] == "#" else "pragma"
            raise self._error(UnsupportedFeature, self._at, f"{shown!r}: no pragma is known; remove the line")
        name, *words = line.split()
        if name == TRIPS_ANNOTATION:
            if len(words) != 1 or not words[0].isdecimal() or not 0 < int(words[0][:20]) < 2**63:
                raise self._error(ParseError, self._at, f"write {TRIPS_ANNOTATION} 100")
            self._at += 1
            if self._tokens[self._at] != "while":
                raise self._error(ParseError, self._at, f"{TRIPS_ANNOTATION} stands before a while")
            self._max_trips = int(words[0])
            return
        self._at += 1


#: What follows the name of something that is assigned to.
_ASSIGNING = frozenset({"=", "[", "+=", "-=", "*=", "/=", "%=", "**=", "&=", "|=", "^=", "<<=", ">>="})
_BOTH: Final[dict[str, Callable[[Parser], str | None]]] = {
    "include": Parser._include,
    "qreg": Parser._old_register,
    "creg": Parser._old_register,
    "gate": Parser._definition,
    "measure": Parser._measure,
    "reset": Parser._reset,
    "barrier": Parser._barrier,
    "if": Parser._if,
}
_STATEMENTS: Final[dict[int, dict[str, Callable[[Parser], str | None]]]] = {
    2: _BOTH,
    3: {
        **_BOTH,
        "qubit": Parser._new_register,
        "bit": Parser._new_register,
        "input": Parser._input,
        "output": Parser._output,
        "const": Parser._const,
        "let": Parser._alias,
        "{": Parser._block,
        "delay": Parser._delay,
        "box": Parser._box,
        "for": Parser._for,
        "while": Parser._while,
        "switch": Parser._switch,
        "def": Parser._subroutine,
        "return": Parser._return,
        **dict.fromkeys(("break", "continue", "end"), Parser._jump),
        **dict.fromkeys(KINDS - {"bit"}, Parser._variable),
        **dict.fromkeys(MODIFIERS, Parser._gate_call),
    },
}
