"""Places of cuts that the user names, by the program's operations and qubits, and as they are named to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qfw.model.errors import OptionError
from qfw.model.program import Gate, Program
from qfw.toolchain.cut_fragments import Cuts
from qfw.toolchain.cut_gates import halves
from qfw.toolchain.cut_steps import Steps, track_before


def explicit(program: Program, steps: Steps, places: Sequence[tuple[Any, ...]]) -> Cuts:
    """The cuts at ("gate", operation) and ("wire", qubit, operation that it is cut before).

    Raises:
        OptionError: nothing can be cut there.
    """
    wires: set[tuple[int, int]] = set()
    gates: set[int] = set()
    for place in places:
        if place[-1] >= len(program.operations):
            raise OptionError(
                f"cut {list(place)}: the program has {len(program.operations)} operations, from 0 on"
            )
        if place[0] == "gate":
            gates.add(_gate(program, steps, place[1]))
        else:
            wires.add(_wire(program, steps, place[1], place[2]))
    return Cuts(tuple(sorted(wires)), tuple(sorted(gates)))


def _gate(program: Program, steps: Steps, position: int) -> int:
    for number, step in enumerate(steps.steps):
        if step.position == position and isinstance(step.op, Gate) and step.joins:
            if halves(step.op) is None:
                break
            return number
    op = program.operations[position]
    name = op.name if isinstance(op, Gate) else type(op).__name__.lower()
    raise OptionError(f"operation {position}, {name}, is no gate that can be cut: it must join two qubits")


def _wire(program: Program, steps: Steps, qubit: int, position: int) -> tuple[int, int]:
    if qubit >= program.num_qubits:
        raise OptionError(f"a wire of qubit {qubit} cannot be cut: the program has {program.num_qubits}")
    track = track_before(program, qubit, position)
    for number, step in enumerate(steps.steps):
        if step.position >= position and track in step.tracks:
            return track, number
    raise OptionError(
        f"wire of qubit {qubit}: nothing follows on it from operation {position} on; cut it earlier"
    )
