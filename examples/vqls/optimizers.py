"""Classical optimisers for systems of the user's own; an epoch is one evaluation that they ask for."""

from collections import deque
from contextlib import suppress

import numpy as np
from scipy.optimize import minimize

from progress import Enough

#: Epochs over which sampled costs are averaged: one alone may look good by chance.
WINDOW = 8


class Watch:
    """Keeps the best weights; ends the search where they are good enough or the epochs are used up."""

    def __init__(self, progress, epochs, window=1):
        self.progress, self.left = progress, epochs
        self.best, self.best_cost = None, float("inf")
        self._recent = deque(maxlen=window)

    def see(self, weights, cost):
        """Takes note of an epoch.

        Raises:
            Enough: no further epoch is wanted.
        """
        self._recent.append((np.array(weights), cost))
        self.left -= 1
        if len(self._recent) == self._recent.maxlen or not self.left:
            mean = float(np.mean([cost for _, cost in self._recent]))
            if mean < self.best_cost:
                self.best, self.best_cost = np.mean([weights for weights, _ in self._recent], axis=0), mean
        self.progress.report(cost)
        if self.best_cost <= self.progress.tolerance or not self.left:
            raise Enough


def bfgs(cost, weights, watch):
    """Quasi-Newton with exact gradients: fast near the solution, lost in noise."""

    def evaluate(trial):
        value, gradient = cost.value_and_gradient(trial)
        watch.see(trial, value)
        return value, gradient

    minimize(evaluate, weights, jac=True, method="BFGS", options={"gtol": 1e-12})


def adam(cost, weights, watch):
    """Gradient steps of adaptive length that shrink until the last epoch: bears noise."""
    first = second = np.zeros_like(weights)
    epochs = watch.left
    for epoch in range(1, epochs + 1):
        value, gradient = cost.value_and_gradient(weights)
        watch.see(weights, value)
        gradient = _bounded(gradient)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        step = 0.15 * (1 + np.cos(np.pi * epoch / epochs)) + 0.01
        weights = weights - step * (first / (1 - 0.9**epoch)) / (np.sqrt(second / (1 - 0.99**epoch)) + 1e-8)


def descend(cost, weights, watch):
    """Plain gradient descent, with the step of the built-in system's."""
    while True:
        value, gradient = cost.value_and_gradient(weights)
        watch.see(weights, value)
        weights = weights - 2.0 * _bounded(gradient)


def cobyla(cost, weights, watch):
    """COBYLA, without gradients."""

    def evaluate(trial):
        value = cost.value(trial)
        watch.see(trial, value)
        return value

    most = max(watch.left, len(weights) + 2)  # COBYLA wants so many; `watch` ends it in time.
    minimize(evaluate, weights, method="COBYLA", options={"maxiter": most, "rhobeg": 1.0, "tol": 1e-9})


def _bounded(gradient):
    """At most one long: where the norm of the trial is small, noise makes steps across the landscape."""
    return gradient / max(1.0, float(np.linalg.norm(gradient)))


OPTIMIZERS = {"bfgs": bfgs, "adam": adam, "gd": descend, "cobyla": cobyla}
#: Those that move on by steps, so that neighbouring epochs may be averaged.
STEADY = {"adam", "gd"}
#: Those that ask for gradients.
WITH_GRADIENT = {"bfgs", "adam", "gd"}


def search(name, cost, start, watch):
    """Runs an optimiser until `watch` has enough, or it ends by itself."""
    with suppress(Enough):
        OPTIMIZERS[name](cost, start, watch)
