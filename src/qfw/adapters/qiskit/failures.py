"""QFw's errors as Qiskit's: what a job raises is both."""

from __future__ import annotations

from functools import cache
from typing import Any

from qiskit.providers import JobError

from qfw.model.errors import QFwError


def as_job_error(error: QFwError, kind: type[JobError] = JobError) -> QFwError:
    """An error of the same class that is a `kind` of Qiskit's too."""
    found = _made(type(error), kind, str(error))
    found.__dict__.update(error.__dict__)
    return found


def _made(of: type[QFwError], kind: type[JobError], message: str) -> QFwError:
    found: QFwError = _joined(of, kind)(message)  # type: ignore[arg-type]
    found.__dict__["message"] = message
    return found


@cache
def _joined(of: type[QFwError], kind: type[JobError]) -> type[QFwError]:
    if issubclass(of, kind):
        return of

    def __str__(self: BaseException) -> str:
        # Qiskit's own shows the message in quotes.
        return str(self.args[0])

    def __reduce__(self: BaseException) -> Any:
        return _made, (of, kind, str(self))

    members = {
        "__str__": __str__,
        "__reduce__": __reduce__,
        "__module__": of.__module__,
        "__doc__": of.__doc__,
    }
    return type(of.__name__, (of, kind), members)
