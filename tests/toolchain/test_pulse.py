"""Tool `pulse`: what is played is what the program says, within the device's rules; through the daemon, too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from math import pi
from typing import Any

import msgspec
import numpy as np
import pytest

import qfw
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import OptionError, ProgramError, StaleCalibration, UnsupportedFeature, UsageError
from qfw.model.gate_pulses import MEASURE, GatePulses
from qfw.model.gates import GATES
from qfw.model.outputs import Counts
from qfw.model.pipeline import Pipeline
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program, Reset, slot
from qfw.model.pulse import Acquire, Line, Play, Schedule, Shift, check_schedule
from qfw.platforms.twin.gate_pulses import with_pulses
from qfw.platforms.twin.models import model
from qfw.platforms.twin.pulses import check_playable, play
from qfw.qpm import registry
from qfw.qpm.tool import Target, Tool, plays
from qfw.toolchain.pulse import PulseTool
from qfw.toolchain.schedule import ScheduleTool
from tests.platforms.twin.noisy import simulate
from tests.stack import runtime_folder

TOOL = PulseTool()
PROFILE, CALIBRATION = model("heavy-hex-20")
TARGET = Target(PROFILE, with_pulses(CALIBRATION))
assert TARGET.calibration is not None and TARGET.calibration.pulses is not None
PULSES = TARGET.calibration.pulses
A, B = next(gate.qubits for gate in CALIBRATION.gates if gate.name == "cz")
C = next(
    q
    for gate in CALIBRATION.gates
    if gate.name == "cz" and B in gate.qubits
    for q in gate.qubits
    if q not in (A, B)
)
SHOTS = 40_000
X = Gate("x", (A,))


def h(qubit: int) -> tuple[Operation, ...]:
    return (Gate("rz", (qubit,), (pi / 2,)), Gate("sx", (qubit,)), Gate("rz", (qubit,), (pi / 2,)))


def program(*operations: Operation, read: tuple[int, ...] = (A,)) -> Program:
    return Program(20, len(read), 0, (*operations, *(Measure(qubit, bit) for bit, qubit in enumerate(read))))


def cz(first: int, second: int) -> Gate:
    pair = (
        (first, second) if (first, second) in {gate.qubits for gate in CALIBRATION.gates} else (second, first)
    )
    return Gate("cz", pair)


def rz(qubit: int, angle: float) -> Gate:
    return Gate("rz", (qubit,), (angle,))


#: A program, and how it is called.
PROGRAMS: dict[str, Program] = {
    "x": program(X),
    "h": program(*h(A)),
    "turn": program(Gate("sx", (A,)), rz(A, 0.7), Gate("sx", (A,))),
    "frames": program(*h(A), rz(A, 0.4), Gate("sx", (A,)), rz(A, -1.9), Gate("sx", (A,))),
    "ramsey": program(*h(A), Delay(A, 15_000), rz(A, 1.0), *h(A)),
    "t1": program(X, Delay(A, 20_000)),
    "id": program(X, *[Gate("id", (A,))] * 9),
    "bell": program(*h(A), *h(B), cz(A, B), *h(B), read=(A, B)),
    "ghz": program(*h(A), *h(B), cz(A, B), *h(B), *h(C), cz(B, C), *h(C), read=(C, A, B)),
    "phases": program(
        *h(A), *h(B), rz(B, 0.5), cz(A, B), rz(A, 1.2), *h(B), *h(A), cz(A, B), *h(B), read=(B, A)
    ),
    "apart": program(X, *h(B), *h(C), read=(A, B, C)),
}


def lowered(given: Program, target: Target = TARGET) -> Schedule:
    found = TOOL.apply(given, target, {})
    assert found.program is given and found.layout is None
    return msgspec.msgpack.decode(found.artefacts["schedule"], type=Schedule)


def frequencies(counts: dict[str, int], bits: int) -> np.ndarray:
    found = np.zeros(2**bits)
    for text, count in counts.items():
        found[int(text, 2)] += count
    return found / found.sum()


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("late", [False, True])
def test_pulses_give_what_the_program_gives(name: str, late: bool) -> None:
    given = PROGRAMS[name]
    if late:
        given = ScheduleTool().apply(given, TARGET, {"decoupling": "xy4"}).program
    schedule = lowered(given)
    check_schedule(schedule, PULSES.limits)
    check_playable(schedule, SHOTS)
    assert TARGET.calibration is not None
    found = frequencies(play(schedule, PULSES.limits, TARGET.calibration, SHOTS, 1), given.num_clbits)
    counts = simulate(TARGET.calibration, given, Counts(), shots=SHOTS, timing=PROFILE.timing).counts[0]  # type: ignore[arg-type]
    wanted = frequencies(counts, given.num_clbits)
    # Sampling; and gates' errors beyond decoherence, of which pulses have none.
    errors = sum(
        known.error
        for gate in given.gates()
        for known in CALIBRATION.gates
        if (known.name, known.qubits) == (gate.name, gate.qubits)
    )
    assert np.abs(found - wanted).max() < 5 * math.sqrt(2 * 0.25 / SHOTS) + 2 * errors


def test_instructions_are_at_their_samples() -> None:
    found = lowered(program(X, rz(A, 0.3), Delay(A, 100), Gate("sx", (A,)))).instructions
    drives = [each for each in found if isinstance(each, Play) and each.line is Line.DRIVE]
    # 32 ns are 144 samples; 132 ns are 594, and the next step of 16 is 608.
    assert [(each.start, each.duration) for each in drives] == [(0, 144), (608, 144)]
    assert [(each.start, each.phase) for each in found if isinstance(each, Shift)] == [(144, -0.3)]
    (acquire,) = [each for each in found if isinstance(each, Acquire)]
    # 164 ns are 738 samples; the pulse before is over at 752.
    assert (acquire.qubit, acquire.start, acquire.duration, acquire.bit) == (A, 752, 5408, 0)
    assert [each.start for each in found] == sorted(each.start for each in found)


def test_a_barrier_holds_to_the_sample() -> None:
    # cz takes 84 ns and 85.3 ns as a pulse: behind 20 of them the other's pulse begins 27 ns behind its time.
    given = program(*[cz(A, B)] * 20, Barrier((A, B, C)), Gate("x", (C,)), read=(A, C))
    found = lowered(given)
    controls = [e for e in found.instructions if isinstance(e, Play) and e.line is Line.CONTROL]
    end = max(each.start + each.duration for each in controls)
    (drive,) = [e for e in found.instructions if isinstance(e, Play) and e.line is Line.DRIVE]
    assert end == 20 * 384 and drive.start == end
    assert "by up to 26.7 ns" in TOOL.apply(given, TARGET, {}).notes[1]


def test_of_two_measurements_into_a_bit_the_last_is_acquired() -> None:
    found = lowered(Program(20, 1, 0, (X, Measure(A, 0), Measure(B, 0))))
    assert [each.qubit for each in found.instructions if isinstance(each, Acquire)] == [B]


def test_what_is_said_of_a_pair_counts_more_than_what_is_said_of_all() -> None:
    own = GatePulses(
        "x", (A,), 160, (Play(Line.DRIVE, (0,), 0, 160, PULSES.gates[0].instructions[0].envelope),)
    )  # type: ignore[union-attr]
    pulses = msgspec.structs.replace(PULSES, gates=(*PULSES.gates, own))
    target = Target(PROFILE, msgspec.structs.replace(TARGET.calibration, pulses=pulses))  # type: ignore[type-var]
    found = lowered(program(X, Gate("x", (B,)), read=(A, B)), target).instructions
    drives = {e.qubits[0]: e.duration for e in found if isinstance(e, Play) and e.line is Line.DRIVE}
    assert drives == {A: 160, B: 144}


def test_gates_of_another_length_have_pulses_of_their_own() -> None:
    gates = tuple(
        msgspec.structs.replace(gate, duration_ns=64) if (gate.name, gate.qubits) == ("x", (A,)) else gate
        for gate in CALIBRATION.gates
    )
    found = with_pulses(msgspec.structs.replace(CALIBRATION, gates=gates))
    assert found.pulses is not None
    assert [(g.qubits, g.duration) for g in found.pulses.gates if g.gate == "x"] == [((), 144), ((A,), 288)]
    assert found.pulses.of("x", (A,)).duration == 288 and found.pulses.of("x", (B,)).duration == 144  # type: ignore[union-attr]


def bare(name: str) -> Target:
    return Target(*model(name))


def of_light(name: str) -> Target:
    profile, calibration = model(name)
    return Target(profile, with_pulses(calibration))


SIMULATOR = Target(DeviceProfile("sim", DeviceKind.SIMULATOR, "aer", 30, tuple(GATES), ("counts",), 1))


@pytest.mark.parametrize(
    ("given", "target", "said"),
    [
        (program(X), SIMULATOR, "device sim has no calibration"),
        (program(X), bare("heavy-hex-20"), "device twin-20 does not define pulses"),
        (
            program(X),
            of_light("trapped-ion"),
            r"gate x on qubits .* is not in the calibration of twin-ion",
        ),
        (
            program(X),
            of_light("neutral-atoms"),
            r"gate x on qubits .* is not in the calibration of twin-atoms",
        ),
        (Program(20, 1, 1, (Gate("rz", (A,), (slot(0),)), Measure(A, 0))), TARGET, "bind the program first"),
        (program(Reset(A)), TARGET, f"operation 0 is a reset of qubit {A}"),
        (Program(20, 1, 0, (Measure(A, 0), IfElse((0,), 1, (X,)))), TARGET, "operation 1 is a branch"),
        (
            Program(20, 1, 0, (Measure(A, 0), X)),
            TARGET,
            f"operation 1 is gate x on qubit {A}, which was measured",
        ),
        (Program(20, 0, 0, (X,)), TARGET, "measures nothing"),
        (program(Gate("h", (A,))), TARGET, "gate h on qubits"),
    ],
)
def test_what_it_cannot_lower_is_refused_by_name(given: Program, target: Target, said: str) -> None:
    with pytest.raises(UnsupportedFeature, match=said):
        lowered(given, target)


def test_a_gate_without_pulses_and_a_schedule_beyond_the_electronics_are_refused() -> None:
    pulses = msgspec.structs.replace(PULSES, gates=tuple(g for g in PULSES.gates if g.gate != "sx"))
    target = Target(PROFILE, msgspec.structs.replace(TARGET.calibration, pulses=pulses))  # type: ignore[type-var]
    with pytest.raises(UnsupportedFeature, match=f"pulses of sx .* it does of x, id, cz, {MEASURE}, rz"):
        lowered(PROGRAMS["h"], target)
    with pytest.raises(ProgramError, match="a schedule has the samples 0 to 131072"):
        lowered(program(X, Delay(A, 100_000)))
    with pytest.raises(OptionError, match="tool pulse has no option 'late'"):
        TOOL.check_options({"late": True})


def test_it_is_a_tool_that_is_installed() -> None:
    assert isinstance(TOOL, Tool) and registry.load(registry.TOOLS, "pulse") is PulseTool
    assert plays(PulseTool) and not plays(ScheduleTool) and PulseTool.version()


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    with runtime_folder() as folder:
        settings = folder / "settings.toml"
        settings.write_text(
            'engines = []\n[platforms.twin.options]\ndevices = ["twin-20"]\nclock = "virtual"\n'
        )
        with qfw.Session(runtime_folder=folder, config=settings) as session:
            yield session


@pytest.fixture
def twin(session: Any) -> Any:
    return session.device("twin-20")


def test_a_user_lowers_checks_and_plays(twin: Any) -> None:
    bell = qfw.Program(2, 2, 0, (Gate("h", (0,)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))
    pipeline = qfw.ToolPipeline(["transpile", "schedule", "pulse"])
    lowered = pipeline.lower(bell, twin)
    assert isinstance(twin.calibration(), Calibration) and twin.calibration().pulses == PULSES
    body = {"schedule": lowered.schedule, "shots": 4000, "seed": 3, "calibration": lowered.calibration}
    times = twin.native("pulse.check")(body)
    answer = twin.native("pulse.play")(body)
    assert answer["times"] == times and answer["calibration"] == lowered.calibration
    with twin.stream() as stream:
        counts = stream.run(lowered.program, shots=4000, seed=3).result(timeout=60).counts[0]
    found, wanted = frequencies(answer["counts"], 2), frequencies(counts, 2)
    assert np.abs(found - wanted).max() < 5 * math.sqrt(2 * 0.25 / 4000) + 0.01
    assert found[0] + found[3] > 0.9


def test_a_recalibrated_twin_keeps_its_pulses_and_refuses_old_schedules(twin: Any) -> None:
    pipeline = qfw.ToolPipeline(["transpile", "pulse"])
    given = Program(1, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
    old = pipeline.lower(given, twin)
    twin.native("calibrate")({"duration_s": 1.0, "measurement_noise": 0.01})
    play = twin.native("pulse.play")
    with pytest.raises(StaleCalibration):
        play({"schedule": old.schedule, "shots": 100, "calibration": old.calibration})
    new = pipeline.lower(given, twin)
    assert new.calibration != old.calibration and twin.calibration().pulses == PULSES
    answer = play({"schedule": new.schedule, "shots": 100, "calibration": new.calibration})
    assert answer["counts"]["1"] > 85


def test_a_stream_refuses_a_pipeline_that_makes_pulses(twin: Any) -> None:
    pipeline = qfw.ToolPipeline(["transpile", qfw.Stage("last", "pulse")])
    with pytest.raises(UsageError, match=r"stage 'last' \(tool pulse\).*pulse\.play"):
        twin.stream(pipeline=pipeline)
    assert pipeline.streams == ()
    assert qfw.ToolPipeline(["transpile"]).lower(PROGRAMS["x"], twin).schedule is None


def test_no_path_takes_a_pipeline_that_makes_pulses(session: Any, twin: Any) -> None:
    pipeline = Pipeline((qfw.Stage("transpile", "transpile"), qfw.Stage("last", "pulse")))
    said = r"stage 'last' \(tool pulse\).*pulse\.play"
    with pytest.raises(UsageError, match=said):
        twin.stream(pipeline=pipeline)
    # A group has no stream: who lowers its parts refuses.
    given = Program(1, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
    with pytest.raises(UsageError, match=said):
        session.mesh(["twin-20"]).run_group(given, shots=10, pipeline=pipeline).result(timeout=60)
