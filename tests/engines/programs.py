"""Programs, observables and short ways to run them, for the tests of engines."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from qfw.formats.lowering import lower
from qfw.model.gates import GATES
from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.outputs import (
    Expectation,
    Output,
    Probabilities,
    Statevector,
    check_outputs,
    decode_answers,
    encode_answers,
)
from qfw.model.program import Affine, Angle, Delay, Gate, Operation, Program
from qfw.model.result import Result, Timeline

NUM_SLOTS = 3

_REALS = st.floats(-7.0, 7.0, allow_nan=False)


@st.composite
def angles(draw: Any) -> Angle:
    """A constant, or an affine function of up to two slots."""
    if draw(st.booleans()):
        return draw(_REALS)
    terms = draw(st.lists(st.tuples(st.integers(0, NUM_SLOTS - 1), _REALS), min_size=1, max_size=2))
    return Affine(tuple(terms), draw(_REALS))


@st.composite
def programs(draw: Any, max_qubits: int = 6, max_gates: int = 12) -> Program:
    """A random program over all gates that fit its width; now and then a delay, which changes nothing without noise."""
    width = draw(st.integers(1, max_qubits))
    fitting = [name for name, spec in GATES.items() if spec.num_qubits <= width]
    operations: list[Operation] = []
    for _ in range(draw(st.integers(1, max_gates))):
        name = draw(st.sampled_from(["delay", *fitting]))
        if name == "delay":
            operations.append(Delay(draw(st.integers(0, width - 1)), draw(st.integers(0, 10**6))))
            continue
        qubits = draw(st.permutations(range(width)))[: GATES[name].num_qubits]
        operations.append(
            Gate(name, tuple(qubits), tuple(draw(angles()) for _ in range(GATES[name].num_angles)))
        )
    program = Program(width, 0, NUM_SLOTS, tuple(operations))
    program.check()
    return program


@st.composite
def observables(draw: Any, width: int) -> PauliSum:
    """A random Pauli sum; the identity may be one of its terms, and a term may occur twice."""
    terms = []
    for _ in range(draw(st.integers(1, 4))):
        word = draw(st.lists(st.sampled_from("IXYZ"), min_size=width, max_size=width))
        factors = [(q, pauli) for q, pauli in enumerate(word) if pauli != "I"]
        terms.append(
            PauliTerm(
                draw(st.floats(-2, 2)), tuple(q for q, _ in factors), "".join(pauli for _, pauli in factors)
            )
        )
    return PauliSum(tuple(terms))


def run(
    engine: Any,
    program: Program,
    *outputs: Output,
    parameters: Any = None,
    shots: int = 0,
    seeds: Any = None,
) -> Result:
    """The result as a user gets it, through the bytes of the wire; seeds are 0, 1, … if not given."""
    values = np.zeros((1, program.num_slots)) if parameters is None else np.asarray(parameters, dtype=float)
    seeds = list(range(len(values))) if seeds is None else seeds
    check_outputs(outputs, program, len(values), shots)
    # As a worker does.
    prepared = engine.prepare(lower(program, engine.native_gates))
    answers = engine.run(prepared, outputs, values, shots, seeds)
    encoded = encode_answers(answers)
    assert encode_answers(decode_answers(encoded)) == encoded
    return Result(1, "test", encoded, len(values), Timeline())


def everything_exact(*sums: PauliSum) -> tuple[Output, ...]:
    """All exact outputs."""
    return (Statevector(), Expectation(sums), Probabilities())


def pauli_matrix(observable: PauliSum, width: int) -> np.ndarray:
    """The observable's matrix, shape (2**width, 2**width), by Kronecker products."""
    single = {
        "I": np.eye(2),
        "X": np.array([[0, 1], [1, 0]]),
        "Y": np.array([[0, -1j], [1j, 0]]),
        "Z": np.diag([1, -1]),
    }
    total = np.zeros((2**width, 2**width), dtype=complex)
    for term in observable.terms:
        word = ["I"] * width
        for qubit, pauli in zip(term.qubits, term.paulis, strict=True):
            word[qubit] = pauli
        matrix = np.eye(1)
        for pauli in word:
            matrix = np.kron(single[pauli], matrix)
        total += term.coefficient * matrix
    return total
