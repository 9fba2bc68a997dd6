"""What was lowered ahead of time, as a client offers it to a daemon; and programs that bring some along."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

from qfw.model.pipeline import Pipeline
from qfw.model.program import Program

if TYPE_CHECKING:
    from qfw.qpi.device import Device


class Offer(NamedTuple):
    """A lowered program that a daemon need not make, if its device is still what this is for."""

    #: As its daemon calls it.
    device: str
    #: Digest of the `qfw.qpm.tool.Target`.
    target: bytes
    #: A LoweredProgram, MessagePack.
    body: bytes


#: What a stream submits: a program, what lowers it, and what need not be made.
Part: TypeAlias = tuple[Program, Pipeline | None, tuple[Offer, ...]]


@runtime_checkable
class Bringing(Protocol):
    """A program that brings its own pipeline, and what that made of it: a `qfw.qpi.compiled.CompiledProgram`."""

    @property
    def pipeline(self) -> Pipeline:
        """All stages; of one that has none programs go as they are."""
        ...

    def part_for(self, device: Device | None) -> Part:
        """What a stream submits: program, pipeline, and what need not be made. None: whichever device it will be."""
        ...
