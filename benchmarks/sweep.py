"""Many parameter sets of one structure: one submission over a loop in process."""

from __future__ import annotations

import numpy as np

from benchmarks.measure import Effort, Floats, Leg, Outcome, agree, compare
from benchmarks.programs import PARITY, THREE_QUBITS, fresh_parameters
from benchmarks.stack import three_processes
from qfw.engines.qulacs import QulacsEngine
from qfw.engines.reference import ReferenceEngine
from qfw.model.result import Result
from qfw.model.seeds import set_seeds
from qfw.qpi import Request, Session
from qfw.qpm.engine import Engine

SETS = 480


def qulacs(effort: Effort) -> list[Outcome]:
    """On qulacs: against single runs of the engine, against its batch, and against bare qulacs."""
    note = "peer: 480 single runs of the same prepared engine, in process, one thread; ours: one task"
    found = _sweep("sweep_480_qulacs", QulacsEngine(1, 1), 0.7, effort.pairs(400), note)
    return [found, *_bare(effort.pairs(400))]


def reference(effort: Effort) -> list[Outcome]:
    """On reference: against single runs of the engine."""
    note = "peer: 480 single runs of the same prepared engine, in process, one thread; ours: one task"
    return [_sweep("sweep_480_reference", ReferenceEngine(1, 1), 0.15, effort.pairs(120), note)]


class _Ours:
    """Sweeps through the stack."""

    def __init__(self, session: Session, device: str, sweeps: Floats) -> None:
        self._stream = session.device(device).stream()
        self._sweeps = sweeps
        self.last: Result

    def __call__(self, index: int) -> Floats:
        """One submission; its expectation values."""
        self.last = self._stream.run(THREE_QUBITS, self._sweeps[index], outputs=PARITY, seed=index).result(60)
        return self.last.expectation_values[:, 0]


def _sweep(name: str, engine: Engine, goal: float, pairs: int, note: str) -> Outcome:
    prepared = engine.prepare(THREE_QUBITS)
    sweeps = fresh_parameters(pairs + 10, SETS, 3)

    def loop(index: int) -> Floats:
        values = np.empty(SETS)
        for k, row in enumerate(sweeps[index]):
            seeds = set_seeds(index, k, k + 1)
            answer = engine.run(prepared, PARITY, row.reshape(1, 3), 0, seeds)[0]
            values[k] = answer.values.numpy()[0, 0]
        return values

    with Session() as session:
        ours = _Ours(session, name.rsplit("_", 1)[1], sweeps)
        agree(ours, loop, 3, 1e-9)
        found = compare(name, ours, loop, pairs, goal, first=3, note=note)
        found.pieces = {
            "us_per_set": round(found.ours / SETS, 2),
            "us_per_set_peer": round((found.peer or 0) / SETS, 2),
            "stages_us_last": {k: round(v, 1) for k, v in ours.last.timeline.stages_us().items()},
            "pids": three_processes(ours.last),
        }
    return found


def _bare(pairs: int) -> list[Outcome]:
    """Harder peers: qulacs itself, as one writes it by hand; and the engine's own batch."""
    import qulacs

    circuit = qulacs.ParametricQuantumCircuit(3)
    for qubit in range(3):
        circuit.add_H_gate(qubit)
    for qubit in range(3):
        circuit.add_parametric_RY_gate(qubit, 0.0)
    circuit.add_CZ_gate(0, 1)
    circuit.add_CZ_gate(1, 2)
    for qubit in range(3):
        circuit.add_H_gate(qubit)
    observable = qulacs.Observable(3)
    observable.add_operator(1.0, "Z 0 Z 1 Z 2")
    state = qulacs.QuantumState(3)
    sweeps = fresh_parameters(pairs + 10, SETS, 3)

    def by_hand(index: int) -> Floats:
        values = np.empty(SETS)
        for k, row in enumerate(sweeps[index].tolist()):
            for place, angle in enumerate(row):
                circuit.set_parameter(place, -angle)  # qulacs turns the other way.
            state.set_zero_state()
            circuit.update_quantum_state(state)
            values[k] = observable.get_expectation_value(state)
        return values

    engine = QulacsEngine(1, 1)
    prepared = engine.prepare(THREE_QUBITS)

    def batch(index: int) -> Floats:
        answer = engine.run(prepared, PARITY, sweeps[index], 0, set_seeds(index, 0, SETS))[0]
        return answer.values.numpy()[:, 0]

    with Session() as session:
        ours = _Ours(session, "qulacs", sweeps)
        agree(ours, by_hand, 3, 1e-9)
        agree(ours, batch, 3, 1e-9)
        hand = compare(
            "sweep_480_bare_qulacs",
            ours,
            by_hand,
            pairs,
            0.7,
            first=3,
            note="peer: qulacs by hand, its circuit, state and observable kept: set parameters, run, expectation",
        )
        whole = compare(
            "sweep_480_engine_batch",
            ours,
            batch,
            pairs,
            None,
            first=3,
            note="peer: all 480 sets in one run of the engine in process, so what the way through the stack adds",
        )
        halves = _halves(session, sweeps, pairs, by_hand)
    return [hand, whole, halves]


def _halves(session: Session, sweeps: Floats, pairs: int, by_hand: Leg) -> Outcome:
    """Two tasks of half the sets in one message: what slicing over two workers would give."""
    stream = session.device("qulacs").stream()

    def ours(index: int) -> Floats:
        futures = stream.run_many(
            [
                Request(THREE_QUBITS, part, outputs=PARITY, seed=index)
                for part in np.array_split(sweeps[index], 2)
            ]
        )
        return np.concatenate([future.result(60).expectation_values[:, 0] for future in futures])

    agree(ours, by_hand, 3, 1e-9)
    return compare(
        "sweep_2x240_bare_qulacs",
        ours,
        by_hand,
        pairs,
        0.7,
        first=3,
        note="as sweep_480_bare_qulacs, but ours sends two tasks of 240 sets in one message, one for each worker",
    )
