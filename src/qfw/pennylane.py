"""QFw for PennyLane: `from qfw.pennylane import QFwDevice`, which is `qml.device("qfw")`."""

from qfw.model.errors import NotInstalled

try:
    from qfw.adapters.pennylane import QFwDevice
except ModuleNotFoundError as error:
    raise NotInstalled(f"qfw.pennylane needs PennyLane ({error}): pip install 'qfw[pennylane]'") from error

__all__ = ["QFwDevice"]
