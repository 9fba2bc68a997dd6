"""The local cost of a trial solution and its gradient, from Hadamard tests on a device."""

from itertools import islice

import numpy as np
import pennylane as qml

#: Circuits that travel to the device together: thousands are a second's work, millions would fill the memory.
BATCH = 1000


class Cost:
    """C(w) = ½ (1 - mean_q N_q / D): 0 where A V(w)|0> is parallel to b, at most 1 (see `hadamard`).

    One circuit serves many sets of weights: PennyLane calls that broadcasting. Devices that know it run
    them together; for others PennyLane takes them apart.
    """

    def __init__(self, tests, ansatz, device, shots, least_norm):
        self.tests, self.ansatz, self.device, self.shots = tests, ansatz, device, shots
        #: No state has a smaller <ψ|ψ>, whatever sampling says: the smallest singular value of A, squared.
        self.least_norm = least_norm

    @property
    def sets_of_gradient(self):
        """Sets of weights in a cost and its gradient."""
        return 1 + 2 * self.ansatz.weights

    def value(self, weights):
        """The cost of one set of weights."""
        overlap, norm = self._overlap_and_norm(np.reshape(weights, (-1, 1)))
        return float(self._of(overlap[0], norm[0]))

    def value_and_gradient(self, weights):
        """The cost and its derivatives, in one batch.

        Each weight is the angle of one rotation, so overlap and norm are sinusoids in it: half the
        difference at +π/2 and -π/2 is the derivative (the parameter-shift rule).
        """
        shifts = np.eye(len(weights)) * np.pi / 2
        column = np.reshape(weights, (-1, 1))
        overlap, norm = self._overlap_and_norm(np.hstack([column, column + shifts, column - shifts]))
        of_overlap, of_norm = (
            (values[1 : len(weights) + 1] - values[len(weights) + 1 :]) / 2 for values in (overlap, norm)
        )
        ratio = overlap[0] / norm[0]
        return float(self._of(overlap[0], norm[0])), -0.5 * (of_overlap - ratio * of_norm) / norm[0]

    @staticmethod
    def _of(overlap, norm):
        return 0.5 * (1 - overlap / norm)

    def _overlap_and_norm(self, weights):
        """mean_q N_q and D for every column of `weights`: two arrays of shape (sets,)."""
        overlap, norm = np.zeros(weights.shape[1]), np.full(weights.shape[1], self.tests.constant)
        tests = self.tests.all()
        while batch := list(islice(tests, BATCH)):
            for test, result in zip(batch, self.run(batch, weights), strict=True):
                if test.qubit is None:
                    norm += test.factor * result
                else:
                    overlap += test.factor * result / self.tests.qubits
        return overlap, np.maximum(norm, self.least_norm)

    def run(self, tests, weights):
        """Results of some tests: shape (tests, sets), for weights of shape (weights, sets)."""
        single = weights.shape[1] == 1
        trial = self.ansatz.operations(weights[:, 0] if single else weights)
        circuits = [self.tests.circuit(test, trial, self.shots) for test in tests]
        return np.reshape(qml.execute(circuits, self.device, diff_method=None), (len(tests), -1))
