"""How a run may end: what counts as solved, and what is refused."""

import numpy as np

#: The least fidelity with NumPy's exact solution that counts as a solution.
CONVERGED = 0.95


class InputError(ValueError):
    """The user's system cannot be solved as it is given; exit code 2."""


class DeviceRefused(Exception):
    """PennyLane or the device does not take the options; exit code 2."""


class Refused(Exception):
    """It would cost too much; exit code 3."""


def fidelity(p, q):
    """Of two distributions: (Σ √(p q))², 1 where they are equal."""
    return float(np.sum(np.sqrt(np.asarray(p) * np.asarray(q))) ** 2)


def state_fidelity(x, y):
    """Of two vectors of any norm and phase: |<x|y>|² / (|x|² |y|²), 1 where they are parallel."""
    return float(abs(np.vdot(x, y)) ** 2 / (np.vdot(x, x).real * np.vdot(y, y).real))
