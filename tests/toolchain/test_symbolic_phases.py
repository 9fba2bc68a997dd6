"""Global phases of slots: passes never meet one, as they would take a time for it that doubles with every few gates."""

from __future__ import annotations

import subprocess
import sys

import pytest

from qfw.formats import qiskit_rewriting, symbolic_phases
from qfw.formats.qiskit_target import ideal_target
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.gates import GATES
from qfw.model.program import Affine, Gate, IfElse, Measure, Operation, Program, slot
from qfw.qpm.tool import Target
from qfw.toolchain.transpile import TranspileTool
from tests.toolchain.programs import NUM_SLOTS, same_distribution, same_state

qiskit_transpiler = pytest.importorskip("qiskit.transpiler")

NATIVE = [
    ("rx", "rz", "cz"),
    ("rz", "sx", "x", "cx"),
    ("rz", "sx", "ecr"),
    ("rx", "ry", "rz", "rxx"),
    ("rz", "ry", "rx", "rzz"),
    ("u", "cz"),
    ("u", "cx"),
    ("p", "rx", "cz"),
    ("u", "p", "cp"),
    ("u", "rz", "cx"),
]
ANGLED = [name for name, gate in GATES.items() if gate.num_angles]


def device(native: tuple[str, ...]) -> DeviceProfile:
    return DeviceProfile(
        "d", DeviceKind.HARDWARE, "d", 3, native, ("counts",), 1, control=True, lowered_only=True
    )


def gates_of_slots(repeated: int = 1) -> tuple[Operation, ...]:
    """Every gate with angles, its angles all slots, between gates without symmetry."""
    found: list[Operation] = []
    for turn, name in enumerate(ANGLED * repeated):
        gate = GATES[name]
        angles = tuple(Affine((((turn + i) % NUM_SLOTS, 0.3 + i),), 0.1 * i) for i in range(gate.num_angles))
        qubits = ((turn % 3), (turn + 1) % 3)[: gate.num_qubits]
        found += [Gate("h", (turn % 3,)), Gate(name, qubits, angles), Gate("cx", ((turn + 1) % 3, turn % 3))]
    return tuple(found)


@pytest.mark.parametrize("native", NATIVE, ids="-".join)
def test_no_pass_makes_a_phase_of_slots(native: tuple[str, ...]) -> None:
    manager = qiskit_transpiler.generate_preset_pass_manager(0, target=ideal_target(device(native)))
    for position in range(len(ANGLED)):
        (_, gate, _) = gates_of_slots()[3 * position : 3 * position + 3]
        written, _ = symbolic_phases.without(Program(3, 0, NUM_SLOTS, (gate,)), frozenset(native))
        circuit = manager.run(qiskit_rewriting.outward(written))
        assert not getattr(circuit.global_phase, "parameters", ()), gate
        assert circuit.parameters or gate.name == "gphase"


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("native", NATIVE, ids="-".join)
def test_the_program_does_the_same(native: tuple[str, ...], level: int) -> None:
    program = Program(3, 0, NUM_SLOTS, gates_of_slots())
    found = TranspileTool().apply(program, Target(device(native)), {"level": level})
    assert {gate.name for gate in found.program.gates()} <= {*native, "gphase"}
    same_state(program, found.program, found.layout)


@pytest.mark.parametrize("native", NATIVE[:3], ids="-".join)
def test_within_blocks(native: tuple[str, ...]) -> None:
    body = gates_of_slots()
    program = Program(
        3,
        3,
        NUM_SLOTS,
        (
            Gate("h", (0,)),
            Measure(0, 0),
            IfElse((0,), 1, body, body[3:9]),
            *(Measure(q, q) for q in range(3)),
        ),
    )
    found = TranspileTool().apply(program, Target(device(native)), {})
    same_distribution(program, found.program, found.layout)


def test_what_is_native_or_constant_stays() -> None:
    program = Program(2, 0, 1, (Gate("u", (0,), (slot(0), 0.0, 0.0)), Gate("p", (1,), (0.3,))))
    assert symbolic_phases.without(program, frozenset({"u", "cz"}))[0] is program
    written, phase = symbolic_phases.without(program, frozenset({"rx", "rz", "cz"}))
    assert written.operations[-1] is program.operations[-1]
    assert not phase


def test_many_gates_are_lowered() -> None:
    """1600 gates, which took longer than anybody would wait from 130 on."""
    text = (
        "from tests.toolchain.test_symbolic_phases import *\n"
        "program = Program(3, 0, NUM_SLOTS, gates_of_slots(60))\n"
        "found = TranspileTool().apply(program, Target(device(('rz', 'sx', 'cx'))), {}).program\n"
        "print(len(found.operations))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=True
    )
    assert int(done.stdout) > 1600
