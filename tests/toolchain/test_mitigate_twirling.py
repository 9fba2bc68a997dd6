"""Twirling: every frame does the same, in native gates, and all frames together make a Pauli channel of any error."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Operator, PauliList

from qfw.model.native import check_native
from qfw.model.program import Barrier, Gate, Measure, Program, slot
from qfw.platforms.twin.models import MODELS, model
from qfw.qpm.tool import Target
from qfw.toolchain.mitigate_inverses import Inverses
from qfw.toolchain.mitigate_twirling import twirled
from tests.toolchain.mitigating import chain, lowered, matrix, same_up_to_phase
from tests.toolchain.programs import NUM_SLOTS, PARAMETERS, straight

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
ANY = Inverses(None)
CLIFFORD = [
    *((name, ()) for name in ("cx", "cy", "cz", "ecr", "swap", "iswap")),
    ("rzz", (np.pi / 2,)), ("rxx", (-np.pi / 2,)), ("ryy", (np.pi,)), ("cp", (np.pi,)), ("crz", (np.pi,)),
]  # fmt: skip
PAULIS = [Operator(pauli).data for pauli in PauliList(["".join(word) for word in product("IXYZ", repeat=2)])]


def frames(name: str, angles: tuple[float, ...]) -> list[Program]:
    """One program for each frame of a gate on qubits 1 and 0."""
    program = Program(2, 0, 0, (Gate(name, (1, 0), angles),))
    found = {t.program.digest: t.program for t in (twirled(program, seed, ANY) for seed in range(400))}
    return list(found.values())


@pytest.mark.parametrize(("name", "angles"), CLIFFORD)
def test_each_of_sixteen_frames_does_the_same(name: str, angles: tuple[float, ...]) -> None:
    wanted = matrix(Program(2, 0, 0, (Gate(name, (1, 0), angles),)))
    found = frames(name, angles)
    assert len(found) == 16
    for program in found:
        assert same_up_to_phase(matrix(program), wanted)


@pytest.mark.parametrize(("name", "angles"), CLIFFORD)
def test_any_error_becomes_a_pauli_channel(name: str, angles: tuple[float, ...]) -> None:
    """Coherent over-rotations of several kinds behind the gate: their transfer matrix is diagonal on average."""
    ideal = matrix(Program(2, 0, 0, (Gate(name, (1, 0), angles),)))
    error = (Gate("rx", (0,), (0.3,)), Gate("rzz", (0, 1), (0.2,)), Gate("crx", (1, 0), (0.4,)))

    def transfer(program: Program) -> np.ndarray:
        spoilt = []
        for op in program.operations:
            spoilt += [op, *error] if isinstance(op, Gate) and len(op.qubits) == 2 else [op]
        channel = matrix(Program(2, 0, 0, tuple(spoilt))) @ ideal.conj().T
        return np.array(
            [[np.trace(p @ channel @ q @ channel.conj().T).real / 4 for q in PAULIS] for p in PAULIS]
        )

    found = frames(name, angles)
    alone = transfer(Program(2, 0, 0, (Gate(name, (1, 0), angles),)))
    mean = sum(map(transfer, found)) / len(found)
    assert np.abs(alone - np.diag(np.diag(alone))).max() > 0.1
    assert np.abs(mean - np.diag(np.diag(mean))).max() < 1e-9
    assert np.allclose(np.diag(mean), np.diag(alone))


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
@given(program=straight(max_qubits=3, max_gates=10, measured=True), seed=st.integers(0, 2**40))
def test_programs_do_the_same(program: Program, seed: int) -> None:
    found = twirled(program, seed, ANY).program
    found.check()
    assert not found.has_control and found.terminal_measurements == program.terminal_measurements
    assert same_up_to_phase(matrix(found, PARAMETERS), matrix(program, PARAMETERS))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_native_programs_stay_native(name: str) -> None:
    target = Target(*model(name))
    ghz = Program(
        3, 3, 0, (Gate("h", (0,)), Gate("cx", (0, 1)), Gate("cx", (1, 2)), *map(Measure, range(3), range(3)))
    )
    program, _ = lowered(ghz, (), target)
    found = twirled(program, 5, Inverses(frozenset(target.profile.native_gates)))
    check_native(found.program, target.profile)
    assert found.framed == found.wide == 2 and found.program != program


@pytest.mark.parametrize(
    ("gate", "size"),
    [
        (Gate("rzz", (1, 0), (0.3,)), 8),
        (Gate("rxx", (1, 0), (slot(0),)), 8),
        (Gate("cp", (1, 0), (slot(0, 2.0, 0.1),)), 4),
        (Gate("crx", (1, 0), (slot(2, -1.0),)), 4),
        (Gate("csx", (1, 0)), 4),
        (Gate("ch", (1, 0)), 4),
    ],
)
def test_other_gates_have_the_frames_that_they_let_through(gate: Gate, size: int) -> None:
    """As many as Paulis that they make Paulis of, whatever the angle."""
    program = Program(2, 0, NUM_SLOTS, (gate,))
    found = {t.program.digest: t.program for t in (twirled(program, seed, ANY) for seed in range(200))}
    assert len(found) == size
    for parameters in (PARAMETERS, (0.0, np.pi, -0.4)):
        for each in found.values():
            assert same_up_to_phase(matrix(each, parameters), matrix(program, parameters))


def test_nearly_a_clifford_gate_is_none() -> None:
    program = Program(2, 0, 0, (Gate("rzz", (1, 0), (np.pi / 2 + 1e-6,)),))
    found = {twirled(program, seed, ANY).program.digest for seed in range(200)}
    assert len(found) == 8


def test_gates_of_three_qubits_and_what_lets_nothing_through_stay_alone() -> None:
    anything = Gate("cu", (1, 0), (0.3, 0.4, 0.5, 0.6))
    program = Program(3, 0, 0, (Gate("ccx", (0, 1, 2)), anything))
    found = twirled(program, 1, ANY)
    assert found.wide == 2 and found.framed == 1
    # The control of any gate lets Z through.
    names = [op.name for op in found.program.operations if isinstance(op, Gate)]
    assert names in (["ccx", "cu"], ["ccx", "z", "cu", "z"])
    assert twirled(Program(3, 0, 0, (Gate("ccx", (0, 1, 2)),)), 1, ANY).framed == 0


def test_between_two_gates_a_qubit_has_one_pauli() -> None:
    program = Program(2, 0, 0, (Gate("cz", (0, 1)), Barrier((0, 1))) * 20)
    counts = []
    for seed in range(20):
        operations = twirled(program, seed, ANY).program.operations
        assert all(
            len({q for op in between for q in op.qubits}) == len(between) for between in _between(operations)
        )
        counts.append(sum(len(op.qubits) == 1 for op in operations if isinstance(op, Gate)))
    # 42 places, at each of which a Pauli is there three times in four.
    assert 25 < np.mean(counts) < 38


def _between(operations) -> list[list[Gate]]:
    found: list[list[Gate]] = [[]]
    for op in operations:
        if isinstance(op, Gate) and len(op.qubits) == 2:
            found.append([])
        elif isinstance(op, Gate):
            found[-1].append(op)
    return found


def test_equal_seeds_give_equal_frames() -> None:
    program = Program(3, 0, 0, tuple(Gate("cx", (k % 2, k % 2 + 1)) for k in range(30)))
    assert twirled(program, 7, ANY) == twirled(program, 7, ANY)
    assert len({twirled(program, seed, ANY).program.digest for seed in range(50)}) == 50
    assert chain(0) == chain(0)
