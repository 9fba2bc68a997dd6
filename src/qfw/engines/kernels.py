"""Gates of the normal form as calls of PennyLane-Lightning's kernels, and a phase of the whole state."""

from __future__ import annotations

from math import pi
from typing import NamedTuple


class Call(NamedTuple):
    """One call of a kernel, a method of Lightning's statevector."""

    method: str
    #: Which of the gate's qubits it acts on, in the kernel's order; controls first.
    places: tuple[int, ...] = (0,)
    #: The kernel's angles: constants, or weights of the gate's angles.
    angles: tuple[float | tuple[float, ...], ...] = ()
    inverse: bool = False
    #: Of `places`: controls that the kernel does not have of itself.
    controls: int = 0


class Recipe(NamedTuple):
    """A gate: its calls, the first acts first; and its phase in radians, a constant and weights of its angles."""

    calls: tuple[Call, ...]
    constant: float = 0.0
    weights: tuple[float, ...] = ()


def _plain(method: str, num_qubits: int = 1, inverse: bool = False) -> Recipe:
    return Recipe((Call(method, tuple(range(num_qubits)), inverse=inverse),))


def _turn(method: str, num_qubits: int = 1) -> Recipe:
    return Recipe((Call(method, tuple(range(num_qubits)), ((1.0,),)),))


#: Every gate of `qfw.model.gates`. Lightning's Rot(a, b, c) is Rz(c) Ry(b) Rz(a). Its SX runs as a general
#: matrix: a quarter turn with a phase is three times faster.
RECIPES: dict[str, Recipe] = {
    "id": Recipe(()),
    "x": _plain("PauliX"),
    "y": _plain("PauliY"),
    "z": _plain("PauliZ"),
    "h": _plain("Hadamard"),
    "s": _plain("S"),
    "sdg": _plain("S", inverse=True),
    "t": _plain("T"),
    "tdg": _plain("T", inverse=True),
    "sx": Recipe((Call("RX", angles=(pi / 2,)),), pi / 4),
    "sxdg": Recipe((Call("RX", angles=(-pi / 2,)),), -pi / 4),
    "rx": _turn("RX"),
    "ry": _turn("RY"),
    "rz": _turn("RZ"),
    "p": _turn("PhaseShift"),
    "u": Recipe(
        (Call("Rot", angles=((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))),),
        weights=(0.0, 0.5, 0.5),
    ),
    "cx": _plain("CNOT", 2),
    "cy": _plain("CY", 2),
    "cz": _plain("CZ", 2),
    "ch": Recipe((Call("Hadamard", (0, 1), controls=1),)),
    "csx": Recipe((Call("CRX", (0, 1), (pi / 2,)), Call("PhaseShift", (0,), (pi / 4,)))),
    "swap": _plain("SWAP", 2),
    "iswap": Recipe((Call("IsingXY", (0, 1), (pi,)),)),
    "cp": _turn("ControlledPhaseShift", 2),
    "crx": _turn("CRX", 2),
    "cry": _turn("CRY", 2),
    "crz": _turn("CRZ", 2),
    "rxx": _turn("IsingXX", 2),
    "ryy": _turn("IsingYY", 2),
    "rzz": _turn("IsingZZ", 2),
    "cu": Recipe(
        (
            Call("CRot", (0, 1), ((0.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0))),
            Call("PhaseShift", (0,), ((0.0, 0.5, 0.5, 1.0),)),
        )
    ),
    "ccx": _plain("Toffoli", 3),
    "ccz": Recipe((Call("PauliZ", (0, 1, 2), controls=2),)),
    "cswap": _plain("CSWAP", 3),
    "gphase": Recipe((), weights=(1.0,)),
}

#: By Pauli: the call after which measuring Z is measuring that Pauli.
CHANGES = {"X": Call("Hadamard"), "Y": Call("RX", angles=(pi / 2,))}
#: Lightning's names of observables.
OBSERVABLES = {"X": "PauliX", "Y": "PauliY", "Z": "PauliZ"}
#: Every method of the statevector that is called here.
METHODS = frozenset(
    call.method for calls in (*(r.calls for r in RECIPES.values()), tuple(CHANGES.values())) for call in calls
)
