"""QFw as a Qiskit backend and as Qiskit's primitives.

`Backend().run(circuit).result().get_counts()`, `Sampler().run([circuit])`, `Estimator().run([(circuit, "ZZ")])`.
"""

from qfw.adapters.qiskit.backend import Backend
from qfw.adapters.qiskit.estimator import Estimator, EstimatorOptions
from qfw.adapters.qiskit.job import Job
from qfw.adapters.qiskit.primitive_job import PrimitiveJob
from qfw.adapters.qiskit.sampler import Sampler, SamplerOptions

__all__ = ["Backend", "Estimator", "EstimatorOptions", "Job", "PrimitiveJob", "Sampler", "SamplerOptions"]
