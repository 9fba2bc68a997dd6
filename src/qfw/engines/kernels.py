"""Gates of the normal form as calls of PennyLane-Lightning's kernels, and a phase of the whole state.

Lightning's wire 0 is the most significant bit, our qubit 0 the least. Its kernels do not check wires: one
beyond the register ends the process. So qubits are checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import pi
from typing import Any, NamedTuple

from qfw.model.errors import ProgramError


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
    "ecr": Recipe(
        (Call("CNOT", (0, 1)), Call("RX", (1,), (pi / 2,)), Call("S", (0,)), Call("PauliX", (0,))),
    ),
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
#: After it, the parity of both qubits is the second one's value.
FOLD = Call("CNOT", (0, 1))
#: Every method of the statevector that is called.
METHODS = frozenset(
    call.method for recipe in RECIPES.values() for call in (*recipe.calls, *CHANGES.values(), FOLD)
)


class Step(NamedTuple):
    """A call with its wires. `angles` may be filled in anew for each parameter set."""

    kernel: Callable[[Any, list[int], bool, list[float]], None]
    wires: list[int]
    inverse: bool
    angles: list[float]


class Kernels:
    """Makes steps for statevectors of one width."""

    def __init__(self, statevector: Any, num_qubits: int) -> None:
        """Of Lightning's class of statevectors."""
        self._statevector = statevector
        self._num_qubits = num_qubits

    def step(self, call: Call, qubits: Sequence[int], angles: Iterable[float] = ()) -> Step:
        """`call` on the qubits of a gate.

        Raises:
            ProgramError: a qubit is not one of the register's.
        """
        wires = [self.wire(qubits[place]) for place in call.places]
        kernel = getattr(self._statevector, call.method)
        if call.controls:
            kernel = _controlled(kernel, call.controls)
        return Step(kernel, wires, call.inverse, list(angles))

    def change(self, factors: Iterable[tuple[int, str]]) -> list[Step]:
        """Steps after which measuring Z on each qubit is measuring the Pauli named with it."""
        calls = [(qubit, CHANGES[pauli]) for qubit, pauli in factors if pauli != "Z"]
        return [
            self.step(call, (qubit,), [angle for angle in call.angles if isinstance(angle, float)])
            for qubit, call in calls
        ]

    def wire(self, qubit: int) -> int:
        """Lightning's number of a qubit. Raises ProgramError where there is none such."""
        if not 0 <= qubit < self._num_qubits:
            raise ProgramError(
                f"qubit {qubit} is not one of the program's {self._num_qubits}, which count from 0"
            )
        return self._num_qubits - 1 - qubit


def apply(steps: Iterable[Step], state: Any) -> None:
    """Runs `steps` on a statevector."""
    for kernel, wires, inverse, angles in steps:
        kernel(state, wires, inverse, angles)


def undo(steps: Sequence[Step], state: Any) -> None:
    """Runs the inverse of `steps`."""
    for kernel, wires, inverse, angles in reversed(steps):
        kernel(state, wires, not inverse, angles)


def _controlled(kernel: Any, controls: int) -> Callable[[Any, list[int], bool, list[float]], None]:
    ones = [True] * controls

    def call(state: Any, wires: list[int], inverse: bool, angles: list[float]) -> None:
        kernel(state, wires[:controls], ones, wires[controls:], inverse, angles)

    return call
