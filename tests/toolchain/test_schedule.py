"""Tool `schedule`: the same program, every wait of it written down, as late as possible; waits that are decoupled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import pi
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import OptionError, TooLarge, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.operations import acted_on
from qfw.model.outputs import Counts
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.model.timing import circuit_ns, durations_of
from qfw.numerics.gates import matrix
from qfw.platforms.twin.models import model
from qfw.qpm import registry
from qfw.qpm.tool import Target, Tool
from qfw.toolchain.schedule import ScheduleTool
from tests.platforms.twin.noisy import TIMING, calibration, simulate
from tests.toolchain.programs import NUM_SLOTS, controlled, same_distribution, same_state, straight

TOOL = ScheduleTool()
#: Every gate of the normal form, 40 ns on one qubit and 300 ns on more; readout 1000 ns, reset 800 ns.
PROFILE = DeviceProfile(
    "small", DeviceKind.TWIN, "twin", 4, tuple(set(GATES) - {"gphase"}), ("counts",), 1, timing=TIMING
)
TARGET = Target(PROFILE, calibration(4))
TWIN = Target(*model("heavy-hex-20"))
H, X, READ = Gate("h", (0,)), Gate("x", (0,)), Measure(0, 0)

OPTIONS = st.fixed_dictionaries(
    {
        "policy": st.sampled_from(["alap", "asap"]),
        "decoupling": st.sampled_from(["none", "x2", "xy4", "xy8"]),
        "spacing": st.sampled_from(["cpmg", "even"]),
        "threshold_ns": st.sampled_from([0, 1, 500]),
    }
)


def scheduled(
    *operations: Operation, target: Target = TARGET, width: int = 3, **options: Any
) -> tuple[Operation, ...]:
    program = Program(width, 3, NUM_SLOTS, operations)
    found = TOOL.apply(program, target, options)
    assert found.layout is None
    found.program.check()
    return found.program.operations


def begins(operations: Sequence[Operation], width: int, target: Target = TARGET) -> dict[int, list[int]]:
    """When each operation of each qubit but delays begins, where nobody waits for anybody: raises if one has to."""
    assert target.calibration is not None
    durations, now = durations_of(target.calibration), [0] * width
    used = acted_on(operations)
    found: dict[int, list[int]] = {qubit: [] for qubit in range(width)}
    for op in operations:
        match op:
            case Gate():
                held, lasts_ns = op.qubits, durations.of(op)
            case Barrier():
                held, lasts_ns = op.qubits or tuple(range(width)), 0
            case Delay():
                held, lasts_ns = (op.qubit,), op.duration_ns
            case Measure() | Reset():
                held, lasts_ns = (op.qubit,), durations.of(op)
            case _:
                raise AssertionError(op)
        at = max((now[qubit] for qubit in held), default=0)
        assert all(now[qubit] == at for qubit in held if qubit in used), f"{op} waits: {now}"
        for qubit in held:
            if not isinstance(op, Delay):
                found[qubit].append(at)
            now[qubit] = at + lasts_ns
    return found


@settings(max_examples=80, deadline=None)
@given(program=straight(), options=OPTIONS)
def test_the_state_stays_and_nobody_waits(program: Program, options: dict[str, Any]) -> None:
    found = TOOL.apply(program, TARGET, options).program
    same_state(program, found)
    begins(found.operations, found.num_qubits)
    assert TARGET.calibration is not None
    assert circuit_ns(found, TARGET.calibration, TIMING) == circuit_ns(program, TARGET.calibration, TIMING)
    assert TOOL.apply(found, TARGET, options).program == found


@settings(max_examples=40, deadline=None)
@given(program=straight(measured=True), options=OPTIONS)
def test_counts_stay(program: Program, options: dict[str, Any]) -> None:
    found = TOOL.apply(program, TARGET, options).program
    same_distribution(program, found)
    begins(found.operations, found.num_qubits)
    assert found.has_control == program.has_control


@settings(max_examples=60, deadline=None)
@given(program=controlled(), options=OPTIONS)
def test_programs_with_control_keep_their_distribution(program: Program, options: dict[str, Any]) -> None:
    found = TOOL.apply(program, TARGET, options).program
    same_distribution(program, found)
    assert TOOL.apply(found, TARGET, options).program == found


def test_a_wait_for_a_measurement_holds_up_nobody_the_second_time() -> None:
    program = Program(3, 1, 0, (Measure(0, 0), Gate("h", (1,)), Measure(0, 0), Measure(2, 0)))
    found = TOOL.apply(program, TARGET, {}).program
    assert [op.qubit for op in found.operations if isinstance(op, Delay)] == [2]
    assert TOOL.apply(found, TARGET, {}).program == found


def test_late_is_late_and_soon_is_soon() -> None:
    chain = (X, Gate("h", (1,)), Gate("cx", (1, 2)), Gate("h", (1,)), Gate("cx", (0, 1)), READ, Measure(2, 1))
    late, soon = scheduled(*chain), scheduled(*chain, policy="asap")
    assert late[:2] == (Delay(0, 340), X)
    assert soon[:2] == (X, Gate("h", (1,)))
    assert begins(late, 3)[0] == [340, 380, 680]
    assert begins(soon, 3)[0] == [0, 380, 680]
    # Qubit 2 is measured with qubit 0, and not when it is ready.
    assert begins(late, 3)[2] == [40, 680]
    assert begins(soon, 3)[2] == [40, 340]


def test_what_is_read_at_the_end_waits_for_it() -> None:
    assert scheduled(X, Gate("cx", (1, 2)), policy="asap") == (X, Gate("cx", (1, 2)), Delay(0, 260))
    assert scheduled(X, Gate("cx", (1, 2))) == (Delay(0, 260), X, Gate("cx", (1, 2)))


def test_delays_of_the_program_stay() -> None:
    ramsey = (H, Delay(0, 5000), H, READ)
    assert scheduled(*ramsey, decoupling="xy4") == ramsey


def test_pulses_are_set_apart_as_was_asked() -> None:
    def gaps(**options: Any) -> list[int]:
        found = scheduled(
            H, Gate("h", (1,)), Gate("cx", (0, 1)), Delay(1, 1000), Gate("cx", (0, 1)), **options
        )
        return [op.duration_ns for op in found if isinstance(op, Delay) and op.qubit == 0]

    assert gaps(decoupling="none") == [1000]
    assert gaps(decoupling="x2") == [230, 460, 230]
    assert gaps(decoupling="x2", spacing="even") == [307, 306, 307]
    assert gaps(decoupling="xy4") == [105, 210, 210, 210, 105]
    assert gaps(decoupling="x2", threshold_ns=1001) == [1000] != gaps(decoupling="x2", threshold_ns=1000)


def gate_names(target: Target, wait_ns: int, sequence: str) -> list[str]:
    pair = next(g.qubits for g in target.calibration.gates if len(g.qubits) == 2)  # type: ignore[union-attr]
    gate = next(g.name for g in target.calibration.gates if len(g.qubits) == 2)  # type: ignore[union-attr]
    angles = (0.3,) * GATES[gate].num_angles
    one = Gate(gate, pair, angles)
    found = scheduled(
        one, Delay(pair[1], wait_ns), one, target=target, width=pair[1] + 1, decoupling=sequence
    )
    return [op.name for op in found if isinstance(op, Gate) and op.qubits == pair[:1]]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("heavy-hex-20", ["x", "rz", "x", "x", "rz", "x"]),
        ("trapped-ion", ["rx", "ry", "rx", "ry"]),
        ("neutral-atoms", ["rx", "ry", "rx", "ry"]),
    ],
)
def test_sequences_are_of_native_gates(name: str, wanted: list[str]) -> None:
    assert gate_names(Target(*model(name)), 10**7, "xy4") == wanted


def test_a_qubit_without_gates_for_it_is_left_alone_and_named() -> None:
    whole = TARGET.calibration
    assert whole is not None
    bare = Calibration(
        "small", "1", 0.0, whole.qubits, tuple(g for g in whole.gates if g.name in ("h", "cx"))
    )
    program = Program(2, 0, 0, (H, Gate("cx", (0, 1)), Delay(1, 9000), Gate("cx", (0, 1))))
    found = TOOL.apply(program, Target(PROFILE, bare), {"decoupling": "x2"})
    assert Delay(0, 9000) in found.program.operations
    assert "on qubits 0: their waits are not filled" in found.notes[-1]


def test_qubits_in_their_ground_state_or_measured_are_not_decoupled() -> None:
    wait = Delay(1, 9000)
    for ending in ((Reset(0),), (READ,)):
        found = scheduled(H, *ending, Barrier((0, 1)), wait, Barrier((0, 1)), H, decoupling="x2")
        assert X not in found
    assert X in scheduled(H, Barrier((0, 1)), wait, Barrier((0, 1)), H, decoupling="x2")
    assert X not in scheduled(Barrier((0, 1)), wait, Barrier((0, 1)), H, decoupling="x2")


def coherence(operations: Sequence[Operation], detunings_mhz: np.ndarray) -> float:
    """Probability to find qubit 0 in |0>, with a detuning that does not change during a shot; mean over shots."""
    assert TARGET.calibration is not None
    durations, found = durations_of(TARGET.calibration), []
    for detuning in detunings_mhz:
        state = np.array([1, 0], dtype=complex)
        for op in operations:
            lasts_ns = 0
            if isinstance(op, Delay) and op.qubit == 0:
                lasts_ns = op.duration_ns
            elif isinstance(op, Gate) and op.qubits == (0,):
                state, lasts_ns = matrix(op.name, *op.angles) @ state, durations.of(op)
            turn = 2 * pi * detuning * lasts_ns * 1e-3
            state = np.exp([-0.5j * turn, 0.5j * turn]) * state
        found.append(abs(state[0]) ** 2)
    return float(np.mean(found))


@pytest.mark.parametrize(("sequence", "least"), [("x2", 0.98), ("xy4", 0.98), ("xy8", 0.97)])
def test_decoupling_undoes_a_slow_detuning(sequence: str, least: float) -> None:
    # Qubit 0 waits in |+> for 20 µs, and is off by some 60 kHz, another value in every shot.
    program = (H, Barrier((0, 1)), Delay(1, 20_000), Barrier((0, 1)), H)
    shots = np.random.default_rng(5).normal(0, 0.06, 300)
    assert coherence(scheduled(*program), shots) < 0.6
    assert coherence(scheduled(*program, decoupling=sequence), shots) > least


def ones(operations: Sequence[Operation], noise: Calibration, shots: int = 40_000) -> float:
    counts = simulate(noise, Program(3, 3, 0, tuple(operations)), Counts(), shots=shots).counts[0]
    return sum(n for bits, n in counts.items() if bits[-1] == "1") / shots


def test_a_twin_keeps_more_of_what_begins_late() -> None:
    # Qubit 0 is excited, and needed when the others are done, 15 µs later: T1 is 20 µs.
    noise = calibration(3, t1_us=20.0, t2_us=20.0, one=0.0, two=0.0, read1_given0=0.0, read0_given1=0.0)
    others = [Gate("cx", (1, 2))] * 50
    program = (X, *others, Gate("cz", (0, 1)), READ)
    late, soon = (ones(scheduled(*program, policy=policy), noise) for policy in ("alap", "asap"))
    assert late - soon > 0.4
    assert abs(late - math.exp(-0.34 / 20)) < 0.01 and abs(soon - math.exp(-15.34 / 20)) < 0.02


def test_a_twin_gains_nothing_by_decoupling() -> None:
    # Its noise forgets everything at once: nothing is left to undo, and pulses err. As the guide says.
    noise = calibration(3, t1_us=80.0, t2_us=20.0, one=2e-3, read1_given0=0.0, read0_given1=0.0)
    program = (H, Barrier((0, 1)), Delay(1, 10_000), Barrier((0, 1)), H, READ)
    plain, filled = (
        ones(scheduled(*program, decoupling=s, target=Target(PROFILE, noise)), noise) for s in ("none", "xy8")
    )
    assert plain < filled + 0.005


def test_blocks_are_timed_by_themselves_and_as_soon_as_possible() -> None:
    cx = Gate("cx", (1, 2))
    body = (X, cx, Gate("cx", (0, 1)))
    found = scheduled(H, cx, READ, IfElse((0,), 1, body, (X,)), While((1,), 1, body, 3), H, cx)
    then = (Barrier((0, 1, 2)), X, cx, Delay(0, 260), Gate("cx", (0, 1)))
    # Feedback is not delayed: the measurement comes as soon as it can.
    assert found == (
        *(H, cx, READ),
        IfElse((0,), 1, then, (X,)),
        While((1,), 1, then, 3),
        *(Barrier((0, 1, 2)), Delay(0, 260), H, cx),
    )


def test_notes_say_what_was_done() -> None:
    program = Program(3, 0, 0, (H, Barrier((0, 1)), Delay(1, 9000), Barrier((0, 1)), H))
    assert TOOL.apply(program, TARGET, {"decoupling": "x2"}).notes == (
        "waits written as delays: 1",
        "waits filled with x2: 1, by 2 pulses more; the global phase may change",
    )


def test_what_it_cannot_do_is_refused_by_name() -> None:
    simulator = Target(DeviceProfile("sim", DeviceKind.SIMULATOR, "aer", 30, tuple(GATES), ("counts",), 1))
    with pytest.raises(UnsupportedFeature, match="device sim has no calibration"):
        scheduled(H, target=simulator)
    with pytest.raises(
        UnsupportedFeature, match=r"gate h on qubits \(0,\) is not in the calibration of twin-20"
    ):
        scheduled(H, target=TWIN)
    with pytest.raises(TooLarge, match="has 5 qubits; small has 4"):
        scheduled(H, width=5)
    for options, said in (
        ({"policy": "alep"}, "one of alap, asap"),
        ({"decoupling": "xy5"}, "xy4"),
        ({"threshold": 3}, "did you mean 'threshold_ns'"),
        ({"threshold_ns": -1}, "whole number from 0"),
    ):
        with pytest.raises(OptionError, match=said):
            TOOL.check_options(options)


def test_it_is_a_tool_that_is_installed() -> None:
    assert isinstance(TOOL, Tool) and registry.load(registry.TOOLS, "schedule") is ScheduleTool
    assert not ScheduleTool.needs_client and ScheduleTool.binds and ScheduleTool.version()
