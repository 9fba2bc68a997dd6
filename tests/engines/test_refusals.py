"""What engines refuse, with what to do; estimates; memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from qfw.engines.aer import AerEngine
from qfw.engines.lightning import LightningEngine
from qfw.engines.noop import NoopEngine
from qfw.engines.qulacs import QulacsEngine
from qfw.engines.reference import ReferenceEngine
from qfw.engines.refusals import refuse_gates
from qfw.model.errors import UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Statevector
from qfw.model.program import Barrier, Gate, IfElse, Measure, Program, Reset, While
from qfw.qpm.engine import Engine

STRAIGHT = [ReferenceEngine, QulacsEngine, LightningEngine]
SIMULATORS = [*STRAIGHT, AerEngine]


@pytest.mark.parametrize("kind", [*SIMULATORS, NoopEngine])
def test_satisfies_the_protocol(kind: Any) -> None:
    assert isinstance(kind(1, 1), Engine)
    assert kind.version()


@pytest.mark.parametrize("kind", STRAIGHT)
@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((Gate("h", (0,)), Reset(1)), "operation 1 is a reset of qubit 1"),
        (
            (Measure(0, 0), Gate("cx", (1, 0))),
            "operation 1 is gate cx on qubit 0, which was already measured",
        ),
        ((Measure(0, 0), Measure(0, 1), Reset(1)), "operation 2 is a reset of qubit 1"),
        ((IfElse((0,), 1, (Gate("x", (0,)),)),), "operation 0 is an if-else block"),
        ((Barrier((0,)), While((0,), 1, (Gate("x", (0,)),), 3)), "operation 1 is a while loop"),
    ],
)
def test_control_is_refused(kind: Any, operations: Any, message: str) -> None:
    with pytest.raises(UnsupportedFeature, match=message) as caught:
        kind(1, 1).prepare(Program(2, 2, 0, operations))
    assert "choose a device" in str(caught.value)


def test_gates_that_are_not_native_are_refused() -> None:
    program = Program(3, 0, 0, (Gate("h", (0,)), Gate("cswap", (0, 1, 2))))
    with pytest.raises(UnsupportedFeature, match=r"no gate 'cswap' .* lower the program .*: cx, h"):
        refuse_gates(program, frozenset({"h", "cx"}), "small")


def test_barriers_and_terminal_measurements_are_taken() -> None:
    operations = (
        Gate("h", (0,)),
        Barrier((0, 1)),
        Measure(0, 0),
        Barrier((0,)),
        Gate("x", (1,)),
        Measure(1, 1),
    )
    for kind in SIMULATORS:
        kind(1, 1).prepare(Program(2, 2, 0, operations))


def test_noop_answers_nothing_and_refuses_all_else() -> None:
    engine = NoopEngine(1, 1)
    program = Program(900_000, 0, 0, ())
    assert engine.run(engine.prepare(program), (), np.zeros((1, 0)), 0, [0]) == ()
    with pytest.raises(UnsupportedFeature, match="noop does not answer counts"):
        engine.run(None, (Counts(),), np.zeros((1, 0)), 10, [0])


@pytest.mark.parametrize("kind", SIMULATORS)
def test_estimates_grow_and_stay_finite(kind: Any) -> None:
    asked = (Expectation((PauliSum.of({"X0": 1.0, "Z0": 1.0}),)),)
    last = 0.0
    for width in (1, 3, 10, 16, 20, 25, 30, 40, 55):
        program = Program(width, 0, 0, tuple(Gate("h", (q % width,)) for q in range(100)))
        estimate = kind.estimate(program, asked, 1, 0)
        assert estimate.cost_s > last
        assert estimate.memory_bytes >= 16 * 2**width
        last = estimate.cost_s
    for width in (1000, 1_000_000):
        for outputs, shots in ((asked, 0), (asked, 10**8), ((Counts(),), 10**8), ((Statevector(),), 0)):
            estimate = kind.estimate(Program(width, 0, 0, ()), outputs, 10**6, shots)
            assert np.isfinite(estimate.cost_s)
            assert 2**50 < estimate.memory_bytes < 2**63
    small = kind.estimate(Program(3, 0, 0, ()), (Counts(),), 1, 10)
    large = kind.estimate(Program(3, 0, 0, ()), (Counts(),), 1000, 1000)
    assert large.cost_s > small.cost_s
    assert large.memory_bytes > small.memory_bytes


OUT_OF_MEMORY = """
import resource, sys
import numpy as np
from qfw.engines.{module} import {name}
from qfw.model.errors import OutOfMemory
from qfw.model.outputs import Counts
from qfw.model.program import Gate, Program
engine = {name}(1, 1)
resource.setrlimit(resource.RLIMIT_DATA, (2**29, 2**29))
program = Program(28, 0, 0, (Gate("h", (0,)),))
try:
    engine.run(engine.prepare(program), (Counts(),), np.zeros((1, 0)), 10, [0])
except OutOfMemory as error:
    assert isinstance(error.__cause__, MemoryError)
    assert "28 qubits" in str(error)
    sys.exit(42)
"""


@pytest.mark.parametrize("kind", SIMULATORS)
def test_too_little_memory_is_an_error_and_not_the_end(kind: Any) -> None:
    code = OUT_OF_MEMORY.format(module=kind.__module__.rsplit(".", 1)[1], name=kind.__name__)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 42, done.stderr.decode()


@pytest.mark.parametrize(
    ("framework", "module", "name"),
    [
        ("qulacs", "qulacs", "QulacsEngine"),
        ("pennylane_lightning", "lightning", "LightningEngine"),
        ("qiskit_aer", "aer", "AerEngine"),
        ("qiskit", "aer", "AerEngine"),
    ],
)
def test_modules_import_without_their_frameworks(framework: str, module: str, name: str) -> None:
    code = f"""
import sys
sys.modules["{framework}"] = None
from qfw.engines.{module} import {name}
from qfw.model.errors import NotInstalled
try:
    {name}(1, 1)
except NotInstalled as error:
    assert "pip install 'qfw[{module}]'" in str(error), error
    sys.exit(42)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 42, done.stderr.decode()
