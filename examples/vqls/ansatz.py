"""The trial solution V(w)|0>: rotations of every qubit, entangled by layers of CZ."""

from dataclasses import dataclass

import pennylane as qml


def usual_layers(qubits):
    """How many entangling layers a system of so many qubits gets: with one more than needed, fewer starts fail."""
    return qubits if qubits > 1 else 0


@dataclass(frozen=True)
class Ansatz:
    """RY on every qubit (and RZ for complex solutions); then `layers` times CZ in a ring and RY (RZ) again."""

    qubits: int
    layers: int
    real: bool

    @property
    def rotations(self):
        """The gates that turn each qubit."""
        return (qml.RY,) if self.real else (qml.RY, qml.RZ)

    @property
    def weights(self):
        """How many weights it takes."""
        return (self.layers + 1) * self.qubits * len(self.rotations)

    def operations(self, weights):
        """The gates of V(w).

        Args:
            weights: shape (weights,); or (weights, sets) for many trial solutions in one circuit.
        """
        found, numbers = [], iter(weights)
        for layer in range(self.layers + 1):
            if layer:
                found += [qml.CZ(pair) for pair in self._ring()]
            for qubit in range(self.qubits):
                found += [rotation(next(numbers), wires=qubit) for rotation in self.rotations]
        return found

    def _ring(self):
        chain = [[qubit, qubit + 1] for qubit in range(self.qubits - 1)]
        # Of two qubits the chain is the ring already: a second CZ would undo the first.
        return [*chain, [self.qubits - 1, 0]] if self.qubits > 2 else chain
