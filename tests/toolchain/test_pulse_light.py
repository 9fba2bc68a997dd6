"""Tool `pulse` for ions and atoms: pulses turn qubits as their gates do; worked out here, and played by a twin."""

from __future__ import annotations

import math
from functools import reduce

import msgspec
import numpy as np
import pytest

from qfw.model.errors import UnsupportedFeature
from qfw.model.gate_pulses import Follow, GatePulses, Part, broken_definition
from qfw.model.program import Affine, Gate, Measure, Operation, Program
from qfw.model.pulse import Acquire, Coupling, Line, Play, Schedule, Shift, check_schedule
from qfw.platforms.twin.gate_pulses import with_pulses
from qfw.platforms.twin.models import model
from qfw.platforms.twin.pulses import check_playable, play
from qfw.qpm.tool import Target
from qfw.toolchain.pulse import PulseTool

X, Y, Z = (np.array(m) for m in ([[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]))
SHOTS = 100_000
#: Of each model three qubits that meet: of the atoms 18 and 19 side by side, and 0 that is carried to them.
PLACES = {"trapped-ion": (2, 5, 3), "neutral-atoms": (18, 0, 19)}
TARGETS = {}
for name in PLACES:
    profile, calibration = model(name)
    TARGETS[name] = Target(profile, with_pulses(calibration))


def turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """exp(-i angle/2 axis), of an axis that is its own inverse."""
    return math.cos(angle / 2) * np.eye(len(axis)) - 1j * math.sin(angle / 2) * axis


def on(places: tuple[int, ...], *factors: np.ndarray) -> np.ndarray:
    """A product on three qubits; qubit 0 is the rightmost."""
    each = [np.eye(2)] * 3
    for place, factor in zip(places, factors, strict=True):
        each[place] = factor
    return reduce(np.kron, reversed(each))


def phase_of_11(places: tuple[int, ...], angle: float) -> np.ndarray:
    ones = np.array([all(index >> place & 1 for place in places) for index in range(8)])
    return np.diag(np.where(ones, np.exp(-1j * angle), 1.0))


def of_gate(gate: Gate, where: tuple[int, ...]) -> np.ndarray:
    places = tuple(where.index(qubit) for qubit in gate.qubits)
    match gate.name, gate.angles:
        case "cz", _:
            return phase_of_11(places, math.pi)
        case "rxx", (float(a),):
            return turn(on(places, X, X), a)
        case "u", (float(a), float(b), float(c)):
            return on(places, turn(Z, b) @ turn(Y, a) @ turn(Z, c))
        case name, (float(a),):
            return on(places, turn({"rx": X, "ry": Y, "rz": Z}[name], a))
    raise AssertionError(gate)


def of_schedule(schedule: Schedule, target: Target, where: tuple[int, ...]) -> np.ndarray:
    """What pulses do, by what the limits say of them; with the frames that are left at the end."""
    limits = target.calibration.pulses.limits  # type: ignore[union-attr]
    found, frames = np.eye(8, dtype=complex), dict.fromkeys(where, 0.0)
    for each in sorted(schedule.instructions, key=lambda each: (each.start, not isinstance(each, Shift))):
        if isinstance(each, Acquire) or each.line is Line.MEASURE:
            continue
        places = tuple(where.index(qubit) for qubit in each.qubits)
        if isinstance(each, Shift):
            frames[each.qubits[0]] += each.phase
            continue
        area = 2 * math.pi / 1000 * limits.dt_ns * complex(each.envelope.samples(each.duration).sum())
        axes = [math.cos(f) * X + math.sin(f) * Y for f in (frames[q] for q in each.qubits)]
        if each.line is Line.DRIVE:
            f = frames[each.qubits[0]] + float(np.angle(area))
            found = on(places, turn(math.cos(f) * X + math.sin(f) * Y, limits.rabi_mhz * abs(area))) @ found
        elif limits.coupling is Coupling.XX:
            found = turn(on(places, *axes), limits.coupling_mhz * area.real) @ found
        else:
            found = phase_of_11(places, limits.coupling_mhz * area.real) @ found
    for place, qubit in enumerate(where):
        found = on((place,), turn(Z, -frames[qubit])) @ found
    return found


def drawn(name: str, seed: int, gates: int) -> tuple[Operation, ...]:
    """Native gates of all kinds on the three qubits, with any angles."""
    rng, where = np.random.default_rng(seed), PLACES[name]
    found = []
    for index in range(gates):
        kind = TARGETS[name].profile.native_gates[index % len(TARGETS[name].profile.native_gates)]
        qubits = [int(q) for q in rng.permutation(where)]
        angles = tuple(float(a) for a in rng.uniform(-9, 9, {"cz": 0, "u": 3}.get(kind, 1)))
        found.append(Gate(kind, tuple(qubits[: 2 if kind in ("cz", "rxx") else 1]), angles))
    return tuple(found)


def lowered(name: str, operations: tuple[Operation, ...]) -> Schedule:
    target = TARGETS[name]
    ends = (Measure(qubit, bit) for bit, qubit in enumerate(PLACES[name]))
    made = PulseTool().apply(Program(target.profile.max_qubits, 3, 0, (*operations, *ends)), target, {})
    schedule: Schedule = msgspec.msgpack.decode(made.artefacts["schedule"], type=Schedule)
    check_schedule(schedule, target.calibration.pulses.limits)  # type: ignore[union-attr]
    check_playable(schedule, SHOTS)
    return schedule


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("seed", range(4))
def test_pulses_are_their_gates_and_so_a_twin_plays_them(name: str, seed: int) -> None:
    operations, where, target = drawn(name, seed, 20), PLACES[name], TARGETS[name]
    schedule = lowered(name, operations)
    wanted = reduce(lambda done, op: of_gate(op, where) @ done, operations, np.eye(8))  # type: ignore[arg-type]
    overlap = np.trace(wanted.conj().T @ of_schedule(schedule, target, where)) / 8
    # A phase of the whole state is nothing.
    assert abs(abs(overlap) - 1) < 1e-9
    qubits = [
        msgspec.structs.replace(q, t1_us=1e15, t2_us=1e15, read1_given0=0.0, read0_given1=0.0)
        for q in target.calibration.qubits  # type: ignore[union-attr]
    ]
    truth = msgspec.structs.replace(target.calibration, qubits=tuple(qubits))  # type: ignore[type-var]
    counts = play(schedule, target.calibration.pulses.limits, truth, SHOTS, seed)  # type: ignore[union-attr]
    found = np.array([counts.get(format(index, "03b"), 0) / SHOTS for index in range(8)])
    assert np.abs(found - np.abs(wanted[:, 0]) ** 2).max() < 5 * math.sqrt(0.25 / SHOTS)


def test_pulses_take_as_long_as_their_gates_say() -> None:
    # 2 and 5 have two ions between them, either way round: 228 µs of 10 ns; 2 and 3 none.
    for qubits, samples in (((2, 5), 22_800), ((5, 2), 22_800), ((2, 3), 22_000)):
        found = lowered("trapped-ion", (Gate("rxx", qubits, (1.0,)),)).instructions
        assert [e.duration for e in found if isinstance(e, Play) and e.line is Line.CONTROL] == [samples]
    # 0.4 µs of light between atoms that sit side by side; in the middle of the way where one is carried.
    for qubits in ((18, 19), (18, 0)):
        found = lowered("neutral-atoms", (Gate("cz", qubits),)).instructions
        (light,) = [each for each in found if isinstance(each, Play) and each.line is Line.CONTROL]
        behind = min(each.start for each in found if isinstance(each, Acquire) and each.qubit == 18)
        assert light.duration == 40 and abs(behind - 40 - 2 * light.start) <= 8
        assert (light.start == 0) == (qubits == (18, 19))


@pytest.mark.parametrize("name", ["rx", "rz", "rxx"])
def test_slots_are_bound_first(name: str) -> None:
    gate = Gate(name, (2, 5) if name == "rxx" else (2,), (Affine(((0, 1.0),), 0.0),))
    given = Program(24, 1, 1, (gate, Measure(2, 0)))
    with pytest.raises(UnsupportedFeature, match=f"gate {name}, .* bind the program first"):
        PulseTool().apply(given, TARGETS["trapped-ion"], {})
    PulseTool().apply(given.bound([0.4]), TARGETS["trapped-ion"], {})


def test_definitions_that_do_not_follow_their_angles_are_refused() -> None:
    pulses = TARGETS["trapped-ion"].calibration.pulses  # type: ignore[union-attr]
    rx = pulses.of("rx", (2,))  # type: ignore[union-attr]
    rxx = pulses.of("rxx", (2, 3))  # type: ignore[union-attr]
    follow = Follow(0, Part.AMPLITUDE, 0, 1.0)

    def said(each: GatePulses, *follows: Follow) -> str:
        changed = msgspec.structs.replace(each, follows=follows)
        return broken_definition(msgspec.structs.replace(pulses, gates=(changed,)))

    assert said(rx, follow) == "" and said(rxx, follow) == ""
    assert said(rx) == "gates[0] follows must say what depends on angle 0 of rx"
    assert "must name one of 1 instructions and of 1 angles" in said(
        rx, follow, msgspec.structs.replace(follow, instruction=1)
    )
    assert "must name one" in said(rx, follow, msgspec.structs.replace(follow, angle=1))
    assert "factor must be finite" in said(rx, msgspec.structs.replace(follow, factor=math.inf))
    assert "follows no angle of crx" in said(msgspec.structs.replace(rxx, gate="crx"), follow)
    shift = msgspec.structs.replace(rx, instructions=(Shift(Line.DRIVE, (0,), 0, 0.0),))
    assert "an amplitude is that of a pulse" in said(shift, follow)
    assert said(shift, msgspec.structs.replace(follow, part=Part.PHASE)) == ""
