"""Small calibrations, and short ways to simulate under them, for the tests of a twin's noise."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.conditions import Conditions
from qfw.model.device import Timing
from qfw.model.gates import GATES
from qfw.model.outputs import Output, Probabilities, decode_answers, encode_answers
from qfw.model.program import Program
from qfw.model.result import Result
from qfw.model.timeline import Timeline
from qfw.platforms.twin.prepared import Method
from qfw.platforms.twin.simulation import NoisySimulation

TIMING = Timing(feedback_ns=700)
FOREVER = 1e12


def calibration(
    num_qubits: int,
    *,
    t1_us: float = 80.0,
    t2_us: float = 60.0,
    one: float = 1e-3,
    two: float = 1e-2,
    read1_given0: float = 0.01,
    read0_given1: float = 0.03,
    reset_error: float = 0.0,
    one_ns: int = 40,
    two_ns: int = 300,
) -> Calibration:
    """Every gate on all qubits in every order, qubits slightly different from each other."""
    qubits = tuple(
        QubitCalibration(
            t1_us * (1 + 0.1 * q), t2_us * (1 + 0.05 * q), read1_given0, read0_given1, 1000, reset_error, 800
        )
        for q in range(num_qubits)
    )
    gates = []
    for name, spec in GATES.items():
        error, duration_ns = (one, one_ns) if spec.num_qubits == 1 else (two, two_ns)
        if spec.num_qubits:
            places = permutations(range(num_qubits), spec.num_qubits)
            gates += [GateCalibration(name, where, error, duration_ns) for where in places]
    return Calibration("small", "1", 0.0, qubits, tuple(gates))


def ideal(num_qubits: int) -> Calibration:
    """No noise at all."""
    return calibration(num_qubits, t1_us=FOREVER, t2_us=FOREVER, one=0, two=0, read1_given0=0, read0_given1=0)


def simulate(
    truth: Calibration,
    program: Program,
    *outputs: Output,
    shots: int = 0,
    seeds: Any = None,
    parameters: Any = None,
    method: Method = "cheaper",
    timing: Timing = TIMING,
) -> Result:
    """The result as a user gets it; `method` where both would do."""
    simulation = NoisySimulation(timing, method)
    values = np.zeros((1, program.num_slots)) if parameters is None else np.asarray(parameters, dtype=float)
    program.check()
    found = simulation.simulate(truth, program, outputs, values, shots, seeds or list(range(len(values))))
    encoded = encode_answers(found.answers)
    assert encode_answers(decode_answers(encoded)) == encoded
    return Result(
        1, "test", encoded, len(values), Timeline(), Conditions("1", found.circuits_ns, found.notes)
    )


def probabilities(truth: Calibration, program: Program, *qubits: int, **options: Any) -> np.ndarray:
    """Of one parameter set."""
    return simulate(truth, program, Probabilities(qubits), **options).probabilities[0]
