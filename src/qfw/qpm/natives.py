"""Native operations of a driver: one after the other on a thread of their own, each within its limit."""

from __future__ import annotations

from collections import deque
from functools import partial

from qfw.model.errors import DeadlineExceeded, ErrorReport, NoCapacity, QFwError, WrongAnswer
from qfw.qpm.driver import Driver
from qfw.qpm.execution import report_of
from qfw.qpm.lanes import Lane, Mailbox
from qfw.qpm.platform import NativeCall, NativeDone, NativeFailed, Reactor, Sink

#: Threads that may be stuck in native operations at once; then no more is called until one comes back.
MAX_STUCK = 4


class Natives:
    """Calls a driver's `native`. All calls on the reactor's thread."""

    def __init__(self, driver: Driver, grace_s: float, mailbox: Mailbox) -> None:
        """`grace_s`: how long an operation may go on beyond its limit before its thread is left behind."""
        self._driver = driver
        self._grace_s = grace_s
        self._mailbox = mailbox
        self._lane = Lane("native operations", mailbox)
        #: Not answered yet, by number: the device.
        self._open: dict[int, str] = {}
        self._waiting: deque[tuple[str, NativeCall]] = deque()
        #: What the lane does, answered or not.
        self._current: NativeCall | None = None
        self._stuck = 0
        self._closed = False
        self._reactor: Reactor
        self._sink: Sink

    def open(self, reactor: Reactor, sink: Sink) -> None:
        """Where to run and to report."""
        self._reactor, self._sink = reactor, sink

    def call(self, device: str, call: NativeCall) -> None:
        """Starts an operation that the device has. One that it has already is not started twice."""
        if call.number in self._open:
            return
        self._open[call.number] = device
        if self._stuck >= MAX_STUCK:
            error = NoCapacity(f"{self._stuck} native operations are stuck in the driver of {device}")
            self._mailbox.post(partial(self._fail, call, error))
            return
        self._waiting.append((device, call))
        self._reactor.call_at(self._reactor.now() + call.time_limit_s, partial(self._overrun, device, call))
        self._next()

    def close(self) -> None:
        """Nothing is reported any more."""
        self._closed = True
        self._waiting.clear()
        self._lane.stop()

    def _next(self) -> None:
        while self._current is None and self._waiting:
            device, call = self._waiting.popleft()
            if call.number in self._open:
                self._current = call
                self._lane.do(partial(self._perform, device, call), partial(self._ended, call))

    def _perform(self, device: str, call: NativeCall) -> NativeDone | NativeFailed:
        """On the lane."""
        try:
            body = self._driver.native(device, call.operation, call.body, call.time_limit_s)
            if not isinstance(body, bytes):
                raise WrongAnswer(
                    f"the driver of {device} answered {call.operation} with {type(body).__name__}; bytes are wanted"
                )
            return NativeDone(call.number, body)
        except BaseException as error:
            return NativeFailed(call.number, report_of(error, device))

    def _ended(self, call: NativeCall, outcome: NativeDone | NativeFailed) -> None:
        if self._closed:
            return
        self._answer(outcome)
        if self._current is call:
            self._current = None
        else:
            self._stuck -= 1
        self._next()

    def _overrun(self, device: str, call: NativeCall) -> None:
        if self._closed or call.number not in self._open:
            return
        self._fail(
            call,
            DeadlineExceeded(
                f"native operation {call.operation} of {device} did not end within {call.time_limit_s:g} s"
            ),
        )
        if self._current is call:
            self._reactor.call_at(self._reactor.now() + self._grace_s, partial(self._leave, device, call))

    def _leave(self, device: str, call: NativeCall) -> None:
        """Gives up a thread that does not come back; what waited behind it goes on in another one."""
        if self._closed or self._current is not call:
            return
        self._stuck += 1
        self._current = None
        self._lane.stop()
        self._lane = Lane("native operations", self._mailbox)
        if self._stuck < MAX_STUCK:
            self._next()
            return
        for _, waiting in self._waiting:
            if waiting.number in self._open:
                self._fail(
                    waiting,
                    NoCapacity(f"{self._stuck} native operations are stuck in the driver of {device}"),
                )
        self._waiting.clear()

    def _fail(self, call: NativeCall, error: QFwError) -> None:
        self._answer(NativeFailed(call.number, ErrorReport.of(error)))

    def _answer(self, outcome: NativeDone | NativeFailed) -> None:
        device = self._open.pop(outcome.number, None)
        if device is not None:
            self._sink.native_ended(device, outcome)
