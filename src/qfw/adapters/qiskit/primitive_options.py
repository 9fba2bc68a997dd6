"""What Sampler and Estimator are given alike: a backend, a seed; and what both say of a result's origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qfw.adapters.qiskit.backend import Backend
from qfw.model.errors import OptionError, UsageError
from qfw.model.result import Result
from qfw.model.task import task_name

#: An integer: every call repeats. A generator: goes on from call to call. None: fresh results.
Seed = int | np.random.Generator | None


class OnBackend:
    """A primitive: where it runs, and what its results are drawn from."""

    _backend: Backend
    #: Has a `seed`.
    _options: Any

    @property
    def backend(self) -> Backend:
        """Where it runs."""
        return self._backend

    @property
    def seed(self) -> Seed:
        """What results are drawn from; None for fresh ones."""
        seed: Seed = self._options.seed
        return seed


def check_seed(seed: Any) -> Seed:
    """A seed as it is. Raises OptionError: neither an integer, 0 or more, nor a Generator nor None."""
    if seed is None or isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise OptionError(
            f"seed must be an integer, 0 or more, a numpy.random.Generator or None, not {seed!r}"
        )
    return int(seed)


def task_seeds(seed: Any) -> Callable[[int], int | None]:
    """The seeds of one call's tasks, asked for in their order; None for fresh ones."""
    checked = check_seed(seed)
    if checked is None:
        return lambda number: None
    drawn_from = np.random.default_rng(checked)
    return lambda number: int(drawn_from.integers(2**63, dtype=np.uint64))


def own_backend(backend: Any, mode: Any, primitive: str) -> Backend:
    """The backend of a primitive, one of its own where none is given.

    Raises:
        UsageError: it is no QFw backend; or it is given by both names.
    """
    if backend is not None and mode is not None:
        raise UsageError("backend and mode are two names of one argument; give one of them")
    found = mode if backend is None else backend
    if found is None:
        return Backend()
    if not isinstance(found, Backend):
        raise UsageError(
            f"{primitive} runs on a qfw.qiskit.Backend, not on {type(found).__name__}; for a device of the stack write "
            f"{primitive}(Backend('name')), for the best one {primitive}()"
        )
    return found


def provenance(results: Sequence[Result]) -> dict[str, Any]:
    """Metadata of a PUB's result: which device ran it, when, under which names in `qfw squeue`.

    Args:
        results: of its tasks; of the last of them to be answered are device and timeline.
    """
    if not results:
        return {"device": None, "timeline": None, "tasks": ()}
    last = max(results, key=lambda result: result.timeline.received_ns)
    tasks = tuple(task_name(result.task) for result in results)
    return {"device": last.device, "timeline": last.timeline, "tasks": tasks}
