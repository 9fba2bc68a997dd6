"""Gates in OpenQASM: definitions, calls, broadcasts and modifiers."""

from __future__ import annotations

from collections import ChainMap
from typing import Final

from qfw.formats.expansion import AnyGate, Call, Defined, Modifier
from qfw.formats.expressions import Expression, Formal, read
from qfw.formats.openqasm_reader import Operand, Reader
from qfw.formats.openqasm_writer import definition_tokens
from qfw.formats.operators import Value
from qfw.formats.precheck import Limits
from qfw.formats.recipes import added
from qfw.formats.source import Source
from qfw.formats.standard_gates import Standard
from qfw.model.errors import ParseError, TooLarge, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Gate


class Gates(Reader):
    """Reads what concerns gates."""

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source, limits)
        self._gates: dict[str, AnyGate] = {}
        #: What gates of the block bring along of it.
        self._phase: Angle = 0.0

    def _only_at_top(self, at: int) -> None:
        if self._hidden is not None:
            raise self._error(
                ParseError,
                at,
                f"{self._tokens[at]} stands outside all blocks; move it to the top of the program",
            )

    # Gate definitions

    def _definition(self) -> None:
        tokens, start = self._tokens, self._at
        self._only_at_top(start)
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
            elif tokens[self._at] in self._gates or tokens[self._at] in MODIFIERS:
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
        modifiers = self._modifiers() if tokens[self._at] in MODIFIERS else ()
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
        if len(operations) + self._within + self._around > self._limits.max_operations:
            raise self._expander.too_many(name_at)

    def _modifiers(self) -> tuple[Modifier, ...]:
        modifiers: list[Modifier] = []
        while (name := self._tokens[self._at]) in MODIFIERS:
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


MODIFIERS: Final = frozenset({"inv", "ctrl", "negctrl", "pow"})
