"""Sampler: Qiskit's SamplerV2 on top of the QPI."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import (
    BaseSamplerV2,
    BitArray,
    DataBin,
    SamplerPubLike,
    SamplerPubResult,
)

from qfw.adapters.qiskit.backend import Backend
from qfw.adapters.qiskit.bits import pack
from qfw.adapters.qiskit.primitive_job import PrimitiveJob
from qfw.adapters.qiskit.primitive_options import (
    OnBackend,
    Seed,
    check_seed,
    own_backend,
    provenance,
    task_seeds,
)
from qfw.adapters.qiskit.pubs import SamplerAsk, check_positive_shots, sampler_asks, with_number
from qfw.adapters.qiskit.submission import submit
from qfw.adapters.qiskit.tasks import Sets, Task, Tasks
from qfw.model.errors import ProgramError, QFwError
from qfw.model.outputs import Memory, MemoryAnswer, Output
from qfw.model.result import Result

_MEMORY: tuple[Output, ...] = (Memory(),)


@dataclass
class SamplerOptions:
    """What a Sampler does where a call does not say it; may be changed between calls."""

    #: Of PUBs that do not say theirs, in calls that do not either.
    default_shots: int = 1024
    #: Equal seeds give equal results, call by call; None for fresh ones. A Generator goes on from call to call.
    seed: Seed = None


class Sampler(OnBackend, BaseSamplerV2):  # type: ignore[misc]
    """A Qiskit sampler that runs on QFw: `Sampler().run([circuit], shots=1000).result()[0].data.meas`.

    All PUBs of a call travel in one message. Circuits that differ in numbers only, and the parameter sets of
    a PUB, are sets of one task.
    """

    _options: SamplerOptions

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        mode: Backend | None = None,
        default_shots: int = 1024,
        seed: Seed = None,
    ) -> None:
        """Prepares the sampler; opens nothing yet.

        Args:
            backend: where to run; None for the best device for each task.
            mode: another name of `backend`.
            default_shots: of PUBs that do not say theirs, in calls that do not either.
            seed: an integer makes the results of every call repeat, its PUBs having different ones; what a
                NumPy Generator draws goes on from call to call; None for fresh results.

        Raises:
            UsageError: `backend` is no QFw backend; or both names are given.
            OptionError: shots or seed out of range.
        """
        self._backend = own_backend(backend, mode, "Sampler")
        self._options = SamplerOptions(check_positive_shots(default_shots), check_seed(seed))

    @classmethod
    def from_backend(cls, backend: Backend, **options: Any) -> Sampler:
        """A sampler of this backend, as Aer's; options are the constructor's."""
        return cls(backend, **options)

    @property
    def options(self) -> SamplerOptions:
        """Defaults of the calls; may be changed."""
        return self._options

    @property
    def default_shots(self) -> int:
        """Shots of PUBs that do not say theirs."""
        return self._options.default_shots

    def run(self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None) -> PrimitiveJob:
        """Submits PUBs and returns at once.

        Args:
            pubs: circuit, (circuit,), (circuit, values), (circuit, values, shots) or SamplerPub, each.
            shots: of the PUBs that do not say theirs; None for the default.

        Returns:
            A job. The data of a PUB's result has for each classical register a BitArray of the shape of the
            PUB's parameter sets, shots in the order in which they were drawn; bits that nothing was measured
            into are 0. Its metadata: shots, circuit_metadata, and of the last of its tasks to be answered
            device and timeline (`qfw.model.timeline`); tasks has the names of all.

        Raises:
            UsageError: not a list of PUBs; the backend's session is closed, or of another process.
            ProgramError: a circuit that cannot be run anywhere, or measures nothing into its registers.
            ParameterError: not as many values as parameters; not real, not finite.
            OptionError: shots out of range.
        """
        began_ns = time.monotonic_ns()
        asks = sampler_asks(pubs, self._options.default_shots if shots is None else shots)
        seeds = task_seeds(self._options.seed)
        tasks = Tasks()
        answers = []
        for number, ask in enumerate(asks):
            try:
                answers.append(_answer(ask, number, tasks))
            except QFwError as error:
                raise with_number(error, number, len(asks)) from error
        stream = None
        if tasks.tasks:
            stream = self._backend.qfw_stream()
            submit(tasks.tasks, stream, seeds, began_ns, self._backend.qfw_calibration)
        return PrimitiveJob(answers, stream)


class _Answer:
    """A PUB whose outcomes come from tasks."""

    def __init__(
        self, ask: SamplerAsk, registers: Mapping[str, Sequence[int]], where: Sequence[Sets]
    ) -> None:
        self._shape, self._shots = ask.values.shape, ask.shots
        self._circuit_metadata = ask.circuit.metadata
        self._registers = registers
        self._where = where

    @property
    def tasks(self) -> Sequence[Task]:
        return [sets.task for sets in self._where]

    def read(self, results: Sequence[Result]) -> SamplerPubResult:
        outcomes = [_outcomes(result)[sets.rows] for result, sets in zip(results, self._where, strict=True)]
        data = {}
        for name, clbits in self._registers.items():
            parts = [pack(part, clbits) for part in outcomes]
            packed = parts[0] if len(parts) == 1 else _joined(parts, self._shots, len(clbits))
            shaped = packed.reshape(*self._shape, self._shots, packed.shape[-1])
            data[name] = BitArray(shaped, len(clbits))
        metadata = {"shots": self._shots, "circuit_metadata": self._circuit_metadata, **provenance(results)}
        return SamplerPubResult(DataBin(**data, shape=self._shape), metadata)


def _answer(ask: SamplerAsk, number: int, tasks: Tasks) -> _Answer:
    registers = _registers(ask.circuit)
    rows = ask.lowered.bind(ask.values.rows)
    if not registers:
        # As Qiskit's own sampler does.
        warnings.warn(
            f"PUB {number}: circuit {ask.circuit.name!r} has no classical registers, so its result is empty; "
            "measure_all() adds one",
            UserWarning,
            stacklevel=3,
        )
        return _Answer(ask, {}, ())
    program = ask.lowered.program
    if not program.has_measurements:
        raise ProgramError(
            f"circuit {ask.circuit.name!r} measures nothing into its classical registers; add measure() or "
            "measure_all()"
        )
    return _Answer(ask, registers, tasks.add(program, ask.shots, _MEMORY, rows))


def _registers(circuit: QuantumCircuit) -> dict[str, list[int]]:
    """Classical bits of each register, bit 0 first."""
    index = {bit: position for position, bit in enumerate(circuit.clbits)}
    found: dict[str, list[int]] = {}
    for register in circuit.cregs:
        if register.name in found:
            raise ProgramError(
                f"circuit {circuit.name!r} has two classical registers named {register.name!r}"
            )
        _check_name(register.name)
        found[register.name] = [index[bit] for bit in register]
    return found


@lru_cache(1024)
def _check_name(name: str) -> None:
    try:
        DataBin(**{name: None})
    except (TypeError, ValueError) as error:
        raise ProgramError(
            f"a classical register cannot be named {name!r}: results have registers as attributes, and that one is "
            "Qiskit's. Name it otherwise"
        ) from error


def _outcomes(result: Result) -> np.ndarray[Any, Any]:
    """Shape (sets, shots, words) uint64."""
    (answer,) = result.answers
    assert isinstance(answer, MemoryAnswer)
    return answer.outcomes.numpy()


def _joined(parts: Sequence[np.ndarray[Any, Any]], shots: int, num_bits: int) -> np.ndarray[Any, Any]:
    if not parts:
        return np.zeros((0, shots, -(-num_bits // 8)), dtype=np.uint8)
    return np.concatenate(parts)
