"""A task group as its user sees it: the future of the whole, and its merged result."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol

from qfw.model.conditions import Conditions
from qfw.model.errors import QFwError, ResultTimeout, UsageError
from qfw.model.outputs import Answer, encode_answers
from qfw.model.result import Result
from qfw.model.task import task_name
from qfw.model.timeline import Timeline


class GroupResult(Result):
    """The answers of a task that ran in parts; everything that a Result has, and the parts."""

    def __init__(
        self,
        number: int,
        parts: Sequence[Result],
        devices: Sequence[str],
        answers: tuple[Answer, ...],
        sets: int,
        notes: tuple[str, ...] = (),
        executions: int = 0,
    ) -> None:
        """`devices`: of each part; `answers`: merged; `notes` and `executions`: of the task."""
        names = tuple(dict.fromkeys(devices))
        super().__init__(
            number, ", ".join(names), b"", sets, _whole([part.timeline for part in parts]), _conditions(parts)
        )
        #: Names of the devices that ran a part.
        self.devices = names
        #: The parts' own results, in their order.
        self.parts = tuple(parts)
        #: For each device: the versions of its calibration that parts ran under; none of an ideal simulator.
        self.calibrations: dict[str, tuple[str, ...]] = {
            name: tuple(
                dict.fromkeys(
                    part.calibration
                    for part, device in zip(parts, devices, strict=True)
                    if device == name and part.calibration
                )
            )
            for name in names
        }
        #: What the tools that made the parts say of it, one line each.
        self.notes = notes
        #: Executions of all parts for each parameter set; 0: exact answers.
        self.executions = executions
        self.__dict__["answers"] = answers

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: the answers as bytes."""
        return {**super().__getstate__(), "_encoded": encode_answers(self.answers)}


class Progress(NamedTuple):
    """How far a group is, in parts."""

    done: int
    total: int


class Work(Protocol):
    """What a group's future asks of its work."""

    @property
    def number(self) -> int:
        """Of the group; below 0 as long as nothing was sent."""
        ...

    def progress(self) -> Progress:
        """How far it is."""
        ...

    def stop(self) -> None:
        """Nobody wants it any more; does not wait."""
        ...


class GroupFuture(concurrent.futures.Future[GroupResult]):
    """Result of a task group, when all its parts are there. Awaitable."""

    def __init__(self, work: Work) -> None:
        """Made by `Mesh.run_group`."""
        super().__init__()
        self._work = work
        self._pid = os.getpid()
        # A callback may cancel again.
        self._cancelling = threading.RLock()

    @property
    def progress(self) -> Progress:
        """Parts that are answered, of all."""
        return self._work.progress()

    @property
    def name(self) -> str:
        """The group as listings show it: name of its first part; empty before that was sent."""
        return task_name(self._work.number) if self._work.number > 0 else ""

    def __repr__(self) -> str:
        done, total = self.progress
        return f"GroupFuture(group {self.name or 'not begun'}; {done} of {total} parts answered)"

    def result(self, timeout: float | None = None) -> GroupResult:
        """The merged result.

        Args:
            timeout: seconds; None waits until the group is answered or a daemon is lost.

        Raises:
            ResultTimeout: not answered in time; the group goes on.
            concurrent.futures.CancelledError: it was cancelled.
            QFwError: why a part failed; names the part.
        """
        self._check_process()
        try:
            return super().result(timeout)
        except concurrent.futures.TimeoutError as error:
            if isinstance(error, QFwError):
                raise
            raise self._late(timeout) from None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, or None where there is a result. Waits and raises like `result`."""
        self._check_process()
        try:
            return super().exception(timeout)
        except concurrent.futures.TimeoutError:
            raise self._late(timeout) from None

    def cancel(self) -> bool:
        """Ends the group: nothing more is sent, and the daemons are asked to end what was. True unless it is done."""
        self._check_process()
        with self._cancelling:
            first = not self.cancelled() and super().cancel()
            if first:
                self.set_running_or_notify_cancel()
        if first:
            self._work.stop()
        return self.cancelled()

    def __await__(self) -> Generator[Any, None, GroupResult]:
        """Awaits the result without blocking the event loop; who stops awaiting it cancels it."""
        return asyncio.wrap_future(self).__await__()

    def _late(self, timeout: float | None) -> ResultTimeout:
        done, total = self.progress
        return ResultTimeout(
            f"the group {self.name} has {done} of {total} parts answered after {timeout} s; it goes on. Wait longer, "
            "or cancel() it"
        )

    def _check_process(self) -> None:
        if os.getpid() != self._pid and self._state in ("PENDING", "RUNNING"):
            raise UsageError(
                f"this group belongs to process {self._pid}; after a fork open a Session of your own in process "
                f"{os.getpid()}"
            )


def _whole(timelines: Sequence[Timeline]) -> Timeline:
    """From the first begin to the last end; processes where all parts passed the same one, else 0."""

    def same(field: str) -> int:
        pids = {getattr(timeline, field) for timeline in timelines}
        return pids.pop() if len(pids) == 1 else 0

    return Timeline(
        same("client_pid"),
        same("daemon_pid"),
        same("worker_pid"),
        min(timeline.began_ns for timeline in timelines),
        min(timeline.sent_ns for timeline in timelines),
        min(timeline.accepted_ns for timeline in timelines),
        min(timeline.started_ns for timeline in timelines),
        min(timeline.run_began_ns for timeline in timelines),
        max(timeline.run_ended_ns for timeline in timelines),
        max(timeline.compile_ns for timeline in timelines),
        max(timeline.answered_ns for timeline in timelines),
        max(timeline.received_ns for timeline in timelines),
    )


def _conditions(parts: Sequence[Result]) -> Conditions | None:
    """Device time of all parts and their notes; the calibration where all ran under the same one."""
    found = [part.conditions for part in parts if part.conditions is not None]
    if not found:
        return None
    versions = {(part.device, part.calibration or "") for part in parts}
    version = versions.pop()[1] if len(versions) == 1 else ""
    notes = tuple(dict.fromkeys(note for conditions in found for note in conditions.notes))
    return Conditions(version, sum(conditions.device_ns for conditions in found), notes)
