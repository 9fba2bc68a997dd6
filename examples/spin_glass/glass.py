"""A small spin glass: its energies, its exact averages, and parallel tempering of many ladders at once."""

import numpy as np

#: All 2**spins energies are in memory.
MOST_SPINS = 16


class Glass:
    """E(s) = -Σ J_ij s_i s_j - Σ h_i s_i with s = 1 or -1; J of every pair and h are normally distributed."""

    def __init__(self, spins, seed):
        """`seed` decides J and h."""
        drawn = np.random.default_rng(seed)
        pairs = np.triu(drawn.normal(size=(spins, spins)) / np.sqrt(spins), 1)
        self.spins = spins
        #: Symmetric, without a diagonal.
        self.couplings = pairs + pairs.T
        self.fields = 0.1 * drawn.normal(size=spins)

    def energies(self, states):
        """Of states as rows of 1 and -1: shape (…,)."""
        pull = states @ self.couplings
        return -0.5 * np.einsum("...i,...i->...", pull, states) - states @ self.fields

    def exact(self, temperature):
        """Mean energy, probability and energy of the ground state, of all 2**spins states."""
        bits = (np.arange(2**self.spins)[:, None] >> np.arange(self.spins)) & 1
        energies = self.energies(1.0 - 2.0 * bits)
        weights = np.exp(-(energies - energies.min()) / temperature)
        weights /= weights.sum()
        return float(weights @ energies), float(weights.max()), float(energies.min())


class Ladders:
    """Independent ladders of replicas, each ladder from cold to hot; every step keeps the Boltzmann distribution."""

    def __init__(self, glass, count, temperatures, rng):
        """`temperatures`: ascending; `rng` drives everything that is random here."""
        self._glass, self._rng = glass, rng
        #: Inverse temperatures, cold first.
        self._beta = 1.0 / np.asarray(temperatures)
        #: Shape (ladders, temperatures, spins).
        self.states = rng.choice([-1.0, 1.0], size=(count, len(temperatures), glass.spins))
        self.energies = glass.energies(self.states)

    def sweep(self):
        """Tries to flip every spin once, in all replicas."""
        for spin in range(self._glass.spins):
            pull = self.states @ self._glass.couplings[spin] + self._glass.fields[spin]
            rise = 2.0 * self.states[..., spin] * pull
            flip = self._rng.random(rise.shape) < np.exp(-np.maximum(rise, 0.0) * self._beta)
            self.states[..., spin] = np.where(flip, -self.states[..., spin], self.states[..., spin])
            self.energies += np.where(flip, rise, 0.0)

    def swap(self, first):
        """Neighbours in temperature change places where that is as likely as they are; `first`: 0 or 1."""
        for cold in range(first, len(self._beta) - 1, 2):
            gain = (self._beta[cold] - self._beta[cold + 1]) * (
                self.energies[:, cold] - self.energies[:, cold + 1]
            )
            swapped = np.flatnonzero(self._rng.random(len(gain)) < np.exp(np.minimum(gain, 0.0)))
            for values in (self.states, self.energies):
                values[swapped, cold], values[swapped, cold + 1] = (
                    values[swapped, cold + 1],
                    values[swapped, cold].copy(),
                )

    def propose(self, states):
        """States proposed for the coldest replicas, as likely as the way back; how many were taken."""
        energies = self._glass.energies(states)
        rise = energies - self.energies[:, 0]
        taken = self._rng.random(len(rise)) < np.exp(-np.maximum(rise, 0.0) * self._beta[0])
        self.states[taken, 0], self.energies[taken, 0] = states[taken], energies[taken]
        return int(taken.sum())
