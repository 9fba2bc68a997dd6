"""ToolPipeline: tools that lower programs for a device, in order; bound to any number of streams."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from qfw.formats.remembered import Remembered
from qfw.model import native
from qfw.model.errors import OptionError, UnsupportedFeature, UsageError
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage, StageReport
from qfw.model.program import Program as ModelProgram
from qfw.qpi import pipeline_text
from qfw.qpi.explanation import Explanation
from qfw.qpi.program import Program
from qfw.qpi.tables import as_html
from qfw.qpm import presets, recall
from qfw.qpm import stages as running
from qfw.qpm.tool import Target

if TYPE_CHECKING:
    from qfw.qpi.device import Device
    from qfw.qpi.stream import QStream

#: Lowered programs that a process remembers, and their bytes together.
MAX_REMEMBERED, MAX_BYTES = 256, 64 * 2**20

#: A stage as it is given: a tool; a tool and its options; or a stage with a name of its own.
StageLike = str | tuple[str, Mapping[str, Any]] | Stage


class Lowered(NamedTuple):
    """What a pipeline made of a program for a device, under its calibration of then."""

    program: Program
    #: Where each qubit of the program that was given is at the end; None: where it was. Bits stay where they were.
    layout: tuple[int, ...] | None
    #: The program behind each stage, in figures.
    stages: tuple[StageReport, ...]
    #: Version of the calibration; empty where the device has none.
    calibration: str
    #: What tools made besides, by name: MessagePack. `schedule` of the tool pulse: a `qfw.model.pulse.Schedule`.
    artefacts: Mapping[str, bytes] = {}


class ToolPipeline:
    """Tools in order, checked when it is made. It does not change; streams that it is bound to share it.

    Example::

        pipeline = qfw.ToolPipeline(["reduce", ("transpile", {"level": 2})])
        print(pipeline.explain(program, session.device("twin-20")))
    """

    def __init__(self, stages: Sequence[StageLike], name: str = "") -> None:
        """Of at least one stage.

        A stage is called as its tool, with -2, -3 … where that is taken, unless it is a `qfw.Stage`, which has a name.
        `name` is for people.

        Raises:
            UnknownDevice: no tool of that name is installed; names the nearest, and those that are.
            OptionError: a tool does not know an option, or not such a value; equal names; no stage.
            NotInstalled: what a tool stands on is missing.
        """
        if not isinstance(name, str):
            raise OptionError(f"a pipeline's name is a text, not {name!r}")
        pipeline = Pipeline.decode(Pipeline(_stages(stages)).encoded)
        running.check(pipeline)
        self._begin(pipeline, name)

    def _begin(self, pipeline: Pipeline, name: str) -> None:
        self._pipeline = pipeline
        #: For people.
        self.name = name
        self._bound: list[weakref.ref[QStream]] = []
        self._lock = threading.Lock()

    @classmethod
    def preset(cls, name: str) -> ToolPipeline:
        """A pipeline that QFw names: `none` (no stage: programs go as they are), `fast`, `default` or `best`.

        Raises:
            OptionError: there is none of that name; names the nearest.
            NotInstalled: what a tool stands on is missing.
        """
        stages = presets.preset(name)
        if stages:
            return cls(stages, name)
        found = cls.__new__(cls)
        found._begin(Pipeline(()), name)
        return found

    @classmethod
    def of(cls, pipeline: Pipeline, name: str = "") -> ToolPipeline:
        """The pipeline of such a value. Raises as the constructor."""
        return cls(pipeline.stages, name) if pipeline.stages else cls.preset("none")

    @classmethod
    def from_toml(cls, text: str) -> ToolPipeline:
        """The pipeline of a TOML text: `name`, and tables `[[stages]]` with `tool`, `name` and `options`.

        Or `preset = "fast"` in their place.

        Raises:
            OptionError: not such a text; an unknown key, which names the nearest. And what the constructor raises.
        """
        document = pipeline_text.loads(text)
        if document.preset:
            found = cls.preset(document.preset)
            found.name = document.name or found.name
            return found
        stages = [
            Stage(stage.name, stage.tool, stage.options) if stage.name else (stage.tool, stage.options)
            for stage in document.stages
        ]
        return cls(stages, document.name)

    def to_toml(self) -> str:
        """The pipeline as such a text.

        Raises:
            OptionError: an option's value is nothing that TOML can say.
        """
        if not self._pipeline.stages:
            return 'preset = "none"\n'
        return pipeline_text.dumps(self.name, self._pipeline.stages)

    @property
    def pipeline(self) -> Pipeline:
        """The value that travels."""
        return self._pipeline

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its stages in order."""
        return self._pipeline.stages

    @property
    def fingerprint(self) -> str:
        """Digest of the stages, their names and options, in hexadecimal digits: equal pipelines have equal ones."""
        return self._pipeline.digest.hex()

    @property
    def needs_client(self) -> bool:
        """Whether a tool must run in this process: then no daemon lowers for it."""
        return running.needs_client(self._pipeline)

    @property
    def streams(self) -> tuple[QStream, ...]:
        """Streams that it is bound to and that are still there, in the order in which they were bound."""
        with self._lock:
            return tuple(stream for ref in self._bound if (stream := ref()) is not None)

    def bind(self, stream: QStream) -> None:
        """Notes that a stream lowers with it; the pipeline keeps no stream alive.

        Raises:
            UsageError: it is bound to this stream already.
        """
        with self._lock:
            self._bound = [ref for ref in self._bound if ref() is not None]
            if any(ref() is stream for ref in self._bound):
                raise UsageError(f"{self!r} is bound to this stream already; a stream binds a pipeline once")
            self._bound.append(weakref.ref(stream))

    def lower(self, program: ModelProgram, device: Device | Target) -> Lowered:
        """What the stages make of a program for a device, found in this process.

        The device is asked for its calibration; what is known of the program, the device and that calibration is not
        made again. A stream needs nobody to call this.

        Args:
            program: the portable one.
            device: of a session; or a Target, for which nobody is asked.

        Raises:
            ProgramError: a tool says that it cannot be lowered, which one and why.
            ToolFailed: a tool failed.
        """
        target = _target(device)
        found, lowered = self._lowered(program, target)
        return Lowered(lowered, found.layout, found.stages, target.version, found.artefacts)

    def explain(self, program: ModelProgram, device: Device | Target) -> Explanation:
        """Stage by stage: gates, two-qubit gates, depth, estimated fidelity, duration, and the time that a stage took.

        The first row is the program as given; its fidelity is empty where its gates are not the device's. Printed, and
        in a notebook, it is a table. The time is that of when the program was lowered: the first time in a process it
        includes imports. Raises as `lower`.
        """
        target = _target(device)
        program.check()
        first = running.report("as given", program, target)
        rows = (first, *self._lowered(program, target)[0].stages)
        return Explanation(self.name, target.profile.name, target.version, rows)

    def check(self, program: ModelProgram, device: Device | Target) -> None:
        """Raises unless the program, lowered by this pipeline, is one that the device takes.

        Raises:
            UnsupportedFeature: a gate or pair is left that the device does not have; which, and behind which stage.
            ProgramError, ToolFailed: as `lower`.
        """
        target = _target(device)
        _, lowered = self._lowered(program, target)
        self.check_lowered(lowered, target)

    def check_lowered(self, lowered: ModelProgram, target: Target) -> None:
        """As `check`, of what the stages made."""
        try:
            native.check_native(lowered, target.profile)
        except UnsupportedFeature as error:
            if not self._pipeline.stages:
                raise UnsupportedFeature(
                    f"without a stage the program stays as it is, and {target.profile.name} does not take it: {error}. "
                    "Use preset fast, default or best"
                ) from error
            last = self._pipeline.stages[-1]
            raise UnsupportedFeature(
                f"behind stage {last.name!r} (tool {last.tool}), the last of the pipeline, there is still what "
                f"{target.profile.name} does not take: {error}. In a pipeline: end it with tool transpile"
            ) from error

    def __repr__(self) -> str:
        called = f"{self.name!r}: " if self.name else ""
        return f"<ToolPipeline {called}{' → '.join(stage.name for stage in self._pipeline.stages)}>"

    def _repr_html_(self) -> str:
        """A table of the stages for notebooks."""
        rows = [(stage.name, stage.tool, _options(stage)) for stage in self._pipeline.stages]
        return as_html(repr(self).strip("<>"), ("stage", "tool", "options"), rows)

    def _lowered(self, program: ModelProgram, target: Target) -> tuple[LoweredProgram, Program]:
        """What is known of the program here or on disk, or is made now; and that decoded."""
        key = (program.digest, self._pipeline.digest, target.digest)
        found = _remembered.get(key)
        if found is None:
            program.check()
            made, decoded = recall.lowered(self._pipeline, program, target, recall.own_shelf())
            found = made, Program.of(decoded)
            # Decoded it takes some ten times its bytes.
            _remembered.put(key, found, 11 * len(made.encoded))
        return found


def _options(stage: Stage) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in stage.options.items())


def _stages(given: Sequence[StageLike]) -> tuple[Stage, ...]:
    if isinstance(given, (str, Stage)) or not isinstance(given, Sequence):
        raise OptionError(f"a pipeline is made of a list of stages, not of {given!r}")
    own = {stage.name for stage in given if isinstance(stage, Stage)}
    found: list[Stage] = []
    for each in given:
        match each:
            case Stage():
                stage = each
            case str(tool):
                stage = Stage(_free(tool, own), tool)
            case (str(tool), Mapping() as options):
                stage = Stage(_free(tool, own), tool, dict(options))
            case _:
                raise OptionError(f"a stage is a tool's name, (name, options) or a qfw.Stage, not {each!r}")
        own.add(stage.name)
        found.append(_checked(stage))
    return tuple(found)


def _free(tool: str, taken: set[str]) -> str:
    """A stage's name after its tool that no other stage has."""
    name, number = tool, 1
    while name in taken:
        number += 1
        name = f"{tool}-{number}"
    return name


def _checked(stage: Stage) -> Stage:
    """The stage, where it can travel."""
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(stage, order="deterministic"), type=Stage)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise OptionError(
            f"stage {stage.name!r}: name and tool are texts, and options what MessagePack holds: {error}"
        ) from error
    return stage


def _target(device: Device | Target) -> Target:
    if isinstance(device, Target):
        return device
    if isinstance(device, str):
        raise OptionError(
            f"a pipeline lowers for a Device or a Target, not for a name; give session.device({device!r})"
        )
    return device.target()


_remembered: Remembered[tuple[LoweredProgram, Program]] = Remembered(MAX_REMEMBERED, MAX_BYTES)
