"""Runs a pipeline: its tools on a program, stage by stage. In a tool worker, or in the application."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from qfw.model.device import DeviceProfile
from qfw.model.errors import (
    ErrorReport,
    NotInstalled,
    QFwError,
    SetupError,
    ToolFailed,
    UnknownDevice,
    UnsupportedFeature,
    UsageError,
)
from qfw.model.native import check_native
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage, StageReport
from qfw.model.program import Measure, Program
from qfw.qpm import registry
from qfw.qpm.quality import figures
from qfw.qpm.tool import KEEPS, Target, ToolOutput, compares, plays, splits


def check(pipeline: Pipeline) -> None:
    """Raises UnknownDevice, NotInstalled or OptionError unless this environment can run every stage."""
    pipeline.check()
    for stage in pipeline.stages:
        kind_of(stage.tool).check_options(stage.options)


def needs_client(pipeline: Pipeline) -> bool:
    """Whether a stage must run in the application's process."""
    return any(kind_of(stage.tool).needs_client for stage in pipeline.stages)


def played(pipeline: Pipeline) -> Stage | None:
    """The first stage whose tool makes something that is played on the device, and not run; None: there is none."""
    return next((stage for stage in pipeline.stages if _plays(stage.tool)), None)


def check_runs(pipeline: Pipeline) -> None:
    """Raises unless what the pipeline makes can run as a task. Tools that are not here are left to who runs them.

    Raises:
        UsageError: a stage makes what is played on the device; which, and how to play it.
    """
    stage = played(pipeline)
    if stage is not None:
        raise UsageError(
            f"stage {stage.name!r} (tool {stage.tool}) makes pulses, and a stream runs programs. Give the stream a "
            'pipeline without it; to play the pulses: device.native("pulse.play")({"schedule": '
            "ToolPipeline.lower(program, device).schedule})"
        )


def run(
    pipeline: Pipeline,
    program: Program,
    target: Target,
    begins: Callable[[Stage], None] = lambda stage: None,
) -> LoweredProgram:
    """What the pipeline makes of a program for a target; `begins` is told of every stage before it. See `lower`."""
    return lower(pipeline, program, target, begins)[0]


def lower(
    pipeline: Pipeline,
    program: Program,
    target: Target,
    begins: Callable[[Stage], None] = lambda stage: None,
) -> tuple[LoweredProgram, Program]:
    """As `run`, and the lowered program as it is read of its bytes.

    A program that measures nothing answers counts of all its qubits, qubit i as bit i. Where its qubits went
    elsewhere, or others joined them, the lowered one says so with measurements; other answers they do not change.

    Raises:
        ProgramError: a tool says that the program cannot be transformed.
        UnsupportedFeature: a tool makes several programs of one; see `qfw.qpm.expansion`.
        ToolFailed: a tool failed otherwise, or what it gave is no program; says which stage.
        NotInstalled, UnknownDevice: a tool is not here.
    """
    check_lowers(pipeline)
    if not pipeline.stages:
        # What stages make is checked behind each of them.
        program.check()
    made = through(pipeline.stages, program, target, begins)
    lowered, layout = made.program, made.layout
    if not program.has_measurements and (layout or lowered.num_qubits != program.num_qubits):
        lowered = _measured(lowered, layout or range(program.num_qubits))
    lowered = lowered.canonical()
    return LoweredProgram(lowered.encoded, layout, tuple(made.reports), made.artefacts), lowered


class Made(NamedTuple):
    """What stages made of a program."""

    program: Program
    #: Where each qubit of the first program is; None: where it was.
    layout: tuple[int, ...] | None
    reports: list[StageReport]
    artefacts: dict[str, bytes]


def through(
    stages: Sequence[Stage], program: Program, target: Target, begins: Callable[[Stage], None]
) -> Made:
    """What stages that do not split make of a program, without measurements of its own. Raises as `run`."""
    original, kept = program, KEEPS[0]
    layout: tuple[int, ...] | None = None
    reports: list[StageReport] = []
    artefacts: dict[str, bytes] = {}
    for stage in stages:
        begins(stage)
        began = time.perf_counter()
        kind = kind_of(stage.tool)
        if compares(kind):
            given = _compared(stage, original, program, layout, kept, target)
        else:
            given = _apply(stage, program, target)
            kept = max(kept, kind.keeps, key=KEEPS.index)
        took_s = time.perf_counter() - began
        layout = _composed(stage, program.num_qubits, layout, given)
        program = given.program
        artefacts |= given.artefacts
        reports.append(report(stage.name, program, target, took_s, given.notes))
    return Made(program, layout, reports, artefacts)


def report(
    stage: str, program: Program, target: Target, took_s: float = 0.0, notes: tuple[str, ...] = ()
) -> StageReport:
    """A program in figures."""
    found = figures(program, target)
    return StageReport(stage, program.num_qubits, *found, took_s, notes)


def check_reached(pipeline: Pipeline, lowered: Program, profile: DeviceProfile) -> None:
    """Raises unless what a pipeline made is what a device takes.

    Raises:
        UnsupportedFeature: a gate or pair is left that the device does not have; which, and behind which stage.
    """
    try:
        check_native(lowered, profile)
    except UnsupportedFeature as error:
        if not pipeline.stages:
            raise UnsupportedFeature(
                f"without a stage the program stays as it is, and {profile.name} does not take it: {error}. Use preset "
                "fast, default or best"
            ) from error
        last = pipeline.stages[-1]
        raise UnsupportedFeature(
            f"behind stage {last.name!r} (tool {last.tool}), the last of the pipeline, there is still what "
            f"{profile.name} does not take: {error}. In a pipeline: end it with tool transpile"
        ) from error


def check_lowers(pipeline: Pipeline) -> None:
    """Raises UnsupportedFeature where a stage makes several programs of one: then there is no lowered program."""
    for stage in pipeline.stages:
        if splits(kind_of(stage.tool)):
            raise UnsupportedFeature(
                f"stage {stage.name}: tool {stage.tool} makes several programs of one, so there is no single lowered "
                "program. Run it on a stream with this pipeline, in a process that has the tool: that puts their "
                "answers together. Or look at ToolPipeline.expand"
            )


@contextmanager
def failing_as(stage: Stage) -> Iterator[None]:
    """What a tool raises within says the stage; what is none of our errors is a ToolFailed."""
    try:
        yield
    except QFwError as error:
        raise ErrorReport(type(error).__name__, f"stage {stage.name}: {error}").to_exception() from error
    except Exception as error:
        raise ToolFailed(
            f"stage {stage.name}: tool {stage.tool} failed with {type(error).__name__}: {str(error)[:500]}"
        ) from error


def _compared(
    stage: Stage,
    original: Program,
    program: Program,
    layout: tuple[int, ...] | None,
    keeps: str,
    target: Target,
) -> ToolOutput:
    """The program as it is, with what a CheckingTool says of it."""
    with failing_as(stage):
        notes = tool_of(stage.tool).compare(original, program, layout, keeps, target, stage.options)
        return ToolOutput(program, notes=notes)


def _apply(stage: Stage, program: Program, target: Target) -> ToolOutput:
    with failing_as(stage):
        given: ToolOutput = tool_of(stage.tool).apply(program, target, stage.options)
        given.program.check()
        return given


def _composed(
    stage: Stage, num_qubits: int, before: tuple[int, ...] | None, given: ToolOutput
) -> tuple[int, ...] | None:
    """Where the first program's qubits are behind a stage."""
    layout = given.layout
    if layout is None:
        return before
    inside = all(0 <= place < given.program.num_qubits for place in layout)
    if len(layout) != num_qubits or len(set(layout)) != num_qubits or not inside:
        raise ToolFailed(
            f"stage {stage.name}: tool {stage.tool} gave a layout of {len(layout)} places for {num_qubits} qubits, or "
            f"one that is no place of its own"
        )
    return layout if before is None else tuple(layout[place] for place in before)


def _measured(program: Program, places: Sequence[int]) -> Program:
    """The program with a measurement of each of these qubits, in order, into the bits from 0 on."""
    clbits = max(len(places), program.num_clbits) if program.has_control else len(places)
    ending = tuple(Measure(place, bit) for bit, place in enumerate(places))
    return Program(program.num_qubits, clbits, program.num_slots, program.operations + ending)


def kind_of(name: str) -> Any:
    """Class of a tool that is installed with its framework. Raises UnknownDevice, SetupError, NotInstalled."""
    kind = registry.load(registry.TOOLS, name)
    if kind.version() is None:
        # Its constructor knows what to install.
        kind()
        raise NotInstalled(f"tool {name!r} says that its framework is not installed")
    return kind


def _plays(name: str) -> bool:
    try:
        return plays(kind_of(name))
    except (NotInstalled, SetupError, UnknownDevice):
        # It is not here: the daemon that runs it says so.
        return False


def tool_of(name: str) -> Any:
    """The one Tool of any kind of this name in this process. Raises as `kind_of`."""
    return _made(name if "@" in name else registry.marked(registry.TOOLS, name))


@cache
def _made(name: str) -> Any:
    return kind_of(name)()
