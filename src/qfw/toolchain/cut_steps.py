"""Programs as the tool `cut` looks at them: steps on tracks, without swaps, without what no answer depends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from qfw.model.errors import UnsupportedFeature
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Program, Reset, While


class Step(NamedTuple):
    """A gate, barrier or delay; its qubits are tracks."""

    #: Of the operation in the program that it comes of.
    position: int
    op: Gate | Barrier | Delay
    #: Rising only where the operation has no order.
    tracks: tuple[int, ...]

    @property
    def joins(self) -> bool:
        """Whether it is a gate of several qubits."""
        return isinstance(self.op, Gate) and len(self.tracks) > 1


class Steps(NamedTuple):
    """A program without control. A swap is no step: it exchanges the tracks of two qubits."""

    steps: tuple[Step, ...]
    num_tracks: int
    num_slots: int
    #: Track of each qubit at the end.
    ends: tuple[int, ...]

    @staticmethod
    def of(program: Program) -> Steps:
        """The steps of a program; measurements at its end and global phases change no answer and are left out.

        An iswap is s on both qubits, cz, and a swap.

        Raises:
            UnsupportedFeature: it branches, resets or goes on behind a measurement; says where.
        """
        steps: list[Step] = []
        track = list(range(program.num_qubits))
        measured: set[int] = set()
        for position, op in enumerate(program.operations):
            match op:
                case Measure():
                    measured.add(op.qubit)
                case Reset() | IfElse() | While():
                    raise UnsupportedFeature(
                        f"tool cut takes programs without control; operation {position} is a "
                        f"{type(op).__name__.lower()}. Use a device that is wide enough, without the tool"
                    )
                case Delay():
                    steps.append(Step(position, op, (track[op.qubit],)))
                case Barrier():
                    steps.append(Step(position, op, tuple(track[q] for q in op.qubits) or tuple(track)))
                case Gate():
                    if again := measured.intersection(op.qubits):
                        raise UnsupportedFeature(
                            f"tool cut takes programs that measure at their end; operation {position}, {op.name}, "
                            f"acts on qubit {min(again)} behind its measurement"
                        )
                    if op.qubits:
                        steps.extend(Step(position, gate, gate.qubits) for gate in _plain(op, track))
        return Steps(tuple(steps), program.num_qubits, program.num_slots, tuple(track))


def tracks_before(program: Program, position: int) -> list[int]:
    """Track that each qubit is on before the operation at `position`."""
    track = list(range(program.num_qubits))
    for op in program.operations[:position]:
        if isinstance(op, Gate) and op.name in ("swap", "iswap"):
            one, two = op.qubits
            track[one], track[two] = track[two], track[one]
    return track


def _plain(gate: Gate, track: list[int]) -> Iterator[Gate]:
    """The gate on tracks; `track` follows its swap."""
    tracks = tuple(track[q] for q in gate.qubits)
    if gate.name not in ("swap", "iswap"):
        yield Gate(gate.name, tracks, gate.angles)
        return
    if gate.name == "iswap":
        yield from (Gate("s", (tracks[0],)), Gate("s", (tracks[1],)), Gate("cz", tracks))
    one, two = gate.qubits
    track[one], track[two] = track[two], track[one]
