"""A variational circuit for the transverse-field Ising chain, and what it gives exactly, by NumPy alone.

H = -Σ Z_i Z_{i+1} - FIELD · Σ X_i, an open chain. Each layer turns by the couplings, then by the field.
"""

import numpy as np

import qfw

FIELD = 0.8


def circuit(spins, layers):
    """The circuit: slot 2k is the angle of the couplings in layer k, slot 2k + 1 that of the field."""
    operations = [qfw.Gate("h", (i,)) for i in range(spins)]
    for layer in range(layers):
        operations += [qfw.Gate("rzz", (i, i + 1), (qfw.slot(2 * layer, -2.0),)) for i in range(spins - 1)]
        operations += [qfw.Gate("rx", (i,), (qfw.slot(2 * layer + 1, -2.0),)) for i in range(spins)]
    return qfw.Program(spins, 0, 2 * layers, tuple(operations))


def energy(spins):
    """The Hamiltonian."""
    couplings = {f"Z{i} Z{i + 1}": -1.0 for i in range(spins - 1)}
    return qfw.PauliSum.of(couplings | {f"X{i}": -FIELD for i in range(spins)})


def path(layers, points):
    """Parameters from doing nothing to switching the couplings on little by little: shape (points, 2 · layers)."""
    on = (np.arange(layers) + 0.5) / layers
    whole = np.stack([0.25 * on, np.full(layers, 0.275)], axis=1).ravel()
    return np.linspace(0.0, 1.0, points)[:, None] * whole if points > 1 else whole[None]


def exact(spins, parameters):
    """Energies of the circuit's states, shape (points,)."""
    signs = 1.0 - 2.0 * ((np.arange(2**spins)[:, None] >> np.arange(spins)) & 1)
    couplings = (signs[:, 1:] * signs[:, :-1]).sum(axis=1)
    found = []
    for angles in parameters:
        state = np.full(2**spins, 2.0 ** (-spins / 2), dtype=complex)
        for coupling, field in angles.reshape(-1, 2):
            state = np.exp(1j * coupling * couplings) * state
            for spin in range(spins):
                state = np.cos(field) * state + 1j * np.sin(field) * _flipped(state, spin)
        flips = sum(np.vdot(state, _flipped(state, spin)).real for spin in range(spins))
        found.append(-couplings @ np.abs(state) ** 2 - FIELD * flips)
    return np.array(found)


def _flipped(state, spin):
    """X of one spin."""
    return state[np.arange(len(state)) ^ (1 << spin)]
