from __future__ import annotations

import msgspec
import pytest

from qfw.model.device import Timing
from qfw.model.errors import UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation
from qfw.model.program import Barrier, Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.model.timing import Clockwork, circuit_ns, device_ns, durations_of
from tests.model.calibrations import TIMING, line_calibration

CALIBRATION = line_calibration()


def length_ns(*operations: Operation, qubits: int = 3, clbits: int = 3) -> int:
    return circuit_ns(Program(qubits, clbits, 0, operations), CALIBRATION, TIMING)


def test_operations_of_different_qubits_happen_at_the_same_time() -> None:
    sx, x = Gate("sx", (0,)), Gate("x", (1,))
    assert length_ns(sx, sx, x, Measure(2, 2)) == 500
    assert length_ns(sx, sx, Gate("cz", (0, 1)), Measure(0, 0)) == 30 + 30 + 100 + 500
    assert length_ns(sx, x, Gate("cz", (0, 1)), Gate("cz", (1, 2)), Measure(2, 0)) == 35 + 100 + 110 + 500


def test_a_symmetric_gate_takes_the_same_time_in_the_other_order() -> None:
    assert length_ns(Gate("cz", (2, 1)), Measure(0, 0)) == length_ns(Gate("cz", (1, 2)), Measure(0, 0))


def test_a_barrier_lets_its_qubits_meet() -> None:
    sx, x = Gate("sx", (0,)), Gate("x", (1,))
    assert length_ns(sx, Barrier((0, 1)), x, Measure(2, 0)) == 500
    assert length_ns(sx, Barrier((0, 1)), x, Measure(1, 0)) == 30 + 35 + 500
    assert length_ns(sx, Barrier(()), Measure(2, 0)) == 30 + 500


def test_a_program_without_measurement_is_read_as_a_whole_at_its_end() -> None:
    assert length_ns(Gate("cz", (0, 1))) == 100 + 500


def test_what_depends_on_a_measurement_waits_for_the_feedback() -> None:
    x = Gate("x", (1,))
    assert length_ns(Measure(0, 0), IfElse((0,), 1, (x,)), Measure(1, 1)) == 500 + 400 + 35 + 500
    # A bit that nothing was measured into is known from the beginning.
    assert length_ns(IfElse((2,), 0, (x,)), Measure(1, 1)) == 35 + 500


def test_of_branches_the_longer_one_counts_unless_somebody_knows() -> None:
    branch = IfElse((0,), 1, (Gate("x", (1,)),), (Gate("sx", (1,)), Gate("sx", (1,))))
    program = Program(3, 3, 0, (Measure(0, 0), branch))
    assert circuit_ns(program, CALIBRATION, TIMING) == 500 + 400 + 60
    clockwork = Clockwork(durations_of(CALIBRATION), TIMING, 3, 3)
    seen: list[tuple[str, int, int]] = []
    clockwork.pass_through(
        program.operations,
        lambda op, begin, end: seen.append((getattr(op, "name", "measure"), begin, end)),
        lambda op: True,
    )
    assert seen == [("measure", 0, 500), ("x", 900, 935)]
    assert clockwork.now_ns == 935


def test_each_trip_of_a_loop_waits_for_the_measurement_before() -> None:
    again = While((0,), 1, (Reset(0), Measure(0, 0)), 3)
    assert length_ns(Measure(0, 0), again) == 500 + 3 * (400 + 300 + 500) + 400
    trips = iter([True, False])
    clockwork = Clockwork(durations_of(CALIBRATION), TIMING, 3, 3)
    clockwork.pass_through((Measure(0, 0), again), taken=lambda op: next(trips))
    assert clockwork.now_ns == 500 + (400 + 300 + 500) + 400


def test_a_task_takes_what_its_definition_says() -> None:
    program = Program(1, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
    assert device_ns(program, 3, 7, CALIBRATION, TIMING) == 5_000 + 3 * (700 + 7 * (200 + 535 + 1_000))
    assert device_ns(program, 1, 1, CALIBRATION, Timing()) == 535


def test_every_basis_of_observables_is_uploaded_and_measured_for_itself() -> None:
    program = Program(3, 0, 0, (Gate("x", (0,)),))
    one = device_ns(program, 2, 7, CALIBRATION, TIMING)
    observables = (PauliSum.of({"Z0 Z1": 1.0, "X0": 1.0}), PauliSum.of("Y0"), PauliSum.of("X1"))
    assert device_ns(program, 2, 7, CALIBRATION, TIMING, (Counts(),)) == one
    asked = (Expectation(observables),)
    assert device_ns(program, 2, 7, CALIBRATION, TIMING, asked) == 5_000 + 3 * (one - 5_000)
    # Nobody measures without shots.
    assert device_ns(program, 2, 0, CALIBRATION, TIMING, asked) == 5_000 + 2 * 700


def test_what_the_calibration_does_not_have_is_named() -> None:
    with pytest.raises(UnsupportedFeature, match=r"cz on qubits \(0, 2\) is not in the calibration of line"):
        length_ns(Gate("cz", (0, 2)))
    broken = msgspec.structs.replace(
        CALIBRATION,
        gates=tuple(
            msgspec.structs.replace(gate, operational=gate.name != "cz") for gate in CALIBRATION.gates
        ),
    )
    with pytest.raises(UnsupportedFeature, match="out of order"):
        circuit_ns(Program(2, 0, 0, (Gate("cz", (0, 1)),)), broken, TIMING)
