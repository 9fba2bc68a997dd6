"""QFw as a PennyLane device: `qml.device("qfw", wires=3)`."""

from qfw.adapters.pennylane.device import QFwDevice

__all__ = ["QFwDevice"]
