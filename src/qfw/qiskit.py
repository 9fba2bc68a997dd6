"""QFw for Qiskit: `from qfw.qiskit import Backend, Estimator, Sampler`."""

from qfw.adapters.qiskit import (
    Backend,
    Estimator,
    EstimatorOptions,
    Job,
    PrimitiveJob,
    Sampler,
    SamplerOptions,
)

__all__ = ["Backend", "Estimator", "EstimatorOptions", "Job", "PrimitiveJob", "Sampler", "SamplerOptions"]
