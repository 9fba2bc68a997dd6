"""One epoch of the VQLS example by gradient descent: on `qfw` over lightning.qubit in process."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pennylane as qml
from pennylane import numpy as pnp

from benchmarks.measure import Effort, Outcome, agree, agree_in_mean, compare
from benchmarks.programs import fresh_parameters
from benchmarks.stack import Witness

EXAMPLE = Path(__file__).parents[1] / "examples" / "vqls" / "paper.py"
NOTE = (
    "the example's own functions; a cost and its gradient, from fresh weights; "
    "ours runs {engine} in a worker, the peer lightning in process; one thread each"
)


def example() -> ModuleType:
    """The built-in system of the application, as its users run it."""
    # A script finds its neighbours in its own folder.
    if str(EXAMPLE.parent) not in sys.path:
        sys.path.append(str(EXAMPLE.parent))
    spec = importlib.util.spec_from_file_location("vqls_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _epoch(name: str, engine: str, shots: int | None, goal: float, pairs: int) -> list[Outcome]:
    vqls = example()
    rows = fresh_parameters(pairs + 20, vqls.QUBITS)

    def epochs(device: str, **options: Any) -> Any:
        made = qml.device(device, wires=vqls.QUBITS + 1, **options)
        test, _ = vqls.make_circuits(made, shots)
        cost = vqls.make_cost(test)

        def step(index: int) -> np.ndarray:
            optimizer = qml.GradientDescentOptimizer(stepsize=0.1)
            weights, value = optimizer.step_and_cost(cost, pnp.array(rows[index], requires_grad=True))
            return np.array([*weights, value], dtype=float) if shots is None else np.array([float(value)])

        return step

    ours, peer = epochs("qfw", engine=engine), epochs("lightning.qubit")
    if shots is None:
        agree(ours, peer, 2, 1e-6)
    else:
        agree_in_mean(ours, peer, 6, deviations=8.0)
    found = compare(name, ours, peer, pairs, goal, first=6, warm=1, note=NOTE.format(engine=engine))
    found.pieces = Witness().check(vqls.CIRCUITS_PER_COST * pairs)
    return [found]


def analytic(effort: Effort) -> list[Outcome]:
    """Exact expectation values."""
    return _epoch("vqls_epoch_analytic", "qulacs", None, 1.10, effort.pairs(40))


def shots(effort: Effort) -> list[Outcome]:
    """1000 shots for each circuit."""
    return _epoch("vqls_epoch_1000_shots", "qulacs", 1000, 1.0, effort.pairs(30))


def lightning_analytic(effort: Effort) -> list[Outcome]:
    """Exact, the same engine on both sides."""
    return _epoch("vqls_epoch_lightning", "lightning", None, 1.10, effort.pairs(40))


def lightning_shots(effort: Effort) -> list[Outcome]:
    """1000 shots for each circuit, the same engine on both sides."""
    return _epoch("vqls_epoch_lightning_1000_shots", "lightning", 1000, 1.0, effort.pairs(30))
