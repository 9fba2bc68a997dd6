"""Qiskit's primitives with 480 parameter sets: QFw's on engine aer over Aer's own in process."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from benchmarks.measure import Effort, NotInstalled, Outcome, agree, agree_in_mean, compare
from benchmarks.programs import fresh_parameters
from benchmarks.stack import Witness

SETS = 480
SHOTS = 1000
OPTIONS = {"backend_options": {"method": "statevector", "max_parallel_threads": 1}}


def parametrised() -> QuantumCircuit:
    angles = ParameterVector("θ", 3)
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    for qubit in range(3):
        circuit.ry(angles[qubit], qubit)
    circuit.cz(0, 1)
    circuit.cz(1, 2)
    circuit.h(range(3))
    return circuit


def _aers(name: str) -> Any:
    try:
        import qiskit_aer.primitives as theirs
    except ImportError as error:
        raise NotInstalled(f"qiskit-aer: {error}") from error
    return getattr(theirs, name)(options=OPTIONS)


def estimator(effort: Effort) -> list[Outcome]:
    """EstimatorV2, exact, one observable."""
    from qfw.qiskit import Backend, Estimator

    pairs = effort.pairs(60)
    circuit, observable = parametrised(), SparsePauliOp("ZZZ")
    sweeps = fresh_parameters(pairs + 20, SETS, 3)
    mine, theirs = Estimator(Backend("aer")), _aers("EstimatorV2")

    def ours(index: int) -> Any:
        return mine.run([(circuit, observable, sweeps[index])]).result()[0].data.evs

    def peer(index: int) -> Any:
        return theirs.run([(circuit, observable, sweeps[index])]).result()[0].data.evs

    agree(ours, peer, 3, 1e-9)
    note = "peer: qiskit_aer.primitives.EstimatorV2 in process, statevector method, one thread"
    found = compare("estimator_480", ours, peer, pairs, None, first=3, warm=2, note=note)
    found.pieces = Witness().check(pairs)
    return [found]


def sampler(effort: Effort) -> list[Outcome]:
    """SamplerV2, 1000 shots for each set."""
    from qfw.qiskit import Backend, Sampler

    pairs = effort.pairs(40)
    circuit = parametrised()
    circuit.measure_all()
    sweeps = fresh_parameters(pairs + 20, SETS, 3)
    mine, theirs = Sampler(Backend("aer")), _aers("SamplerV2")

    def parity(bits: Any) -> float:
        return float(np.mean(1.0 - 2.0 * (np.bitwise_count(bits.array).sum(axis=-1) & 1)))

    def ours(index: int) -> float:
        return parity(mine.run([(circuit, sweeps[index])], shots=SHOTS).result()[0].data.meas)

    def peer(index: int) -> float:
        return parity(theirs.run([(circuit, sweeps[index])], shots=SHOTS).result()[0].data.meas)

    agree_in_mean(ours, peer, 6, deviations=8.0)
    note = "peer: qiskit_aer.primitives.SamplerV2 in process, statevector method, one thread"
    found = compare("sampler_480", ours, peer, pairs, None, first=6, warm=2, note=note)
    found.pieces = Witness().check(pairs)
    return [found]
