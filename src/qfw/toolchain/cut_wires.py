"""Cutting a wire: what comes is measured as Pauli matrices, what goes on is prepared as states.

    ρ = ½ Σ_P tr(Pρ) P        over P = I, X, Y, Z

The part before the cut is asked for the expectation values of X, Y and Z there, in one program; the part behind it runs
once for each prepared state, of which every P is a linear combination. Without shots four states do. With shots six, of
which I is the mean of all three pairs: of equal executions for each state this makes the least variance (the four-state
way has up to three times as much). κ is 4 (after Peng et al., arXiv:1904.00102).
"""

from __future__ import annotations

from math import log
from typing import Final

import numpy as np
import numpy.typing as npt

from qfw.model.program import Gate

Floats = npt.NDArray[np.float64]

PAULIS: Final = "IXYZ"
#: Sum of the absolute coefficients.
KAPPA: Final = 4.0
#: Logarithm of the factor in executions of one cut.
COST: Final = 2.0 * log(KAPPA)
#: Coefficients of components (before, behind) of a cut wire.
COEFFICIENTS: Final[Floats] = np.eye(4) / 2

#: Gates that prepare |0>, |1>, |+>, |->, |i> and |-i>.
_STATES: Final = ((), ("x",), ("h",), ("x", "h"), ("h", "s"), ("x", "h", "s"))
#: Which of them are prepared, without shots and with.
_EXACT: Final = (0, 1, 2, 4)
_SAMPLED: Final = (0, 1, 2, 3, 4, 5)
#: I, X, Y and Z of the states; shape (4, states).
_OF_FOUR: Final[Floats] = np.array(
    [[1, 1, 0, 0], [-1, -1, 2, 0], [-1, -1, 0, 2], [1, -1, 0, 0]], dtype=np.float64
)
_OF_SIX: Final[Floats] = np.array(
    [[1 / 3] * 6, [0, 0, 1, -1, 0, 0], [0, 0, 0, 0, 1, -1], [1, -1, 0, 0, 0, 0]], dtype=np.float64
)


def states(sampled: bool) -> int:
    """How many states are prepared behind a cut."""
    return len(_SAMPLED if sampled else _EXACT)


def prepared(number: int, qubit: int, sampled: bool) -> tuple[Gate, ...]:
    """Gates that prepare the state of that number on a qubit in |0>."""
    return tuple(Gate(name, (qubit,)) for name in _STATES[(_SAMPLED if sampled else _EXACT)[number]])


def components(num_states: int) -> Floats:
    """I, X, Y and Z as sums of the prepared states; shape (4, states)."""
    return _OF_FOUR if num_states == len(_EXACT) else _OF_SIX


def turned(pauli: str, qubit: int) -> tuple[Gate, ...]:
    """Gates that turn X or Y of a qubit into Z."""
    match pauli:
        case "X":
            return (Gate("h", (qubit,)),)
        case "Y":
            return (Gate("sdg", (qubit,)), Gate("h", (qubit,)))
        case _:
            return ()
