"""Time and memory that a statevector engine will need, by a formula calibrated per engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qfw.model.device import Estimate
from qfw.model.outputs import Counts, Expectation, Memory, Output, Probabilities, answer_bytes
from qfw.model.program import Program
from qfw.numerics.sampling import MULTINOMIAL_STATES

#: Wider programs are estimated as this wide: far beyond any machine, and still within 64 bits.
_WIDEST = 55
#: States up to this size are worked on within a core's second-level cache.
_CACHED_AMPLITUDES = 2**15


class Costs(NamedTuple):
    """What an engine costs on one core."""

    #: Microseconds of a run, of a set in it, and of a gate: of every `sets_at_once` sets together.
    run_us: float
    set_us: float
    gate_us: float
    sets_at_once: int
    #: Nanoseconds for an amplitude at each gate, in the cache and beyond.
    amplitude_ns: float
    wide_amplitude_ns: float
    #: Nanoseconds for an amplitude at each Pauli term of an exact expectation value.
    term_ns: float
    #: Microseconds of each such term besides, for every `sets_at_once` sets together.
    term_us: float
    #: Arrays of the size of a state that are alive at once in any run; and besides, where exact
    #: expectation values are asked for.
    copies: int
    term_copies: int
    #: The same where a vector or a distribution is read, changed basis and cumulated sum included.
    reading_copies: int = 3


def estimate(program: Program, outputs: Sequence[Output], sets: int, shots: int, costs: Costs) -> Estimate:
    """Seconds and bytes of a run, from sizes alone: nothing is allocated, operations are not walked."""
    qubits = min(program.num_qubits, _WIDEST)
    states = 2**qubits
    chunk = max(1, _CACHED_AMPLITUDES // states)
    calls = -(-sets // min(chunk, costs.sets_at_once))
    gates = len(program.operations)
    answer = terms = changed_bases = 0
    outcomes = vector = False
    for output in outputs:
        answer += answer_bytes(output, program, sets, shots)
        if isinstance(output, Expectation):
            for observable in output.observables:
                terms += len(observable.terms)
                changed_bases += sum(1 for term in observable.terms if term.paulis.strip("Z"))
        elif isinstance(output, (Counts, Memory, Probabilities)):
            outcomes = True
        else:
            vector = True
    amplitude_ns = costs.amplitude_ns if states <= _CACHED_AMPLITUDES else costs.wide_amplitude_ns
    total_us = costs.run_us + sets * costs.set_us + calls * gates * costs.gate_us
    total_us += 1e-3 * amplitude_ns * gates * states * sets
    bases = 0
    if shots:
        bases = min(1 + changed_bases, 3 ** min(qubits, 20)) if terms or outcomes else 0
        total_us += bases * sets * _sampling_us(states, shots)
        total_us += 1e-3 * amplitude_ns * 2 * qubits * states * sets * max(0, bases - 1)
        total_us += 1e-3 * 5 * terms * min(states, shots) * sets
    else:
        total_us += terms * (calls * costs.term_us + 1e-3 * costs.term_ns * states * sets)
    at_once = min(sets, chunk)
    copies = costs.copies
    if terms and not shots:
        copies += costs.term_copies
    if bases or outcomes or vector:
        copies += costs.reading_copies
    memory = 16 * at_once * states * copies
    # Coefficients or angles of gates that depend on slots; engines bound them by 2**20 at a time.
    memory += 32 * max(8 * gates, min(8 * gates * at_once, 2**20))
    # Uniform numbers of one set, outcomes with their counts and values of all sets at once.
    memory += 40 * shots + 64 * at_once * min(states, shots) if bases else 0
    # Answers: collected, joined, and as bytes.
    return Estimate(cost_s=1e-6 * total_us + 1e-9 * answer, memory_bytes=min(memory + 3 * answer, 2**62))


def _sampling_us(states: int, shots: int) -> float:
    if states <= MULTINOMIAL_STATES:
        return 3 + 0.05 * states
    return 10 + 0.05 * shots + 0.015 * states
