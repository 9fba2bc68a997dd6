"""The operations that a walk over a Qiskit circuit found, as operations of a Program."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from math import pi
from typing import Any, Final

from qfw.formats.recipes import Recipe, applied
from qfw.model.gates import GATES
from qfw.model.operations import acted_on
from qfw.model.program import (
    Affine,
    Angle,
    Barrier,
    Delay,
    Gate,
    IfElse,
    Measure,
    Operation,
    Reset,
    While,
    slot,
)


def _same(name: str) -> Recipe:
    spec = GATES[name]
    return (Gate(name, tuple(range(spec.num_qubits)), tuple(slot(i) for i in range(spec.num_angles))),)


_A = slot(0)
_H1 = Gate("h", (1,))


def _rzx(angle: Angle) -> Recipe:
    return (_H1, Gate("rzz", (0, 1), (angle,)), _H1)


#: Gates of Qiskit's own that are written without their definition, by Qiskit's name: a recipe over the
#: gate's qubits and arguments.
RULES: Final[dict[str, Recipe]] = {
    **{name: _same(name) for name in GATES if name != "gphase"},
    "global_phase": (Gate("gphase", (), (_A,)),),
    "u1": _same("p"),
    "u2": (Gate("u", (0,), (pi / 2, slot(0), slot(1))),),
    "u3": _same("u"),
    "r": (Gate("u", (0,), (_A, slot(1, 1.0, -pi / 2), slot(1, -1.0, pi / 2))),),
    "cu1": _same("cp"),
    "cu3": (Gate("cu", (0, 1), (_A, slot(1), slot(2), 0.0)),),
    "cs": (Gate("cp", (0, 1), (pi / 2,)),),
    "csdg": (Gate("cp", (0, 1), (-pi / 2,)),),
    "dcx": (Gate("cx", (0, 1)), Gate("cx", (1, 0))),
    "rzx": _rzx(_A),
}

#: Qubits and arguments of each of them.
ARITIES: Final[dict[str, tuple[int, int]]] = {
    name: (
        max((q + 1 for gate in recipe for q in gate.qubits), default=0),
        max(
            (i + 1 for g in recipe for a in g.angles if isinstance(a, Affine) for i, _ in a.terms),
            default=0,
        ),
    )
    for name, recipe in RULES.items()
}


#: Those of them that are gates of the same name here, with the same qubits and angles.
DIRECT: Final[frozenset[str]] = frozenset(
    name
    for name, (num_qubits, num_angles) in ARITIES.items()
    if tuple(RULES[name]) == (Gate(name, tuple(range(num_qubits)), tuple(map(slot, range(num_angles)))),)
)


def operations(key: Sequence[Hashable], angles: Sequence[Angle]) -> tuple[Operation, ...]:
    """The operations of a walk (`qiskit_walk.Walk.key`), whose arguments are `angles`."""
    return tuple(_operations(key, iter(angles), set()))


def _operations(key: Sequence[Any], angles: Iterator[Angle], touched: set[int] | None) -> Iterator[Operation]:
    """Operations of a block; `touched` are the qubits used so far, None within blocks."""
    elements = iter(key)
    for element in elements:
        if isinstance(element, str):
            num_qubits, num_angles = ARITIES[element]
            qubits = [next(elements) for _ in range(num_qubits)]
            if touched is not None:
                touched.update(qubits)
            given = [next(angles) for _ in range(num_angles)]
            if element in DIRECT:
                yield Gate(element, tuple(qubits), tuple(given))
            else:
                yield from applied(RULES[element], qubits, given)
            continue
        kind, *rest = element
        if kind == "measure":
            if touched is not None:
                touched.add(rest[0])
            yield Measure(*rest)
        elif kind == "reset":
            # Every qubit begins in |0>: a reset of one that nothing has touched changes nothing, and
            # devices without control run the rest.
            if touched is None or rest[0] in touched:
                yield Reset(*rest)
        elif kind == "barrier":
            yield Barrier(*rest)
        elif kind == "delay":
            yield Delay(*rest)
        elif kind == "if":
            clbits, value, then, otherwise = rest
            yes = tuple(_operations(then, angles, None))
            no = tuple(_operations(otherwise, angles, None))
            if touched is not None:
                touched |= acted_on((*yes, *no))
            yield IfElse(clbits, value, yes, no)
        else:
            clbits, value, body, max_trips = rest
            block = tuple(_operations(body, angles, None))
            if touched is not None:
                touched |= acted_on(block)
            yield While(clbits, value, block, max_trips)
