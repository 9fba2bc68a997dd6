"""QFw for PennyLane: `from qfw.pennylane import QFwDevice`, which is `qml.device("qfw")`."""

from qfw.adapters.pennylane import QFwDevice

__all__ = ["QFwDevice"]
