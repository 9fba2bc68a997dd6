"""Where the time of a call goes, by front end and stage: `python -m benchmarks.stages` prints a table.

Each case has a stack of its own. The stages are medians from its journal (`qfw.model.timeline`); what is left of
the call's own median is the front end's: lowering before, and results in the front end's form behind.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
from pennylane import numpy as pnp
from qiskit.quantum_info import SparsePauliOp

from benchmarks.primitives import SETS, parametrised
from benchmarks.programs import PARITY, THREE_QUBITS, fresh_parameters
from benchmarks.qiskit_run import three_qubits
from benchmarks.stack import folder
from qfw.config.runtime import journal_dir
from qfw.qiskit import Backend, Estimator, Sampler
from qfw.qpi import Session
from qfw.qpm.journal import read
from qfw.telemetry.profile import STAGES, profile

WARM = 50
Call = Callable[[int], Any]


def own_interface(session: Session, device: str, rows: np.ndarray) -> Call:
    """QStream.run, one expectation value."""
    stream = session.device(device).stream()
    return lambda index: stream.run(THREE_QUBITS, rows[index], outputs=PARITY).result(60).expectation_values


def qnode(session: Session, device: str, rows: np.ndarray) -> Call:
    """A PennyLane QNode, one expectation value."""
    angles = pnp.array(rows, requires_grad=True)

    @qml.qnode(qml.device("qfw", wires=3, engine=device, session=session), diff_method="parameter-shift")
    def call(values: Any) -> Any:
        for wire in range(3):
            qml.Hadamard(wire)
        for wire in range(3):
            qml.RY(values[wire], wires=wire)
        qml.CZ([0, 1])
        qml.CZ([1, 2])
        return qml.expval(qml.PauliZ(0) @ qml.PauliZ(1) @ qml.PauliZ(2))

    return lambda index: call(angles[index])


def backend_run(session: Session, device: str, rows: np.ndarray) -> Call:
    """Qiskit's backend.run, 1000 shots, counts."""
    backend = Backend(device, session=session)
    circuits = [three_qubits(row) for row in rows]
    return lambda index: backend.run(circuits[index], shots=1000).result().get_counts()


def estimator(session: Session, device: str, rows: np.ndarray) -> Call:
    """EstimatorV2, 480 parameter sets, exact."""
    made, circuit, observable = (
        Estimator(Backend(device, session=session)),
        parametrised(),
        SparsePauliOp("ZZZ"),
    )
    sweeps = fresh_parameters(len(rows), SETS, 3)
    return lambda index: made.run([(circuit, observable, sweeps[index])]).result()[0].data.evs


def sampler(session: Session, device: str, rows: np.ndarray) -> Call:
    """SamplerV2, 480 parameter sets, 1000 shots."""
    made, circuit = Sampler(Backend(device, session=session)), parametrised()
    circuit.measure_all()
    sweeps = fresh_parameters(len(rows), SETS, 3)
    return lambda index: made.run([(circuit, sweeps[index])], shots=1000).result()[0].data.meas


#: Name, how it is made, device, calls.
CASES = (
    ("QStream.run", own_interface, "lightning", 1000),
    ("QNode", qnode, "lightning", 600),
    ("backend.run, 1000 shots", backend_run, "aer", 600),
    ("Estimator, 480 sets", estimator, "aer", 60),
    ("Sampler, 480 sets, 1000 shots", sampler, "aer", 40),
)


def measured(make: Callable[..., Call], device: str, calls: int) -> tuple[float, dict[str, float]]:
    """Median microseconds of a call, and of the stages of its tasks."""
    with folder((device,)) as (made, _):
        run = made / "run"
        taken = []
        with Session(runtime_folder=run, config=made / "qfw.toml") as session:
            call = make(session, device, fresh_parameters(calls + WARM, 3))
            for index in range(calls + WARM):
                began = time.perf_counter()
                call(index)
                taken.append(time.perf_counter() - began)
        found = profile(read(journal_dir(Path(run))))
    return 1e6 * float(np.median(taken[WARM:])), {stage.stage: stage.median_us for stage in found.stages}


def main() -> None:
    """Prints the table."""
    print("| call | in all | front end |", " | ".join(STAGES), "|")
    print("|---|" + "---|" * (2 + len(STAGES)))
    for name, make, device, calls in CASES:
        whole, stages = measured(make, device, calls)
        rest = whole - sum(stages.values())
        print(
            f"| {name} ({device}) |", " | ".join(f"{us:.0f}" for us in (whole, rest, *stages.values())), "|"
        )


if __name__ == "__main__":
    main()
