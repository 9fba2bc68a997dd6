"""A backend that keeps what is sent; everything goes on to the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qfw.qiskit import Backend
from qfw.qpi import Request


class RecordedStream:
    """A stream that keeps the requests of each message."""

    def __init__(self, stream: Any, messages: list[list[Request]]) -> None:
        self._stream = stream
        self._messages = messages

    def run_many(self, requests: Sequence[Request]) -> Any:
        self._messages.append(list(requests))
        return self._stream.run_many(requests)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class RecordedBackend(Backend):
    """For the primitives, which ask a backend for nothing but its stream."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: The requests of each message.
        self.messages: list[list[Request]] = []

    def qfw_stream(self) -> Any:
        return RecordedStream(super().qfw_stream(), self.messages)
