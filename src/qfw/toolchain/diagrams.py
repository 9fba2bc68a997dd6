"""States of wide programs as decision diagrams (MQT Core, which MQT QCEC stands on), compared within a time limit."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from mqt.core.dd import DDPackage

from qfw.formats.lowering import lower
from qfw.model.errors import ToolFailed, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Gate, Program
from qfw.numerics.equivalence import Floats, Pair, Verdict
from qfw.numerics.gates import matrix
from qfw.numerics.states import slots_filled

#: Distance of equal states that is left of rounding: diagrams merge numbers that are nearly equal.
ROUNDING = 1e-4
#: Gates of one and two qubits; wider ones are taken apart.
NARROW = frozenset(name for name, spec in GATES.items() if spec.num_qubits <= 2)
#: Gates after which diagrams that nobody needs are dropped.
COLLECT_EVERY = 64


def states_agree(both: Pair, sets: Floats, tolerance: float, time_s: float) -> Verdict:
    """Whether |0…0> becomes the same, for every set of values of the slots.

    Raises:
        ToolFailed: it takes longer than `time_s`.
        UnsupportedFeature: more qubits than diagrams can have.
    """
    end_s = time.monotonic() + time_s
    width = both.found.num_qubits
    largest = 0
    for values in sets:
        try:
            package = DDPackage(width)
        except (RuntimeError, ValueError, OverflowError) as error:
            raise UnsupportedFeature(f"verify: no decision diagrams of {width} qubits: {error}") from error
        wanted = _state(package, slots_filled(both.given, values), both.places, width, end_s, time_s)
        found = _state(package, slots_filled(both.found, values), range(width), width, end_s, time_s)
        overlap = min(1.0, math.sqrt(max(0.0, package.fidelity(wanted, found))))
        largest = max(largest, wanted.size(), found.size())
        distance = math.sqrt(2 * (1 - overlap))
        if distance > tolerance:
            return Verdict(
                False,
                f"the states that |0…0> becomes overlap by {overlap:.6f} (distance {distance:.3g}, up to a global "
                f"phase), on {width} qubits, by decision diagrams",
            )
    slots = f" at {len(sets)} random values of the slots" if sets.shape[1] else ""
    return Verdict(
        True,
        f"states from |0…0>, {both.given.num_qubits} qubits on {width}{slots}, by decision diagrams of up to "
        f"{largest} nodes, to {tolerance:g}",
    )


def _state(
    package: DDPackage, program: Program, places: Sequence[int], width: int, end_s: float, time_s: float
) -> Any:
    """What |0…0> becomes, qubit q of the program being number places[q]."""
    state = package.zero_state(width)
    gates = [gate for gate in lower(program, NARROW).operations if isinstance(gate, Gate) and gate.qubits]
    for number, gate in enumerate(gates):
        if time.monotonic() > end_s:
            raise ToolFailed(
                f"verify: not decided: decision diagrams took longer than {time_s:g} s, at gate {number} of "
                f"{len(gates)} with {state.size()} nodes. Raise option time_s, or verify a narrower program"
            )
        # A copy: the package takes no array that is read-only.
        rows = matrix(gate.name, *(float(angle) for angle in gate.angles if not hasattr(angle, "terms")))
        acting = _acting(package, np.array(rows), [places[qubit] for qubit in gate.qubits])
        after = package.matrix_vector_multiply(acting, state)
        package.inc_ref_vec(after)
        package.dec_ref_vec(state)
        state = after
        if number % COLLECT_EVERY == 0:
            package.garbage_collect()
    return state


def _acting(package: DDPackage, rows: Any, qubits: list[int]) -> Any:
    if len(qubits) == 1:
        return package.single_qubit_gate(rows, qubits[0])
    return package.two_qubit_gate(rows, *qubits)
