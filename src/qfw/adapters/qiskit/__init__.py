"""QFw as a Qiskit backend: `Backend().run(circuit).result().get_counts()`."""

from qfw.adapters.qiskit.backend import Backend
from qfw.adapters.qiskit.job import Job

__all__ = ["Backend", "Job"]
