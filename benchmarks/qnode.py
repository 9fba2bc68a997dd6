"""One call of a PennyLane QNode: on `qfw` over lightning.qubit in process."""

from __future__ import annotations

from typing import Any

import pennylane as qml
from pennylane import numpy as pnp

from benchmarks.measure import Effort, Outcome, agree, agree_in_mean, compare
from benchmarks.programs import fresh_parameters
from benchmarks.stack import Witness

NOTE = (
    "same front end, circuit and diff_method (parameter-shift), one thread each; "
    "ours runs {engine} in a worker, the peer lightning in process"
)


GOAL = 1.15


def circuit(name: str, shots: int | None, **options: Any) -> Any:
    """H, RY, CZ on three wires, <Z0 Z1 Z2>, as a QNode on the device `name`."""
    device = qml.device(name, wires=3, **options)

    @qml.qnode(device, diff_method="parameter-shift", shots=shots)
    def run(angles: Any) -> Any:
        for wire in range(3):
            qml.Hadamard(wire)
        for wire in range(3):
            qml.RY(angles[wire], wires=wire)
        qml.CZ([0, 1])
        qml.CZ([1, 2])
        for wire in range(3):
            qml.Hadamard(wire)
        return qml.expval(qml.PauliZ(0) @ qml.PauliZ(1) @ qml.PauliZ(2))

    return run


def _forward(name: str, engine: str, shots: int | None, pairs: int) -> list[Outcome]:
    rows = pnp.array(fresh_parameters(pairs + 100, 3), requires_grad=True)
    on_qfw, on_lightning = circuit("qfw", shots, engine=engine), circuit("lightning.qubit", shots)

    def ours(index: int) -> Any:
        return on_qfw(rows[index])

    def peer(index: int) -> Any:
        return on_lightning(rows[index])

    if shots is None:
        agree(ours, peer, 40, 1e-9)
    else:
        agree_in_mean(ours, peer, 40)
    found = compare(name, ours, peer, pairs, GOAL, first=40, note=NOTE.format(engine=engine))
    found.pieces = Witness().check(pairs)
    return [found]


def analytic(effort: Effort) -> list[Outcome]:
    """Exact expectation value."""
    return _forward("qnode_analytic", "qulacs", None, effort.pairs(600))


def shots(effort: Effort) -> list[Outcome]:
    """1000 shots."""
    return _forward("qnode_1000_shots", "qulacs", 1000, effort.pairs(400))


def lightning(effort: Effort) -> list[Outcome]:
    """Exact, the same engine on both sides."""
    return _forward("qnode_lightning", "lightning", None, effort.pairs(600))
