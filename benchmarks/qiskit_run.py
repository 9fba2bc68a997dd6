"""Qiskit's backend.run: on `qfw` with engine aer over AerSimulator in process; and a thousand jobs at once."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from benchmarks.measure import Effort, NotInstalled, Outcome, agree_in_mean, compare
from benchmarks.programs import fresh_parameters
from benchmarks.stack import Witness

SHOTS = 1000
JOBS = 1000
#: Calls of a leg that looks at an application which runs circuit after circuit.
IN_A_ROW = 10


def three_qubits(angles: Any) -> QuantumCircuit:
    """H, RY, CZ on three qubits, measured."""
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    for qubit in range(3):
        circuit.ry(angles[qubit], qubit)
    circuit.cz(0, 1)
    circuit.cz(1, 2)
    circuit.h(range(3))
    circuit.measure_all()
    return circuit


def _simulator() -> Any:
    try:
        from qiskit_aer import AerSimulator
    except ImportError as error:
        raise NotInstalled(f"qiskit-aer: {error}") from error
    return AerSimulator(method="statevector", max_parallel_threads=1)


def _parity(counts: dict[str, int]) -> float:
    return sum(count * (-1) ** bits.count("1") for bits, count in counts.items()) / SHOTS


def one(effort: Effort) -> list[Outcome]:
    """A circuit of three qubits, 1000 shots, counts; built before, other angles at every repetition."""
    from qfw.qiskit import Backend

    pairs = effort.pairs(400)
    circuits = [three_qubits(row) for row in fresh_parameters(pairs + 100, 3)]
    backend, simulator = Backend("aer"), _simulator()

    def ours(index: int) -> float:
        return _parity(backend.run(circuits[index], shots=SHOTS).result().get_counts())

    def peer(index: int) -> float:
        return _parity(simulator.run(circuits[index], shots=SHOTS).result().get_counts())

    agree_in_mean(ours, peer, 60)
    found = compare(
        "qiskit_run_aer",
        ours,
        peer,
        pairs,
        1.10,
        first=60,
        note="peer: AerSimulator.run of the same circuit in process, statevector method, one thread",
    )
    rows = IN_A_ROW * effort.pairs(60)
    in_a_row = compare(
        "qiskit_run_aer_10",
        lambda index: [ours(k % len(circuits)) for k in range(index * IN_A_ROW, (index + 1) * IN_A_ROW)],
        lambda index: [peer(k % len(circuits)) for k in range(index * IN_A_ROW, (index + 1) * IN_A_ROW)],
        rows // IN_A_ROW,
        1.10,
        note="as qiskit_run_aer, but ten calls in a row on each side, as an application runs that does one thing",
    )
    found.pieces = Witness().check(pairs + rows)
    return [found, in_a_row]


def _in_pool(angles: Any) -> dict[str, int]:
    """What a worker of the pool does: the same circuit on its own simulator, kept."""
    global _kept
    if _kept is None:
        _kept = _simulator()
    counts: dict[str, int] = _kept.run(three_qubits(angles), shots=SHOTS).result().get_counts()
    return counts


_kept: Any = None


def many(effort: Effort) -> list[Outcome]:
    """1000 jobs of one circuit each, all submitted and then collected."""
    from qfw.qiskit import Backend

    pairs = effort.pairs(16)
    rows = fresh_parameters(pairs + 10, JOBS, 3)
    backend = Backend("aer")

    def ours(index: int) -> float:
        jobs = [backend.run(three_qubits(angles), shots=SHOTS) for angles in rows[index]]
        return float(np.mean([_parity(job.result().get_counts()) for job in jobs]))

    with ProcessPoolExecutor(2) as pool:

        def peer(index: int) -> float:
            futures = [pool.submit(_in_pool, angles) for angles in rows[index]]
            return float(np.mean([_parity(future.result()) for future in futures]))

        agree_in_mean(ours, peer, 4, deviations=8.0)
        found = compare(
            "qiskit_1000_jobs",
            ours,
            peer,
            pairs,
            None,
            first=4,
            warm=1,
            note="1000 jobs of one circuit each, built, submitted, collected; peer: ProcessPoolExecutor of two "
            "processes, each with an AerSimulator of its own that it keeps; two workers here",
        )
    found.pieces = Witness().check(JOBS * pairs) | {"jobs_per_s": JOBS / (found.ours * 1e-6)}
    return [found]
