"""CompiledProgram: a program and what a pipeline made of it ahead of time, for some devices; in .qfw files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from qfw.config import files
from qfw.formats import compiled_file
from qfw.formats.compiled_file import MAX_FILE_BYTES, Contents, LoweredFor
from qfw.model.device import DeviceProfile
from qfw.model.errors import OptionError
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage, StageReport
from qfw.model.program import Program as ModelProgram
from qfw.qpi.offers import Offer, Part
from qfw.qpi.pipeline import Lowered, ToolPipeline
from qfw.qpi.program import Program
from qfw.qpm import recall, registry
from qfw.qpm.expansion import splitting
from qfw.qpm.tool import Target, binds

if TYPE_CHECKING:
    from qfw.qpi.device import Device


class CompiledProgram(Program, frozen=True):
    """A program that carries what a pipeline made of it, for one or several devices. A Program like any other.

    On a stream without a pipeline it is lowered by its own: where what it carries is for the device as it is now,
    no tool is run; where the calibration is a newer one, the stages from the first on that looks at it. On any
    other device all of them. Results are those of the program and its pipeline.

    Example::

        compiled = qfw.CompiledProgram.make(program, "best", [session.device("twin-20")])
        compiled.save("ghz.qfw")

        stream.run(session.load("ghz.qfw"), shots=1000)
    """

    @classmethod
    def make(
        cls,
        program: ModelProgram,
        pipeline: ToolPipeline | str = "default",
        devices: Iterable[Device | Target] = (),
        begins: Callable[[Stage], None] = lambda stage: None,
    ) -> CompiledProgram:
        """Lowers a program, in this process.

        Args:
            program: the portable one.
            pipeline: or a preset's name.
            devices: for which; none: it is lowered where it is run.
            begins: told of every stage before its tool runs.

        Raises:
            OptionError: a device twice; no such preset; a pipeline with a tool that makes several programs of one.
            ProgramError, ToolFailed: a tool says that it cannot be lowered, or fails.
            UnsupportedFeature: behind the last stage there is a gate that a device does not take; which.
        """
        if isinstance(pipeline, str):
            pipeline = ToolPipeline.preset(pipeline)
        if not isinstance(pipeline, ToolPipeline):
            raise OptionError(f"a pipeline is a qfw.ToolPipeline or the name of a preset, not {pipeline!r}")
        value = pipeline.pipeline
        if splitting(value):
            raise OptionError(
                f"{pipeline!r} makes several programs of one, by what is asked of it: it runs when that is known, on a "
                "stream with this pipeline"
            )
        targets = [device if isinstance(device, Target) else device.target() for device in devices]
        names = [target.profile.name for target in targets]
        if len(set(names)) != len(names):
            raise OptionError(f"a program is compiled once for each device, not for {', '.join(names)}")
        program.check()
        contents = Contents(
            _own_version(),
            recall.tool_versions(value),
            pipeline.name,
            program.digest,
            value.digest,
            program.encoded,
            value.encoded,
            tuple(_lowered(pipeline, program, target, begins) for target in targets),
        )
        return cls._of(contents)

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "the data") -> CompiledProgram:
        """What `to_bytes` gave. Raises CompiledFileError; `source` says in messages where it comes from."""
        return cls._of(compiled_file.unpack(data, source))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CompiledProgram:
        """What a .qfw file says.

        Raises:
            CompiledFileError: damaged, cut off, of another version of the format, or none.
            SetupError: it cannot be read, or is larger than any such file.
        """
        return cls.from_bytes(files.read(Path(path), MAX_FILE_BYTES), str(path))

    @classmethod
    def _of(cls, contents: Contents) -> CompiledProgram:
        program = ModelProgram.decode(contents.program)
        found = cls(program.num_qubits, program.num_clbits, program.num_slots, program.operations)
        found.__dict__["contents"] = contents
        found.__dict__["own"] = Pipeline.decode_any(contents.pipeline)
        found.__dict__["parts"] = {}
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a .qfw file, whole or not at all. Raises SetupError."""
        files.write(Path(path), self.to_bytes())

    def to_bytes(self) -> bytes:
        """The bytes of a .qfw file."""
        return compiled_file.pack(self.contents)

    @property
    def contents(self) -> Contents:
        """All that a .qfw file says of it."""
        found: Contents = self.__dict__["contents"]
        return found

    @property
    def pipeline(self) -> Pipeline:
        """What lowers it."""
        found: Pipeline = self.__dict__["own"]
        return found

    def lower(self, device: Device | Target, begins: Callable[[Stage], None] = lambda stage: None) -> Lowered:
        """What it is for a device as that is now: what it carries, finished where that is old, or made in this process.

        `begins` is told of every stage before its tool runs. Raises as `ToolPipeline.lower`.
        """
        row = self._row(device if isinstance(device, Target) else device.target(), begins)
        lowered = Program.of(ModelProgram.decode(row.encoded))
        return Lowered(lowered, row.layout, row.stages, row.calibration, row.artefacts)

    def finished(
        self, device: Device | Target, begins: Callable[[Stage], None] = lambda stage: None
    ) -> CompiledProgram:
        """The same, lowered for a device as that is now; what it carries for others it keeps. See `lower`."""
        row = self._row(device if isinstance(device, Target) else device.target(), begins)
        others = tuple(other for other in self.contents.lowered if other.device != row.device)
        return CompiledProgram._of(msgspec.structs.replace(self.contents, lowered=(*others, row)))

    def _row(self, target: Target, begins: Callable[[Stage], None]) -> LoweredFor:
        """What is carried for a target, or made now."""
        old = None
        for row in self.contents.lowered:
            if row.target == target.digest:
                return row
            if row.device == target.profile.name and row.profile == Target(target.profile).digest:
                old = row
        pipeline = ToolPipeline.of(self.pipeline, self.contents.name)
        return (
            _lowered(pipeline, self, target, begins)
            if old is None
            else _finished(pipeline, old, target, begins)
        )

    @property
    def compiled_for(self) -> tuple[tuple[str, str], ...]:
        """Pairs of a device that it is lowered for, and the version of its calibration of then."""
        return tuple((row.device, row.calibration) for row in self.contents.lowered)

    def lowered_for(self, device: str) -> LoweredProgram:
        """What was made for a device. Raises OptionError: nothing was."""
        for row in self.contents.lowered:
            if row.device == device:
                return row.lowered
        raise OptionError(
            registry.unknown("device of this program", device, [row.device for row in self.contents.lowered])
        )

    def part_for(self, device: Device | None) -> Part:
        """What a stream submits: program, pipeline, and what need not be made. None: whichever device it will be."""
        name = "" if device is None else device.profile.name
        profile = None if device is None else device.profile
        known: dict[str, tuple[DeviceProfile | None, Part]] = self.__dict__["parts"]
        found = known.get(name)
        # Of a session; another one may have another device of this name.
        if found is None or found[0] is not profile:
            found = known[name] = profile, self._part(profile)
        return found[1]

    def _part(self, profile: DeviceProfile | None) -> Part:
        rows, stages = self.contents.lowered, self.pipeline.stages
        if profile is None:
            return self, self.pipeline if stages else None, tuple(map(_offer, rows)) if stages else ()
        row = next((row for row in rows if row.device == profile.name), None)
        if row is None or row.profile != Target(profile).digest:
            return self, self.pipeline if stages else None, ()
        front = Program.of(ModelProgram.decode(row.front)) if row.front_stages else self
        rest = Pipeline(stages[row.front_stages :])
        return (front, rest, (_offer(row),)) if rest.stages else (front, None, ())

    def __reduce__(self) -> tuple[Any, ...]:
        # To other processes it goes with all that it carries.
        return CompiledProgram.from_bytes, (self.to_bytes(),)

    def __repr__(self) -> str:
        stages = " → ".join(stage.name for stage in self.pipeline.stages) or "no stage"
        devices = ", ".join(row.device for row in self.contents.lowered) or "no device yet"
        return f"CompiledProgram({self.num_qubits} qubits, {self.num_slots} slots; {stages}; for {devices})"


def _lowered(
    given: ToolPipeline, program: ModelProgram, target: Target, begins: Callable[[Stage], None]
) -> LoweredFor:
    """The program lowered, its front first."""
    shelf, pipeline = recall.own_shelf(), given.pipeline
    count, front = _front_stages(pipeline), program
    reports: tuple[StageReport, ...] = ()
    artefacts: dict[str, bytes] = {}
    if count:
        before, made = recall.lowered(Pipeline(pipeline.stages[:count]), program, target, shelf, begins)
        if before.layout is None and made.num_qubits == program.num_qubits:
            front, reports, artefacts = made, before.stages, before.artefacts
        else:
            # Then observables would have to follow it: it is made with the rest.
            count = 0
    lowered, last = recall.lowered(Pipeline(pipeline.stages[count:]), front, target, shelf, begins)
    given.check_lowered(last, target)
    return LoweredFor(
        target.profile.name,
        target.version,
        Target(target.profile).digest,
        target.digest,
        count,
        front.encoded,
        lowered.encoded,
        lowered.layout,
        (*reports, *lowered.stages),
        {**artefacts, **lowered.artefacts},
    )


def _finished(
    given: ToolPipeline, old: LoweredFor, target: Target, begins: Callable[[Stage], None]
) -> LoweredFor:
    """What was lowered for an earlier calibration, for this one: only the stages behind its front are run."""
    rest = Pipeline(given.pipeline.stages[old.front_stages :])
    front = ModelProgram.decode(old.front)
    made, last = recall.lowered(rest, front, target, recall.own_shelf(), begins)
    given.check_lowered(last, target)
    return msgspec.structs.replace(
        old,
        calibration=target.version,
        target=target.digest,
        encoded=made.encoded,
        layout=made.layout,
        stages=(*old.stages[: old.front_stages], *made.stages),
        artefacts={**old.artefacts, **made.artefacts},
    )


def _front_stages(pipeline: Pipeline) -> int:
    """How many stages there are in front of the first that is for a calibration only."""
    for count, stage in enumerate(pipeline.stages):
        if binds(registry.load(registry.TOOLS, stage.tool)):
            return count
    return len(pipeline.stages)


def _offer(row: LoweredFor) -> Offer:
    return Offer(row.device, row.target, msgspec.msgpack.encode(row.lowered))


def _own_version() -> str:
    try:
        return version("qfw")
    except PackageNotFoundError:
        return ""
