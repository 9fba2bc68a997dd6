"""Places of cuts that the user names, by the program's operations and qubits, and as they are named to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qfw.model.errors import OptionError
from qfw.model.program import Gate, Program
from qfw.toolchain.cut_fragments import Cuts
from qfw.toolchain.cut_gates import halves
from qfw.toolchain.cut_steps import Steps, tracks_before
from qfw.toolchain.cut_wires import COST, KAPPA


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


def cost(steps: Steps, cuts: Cuts) -> float:
    """Logarithm of the factor in executions that all cuts take."""
    total = COST * len(cuts.wires)
    for number in cuts.gates:
        op = steps.steps[number].op
        assert isinstance(op, Gate)
        found = halves(op)
        assert found is not None
        total += found.cost
    return total


def described(program: Program, steps: Steps, cuts: Cuts) -> list[str]:
    """Each cut in words: where it is and what it costs."""
    lines = []
    for track, number in cuts.wires:
        position = steps.steps[number].position
        qubit = tracks_before(program, position).index(track)
        lines.append(f"wire of qubit {qubit} cut before operation {position}: {KAPPA**2:.3g} × executions")
    for number in cuts.gates:
        step = steps.steps[number]
        op = program.operations[step.position]
        assert isinstance(op, Gate) and isinstance(step.op, Gate)
        found = halves(step.op)
        assert found is not None
        where = ", ".join(map(str, op.qubits))
        lines.append(
            f"gate {op.name}({where}) cut at operation {step.position}: {found.kappa**2:.3g} × executions"
        )
    return lines


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
    track = tracks_before(program, position)[qubit]
    for number, step in enumerate(steps.steps):
        if step.position >= position and track in step.tracks:
            return track, number
    raise OptionError(
        f"wire of qubit {qubit}: nothing follows on it from operation {position} on; cut it earlier"
    )
