"""QFw: quantum processors for hybrid applications, as usable as a GPU.

Example::

    program = qfw.Program.from_qasm(text)
    with qfw.Session() as session, session.device().stream() as stream:
        future = stream.run(program, shots=1000)
        print(future.result(timeout=30).counts[0])

Every error is of the tree in `qfw.model.errors`, which is `qfw.errors` too.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

#: Version of the package.
__version__ = "0.1.0"

if _TYPE_CHECKING:
    from qfw.model import errors as errors
    from qfw.model.observable import PauliSum as PauliSum
    from qfw.model.outputs import (
        Counts as Counts,
    )
    from qfw.model.outputs import (
        Expectation as Expectation,
    )
    from qfw.model.outputs import (
        Memory as Memory,
    )
    from qfw.model.outputs import (
        Probabilities as Probabilities,
    )
    from qfw.model.outputs import (
        Statevector as Statevector,
    )
    from qfw.model.pipeline import Stage as Stage
    from qfw.model.program import Gate as Gate
    from qfw.model.program import Measure as Measure
    from qfw.model.program import slot as slot
    from qfw.model.result import Result as Result
    from qfw.model.task import TaskOptions as TaskOptions
    from qfw.qpi.choice import Choice as Choice
    from qfw.qpi.compiled import CompiledProgram as CompiledProgram
    from qfw.qpi.completions import Completion as Completion
    from qfw.qpi.completions import CompletionQueue as CompletionQueue
    from qfw.qpi.device import Device as Device
    from qfw.qpi.events import Event as Event
    from qfw.qpi.events import EventQueue as EventQueue
    from qfw.qpi.future import TaskFuture as TaskFuture
    from qfw.qpi.group import GroupFuture as GroupFuture
    from qfw.qpi.group import GroupResult as GroupResult
    from qfw.qpi.mesh import Mesh as Mesh
    from qfw.qpi.operation import Operation as Operation
    from qfw.qpi.pipeline import ToolPipeline as ToolPipeline
    from qfw.qpi.program import Program as Program
    from qfw.qpi.reservation import Reservation as Reservation
    from qfw.qpi.session import Session as Session
    from qfw.qpi.stream import QStream as QStream
    from qfw.qpi.stream import Request as Request

# Imported on first use: the command line starts in a fraction of what NumPy alone takes to import.
_HOMES = {
    "errors": "qfw.model",
    "PauliSum": "qfw.model.observable",
    "Counts": "qfw.model.outputs",
    "Expectation": "qfw.model.outputs",
    "Memory": "qfw.model.outputs",
    "Probabilities": "qfw.model.outputs",
    "Statevector": "qfw.model.outputs",
    "Stage": "qfw.model.pipeline",
    "Gate": "qfw.model.program",
    "Measure": "qfw.model.program",
    "slot": "qfw.model.program",
    "Result": "qfw.model.result",
    "TaskOptions": "qfw.model.task",
    "Completion": "qfw.qpi.completions",
    "CompletionQueue": "qfw.qpi.completions",
    "Choice": "qfw.qpi.choice",
    "CompiledProgram": "qfw.qpi.compiled",
    "Device": "qfw.qpi.device",
    "Event": "qfw.qpi.events",
    "EventQueue": "qfw.qpi.events",
    "TaskFuture": "qfw.qpi.future",
    "Operation": "qfw.qpi.operation",
    "GroupFuture": "qfw.qpi.group",
    "GroupResult": "qfw.qpi.group",
    "Mesh": "qfw.qpi.mesh",
    "ToolPipeline": "qfw.qpi.pipeline",
    "Program": "qfw.qpi.program",
    "Reservation": "qfw.qpi.reservation",
    "Session": "qfw.qpi.session",
    "QStream": "qfw.qpi.stream",
    "Request": "qfw.qpi.stream",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> _Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'qfw' has no attribute {name!r}")
    if home == "qfw.model":
        return _import_module("qfw.model.errors")
    found = getattr(_import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
