"""The application's interface: sessions, devices, meshes, streams, futures, queues, reservations."""

from qfw.qpi.completions import Completion, CompletionQueue
from qfw.qpi.device import Device
from qfw.qpi.events import Event, EventQueue
from qfw.qpi.future import TaskFuture
from qfw.qpi.group import GroupFuture, GroupResult
from qfw.qpi.mesh import Mesh
from qfw.qpi.operation import Operation
from qfw.qpi.reservation import Reservation
from qfw.qpi.session import Session
from qfw.qpi.stream import QStream, Request

__all__ = [
    "Completion",
    "CompletionQueue",
    "Device",
    "Event",
    "EventQueue",
    "GroupFuture",
    "GroupResult",
    "Mesh",
    "Operation",
    "QStream",
    "Request",
    "Reservation",
    "Session",
    "TaskFuture",
]
