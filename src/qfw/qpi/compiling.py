"""Many lowerings at once: futures of lowered programs, made by the workers of a daemon, and the best of many."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from qfw.model.decoding import decoder
from qfw.model.errors import ErrorReport, OptionError, QFwError, StaleCalibration, ToolFailed
from qfw.model.pipeline import LoweredProgram, Pipeline, StageReport
from qfw.model.program import Program
from qfw.qpi.client import Client
from qfw.qpi.group import Progress
from qfw.qpi.host import Host
from qfw.qpi.toolwork import ToolWorkQuestion
from qfw.qpm.wire import LOWER, ToolWork

#: Lowerings that one process has under way at daemons, and by itself.
MOST_THERE, MOST_HERE = 32, 1
#: Programs that `ToolPipeline.map` and `search` have ahead.
WINDOW = 16
#: How often a search begins again whose device was calibrated meanwhile.
MAX_SEARCHES = 5

#: What a search may look for, and which of two reports is better: the smaller key.
ORDERS: dict[str, Callable[[StageReport], tuple[float, ...]]] = {
    "fidelity": lambda report: (_error(report), report.two_qubit_gates, report.depth),
    "two_qubit_gates": lambda report: (report.two_qubit_gates, _error(report), report.depth),
    "depth": lambda report: (report.depth, report.two_qubit_gates, _error(report)),
}


class ToolFuture(concurrent.futures.Future[Any]):
    """What tools make, when it is there; to cancel it ends them where they run at a daemon."""

    def __init__(self) -> None:
        """Not begun."""
        super().__init__()
        self._lock = threading.Lock()
        self._question: ToolWorkQuestion | None = None
        self._done, self._total = 0, 1

    @property
    def progress(self) -> Progress:
        """Lowerings that are there, of all."""
        return Progress(int(self.done()) if self._total == 1 else self._done, self._total)

    def cancel(self) -> bool:
        """Ends it, begun or not; True unless it is done."""
        # What runs is never said to: it ends at the daemon, or comes to nothing.
        cancelled = super().cancel()
        with self._lock:
            question = self._question
        if cancelled and question is not None:
            question.end()
        return cancelled

    def asked(self, question: ToolWorkQuestion) -> None:
        """A daemon was asked for it."""
        with self._lock:
            self._question = question
        if self.cancelled():
            question.end()

    def counts(self, done: int, total: int) -> None:
        """So many lowerings of all are there."""
        self._done, self._total = done, total


class Hosts:
    """Threads for tool work: those that wait for daemons, and the one that runs tools here."""

    def __init__(self) -> None:
        """None yet."""
        self.there = Host(MOST_THERE)
        self.here = Host(MOST_HERE)
        #: Those that only wait for others of these.
        self.waiting = Host(MOST_THERE)


_hosts = Hosts()


def _after_fork() -> None:
    """The threads of the parent are not there in a child."""
    global _hosts
    _hosts = Hosts()


os.register_at_fork(after_in_child=_after_fork)


def run(kind: str, work: Callable[[ToolFuture], Any]) -> ToolFuture:
    """The future of what `work` gives on a thread; `kind`: there, here or waiting."""
    future = ToolFuture()

    def act() -> None:
        if future.cancelled():
            return
        try:
            value, error = work(future), None
        except BaseException as caught:
            value, error = None, caught
        # Cancelled meanwhile: nobody wants it.
        if future.set_running_or_notify_cancel():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

    getattr(_hosts, kind).start(act)
    return future


def lowered_there(
    client: Client, device: str, pipeline: Pipeline, program: Program, future: ToolFuture
) -> tuple[str, LoweredProgram]:
    """What a daemon's tools make of a program for its device as it is now, with the version of its calibration."""
    question = ToolWorkQuestion(client, device, ToolWork(LOWER, program.encoded, pipeline.encoded))
    future.asked(question)
    try:
        version, lowered = _decode(question.result())
    except msgspec.DecodeError as error:
        raise ToolFailed(f"what the daemon's tools gave is no lowered program: {error}") from error
    return version, lowered


_decode = decoder(tuple[str, LoweredProgram])


def mapped(submit: Callable[[Any], ToolFuture], items: Iterable[Any], window: int) -> Iterator[Any]:
    """Results in the order of the items, of which `window` are ahead; those are cancelled when it is closed."""
    ahead: deque[ToolFuture] = deque()
    left = iter(items)
    try:
        for item in left:
            ahead.append(submit(item))
            if len(ahead) >= window:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


class Found(NamedTuple):
    """The best of many lowerings."""

    #: What `ToolPipeline.lower` gives.
    lowered: Any
    #: The option's value that gave it.
    value: Any
    #: Figures of each value's lowered program, in the order of the values.
    tried: tuple[tuple[Any, StageReport], ...]

    def __repr__(self) -> str:
        """In one line."""
        return f"Found({self.value!r} of {len(self.tried)} tried; {self.lowered!r})"


def search(submits: Sequence[tuple[Any, Callable[[], ToolFuture]]], best: str, future: ToolFuture) -> Found:
    """The best by `ORDERS[best]`; of equally good ones the first of the values. All for one calibration.

    Args:
        submits: each value, and what begins its lowering.
        best: what is looked for.
        future: is told how far it is, and may be cancelled.

    Raises:
        QFwError: why a value cannot be lowered; says which.
        StaleCalibration: the device was calibrated again and again meanwhile.
    """
    order = ORDERS[best]
    live: set[ToolFuture] = set()
    future.add_done_callback(lambda _: [each.cancel() for each in tuple(live)])
    for _ in range(MAX_SEARCHES):
        tried = []
        ahead: deque[ToolFuture] = deque()
        waiting = deque(submits)
        try:
            for done, (value, _) in enumerate(submits):
                while waiting and len(ahead) < WINDOW and not future.cancelled():
                    ahead.append(waiting.popleft()[1]())
                    live.add(ahead[-1])
                future.counts(done, len(submits))
                if future.cancelled():
                    break
                next_one = ahead.popleft()
                tried.append((value, _result(value, next_one)))
                live.discard(next_one)
        finally:
            for each in ahead:
                each.cancel()
        if len({lowered.calibration for _, lowered in tried}) > 1:
            continue
        future.counts(len(tried), len(submits))
        if len(tried) < len(submits):
            # Cancelled: nobody hears of it.
            raise concurrent.futures.CancelledError
        value, lowered = min(tried, key=lambda pair: order(pair[1].stages[-1]))
        return Found(lowered, value, tuple((value, each.stages[-1]) for value, each in tried))
    raise StaleCalibration(
        f"the device was calibrated during each of {MAX_SEARCHES} searches; try fewer values, or later"
    )


def check_best(best: str) -> None:
    """Raises OptionError where there is no such order."""
    if best not in ORDERS:
        raise OptionError(f"a search looks for the best {', '.join(ORDERS)}, not {best!r}")


def _result(value: Any, future: ToolFuture) -> Any:
    try:
        return future.result()
    except QFwError as error:
        report = ErrorReport.of(error)
        raise ErrorReport(report.code, f"with {value!r}: {report.message}").to_exception() from error


def _error(report: StageReport) -> float:
    """Probability that something errs; where nobody can say, worse than any."""
    return 2.0 if report.fidelity is None else 1.0 - report.fidelity
