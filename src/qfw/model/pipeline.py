"""Pipeline: the tools that lower a program for a device, as a value that travels and is remembered by its digest."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import msgspec

from qfw.model.decoding import decoder
from qfw.model.errors import OptionError

#: Stages of one pipeline.
MAX_STAGES = 64
#: Bytes of an encoded pipeline, its options included.
MAX_PIPELINE_BYTES = 2**18


class Stage(msgspec.Struct, frozen=True, array_like=True):
    """One tool of a pipeline and what it is told."""

    #: What the stage is called in reports; unique in its pipeline.
    name: str
    #: The tool's plugin name (`qfw.tools`).
    tool: str
    #: What MessagePack holds, as the tool documents it.
    options: dict[str, Any] = {}


class Pipeline(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """Stages in order."""

    stages: tuple[Stage, ...]

    @cached_property
    def encoded(self) -> bytes:
        """Canonical MessagePack: options in the order of their names."""
        return _ENCODER.encode(self)

    @cached_property
    def digest(self) -> bytes:
        """Of the canonical bytes: equal pipelines have equal digests."""
        return hashlib.blake2b(self.encoded, digest_size=16).digest()

    @staticmethod
    def decode(encoded: bytes) -> Pipeline:
        """The pipeline of such bytes, of a stage at least. Raises OptionError."""
        found = Pipeline.decode_any(encoded)
        found.check()
        return found

    @staticmethod
    def decode_any(encoded: bytes) -> Pipeline:
        """As `decode`; one without stages, which does nothing, is allowed."""
        if len(encoded) > MAX_PIPELINE_BYTES:
            raise OptionError(f"a pipeline of {len(encoded)} bytes; at most {MAX_PIPELINE_BYTES} are taken")
        try:
            found: Pipeline = _decode(encoded)
        except msgspec.DecodeError as error:
            raise OptionError(f"no pipeline: {error}") from error
        if found.stages:
            found.check()
        return found

    def check(self) -> None:
        """Raises OptionError unless it has 1 to MAX_STAGES stages with names of their own, and can travel."""
        if not 1 <= len(self.stages) <= MAX_STAGES:
            hint = "" if self.stages else ". For none: the preset none, or no pipeline at all"
            raise OptionError(f"a pipeline has 1 to {MAX_STAGES} stages, not {len(self.stages)}{hint}")
        names = [stage.name for stage in self.stages]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise OptionError(f"stages are told apart by their names; {', '.join(twice)} comes twice")
        if not all(stage.name and stage.tool for stage in self.stages):
            raise OptionError("a stage has a name and a tool")
        try:
            _ = self.encoded
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            # MessagePack holds more than has an order: keys of maps that are no texts.
            raise OptionError(
                f"options of stages are what MessagePack holds, with texts as keys: {error}"
            ) from error


class StageReport(msgspec.Struct, frozen=True, array_like=True):
    """A program behind one stage of a pipeline."""

    stage: str
    qubits: int
    gates: int
    two_qubit_gates: int
    depth: int
    #: Probability that no gate or readout errs, by the calibration; None where there is none, or a gate is not native.
    fidelity: float | None
    #: Seconds of one execution, by the calibration; None where it says nothing.
    duration_s: float | None
    #: Seconds that the tool took.
    took_s: float
    #: What the tool says of it, one line each.
    notes: tuple[str, ...] = ()


class LoweredProgram(msgspec.Struct, frozen=True, array_like=True):
    """What a pipeline made of a program for one device under one calibration."""

    #: The encoded program.
    encoded: bytes
    #: Where each qubit of the portable program is at the end; None: where it was. Outputs that name qubits follow.
    layout: tuple[int, ...] | None
    stages: tuple[StageReport, ...] = ()
    #: What tools made besides, by name; see `qfw.qpm.tool.ToolOutput`.
    artefacts: dict[str, bytes] = {}


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_decode = decoder(Pipeline)
