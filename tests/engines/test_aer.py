"""What is aer's own: threads by width, bases of wide states, errors of Aer, a release that is too old."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

from qfw.engines import aer
from qfw.engines.aer import WIDE_QUBITS, AerEngine
from qfw.engines.aer_controller import ControllerSimulator
from qfw.engines.aer_public import PublicSimulator
from qfw.engines.aer_simulator import Reads
from qfw.engines.reference import ReferenceEngine
from qfw.model.errors import NotInstalled, OutOfMemory, PlatformFailed
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Memory, Probabilities, Statevector
from qfw.model.program import Gate, Measure, Program, Reset, slot
from tests.engines.programs import run

pytest.importorskip("qiskit_aer")


class Watched(ControllerSimulator):
    """Keeps what is executed, and what Aer says of it."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Any] = []

    def _execute(self, circuit: Any) -> Any:
        found = super()._execute(circuit)
        self.results.append(found)
        return found


@pytest.mark.parametrize("simulator", [ControllerSimulator, PublicSimulator])
@pytest.mark.parametrize("width", [WIDE_QUBITS - 1, WIDE_QUBITS])
def test_many_bases_of_wide_states(simulator: Any, width: int) -> None:
    program = Program(
        width,
        0,
        1,
        (*(Gate("ry", (q,), (slot(0, 1 + 0.1 * q),)) for q in range(width)), Gate("cx", (0, width - 1))),
    )
    words = ("X0 Y1", "Y0 Z1", "Z0 X1", "X2 X3 Z0", "Y2 Y3 X0", "X0 Z2 Y1", "Z0 Z1")
    asked = (Expectation(tuple(PauliSum.of(word) for word in words)), Counts(), Probabilities((1, 0)))
    ours, theirs = (
        run(engine, program, *asked, parameters=[[0.4], [1.2]], shots=300, seeds=[3, 4])
        for engine in (AerEngine(1, 2, simulator()), ReferenceEngine(1, 1))
    )
    np.testing.assert_allclose(ours.expectation_values, theirs.expectation_values, atol=1e-9)
    np.testing.assert_allclose(ours.standard_errors, theirs.standard_errors, atol=1e-9)
    assert ours.counts == theirs.counts
    assert ours.probabilities.tolist() == theirs.probabilities.tolist()


def test_sets_of_one_structure_are_one_call_of_aer() -> None:
    watched = Watched()
    engine = AerEngine(1, 1, watched)
    program = Program(3, 0, 1, (Gate("ry", (0,), (slot(0),)), Gate("cx", (0, 1))))
    run(engine, program, Counts(), parameters=np.linspace(0, 3, 480).reshape(-1, 1), shots=10)
    assert [len(results) for results in watched.results] == [480]


def test_only_a_phase_depends_on_the_slots() -> None:
    program = Program(2, 0, 1, (Gate("h", (0,)), Gate("gphase", (), (slot(0),)), Gate("gphase", (), (0.3,))))
    asked = (Statevector(), Expectation((PauliSum.of({"X0": 2.0, "": 1.0}), PauliSum.of({"": 3.0}))))
    for simulator in (ControllerSimulator(), PublicSimulator()):
        result = run(AerEngine(1, 1, simulator), program, *asked, parameters=[[0.0], [1.0]])
        expected = np.exp(1j * np.array([[0.3], [1.3]])) * [0.5**0.5, 0.5**0.5, 0, 0]
        np.testing.assert_allclose(result.statevector, expected, atol=1e-12)
        np.testing.assert_allclose(result.expectation_values, [[3.0, 3.0]] * 2, atol=1e-12)


THREADS = """
from tests.engines.test_aer import Watched, WIDE_QUBITS, run
from qfw.engines.aer import AerEngine
from qfw.model.outputs import Counts
from qfw.model.program import Gate, Measure, Program, Reset
watched = Watched()
engine = AerEngine(1, 2, watched)
for width in (WIDE_QUBITS - 1, WIDE_QUBITS):
    gates = tuple(Gate("h", (q,)) for q in range(width))
    for program in (Program(width, 0, 0, gates), Program(width, 1, 0, (*gates, Reset(0), Measure(0, 0)))):
        run(engine, program, Counts(), shots=1)
print([results[0]["metadata"]["parallel_state_update"] for results in watched.results])
"""


def test_wide_registers_get_the_threads_of_wide_tasks() -> None:
    # In a worker OMP_NUM_THREADS says 1, for the sake of other libraries.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(["", *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=environment, capture_output=True, timeout=60, check=True
    )
    assert done.stdout.decode().strip() == "[1, 1, 2, 2]", done.stderr.decode()


@pytest.mark.parametrize("simulator", [ControllerSimulator, PublicSimulator])
def test_what_aer_refuses_is_an_error(simulator: Any) -> None:
    # More than any machine has: Aer's own check of memory says so.
    program = Program(45, 0, 0, (Gate("h", (0,)),))
    simulator = simulator()
    circuit = simulator.straight(program, Reads((), (), True), 1)
    with pytest.raises(OutOfMemory, match="Insufficient memory"):
        simulator.read(circuit, np.zeros((1, 0)))


def test_what_goes_wrong_in_aer_is_an_error_and_no_empty_answer() -> None:
    simulator = ControllerSimulator()
    program = Program(1, 0, 0, (Gate("rx", (0,), (0.3,)),))
    circuit = simulator.straight(program, Reads((), (), True), 1)
    circuit.config.method = "stabilizer"
    with pytest.raises(PlatformFailed, match=r"engine aer: the simulator failed: .*stabilizer"):
        simulator.read(circuit, np.zeros((1, 0)))


NO_MEMORY = """
import resource, sys
import numpy as np
from qfw.engines.aer import AerEngine
from qfw.model.errors import OutOfMemory
from qfw.model.outputs import Counts
from qfw.model.program import Gate, Measure, Program
engine = AerEngine(1, 1)
resource.setrlimit(resource.RLIMIT_DATA, (2**29, 2**29))
program = Program(27, 1, 0, (Gate("h", (0,)), Measure(0, 0), Gate("h", (0,))))
try:
    engine.run(engine.prepare(program), (Counts(),), np.zeros((1, 0)), 10, [0])
except OutOfMemory as error:
    assert isinstance(error.__cause__, MemoryError)
    sys.exit(42)
"""


def test_too_little_memory_for_control_is_an_error_too() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", NO_MEMORY], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 42, done.stderr.decode()


def test_estimates_of_control_grow_with_shots_steps_and_width() -> None:
    def cost(width: int, gates: int, shots: int) -> tuple[float, int]:
        program = Program(width, 1, 0, (Reset(0), *(Gate("h", (0,)),) * gates, Measure(0, 0)))
        found = AerEngine.estimate(program, (Counts(),), 1, shots)
        return found.cost_s, found.memory_bytes

    base = cost(3, 10, 1000)
    assert cost(3, 10, 2000)[0] > 1.9 * base[0]
    assert cost(3, 1000, 1000)[0] > 2 * base[0]
    assert cost(20, 10, 1000)[0] > 100 * base[0]
    assert cost(20, 10, 1000)[1] >= 16 * 2**20
    assert cost(3, 10, 10**7)[1] > 10**8
    assert np.isfinite(cost(1_000_000, 10, 10**8)[0])


def test_outcomes_of_control_take_no_more_memory_than_estimated() -> None:
    # Of one set after the other: only the packed outcomes of the sets before are kept.
    bits, sets, shots = 12, 60, 2000
    operations = [op for bit in range(bits) for op in (Gate("h", (0,)), Measure(0, bit))]
    program, asked = Program(1, bits, 0, tuple(operations)), (Counts(), Memory())
    engine = AerEngine(1, 1)
    prepared = engine.prepare(program)
    tracemalloc.start()
    try:
        engine.run(prepared, asked, np.zeros((sets, 0)), shots, range(sets))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < AerEngine.estimate(program, asked, sets, shots).memory_bytes


def test_an_old_release_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aer, "OLDEST", (99, 0))
    with pytest.raises(NotInstalled, match=r"needs qiskit-aer 0\.17 or newer, not .*--upgrade"):
        AerEngine(1, 1)
