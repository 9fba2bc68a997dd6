"""The groups of a mesh or device: places the parts of each, and takes in their answers."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import threading
import time
from collections import deque
from typing import NamedTuple

from qfw.model.errors import (
    DaemonLost,
    ErrorReport,
    QFwError,
    TaskCancelled,
    UsageError,
)
from qfw.model.result import Result
from qfw.model.timeline import Timeline
from qfw.qpi.client import BYTES_PER_MESSAGE, Client, Draft
from qfw.qpi.device import AutomaticDevice, Device
from qfw.qpi.future import TaskFuture
from qfw.qpi.group import GroupFuture, GroupResult, Progress
from qfw.qpi.group_task import GroupTask
from qfw.qpi.placing import Ground
from qfw.qpi.split import Part

#: Seconds without a group after which the thread that serves them ends.
IDLE_S = 1.0
#: Parts that are sent and not answered, where a device takes whatever comes.
MOST_SENT = 1024
#: Parts that travel together; those behind them are made ready while the daemon begins these.
PARTS_AT_ONCE = 64


class _Work:
    """A group under way. Belongs to the thread of its `Groups`, but for `stop`."""

    def __init__(self, groups: Groups, task: GroupTask) -> None:
        self._groups = groups
        self.task = task
        self.parts = task.parts
        self.began_ns = time.monotonic_ns()
        self.future = GroupFuture(self)
        #: Of its first task; -1 as long as none was sent.
        self.number = -1
        #: What was not sent yet, by the device that has to run it; "" for any.
        self.waiting: dict[str, deque[Part]] = {}
        for part in task.parts:
            self.waiting.setdefault(part.device, deque()).append(part)
        #: What has its device and was not sent yet, by daemon.
        self.placed: dict[Client, list[tuple[Part, Device]]] = {}
        #: What was sent and is not answered, by part.
        self.sent: dict[int, tuple[Device, TaskFuture]] = {}
        #: By part.
        self.results: dict[int, tuple[Result, str]] = {}
        #: First set and number of sets of the part that was made ready last, and their parameters.
        self._sets = (0, -1)
        self._parameters = b""

    def parameters(self, part: Part) -> bytes:
        """Those of a part's sets, as they travel; of parts with the same ones the same bytes."""
        sets = part.first_set, part.sets
        if sets != self._sets:
            rows = self.task.values[part.first_set : part.first_set + part.sets]
            self._sets, self._parameters = sets, rows.astype("<f8", copy=False).tobytes()
        return self._parameters

    def progress(self) -> Progress:
        """How far it is."""
        return Progress(len(self.results), len(self.parts))

    def stop(self) -> None:
        """Nobody wants it any more; does not wait."""
        self._groups.post(_Stopped(self))


class _Ended(NamedTuple):
    """A part was answered, or was not."""

    work: _Work
    part: Part
    device: Device
    future: TaskFuture


class _Stopped(NamedTuple):
    """A group is to be ended."""

    work: _Work


class _Begun(NamedTuple):
    """A group is to be begun."""

    work: _Work


class _Room:
    """A device may take something again."""


_Message = _Begun | _Ended | _Stopped | _Room


class Groups:
    """The groups of a ground: a thread, there only while it has some, places their parts and takes in their answers.

    Not the threads that read: those may hold what a submission to another daemon waits for.
    """

    def __init__(self, ground: Ground) -> None:
        """Of one mesh or device."""
        self._ground = ground
        #: Parts that are sent and not answered.
        self._sent = 0
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        #: Those that are not settled.
        self._open: list[_Work] = []
        #: Whether the ground will say when a device has room.
        self._asked_for_room = False

    def run(self, task: GroupTask) -> GroupFuture:
        """Begins a group, and returns at once."""
        work = _Work(self, task)
        self.post(_Begun(work))
        return work.future

    def post(self, message: _Message) -> None:
        """Hands the thread something to do; from any thread."""
        with self._lock:
            self._messages.put(message)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="qfw-groups", daemon=True)
                self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                message = self._messages.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if not self._open and self._messages.empty():
                        self._thread = None
                        return
                continue
            self._act(message)
            # What came meanwhile: parts that their ends make room for travel together.
            for _ in range(self._messages.qsize()):
                self._act(self._messages.get())
            for work in list(self._open):
                self._fill(work)

    def _act(self, message: _Message) -> None:
        match message:
            case _Begun(work):
                self._open.append(work)
            case _Stopped(work):
                self._give_up(work)
            case _Ended():
                self._take_in(message)
            case _Room():
                self._asked_for_room = False

    def _fill(self, work: _Work) -> None:
        """Sends what there is room for."""
        try:
            while not work.future.done() and self._place_next(work):
                for client in list(work.placed):
                    self._send(work, client)
        except BaseException as error:
            self._fail(work, error)

    def _place_next(self, work: _Work) -> bool:
        """Whether there are parts that can be sent: as many as travel together, each with its device."""
        # The first one of a group goes alone: the others name its number.
        most = PARTS_AT_ONCE if work.number >= 0 else 1
        count = size = 0
        for waiting in work.waiting.values():
            while waiting and count < most and size < BYTES_PER_MESSAGE:
                device = self._place(work, waiting[0])
                if device is None:
                    break
                part = waiting.popleft()
                work.placed.setdefault(device.client, []).append((part, device))
                self._sent += 1
                program = work.task.pieces[part.piece].program
                self._ground.began(device, part.sets, part.shots, program)
                count, size = count + 1, size + part.sets * program.num_slots * 8
        return bool(count)

    def _place(self, work: _Work, part: Part) -> Device | None:
        if isinstance(self._ground, Device):
            # An end of its own makes room.
            return self._ground if self._sent < MOST_SENT else None
        piece = work.task.pieces[part.piece]
        lowered = work.task.pipeline is not None
        asked = (piece.program, piece.outputs, part.sets, part.shots, lowered, part.device or None)
        device = self._ground.place(*asked)
        if device is not None or self._asked_for_room:
            return device
        self._asked_for_room = True
        self._ground.when_room(self._room)
        # What changed in between wakes nobody.
        return self._ground.place(*asked)

    def _room(self) -> None:
        self.post(_Room())

    def _send(self, work: _Work, client: Client) -> None:
        """What was placed on the devices of one daemon, in one message."""
        together = work.placed[client]
        drafts = [self._draft(work, part, device) for part, device in together]
        try:
            futures = client.submit(drafts)
        except DaemonLost:
            if isinstance(self._ground, Device):
                raise
            # Nothing was sent. Of a daemon that is lost nothing is chosen any more.
            self._take_back(work, client)
            for part, _ in reversed(together):
                work.waiting[part.device].appendleft(part)
            return
        del work.placed[client]
        for (part, device), future in zip(together, futures, strict=True):
            if work.number < 0:
                work.number = future.task.number
            work.sent[part.number] = (device, future)
            self._ground.named(device, future.task.number)
            self._follow(_Ended(work, part, device, future))

    def _follow(self, ended: _Ended) -> None:
        ended.future.add_done_callback(lambda _: self.post(ended))

    def _draft(self, work: _Work, part: Part, device: Device) -> Draft:
        task, piece = work.task, work.task.pieces[part.piece]
        rest = (
            piece.encoded,
            part.sets,
            work.parameters(part),
            part.shots,
            part.seed,
            task.options,
            task.calibration,
            work.began_ns,
        )
        name = device.chosen(piece.program, piece.outputs)
        if isinstance(device, AutomaticDevice) and part.device:
            name = part.device
        first = task.first_set + part.first_set
        return Draft(piece.program, name, rest, (b"", first, work.number), task.pipeline)

    def _take_back(self, work: _Work, client: Client) -> None:
        """What was placed on the devices of a daemon is not sent."""
        for part, device in work.placed.pop(client):
            self._sent -= 1
            program = work.task.pieces[part.piece].program
            self._ground.ended(device, part.sets, part.shots, None, program)

    def _take_in(self, ended: _Ended) -> None:
        work, part, device, future = ended
        work.sent.pop(part.number, None)
        self._sent -= 1
        failed = TaskCancelled("it was cancelled") if future.cancelled() else future.exception(0)
        took_s = None if failed is not None else _run_s(future.result(0).timeline)
        program = work.task.pieces[part.piece].program
        self._ground.ended(device, part.sets, part.shots, took_s, program, future.task.number)
        if work.future.done():
            return
        if failed is None:
            work.results[part.number] = (future.result(0), future.result(0).device)
            if len(work.results) == len(work.parts):
                self._finish(work)
        elif not part.device and self._ground.again(device, failed):
            work.waiting[part.device].append(part)
        else:
            self._fail(work, _named(failed, work, part, device, future))

    def _finish(self, work: _Work) -> None:
        self._open.remove(work)
        try:
            found = [work.results[part.number] for part in work.parts]
            results = [result for result, _ in found]
            names = [name for _, name in found]
            sets = work.task.values.shape[0]
            merged = work.task.merge(results)
            notes, executions = work.task.notes, work.task.executions
            whole = GroupResult(work.number, results, names, merged, sets, notes, executions)
        except BaseException as error:
            self._settle(work, error)
            return
        # Cancelled in this moment: then it has no result.
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            work.future.set_result(whole)

    def _fail(self, work: _Work, error: BaseException) -> None:
        self._settle(work, error)
        self._give_up(work)

    def _settle(self, work: _Work, error: BaseException) -> None:
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            work.future.set_exception(error)

    def _give_up(self, work: _Work) -> None:
        """Sends nothing more of it, and has the daemons end what was sent."""
        work.waiting.clear()
        for client in list(work.placed):
            self._take_back(work, client)
        if work in self._open:
            self._open.remove(work)
        tasks: dict[Device, list[int]] = {}
        for device, future in work.sent.values():
            tasks.setdefault(device, []).append(future.task.number)
        for device, numbers in tasks.items():
            # Where the daemon or the session is gone, they have ended.
            with contextlib.suppress(DaemonLost, UsageError):
                device.client.cancel(numbers)


def _named(error: BaseException, work: _Work, part: Part, device: Device, future: TaskFuture) -> QFwError:
    """The error of a part, which says which one it was."""
    report = ErrorReport.of(error)
    named = ErrorReport(
        report.code,
        f"part {part.number + 1} of {len(work.parts)} ({part.what}; task {future.name} on {device.name}): "
        f"{report.message}",
        report.retry_after_s,
    ).to_exception()
    named.__cause__ = error
    return named


def _run_s(timeline: Timeline) -> float:
    return (timeline.run_ended_ns - timeline.run_began_ns) / 1e9
