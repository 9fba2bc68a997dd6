"""Figures of programs: those found in one pass are those found one by one, whatever a calibration lacks."""

from __future__ import annotations

import random

import msgspec
import pytest

from qfw.model.calibration import Calibration
from qfw.model.native import SYMMETRIC
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program, Reset
from qfw.platforms.twin.models import model
from qfw.qpm.quality import depth, duration_s, fidelity, figures
from qfw.qpm.tool import Target

PROFILE, CALIBRATION = model("heavy-hex-20")
ONE = sorted({gate.name for gate in CALIBRATION.gates if len(gate.qubits) == 1})
TWO = [(gate.name, gate.qubits) for gate in CALIBRATION.gates if len(gate.qubits) == 2]


def _random(draw: random.Random, measured: bool) -> Program:
    operations: list[Operation] = [Gate("gphase", (), (0.5,))]
    for _ in range(60):
        qubit = draw.randrange(20)
        name, pair = draw.choice(TWO)
        if name in SYMMETRIC and draw.random() < 0.5:
            pair = pair[::-1]
        angles = (0.25,)
        one = draw.choice(ONE)
        operations.append(
            draw.choice(
                (
                    Gate(one, (qubit,), angles if one in {"rx", "ry", "rz", "p"} else ()),
                    Gate(name, pair),
                    Gate(name, pair),
                    Reset(qubit),
                    Delay(qubit, draw.randrange(500)),
                    Barrier((qubit, (qubit + 3) % 20)),
                    Barrier(()),
                )
            )
        )
    if measured:
        operations += [Measure(qubit, qubit) for qubit in draw.sample(range(20), 5)]
    return Program(20, 20, 0, tuple(operations))


def _agree(program: Program, target: Target) -> None:
    found = figures(program, target)
    gates = [gate for gate in program.gates() if gate.qubits]
    assert found.gates == len(gates)
    assert found.two_qubit_gates == sum(len(gate.qubits) == 2 for gate in gates)
    assert found.depth == depth(program)
    assert found.fidelity == fidelity(program, target.calibration)
    assert found.duration_s == duration_s(program, target)


@pytest.mark.parametrize("measured", [False, True])
def test_one_pass_finds_what_three_do(measured: bool) -> None:
    draw = random.Random(3)
    for _ in range(30):
        program = _random(draw, measured)
        _agree(program, Target(PROFILE, CALIBRATION))
        _agree(program, Target(PROFILE))


def _with(error: float | None, operational: bool) -> Calibration:
    """The calibration with another first pair; of the error None without the pair."""
    name, qubits = TWO[0]
    gates = []
    for gate in CALIBRATION.gates:
        if gate.name == name and set(gate.qubits) == set(qubits):
            if error is None:
                continue
            gate = msgspec.structs.replace(gate, error=error, operational=operational)
        gates.append(gate)
    return msgspec.structs.replace(CALIBRATION, gates=tuple(gates))


@pytest.mark.parametrize(
    ("error", "operational"), [(None, True), (0.01, False), (1.0, True), (1.0, False), (0.0, True)]
)
def test_what_a_calibration_lacks_is_none_in_both(error: float | None, operational: bool) -> None:
    target = Target(PROFILE, _with(error, operational))
    name, pair = TWO[0]
    for operations in (
        (Gate(name, pair), Measure(pair[0], 0)),
        (Gate(name, pair), Gate("ccx", (0, 1, 2))),
        (Gate("ccx", (0, 1, 2)), Gate(name, pair)),
        (Gate(name, pair[::-1]), Reset(pair[1])),
    ):
        _agree(Program(20, 1, 0, operations), target)


def test_a_program_with_blocks_and_an_empty_one_have_figures() -> None:
    name, pair = TWO[0]
    block = IfElse((0,), 1, (Gate(name, pair),), ())
    _agree(Program(20, 1, 0, (Measure(0, 0), block)), Target(PROFILE, CALIBRATION))
    found = figures(Program(20, 1, 0, (Measure(0, 0), block)), Target(PROFILE, CALIBRATION))
    assert (found.gates, found.two_qubit_gates, found.depth) == (1, 1, 2)
    _agree(Program(2, 0, 0, ()), Target(PROFILE, CALIBRATION))
    _agree(Program(21, 0, 0, (Gate("x", (20,)),)), Target(PROFILE, CALIBRATION))
