"""A task whose pipeline has splitting tools, as an operation of a stream: expanded, run in parts, combined."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from qfw.model.errors import OptionError, StaleCalibration, TaskCancelled
from qfw.model.expansion import Expanded
from qfw.model.outputs import Answer
from qfw.model.pipeline import Pipeline
from qfw.model.result import Result
from qfw.model.seeds import leaf_seed
from qfw.model.task import TaskOptions
from qfw.qpi import expansions
from qfw.qpi.client import Draft
from qfw.qpi.drafting import Request, outputs_of
from qfw.qpi.expansions import Site, Wanted, site_of
from qfw.qpi.group import GroupFuture, GroupResult, Progress
from qfw.qpi.group_task import GroupTask
from qfw.qpi.group_work import GroupWork
from qfw.qpi.groups import Groups
from qfw.qpi.host import Host
from qfw.qpi.placing import Ground
from qfw.qpi.split import Part
from qfw.qpi.toolwork import ToolWorkQuestion
from qfw.qpi.work import filled
from qfw.qpm import expansion

if TYPE_CHECKING:
    from qfw.qpi.submitter import Submitter

_T = TypeVar("_T")

#: How often a task is expanded whose device is calibrated again and again meanwhile.
MAX_EXPANSIONS = 5
#: Requests of one callback that are expanded and run at once.
MOST_AT_ONCE = 8


class ExpandWork(GroupWork):
    """What an operation does: expands a request, runs the leaves as a group, combines their answers."""

    def __init__(self, stream: Submitter, pipeline: Pipeline, request: Request, draft: Draft | None) -> None:
        """`draft`: of the request; None where its parameters are not there yet."""
        super().__init__(self._group)
        self._stream = stream
        self._pipeline = pipeline
        self._request = request
        self._draft = draft
        self._wanted: Wanted
        self._expanded: Expanded | None = None
        self._site: Site
        #: What is waited for: ended by `give_up`.
        self._apart: concurrent.futures.Future[object] | None = None
        self._question: ToolWorkQuestion | None = None

    def __call__(self) -> GroupResult:
        """The combined result.

        Raises:
            TaskCancelled: it was given up.
            QFwError: why it cannot be expanded, a part failed (which one), or the answers cannot be combined.
        """
        request = filled(self._request)
        draft = self._draft = self._draft or self._stream.drafting.draft(request, None, 0)
        self._wanted = Wanted(
            self._pipeline, draft.program, outputs_of(request), draft.rest[0], draft.rest[3]
        )
        sets, shots = draft.rest[1], draft.rest[3]
        stale: Expanded | None = None
        for _ in range(MAX_EXPANSIONS):
            ground: Ground = self._stream.ground
            self._site = site_of(
                ground, draft.program, self._wanted.outputs, sets, shots, self._request.device
            )
            found = self._expanded = self._within(partial(self._expand, stale))
            try:
                parts = super().__call__()
            except StaleCalibration:
                if not found.bound:
                    raise
                stale = found
                continue
            if found.bound and any((part.calibration or "") != found.calibration for part in parts.parts):
                # The rest of the pipeline lowered for a newer one than the front did.
                stale = found
                continue
            return self._combined(found, parts, sets)
        raise StaleCalibration(
            f"{self._site.device.name} was calibrated again {MAX_EXPANSIONS} times while the parts of this task ran, "
            "which were made for one calibration. Run it again when the device is at rest, or ask for less"
        )

    def _combined(self, expanded: Expanded, whole: GroupResult, sets: int) -> GroupResult:
        parts = whole.parts
        answers = [part.answers for part in parts]
        merged = self._within(lambda: expansion.combine(self._pipeline, expanded, answers))
        names = [part.device for part in parts]
        return GroupResult(whole.task, parts, names, merged, sets, expanded.notes, expanded.executions)

    def progress(self) -> Progress:
        """Parts that are answered, of all; of none as long as they are not known."""
        expanded, future = self._expanded, self._future
        if future is not None:
            return future.progress
        return Progress(0, len(expanded.leaves) if expanded is not None else 0)

    def give_up(self) -> None:
        """See GroupWork; what tools are doing for it in this process goes on, and comes to nothing."""
        super().give_up()
        with self._lock:
            apart, question = self._apart, self._question
        if question is not None:
            question.end()
        if apart is not None:
            apart.cancel()

    def _expand(self, stale: Expanded | None) -> Expanded:
        wanted, site = self._wanted, self._site

        def make() -> Expanded:
            found = expansions.made_there(wanted, site, self._asked)
            return found if found is not None else expansions.made_here(wanted, site)

        return expansions.known.get(wanted, site, stale, make)

    def _asked(self, question: ToolWorkQuestion) -> None:
        """A daemon is asked to expand for this one."""
        with self._lock:
            self._question = question
            given_up = self._given_up
        if given_up:
            question.end()

    def _group(self) -> GroupFuture:
        """Begins the parts."""
        expanded, draft = self._expanded, self._draft
        assert expanded is not None and draft is not None
        _, sets, parameters, _, seed, options, _, _ = draft.rest
        values = np.frombuffer(parameters, dtype="<f8").reshape(sets, draft.program.num_slots)
        leaves = expansions.known.leaves(expanded)
        parts = []
        for number, (leaf, piece) in enumerate(zip(expanded.leaves, leaves.places, strict=True)):
            device = leaf.device
            if expanded.bound or self._request.device is not None:
                device = expanded.device
            parts.append(Part(number, 0, sets, leaf.shots, leaf_seed(seed, number), piece, device))
        lowers = expanded.rest is not None
        calibration = expanded.calibration if expanded.bound and not lowers else ""
        groups: Groups = self._stream.ground.groups
        return groups.run(
            GroupTask(
                leaves.pieces,
                values,
                options,
                parts,
                _unmerged,
                expanded.rest,
                calibration,
                draft.more[1],
                expanded.notes,
                expanded.executions,
            )
        )

    def _within(self, function: Callable[[], _T]) -> _T:
        """What `function` gives, on a thread of its own: tools may hang, and whoever waits may give up."""
        found: concurrent.futures.Future[_T] = concurrent.futures.Future()
        with self._lock:
            if self._given_up:
                raise TaskCancelled("cancelled before it was done")
            self._apart = found  # type: ignore[assignment]

        threading.Thread(target=_act, args=(function, found), name="qfw-expanding", daemon=True).start()
        try:
            return found.result()
        except concurrent.futures.CancelledError as error:
            raise TaskCancelled("cancelled before it was done") from error
        finally:
            with self._lock:
                self._apart = None


class ManyExpandWorks:
    """The requests of one callback."""

    def __init__(self, works: Sequence[ExpandWork]) -> None:
        """Some."""
        self._works = works

    def __call__(self) -> list[GroupResult]:
        """Their results in order; raises the first one's error that failed, when all have ended."""
        host = Host(MOST_AT_ONCE)
        futures: list[concurrent.futures.Future[GroupResult]] = []
        for work in self._works:
            futures.append(concurrent.futures.Future())
            host.start(partial(_act, work, futures[-1]))
        concurrent.futures.wait(futures)
        return [future.result() for future in futures]

    def progress(self) -> Progress:
        """Of all together."""
        found = [work.progress() for work in self._works]
        return Progress(sum(each.done for each in found), sum(each.total for each in found))

    def give_up(self) -> None:
        """Asks for the end of all."""
        for work in self._works:
            work.give_up()


def check_request(options: TaskOptions) -> None:
    """Raises OptionError where a task cannot be run in parts whose answers are put together here."""
    if options.idempotency_key or options.detached:
        raise OptionError(
            "the stream's pipeline makes several tasks of one, whose answers are put together in this process: such an "
            "operation has no idempotency key, and is not detached. Leave these options out"
        )


def _act(function: Callable[[], _T], found: concurrent.futures.Future[_T]) -> None:
    """Settles a future with what a function gives; of one that was given up meanwhile nobody wants it."""
    try:
        value = function()
    except BaseException as error:
        if found.set_running_or_notify_cancel():
            found.set_exception(error)
        return
    if found.set_running_or_notify_cancel():
        found.set_result(value)


def _unmerged(results: Sequence[Result]) -> tuple[Answer, ...]:
    """The answers of leaves are combined elsewhere: tools may take long."""
    return ()
