"""Which statevector engine is fastest at which width: `python -m benchmarks.crossover`, a table for docs.

Every engine in this process, one thread, prepared; a random circuit of 20 layers whose angles are all slots,
and the same with constants.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import time
from typing import Any

import numpy as np

from benchmarks.wide import random_layers
from qfw.engines.aer import AerEngine
from qfw.engines.lightning import LightningEngine
from qfw.engines.qulacs import QulacsEngine
from qfw.engines.reference import ReferenceEngine
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Output
from qfw.model.program import Gate, Program, slot

DEPTH = 20
SHOTS = 1000
ENERGY = (Expectation((PauliSum.of({"Z0 Z1": 1.0, "X0": 0.5}),)),)
ASKED: tuple[tuple[tuple[Output, ...], int], ...] = ((ENERGY, 0), ((Counts(),), SHOTS))
#: The reference is left out where it takes minutes.
REFERENCE_QUBITS = 16


def with_slots(program: Program) -> tuple[Program, np.ndarray]:
    """`program` with a slot for each of its angles, and a random set for them."""
    operations, slots = [], 0
    for gate in program.gates():
        operations.append(
            Gate(gate.name, gate.qubits, tuple(slot(slots + i) for i in range(len(gate.angles))))
        )
        slots += len(gate.angles)
    angles = np.random.default_rng(1).uniform(-np.pi, np.pi, (1, slots))
    return Program(program.num_qubits, 0, slots, tuple(operations)), angles


def best_ms(
    engine: Any, program: Program, angles: np.ndarray, outputs: tuple[Output, ...], shots: int
) -> float:
    """The shortest of several runs, for half a second and at least three."""
    prepared = engine.prepare(program)
    engine.run(prepared, outputs, angles, shots, [1])
    best, runs, until = float("inf"), 0, time.perf_counter() + 0.5
    while runs < 3 or time.perf_counter() < until:
        began = time.perf_counter()
        engine.run(prepared, outputs, angles, shots, [1])
        best, runs = min(best, time.perf_counter() - began), runs + 1
    return best * 1e3


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "widths", type=int, nargs="*", help="even", default=[2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]
    )
    widths = parser.parse_args().widths
    if any(width % 2 for width in widths):
        parser.error(f"even numbers of qubits, not {widths}")
    engines = {
        "lightning": LightningEngine(1, 1),
        "qulacs": QulacsEngine(1, 1),
        "aer": AerEngine(1, 1),
        "reference": ReferenceEngine(1, 1),
    }
    print("| qubits | angles |", " | ".join(f"{n} exact | {n} {SHOTS} shots" for n in engines), "|")
    print("|---|---|" + "---|" * (2 * len(engines)))
    for width in widths:
        plain = random_layers(width, DEPTH)
        constant = (plain, np.array([[0.3]]))
        for what, (program, angles) in (("slots", with_slots(plain)), ("constants", constant)):
            row = [
                f"{best_ms(engine, program, angles, outputs, shots):.3g}"
                if name != "reference" or width <= REFERENCE_QUBITS
                else "–"
                for name, engine in engines.items()
                for outputs, shots in ASKED
            ]
            print(f"| {width} | {what} |", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
