"""How gates act on each of their qubits: which of them surely commute, and which are rotations about one axis."""

from __future__ import annotations

from math import pi
from typing import Final

from qfw.model.program import Gate

#: For each qubit of a gate the Pauli matrix that the gate, seen from that qubit alone, is made of: sums of products in
#: which this qubit has the identity or that matrix only. "-": of more than one.
AXES: Final[dict[str, str]] = {
    "gphase": "",
    **dict.fromkeys(("id", "z", "s", "sdg", "t", "tdg", "rz", "p"), "Z"),
    **dict.fromkeys(("x", "sx", "sxdg", "rx"), "X"),
    **dict.fromkeys(("y", "ry"), "Y"),
    **dict.fromkeys(("h", "u"), "-"),
    **dict.fromkeys(("cz", "cp", "crz", "rzz"), "ZZ"),
    **dict.fromkeys(("cx", "csx", "crx"), "ZX"),
    **dict.fromkeys(("cy", "cry"), "ZY"),
    **dict.fromkeys(("ch", "cu"), "Z-"),
    **dict.fromkeys(("swap", "iswap"), "--"),
    "ecr": "-X",
    "rxx": "XX",
    "ryy": "YY",
    "ccx": "ZZX",
    "ccz": "ZZZ",
    "cswap": "Z--",
}

#: Gates that are their own inverse, and pairs that are each other's.
INVERSES: Final[dict[str, str]] = {
    **{
        name: name
        for name in ("x", "y", "z", "h", "cx", "cy", "cz", "ch", "swap", "ecr", "ccx", "ccz", "cswap")
    },
    "s": "sdg",
    "sdg": "s",
    "t": "tdg",
    "tdg": "t",
    "sx": "sxdg",
    "sxdg": "sx",
}

#: Gates of one angle of which two in a row are one with the sum: those that are a phase -1 (times the angle's half
#: turns) after a full turn, the identity after a full turn, and the identity after two turns only.
TURNS: Final = frozenset({"rx", "ry", "rz", "rxx", "ryy", "rzz"})
PHASES: Final = frozenset({"p", "cp"})
CONTROLLED: Final = frozenset({"crx", "cry", "crz"})
ROTATIONS: Final = TURNS | PHASES | CONTROLLED

#: Gates that are a rotation by a fixed angle: the axis, the angle, and the global phase besides, in radians.
FIXED: Final[dict[str, tuple[str, float, float]]] = {
    "x": ("rx", pi, pi / 2),
    "sx": ("rx", pi / 2, pi / 4),
    "sxdg": ("rx", -pi / 2, -pi / 4),
    "y": ("ry", pi, pi / 2),
    "z": ("rz", pi, pi / 2),
    "s": ("rz", pi / 2, pi / 4),
    "sdg": ("rz", -pi / 2, -pi / 4),
    "t": ("rz", pi / 4, pi / 8),
    "tdg": ("rz", -pi / 4, -pi / 8),
}

#: Gates that are the same with all, or with their first two, qubits exchanged.
ALL_ALIKE: Final = frozenset({"cz", "cp", "swap", "iswap", "rxx", "ryy", "rzz", "ccz"})
FIRST_ALIKE: Final = frozenset({"ccx"})


def axis(gate: Gate, qubit: int) -> str:
    """The axis of a gate on one of its qubits; "-": none."""
    return AXES[gate.name][gate.qubits.index(qubit)]


def commute(first: Gate, second: Gate) -> bool:
    """Whether two gates commute for certain, whatever their angles: on every qubit of both they have one axis."""
    return all(
        axis(first, qubit) == axis(second, qubit) != "-" for qubit in first.qubits if qubit in second.qubits
    )


def same_place(first: Gate, second: Gate) -> bool:
    """Whether two gates of one name act on the same qubits in the same way."""
    if first.qubits == second.qubits:
        return True
    if first.name in ALL_ALIKE:
        return set(first.qubits) == set(second.qubits)
    if first.name in FIRST_ALIKE:
        return first.qubits[2] == second.qubits[2] and set(first.qubits) == set(second.qubits)
    return (
        first.name == "cswap"
        and first.qubits[0] == second.qubits[0]
        and set(first.qubits) == set(second.qubits)
    )
