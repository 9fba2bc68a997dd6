"""Gates with slots are written so that making native gates of them brings no phase by slots."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

pytest.importorskip("qiskit")

from hypothesis import HealthCheck, given, settings

from qfw.formats import qiskit_rewriting
from qfw.formats.phases import without_phases
from qfw.formats.qiskit_parameters import is_number
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.gates import GATES
from qfw.model.program import Affine, Gate, IfElse, Measure, Operation, Program, While, slot
from qfw.qpm.tool import Target
from qfw.toolchain import qiskit_passes
from tests.toolchain.programs import controlled, same_distribution, same_state, straight

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
NATIVE = [
    ("rz", "sx", "x", "cz"),
    ("rx", "ry", "rz", "rxx"),
    ("rz", "sx", "ecr"),
    ("rz", "h", "cx"),
    ("p", "sx", "cx"),
    ("u", "cx"),
    ("u", "cp"),
    ("u", "ryy"),
]
ANGLED = [name for name, spec in GATES.items() if spec.num_angles]


def _gate(name: str, shift: int = 0) -> Gate:
    spec = GATES[name]
    angles = tuple(slot((i + shift) % 4, 0.5 + shift, 0.2) for i in range(spec.num_angles))
    return Gate(name, tuple((shift + q) % 4 for q in range(spec.num_qubits)), angles)


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("level", [0, 1])
def test_no_gate_brings_the_passes_a_phase_by_slots(native: tuple[str, ...], level: int) -> None:
    profile = DeviceProfile("few", DeviceKind.HARDWARE, "few", 4, native, ("counts",), 1, lowered_only=True)
    for name in ANGLED:
        program = without_phases(Program(4, 0, 4, (Gate("h", (0,)), _gate(name))), native)
        circuit = qiskit_rewriting.outward(program)
        assert is_number(circuit.global_phase)
        passes = qiskit_passes._passes(profile, None, level, 0)
        assert is_number(passes.run(circuit).global_phase), name


@pytest.mark.parametrize("native", NATIVE)
@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(program=straight())
def test_gates_do_the_same(native: tuple[str, ...], program: Program) -> None:
    found = without_phases(program, native)
    assert not any(gate.name == "gphase" and isinstance(gate.angles[0], Affine) for gate in found.gates())
    same_state(program, found)


@pytest.mark.parametrize("native", NATIVE[:5])
@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(program=straight())
def test_where_a_phase_is_native_it_is_kept_to_the_last(native: tuple[str, ...], program: Program) -> None:
    found = without_phases(program, (*native, "gphase"))
    phases = [gate for gate in found.gates() if gate.name == "gphase" and isinstance(gate.angles[0], Affine)]
    assert len(phases) <= 1
    same_state(program, found, phase=True)


@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(program=controlled())
def test_blocks_do_the_same(program: Program) -> None:
    same_distribution(program, without_phases(program, NATIVE[0]))


def test_blocks_are_entered() -> None:
    p = Gate("p", (0,), (slot(0),))
    rz = Gate("rz", (0,), (slot(0),))

    def program(gate: Gate) -> Program:
        body = (While((0,), 1, (IfElse((0,), 1, (gate,), (gate,)), Measure(0, 0)), 3),)
        return Program(1, 1, 1, (Measure(0, 0), *body))

    assert without_phases(program(p), NATIVE[0]) == program(rz)


def test_what_has_nothing_to_write_is_the_same_object() -> None:
    numbers = (Gate("p", (0,), (0.3,)), Gate("u", (1,), (0.1, 0.2, 0.3)), Gate("rx", (0,), (slot(0),)))
    block = IfElse((0,), 1, numbers)
    program = Program(2, 1, 1, (*numbers, Measure(0, 0), block))
    assert without_phases(program, NATIVE[0]) is program
    own = Program(2, 0, 1, (Gate("p", (0,), (slot(0),)), Gate("u", (1,), (slot(0), 0.1, slot(0)))))
    assert without_phases(own, tuple(GATES)) is own


@pytest.fixture
def within_a_minute() -> Iterator[None]:
    """A wait inside Qiskit cannot be ended otherwise: the default action of this signal ends the process."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("name", ["p", "u", "cp", "cu"])
def test_many_such_gates_are_lowered(name: str, within_a_minute: None) -> None:
    profile = DeviceProfile(
        "few", DeviceKind.HARDWARE, "few", 4, NATIVE[0], ("counts",), 1, lowered_only=True
    )
    body: list[Operation] = [_gate(name, index) for index in range(512)]
    found = qiskit_passes.lowered(Program(4, 0, 4, tuple(body)), Target(profile, None), 1, 0)
    assert found is not None
    assert {gate.name for gate in found[0].gates()} <= {*NATIVE[0], "gphase"}
    assert sum(len(gate.qubits) == 2 for gate in found[0].gates()) <= 1024
    angles = [angle for gate in found[0].gates() for angle in gate.angles if isinstance(angle, Affine)]
    assert {index for angle in angles for index, _ in angle.terms} == {0, 1, 2, 3}
