"""The pipelines that a daemon knows, by digest; bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from qfw.model.pipeline import Pipeline

#: Bytes of pipelines kept that no live task uses.
IDLE_BYTES = 8 * 2**20


class Stored(NamedTuple):
    """A pipeline as the daemon keeps it: what its options become in memory may be a hundred times their bytes."""

    digest: bytes
    encoded: bytes
    #: Names of the tools of its stages.
    tools: frozenset[str]


class PipelineStore:
    """Keeps every pipeline that a live task names, and as many others as fit."""

    def __init__(self, idle_bytes: int = IDLE_BYTES) -> None:
        """`idle_bytes` bounds the pipelines that no live task names."""
        self._idle_bytes = idle_bytes
        self._pipelines: dict[bytes, Stored] = {}
        self._uses: dict[bytes, int] = {}
        self._idle: OrderedDict[bytes, None] = OrderedDict()
        self._idle_size = 0

    def add(self, encoded: bytes) -> Stored | None:
        """Stores a pipeline that travelled; None where it was there. Raises OptionError: the bytes are none."""
        pipeline = Pipeline.decode(encoded)
        if pipeline.digest in self._pipelines:
            return None
        tools = frozenset(stage.tool for stage in pipeline.stages)
        stored = self._pipelines[pipeline.digest] = Stored(pipeline.digest, pipeline.encoded, tools)
        self._rest(stored)
        return stored

    def get(self, digest: bytes) -> Stored | None:
        """The pipeline, or None where it is not known (any more)."""
        return self._pipelines.get(digest)

    def use(self, digest: bytes) -> None:
        """A live task names it."""
        uses = self._uses.get(digest, 0)
        self._uses[digest] = uses + 1
        if not uses:
            del self._idle[digest]
            self._idle_size -= len(self._pipelines[digest].encoded)

    def release(self, digest: bytes) -> None:
        """That task ended."""
        uses = self._uses[digest] - 1
        if uses:
            self._uses[digest] = uses
        else:
            del self._uses[digest]
            self._rest(self._pipelines[digest])

    def _rest(self, pipeline: Stored) -> None:
        size = len(pipeline.encoded)
        while self._idle and self._idle_size + size > self._idle_bytes:
            oldest, _ = self._idle.popitem(last=False)
            self._idle_size -= len(self._pipelines.pop(oldest).encoded)
        self._idle[pipeline.digest] = None
        self._idle_size += size
