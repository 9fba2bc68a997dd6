"""What a QFWBackend is asked for: the type names the engine, the capability its method."""

from __future__ import annotations

from enum import Enum


class QFWBackendCapability(Enum):
    """How a backend computes; the value is its name in messages."""

    #: The whole state: 2**qubits amplitudes.
    QFW_CAP_STATEVECTOR = "statevector"
    #: A network of tensors: wide and little entangled programs.
    QFW_CAP_TENSORNETWORK = "tensor network"


class QFWBackendType(Enum):
    """Which engine runs the programs; the value is the name of QFw's device. None stands for another."""

    QFW_TYPE_NWQSIM = "nwqsim"
    QFW_TYPE_TNQVM = "tnqvm"
    QFW_TYPE_AER = "aer"
    QFW_TYPE_QULACS = "qulacs"
    QFW_TYPE_LIGHTNING = "lightning"
    #: In NumPy, always there: to compare with.
    QFW_TYPE_REFERENCE = "reference"

    @property
    def capabilities(self) -> tuple[QFWBackendCapability, ...]:
        """How this type can compute; the first is meant where nothing is said."""
        if self is QFWBackendType.QFW_TYPE_TNQVM:
            return (QFWBackendCapability.QFW_CAP_TENSORNETWORK,)
        return (QFWBackendCapability.QFW_CAP_STATEVECTOR,)

    @property
    def needs(self) -> str:
        """What has to be installed where the daemon runs."""
        return NEEDS[self]


#: By type. An engine of QFw's own is an extra of the package; the others are plugins (`qfw.engines`).
NEEDS = {
    QFWBackendType.QFW_TYPE_NWQSIM: "NWQ-Sim (its command nwq_qasm) and an engine plugin 'nwqsim' for QFw",
    QFWBackendType.QFW_TYPE_TNQVM: "TNQVM and an engine plugin 'tnqvm' for QFw",
    QFWBackendType.QFW_TYPE_AER: "Qiskit Aer: pip install 'qfw[aer]'",
    QFWBackendType.QFW_TYPE_QULACS: "Qulacs: pip install 'qfw[qulacs]'",
    QFWBackendType.QFW_TYPE_LIGHTNING: "PennyLane Lightning: pip install 'qfw[lightning]'",
    QFWBackendType.QFW_TYPE_REFERENCE: "nothing beside QFw; the daemon's settings leave it out",
}
