"""Pairs that a program makes over a link: found in it, and given the time that the link takes."""

from __future__ import annotations

from collections.abc import Sequence

from qfw.model.device import DeviceProfile
from qfw.model.errors import UnsupportedFeature
from qfw.model.operations import qubits_of
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Reset, While

#: What a pair is made with: on the first qubit, and over the link.
TURN, ACROSS = "h", "cx"


class Pairs:
    """Looks at the operations of a program over two devices, in order."""

    def __init__(self, one: DeviceProfile, two: DeviceProfile, wait_ns: int) -> None:
        """`wait_ns`: mean time that a pair takes."""
        self._profiles = (one, two)
        self._offset = one.max_qubits
        self._wait_ns = wait_ns
        #: Qubits that were reset last, and where the reset stands; those that were turned after that.
        self._reset: dict[int, int] = {}
        self._turned: dict[int, int] = {}

    def block(self, operations: Sequence[Operation]) -> list[Operation]:
        """The block with the link's time in front of every pair.

        Raises:
            UnsupportedFeature: a gate between the devices that makes no pair, or a gate that a device lacks.
        """
        self._reset, self._turned = {}, {}
        found: list[Operation] = []
        waits: list[tuple[int, int]] = []
        for op in operations:
            match op:
                case Reset():
                    self._touched((op.qubit,))
                    self._reset[op.qubit] = len(found)
                    found.append(op)
                case Gate() if op.name == ACROSS and self._side(op.qubits[0]) != self._side(op.qubits[1]):
                    first, second = op.qubits
                    if first not in self._turned or second not in self._reset:
                        raise UnsupportedFeature(
                            f"cx on qubits {op.qubits} goes over the link, which makes entangled pairs only: reset "
                            f"both qubits, h on {first}, then cx. Have the program lowered by the tool distribute"
                        )
                    waits += [(self._turned[first], first), (self._reset[second], second)]
                    self._touched(op.qubits, False)
                    found.append(op)
                case Gate():
                    self._gate(op)
                    found.append(op)
                case IfElse():
                    self._touched(sorted(qubits_of((op,))))
                    found.append(IfElse(op.clbits, op.value, self._inner(op.then), self._inner(op.otherwise)))
                case While():
                    self._touched(sorted(qubits_of((op,))))
                    found.append(While(op.clbits, op.value, self._inner(op.body), op.max_trips))
                case Measure() | Delay():
                    self._touched((op.qubit,))
                    found.append(op)
                case Barrier():
                    found.append(op)
        self._touched(list(self._turned))
        for place, qubit in sorted(waits, reverse=True):
            found.insert(place, Delay(qubit, self._wait_ns))
        return found

    def _inner(self, operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        inner = Pairs(*self._profiles, self._wait_ns)
        return tuple(inner.block(operations))

    def _gate(self, gate: Gate) -> None:
        sides = {self._side(qubit) for qubit in gate.qubits}
        if len(sides) > 1:
            raise UnsupportedFeature(
                f"{gate.name} on qubits {gate.qubits} acts on both twins; have the program lowered by the tool "
                "distribute"
            )
        for side in sides:
            profile = self._profiles[side]
            if gate.name in profile.native_gates:
                continue
            (qubit, *_) = gate.qubits
            if gate.name == TURN and qubit in self._reset:
                self._turned[qubit] = self._reset.pop(qubit)
                return
            raise UnsupportedFeature(
                f"gate {gate.name} on qubits {gate.qubits} is not native to {profile.name}, which has "
                f"{', '.join(profile.native_gates)}; have the program lowered by the tool distribute"
            )
        if gate.name == TURN and gate.qubits[0] in self._reset:
            self._turned[gate.qubits[0]] = self._reset.pop(gate.qubits[0])
            return
        self._touched(gate.qubits)

    def _touched(self, qubits: Sequence[int], alone: bool = True) -> None:
        for qubit in qubits:
            self._reset.pop(qubit, None)
            place = self._turned.pop(qubit, None)
            profile = self._profiles[self._side(qubit)]
            if alone and place is not None and TURN not in profile.native_gates:
                raise UnsupportedFeature(
                    f"h on qubit {qubit} makes one half of a pair only: {profile.name} has no such gate; a cx over the "
                    "link must follow"
                )

    def _side(self, qubit: int) -> int:
        return int(qubit >= self._offset)
