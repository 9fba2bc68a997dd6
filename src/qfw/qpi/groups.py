"""The groups of a mesh: places the parts of each, and takes in their answers."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import secrets
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.errors import (
    DaemonLost,
    ErrorReport,
    OptionError,
    QFwError,
    TaskCancelled,
    UnsupportedFeature,
    UsageError,
)
from qfw.model.outputs import Counts, Output, Statevector, answer_bytes, check_outputs, check_shots
from qfw.model.program import Program, check_parameters
from qfw.model.result import Result
from qfw.model.seeds import check_seed
from qfw.model.task import TaskOptions, check_options
from qfw.model.timeline import Timeline
from qfw.qpi.client import Draft
from qfw.qpi.device import Device
from qfw.qpi.filters import check_able
from qfw.qpi.future import TaskFuture
from qfw.qpi.group import GroupFuture, GroupResult, Progress
from qfw.qpi.merge import merge_sets, merge_shots
from qfw.qpi.split import SETS, SHOTS, Part, by_sets, by_shots

if TYPE_CHECKING:
    from qfw.qpi.mesh import Mesh

#: Parts of sets for each slot of the mesh: late ones go where it is fast.
PARTS_PER_SLOT = 4
#: Most parts of a group; and bytes of parameters, or of answers, that one part should have at most.
MAX_PARTS, PART_BYTES = 100_000, 16 * 2**20
#: Seconds without a group after which the thread that serves them ends.
IDLE_S = 1.0

_DEFAULT_OPTIONS = TaskOptions()


def fresh_seed() -> int:
    """A seed for one who gave none."""
    return secrets.randbits(63)


class _Work:
    """A group under way. Belongs to the thread of its `Groups`, but for `stop`."""

    def __init__(
        self,
        groups: Groups,
        program: Program,
        outputs: tuple[Output, ...],
        values: npt.NDArray[np.float64],
        options: TaskOptions,
        parts: list[Part],
        split: str,
    ) -> None:
        self._groups = groups
        self.program = program
        self.outputs = outputs
        self.values = values
        self.options = options
        self.parts = parts
        self.split = split
        self.began_ns = time.monotonic_ns()
        self.future = GroupFuture(self)
        #: Of its first task; -1 as long as none was sent.
        self.number = -1
        self.waiting = deque(parts)
        #: What was sent and is not answered, by part.
        self.sent: dict[int, tuple[Device, TaskFuture]] = {}
        #: By part.
        self.results: dict[int, tuple[Result, str]] = {}

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
    """The groups of a mesh: a thread, there only while it has some, places their parts and takes in their answers.

    Not the threads that read: those may hold what a submission to another daemon waits for.
    """

    def __init__(self, mesh: Mesh) -> None:
        """Of one mesh."""
        self._mesh = mesh
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        #: Those that are not settled.
        self._open: list[_Work] = []
        #: Whether the mesh will say when a device has room.
        self._asked_for_room = False

    def run(
        self,
        program: Program,
        parameters: npt.ArrayLike | None = None,
        *,
        split: str = SETS,
        shots: int | None = None,
        outputs: tuple[Output, ...] | None = None,
        seed: int | None = None,
        options: TaskOptions = _DEFAULT_OPTIONS,
        parts: int | None = None,
    ) -> GroupFuture:
        """Splits a task over the mesh, and returns at once.

        Args:
            program: what to run; every device of the mesh must be able to.
            parameters: shape (slots,) or (sets, slots), radians.
            split: "sets": the answers are those of the undivided task on a device of the same kind, however many
                parts there are. "shots": slices of the shots with seeds of their own, a function of the task and
                `parts` alone, so that the answers do not depend on the number of devices.
            shots: of each set; None for exact results, which can be split by sets only.
            outputs: by default counts with shots, the statevector without.
            seed: 0 to 2**63 - 1; None draws one.
            options: of every part; without an idempotency key.
            parts: their number; by default, of sets a few for each slot of the mesh, of shots 8 or more.

        Raises:
            OptionError, ParameterError: checked here, before anything is sent.
            UnsupportedFeature: a device lacks gates or outputs; says which device lacks what.
            UsageError: the session is closed, or this process was forked.
        """
        count = 0 if shots is None else check_shots(shots)
        if shots is not None and count == 0:
            raise OptionError("shots must be at least 1; leave them out for exact results")
        if split not in (SETS, SHOTS):
            raise OptionError(f"split is {SETS!r} or {SHOTS!r}, not {split!r}")
        check_options(options)
        if options.idempotency_key or options.detached:
            raise OptionError(
                "a group has no idempotency key, and is not detached: its answers are merged here"
            )
        asked = outputs if outputs is not None else ((Counts(),) if count else (Statevector(),))
        given: Any = () if parameters is None else parameters
        values = check_parameters(given, program.num_slots)
        sets = values.shape[0]
        chosen = check_seed(seed)
        chosen = fresh_seed() if chosen is None else chosen
        made = self._parts(program, asked, sets, count, chosen, split, parts)
        self._check_common(program, asked, max(part.sets for part in made), max(p.shots for p in made))
        # As the daemons will check them: each part is refused alike.
        check_outputs(asked, program, made[0].sets, made[0].shots)
        work = _Work(self, program, asked, values, options, made, split)
        self.post(_Begun(work))
        return work.future

    def _parts(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        sets: int,
        shots: int,
        seed: int,
        split: str,
        parts: int | None,
    ) -> list[Part]:
        most = sets if split == SETS else shots
        if split == SHOTS:
            if not shots:
                raise OptionError("exact answers cannot be split by shots; give shots, or split='sets'")
            if any(isinstance(output, Statevector) for output in outputs):
                raise OptionError("a statevector cannot be split by shots; split='sets' without shots")
        most = min(most, MAX_PARTS)
        wrong = isinstance(parts, bool) or not isinstance(parts, int | None)
        if wrong or (parts is not None and not 1 <= parts <= most):
            raise OptionError(
                f"parts is a number from 1 to {most}, as there are so many {split}, not {parts!r}"
            )
        if split == SHOTS:
            return by_shots(sets, shots, seed, parts)
        if parts is None:
            devices = self._mesh.devices
            slots = sum(max(1, device.profile.slots) for device in devices)
            size = sum(answer_bytes(output, program, sets, shots) for output in outputs)
            size = max(size, 8 * sets * program.num_slots)
            least = max(
                size // PART_BYTES + 1, -(-sets // min(device.profile.max_sets for device in devices))
            )
            parts = min(sets, MAX_PARTS, max(least, slots * PARTS_PER_SLOT))
        return by_sets(sets, shots, seed, parts)

    def _check_common(self, program: Program, outputs: tuple[Output, ...], sets: int, shots: int) -> None:
        """Raises unless every device of the mesh can run a part."""
        used = {gate.name for gate in program.gates()} - {"gphase"}
        lacking = []
        errors: list[tuple[str, QFwError]] = []
        for device in self._mesh.devices:
            profile = device.profile
            missing = sorted(used - set(profile.native_gates)) if profile.lowered_only else []
            if missing:
                lacking.append(f"{device.name} lacks {', '.join(missing)}")
                continue
            try:
                check_able(profile, program, outputs, sets, shots, lowered=False)
            except QFwError as error:
                errors.append((device.name, error))
        if lacking:
            raise UnsupportedFeature(
                f"the devices of this mesh do not have the program's gates in common: {'; '.join(lacking)}. Lower the "
                "program to gates that all have, or take those devices out of the mesh"
            )
        for name, reason in errors:
            said = f"a split task runs on every device of its mesh; {name} cannot: {reason}"
            raise ErrorReport(type(reason).__name__, said).to_exception() from reason

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
            match message:
                case _Begun(work):
                    self._open.append(work)
                case _Stopped(work):
                    self._give_up(work)
                case _Ended():
                    self._take_in(message)
                case _Room():
                    self._asked_for_room = False
            for work in list(self._open):
                self._fill(work)

    def _fill(self, work: _Work) -> None:
        """Sends what there is room for."""
        try:
            while work.waiting and not work.future.done():
                part = work.waiting[0]
                device = self._place(work, part)
                if device is None:
                    return
                work.waiting.popleft()
                try:
                    self._send(work, part, device)
                except DaemonLost:
                    # Nothing was sent. Of a daemon that is lost nothing is chosen any more.
                    work.waiting.appendleft(part)
        except BaseException as error:
            self._fail(work, error)

    def _place(self, work: _Work, part: Part) -> Device | None:
        device = self._mesh.place(work.program, work.outputs, part.sets, part.shots, False)
        if device is not None or self._asked_for_room:
            return device
        self._asked_for_room = True
        self._mesh.when_room(self._room)
        # What changed in between wakes nobody.
        return self._mesh.place(work.program, work.outputs, part.sets, part.shots, False)

    def _room(self) -> None:
        self.post(_Room())

    def _send(self, work: _Work, part: Part, device: Device) -> None:
        rows = work.values[part.first_set : part.first_set + part.sets]
        rest = (
            device.client.encode_outputs(work.outputs),
            part.sets,
            rows.astype("<f8", copy=False).tobytes(),
            part.shots,
            part.seed,
            work.options,
            "",
            work.began_ns,
        )
        first = part.first_set if work.split == SETS else 0
        draft = Draft(work.program, device.profile.name, rest, (b"", first, work.number))
        (future,) = device.client.submit([draft])
        if work.number < 0:
            work.number = future.task.number
        work.sent[part.number] = (device, future)
        self._mesh.began(device, part.sets, part.shots, work.program, future.task.number)
        future.add_done_callback(lambda _: self.post(_Ended(work, part, device, future)))

    def _take_in(self, ended: _Ended) -> None:
        work, part, device, future = ended
        work.sent.pop(part.number, None)
        failed = TaskCancelled("it was cancelled") if future.cancelled() else future.exception(0)
        took_s = None if failed is not None else _run_s(future.result(0).timeline)
        self._mesh.ended(device, part.sets, part.shots, took_s, work.program, future.task.number)
        if work.future.done():
            return
        if failed is None:
            work.results[part.number] = (future.result(0), device.name)
            if len(work.results) == len(work.parts):
                self._finish(work)
        elif self._mesh.again(device, failed):
            work.waiting.append(part)
        else:
            self._fail(work, _named(failed, work, part, device, future))

    def _finish(self, work: _Work) -> None:
        self._open.remove(work)
        try:
            found = [work.results[part.number] for part in work.parts]
            results = [result for result, _ in found]
            answers = [result.answers for result in results]
            if work.split == SETS:
                merged = merge_sets(answers)
            else:
                merged = merge_shots(answers, [part.shots for part in work.parts])
            names = [name for _, name in found]
            whole = GroupResult(work.number, results, names, merged, work.values.shape[0])
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
