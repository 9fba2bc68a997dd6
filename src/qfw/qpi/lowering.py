"""Lowering in the application: its answer where the daemon cannot run the tools of a pipeline."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from qfw.model.errors import ErrorReport, QFwError, ToolFailed
from qfw.model.pipeline import Pipeline
from qfw.model.program import Program
from qfw.qpm import recall, stages
from qfw.qpm.tool import Target
from qfw.qpm.wire import Lowered, NeedLowering

logger = logging.getLogger(__name__)


class ClientLowering:
    """Runs pipelines when the daemon asks for it, on a thread of its own that begins with the first question."""

    def __init__(
        self,
        hear: Callable[[type[msgspec.Struct], Callable[[Any], None]], None],
        pipelines: Mapping[bytes, Pipeline],
        tools: Collection[str],
        post: Callable[[msgspec.Struct], None],
    ) -> None:
        """Begins to listen.

        Args:
            hear: `Client.hear`.
            pipelines: those that this session sent, by digest. No other one is run, whoever asks.
            tools: names of those that the daemon runs itself.
            post: `Client.post`.
        """
        self._pipelines = pipelines
        self._tools = frozenset(tools)
        self._post = post
        self._questions: queue.SimpleQueue[NeedLowering | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        hear(NeedLowering, self._asked)

    def may_be_asked(self, pipeline: Pipeline) -> bool:
        """Whether the daemon cannot run all of a pipeline's tools."""
        return any(stage.tool not in self._tools for stage in pipeline.stages)

    def close(self) -> None:
        """No question is answered any more; one that is being answered is not waited for."""
        if self._thread is not None:
            self._questions.put(None)

    def _asked(self, question: NeedLowering) -> None:
        # On the thread that reads, which must not wait for tools.
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="qfw-lowering", daemon=True)
            self._thread.start()
        self._questions.put(question)

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            try:
                self._post(self._answer(question))
            except QFwError as error:
                logger.debug("nobody to answer: %s", error)
                return

    def _answer(self, question: NeedLowering) -> Lowered:
        try:
            pipeline = Pipeline.decode(question.pipeline)
            if pipeline.digest not in self._pipelines:
                raise ToolFailed("this session was asked to run a pipeline that it never sent")
            stages.check(pipeline)
            stages.check_runs(pipeline)
            target = msgspec.msgpack.decode(question.target, type=Target)
            lowered, made = recall.lowered(
                pipeline, Program.decode(question.program), target, recall.own_shelf()
            )
            stages.check_reached(pipeline, made, target.profile)
            return Lowered(question.lowering, None, msgspec.msgpack.encode(lowered))
        except QFwError as error:
            return Lowered(question.lowering, ErrorReport.of(error), b"")
        except Exception as error:
            failed = ToolFailed(f"the pipeline failed with {type(error).__name__}: {str(error)[:500]}")
            return Lowered(question.lowering, ErrorReport.of(failed), b"")
