"""ToolPipeline: tools that lower programs for a device, in order; bound to any number of streams."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from qfw.formats.remembered import Remembered
from qfw.model.errors import OptionError, UsageError
from qfw.model.expansion import Expanded
from qfw.model.outputs import Output, check_shots
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage, StageReport
from qfw.model.program import Program as ModelProgram
from qfw.model.pulse import Schedule
from qfw.processes import external
from qfw.qpi import compiling, pipeline_text
from qfw.qpi.compiling import ToolFuture, lowered_there, mapped
from qfw.qpi.device import AutomaticDevice, Device
from qfw.qpi.drafting import Outputs, asked
from qfw.qpi.expansions import site_of
from qfw.qpi.explanation import Explanation
from qfw.qpi.program import Program
from qfw.qpi.tables import as_html
from qfw.qpi.toolwork import runs
from qfw.qpm import expansion, presets, recall, registry
from qfw.qpm import stages as running
from qfw.qpm.tool import Target

if TYPE_CHECKING:
    from qfw.qpi.mesh import Mesh
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
    #: What tools made besides, by name: MessagePack.
    artefacts: Mapping[str, bytes] = MappingProxyType({})

    def __repr__(self) -> str:
        """In one line; `print(lowered.program)` shows the program."""
        where = f"; calibration {self.calibration}" if self.calibration else ""
        made = "".join(f"; {name}: {len(data)} bytes" for name, data in self.artefacts.items())
        gates = sum(1 for _ in self.program.gates())
        return (
            f"Lowered({self.program.num_qubits} qubits, {gates} gates; "
            f"{' → '.join(stage.stage for stage in self.stages) or 'no stages'}{where}{made})"
        )

    @property
    def schedule(self) -> Schedule | None:
        """The pulses that tool `pulse` made: a body's `schedule` for the native operation `pulse.play`; else None."""
        encoded = self.artefacts.get("schedule")
        return None if encoded is None else msgspec.msgpack.decode(encoded, type=Schedule)


class ToolPipeline:
    """Tools in order, checked when it is made. It does not change; streams that it is bound to share it.

    Example::

        pipeline = qfw.ToolPipeline(["reduce", ("transpile", {"level": 2})])
        print(pipeline.explain(program, session.device("twin-20")))
    """

    def __init__(self, stages: Sequence[StageLike], name: str = "") -> None:
        """Of at least one stage.

        Among stages the name of a preset stands for its stages: `["default", "verify"]`.
        A stage is called as its tool, with -2, -3 … where that is taken, unless it is a `qfw.Stage`, which has a name.
        `name` is for people.

        Raises:
            UnknownDevice: no tool of that name is installed; names the nearest, and those that are.
            OptionError: a tool does not know an option, or not such a value; equal names; no stage.
            NotInstalled: what a tool stands on is missing.
            ConfigError: the settings file that the environment names is wrong: it may declare external tools.
        """
        if not isinstance(name, str):
            raise OptionError(f"a pipeline's name is a text, not {name!r}")
        external.declare_configured()
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
            UsageError: it is bound to this stream already; or it makes pulses, which are played and not run.
        """
        running.check_runs(self._pipeline)
        with self._lock:
            self._bound = [ref for ref in self._bound if ref() is not None]
            if any(ref() is stream for ref in self._bound):
                raise UsageError(f"{self!r} is bound to this stream already; a stream binds a pipeline once")
            self._bound.append(weakref.ref(stream))

    def lower(self, program: ModelProgram, device: Device | Target) -> Lowered:
        """What the stages make of a program for a device, found in this process.

        It is for the device's calibration of now; what is known of the program, the device and that calibration is not
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

    def submit(self, program: ModelProgram, device: Device | Target) -> ToolFuture:
        """The future of what `lower` gives; made by workers of the device's daemon, beside what else they do.

        Where the daemon lacks a tool, and for a Target, it is made in this process, one after the other. To cancel the
        future ends the tools at the daemon.

        Raises:
            UnsupportedFeature: a stage makes several programs of one.
            OptionError: no device.
        """
        running.check_lowers(self._pipeline)
        if isinstance(device, Target):
            return compiling.run("here", lambda future: self.lower(program, device))
        _check_device(device)
        profile = device.widest if isinstance(device, AutomaticDevice) else device.profile
        if not runs(device.client, self.stages):
            return compiling.run("here", lambda future: self.lower(program, device))

        def work(future: ToolFuture) -> Lowered:
            program.check()
            target = _target(device)
            found = _remembered.get(self._key(program, target))
            version = target.version
            if found is None:
                version, made = lowered_there(device.client, profile.name, self._pipeline, program, future)
                found = made, Program.of(Program.decode(made.encoded))
                if version == target.version:
                    self._remember(program, target, found)
            made, lowered = found
            return Lowered(lowered, made.layout, made.stages, version, made.artefacts)

        return compiling.run("there", work)

    def map(
        self, programs: Iterable[ModelProgram], device: Device | Target, window: int = compiling.WINDOW
    ) -> Iterator[Lowered]:
        """What `lower` gives for each program, in their order; `window` of them are under way at once.

        Programs are pulled as results are taken. Whoever stops earlier closes the iterator: what is under way is ended.
        The first one that cannot be lowered raises, and ends it.

        Raises:
            OptionError: a window below 1. And what `submit` raises.
        """
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise OptionError(f"window must be an integer of at least 1, not {window!r}")
        running.check_lowers(self._pipeline)
        return mapped(lambda program: self.submit(program, device), programs, window)

    def search(
        self,
        program: ModelProgram,
        device: Device | Target,
        option: str = "seed",
        values: Iterable[Any] = range(16),
        stage: str = "transpile",
        best: str = "fidelity",
    ) -> ToolFuture:
        """The best of many lowerings, which differ in one option of a stage: the future of a `Found`.

        The result is that of trying one value after the other: of equally good ones the first value wins. All are for
        one calibration. `progress` of the future counts lowerings.

        Args:
            program: the portable one.
            device: see `lower`.
            option: of the stage.
            values: what it is tried with.
            stage: name of the stage.
            best: "fidelity" (highest by the calibration, then fewest two-qubit gates, then depth), "two_qubit_gates"
                (fewest, then fidelity, then depth) or "depth" (least, then two-qubit gates, then fidelity).

        Raises:
            OptionError: no such stage or order, no values, or a value that the stage does not take.
        """
        compiling.check_best(best)
        names = [each.name for each in self.stages]
        if stage not in names:
            raise OptionError(f"the pipeline has no stage {stage!r}; it has {', '.join(names)}")
        submits = []
        for value in values:
            stages = [
                Stage(each.name, each.tool, {**each.options, option: value}) if each.name == stage else each
                for each in self.stages
            ]
            other = ToolPipeline(stages, self.name)
            submits.append((value, partial(other.submit, program, device)))
        if not submits:
            raise OptionError("a search tries at least one value")
        running.check_lowers(self._pipeline)
        return compiling.run("waiting", lambda future: compiling.search(submits, best, future))

    def expand(
        self,
        program: ModelProgram,
        device: Device | Mesh | Target,
        outputs: Outputs,
        shots: int | None = None,
    ) -> Expanded:
        """The programs that the pipeline makes of one, found in this process; streams do it by themselves.

        Args:
            program: the portable one.
            device: a device, or a mesh: then as for its widest device that could run the program whole.
            outputs: what would be asked of it.
            shots: of each parameter set; None: exact.

        Raises:
            OptionError: no stage makes several programs of one.
            ProgramError, TooLarge, ToolFailed: see `qfw.qpm.expansion.expand`.
        """
        count = 0 if shots is None else check_shots(shots)
        wanted = asked(outputs, count)
        return expansion.expand(self._pipeline, program, wanted, count, _site(device, program, wanted, count))

    def explain(
        self,
        program: ModelProgram,
        device: Device | Mesh | Target,
        outputs: Outputs | None = None,
        shots: int | None = None,
    ) -> Explanation:
        """Stage by stage: gates, two-qubit gates, depth, estimated fidelity, duration, and the time that a stage took.

        The first row is the program as given; its fidelity is empty where its gates are not the device's. Printed, and
        in a notebook, it is a table. The time is that of when the program was lowered: the first time in a process it
        includes imports. Raises as `lower`.

        Of a pipeline that makes several programs of one, `outputs` and `shots` say what would be asked; the row of a
        stage that splits has the widest register, the largest depth, and the gates of all variants together; the
        notes below say how many, what they cost in executions, and what the tools say. Stages behind the last such one
        run for each part on its device, and are not shown. Raises as `expand`.
        """
        program.check()
        if expansion.splitting(self._pipeline):
            if outputs is None:
                raise OptionError(
                    "a pipeline that makes several programs of one needs to know what is asked: give outputs"
                )
            count = 0 if shots is None else check_shots(shots)
            wanted = asked(outputs, count)
            target = _site(device, program, wanted, count)
            expanded = expansion.expand(self._pipeline, program, wanted, count, target)
            rows, notes = expanded.reports, expanded.notes
            said = (f"{row.stage}: {row.notes[0]}" for row in rows if row.notes and row.notes[0] not in notes)
            notes = (*said, *notes)
        else:
            target = _target(device)
            rows = self._lowered(program, target)[0].stages
            notes = tuple(f"{row.stage}: {note}" for row in rows for note in row.notes)
        first = running.report("as given", program, target)
        return Explanation(self.name, target.profile.name, target.version, (first, *rows), notes)

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
        running.check_reached(self._pipeline, lowered, target.profile)

    def __repr__(self) -> str:
        called = f"{self.name!r}: " if self.name else ""
        return f"<ToolPipeline {called}{' → '.join(stage.name for stage in self._pipeline.stages)}>"

    def _repr_html_(self) -> str:
        """A table of the stages for notebooks."""
        rows = [(stage.name, stage.tool, _options(stage)) for stage in self._pipeline.stages]
        return as_html(repr(self).strip("<>"), ("stage", "tool", "options"), rows)

    def _lowered(self, program: ModelProgram, target: Target) -> tuple[LoweredProgram, Program]:
        """What is known of the program here or on disk, or is made now; and that decoded."""
        found = _remembered.get(self._key(program, target))
        if found is None:
            program.check()
            made, decoded = recall.lowered(self._pipeline, program, target, recall.own_shelf())
            found = made, Program.of(decoded)
            self._remember(program, target, found)
        return found

    def _key(self, program: ModelProgram, target: Target) -> tuple[bytes, bytes, bytes]:
        return program.digest, self._pipeline.digest, target.digest

    def _remember(self, program: ModelProgram, target: Target, found: tuple[LoweredProgram, Program]) -> None:
        # Decoded it takes some ten times its bytes.
        _remembered.put(self._key(program, target), found, 11 * len(found[0].encoded))


def _options(stage: Stage) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in stage.options.items())


def _stages(given: Sequence[StageLike]) -> tuple[Stage, ...]:
    if isinstance(given, (str, Stage)) or not isinstance(given, Sequence):
        hint = (
            f"; a preset is ToolPipeline.preset({given!r})"
            if isinstance(given, str) and given in presets.PRESETS
            else ""
        )
        raise OptionError(f"a pipeline is made of a list of stages, not of {given!r}{hint}")
    own = {stage.name for stage in given if isinstance(stage, Stage)}
    found: list[Stage] = []
    for each in (part for whole in given for part in _unfolded(whole)):
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
        # Of an external tool the daemon is told which: another one of its name is not run in its place.
        marked = registry.marked(registry.TOOLS, stage.tool) if isinstance(stage.tool, str) else stage.tool
        found.append(_checked(msgspec.structs.replace(stage, tool=marked)))
    return tuple(found)


def _unfolded(given: StageLike) -> Iterable[StageLike]:
    """The stages of a preset that is named among tools, to be called as tools are."""
    if isinstance(given, str) and given in presets.PRESETS and given not in registry.names(registry.TOOLS):
        return [(stage.tool, stage.options) for stage in presets.preset(given)]
    return [given]


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


def _target(device: Any) -> Target:
    if isinstance(device, Target):
        return device
    _check_device(device)
    target: Target = device.target()
    return target


def _check_device(device: Any) -> None:
    if not isinstance(device, Device):
        named = f"; give session.device({device!r})" if isinstance(device, str) else ""
        raise OptionError(f"a pipeline lowers for a Device or a Target, not for {device!r:.200}{named}")


def _site(device: Any, program: ModelProgram, outputs: tuple[Output, ...], shots: int) -> Target:
    """As a Target, whose peers are the other devices of a mesh."""
    from qfw.qpi.spread import Spread

    if isinstance(device, Spread):
        return site_of(device, program, outputs, 1, shots, None).target()  # type: ignore[arg-type]
    return _target(device)


_remembered: Remembered[tuple[LoweredProgram, Program]] = Remembered(MAX_REMEMBERED, MAX_BYTES)
