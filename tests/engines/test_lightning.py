"""What is particular to the engine lightning: its binding, words in place, wide states at the memory's limit."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from qfw.engines.lightning import LightningEngine, check_binding
from qfw.engines.reference import ReferenceEngine
from qfw.model.errors import ProgramError, SetupError, TooLarge
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Statevector
from qfw.model.program import Gate, Program, slot
from tests.engines.programs import run

pytest.importorskip("pennylane_lightning")


def layers(width: int) -> Program:
    """Entangled, with one slot, and with a phase that depends on it."""
    operations = [Gate("ry", (q,), (slot(0, 0.3 + 0.2 * q, 0.1),)) for q in range(width)]
    operations += [Gate("cx", (q, q + 1)) for q in range(width - 1)]
    operations += [Gate("u", (q,), (0.4 + 0.1 * q, slot(0), -0.7)) for q in range(width)]
    operations += [Gate("sx", (0,)), Gate("csx", (width - 1, 0)), Gate("gphase", (), (slot(0, 2.0),))]
    return Program(width, 0, 1, tuple(operations))


WORDS = PauliSum.of({"X0 Y1 Z2 X3 Y4 Z5 X6": 1.5, "Z0 Z2 Z4 Z6": -0.5, "Y6": 2.0, "X1 X5": 0.25, "": 1.0})


@pytest.mark.parametrize("sets", [1, 3, 40])
@pytest.mark.parametrize("width", [7, 4])
def test_words_are_read_in_place_and_leave_the_state(width: int, sets: int) -> None:
    program, parameters = layers(width), np.linspace(-1, 1, sets).reshape(-1, 1)
    words = WORDS if width == 7 else PauliSum.of({"X0 Y1 Z2 X3": 1.5, "Y3": -1.0, "": 0.5})
    asked = (Expectation((words, PauliSum.of("Z0"))), Statevector())
    ours, theirs = (
        run(kind(1, 1), program, *asked, parameters=parameters) for kind in (LightningEngine, ReferenceEngine)
    )
    np.testing.assert_allclose(ours.expectation_values, theirs.expectation_values, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.statevector, theirs.statevector, rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [3, 11])
def test_shots_are_the_references(width: int) -> None:
    # Shots are drawn from the distributions alone, so that equal seeds give equal counts on both; the third
    # basis is right only if the second was undone.
    sums = PauliSum.of({"X0": 1.0, "Y0": 0.5, "Y1 X2": 0.7, "Z1": 0.2})
    asked = (Counts(), Expectation((sums,)))
    ours, theirs = (
        run(kind(1, 1), layers(width), *asked, parameters=[[0.3], [1.2]], shots=500)
        for kind in (LightningEngine, ReferenceEngine)
    )
    assert ours.counts == theirs.counts
    np.testing.assert_allclose(ours.expectation_values, theirs.expectation_values, rtol=0, atol=1e-9)


def test_beyond_its_width_is_refused() -> None:
    # Asked for 64 qubits, Lightning gives a state of one amplitude.
    with pytest.raises(TooLarge, match="64 qubits; engine lightning holds 30"):
        LightningEngine(1, 1).prepare(Program(64, 0, 0, (Gate("h", (63,)),)))


@pytest.mark.parametrize("qubit", [3, -1, 40])
def test_a_qubit_beyond_the_register_is_an_error_and_not_the_end(qubit: int) -> None:
    with pytest.raises(ProgramError, match=f"qubit {qubit} is not one of the program's 3"):
        LightningEngine(1, 1).prepare(Program(3, 0, 0, (Gate("rx", (qubit,), (0.3,)),)))
    engine = LightningEngine(1, 1)
    prepared = engine.prepare(Program(3, 0, 0, ()))
    asked = (Expectation((PauliSum.of(f"Z{qubit}" if qubit >= 0 else "Z7"),)),)
    with pytest.raises(ProgramError, match="is not one of the program's 3"):
        engine.run(prepared, asked, np.zeros((1, 0)), 0, [1])


def test_a_binding_that_lacks_something_is_named() -> None:
    lacking = SimpleNamespace(StateVectorC128=SimpleNamespace(RX=None))
    with pytest.raises(
        SetupError, match=r"needs pennylane-lightning 0\.43 or later; 0\.50\.0 .* lacks .*CNOT.*probs"
    ):
        check_binding(lacking, "0.50.0")


@pytest.mark.parametrize("installed", ["0.42.0", "an unknown version"])
def test_an_old_version_is_refused(installed: str) -> None:
    from pennylane_lightning import lightning_qubit_ops

    check_binding(lightning_qubit_ops, "0.43.0.dev7")
    check_binding(lightning_qubit_ops, "1.0")
    with pytest.raises(SetupError, match=f"0.43 or later; {installed} is installed. Install another: pip"):
        check_binding(lightning_qubit_ops, installed)


def subprocess_code(code: str) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode in (42, 43), done.stderr.decode()
    return done.returncode


def test_pennylane_is_not_imported() -> None:
    code = """
import sys
from qfw.engines.lightning import LightningEngine
LightningEngine(1, 1)
assert "pennylane" not in sys.modules
sys.exit(42)
"""
    assert subprocess_code(code) == 42


AT_THE_LIMIT = """
import re, resource, sys
from pathlib import Path
import numpy as np
from qfw.engines.lightning import LightningEngine
from qfw.model.errors import OutOfMemory
from qfw.model.observable import PauliSum
from qfw.model.outputs import *
from qfw.model.program import Gate, Program
engine = LightningEngine(1, 1)

def run(width):
    program = Program(width, 0, 0, tuple(Gate("h", (q,)) for q in range(width)))
    outputs, shots = {outputs}, {shots}
    estimate = engine.estimate(program, outputs, 1, shots).memory_bytes
    return estimate, lambda: encode_answers(engine.run(engine.prepare(program), outputs, np.zeros((1, 0)), shots, [1]))

run(3)[1]()
estimate, go = run(22)
used = 1024 * int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
limit = used + ({limit})
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    go()
except OutOfMemory as error:
    assert "22 qubits" in str(error)
    run(3)[1]()
    sys.exit(42)
sys.exit(43)
"""
#: What is asked, shots, and bytes in which its state fits but not what is read of it.
ASKED = [
    ("(Counts(),)", 100, 80 * 2**20),
    ("(Probabilities(),)", 0, 80 * 2**20),
    ("(Statevector(),)", 0, 100 * 2**20),
    ("(Expectation((PauliSum.of({'X0 Y1': 1.0, 'Z2': 0.5}),)),)", 0, 32 * 2**20),
    ("(Expectation((PauliSum.of({'X0 Y1': 1.0, 'Z2': 0.5}),)),)", 100, 80 * 2**20),
]


@pytest.mark.parametrize(("outputs", "shots", "too_little"), ASKED)
def test_memory_at_the_limit(outputs: str, shots: int, too_little: int) -> None:
    # In what it estimates, it runs; in less, it says so and goes on.
    assert subprocess_code(AT_THE_LIMIT.format(outputs=outputs, shots=shots, limit="estimate")) == 43
    assert subprocess_code(AT_THE_LIMIT.format(outputs=outputs, shots=shots, limit=too_little)) == 42
