"""Gates that a text defines, multiplied out: calls, their parameters and their modifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Union

from qfw.formats.expressions import Dialect, Expression, as_angle, evaluate
from qfw.formats.modifiers import controlled, inverse, power
from qfw.formats.operators import Value
from qfw.formats.recipes import applied
from qfw.formats.source import Source
from qfw.formats.standard_gates import Standard
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.program import Angle, Gate

#: What is to be controlled is so many times smaller than a program may be: a control makes some ten gates of one.
ROOM_FOR_CONTROL = 8


class Modifier(NamedTuple):
    """A modifier in front of a gate call."""

    #: inv, ctrl, negctrl, pow.
    name: str
    #: Number of controls, or the exponent.
    argument: float
    #: Its token.
    at: int


class Call(NamedTuple):
    """A gate call in the body of a definition."""

    gate: AnyGate
    modifiers: tuple[Modifier, ...]
    angles: tuple[Expression, ...]
    positions: tuple[int, ...]


class Defined(NamedTuple):
    """A gate that the text defines."""

    num_qubits: int
    num_angles: int
    body: tuple[Call, ...]


AnyGate = Union[Standard, Defined]  # noqa: UP007 - evaluated at run time


class Expander:
    """Steps of gates, remembered by gate, modifiers and angles for one text."""

    def __init__(self, source: Source, dialect: Dialect, max_operations: int) -> None:
        self._source = source
        self._dialect = dialect
        self._max_operations = max_operations
        #: By identity: definitions live as long as the parser, standard gates for ever.
        self._known: dict[tuple[int, tuple[Modifier, ...], tuple[Angle, ...]], list[Gate]] = {}

    def steps(
        self, gate: AnyGate, modifiers: tuple[Modifier, ...], angles: tuple[Angle, ...], name_at: int
    ) -> list[Gate]:
        """The gates that a call comes to, on formal qubits, controls first.

        Raises:
            UnsupportedFeature: a modifier's result is none of the gates of the normal form.
            TooLarge: more operations than the limit; `name_at` is the call's token.
        """
        key = (id(gate), modifiers, angles)
        steps = self._known.get(key)
        if steps is None:
            steps = self._known[key] = self._modified(self._expanded(gate, angles, name_at), modifiers)
        return steps

    def _expanded(self, gate: AnyGate, angles: Sequence[Angle], name_at: int) -> list[Gate]:
        """The gate's steps on formal qubits; as deep as definitions call each other."""
        if isinstance(gate, Standard):
            return applied(gate.steps, range(gate.num_qubits), angles)
        steps: list[Gate] = []
        for call in gate.body:
            values = tuple([self.value(expression, angles) for expression in call.angles])
            inner = self._modified(self._expanded(call.gate, values, name_at), call.modifiers)
            places = call.positions
            steps += [Gate(g.name, tuple([places[p] for p in g.qubits]), g.angles) for g in inner]
            if len(steps) > self._max_operations:
                raise self.too_many(name_at)
        return steps

    def _modified(self, steps: list[Gate], modifiers: tuple[Modifier, ...]) -> list[Gate]:
        """The steps under modifiers; controls come first, the outermost one as qubit 0."""
        if not modifiers:
            return steps
        controls = sum(int(m.argument) for m in modifiers if m.name in ("ctrl", "negctrl"))
        made: list[Gate] | None = [
            Gate(g.name, tuple(q + controls for q in g.qubits), g.angles) for g in steps
        ]
        for modifier in reversed(_roots_inside(modifiers)):
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
                    if len(made) > self._max_operations // ROOM_FOR_CONTROL:
                        raise self.too_many(modifier.at)
                    made = controlled(made, controls)
                    if modifier.name == "negctrl":
                        flip = Gate("x", (controls,))
                        made = [flip, *made, flip]
            if made is None:
                names = ", ".join(sorted({g.name for g in before})[:5])
                raise self._source.error(
                    UnsupportedFeature,
                    modifier.at,
                    f"{modifier.name} @ of {names} is none of the gates that QFw has; write its decomposition",
                )
        assert made is not None
        return made

    def value(self, expression: Expression, arguments: Sequence[Value]) -> Angle:
        """The value of an expression, as an angle."""
        found = evaluate(expression, arguments, self._source, self._dialect)
        return as_angle(found, self._source, expression.at)

    def too_many(self, at: int) -> TooLarge:
        """The refusal of the statement at a token that exceeds the limit."""
        return self._source.error(
            TooLarge,
            at,
            f"the program comes to more than {self._max_operations} operations with this statement",
        )


def _roots_inside(modifiers: Sequence[Modifier]) -> list[Modifier]:
    """The modifiers with fractions of powers inside of controls: where a control says no, a root of 1 is 1."""
    ordered: list[Modifier] = []
    waiting: list[Modifier] = []
    for modifier in modifiers:
        if modifier.name == "pow" and not float(modifier.argument).is_integer():
            waiting.append(modifier)
            continue
        if modifier.name not in ("ctrl", "negctrl"):
            ordered += waiting
            waiting = []
        ordered.append(modifier)
    return [*ordered, *waiting]
