"""What a program must give: states from the `reference` engine, and how far samples and noise may lead away."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from qfw.formats.lowering import lower
from qfw.model.calibration import Calibration
from qfw.model.device import Timing
from qfw.model.observable import PauliSum
from qfw.model.outputs import Answer, Expectation, ExpectationAnswer, Output, Statevector, StatevectorAnswer
from qfw.model.program import Gate, Measure, Program
from qfw.model.timing import circuit_ns
from qfw.qpm import registry

Floats = npt.NDArray[np.float64]

#: Probability that a right device fails a statistical check, at most.
CONFIDENCE = 1e-6
#: Exact answers of double precision agree to this.
EXACT = 1e-7
#: A noisy device may be so many times as wrong as the errors of its calibration add up to …
NOISE_FACTOR = 2.0
#: … and this more, in total variation.
NOISE_FLOOR = 0.02


@cache
def _reference() -> Any:
    return registry.load(registry.ENGINES, "reference")(1, 1)


def _ask(program: Program, output: Output, parameters: Floats) -> Answer:
    engine = _reference()
    prepared = engine.prepare(lower(program, engine.native_gates))
    answer: Answer = engine.run(prepared, (output,), parameters, 0, [0] * len(parameters))[0]
    return answer


def states(program: Program, parameters: Floats) -> npt.NDArray[np.complex128]:
    """Final states, shape (sets, 2**qubits), of a program; its measurements at the end are left out."""
    answer = _ask(unmeasured(program), Statevector(), parameters)
    assert isinstance(answer, StatevectorAnswer)
    return answer.values.numpy().astype(np.complex128)


def values(program: Program, observables: tuple[PauliSum, ...], parameters: Floats) -> Floats:
    """Exact expectation values, shape (sets, observables)."""
    answer = _ask(unmeasured(program), Expectation(observables), parameters)
    assert isinstance(answer, ExpectationAnswer)
    return answer.values.numpy().astype(np.float64)


def distribution(program: Program, parameters: Floats) -> Floats:
    """Probability of each basis state, shape (sets, 2**qubits)."""
    return np.abs(states(program, parameters)) ** 2


def unmeasured(program: Program) -> Program:
    """The program without its measurements."""
    kept = tuple(op for op in program.operations if not isinstance(op, Measure))
    return Program(program.num_qubits, 0, program.num_slots, kept)


def frequencies(counts: dict[str, int], bits: int) -> Floats:
    """Relative frequencies of 2**bits outcomes."""
    found: Floats = np.zeros(2**bits)
    for text, number in counts.items():
        found[int(text, 2) if text else 0] += number
    found /= max(float(found.sum()), 1.0)
    return found


def variation(first: Floats, second: Floats) -> float:
    """Total variation distance."""
    return float(np.abs(first - second).sum() / 2)


def sampling_bound(outcomes: int, shots: int) -> float:
    """Total variation that `shots` samples of their own distribution exceed with probability CONFIDENCE, at most.

    Bretagnolle, Huber, Carol: P(L1 >= t) <= 2**outcomes · exp(-shots · t² / 2).
    """
    return math.sqrt((outcomes * math.log(2) - math.log(CONFIDENCE)) / (2 * shots))


def mean_bound(span: float, shots: int) -> float:
    """How far the mean of `shots` values within `span` is from its expectation, but for CONFIDENCE (Hoeffding)."""
    return span * math.sqrt(math.log(2 / CONFIDENCE) / (2 * shots))


def noise_bound(placed: Program, calibration: Calibration | None, timing: Timing | None) -> float:
    """Total variation by which a device may be off its ideal, by its calibration; 0 for an ideal device.

    The errors of gates, as diamond distances of Pauli channels (error · (d + 1) / d), readout errors, and the
    decay of each qubit for the time of the circuit, added up.
    """
    if calibration is None:
        return 0.0
    errors = {(gate.name, frozenset(gate.qubits)): gate.error for gate in calibration.gates}
    total, used = 0.0, set()
    for gate in placed.gates():
        dimension = 2.0 ** len(gate.qubits)
        total += errors.get((gate.name, frozenset(gate.qubits)), 0.0) * (dimension + 1) / dimension
        used |= set(gate.qubits)
    measured = {q for q, _ in placed.terminal_measurements}
    for qubit in measured & set(range(len(calibration.qubits))):
        total += max(calibration.qubits[qubit].read1_given0, calibration.qubits[qubit].read0_given1)
    seconds_us = circuit_ns(placed, calibration, timing or Timing()) / 1e3
    for qubit in used:
        known = calibration.qubits[qubit]
        total += 1 - math.exp(-seconds_us / known.t1_us - seconds_us / known.t2_us)
    return min(1.0, NOISE_FACTOR * total + NOISE_FLOOR)


def gates_of(program: Program) -> list[Gate]:
    """All gates of a program."""
    return list(program.gates())
