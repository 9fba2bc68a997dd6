"""The application's interface: sessions, devices, streams, futures."""

from qfw.qpi.device import Device
from qfw.qpi.future import TaskFuture
from qfw.qpi.session import Session
from qfw.qpi.stream import QStream, Request

__all__ = ["Device", "QStream", "Request", "Session", "TaskFuture"]
