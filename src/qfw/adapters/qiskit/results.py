"""Results of tasks in Qiskit's form; counts and memory are made when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Statevector
from qiskit.result import Result as QiskitResult
from qiskit.result.models import ExperimentResult, ExperimentResultData

from qfw.adapters.qiskit.batch import Batch, Part
from qfw.adapters.qiskit.failures import as_job_error
from qfw.model.errors import QFwError
from qfw.model.outputs import CountsAnswer, MemoryAnswer
from qfw.model.result import Result


class Readings:
    """What the sets of one task answered; read once for all of them."""

    def __init__(self, result: Result, num_qubits: int) -> None:
        """Of a task's result."""
        self._result = result
        self._num_qubits = num_qubits

    def counts(self, index: int) -> dict[str, int]:
        """Counts of a set by Qiskit's keys: hexadecimal, bit 0 least significant."""
        keys, numbers, spans = self._counts
        low, high = spans[index]
        return dict(zip(keys[low:high], numbers[low:high], strict=True))

    def memory(self, index: int) -> list[str]:
        """The bits of each shot of a set, in the same form."""
        answer = next(answer for answer in self._result.answers if isinstance(answer, MemoryAnswer))
        return _hexadecimal(answer.outcomes.numpy()[index])

    def statevector(self, index: int) -> Statevector:
        """The final state of a set, qubit 0 the least significant bit of the index."""
        return Statevector(self._result.statevector[index], dims=(2,) * self._num_qubits)

    @cached_property
    def _counts(self) -> tuple[list[str], list[int], list[tuple[int, int]]]:
        answer = next(answer for answer in self._result.answers if isinstance(answer, CountsAnswer))
        offsets = answer.offsets.numpy().tolist()
        return _hexadecimal(answer.outcomes.numpy()), answer.counts.numpy().tolist(), list(pairwise(offsets))


class LazyData(ExperimentResultData):  # type: ignore[misc]
    """Qiskit's data of one experiment, each field made when it is first looked at."""

    def __init__(self, readings: Readings, index: int, fields: Sequence[str]) -> None:
        """Of set `index`; `fields` are those that were asked for."""
        self._data_attributes = list(fields)
        self._readings = readings
        self._index = index

    def __getattr__(self, name: str) -> Any:
        # Qiskit asks by hasattr whether there is a memory.
        if name == "_data_attributes" or name not in self._data_attributes:
            raise AttributeError(f"these data have no {name}; they have: {', '.join(self._data_attributes)}")
        made = getattr(self._readings, name)(self._index)
        setattr(self, name, made)
        return made

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return ExperimentResultData.from_dict, (self.to_dict(),)


class BatchResult(QiskitResult):  # type: ignore[misc]
    """Qiskit's Result; what asks for a failed circuit's data raises why it failed."""

    def __init__(self, errors: Mapping[int, QFwError], **fields: Any) -> None:
        """`errors` by position; `fields` are Qiskit's."""
        super().__init__(**fields)
        self._errors = dict(errors)

    def _get_experiment(self, key: Any = None) -> Any:
        try:
            return super()._get_experiment(key)
        except QiskitError:
            error = self._errors.get(self._position(key))
            if error is None:
                raise
            raise as_job_error(error) from error

    def _position(self, key: Any) -> int:
        """Number of the experiment that Qiskit means by a key; -1 where it means none."""
        count = len(self.results)
        if key is None:
            return 0 if count == 1 else -1
        if isinstance(key, int):
            return key % count if -count <= key < count else -1
        name = getattr(key, "name", key)
        return next((i for i, one in enumerate(self.results) if one.header["name"] == name), -1)

    def __getattr__(self, name: str) -> Any:
        # Qiskit's own looks into a dict, which an object that is being unpickled does not have yet.
        if name.startswith("__") or name == "_metadata":
            raise AttributeError(name)
        return super().__getattr__(name)


def result_of(
    batch: Batch,
    outcomes: Mapping[int, Result | QFwError],
    engines: Mapping[str, str],
    *,
    shots: int | None,
    seed: int | None,
    memory: bool,
    job_id: str,
    backend_name: str,
    backend_version: str,
) -> BatchResult:
    """The Result of a call: an experiment for each set of each circuit, in order.

    Args:
        batch: the call's circuits.
        outcomes: of its tasks, by id().
        engines: the engine of each device.
        shots, seed, memory: as asked for.
        job_id, backend_name, backend_version: what the result says of itself.
    """
    fields = ["statevector"] if shots is None else ["counts", "memory"] if memory else ["counts"]
    experiments: list[ExperimentResult] = []
    errors: dict[int, QFwError] = {}
    known: dict[int, tuple[Readings, dict[str, Any]]] = {}
    began_ns, received_ns = [], []
    # Of each circuit: its outcome, and which sets of it.
    pieces = [
        (part, piece, outcomes[id(piece.task)] if piece else part.error)
        for part in batch.parts
        for piece in part.where or (None,)
    ]
    for part, piece, outcome in pieces:
        if piece is None or not isinstance(outcome, Result):
            assert isinstance(outcome, QFwError)
            for _ in range(1 if piece is None else piece.rows.stop - piece.rows.start):
                errors[len(experiments)] = outcome
                experiments.append(_failed(part, outcome, shots))
            continue
        found = known.get(id(piece.task))
        if found is None:
            metadata = _metadata(outcome, engines)
            found = known[id(piece.task)] = Readings(outcome, part.header["n_qubits"]), metadata
            began_ns.append(outcome.timeline.began_ns)
            received_ns.append(outcome.timeline.received_ns)
        readings, metadata = found
        for index in range(piece.rows.start, piece.rows.stop):
            experiments.append(
                ExperimentResult(
                    shots or 0,
                    True,
                    LazyData(readings, index, fields),
                    status="DONE",
                    seed=seed,
                    header=part.header,
                    metadata=metadata,
                )
            )
    status = "COMPLETED" if not errors else "PARTIAL COMPLETED" if len(errors) < len(experiments) else "ERROR"
    return BatchResult(
        errors,
        backend_name=backend_name,
        backend_version=backend_version,
        job_id=job_id,
        success=not errors,
        results=experiments,
        date=datetime.now(UTC).isoformat(),
        status=status,
        time_taken=(max(received_ns) - min(began_ns)) / 1e9 if began_ns else 0.0,
    )


def _failed(part: Part, error: QFwError, shots: int | None) -> ExperimentResult:
    return ExperimentResult(
        shots or 0,
        False,
        ExperimentResultData(),
        status=f"ERROR: {type(error).__name__}: {error}",
        header=part.header,
        metadata={},
    )


def _metadata(result: Result, engines: Mapping[str, str]) -> dict[str, Any]:
    """Who ran a task and where its time went; shared by all circuits of the task."""
    timeline = result.timeline
    return {
        "device": result.device,
        "engine": engines.get(result.device, ""),
        "sets": result.sets,
        "processes": {
            "client": timeline.client_pid,
            "daemon": timeline.daemon_pid,
            "worker": timeline.worker_pid,
        },
        "timeline_us": timeline.stages_us(),
    }


def _hexadecimal(outcomes: npt.NDArray[Any]) -> list[str]:
    """Qiskit's keys of packed outcomes, shape (outcomes, words)."""
    if outcomes.shape[1] == 1:
        return list(map(hex, outcomes[:, 0].tolist()))
    little = np.ascontiguousarray(outcomes, dtype="<u8")
    return [hex(int.from_bytes(row.tobytes(), "little")) for row in little]
