"""QFw for Qiskit: `from qfw.qiskit import Backend`."""

from qfw.adapters.qiskit import Backend, Job

__all__ = ["Backend", "Job"]
