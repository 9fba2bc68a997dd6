"""The application's interface: sessions, devices, streams, futures, completion queues."""

from qfw.qpi.completions import Completion, CompletionQueue
from qfw.qpi.device import Device
from qfw.qpi.future import TaskFuture
from qfw.qpi.operation import Operation
from qfw.qpi.session import Session
from qfw.qpi.stream import QStream, Request

__all__ = [
    "Completion",
    "CompletionQueue",
    "Device",
    "Operation",
    "QStream",
    "Request",
    "Session",
    "TaskFuture",
]
