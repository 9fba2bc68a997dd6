"""What the operations of a stream do: tasks and callbacks, and the results that they need of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from qfw.model.errors import DependencyFailed
from qfw.qpi.client import Draft
from qfw.qpi.device import Device
from qfw.qpi.drafting import Request
from qfw.qpi.future import TaskFuture
from qfw.qpi.operation import Operation


class Task(NamedTuple):
    """A task that an operation runs."""

    request: Request
    #: None where its parameters are the result of another operation.
    draft: Draft | None


class Part:
    """A task of an operation, or one that the stream submitted before it had operations."""

    __slots__ = ("device", "draft", "future", "number", "operation", "outputs", "position", "wanted")

    def __init__(self, operation: Operation | None, number: int, position: int = 0) -> None:
        """Not placed, and nothing of it is sent."""
        self.operation = operation
        #: Of the operation in the sequence; of the task in the operation.
        self.number = number
        self.position = position
        self.draft: Draft
        self.outputs: tuple[Any, ...] = ()
        #: The one that the user named for it.
        self.wanted: str | Device | None = None
        self.device: Device | None = None
        self.future: TaskFuture | None = None


class Follow:
    """A callback's place in a stream: what to call with what, or with the result of an operation."""

    def __init__(
        self,
        fn: Callable[..., Any],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        before: TaskFuture | None,
    ) -> None:
        """`before`: the operation whose result is the only argument, where no other is given."""
        self._fn = fn
        self._arguments = arguments
        self._named = named
        self._before = before

    @property
    def needs(self) -> tuple[TaskFuture, ...]:
        """Operations whose results it takes."""
        given = (self._before, *self._arguments, *self._named.values())
        return tuple(value for value in given if isinstance(value, TaskFuture))

    def __call__(self) -> Any:
        """Calls it, with results in the places of futures."""
        arguments = self._arguments if self._before is None else (self._before,)
        return self._fn(
            *map(_result, arguments), **{name: _result(value) for name, value in self._named.items()}
        )


def _result(value: Any) -> Any:
    return value.outcome()[0] if isinstance(value, TaskFuture) else value


def filled(request: Request) -> Request:
    """A request with the result of the operation whose future its parameters are."""
    return request._replace(parameters=_result(request.parameters))


def check_needs(operation: Operation) -> None:
    """Raises DependencyFailed where a result that it needs is missing."""
    for need in operation.needs:
        _, error = need.outcome()
        if error is not None:
            raise DependencyFailed(
                f"operation {operation.name} needs the result of {need._kind} {need.name}, which failed: "
                f"{type(error).__name__}: {error}"
            ) from error
