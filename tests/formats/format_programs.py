"""Random programs, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Barrier, Gate, Measure, Operation, Program, Reset

NUMBERS = st.floats(-10, 10, allow_nan=False, allow_subnormal=False)
COEFFICIENTS = NUMBERS.filter(lambda value: value != 0)


def angles(num_slots: int) -> st.SearchStrategy[Angle]:
    """Constants and, where there are slots, affine functions of them in canonical form."""
    if not num_slots:
        return NUMBERS
    terms = st.dictionaries(st.integers(0, num_slots - 1), COEFFICIENTS, min_size=1, max_size=3)
    affine = st.builds(lambda t, offset: Affine(tuple(sorted(t.items())), offset), terms, NUMBERS)
    return NUMBERS | affine


@st.composite
def gate_programs(
    draw: st.DrawFn, *, slots: bool = False, everything: bool = False, max_gates: int = 8
) -> Program:
    """Programs over all gates; with `everything` also measurements, resets and barriers."""
    num_qubits = draw(st.integers(1, 4))
    num_slots = draw(st.integers(0, 3)) if slots else 0
    num_clbits = draw(st.integers(0, 3)) if everything else 0
    names = [name for name, spec in GATES.items() if spec.num_qubits <= num_qubits]
    kinds = ["gate"] * 6 + (["reset", "barrier"] + ["measure"] * bool(num_clbits) if everything else [])
    operations: list[Operation] = []
    for _ in range(draw(st.integers(0, max_gates))):
        order = draw(st.permutations(range(num_qubits)))
        match draw(st.sampled_from(kinds)):
            case "gate":
                name = draw(st.sampled_from(names))
                spec = GATES[name]
                picked = tuple(draw(angles(num_slots)) for _ in range(spec.num_angles))
                operations.append(Gate(name, tuple(order[: spec.num_qubits]), picked))
            case "reset":
                operations.append(Reset(order[0]))
            case "measure":
                operations.append(Measure(order[0], draw(st.integers(0, num_clbits - 1))))
            case _:
                operations.append(Barrier(tuple(order[: draw(st.integers(1, num_qubits))])))
    return Program(num_qubits, num_clbits, num_slots, tuple(operations))
