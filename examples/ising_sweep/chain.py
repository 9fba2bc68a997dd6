"""The transverse-field Ising chain: its Trotter circuit, and what the circuit and the chain itself must give.

H = -Σ Z_i Z_{i+1} - field · Σ X_i, an open chain that begins with all spins up. Qubit 0 is the rightmost bit.
"""

from functools import cache

import numpy as np

import qfw

#: Dense matrices of 2**spins.
MOST_SPINS = 10
#: What is measured, by name; each is within -1 … 1.
OBSERVABLES = ("magnetisation", "neighbours", "ends")


def signs(spins):
    """Z of each spin in each basis state: shape (2**spins, spins), 1 or -1."""
    return 1.0 - 2.0 * ((np.arange(2**spins)[:, None] >> np.arange(spins)) & 1)


def observables(z):
    """Mean of Z, mean of Z_i Z_{i+1}, and Z_0 Z_{n-1}, of rows of signs: shape (rows, 3)."""
    return np.stack([z.mean(axis=1), (z[:, 1:] * z[:, :-1]).mean(axis=1), z[:, 0] * z[:, -1]], axis=1)


def circuit(spins, steps):
    """Second-order Trotter steps as one program, whatever field and time are.

    Two slots: `angles` gives their values.
    """
    couple = [qfw.Gate("rzz", (i, i + 1), (qfw.slot(0, -1.0),)) for i in range(spins - 1)]
    turn = [qfw.Gate("rx", (i,), (qfw.slot(1, -1.0),)) for i in range(spins)]
    half = [qfw.Gate("rx", (i,), (qfw.slot(1, -0.5),)) for i in range(spins)]
    # Two halves that meet are a whole one.
    operations = [*half, *(couple + turn) * (steps - 1), *couple, *half]
    measured = [qfw.Measure(i, i) for i in range(spins)]
    return qfw.Program(spins, spins, 2, (*operations, *measured))


def angles(field, times, steps):
    """Slots of `circuit` at such times: shape (times, 2), radians."""
    return 2.0 * np.outer(np.asarray(times) / steps, [1.0, field])


def exact(spins, field, times):
    """Expectation values by diagonalisation, shape (times, 3)."""
    couplings, flips = _parts(spins)
    energies, vectors = np.linalg.eigh(np.diag(couplings) + field * flips)
    phases = np.exp(-1j * np.outer(times, energies))
    # All spins up is basis state 0.
    amplitudes = (phases * vectors[0]) @ vectors.T
    return np.abs(amplitudes) ** 2 @ observables(signs(spins))


def trotterised(spins, field, times, steps):
    """What `circuit` gives without noise: expectation values and variances of a shot, both of shape (times, 3)."""
    couplings, _ = _parts(spins)
    seen = observables(signs(spins))
    means, variances = [], []
    for time in times:
        step = time / steps
        state = np.zeros(2**spins, dtype=complex)
        state[0] = 1.0
        for _ in range(steps):
            state = _turned(state, spins, field * step / 2)
            state = _turned(state * np.exp(-1j * step * couplings), spins, field * step / 2)
        chances = np.abs(state) ** 2
        means.append(chances @ seen)
        variances.append(np.maximum(chances @ seen**2 - means[-1] ** 2, 0.0))
    return np.array(means), np.array(variances)


def trotter_bound(spins, field, times, steps):
    """How far the circuit's expectation values may be from the chain's, shape (times,).

    Twice the distance of the two evolutions, which for e^{A/2} e^B e^{A/2} is at most
    steps · (time / steps)³ · (|[B,[B,A]]| / 12 + |[A,[A,B]]| / 24): Childs et al., Phys. Rev. X 11, 011020 (2021).
    """
    of_couplings, of_flips = _commutators(spins)
    per_step = field * of_couplings / 12 + field**2 * of_flips / 24
    return np.minimum(2.0, 2.0 * steps * (np.asarray(times) / steps) ** 3 * per_step)


def statistical_bound(variances, shots, risk):
    """How far means of `shots` values within -1 … 1 are from the truth, but for such a risk (Bernstein)."""
    weight = np.log(2.0 / risk)
    return np.sqrt(2.0 * variances * weight / shots) + 4.0 * weight / (3.0 * shots)


def _turned(state, spins, angle):
    """exp(i · angle · Σ X) of a state."""
    matrix = np.array([[np.cos(angle), 1j * np.sin(angle)], [1j * np.sin(angle), np.cos(angle)]])
    for spin in range(spins):
        parts = state.reshape(-1, 2, 2**spin)
        state = np.einsum("ab,ibj->iaj", matrix, parts).reshape(-1)
    return state


@cache
def _parts(spins):
    """-Σ ZZ as its diagonal, and -Σ X as a matrix."""
    z = signs(spins)
    couplings = -(z[:, 1:] * z[:, :-1]).sum(axis=1)
    flips = np.zeros((2**spins, 2**spins))
    states = np.arange(2**spins)
    for spin in range(spins):
        flips[states, states ^ (1 << spin)] -= 1.0
    return couplings, flips


@cache
def _commutators(spins):
    """Norms of [B,[B,A]] and [A,[A,B]] with A = -Σ X and B = -Σ ZZ."""
    diagonal, a = _parts(spins)
    b = np.diag(diagonal)

    def norm_of(first, second):
        inner = first @ second - second @ first
        # Symmetric: the commutator of a symmetric matrix with an antisymmetric one.
        return float(np.abs(np.linalg.eigvalsh(first @ inner - inner @ first)).max())

    return norm_of(b, a), norm_of(a, b)
