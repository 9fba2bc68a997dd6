"""QFw's Qiskit backend by the names of the paper's Figure 14: QFWBackend, QFWBackendType, QFWBackendCapability.

Example::

    backend = QFWBackend(
        betype=QFWBackendType.QFW_TYPE_AER,
        capability=QFWBackendCapability.QFW_CAP_STATEVECTOR,
    )
    counts = backend.run(circuit, shots=1000).result().get_counts()

New programs need none of these names: `qfw.qiskit.Backend` is the same backend.
"""

from qfw_qiskit.backend import QFWBackend
from qfw_qiskit.types import QFWBackendCapability, QFWBackendType

__all__ = ["QFWBackend", "QFWBackendCapability", "QFWBackendType"]
