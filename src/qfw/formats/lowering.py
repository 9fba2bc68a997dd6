"""A program in the gates that a device has, by the table of `recipes`.

Lowering is exact. The global phase that a recipe brings is collected and written as
one `gphase` at the end of the block where the native set has `gphase`, and dropped
where not: gates here are never under a quantum control, so nobody can observe it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from qfw.formats.recipes import RECIPES, Recipe, added, applied, substituted
from qfw.model.errors import UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Gate, IfElse, Operation, Program, While


def lower(program: Program, native: frozenset[str]) -> Program:
    """The program in `native` gates; the same object where it has no other.

    Angles stay constants or affine in the same slots; measurements, resets, barriers and
    the structure of blocks stay. The plan of a native set is computed once.

    Raises:
        UnsupportedFeature: a gate cannot be made of the native ones.
    """
    if _is_native(program.operations, native):
        return program
    operations = _lowered(program.operations, native, plans(native))
    return Program(program.num_qubits, program.num_clbits, program.num_slots, operations)


class _Step(NamedTuple):
    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...]
    #: Whether no angle depends on those of the gate that is replaced.
    constant: bool


class Plan(NamedTuple):
    """How a gate is made of others: these steps, and a global phase, by its angles as slots."""

    steps: tuple[_Step, ...]
    phase: Angle

    def applied(self, qubits: tuple[int, ...], angles: tuple[Angle, ...]) -> list[Gate]:
        """The gates in place of one on these qubits with these angles."""
        return [
            Gate(
                name,
                tuple([qubits[p] for p in positions]),
                step_angles if constant else tuple([substituted(angle, angles) for angle in step_angles]),
            )
            for name, positions, step_angles, constant in self.steps
        ]


def _is_native(operations: tuple[Operation, ...], native: frozenset[str]) -> bool:
    for op in operations:
        if isinstance(op, Gate):
            if op.name not in native:
                return False
        elif isinstance(op, IfElse):
            if not (_is_native(op.then, native) and _is_native(op.otherwise, native)):
                return False
        elif isinstance(op, While) and not _is_native(op.body, native):
            return False
    return True


def _lowered(
    operations: tuple[Operation, ...], native: frozenset[str], plans: dict[str, Plan]
) -> tuple[Operation, ...]:
    out: list[Operation] = []
    append = out.append
    phase: Angle = 0.0
    keeps_phase = "gphase" in native
    for op in operations:
        if isinstance(op, Gate):
            name, qubits, angles = op.name, op.qubits, op.angles
            if name in native:
                append(op)
                continue
            plan = plans.get(name)
            if plan is None:
                raise _unreachable(name, native)
            out += plan.applied(qubits, angles)
            if keeps_phase and plan.phase:
                phase = added(phase, substituted(plan.phase, angles))
        elif isinstance(op, IfElse):
            then = _lowered(op.then, native, plans)
            append(IfElse(op.clbits, op.value, then, _lowered(op.otherwise, native, plans)))
        elif isinstance(op, While):
            append(While(op.clbits, op.value, _lowered(op.body, native, plans), op.max_trips))
        else:
            append(op)
    if phase:
        append(Gate("gphase", (), (phase,)))
    return tuple(out)


@cache
def plans(native: frozenset[str]) -> dict[str, Plan]:
    """How to make every gate that can be made of `native`, most cheaply."""
    choices = _choices(native)
    return {name: _plan(_expanded(name, choices)) for name in choices}


def _choices(native: frozenset[str]) -> dict[str, Recipe]:
    """The best recipe of every gate that has one: costs relaxed until none falls (Bellman and Ford).

    A recipe's cost falls strictly along its steps, so the choices hold no cycle.
    """
    # A phase costs nothing: it is either written once at the end or dropped.
    costs = {name: _COST[GATES[name].num_qubits] for name in native if name in GATES} | {"gphase": 0}
    choices: dict[str, Recipe] = {"gphase": ()}
    changed = True
    while changed:
        changed = False
        for name, recipes in RECIPES.items():
            if name in native:
                continue
            for recipe in recipes:
                if all(step.name in costs for step in recipe):
                    # + 1, so that a gate always costs more than each of its steps.
                    cost = 1 + sum(costs[step.name] for step in recipe)
                    if cost < costs.get(name, _NEVER):
                        costs[name], choices[name], changed = cost, recipe, True
    return choices


def _expanded(name: str, choices: dict[str, Recipe]) -> list[Gate]:
    gates: list[Gate] = []
    for step in choices[name]:
        if step.name == "gphase" or step.name not in choices:
            gates.append(step)
        else:
            gates += applied(tuple(_expanded(step.name, choices)), step.qubits, step.angles)
    return gates


def _plan(gates: list[Gate]) -> Plan:
    steps: list[_Step] = []
    phase: Angle = 0.0
    for gate in gates:
        if gate.name == "gphase":
            phase = added(phase, gate.angles[0])
        else:
            constant = not any(isinstance(angle, Affine) for angle in gate.angles)
            steps.append(_Step(gate.name, gate.qubits, gate.angles, constant))
    return Plan(tuple(steps), phase)


def _unreachable(name: str, native: frozenset[str]) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"gate {name} cannot be made of the native gates {', '.join(sorted(native)) or '(none)'}; "
        "choose an engine or device with more gates, or rewrite the program without it"
    )


#: Cost of a native gate by its number of qubits: entangling gates dominate time and error.
_COST = (0, 10, 100, 1000)
_NEVER = 1 << 60
