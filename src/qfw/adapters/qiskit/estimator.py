"""Estimator: Qiskit's EstimatorV2 on top of the QPI."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from qiskit.primitives import BaseEstimatorV2, DataBin, EstimatorPubLike, PubResult

from qfw.adapters.qiskit.backend import Backend
from qfw.adapters.qiskit.pairs import Group, Ints, groups, numbered
from qfw.adapters.qiskit.primitive_job import PrimitiveJob
from qfw.adapters.qiskit.primitive_options import (
    OnBackend,
    Seed,
    check_seed,
    own_backend,
    provenance,
    task_seeds,
)
from qfw.adapters.qiskit.pubs import EstimatorAsk, Floats, check_precision, estimator_asks, with_number
from qfw.adapters.qiskit.submission import submit
from qfw.adapters.qiskit.tasks import Sets, Task, Tasks
from qfw.model.errors import ProgramError, QFwError
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation
from qfw.model.result import Result


@dataclass
class EstimatorOptions:
    """What an Estimator does where a call does not say it; may be changed between calls."""

    #: Of PUBs that do not say theirs, in calls that do not either; 0 for exact values.
    default_precision: float = 0.0
    #: Equal seeds give equal results, call by call; None for fresh ones. A Generator goes on from call to call.
    seed: Seed = None


class Estimator(OnBackend, BaseEstimatorV2):  # type: ignore[misc]
    """A Qiskit estimator that runs on QFw: `Estimator().run([(circuit, "ZZ")]).result()[0].data.evs`.

    All PUBs of a call travel in one message. Each pair of parameter set and observable that is asked is
    worked out once; observables that commute qubit by qubit share their shots.
    """

    _options: EstimatorOptions

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        mode: Backend | None = None,
        default_precision: float = 0.0,
        seed: Seed = None,
    ) -> None:
        """Prepares the estimator; opens nothing yet.

        Args:
            backend: where to run; None for the best device for each task.
            mode: another name of `backend`.
            default_precision: of PUBs that do not say theirs, in calls that do not either; 0 for exact values.
            seed: an integer makes the results of every call repeat, its PUBs having different ones; what a
                NumPy Generator draws goes on from call to call; None for fresh results.

        Raises:
            UsageError: `backend` is no QFw backend; or both names are given.
            OptionError: precision or seed out of range.
        """
        self._backend = own_backend(backend, mode, "Estimator")
        self._options = EstimatorOptions(check_precision(default_precision), check_seed(seed))

    @classmethod
    def from_backend(cls, backend: Backend, **options: Any) -> Estimator:
        """An estimator of this backend, as Aer's; options are the constructor's."""
        return cls(backend, **options)

    @property
    def options(self) -> EstimatorOptions:
        """Defaults of the calls; may be changed."""
        return self._options

    @property
    def default_precision(self) -> float:
        """Precision of PUBs that do not say theirs; 0 for exact values."""
        return self._options.default_precision

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> PrimitiveJob:
        """Submits PUBs and returns at once.

        Args:
            pubs: (circuit, observables), (circuit, observables, values),
                (circuit, observables, values, precision) or EstimatorPub, each.
            precision: of the PUBs that do not say theirs; None for the default, 0 for exact values. Others
                take 1/precision² shots (`qfw.adapters.qiskit.pubs.shots_for`).

        Returns:
            A job. The data of a PUB's result has `evs` and `stds`, the values and their standard errors (0
            where exact), of the shape that observables and parameter sets broadcast to. Its metadata:
            target_precision, shots (0 where exact), circuit_metadata, and of the last of its tasks to be
            answered device and timeline (`qfw.model.timeline`); tasks has the names of all.

        Raises:
            UsageError: not a list of PUBs; the backend's session is closed, or of another process.
            ProgramError: a circuit that cannot be run anywhere, or is measured; observables that cannot be
                read, are not Hermitian or of another width, or do not broadcast with the values.
            ParameterError: not as many values as parameters; not real, not finite.
            OptionError: precision out of range.
        """
        began_ns = time.monotonic_ns()
        asks = estimator_asks(pubs, self._options.default_precision if precision is None else precision)
        seeds = task_seeds(self._options.seed)
        tasks = Tasks()
        answers = []
        for number, ask in enumerate(asks):
            try:
                answers.append(_answer(ask, tasks))
            except QFwError as error:
                raise with_number(error, number, len(asks)) from error
        stream = None
        if tasks.tasks:
            stream = self._backend.qfw_stream()
            submit(tasks.tasks, stream, seeds, began_ns, self._backend.qfw_calibration)
        return PrimitiveJob(answers, stream)


class _Part(NamedTuple):
    """Where the values of one group are."""

    group: Group
    where: Sequence[Sets]


class _Answer:
    """A PUB whose values come from tasks."""

    def __init__(self, ask: EstimatorAsk, parts: Sequence[_Part]) -> None:
        self._shape = ask.shape
        self._metadata = {
            "target_precision": ask.precision,
            "shots": ask.shots,
            "circuit_metadata": ask.circuit.metadata,
        }
        self._parts = parts

    @property
    def tasks(self) -> Sequence[Task]:
        return [sets.task for part in self._parts for sets in part.where]

    def read(self, results: Sequence[Result]) -> PubResult:
        size = int(np.prod(self._shape, dtype=np.intp))
        evs, stds = np.empty(size), np.empty(size)
        given = iter(results)
        for group, where in self._parts:
            of = [(next(given), sets) for sets in where]
            values = [r.expectation_values[s.rows] for r, s in of]
            errors = [r.standard_errors[s.rows] for r, s in of]
            evs[group.elements] = _joined(values)[group.rows, group.columns]
            stds[group.elements] = _joined(errors)[group.rows, group.columns]
        data = DataBin(evs=evs.reshape(self._shape), stds=stds.reshape(self._shape), shape=self._shape)
        return PubResult(data, {**self._metadata, **provenance(results)})


def _answer(ask: EstimatorAsk, tasks: Tasks) -> _Answer:
    program = ask.lowered.program
    if program.has_measurements and not program.has_control:
        raise ProgramError(
            f"circuit {ask.circuit.name!r} is measured at its end; an estimator measures its observables itself. Give "
            "it the circuit without: circuit.remove_final_measurements(inplace=False)"
        )
    rows, numbers = ask.lowered.bind(ask.values.rows), np.arange(len(ask.values.rows))
    if not ask.shots and len(rows) > 1:
        # Exact values of equal sets are equal; with shots they are to be independent.
        rows, numbers = _distinct_rows(rows)
    kinds, kind_of = _distinct(ask.observables.sums)
    parts = [
        _Part(group, tasks.add(program, ask.shots, _expectation(kinds, group), rows[group.sets]))
        for group in groups(
            numbered(ask.values.shape, numbers, ask.shape),
            numbered(ask.observables.shape, np.array(kind_of, dtype=np.intp), ask.shape),
        )
    ]
    return _Answer(ask, parts)


def _distinct_rows(rows: Floats) -> tuple[Floats, Ints]:
    """The distinct rows in the order in which they come first, and the number of each row among them."""
    if not rows.shape[1]:
        return rows[:1], np.zeros(len(rows), dtype=np.intp)
    _, first, numbers = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    # As they were given, not sorted: the profile tells a gradient's shifts by the point that goes before them.
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return rows[first[order]], place[numbers.reshape(-1)]


def _distinct(sums: Sequence[PauliSum]) -> tuple[list[PauliSum], list[int]]:
    """The distinct observables, and the number of each among them."""
    numbers: dict[PauliSum, int] = {}
    found = [numbers.setdefault(observable, len(numbers)) for observable in sums]
    return list(numbers), found


def _expectation(kinds: Sequence[PauliSum], group: Group) -> tuple[Expectation]:
    return (Expectation(tuple(kinds[number] for number in group.observables.tolist())),)


def _joined(parts: Sequence[Floats]) -> Floats:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
