"""QFw for Qiskit: `from qfw.qiskit import Backend, Estimator, Sampler`."""

from qfw.model.errors import NotInstalled

try:
    from qfw.adapters.qiskit import (
        Backend,
        Estimator,
        EstimatorOptions,
        Job,
        PrimitiveJob,
        Sampler,
        SamplerOptions,
    )
except ModuleNotFoundError as error:
    raise NotInstalled(f"qfw.qiskit needs Qiskit ({error}): pip install 'qfw[qiskit]'") from error

__all__ = ["Backend", "Estimator", "EstimatorOptions", "Job", "PrimitiveJob", "Sampler", "SamplerOptions"]
