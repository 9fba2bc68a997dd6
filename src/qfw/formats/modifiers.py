"""Gate modifiers of OpenQASM 3, `inv @`, `ctrl @`, `pow(k) @`, on gates of the normal form.

A modifier applies to a sequence of gates on formal qubits, because a gate that a program
defines is one. `power` gives None where the result is not made of gates that the normal form
has; the parser, which knows the place, says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import pi
from typing import Final

from qfw.formats.lowering import lower
from qfw.formats.recipes import applied, scaled
from qfw.formats.roots import fraction
from qfw.model.program import Affine, Angle, Gate, Program, slot


def inverse(gates: Sequence[Gate]) -> list[Gate]:
    """The inverse: every gate has one in the normal form."""
    inverted: list[Gate] = []
    for gate in reversed(gates):
        name = gate.name
        if name in _SELF_INVERSE:
            inverted.append(gate)
        elif name in _PAIRS:
            inverted.append(Gate(_PAIRS[name], gate.qubits))
        elif name in _GENERATED:
            inverted.append(Gate(name, gate.qubits, (scaled(gate.angles[0], -1.0),)))
        elif name in ("u", "cu"):
            theta, phi, lam, *gamma = (scaled(angle, -1.0) for angle in gate.angles)
            inverted.append(Gate(name, gate.qubits, (theta, lam, phi, *gamma)))
        else:
            inverted += applied(_INVERSES[name], gate.qubits, ())
    return inverted


def controlled(gates: Sequence[Gate], control: int) -> list[Gate]:
    """The sequence under one more control, a qubit that it does not use."""
    made: list[Gate] = []
    for gate in gates:
        if gate.name == "id":
            continue
        recipe = _CONTROLLED.get(gate.name)
        if recipe is not None:
            made += applied((recipe,), (control, *gate.qubits), gate.angles)
        else:
            made += controlled(_in_controllable(gate), control)
    return made


def _in_controllable(gate: Gate) -> list[Gate]:
    """A gate in those that have a controlled one, its phase included."""
    width = max(gate.qubits) + 1
    slots = 1 + max((index for a in gate.angles if isinstance(a, Affine) for index, _ in a.terms), default=-1)
    lowered = lower(Program(width, 0, slots, (gate,)), _CONTROLLABLE)
    return [op for op in lowered.operations if isinstance(op, Gate)]


def power(gates: Sequence[Gate], exponent: float) -> list[Gate] | None:
    """The sequence to a power; fractions mean the principal root, as OpenQASM 3 has it."""
    if exponent == 1:
        return list(gates)
    if exponent == 0 or not gates:
        return []
    if exponent == -1:
        return inverse(gates)
    whole = float(exponent).is_integer()
    if len(gates) != 1:
        return _repeated(gates, int(exponent)) if whole else _fraction(gates, exponent)
    (gate,) = gates
    name = gate.name
    if name in _DIAGONAL:
        diagonal, angle = _DIAGONAL[name]
        return _named(Gate(diagonal, gate.qubits, (_reduced(angle * exponent, 2 * pi),)))
    if name in ("x", "sx", "sxdg"):
        # x = h z h, so its powers are those of z between two h; as a rotation, with its phase.
        angle = _reduced({"x": pi, "sx": pi / 2, "sxdg": -pi / 2}[name] * exponent, 2 * pi)
        if angle == 0:
            return []
        for known, of in (("x", pi), ("sx", pi / 2), ("sxdg", -pi / 2)):
            if math.isclose(angle, of, rel_tol=1e-14):
                return [Gate(known, gate.qubits)]
        return [Gate("rx", gate.qubits, (angle,)), Gate("gphase", (), (angle / 2,))]
    if name in _GENERATED:
        (turn,) = gate.angles
        if not whole:
            if isinstance(turn, Affine):
                return None
            turn = _reduced(turn, _GENERATED[name])
        return [Gate(name, gate.qubits, (scaled(turn, exponent),))]
    if whole:
        if name in _SELF_INVERSE:
            return [gate] if exponent % 2 else []
        return _repeated(gates, int(exponent))
    return _fraction(gates, exponent) if name in ("u", "cu") else _root(gate, exponent)


def _fraction(gates: Sequence[Gate], exponent: float) -> list[Gate] | None:
    """A fraction of gates with known angles on one qubit, or of such under one control; None of others."""
    made = fraction(gates, exponent)
    if made is not None:
        return made
    control = gates[0].qubits[0] if gates[0].qubits else None
    beneath: list[Gate] = []
    for gate in gates:
        if gate.name == "cu" and gate.qubits[0] == control:
            beneath += (Gate("u", gate.qubits[1:], gate.angles[:3]), Gate("gphase", (), gate.angles[3:]))
        elif gate.name == "p" and gate.qubits == (control,):
            # A phase of the control is one of all that it controls.
            beneath.append(Gate("gphase", (), gate.angles))
        else:
            return None
    made = fraction(beneath, exponent)
    return None if made is None or control is None else controlled(made, control)


def _repeated(gates: Sequence[Gate], exponent: int) -> list[Gate] | None:
    """The sequence so many times; None where that is too many."""
    if abs(exponent) * len(gates) > MAX_REPEATED:
        return None
    return list(gates if exponent > 0 else inverse(gates)) * abs(exponent)


def _root(gate: Gate, exponent: float) -> list[Gate] | None:
    """A fraction of a gate without angles: what it is on its eigenvectors, to that power."""
    name, qubits = gate.name, gate.qubits
    if name == "y":
        angle = _reduced(pi * exponent, 2 * pi)
        return [Gate("ry", qubits, (angle,)), Gate("gphase", (), (angle / 2,))]
    if name == "h":
        # The axis of h is half way between those of z and x.
        turned = power([Gate("z", qubits)], exponent) or []
        return [Gate("ry", qubits, (-pi / 4,)), *turned, Gate("ry", qubits, (pi / 4,))]
    if name == "swap":
        # On |01> - |10> it is -1, and 1 on all else.
        across = Gate("cx", qubits)
        between = power([Gate("cx", qubits[::-1])], exponent) or []
        return [across, *between, across]
    base = _BASES.get(name)
    if base is None:
        return None
    control, *rest = qubits
    made = power([Gate(base, tuple(rest))], exponent)
    return None if made is None else controlled(made, control)


def _reduced(angle: float, period: float) -> float:
    """The angle within (-period/2, period/2]."""
    rest = math.remainder(angle, period)
    return -rest if rest == -period / 2 else rest


def _named(gate: Gate) -> list[Gate]:
    """A phase gate by its own name where it has one; nothing where it does nothing."""
    angle = gate.angles[0]
    if angle == 0:
        return []
    if not isinstance(angle, Affine):
        for name, (kind, turn) in _DIAGONAL.items():
            if kind == gate.name and math.isclose(angle, turn, rel_tol=1e-14):
                return [Gate(name, gate.qubits)]
    return [gate]


def _one(name: str, num_qubits: int, *angles: Angle) -> Gate:
    return Gate(name, tuple(range(num_qubits)), angles)


#: Gates that a power may come to.
MAX_REPEATED: Final = 100_000

#: Of a controlled gate what is controlled.
_BASES: Final = {
    "cx": "x", "cy": "y", "ch": "h", "csx": "sx", "ccx": "cx", "ccz": "cz", "cswap": "swap",
}  # fmt: skip
_SELF_INVERSE: Final = frozenset(
    {"id", "x", "y", "z", "h", "cx", "cy", "cz", "ch", "swap", "ecr", "ccx", "ccz", "cswap"}
)
_PAIRS: Final = {"s": "sdg", "sdg": "s", "t": "tdg", "tdg": "t", "sx": "sxdg", "sxdg": "sx"}
#: Gates e^{i angle G}: a power multiplies the angle; and the angle after which they repeat.
_GENERATED: Final = {
    "p": 2 * pi, "cp": 2 * pi, "gphase": 2 * pi,
    **dict.fromkeys(("rx", "ry", "rz", "crx", "cry", "crz", "rxx", "ryy", "rzz"), 4 * pi),
}  # fmt: skip
#: Gates that are a phase gate with this angle.
_DIAGONAL: Final = {
    "z": ("p", pi), "s": ("p", pi / 2), "sdg": ("p", -pi / 2), "t": ("p", pi / 4), "tdg": ("p", -pi / 4),
    "cz": ("cp", pi),
}  # fmt: skip
_INVERSES: Final = {
    "csx": (_one("cu", 2, -pi / 2, -pi / 2, pi / 2, -pi / 4),),
    "iswap": (_one("rxx", 2, pi / 2), _one("ryy", 2, pi / 2)),
}
_CONTROLLED: Final[dict[str, Gate]] = {
    "gphase": _one("p", 1, slot(0)),
    **{name: _one("c" + name, 2) for name in ("x", "y", "z", "h", "sx")},
    **{
        name: _one("cp", 2, angle) for name, (kind, angle) in _DIAGONAL.items() if kind == "p" and name != "z"
    },
    **{name: _one("c" + name, 2, slot(0)) for name in ("p", "rx", "ry", "rz")},
    "sxdg": _INVERSES["csx"][0],
    "u": _one("cu", 2, slot(0), slot(1), slot(2), 0.0),
    "cx": _one("ccx", 3),
    "cz": _one("ccz", 3),
    "swap": _one("cswap", 3),
}
_CONTROLLABLE: Final = frozenset(_CONTROLLED) - {"sxdg", "swap", "cz"}
